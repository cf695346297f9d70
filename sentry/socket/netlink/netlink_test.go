package netlink

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/socket/sockettest"
	"ringfort/sentry/usermem"
)

func setup(t *testing.T, protocol int) (*sockettest.Caller, *Socket) {
	t.Helper()
	c := sockettest.New()
	ns, err := netns.New(c.Creds().UserNS)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, ns, unix.SOCK_RAW, protocol)
	if err != nil {
		t.Fatal(err)
	}
	ns.DecRef()
	t.Cleanup(func() { s.Release(c) })
	return c, s
}

// ask sends a request and returns the answers up to the end of a dump.
func ask(t *testing.T, c *sockettest.Caller, s *Socket, typ, flags uint16, body []byte) (answers []request) {
	t.Helper()
	b := make([]byte, headerSize, headerSize+len(body))
	b = append(b, body...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], 77)
	if n, err := s.Send(c, usermem.BytesSeq(b), &socket.SendArgs{}); n != int64(len(b)) || err != nil {
		t.Fatalf("send: %d, %v", n, err)
	}
	for {
		in := make([]byte, 1<<16)
		n, err := s.Recv(c, usermem.BytesSeq(in), 0, &socket.Received{})
		if err == unix.EAGAIN {
			return answers
		}
		if err != nil {
			t.Fatal(err)
		}
		for in = in[:n]; len(in) >= headerSize; {
			l := int(binary.NativeEndian.Uint32(in))
			if seq := binary.NativeEndian.Uint32(in[8:]); seq != 77 {
				t.Errorf("sequence number %d", seq)
			}
			answers = append(answers, request{typ: binary.NativeEndian.Uint16(in[4:]), flags: binary.NativeEndian.Uint16(in[6:]), body: in[headerSize:l]})
			in = in[min(align4(l), len(in)):]
		}
	}
}

func types(rs []request) (out []uint16) {
	for _, r := range rs {
		out = append(out, r.typ)
	}
	return out
}

func errnoOf(r request) unix.Errno {
	return unix.Errno(-int32(binary.NativeEndian.Uint32(r.body)))
}

func TestDumps(t *testing.T) {
	c, s := setup(t, unix.NETLINK_ROUTE)
	for _, tc := range []struct {
		name      string
		typ, item uint16
		family    byte
		items     int
	}{
		{"links", unix.RTM_GETLINK, unix.RTM_NEWLINK, 0, 1},
		{"addresses", unix.RTM_GETADDR, unix.RTM_NEWADDR, 0, 2},
		{"IPv4 addresses", unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.AF_INET, 1},
		{"IPv6 addresses", unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.AF_INET6, 1},
		{"IPv4 routes", unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.AF_INET, 3},
		{"rules", unix.RTM_GETRULE, unix.RTM_NEWRULE, unix.AF_INET, 3},
		{"neighbours", unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, 0, 0},
	} {
		rs := ask(t, c, s, tc.typ, unix.NLM_F_DUMP, append([]byte{tc.family}, make([]byte, 15)...))
		if len(rs) != tc.items+1 || rs[len(rs)-1].typ != unix.NLMSG_DONE {
			t.Errorf("%s: %v", tc.name, types(rs))
			continue
		}
		for _, r := range rs[:tc.items] {
			if r.typ != tc.item || r.flags&unix.NLM_F_MULTI == 0 {
				t.Errorf("%s: type %d, flags %#x", tc.name, r.typ, r.flags)
			}
		}
	}
}

func TestLinkByName(t *testing.T) {
	c, s := setup(t, unix.NETLINK_ROUTE)
	var m message
	m.attrString(unix.IFLA_IFNAME, "lo")
	rs := ask(t, c, s, unix.RTM_GETLINK, 0, append(make([]byte, unix.SizeofIfInfomsg), m.b...))
	if len(rs) != 1 || rs[0].typ != unix.RTM_NEWLINK {
		t.Fatalf("%v", types(rs))
	}
	a := parseAttrs(rs[0].body[unix.SizeofIfInfomsg:])
	if mtu, _ := a.uint32(unix.IFLA_MTU); mtu != 65536 || a.str(unix.IFLA_IFNAME) != "lo" {
		t.Errorf("mtu %d, name %q", mtu, a.str(unix.IFLA_IFNAME))
	}
}

func TestChangeAddresses(t *testing.T) {
	c, s := setup(t, unix.NETLINK_ROUTE)
	p := netip.MustParsePrefix("10.9.8.7/24")
	var m message
	m.attr(unix.IFA_LOCAL, p.Addr().AsSlice())
	body := append([]byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0}, m.b...)
	for _, tc := range []struct {
		typ  uint16
		want unix.Errno
	}{{unix.RTM_NEWADDR, 0}, {unix.RTM_NEWADDR, unix.EEXIST}, {unix.RTM_DELADDR, 0}, {unix.RTM_DELADDR, unix.EADDRNOTAVAIL}} {
		rs := ask(t, c, s, tc.typ, unix.NLM_F_ACK, body)
		if len(rs) != 1 || rs[0].typ != unix.NLMSG_ERROR || errnoOf(rs[0]) != tc.want {
			t.Errorf("type %d: %v, want %v", tc.typ, rs, tc.want)
		}
	}
	cr := c.Creds().Copy()
	cr.Effective = 0
	c.SetCreds(cr)
	if rs := ask(t, c, s, unix.RTM_NEWADDR, 0, body); len(rs) != 1 || errnoOf(rs[0]) != unix.EPERM {
		t.Errorf("without capabilities: %v", rs)
	}
}

func TestQuietProtocols(t *testing.T) {
	c, s := setup(t, unix.NETLINK_AUDIT)
	if rs := ask(t, c, s, 1000, unix.NLM_F_ACK, make([]byte, 16)); len(rs) != 1 || errnoOf(rs[0]) != unix.ECONNREFUSED {
		t.Errorf("audit: %v", rs)
	}
	if _, err := New(c, s.ns, unix.SOCK_RAW, unix.NETLINK_NETFILTER); err != unix.EPROTONOSUPPORT {
		t.Errorf("netfilter: %v", err)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add(uint16(unix.RTM_GETLINK), uint16(unix.NLM_F_DUMP), []byte{0, 1, 2, 3})
	f.Add(uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_CREATE), make([]byte, 40))
	f.Add(uint16(unix.RTM_NEWLINK), uint16(0), make([]byte, 64))
	c := sockettest.New()
	ns, err := netns.New(c.Creds().UserNS)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typ, flags uint16, body []byte) {
		s, err := New(c, ns, unix.SOCK_RAW, unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Release(c)
		b := make([]byte, headerSize, headerSize+len(body))
		b = append(b, body...)
		binary.NativeEndian.PutUint32(b, uint32(len(b)))
		binary.NativeEndian.PutUint16(b[4:], typ)
		binary.NativeEndian.PutUint16(b[6:], flags|unix.NLM_F_REQUEST)
		s.Send(c, usermem.BytesSeq(b), &socket.SendArgs{})
	})
}
