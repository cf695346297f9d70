package netstack

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// dnsQuery is a query for a name of one label, with an identifier.
func dnsQuery(id uint16, name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(name)))
	return append(append(b, name...), 0, 0, 1, 0, 1)
}

// newResolver returns a stack that forwards to a server, which gets each query and its answer.
func newResolver(t *testing.T, answer func(query []byte) []byte) *Stack {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buf := make([]byte, maxDNS)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if a := answer(buf[:n]); a != nil {
				server.WriteTo(a, from)
			}
		}
	}()
	conn, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(&Config{Resolver: dockerResolver}, []*os.File{f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func resolverAddr(t *testing.T, s *Stack, stream bool) tcpip.FullAddress {
	t.Helper()
	a := tcpip.FullAddress{Addr: ToTCPIP(dockerResolver), Port: dnsPort}
	port := s.ResolverPort(stream, a)
	if port == 0 || port == dnsPort {
		t.Fatalf("the resolver has port %d", port)
	}
	a.Port = port
	if !s.IsResolver(stream, a) || s.IsResolver(stream, tcpip.FullAddress{Addr: a.Addr, Port: 1}) {
		t.Error("IsResolver is not the reverse of ResolverPort")
	}
	return a
}

// TestResolver has two askers with one identifier, whose answers come in the other order.
func TestResolver(t *testing.T) {
	var first []byte
	s := newResolver(t, func(q []byte) []byte {
		reply := append(append([]byte(nil), q...), []byte(" answer")...)
		if first == nil {
			first = reply // kept back
			return nil
		}
		return reply
	})
	at := resolverAddr(t, s, false)
	ask := func(name string) *gonet.UDPConn {
		c, err := gonet.DialUDP(s.Tcpip(), nil, &at, ipv4.ProtocolNumber)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(dnsQuery(7, name)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask("lost")
	c := ask("found")
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	if want := append(dnsQuery(7, "found"), " answer"...); err != nil || !bytes.Equal(buf[:n], want) {
		t.Errorf("%q, %v, want %q", buf[:n], err, want)
	}
	for _, a := range []tcpip.FullAddress{
		{Addr: ToTCPIP(dockerResolver), Port: 54}, {Addr: ToTCPIP(netip.MustParseAddr("127.0.0.1")), Port: dnsPort},
	} {
		if s.ResolverPort(false, a) != 0 {
			t.Errorf("%v is the resolver", a)
		}
	}
	// Port 53 is for a server in the sandbox.
	own, err := gonet.DialUDP(s.Tcpip(), &tcpip.FullAddress{Port: dnsPort}, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatalf("port 53: %v", err)
	}
	own.Close()
}

// TestResolverTCP asks twice over one connection, for more than a datagram to any but this resolver could hold.
func TestResolverTCP(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 20000)
	s := newResolver(t, func(q []byte) []byte {
		if binary.BigEndian.Uint16(q[10:]) != 1 || !bytes.HasSuffix(q, []byte{0, 0, 41, 0xff, 0xff, 0, 0, 0, 0, 0, 0}) {
			return append(append([]byte(nil), q...), "no room"...)
		}
		return append(append([]byte(nil), q...), large...)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := gonet.DialContextTCP(ctx, s.Tcpip(), resolverAddr(t, s, true), ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	for id := uint16(1); id <= 2; id++ {
		q := dnsQuery(id, "name")
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
			t.Fatal(err)
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatal(err)
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint16(msg) != id || !bytes.HasSuffix(msg, large) {
			t.Errorf("query %d: %d bytes, identifier %d", id, len(msg), binary.BigEndian.Uint16(msg))
		}
	}
}

func TestWithRoom(t *testing.T) {
	q := dnsQuery(1, "a")
	opt := append(append([]byte(nil), q...), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0)
	opt[11] = 1
	for name, c := range map[string]struct {
		in   []byte
		same bool
	}{
		"plain": {append([]byte(nil), q...), false}, "with options": {opt, false}, "short": {q[:5], true},
		"cut": {q[:len(q)-3], true}, "compressed": {append(append([]byte(nil), q[:12]...), 0xc0, 12, 0, 1, 0, 1), true},
	} {
		before := append([]byte(nil), c.in...)
		out := withRoom(c.in)
		if bytes.Equal(out, before) != c.same {
			t.Errorf("%s: %x became %x", name, before, out)
		}
	}
}
