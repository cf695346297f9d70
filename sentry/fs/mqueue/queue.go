package mqueue

import (
	"container/heap"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// MaxPriority is MQ_PRIO_MAX: priorities are below it.
const MaxPriority = 32768

// messageBytes is what a message takes beside its text, of RLIMIT_MSGQUEUE twice
// (a message and a node of the tree of priorities: mq_overview(7)) and of the budget once.
const messageBytes = 48

// Attr is what mq_open(2) may say of a new queue.
type Attr struct{ MaxMsg, MsgSize int64 }

// Queue is a message queue: an inode.
type Queue struct {
	vfs.InodeBase
	times
	ns      *Namespace
	user    auth.KUID
	charged uint64 // to user
	attr    Attr
	cookie  int64 // position in the directory
	poll    wait.Queue

	mu                 sync.Mutex
	msgs               messages
	next               uint64 // number of the next message
	bytes              uint64 // of all texts
	senders, receivers []*waiter
	notify             *Notification
}

// Message is a message with its priority.
type Message struct {
	Priority uint32
	Text     []byte
	nr       uint64
}

// messages is a heap: the highest priority first, of one priority the oldest.
type messages []*Message

func (m messages) Len() int { return len(m) }
func (m messages) Less(i, j int) bool {
	return m[i].Priority > m[j].Priority || m[i].Priority == m[j].Priority && m[i].nr < m[j].nr
}
func (m messages) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

// Push and Pop are heap.Interface's.
func (m *messages) Push(x any) { *m = append(*m, x.(*Message)) }

// Pop removes the last element.
func (m *messages) Pop() any {
	old := *m
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*m = old[:len(old)-1]
	return x
}

// waiter is a sender with its message, or a receiver that is handed one.
type waiter struct {
	c    vfs.Caller
	msg  *Message
	done bool
}

func (w *waiter) finish() {
	w.done = true
	w.c.Notify(nil, 0)
}

// newQueue makes a queue for c with one reference.
func (n *Namespace) newQueue(c vfs.Caller, a *vfs.CreateArgs, attr *Attr) (*Queue, error) {
	l := n.Limits()
	mighty := c.Creds().HasRootCap(unix.CAP_SYS_RESOURCE)
	q := &Queue{ns: n, user: c.Creds().RUID}
	if attr == nil {
		q.attr = Attr{int64(min(l.MsgMax, l.MsgDefault)), int64(min(l.MsgSizeMax, l.MsgSizeDefault))}
	} else {
		q.attr = *attr
		maxMsg, maxSize := int64(l.MsgMax), int64(l.MsgSizeMax)
		if mighty {
			maxMsg, maxSize = HardMsgMax, HardMsgSizeMax
		}
		if q.attr.MaxMsg <= 0 || q.attr.MsgSize <= 0 || q.attr.MaxMsg > maxMsg || q.attr.MsgSize > maxSize {
			return nil, unix.EINVAL
		}
	}
	if n.queues.Add(1) > l.QueuesMax && !mighty {
		n.queues.Add(-1)
		return nil, unix.ENOSPC
	}
	q.charged = uint64(q.attr.MaxMsg)*(messageBytes+uint64(q.attr.MsgSize)) + uint64(min(q.attr.MaxMsg, MaxPriority))*messageBytes
	if err := n.accounts.charge(q.user, q.charged, c.Limits().Get(unix.RLIMIT_MSGQUEUE).Cur); err != nil {
		n.queues.Add(-1)
		return nil, err
	}
	q.Init(&n.sb, n.nextIno.Add(1), a.Mode, a.UID, a.GID)
	q.stamp(c)
	return q, nil
}

// Destroy gives everything back: nobody can reach the queue any more.
func (q *Queue) Destroy() {
	q.ns.queues.Add(-1)
	q.ns.accounts.uncharge(q.user, q.charged)
	q.ns.budget.Uncharge(int64(q.bytes) + messageBytes*int64(len(q.msgs)))
}

// Attributes returns mq_maxmsg and mq_msgsize, and mq_curmsgs.
func (q *Queue) Attributes() (Attr, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.attr, len(q.msgs)
}

// put adds m. q.mu is held.
func (q *Queue) put(m *Message) {
	m.nr = q.next
	q.next++
	q.bytes += uint64(len(m.Text))
	heap.Push(&q.msgs, m)
}

// NewMessage returns a message of size bytes to fill, for Send: EMSGSIZE.
func (q *Queue) NewMessage(priority uint32, size uint64) (*Message, error) {
	if size > uint64(q.attr.MsgSize) {
		return nil, unix.EMSGSIZE
	}
	if err := q.ns.budget.Charge(messageBytes + int64(size)); err != nil {
		return nil, err
	}
	return &Message{Priority: priority, Text: make([]byte, size)}, nil
}

// Discard gives up a message that is in no queue.
func (q *Queue) Discard(m *Message) { q.ns.budget.Uncharge(messageBytes + int64(len(m.Text))) }

// Send is mq_timedsend(2). m is the queue's from then on.
func (q *Queue) Send(c vfs.Caller, m *Message, block bool, deadline int64) error {
	q.mu.Lock()
	if len(q.msgs) >= int(q.attr.MaxMsg) {
		if !block {
			q.mu.Unlock()
			q.Discard(m)
			return unix.EAGAIN
		}
		w := &waiter{c: c, msg: m}
		q.senders = append(q.senders, w)
		q.mu.Unlock()
		err := q.await(w, &q.senders, deadline)
		if err != nil {
			q.Discard(m)
		}
		return err
	}
	q.stamp(c)
	if len(q.receivers) > 0 {
		r := q.receivers[0]
		q.receivers = q.receivers[1:]
		r.msg = m
		r.finish()
		q.mu.Unlock()
		return nil
	}
	q.put(m)
	var n *Notification
	if len(q.msgs) == 1 {
		n, q.notify = q.notify, nil
	}
	q.poll.Notify(wait.Readable)
	q.mu.Unlock()
	if n != nil {
		n.Arrived(c)
	}
	return nil
}

// Receive is mq_timedreceive(2).
func (q *Queue) Receive(c vfs.Caller, block bool, deadline int64) (*Message, error) {
	q.mu.Lock()
	if len(q.msgs) == 0 {
		if !block {
			q.mu.Unlock()
			return nil, unix.EAGAIN
		}
		w := &waiter{c: c}
		q.receivers = append(q.receivers, w)
		q.mu.Unlock()
		if err := q.await(w, &q.receivers, deadline); err != nil {
			return nil, err
		}
		q.Discard(w.msg)
		return w.msg, nil
	}
	defer q.mu.Unlock()
	m := heap.Pop(&q.msgs).(*Message)
	q.bytes -= uint64(len(m.Text))
	q.Discard(m)
	q.stamp(c)
	if len(q.senders) > 0 {
		s := q.senders[0]
		q.senders = q.senders[1:]
		q.put(s.msg)
		s.finish()
	} else {
		q.poll.Notify(wait.Writable)
	}
	return m, nil
}

// await waits in list until somebody has finished w.
func (q *Queue) await(w *waiter, list *[]*waiter, deadline int64) error {
	for {
		err := w.c.Block(deadline)
		q.mu.Lock()
		if w.done {
			q.mu.Unlock()
			return nil
		}
		if err != nil {
			for i, o := range *list {
				if o == w {
					*list = append((*list)[:i:i], (*list)[i+1:]...)
					break
				}
			}
			q.mu.Unlock()
			return err
		}
		q.mu.Unlock()
	}
}

// Notification is how somebody wants to hear of the next message that comes
// into the empty queue (mq_notify(2)).
type Notification struct {
	Owner any // the process, as ProcessName of a task tells it
	// Kind and Signo are sigev_notify and the signal, as reading the file shows them.
	Kind, Signo int32
	// Arrived is called for the message, Removed if there is not going to be one.
	Arrived func(sender vfs.Caller)
	Removed func()
}

// Notify registers n: EBUSY if somebody has before.
func (q *Queue) Notify(n *Notification) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.notify != nil {
		return unix.EBUSY
	}
	q.notify = n
	return nil
}

// Unnotify takes back what owner has registered.
func (q *Queue) Unnotify(owner any) {
	q.mu.Lock()
	n := q.notify
	if n == nil || n.Owner != owner {
		q.mu.Unlock()
		return
	}
	q.notify = nil
	q.mu.Unlock()
	n.Removed()
}
