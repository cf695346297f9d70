package netstack

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"

	"ringfort/test/netns"
)

// vethPair makes two namespaces joined by a veth pair: "near", which the test
// sits outside of and talks from, and "far", which the stack takes over.
func vethPair(t *testing.T) (near, far string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	id := fmt.Sprintf("rf%d", os.Getpid()%100000)
	near, far = id+"n", id+"f"
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	for _, ns := range []string{near, far} {
		netns.New(t, ns)
	}
	ip("-n", near, "link", "add", "host0", "type", "veth", "peer", "name", "eth0", "netns", far)
	for _, c := range []struct{ ns, dev, v4, v6 string }{
		{near, "host0", "10.77.0.1/24", "fd77::1/64"},
		{far, "eth0", "10.77.0.2/24", "fd77::2/64"},
	} {
		ip("-n", c.ns, "addr", "add", c.v4, "dev", c.dev)
		ip("-n", c.ns, "-6", "addr", "add", c.v6, "dev", c.dev, "nodad")
		ip("-n", c.ns, "link", "set", "lo", "up")
		ip("-n", c.ns, "link", "set", c.dev, "up")
	}
	ip("-n", far, "route", "add", "default", "via", "10.77.0.1")
	return near, far
}

func nsPath(name string) string { return "/var/run/netns/" + name }

// takeOver scrapes far and builds a stack from the Config as runsc does,
// through JSON.
func takeOver(t *testing.T, far string) (*Stack, *Config) {
	t.Helper()
	cfg, files, err := Scrape(nsPath(far))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	s, err := New(&back, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	t.Logf("config: %s", b)
	return s, cfg
}

func TestVeth(t *testing.T) {
	near, far := vethPair(t)
	s, cfg := takeOver(t, far)
	if len(cfg.Links) != 1 || cfg.Links[0].Name != "eth0" || len(cfg.Routes) == 0 {
		t.Fatalf("config %+v", cfg)
	}

	for _, dst := range []string{"10.77.0.2", "fd77::2"} {
		if err := ping(near, dst, 10*time.Second); err != nil {
			t.Errorf("ping %s: %v", dst, err)
		}
	}

	for _, c := range []struct {
		addr  string
		proto tcpip.NetworkProtocolNumber
	}{{"10.77.0.2", ipv4.ProtocolNumber}, {"fd77::2", ipv6.ProtocolNumber}} {
		t.Run("to stack "+c.addr, func(t *testing.T) {
			l, err := gonet.ListenTCP(s.Tcpip(), tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr(c.addr)), Port: 7}, c.proto)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go echoOnce(l)
			var conn net.Conn
			err = inNamespace(nsPath(near), func() (err error) {
				conn, err = net.DialTimeout("tcp", net.JoinHostPort(c.addr, "7"), 10*time.Second)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			roundTrip(t, conn, 8<<20)
		})
	}

	for _, c := range []struct {
		addr  string
		proto tcpip.NetworkProtocolNumber
	}{{"10.77.0.1", ipv4.ProtocolNumber}, {"fd77::1", ipv6.ProtocolNumber}} {
		t.Run("from stack "+c.addr, func(t *testing.T) {
			var l net.Listener
			err := inNamespace(nsPath(near), func() (err error) {
				l, err = net.Listen("tcp", net.JoinHostPort(c.addr, "7"))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go echoOnce(l)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			conn, err := gonet.DialContextTCP(ctx, s.Tcpip(), tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr(c.addr)), Port: 7}, c.proto)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			roundTrip(t, conn, 8<<20)
		})
	}

	t.Run("udp", func(t *testing.T) { vethUDP(t, s, near) })
	t.Run("release", func(t *testing.T) { vethRelease(t, s, near, far, cfg) })
}

// ping sends echo requests from a namespace until one is answered.
func ping(ns, dst string, limit time.Duration) error {
	network, request := "ip4:icmp", []byte{8, 0, 0, 0, 0, 7, 0, 1}
	sum := ^uint16(0x0800 + 7 + 1)
	request[2], request[3] = byte(sum>>8), byte(sum)
	if net.ParseIP(dst).To4() == nil {
		// The kernel fills in the checksum of a raw ICMPv6 socket.
		network, request = "ip6:ipv6-icmp", []byte{128, 0, 0, 0, 0, 7, 0, 1}
	}
	var c net.Conn
	err := inNamespace(nsPath(ns), func() (err error) {
		c, err = net.Dial(network, dst)
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 1500)
	for end := time.Now().Add(limit); time.Now().Before(end); {
		c.Write(request)
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, err := c.Read(b)
			if err != nil {
				break
			}
			p := b[:n]
			if n > 20 && p[0] == 0x45 {
				p = p[20:] // a raw IPv4 socket shows the IP header too
			}
			// Echo replies are type 0 (RFC 792) and 129 (RFC 4443).
			if len(p) >= 8 && (p[0] == 0 || p[0] == 129) {
				return nil
			}
		}
	}
	return fmt.Errorf("no reply from %s", dst)
}

func vethUDP(t *testing.T, s *Stack, near string) {
	var pc net.PacketConn
	err := inNamespace(nsPath(near), func() (err error) {
		pc, err = net.ListenPacket("udp", "10.77.0.1:9")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		b := make([]byte, 2048)
		n, from, err := pc.ReadFrom(b)
		if err == nil {
			pc.WriteTo(b[:n], from)
		}
	}()
	c, err := gonet.DialUDP(s.Tcpip(), nil, &tcpip.FullAddress{Addr: ToTCPIP(netip.MustParseAddr("10.77.0.1")), Port: 9}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(make([]byte, 1200)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	if n, err := c.Read(b); err != nil || n != 1200 {
		t.Fatalf("read %d, %v", n, err)
	}
}

// vethRelease shows that the host kernel is silent while the link is taken
// over and answers again after Release.
func vethRelease(t *testing.T, s *Stack, near, far string, cfg *Config) {
	if cfg.Takeover != TakeoverDrop {
		t.Skipf("takeover by %q cannot be undone", cfg.Takeover)
	}
	s.Close()
	if ping(near, "10.77.0.2", 500*time.Millisecond) == nil {
		t.Error("the host kernel answers on a link that was taken over")
	}
	// A second sandbox finds the namespace as the first did.
	again, files, err := Scrape(nsPath(far))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	if len(again.Links) != 1 || len(again.Links[0].Addresses) != len(cfg.Links[0].Addresses) || len(again.Routes) < len(cfg.Routes) {
		t.Errorf("second scrape %+v, first %+v", again, cfg)
	}
	if err := Release(nsPath(far)); err != nil {
		t.Fatal(err)
	}
	if err := ping(near, "10.77.0.2", 10*time.Second); err != nil {
		t.Errorf("after Release the host kernel does not answer: %v", err)
	}
	if err := Release(nsPath(far)); err != nil {
		t.Errorf("second Release: %v", err)
	}
}

func TestScrapeMissing(t *testing.T) {
	if _, _, err := Scrape("/proc/self/no-such-namespace"); err == nil {
		t.Error("scraped a namespace that is not there")
	}
}
