package unixsock

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// maxInFlight bounds the descriptions that are under way in SCM_RIGHTS in the
// whole Sentry, where Linux counts by user against RLIMIT_NOFILE: descriptors
// nobody receives must not be a way round that limit.
const maxInFlight = 1 << 16

var inFlight atomic.Int64

// Read is recv without flags.
func (s *Socket) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	var r socket.Received
	return s.Recv(c, dst, 0, &r)
}

// Write is send without flags.
func (s *Socket) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	n, err := s.Send(c, src, &socket.SendArgs{})
	return n, off, err
}

// Send sends to the peer or, as a datagram, to m.To.
func (s *Socket) Send(c vfs.Caller, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if h := s.host.Load(); h != nil {
		return s.sendHost(c, h, src, m)
	}
	creds := socket.CredsOf(c)
	var files []*vfs.Description
	if ctl := m.Control; ctl != nil {
		files = ctl.Files
		if ctl.Creds != nil {
			creds = *ctl.Creds
		}
	}
	if s.stream() {
		return s.sendStream(c, src, m, creds, files)
	}
	return s.sendMessage(c, src, m, creds, files)
}

// takeFiles accounts for files that go into flight and takes references on
// them; undo gives both back.
func takeFiles(files []*vfs.Description) error {
	if len(files) == 0 {
		return nil
	}
	if inFlight.Add(int64(len(files))) > maxInFlight {
		inFlight.Add(-int64(len(files)))
		return unix.ETOOMANYREFS
	}
	for _, d := range files {
		d.IncRef()
	}
	return nil
}

func returnFiles(c vfs.Caller, files []*vfs.Description) {
	inFlight.Add(-int64(len(files)))
	for _, d := range files {
		d.DecRef(c)
	}
}

func (s *Socket) sendStream(c vfs.Caller, src usermem.Seq, m *socket.SendArgs, creds socket.PeerCreds, files []*vfs.Description) (int64, error) {
	p := s.peer.Load()
	if m.To != nil {
		if p != nil {
			return 0, unix.EISCONN
		}
		return 0, unix.EOPNOTSUPP
	}
	if p == nil {
		return 0, unix.ENOTCONN
	}
	if s.shut.Load()&shutWrite != 0 {
		return 0, s.brokenPipe(c, m)
	}
	if src.Len() == 0 {
		return 0, nil
	}
	if err := takeFiles(files); err != nil {
		return 0, err
	}
	n, err := p.in.putBytes(src, creds, files)
	if n == 0 {
		returnFiles(c, files)
		if err == unix.EPIPE {
			err = s.brokenPipe(c, m)
		}
		return 0, err
	}
	p.queue.Notify(wait.Readable)
	return n, nil
}

// brokenPipe raises SIGPIPE unless the caller asked not to.
func (s *Socket) brokenPipe(c vfs.Caller, m *socket.SendArgs) error {
	if m.Flags&unix.MSG_NOSIGNAL == 0 {
		c.SendSignal(int32(unix.SIGPIPE))
	}
	return unix.EPIPE
}

func (s *Socket) sendMessage(c vfs.Caller, src usermem.Seq, m *socket.SendArgs, creds socket.PeerCreds, files []*vfs.Description) (int64, error) {
	target := s.peer.Load()
	if m.To != nil && s.datagram() {
		to, err := s.resolve(c, m.To)
		if err != nil {
			return 0, err
		}
		target = to
	} else if m.To != nil && target == nil {
		return 0, unix.ENOTCONN
	}
	if target == nil {
		return 0, unix.ENOTCONN
	}
	if s.shut.Load()&shutWrite != 0 {
		return 0, unix.EPIPE
	}
	if s.passCred.Load() {
		if err := s.autobind(c); err != nil {
			return 0, err
		}
	}
	n := src.Len()
	if int64(n) > s.sndbuf.Load()-32 {
		return 0, unix.EMSGSIZE
	}
	tp := target.peer.Load()
	if s.datagram() && tp != nil && tp != s {
		return 0, unix.EPERM
	}
	if target.shut.Load()&shutRead != 0 && target.state.Load() != stateClosed {
		return 0, unix.EPIPE
	}
	// A message larger than what is left still goes if nothing is under way.
	if used := s.pending.Load(); used > 0 && used+int64(n)+messageCost > s.sndbuf.Load() {
		return 0, unix.EAGAIN
	}
	msg := &message{data: make([]byte, n), from: s.boundName(), sender: s, creds: creds, files: files}
	if got, err := src.CopyIn(msg.data); got < n {
		return 0, err
	}
	if err := takeFiles(files); err != nil {
		return 0, err
	}
	s.pending.Add(int64(n) + messageCost)
	if err := target.in.putMessage(msg, s.datagram() && tp != s && target != s); err != nil {
		s.pending.Add(-int64(n) - messageCost)
		returnFiles(c, files)
		if err == unix.ECONNREFUSED {
			err = s.peerGone(target)
		}
		return 0, err
	}
	target.queue.Notify(wait.Readable)
	return int64(n), nil
}

// peerGone forgets a datagram peer that was closed.
func (s *Socket) peerGone(target *Socket) error {
	if !s.datagram() {
		return unix.EPIPE
	}
	if s.peer.CompareAndSwap(target, nil) {
		s.mu.Lock()
		if s.state.Load() == stateConnected {
			s.state.Store(stateIdle)
		}
		s.mu.Unlock()
	}
	return unix.ECONNREFUSED
}

// Recv receives bytes or one message.
func (s *Socket) Recv(c vfs.Caller, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if h := s.host.Load(); h != nil {
		return s.recvHost(h, dst, flags, r)
	}
	if !s.datagram() && s.state.Load() != stateConnected {
		if s.stream() {
			return 0, unix.EINVAL
		}
		return 0, unix.ENOTCONN
	}
	var n int64
	var err error
	wantCreds := s.passCred.Load()
	if s.stream() {
		if dst.Len() == 0 {
			return 0, nil
		}
		var room bool
		var drop []*vfs.Description
		n, room, drop, err = s.in.takeBytes(dst, flags, wantCreds, r)
		r.Full = n
		if p := s.peer.Load(); room && p != nil {
			p.queue.Notify(wait.Writable)
		}
		for _, d := range drop {
			d.DecRef(c)
		}
	} else {
		var done *message
		n, done, err = s.in.takeMessage(dst, flags, wantCreds, r)
		if done != nil {
			done.drop(c)
		}
	}
	if err != unix.EAGAIN {
		return n, err
	}
	if e := s.err.Swap(0); e != 0 {
		return 0, unix.Errno(e)
	}
	if s.shut.Load()&shutRead != 0 && !s.in.any() {
		return 0, nil
	}
	return 0, unix.EAGAIN
}
