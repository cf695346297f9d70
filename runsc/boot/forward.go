package boot

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"

	"ringfort/netstack"
	"ringfort/runsc/control"
)

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

const (
	// dialTime bounds how long a listener's queue may be full for a forwarded connection.
	dialTime = 5 * time.Second
	// settleTime is waited for further changes of listeners, so that a program which makes and closes many does not
	// keep the host busy.
	settleTime = 5 * time.Millisecond
	// maxForwarded bounds the forwarded connections of a sandbox.
	maxForwarded = 1024
	// maxListeners bounds how many listeners are told of: each costs descriptors on the host.
	maxListeners = 2048
)

// Listeners implements control.Forwarder.
func (s *sandbox) Listeners(changes uint64, stop <-chan struct{}) (*control.Listeners, error) {
	s.mu.Lock()
	net := s.net
	s.mu.Unlock()
	if net == nil {
		return nil, errors.New("the sandbox has no network yet")
	}
	for {
		by, now, next := net.Listeners.All()
		if now != changes {
			return &control.Listeners{Changes: now, List: onLoopback(by)}, nil
		}
		select {
		case <-next:
			time.Sleep(settleTime)
		case <-stop:
			return nil, errors.New("the caller has gone")
		}
	}
}

// onLoopback lists who can be reached over the loopback.
func onLoopback(by map[uint16][]any) []control.Listener {
	list := []control.Listener{}
	for port, listeners := range by {
		var four, six bool
		for _, l := range listeners {
			if l, ok := l.(interface{ Reaches(netip.Addr) bool }); ok {
				four, six = four || l.Reaches(loopback4), six || l.Reaches(loopback6)
			}
		}
		if four {
			list = append(list, control.Listener{Port: port})
		}
		if six {
			list = append(list, control.Listener{Port: port, Six: true})
		}
	}
	return list[:min(len(list), maxListeners)]
}

// Forward implements control.Forwarder.
func (s *sandbox) Forward(to control.Listener, conn *os.File) error {
	s.mu.Lock()
	n := s.net
	s.mu.Unlock()
	if n == nil {
		conn.Close()
		return errors.New("the sandbox has no network yet")
	}
	if s.forwarded.Add(1) > maxForwarded {
		s.forwarded.Add(-1)
		conn.Close()
		return errors.New("too many connections are forwarded")
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	inside, err := dialLoopback(ctx, n.Stack, to)
	if err != nil {
		s.forwarded.Add(-1)
		conn.Close()
		return err
	}
	go func() {
		defer s.forwarded.Add(-1)
		carryBoth(inside, conn)
	}()
	return nil
}

func dialLoopback(ctx context.Context, st *netstack.Stack, to control.Listener) (*gonet.TCPConn, error) {
	at, proto := loopback4, ipv4.ProtocolNumber
	if to.Six {
		at, proto = loopback6, ipv6.ProtocolNumber
	}
	return gonet.DialContextTCP(ctx, st.Tcpip(), tcpip.FullAddress{Addr: tcpip.AddrFromSlice(at.AsSlice()), Port: to.Port}, proto)
}

// carryBoth carries bytes in both directions until both have ended. conn is a stream socket of the host.
func carryBoth(inside *gonet.TCPConn, conn *os.File) {
	defer inside.Close()
	defer conn.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{inside})
		end(conn, err)
	}()
	_, err := io.Copy(struct{ io.Writer }{inside}, struct{ io.Reader }{conn})
	if err != nil && !errors.Is(err, net.ErrClosed) {
		inside.Close() // the host's peer was cut off
	} else {
		inside.CloseWrite()
	}
	<-done
}

// end tells the host's peer that no more comes.
func end(conn *os.File, err error) {
	how := unix.SHUT_WR
	if err != nil {
		how = unix.SHUT_RDWR
	}
	if raw, rerr := conn.SyscallConn(); rerr == nil {
		raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), how) })
	}
}

var _ control.Forwarder = (*sandbox)(nil)
