package inet

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/socket/sockettest"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

func setup(t *testing.T) (*sockettest.Caller, *netns.Namespace) {
	t.Helper()
	c := sockettest.New()
	ns, err := netns.New(c.Creds().UserNS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.DecRef)
	return c, ns
}

// loopback is 127.0.0.1 or ::1 as a struct sockaddr.
func loopback(family int, port uint16) []byte {
	b := make([]byte, sizeofIn)
	if family == unix.AF_INET6 {
		b = make([]byte, sizeofIn6)
		b[23] = 1
	} else {
		copy(b[4:], []byte{127, 0, 0, 1})
	}
	binary.NativeEndian.PutUint16(b, uint16(family))
	binary.BigEndian.PutUint16(b[2:], port)
	return b
}

func open(t *testing.T, c *sockettest.Caller, ns *netns.Namespace, family, typ int) *Socket {
	t.Helper()
	s, err := New(c, ns, family, typ, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(c *sockettest.Caller, s socket.Socket, data string, to []byte) (int64, error) {
	return s.Send(c, usermem.BytesSeq([]byte(data)), &socket.SendArgs{To: to})
}

// recv waits for something to receive.
func recv(c *sockettest.Caller, s socket.Socket, n, flags int) (string, socket.Received, error) {
	c.Await(s.Queue(), wait.Readable|wait.HUp|wait.Err, func() bool { return s.Poll(wait.Readable) != 0 })
	b := make([]byte, n)
	r := socket.Received{WantFrom: true, WantControl: true}
	m, err := s.Recv(c, usermem.BytesSeq(b), flags, &r)
	return string(b[:min(int(m), n)]), r, err
}

// connected returns the two ends of a TCP connection.
func connected(t *testing.T, c *sockettest.Caller, ns *netns.Namespace, family int) (cl, sv socket.Socket) {
	t.Helper()
	l := open(t, c, ns, family, unix.SOCK_STREAM)
	defer l.Release(c)
	if err := l.Bind(c, loopback(family, 0)); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(c, 5); err != nil {
		t.Fatal(err)
	}
	name, _ := l.Name(c, false)
	s := open(t, c, ns, family, unix.SOCK_STREAM)
	if err := s.Connect(c, name); err != unix.EINPROGRESS {
		t.Fatalf("connect: %v", err)
	}
	if !c.Await(s.Queue(), wait.Writable, func() bool { return s.Poll(wait.Out) != 0 }) {
		t.Fatal("not connected")
	}
	if err := s.Connected(); err != nil {
		t.Fatal(err)
	}
	c.Await(l.Queue(), wait.Readable, func() bool { return l.Poll(wait.In) != 0 })
	n, from, err := l.Accept(c)
	if err != nil {
		t.Fatal(err)
	}
	if own, _ := s.Name(c, false); string(own) != string(from) {
		t.Errorf("accepted from %v, client is %v", from, own)
	}
	return s, n
}

func TestTCP(t *testing.T) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		c, ns := setup(t)
		cl, sv := connected(t, c, ns, family)
		if n, err := send(c, cl, "hello", nil); n != 5 || err != nil {
			t.Errorf("send %d, %v", n, err)
		}
		if s, _, err := recv(c, sv, 3, unix.MSG_PEEK); s != "hel" || err != nil {
			t.Errorf("peek %q, %v", s, err)
		}
		if s, _, err := recv(c, sv, 10, 0); s != "hello" || err != nil {
			t.Errorf("recv %q, %v", s, err)
		}
		if _, err := sv.Recv(c, usermem.BytesSeq(make([]byte, 1)), 0, &socket.Received{}); err != unix.EAGAIN {
			t.Errorf("empty: %v", err)
		}
		cl.Shutdown(c, unix.SHUT_WR)
		if s, _, err := recv(c, sv, 10, 0); s != "" || err != nil {
			t.Errorf("end: %q, %v", s, err)
		}
		if ev := sv.Poll(wait.In | wait.Out | wait.RdHUp | wait.HUp | wait.Err); ev != wait.In|wait.Out|wait.RdHUp {
			t.Errorf("half closed polls %#x", ev)
		}
		if _, err := send(c, cl, "x", nil); err != unix.EPIPE || len(c.Signals()) != 1 {
			t.Errorf("send after shutdown: %v", err)
		}
		cl.Release(c)
		sv.Release(c)
	}
}

func TestRefused(t *testing.T) {
	c, ns := setup(t)
	s := open(t, c, ns, unix.AF_INET, unix.SOCK_STREAM)
	defer s.Release(c)
	if ev := s.Poll(wait.In | wait.Out | wait.HUp | wait.Err); ev != wait.Out|wait.HUp {
		t.Errorf("fresh socket polls %#x", ev)
	}
	err := s.Connect(c, loopback(unix.AF_INET, 9))
	if err == unix.EINPROGRESS {
		c.Await(s.Queue(), wait.Writable|wait.Err|wait.HUp, func() bool { return s.Poll(wait.Out) != 0 })
		if s.Poll(wait.Err) == 0 {
			t.Error("no error event")
		}
		err = s.Connected()
	}
	if err != unix.ECONNREFUSED {
		t.Errorf("connect: %v", err)
	}
	if v, _ := s.GetOption(c, unix.SOL_SOCKET, unix.SO_ERROR, 4); binary.NativeEndian.Uint32(v) != 0 {
		t.Errorf("the error was reported twice: %v", v)
	}
}

func TestConnectAgain(t *testing.T) {
	c, ns := setup(t)
	s := open(t, c, ns, unix.AF_INET, unix.SOCK_STREAM)
	defer s.Release(c)
	s.SetOption(c, unix.SOL_TCP, unix.TCP_NODELAY, socket.Int32(1))
	try := func() error {
		err := s.Connect(c, loopback(unix.AF_INET, 999))
		if err == unix.EINPROGRESS {
			c.Await(s.Queue(), wait.Writable|wait.Err|wait.HUp, func() bool { return s.Poll(wait.Out) != 0 })
			err = s.Connected()
		}
		return err
	}
	for range 3 {
		if err := try(); err != unix.ECONNREFUSED {
			t.Fatalf("connect: %v", err)
		}
	}
	l := open(t, c, ns, unix.AF_INET, unix.SOCK_STREAM)
	defer l.Release(c)
	l.Bind(c, loopback(unix.AF_INET, 999))
	l.Listen(c, 1)
	if err := try(); err != nil {
		t.Fatalf("connect once there is a listener: %v", err)
	}
	if v, _ := s.GetOption(c, unix.SOL_TCP, unix.TCP_NODELAY, 4); binary.NativeEndian.Uint32(v) != 1 {
		t.Error("an option was lost")
	}
}

func TestUDP(t *testing.T) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		c, ns := setup(t)
		srv := open(t, c, ns, family, unix.SOCK_DGRAM)
		cl := open(t, c, ns, family, unix.SOCK_DGRAM)
		srv.Bind(c, loopback(family, 5353))
		if _, err := send(c, cl, "x", nil); err != unix.EDESTADDRREQ {
			t.Errorf("no destination: %v", err)
		}
		send(c, cl, "query", loopback(family, 5353))
		s, r, err := recv(c, srv, 3, 0)
		if s != "que" || err != nil || r.Flags&unix.MSG_TRUNC == 0 || r.Full != 5 {
			t.Errorf("recv %q, %v, flags %#x, full %d", s, err, r.Flags, r.Full)
		}
		if _, err := send(c, srv, "", r.From); err != nil {
			t.Errorf("empty datagram: %v", err)
		}
		if s, _, err := recv(c, cl, 10, 0); s != "" || err != nil {
			t.Errorf("empty datagram: %q, %v", s, err)
		}
		cl.Release(c)
		srv.Release(c)
	}
}

func TestMappedAddresses(t *testing.T) {
	c, ns := setup(t)
	srv := open(t, c, ns, unix.AF_INET6, unix.SOCK_DGRAM)
	defer srv.Release(c)
	cl := open(t, c, ns, unix.AF_INET, unix.SOCK_DGRAM)
	defer cl.Release(c)
	any6 := make([]byte, sizeofIn6)
	binary.NativeEndian.PutUint16(any6, unix.AF_INET6)
	binary.BigEndian.PutUint16(any6[2:], 7000)
	if err := srv.Bind(c, any6); err != nil {
		t.Fatal(err)
	}
	send(c, cl, "four", loopback(unix.AF_INET, 7000))
	s, r, err := recv(c, srv, 10, 0)
	if s != "four" || err != nil || len(r.From) != sizeofIn6 || r.From[18] != 0xff || r.From[19] != 0xff || r.From[20] != 127 {
		t.Errorf("%q from %v, %v", s, r.From, err)
	}
	if _, err := send(c, srv, "back", r.From); err != nil {
		t.Errorf("to a mapped address: %v", err)
	}
	if s, _, _ := recv(c, cl, 10, 0); s != "back" {
		t.Errorf("got %q", s)
	}
}

func TestBindErrors(t *testing.T) {
	c, ns := setup(t)
	taken := open(t, c, ns, unix.AF_INET, unix.SOCK_STREAM)
	defer taken.Release(c)
	taken.Bind(c, loopback(unix.AF_INET, 8080))
	taken.Listen(c, 1)
	foreign := loopback(unix.AF_INET, 1)
	copy(foreign[4:], []byte{192, 0, 2, 1})
	plain := &auth.Credentials{EUID: 1000, UserNS: c.Creds().UserNS}
	for _, tc := range []struct {
		name string
		addr []byte
		cr   *auth.Credentials
		want error
	}{
		{"short", []byte{2, 0, 0}, c.Creds(), unix.EINVAL},
		{"family", loopback(unix.AF_INET6, 1)[:16], c.Creds(), unix.EAFNOSUPPORT},
		{"taken", loopback(unix.AF_INET, 8080), c.Creds(), unix.EADDRINUSE},
		{"foreign", foreign, c.Creds(), unix.EADDRNOTAVAIL},
		{"privileged", loopback(unix.AF_INET, 80), plain, unix.EACCES},
		{"good", loopback(unix.AF_INET, 0), plain, nil},
	} {
		s := open(t, c, ns, unix.AF_INET, unix.SOCK_STREAM)
		root := c.Creds()
		c.SetCreds(tc.cr)
		if err := s.Bind(c, tc.addr); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		c.SetCreds(root)
		s.Release(c)
	}
}

func TestOptions(t *testing.T) {
	c, ns := setup(t)
	s := open(t, c, ns, unix.AF_INET6, unix.SOCK_STREAM)
	defer s.Release(c)
	for _, tc := range []struct{ level, name, set, get int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, 1}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 5, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, 65536, 131072}, {unix.SOL_SOCKET, unix.SO_SNDBUF, 65536, 131072},
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, 1},
		{unix.SOL_TCP, unix.TCP_NODELAY, 1, 1}, {unix.SOL_TCP, unix.TCP_KEEPIDLE, 33, 33},
		{unix.SOL_TCP, unix.TCP_KEEPINTVL, 7, 7}, {unix.SOL_TCP, unix.TCP_KEEPCNT, 3, 3},
		{unix.SOL_TCP, unix.TCP_USER_TIMEOUT, 1500, 1500}, {unix.SOL_TCP, unix.TCP_CORK, 1, 1},
		{unix.SOL_TCP, unix.TCP_FASTOPEN, 16, 16}, {unix.SOL_IP, unix.IP_TOS, 16, 16},
		{unix.SOL_IPV6, unix.IPV6_V6ONLY, 1, 1}, {unix.SOL_IPV6, unix.IPV6_TCLASS, 8, 8},
	} {
		if err := s.SetOption(c, tc.level, tc.name, socket.Int32(tc.set)); err != nil {
			t.Errorf("set %d/%d: %v", tc.level, tc.name, err)
			continue
		}
		v, err := s.GetOption(c, tc.level, tc.name, 4)
		if err != nil || int(binary.NativeEndian.Uint32(v)) != tc.get {
			t.Errorf("get %d/%d: %v, %v, want %d", tc.level, tc.name, v, err, tc.get)
		}
	}
	if v, err := s.GetOption(c, unix.SOL_TCP, unix.TCP_INFO, 256); err != nil || v[0] != 7 {
		t.Errorf("tcp_info of a closed socket: %v, %v", v, err)
	}
	// No length and no option may do worse than fail.
	for level := range 300 {
		for name := range 100 {
			s.SetOption(c, level, name, []byte{1, 2})
			s.SetOption(c, level, name, nil)
		}
	}
}
