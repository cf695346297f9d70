package unixsock

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ring"
	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

const (
	// maxMessages is net.unix.max_dgram_qlen: how many datagrams a socket
	// queues from senders it is not connected to.
	maxMessages = 10
	// messageCost is what a message counts against the send buffer beside its
	// data, about what a buffer header costs Linux.
	messageCost = 768
)

// inbox is what a socket has been sent and has not received: bytes with marks
// for streams, messages for the others.
type inbox struct {
	mu     sync.Mutex
	closed bool // the receiver is gone

	// Streams.
	bytes ring.Buffer
	limit int64 // the sender's send buffer
	marks []mark
	creds socket.PeerCreds // of the writer of the byte before the first mark

	// Messages.
	queue   []*message
	blocked []*Socket // senders to be told when there is room
}

// mark says that the bytes [pos, end) were written with something beside them.
type mark struct {
	pos, end uint64
	newCreds bool
	creds    socket.PeerCreds
	files    []*vfs.Description
}

// message is a datagram or sequenced packet.
type message struct {
	data   []byte
	from   []byte
	sender *Socket
	creds  socket.PeerCreds
	files  []*vfs.Description
}

// drop releases what a message carries. No lock is held.
func (m *message) drop(c vfs.Caller) {
	if m.sender != nil {
		m.sender.received(int64(len(m.data)))
	}
	for _, d := range m.files {
		d.DecRef(c)
	}
	inFlight.Add(-int64(len(m.files)))
}

// received takes n bytes of a message off the sender's account.
func (s *Socket) received(n int64) {
	if left := s.pending.Add(-(n + messageCost)); left*4 <= s.sndbuf.Load() {
		s.queue.Notify(wait.Writable)
	}
}

// any tells whether there is something to receive.
func (in *inbox) any() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bytes.Len() > 0 || len(in.queue) > 0
}

// writable tells whether poll calls the sender of a stream writable. in.mu is held.
func (in *inbox) writable() bool {
	return in.closed || int64(in.bytes.Len())*4 <= in.limit
}

// crowded tells whether a stranger must wait. in.mu is held.
func (in *inbox) crowded() bool { return len(in.queue) > maxMessages }

// blockLocked remembers to tell s when there is room. in.mu is held.
func (in *inbox) blockLocked(s *Socket) {
	for _, b := range in.blocked {
		if b == s {
			return
		}
	}
	in.blocked = append(in.blocked, s)
}

// close empties the inbox for good and returns what has to be dropped.
func (in *inbox) close() (unread bool, gone []*message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	unread = in.bytes.Len() > 0 || len(in.queue) > 0
	gone = in.queue
	for i := range in.marks {
		if len(in.marks[i].files) > 0 {
			gone = append(gone, &message{files: in.marks[i].files})
		}
	}
	in.queue, in.marks = nil, nil
	in.bytes.Reset()
	for _, b := range in.blocked {
		b.queue.Notify(wait.Writable)
	}
	in.blocked = nil
	return unread, gone
}

// putBytes appends as much of src as fits. EPIPE if nobody will read it.
func (in *inbox) putBytes(src usermem.Seq, creds socket.PeerCreds, files []*vfs.Description) (int64, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return 0, unix.EPIPE
	}
	free := in.limit - int64(in.bytes.Len())
	n := uint64(src.Len())
	if free <= 0 {
		return 0, unix.EAGAIN
	}
	n = min(n, uint64(free))
	in.bytes.Reserve(n)
	pos, end := in.bytes.W, in.bytes.W+n
	var err error
	for pos < end && err == nil {
		b := in.bytes.At(pos, end-pos)
		var m int
		m, err = src.CopyIn(b)
		src = src.Drop(m)
		pos += uint64(m)
		if m < len(b) {
			break
		}
	}
	if pos == in.bytes.W {
		return 0, err
	}
	last := in.creds
	for i := len(in.marks) - 1; i >= 0; i-- {
		if in.marks[i].newCreds {
			last = in.marks[i].creds
			break
		}
	}
	if len(files) > 0 || creds != last {
		in.marks = append(in.marks, mark{pos: in.bytes.W, end: pos, newCreds: creds != last, creds: creds, files: files})
	}
	done := int64(pos - in.bytes.W)
	in.bytes.W = pos
	return done, nil
}

// takeBytes receives into dst up to the next boundary. EAGAIN if there is
// nothing. room tells whether the sender may be called writable again.
func (in *inbox) takeBytes(dst usermem.Seq, flags int, wantCreds bool, r *socket.Received) (n int64, room bool, drop []*vfs.Description, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.bytes.Len() == 0 {
		return 0, false, nil, unix.EAGAIN
	}
	peek := flags&unix.MSG_PEEK != 0
	limit := min(uint64(dst.Len()), in.bytes.Len())
	creds := in.creds
	var files []*vfs.Description
	used := 0
	for i := range in.marks {
		m := &in.marks[i]
		if at := m.pos - in.bytes.R; m.pos > in.bytes.R {
			if wantCreds && m.newCreds {
				limit = min(limit, at)
			}
			if at >= limit {
				break
			}
		}
		if m.newCreds {
			creds = m.creds
		}
		used = i + 1
		if len(m.files) > 0 {
			// What was sent with files is received with them, and nothing after.
			files = m.files
			limit = min(limit, m.end-in.bytes.R)
			break
		}
	}
	end := in.bytes.R + limit
	pos := in.bytes.R
	for pos < end && err == nil {
		b := in.bytes.At(pos, end-pos)
		var m int
		if flags&unix.MSG_TRUNC != 0 {
			m = len(b) // discarded, as for TCP
		} else {
			m, err = dst.CopyOut(b)
			dst = dst.Drop(m)
		}
		pos += uint64(m)
		if m < len(b) {
			break
		}
	}
	n = int64(pos - in.bytes.R)
	if n == 0 && limit > 0 {
		return 0, false, nil, err
	}
	if wantCreds || len(files) > 0 {
		r.Control = &socket.Control{}
		if wantCreds {
			cr := creds
			r.Control.Creds = &cr
		}
	}
	drop = in.handFiles(files, peek, r)
	if peek {
		return n, false, drop, nil
	}
	in.bytes.R = pos
	in.creds = creds
	// A mark whose byte was reached has served.
	in.marks = in.marks[used:]
	if len(in.marks) == 0 {
		in.marks = nil
	}
	return n, in.writable(), drop, nil
}

// handFiles gives files to the receiver: copies of the references when
// peeking, nothing (and what is to be dropped) if it did not ask.
func (in *inbox) handFiles(files []*vfs.Description, peek bool, r *socket.Received) (drop []*vfs.Description) {
	if len(files) == 0 {
		return nil
	}
	if !r.WantControl {
		r.Flags |= unix.MSG_CTRUNC
		if peek {
			return nil
		}
		inFlight.Add(-int64(len(files)))
		return files
	}
	if r.Control == nil {
		r.Control = &socket.Control{}
	}
	r.Control.Files = files
	if peek {
		r.Control.Files = append([]*vfs.Description(nil), files...)
		for _, d := range files {
			d.IncRef()
		}
		return nil
	}
	inFlight.Add(-int64(len(files)))
	return nil
}

// putMessage queues m. ECONNREFUSED if nobody will receive it, EAGAIN if the
// sender has to wait, who is then told.
func (in *inbox) putMessage(m *message, stranger bool) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return unix.ECONNREFUSED
	}
	if stranger && in.crowded() {
		in.blockLocked(m.sender)
		return unix.EAGAIN
	}
	in.queue = append(in.queue, m)
	return nil
}

// takeMessage receives one message. The message is returned for the caller to
// drop once no lock is held, nil when peeking.
func (in *inbox) takeMessage(dst usermem.Seq, flags int, wantCreds bool, r *socket.Received) (n int64, done *message, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) == 0 {
		return 0, nil, unix.EAGAIN
	}
	m := in.queue[0]
	copied, err := dst.CopyOut(m.data)
	if copied < min(len(m.data), dst.Len()) && err != nil {
		return 0, nil, err
	}
	r.Full = int64(len(m.data))
	if copied < len(m.data) {
		r.Flags |= unix.MSG_TRUNC
	}
	r.From = m.from
	if wantCreds {
		cr := m.creds
		r.Control = &socket.Control{Creds: &cr}
	}
	peek := flags&unix.MSG_PEEK != 0
	if drop := in.handFiles(m.files, peek, r); !peek {
		if drop != nil {
			inFlight.Add(int64(len(drop))) // message.drop takes them off again
		}
		m.files = drop
		in.queue[0] = nil
		in.queue = in.queue[1:]
		if len(in.queue) == 0 {
			in.queue = nil
		}
		if !in.crowded() {
			for _, b := range in.blocked {
				b.queue.Notify(wait.Writable)
			}
			in.blocked = nil
		}
		done = m
	}
	return int64(copied), done, nil
}
