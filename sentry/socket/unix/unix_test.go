package unixsock

import (
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/eventfd"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/socket/sockettest"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
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

func pair(t *testing.T, typ int) (*sockettest.Caller, *Socket, *Socket) {
	t.Helper()
	c, ns := setup(t)
	a, b, err := NewPair(c, ns, typ, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c, a, b
}

func send(c vfs.Caller, s *Socket, data string, m *socket.SendArgs) (int64, error) {
	if m == nil {
		m = &socket.SendArgs{}
	}
	return s.Send(c, usermem.BytesSeq([]byte(data)), m)
}

func recv(c vfs.Caller, s *Socket, n, flags int) (string, socket.Received, error) {
	b := make([]byte, n)
	r := socket.Received{WantControl: true, WantFrom: true}
	m, err := s.Recv(c, usermem.BytesSeq(b), flags, &r)
	return string(b[:m]), r, err
}

func TestStream(t *testing.T) {
	c, a, b := pair(t, unix.SOCK_STREAM)
	send(c, a, "one ", nil)
	send(c, a, "two", nil)
	if s, _, err := recv(c, b, 4, unix.MSG_PEEK); s != "one " || err != nil {
		t.Errorf("peek %q, %v", s, err)
	}
	if s, _, err := recv(c, b, 100, 0); s != "one two" || err != nil {
		t.Errorf("recv %q, %v", s, err)
	}
	if _, _, err := recv(c, b, 1, 0); err != unix.EAGAIN {
		t.Errorf("empty: %v", err)
	}
	a.Shutdown(c, unix.SHUT_WR)
	if s, _, err := recv(c, b, 1, 0); s != "" || err != nil {
		t.Errorf("end: %q, %v", s, err)
	}
	if ev := b.Poll(wait.All &^ wait.WrBand); ev != wait.Readable|wait.RdHUp|wait.Writable {
		t.Errorf("poll %#x", ev)
	}
	if _, err := send(c, a, "x", nil); err != unix.EPIPE || len(c.Signals()) != 1 {
		t.Errorf("send after shutdown: %v", err)
	}
	if _, err := send(c, a, "x", &socket.SendArgs{Flags: unix.MSG_NOSIGNAL}); err != unix.EPIPE || len(c.Signals()) != 0 {
		t.Errorf("send without signal: %v", err)
	}
}

func TestStreamFull(t *testing.T) {
	c, a, b := pair(t, unix.SOCK_STREAM)
	n, err := send(c, a, string(make([]byte, 1<<20)), nil)
	if n != socket.DefaultBuffer || err != nil {
		t.Fatalf("send %d, %v", n, err)
	}
	if _, err := send(c, a, "x", nil); err != unix.EAGAIN {
		t.Errorf("full: %v", err)
	}
	if a.Poll(wait.Out) != 0 {
		t.Error("full and writable")
	}
	recv(c, b, socket.DefaultBuffer, 0)
	if a.Poll(wait.Out) == 0 {
		t.Error("empty and not writable")
	}
}

func TestPeerCloses(t *testing.T) {
	c, a, b := pair(t, unix.SOCK_STREAM)
	send(c, b, "bye", nil)
	send(c, a, "unread", nil)
	b.Release(c)
	if ev := a.Poll(wait.All); ev&(wait.HUp|wait.Err|wait.RdHUp) != wait.HUp|wait.Err|wait.RdHUp {
		t.Errorf("poll %#x", ev)
	}
	if s, _, err := recv(c, a, 10, 0); s != "bye" || err != nil {
		t.Errorf("recv %q, %v", s, err)
	}
	if _, _, err := recv(c, a, 10, 0); err != unix.ECONNRESET {
		t.Errorf("reset: %v", err)
	}
	if s, _, err := recv(c, a, 10, 0); s != "" || err != nil {
		t.Errorf("end: %q, %v", s, err)
	}
}

func TestMessages(t *testing.T) {
	for _, typ := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c, a, b := pair(t, typ)
		send(c, a, "first", nil)
		send(c, a, "", nil)
		send(c, a, "last", nil)
		s, r, err := recv(c, b, 3, 0)
		if s != "fir" || err != nil || r.Flags&unix.MSG_TRUNC == 0 || r.Full != 5 {
			t.Errorf("type %d: %q, %v, flags %#x, full %d", typ, s, err, r.Flags, r.Full)
		}
		if s, _, err := recv(c, b, 10, 0); s != "" || err != nil {
			t.Errorf("type %d: empty message %q, %v", typ, s, err)
		}
		if s, _, err := recv(c, b, 10, 0); s != "last" || err != nil {
			t.Errorf("type %d: %q, %v", typ, s, err)
		}
		if _, err := send(c, a, string(make([]byte, 300000)), nil); err != unix.EMSGSIZE {
			t.Errorf("type %d: too long: %v", typ, err)
		}
		b.Release(c)
		want := unix.EPIPE
		if typ == unix.SOCK_DGRAM {
			want = unix.ECONNREFUSED
		}
		if _, err := send(c, a, "x", nil); err != want {
			t.Errorf("type %d: peer gone: %v", typ, err)
		}
	}
}

// description returns a file to pass on.
func description() *vfs.Description {
	return vfs.NewAnonDescription(eventfd.New(0, false), "anon_inode:[eventfd]", 0600, unix.O_RDWR)
}

func TestRights(t *testing.T) {
	c, a, b := pair(t, unix.SOCK_STREAM)
	d := description()
	send(c, a, "aa", nil)
	send(c, a, "bb", &socket.SendArgs{Control: &socket.Control{Files: []*vfs.Description{d}}})
	send(c, a, "cc", nil)
	for i, want := range []struct {
		data  string
		files int
	}{{"aabb", 1}, {"cc", 0}} {
		s, r, err := recv(c, b, 100, 0)
		files := 0
		if r.Control != nil {
			files = len(r.Control.Files)
		}
		if s != want.data || files != want.files || err != nil {
			t.Errorf("recv %d: %q with %d files, %v", i, s, files, err)
		}
		r.Control.Drop(c)
	}
	if n := inFlight.Load(); n != 0 {
		t.Errorf("%d files in flight", n)
	}
}

func TestRightsDropped(t *testing.T) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		c, a, b := pair(t, typ)
		for range 3 {
			d := description()
			send(c, a, "x", &socket.SendArgs{Control: &socket.Control{Files: []*vfs.Description{d}}})
			d.DecRef(c)
		}
		var r socket.Received
		b.Recv(c, usermem.BytesSeq(make([]byte, 1)), 0, &r)
		if r.Flags&unix.MSG_CTRUNC == 0 {
			t.Errorf("type %d: files lost without MSG_CTRUNC", typ)
		}
		b.Release(c)
		a.Release(c)
		if n := inFlight.Load(); n != 0 {
			t.Errorf("type %d: %d files in flight", typ, n)
		}
	}
}

func TestCredentials(t *testing.T) {
	c, a, b := pair(t, unix.SOCK_STREAM)
	b.SetOption(c, unix.SOL_SOCKET, unix.SO_PASSCRED, socket.Int32(1))
	send(c, a, "mine", nil)
	send(c, a, "other", &socket.SendArgs{Control: &socket.Control{Creds: &socket.PeerCreds{PID: 7, UID: 8, GID: 9}}})
	for _, want := range []struct {
		data string
		cr   socket.PeerCreds
	}{{"mine", socket.PeerCreds{PID: 1}}, {"other", socket.PeerCreds{PID: 7, UID: 8, GID: 9}}} {
		s, r, _ := recv(c, b, 100, 0)
		if s != want.data || r.Control == nil || r.Control.Creds == nil || *r.Control.Creds != want.cr {
			t.Errorf("%q with %+v, want %+v", s, r.Control, want)
		}
	}
}

func abstract(name string) []byte { return append(append(noName(), 0), name...) }

func TestConnectAccept(t *testing.T) {
	c, ns := setup(t)
	l, _ := New(c, ns, unix.SOCK_STREAM, 0)
	cl, _ := New(c, ns, unix.SOCK_STREAM, 0)
	if ev := cl.Poll(wait.All &^ wait.WrBand); ev != wait.HUp|wait.Writable {
		t.Errorf("fresh socket polls %#x", ev)
	}
	if err := cl.Connect(c, abstract("s")); err != unix.ECONNREFUSED {
		t.Errorf("nobody there: %v", err)
	}
	if err := l.Listen(c, 0); err != unix.EINVAL {
		t.Errorf("listen unbound: %v", err)
	}
	if err := l.Bind(c, abstract("s")); err != nil {
		t.Fatal(err)
	}
	if err := cl.Connect(c, abstract("s")); err != unix.ECONNREFUSED {
		t.Errorf("not listening: %v", err)
	}
	if err := l.Listen(c, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Accept(c); err != unix.EAGAIN {
		t.Errorf("accept: %v", err)
	}
	if err := cl.Connect(c, abstract("s")); err != nil {
		t.Fatal(err)
	}
	if err := cl.Connect(c, abstract("s")); err != unix.EISCONN {
		t.Errorf("connect twice: %v", err)
	}
	second, _ := New(c, ns, unix.SOCK_STREAM, 0)
	if err := second.Connect(c, abstract("s")); err != unix.EAGAIN {
		t.Errorf("backlog: %v", err)
	}
	send(c, cl, "early", nil)
	sv, _, err := l.Accept(c)
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err := recv(c, sv.(*Socket), 10, 0); s != "early" || err != nil {
		t.Errorf("recv %q, %v", s, err)
	}
	if name, _ := cl.Name(c, true); string(name) != string(abstract("s")) {
		t.Errorf("peer name %q", name)
	}
	if err := second.Connect(c, abstract("s")); err != nil {
		t.Errorf("after accept: %v", err)
	}
	l.Release(c)
	if _, _, err := recv(c, second, 1, 0); err != unix.ECONNRESET {
		t.Errorf("listener closed: %v", err)
	}
	other, _ := New(c, ns, unix.SOCK_STREAM, 0)
	if err := other.Bind(c, abstract("s")); err != nil {
		t.Errorf("name is not free again: %v", err)
	}
}

func TestDatagramsToName(t *testing.T) {
	c, ns := setup(t)
	srv, _ := New(c, ns, unix.SOCK_DGRAM, 0)
	cl, _ := New(c, ns, unix.SOCK_DGRAM, 0)
	srv.Bind(c, abstract("d"))
	cl.Bind(c, noName())
	to := &socket.SendArgs{To: abstract("d")}
	n := 0
	for ; n < 100; n++ {
		if _, err := send(c, cl, "m", to); err != nil {
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			break
		}
	}
	if n != maxMessages+1 {
		t.Errorf("%d datagrams queued", n)
	}
	_, r, _ := recv(c, srv, 10, 0)
	if name, _ := cl.Name(c, false); string(r.From) != string(name) || len(name) != 2+6 {
		t.Errorf("from %q, sender is %q", r.From, name)
	}
	if _, err := send(c, cl, "m", to); err != nil {
		t.Errorf("after a receive: %v", err)
	}
	if _, err := send(c, cl, "m", nil); err != unix.ENOTCONN {
		t.Errorf("no destination: %v", err)
	}
	stream, _ := New(c, ns, unix.SOCK_STREAM, 0)
	if err := stream.Connect(c, abstract("d")); err != unix.ECONNREFUSED {
		t.Errorf("wrong type: %v", err)
	}
}

func TestBadAddresses(t *testing.T) {
	c, ns := setup(t)
	s, _ := New(c, ns, unix.SOCK_STREAM, 0)
	for _, b := range [][]byte{nil, {1}, {2, 0, 'x'}, make([]byte, 200)} {
		if err := s.Bind(c, b); err != unix.EINVAL {
			t.Errorf("bind %v: %v", b, err)
		}
		if err := s.Connect(c, b); err != unix.EINVAL {
			t.Errorf("connect %v: %v", b, err)
		}
	}
}

// A steady stream costs no allocation.
func TestStreamAllocs(t *testing.T) {
	c, a, b := pair(t, unix.SOCK_STREAM)
	src, dst := usermem.BytesSeq(make([]byte, 512)), usermem.BytesSeq(make([]byte, 512))
	args, got := &socket.SendArgs{}, &socket.Received{}
	if n := testing.AllocsPerRun(100, func() {
		if n, err := a.Send(c, src, args); n != 512 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := b.Recv(c, dst, 0, got); n != 512 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a send and a receive", n)
	}
}
