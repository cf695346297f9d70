package boot

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
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
			return &control.Listeners{Changes: now, List: s.reached(by, net.Stack)}, nil
		}
		select {
		case <-next:
			time.Sleep(settleTime)
		case <-stop:
			return nil, errors.New("the caller has gone")
		}
	}
}

// reached lists who can be reached over the loopback, and over addresses of the sandbox where those are forwarded too.
func (s *sandbox) reached(by map[uint16][]any, st *netstack.Stack) []control.Listener {
	at := map[netip.Addr]control.Listener{loopback4: {}, loopback6: {Six: true}}
	if s.conf.ForwardOwn {
		for _, i := range st.Interfaces() {
			for _, a := range i.Addresses {
				if ip := a.Prefix.Addr(); !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
					at[ip] = control.Listener{Addr: ip}
				}
			}
		}
	}
	list := []control.Listener{}
	for port, listeners := range by {
		for ip, to := range at {
			if slices.ContainsFunc(listeners, func(l any) bool {
				r, ok := l.(interface{ Reaches(netip.Addr) bool })
				return ok && r.Reaches(ip)
			}) {
				to.Port = port
				list = append(list, to)
			}
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
	inside, err := dial(ctx, n.Stack, to)
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

func dial(ctx context.Context, st *netstack.Stack, to control.Listener) (*gonet.TCPConn, error) {
	at, proto := loopback4, ipv4.ProtocolNumber
	switch {
	case to.Addr.IsValid():
		at = to.Addr
	case to.Six:
		at = loopback6
	}
	if at.Is6() {
		proto = ipv6.ProtocolNumber
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
