package ipc

import (
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/wait"
)

// Flags of msgrcv(2).
const (
	NoError = 0o10000
	Except  = 0o20000
	Copy    = 0o40000
)

// msgBytes is what a message costs the budget beside its text.
const msgBytes = 96

// Message is a message of a queue.
type Message struct {
	Type int64
	Text []byte
	next *Message
}

// Queue is a message queue.
type Queue struct {
	sync.Mutex
	header
	n                 *Namespace
	first             *Message
	end               **Message // where the next message is linked
	bytes, count, max uint64    // max is msg_qbytes
	sendTime, rcvTime int64
	lastSend, lastRcv any
	receivers         []*receiver
	room              wait.Queue // senders that wait
}

// receiver is a msgrcv(2) that waits. Senders hand it its message.
type receiver struct {
	c       Caller
	want    selector
	size    uint64
	noError bool
	done    bool
	msg     *Message
	err     error
}

// selector says which message is wanted (msgrcv(2)).
type selector struct {
	typ    int64
	except bool
}

// takes reports whether a message of a type meets the demand.
func (w selector) takes(typ int64) bool {
	switch {
	case w.typ == 0:
		return true
	case w.typ < 0:
		return w.typ == math.MinInt64 || typ <= -w.typ
	default:
		return (typ == w.typ) != w.except
	}
}

// MsgGet is msgget(2).
func (n *Namespace) MsgGet(c Caller, key int32, flags uint32) (int32, error) {
	l := n.Limits()
	fits := func(*Queue) error { return nil }
	return get(n, &n.msg, c, key, flags, int(l.MsgMni), fits, func(h header) (*Queue, error) {
		if err := n.budget.Charge(msgBytes); err != nil {
			return nil, err
		}
		q := &Queue{header: h, n: n, max: uint64(l.MsgMnb)}
		q.end = &q.first
		return q, nil
	})
}

func (q *Queue) discard() { q.n.budget.Uncharge(msgBytes) }

// removeQueue is IPC_RMID: whoever waits gets EIDRM.
func (n *Namespace) removeQueue(q *Queue) {
	n.msg.mu.Lock()
	q.Lock()
	defer q.Unlock()
	gone := !q.removed
	n.msg.remove(q)
	n.msg.mu.Unlock()
	if !gone {
		return
	}
	for q.first != nil {
		n.Discard(q.unlink(&q.first))
	}
	for _, r := range q.receivers {
		r.finish(nil, unix.EIDRM)
	}
	q.receivers = nil
	q.room.Notify(wait.Internal)
	q.discard()
}

// finish ends the wait. The queue's lock is held.
func (r *receiver) finish(m *Message, err error) {
	r.done, r.msg, r.err = true, m, err
	r.c.Notify(nil, 0)
}

// unlink takes out the message at p.
func (q *Queue) unlink(p **Message) *Message {
	m := *p
	if *p = m.next; m.next == nil {
		q.end = p
	}
	m.next = nil
	q.count--
	q.bytes -= uint64(len(m.Text))
	return m
}

// NewMessage returns a message of size bytes to fill. It is either sent or discarded.
func (n *Namespace) NewMessage(typ int64, size uint64) (*Message, error) {
	if err := n.budget.Charge(msgBytes + int64(size)); err != nil {
		return nil, err
	}
	return &Message{Type: typ, Text: make([]byte, size)}, nil
}

// Discard gives up a message that is in no queue.
func (n *Namespace) Discard(m *Message) { n.budget.Uncharge(msgBytes + int64(len(m.Text))) }

// MsgSend is msgsnd(2). m is the queue's from then on.
func (n *Namespace) MsgSend(c Caller, id int32, m *Message, flags uint32) error {
	queued, err := n.send(c, id, m, flags)
	if !queued {
		n.Discard(m)
	}
	return err
}

// send waits for room. It returns false if the message went to a receiver at once.
func (n *Namespace) send(c Caller, id int32, m *Message, flags uint32) (queued bool, err error) {
	q, err := n.msg.lock(id)
	if err != nil {
		return false, err
	}
	w := wait.Waiter{To: c}
	defer w.Remove()
	for {
		if q.removed {
			q.Unlock()
			return false, unix.EIDRM
		}
		if err := n.allows(c, &q.header, WriteBits); err != nil {
			q.Unlock()
			return false, err
		}
		size := uint64(len(m.Text))
		if q.bytes+size <= q.max && q.count+1 <= q.max {
			q.lastSend, q.sendTime = c.ProcessName(), seconds(c)
			queued = !q.hand(m)
			q.Unlock()
			return queued, nil
		}
		if flags&NoWait != 0 {
			q.Unlock()
			return false, unix.EAGAIN
		}
		if !w.Queued() {
			q.room.Add(&w, wait.All)
		}
		q.Unlock()
		if c.Block(wait.NoDeadline) != nil {
			return false, wait.ErrRestartNoHand
		}
		q.Lock()
	}
}

// hand gives m to the first receiver that wants it, or puts it at the end of
// the queue. A receiver whose buffer is too small is told so (E2BIG) and the
// message is the next one's.
func (q *Queue) hand(m *Message) bool {
	for i := 0; i < len(q.receivers); {
		r := q.receivers[i]
		if !r.want.takes(m.Type) {
			i++
			continue
		}
		q.receivers = append(q.receivers[:i], q.receivers[i+1:]...)
		if !r.noError && r.size < uint64(len(m.Text)) {
			r.finish(nil, unix.E2BIG)
			continue
		}
		q.lastRcv, q.rcvTime = r.c.ProcessName(), seconds(r.c)
		r.finish(m, nil)
		return true
	}
	*q.end = m
	q.end = &m.next
	q.count++
	q.bytes += uint64(len(m.Text))
	return false
}

// find returns where the message that w wants is linked, nil if there is none.
// Of types up to a bound it is the first of the lowest.
func (q *Queue) find(w selector) **Message {
	var best **Message
	for p := &q.first; *p != nil; p = &(*p).next {
		m := *p
		if !w.takes(m.Type) {
			continue
		}
		if w.typ >= 0 {
			return p
		}
		if best == nil || m.Type < (*best).Type {
			best = p
		}
	}
	return best
}

// MsgReceive is msgrcv(2). The text may be longer than size only with MSG_NOERROR.
func (n *Namespace) MsgReceive(c Caller, id int32, size uint64, typ int64, flags uint32) (*Message, error) {
	if flags&Copy != 0 {
		return n.msgCopy(c, id, size, typ, flags)
	}
	for {
		if m, err := n.receive(c, id, size, typ, flags); err != unix.EAGAIN {
			return m, err
		}
	}
}

// receive is MsgReceive; EAGAIN asks to try again.
func (n *Namespace) receive(c Caller, id int32, size uint64, typ int64, flags uint32) (*Message, error) {
	q, err := n.msg.lock(id)
	if err != nil {
		return nil, err
	}
	if err := n.allows(c, &q.header, ReadBits); err != nil {
		q.Unlock()
		return nil, err
	}
	want := selector{typ, flags&Except != 0}
	if p := q.find(want); p != nil {
		defer q.Unlock()
		if uint64(len((*p).Text)) > size && flags&NoError == 0 {
			return nil, unix.E2BIG
		}
		m := q.unlink(p)
		n.Discard(m)
		q.lastRcv, q.rcvTime = c.ProcessName(), seconds(c)
		q.room.Notify(wait.Internal)
		return m, nil
	}
	if flags&NoWait != 0 {
		q.Unlock()
		return nil, unix.ENOMSG
	}
	r := &receiver{c: c, want: want, size: size, noError: flags&NoError != 0}
	q.receivers = append(q.receivers, r)
	q.Unlock()
	return q.await(r)
}

// await waits until somebody has finished r.
func (q *Queue) await(r *receiver) (*Message, error) {
	for {
		err := r.c.Block(wait.NoDeadline)
		q.Lock()
		if r.done {
			q.Unlock()
			return r.msg, r.err
		}
		if err != nil {
			for i, o := range q.receivers {
				if o == r {
					q.receivers = append(q.receivers[:i], q.receivers[i+1:]...)
					break
				}
			}
			q.Unlock()
			return nil, wait.ErrRestartNoHand
		}
		q.Unlock()
	}
}

// msgCopy is msgrcv(2) with MSG_COPY: the message at an index, which stays.
func (n *Namespace) msgCopy(c Caller, id int32, size uint64, index int64, flags uint32) (*Message, error) {
	if flags&Except != 0 || flags&NoWait == 0 {
		return nil, unix.EINVAL
	}
	q, err := n.msg.lock(id)
	if err != nil {
		return nil, err
	}
	defer q.Unlock()
	if err := n.allows(c, &q.header, ReadBits); err != nil {
		return nil, err
	}
	for m := q.first; m != nil; m = m.next {
		if index > 0 {
			index--
			continue
		}
		if uint64(len(m.Text)) > size && flags&NoError == 0 {
			return nil, unix.E2BIG
		}
		return m, nil // a queued message is never changed
	}
	return nil, unix.ENOMSG
}
