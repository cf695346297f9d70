package netstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

func newLoopback(t *testing.T) *Stack {
	t.Helper()
	s, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

var loopbackCases = []struct {
	name  string
	addr  string
	proto tcpip.NetworkProtocolNumber
}{
	{"v4", "127.0.0.1", ipv4.ProtocolNumber},
	{"v4 other", "127.3.2.1", ipv4.ProtocolNumber},
	{"v6", "::1", ipv6.ProtocolNumber},
}

func TestLoopbackTCP(t *testing.T) {
	for _, c := range loopbackCases {
		t.Run(c.name, func(t *testing.T) {
			s := newLoopback(t)
			addr := tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr(c.addr)), Port: 80}
			l, err := gonet.ListenTCP(s.Tcpip(), addr, c.proto)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go echoOnce(l)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			conn, err := gonet.DialContextTCP(ctx, s.Tcpip(), addr, c.proto)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			roundTrip(t, conn, 3<<20)
		})
	}
}

func echoOnce(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	io.Copy(c, c)
}

// roundTrip sends n bytes through an echo and compares what comes back.
func roundTrip(t *testing.T, conn net.Conn, n int) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i ^ i>>8)
	}
	go conn.Write(out)
	in := make([]byte, n)
	if _, err := io.ReadFull(conn, in); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in, out) {
		t.Fatal("echo differs")
	}
}

func TestLoopbackUDP(t *testing.T) {
	for _, c := range loopbackCases {
		t.Run(c.name, func(t *testing.T) {
			s := newLoopback(t)
			addr := tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr(c.addr)), Port: 53}
			srv, err := gonet.DialUDP(s.Tcpip(), &addr, nil, c.proto)
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			cli, err := gonet.DialUDP(s.Tcpip(), nil, &addr, c.proto)
			if err != nil {
				t.Fatal(err)
			}
			defer cli.Close()
			go func() {
				b := make([]byte, 64)
				n, from, err := srv.ReadFrom(b)
				if err == nil {
					srv.WriteTo(b[:n], from)
				}
			}()
			cli.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := cli.Write([]byte("ask")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 64)
			n, err := cli.Read(b)
			if err != nil || string(b[:n]) != "ask" {
				t.Fatalf("read %q, %v", b[:n], err)
			}
		})
	}
}

func TestInterfaces(t *testing.T) {
	s := newLoopback(t)
	ifs := s.Interfaces()
	if len(ifs) != 1 {
		t.Fatalf("%d interfaces", len(ifs))
	}
	lo := ifs[0]
	if lo.Name != "lo" || lo.Index != 1 || lo.MTU != 65536 || lo.Type != unix.ARPHRD_LOOPBACK || len(lo.Addresses) != 2 {
		t.Errorf("lo is %+v", lo)
	}
	if want := uint32(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING | unix.IFF_LOWER_UP); lo.Flags != want {
		t.Errorf("flags %#x, want %#x", lo.Flags, want)
	}
	if s.IndexByName("eth0") != 0 || s.IndexByName("lo") != 1 || s.NameByIndex(1) != "lo" || s.NameByIndex(7) != "" {
		t.Error("names and indexes disagree")
	}
}

func TestAddresses(t *testing.T) {
	s := newLoopback(t)
	p := netip.MustParsePrefix("10.1.2.3/24")
	if err := s.AddAddress(1, Address{Prefix: p}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddAddress(1, Address{Prefix: p}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("second add: %v", err)
	}
	if !s.IsLocal(p.Addr()) {
		t.Error("address not local")
	}
	if err := s.AddAddress(9, Address{Prefix: p}); !errors.Is(err, unix.ENODEV) {
		t.Errorf("no such link: %v", err)
	}
	if err := s.AddAddress(1, Address{}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("no prefix: %v", err)
	}
	if err := s.RemoveAddress(1, p); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAddress(1, p); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("second remove: %v", err)
	}
}

func TestRouteErrors(t *testing.T) {
	s := newLoopback(t)
	def := netip.MustParsePrefix("0.0.0.0/0")
	for _, c := range []struct {
		name string
		r    Route
		want error
	}{
		{"no destination", Route{Link: 1, Type: unix.RTN_UNICAST}, unix.EINVAL},
		{"host bits", Route{Dst: netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 8), Link: 1, Type: unix.RTN_UNICAST}, unix.EINVAL},
		{"no link", Route{Dst: def, Link: 4, Type: unix.RTN_UNICAST}, unix.ENODEV},
		{"blackhole", Route{Dst: def, Link: 1, Type: unix.RTN_BLACKHOLE}, unix.EOPNOTSUPP},
		{"far gateway", Route{Dst: def, Link: 1, Type: unix.RTN_UNICAST, Gateway: netip.MustParseAddr("10.0.0.1")}, unix.ENETUNREACH},
		{"mixed", Route{Dst: def, Link: 1, Type: unix.RTN_UNICAST, Src: netip.MustParseAddr("::1")}, unix.EINVAL},
	} {
		if err := s.AddRoute(c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if err := s.RemoveRoute(func(Route) bool { return true }); !errors.Is(err, unix.ESRCH) {
		t.Errorf("remove from empty table: %v", err)
	}
}

func TestLinkDownUnreachable(t *testing.T) {
	s := newLoopback(t)
	if err := s.SetUp(1, false); err != nil {
		t.Fatal(err)
	}
	if lo, _ := s.InterfaceByIndex(1); lo.Flags&unix.IFF_UP != 0 {
		t.Error("still up")
	}
	addr := tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr("127.0.0.1")), Port: 80}
	if c, err := gonet.DialTCP(s.Tcpip(), addr, ipv4.ProtocolNumber); err == nil {
		c.Close()
		t.Error("connected over a link that is down")
	}
	if err := s.SetUp(1, true); err != nil {
		t.Fatal(err)
	}
	if !s.IsLocal(netip.MustParseAddr("127.0.0.1")) {
		t.Error("address lost on the way down and up")
	}
}

func TestDrain(t *testing.T) {
	s := newLoopback(t)
	s.Drain(time.Hour) // nothing to wait for
	addr := tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr("127.0.0.1")), Port: 80}
	l, err := gonet.ListenTCP(s.Tcpip(), addr, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := gonet.DialTCP(s.Tcpip(), addr, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Drain(20 * time.Second)
	if s.undelivered() {
		t.Error("the data is still under way")
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": true, "": false, ".": false, "..": false, "a/b": false, "a b": false, "a:b": false,
		"abcdefghijklmno": true, "abcdefghijklmnop": false,
	} {
		if validName(name) != want {
			t.Errorf("validName(%q) = %v", name, !want)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s, err := New(&Config{Links: []Link{{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:01", HasFile: true}}}, nil)
	if err == nil {
		s.Close()
		t.Fatal("a link without a socket was accepted")
	}
	s = newLoopback(t)
	s.Close()
	s.Close()
}

// TestLoopbackMTU has lo's MTU as it was set: the header that it has inside does not show.
func TestLoopbackMTU(t *testing.T) {
	s, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, want := range []uint32{loopbackMTU, 1400} {
		if want != loopbackMTU {
			if err := s.SetMTU(LoopbackIndex, want); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range s.Interfaces() {
			if i.Index == LoopbackIndex && i.MTU != want {
				t.Errorf("MTU %d, not %d", i.MTU, want)
			}
		}
	}
}
