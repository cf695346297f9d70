package netstack

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFollow changes a namespace that was taken over, and has the stack follow.
func TestFollow(t *testing.T) {
	near, far := vethPair(t)
	s, cfg := takeOver(t, far)
	var f *Follower
	if err := inNamespace(nsPath(far), func() (err error) { f, err = NewFollower(cfg); return err }); err != nil {
		t.Fatal(err)
	}
	look := func() *Change {
		t.Helper()
		var c *Change
		var files []*os.File
		err := inNamespace(nsPath(far), func() (err error) { c, files, err = f.look(); return err })
		if err == nil {
			err = s.Apply(c, files)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ip := func(ns, args string) {
		t.Helper()
		if out, err := exec.Command("ip", append([]string{"-n", ns}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	names := func() (list []string) {
		for _, i := range s.Interfaces() {
			list = append(list, i.Name)
		}
		return list
	}
	gateway := func() (via netip.Addr) {
		for _, r := range s.Routes() {
			if r.Dst.Bits() == 0 && r.Dst.Addr().Is4() {
				via = r.Gateway
			}
		}
		return via
	}
	if c := look(); !c.empty() {
		t.Fatalf("nothing has changed, but %+v", c)
	}
	for round := range 3 { // a link that comes again is another
		ip(near, "link add host1 type veth peer name eth1 netns "+far)
		ip(near, "addr add 10.88.0.1/24 dev host1")
		ip(near, "link set host1 up")
		if c := look(); !c.empty() {
			t.Fatalf("a link that is down: %+v", c)
		}
		ip(far, "addr add 10.88.0.2/24 dev eth1")
		ip(far, "link set eth1 up")
		ip(far, "route replace default via 10.88.0.1")
		<-f.changed // somebody has noticed
		look()
		if n := names(); !slices.Equal(n, []string{"lo", "eth0", "eth1"}) {
			t.Fatalf("links %v", n)
		}
		if via := gateway(); via != netip.MustParseAddr("10.88.0.1") {
			t.Errorf("default gateway %v", via)
		}
		for _, dst := range []string{"10.88.0.2", "10.77.0.2"} {
			if err := ping(near, dst, 10*time.Second); err != nil {
				t.Errorf("round %d: ping %s: %v", round, dst, err)
			}
		}
		ip(far, "addr add 10.88.0.3/24 dev eth1")
		ip(far, "addr del 10.77.0.2/24 dev eth0")
		look()

		if err := ping(near, "10.88.0.3", 10*time.Second); err != nil {
			t.Error(err)
		}
		if s.IsLocal(netip.MustParseAddr("10.77.0.2")) {
			t.Error("an address that was taken away is still there")
		}
		ip(near, "link del host1")
		ip(far, "addr add 10.77.0.2/24 dev eth0")
		ip(far, "route replace default via 10.77.0.1")
		look()
		if n := names(); !slices.Equal(n, []string{"lo", "eth0"}) {
			t.Fatalf("links %v", n)
		}
		if via := gateway(); via != netip.MustParseAddr("10.77.0.1") {
			t.Errorf("default gateway %v", via)
		}
		if err := ping(near, "10.77.0.2", 10*time.Second); err != nil {
			t.Errorf("round %d: ping of the first link: %v", round, err)
		}
	}
	close(f.done)
}
