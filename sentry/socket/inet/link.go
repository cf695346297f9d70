package inet

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ring"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// keptRing is how much memory in bytes an emptied ring keeps, a power of two.
const keptRing = 64 << 10

// inFlight is how many bytes Linux has sent over its loopback when the reset for
// the first of them comes back.
const inFlight = 512 << 10

// link is one end of a TCP connection whose other end is a socket of the same
// namespace: bytes go from the one's system call into the other's ring, and no
// segment, acknowledgement or timer of tcpip comes into it. What an application
// sees is what tcp(7) and Linux's states make of a wire that loses nothing and
// takes no time.
//
// The socket's endpoint of tcpip stays, for its options and its claim on the
// port; its state means nothing then.
type link struct {
	s             *Socket
	peer          *link
	local, remote netip.AddrPort
	listener      *listener // of the end that connected: where it waits for room

	mu *sync.Mutex // of both ends; guards what follows
	in ring.Buffer // what the peer sent and nobody has read
	// up: there was room in the listener's queue, the connection is made.
	up bool
	// fin: the peer will send no more. dead: a reset ended the connection,
	// err is why and is cleared when it was reported.
	fin, dead bool
	err       unix.Errno
	// shut: this end will send no more. closed: the socket is gone, or, with
	// left, it disconnected.
	shut, closed, left bool
	// blocked: this end found no room to send and is to be told of some.
	blocked bool
}

// newLinks returns the two ends of a connection that is not up yet.
func newLinks(cl, sv *Socket, from, to netip.AddrPort) (c, v *link) {
	mu := new(sync.Mutex)
	c = &link{s: cl, local: from, remote: to, mu: mu}
	v = &link{s: sv, local: to, remote: from, mu: mu, peer: c}
	c.peer = v
	return c, v
}

// limit is how many bytes may be on their way to the peer: what both ends'
// buffers hold on Linux. mu is held.
func (l *link) limit() int64 {
	return l.s.endpoint().SocketOptions().GetSendBufferSize() + l.peer.buffer()
}

// buffer is the size in bytes of the receive buffer.
func (l *link) buffer() int64 { return l.s.endpoint().SocketOptions().GetReceiveBufferSize() }

// writable is sk_stream_is_writeable of Linux: a third of the room is free.
// mu is held.
func (l *link) writable() bool { return int64(l.peer.in.Len())*3 <= l.limit()*2 }

// report returns the error that ended the connection, once. mu is held.
func (l *link) report() unix.Errno {
	err := l.err
	l.err = 0
	return err
}

// reset ends the connection as a segment with RST does (tcp_reset of Linux).
// mu is held.
func (l *link) reset() {
	if l.dead {
		return
	}
	l.dead, l.err = true, unix.ECONNRESET
	if l.fin {
		l.err = unix.EPIPE
	}
}

// send takes bytes of src: EAGAIN if there is no room, EPIPE if nobody will
// read them; a caller who gets that has to be sent SIGPIPE.
func (l *link) send(src usermem.Seq) (int64, error) {
	l.mu.Lock()
	p := l.peer
	switch err := l.report(); {
	case err != 0:
		l.mu.Unlock()
		return 0, err
	case l.dead || l.shut:
		l.mu.Unlock()
		return 0, unix.EPIPE
	case !l.up:
		l.mu.Unlock()
		return 0, unix.EAGAIN
	case src.Len() == 0:
		l.mu.Unlock()
		return 0, nil // no segment, so nothing comes back
	case p.closed:
		// The bytes are sent, and what comes back is a reset.
		l.reset()
		l.mu.Unlock()
		l.s.queue.Notify(wait.Readable | wait.Writable | wait.RdHUp | wait.HUp | wait.Err)
		return min(int64(src.Len()), inFlight), nil
	}
	n, err := l.put(src)
	l.mu.Unlock()
	if n > 0 {
		p.s.queue.Notify(wait.Readable)
	}
	return n, err
}

// put copies as much of src as there is room for into the peer's ring. mu is
// held.
func (l *link) put(src usermem.Seq) (int64, error) {
	in := &l.peer.in
	room := l.limit() - int64(in.Len())
	if room <= 0 {
		l.blocked = true
		return 0, unix.EAGAIN
	}
	n := min(uint64(src.Len()), uint64(room))
	in.Reserve(n)
	pos, end := in.W, in.W+n
	for pos < end {
		b := in.At(pos, end-pos)
		m, err := src.CopyIn(b)
		src = src.Drop(m)
		pos += uint64(m)
		if err != nil && pos == in.W {
			return 0, err
		}
		if err != nil || m < len(b) {
			break
		}
	}
	n = pos - in.W
	in.W = pos
	return int64(n), nil
}

// recv gives bytes to dst, or throws as many away (MSG_TRUNC), and leaves them
// with MSG_PEEK. None without an error is the end.
func (l *link) recv(dst usermem.Seq, flags int) (int64, error) {
	l.mu.Lock()
	if l.in.Len() == 0 {
		defer l.mu.Unlock()
		if !l.fin {
			if err := l.report(); err != 0 {
				return 0, err
			}
		}
		if l.left {
			return 0, unix.ENOTCONN
		}
		if l.fin || l.dead || l.s.ended.Load()&1 != 0 {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	n, err := l.take(dst, flags)
	wake := l.peer.blocked && l.peer.writable()
	if wake {
		l.peer.blocked = false
	}
	l.mu.Unlock()
	if wake {
		l.peer.s.queue.Notify(wait.Writable)
	}
	return n, err
}

// take is recv of a ring that is not empty. mu is held.
func (l *link) take(dst usermem.Seq, flags int) (int64, error) {
	in := &l.in
	pos, end := in.R, in.R+min(uint64(dst.Len()), in.Len())
	for pos < end {
		b := in.At(pos, end-pos)
		m := len(b)
		var err error
		if flags&unix.MSG_TRUNC == 0 {
			m, err = dst.CopyOut(b)
			dst = dst.Drop(m)
		}
		pos += uint64(m)
		if err != nil && pos == in.R {
			return 0, err
		}
		if err != nil || m < len(b) {
			break
		}
	}
	n := int64(pos - in.R)
	if flags&unix.MSG_PEEK == 0 {
		in.R = pos
		if in.Len() == 0 {
			in.Shrink(keptRing)
		}
	}
	return n, nil
}

// poll is tcp_poll of Linux.
func (l *link) poll() (ev wait.Events) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up && !l.dead {
		return 0
	}
	ended := l.fin || l.dead || l.s.ended.Load()&1 != 0
	if ended {
		ev |= wait.Readable | wait.RdHUp
	}
	if l.in.Len() > 0 {
		ev |= wait.Readable
	}
	switch {
	case l.dead || l.shut || l.writable():
		ev |= wait.Writable
	default:
		l.blocked = true
	}
	if l.dead || ended && l.shut {
		ev |= wait.HUp
	}
	if l.err != 0 {
		ev |= wait.Err
	}
	return ev
}

// shutdown ends sending. ENOTCONN if the connection is over already.
func (l *link) shutdown(write bool) error {
	l.mu.Lock()
	if l.dead || !l.up || l.shut && l.fin {
		l.mu.Unlock()
		return unix.ENOTCONN
	}
	if write && !l.shut {
		l.shut = true
		l.peer.fin = true
	}
	l.mu.Unlock()
	if write {
		l.peer.s.queue.Notify(wait.Readable | wait.RdHUp | wait.HUp)
	}
	return nil
}

// close ends the connection, as a reset if abort is set or something was not
// read.
func (l *link) close(abort bool) {
	l.mu.Lock()
	p := l.peer
	switch {
	case l.closed:
		l.mu.Unlock()
		return
	case l.dead:
	case abort || l.in.Len() > 0:
		p.reset()
	default:
		p.fin = true
	}
	l.closed, l.shut = true, true
	l.in.Reset()
	l.mu.Unlock()
	p.s.queue.Notify(wait.Readable | wait.Writable | wait.RdHUp | wait.HUp | wait.Err)
}

// unacknowledged reports whether the peer has been sent more than its buffer
// holds, so that something of it would be here still.
func (l *link) unacknowledged() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peer
	return !p.closed && !l.dead && int64(p.in.Len()) > p.buffer()
}

// queued returns how many bytes wait to be read here (SIOCINQ) and there
// (SIOCOUTQ counts what the peer's buffer does not hold).
func (l *link) queued() (in, out int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.in.Len()), int(max(int64(l.peer.in.Len())-l.peer.buffer(), 0))
}

// State numbers of tcp_states.h.
const (
	tcpEstablished = 1
	tcpSynSent     = 2
	tcpFinWait2    = 5
	tcpClose       = 7
	tcpCloseWait   = 8
)

// state is the state TCP_INFO tells.
func (l *link) state() uint8 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.dead || l.shut && l.fin:
		return tcpClose
	case !l.up:
		return tcpSynSent
	case l.shut:
		return tcpFinWait2
	case l.fin:
		return tcpCloseWait
	}
	return tcpEstablished
}

// connected returns how the attempt to connect ended, EAGAIN if it has not, and
// whether it may be made again.
func (l *link) connected() (again bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.up: // what came after is for the next call to tell
		return false, nil
	case l.dead:
		if errno := l.report(); errno != 0 {
			return true, errno
		}
		return true, unix.ECONNABORTED
	}
	return false, unix.EAGAIN
}

// giveUp leaves an end that disconnected as Linux leaves it: closed, with an
// error to report, and free to connect again.
func (l *link) giveUp() {
	l.mu.Lock()
	l.dead, l.fin, l.left, l.err = true, false, true, unix.ECONNRESET
	l.mu.Unlock()
	l.s.queue.Notify(wait.Readable | wait.Writable | wait.RdHUp | wait.HUp | wait.Err)
}

// over reports whether the socket may connect anew.
func (l *link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// sent is send for a task, which gets SIGPIPE with EPIPE.
func (l *link) sent(c vfs.Caller, src usermem.Seq, flags int) (int64, error) {
	n, err := l.send(src)
	if err == unix.EPIPE {
		err = l.s.brokenPipe(c, flags)
	}
	return n, err
}
