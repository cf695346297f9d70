package wait

import (
	"math"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Events is a set of poll(2) events.
type Events uint32

// The events of poll(2) and epoll_ctl(2); the values are Linux's.
const (
	In     Events = unix.POLLIN
	Pri    Events = unix.POLLPRI
	Out    Events = unix.POLLOUT
	Err    Events = unix.POLLERR
	HUp    Events = unix.POLLHUP
	Nval   Events = unix.POLLNVAL
	RdNorm Events = 0x40
	RdBand Events = 0x80
	WrNorm Events = 0x100
	WrBand Events = 0x200
	RdHUp  Events = unix.POLLRDHUP

	// Readable and Writable are what a ready stream reports.
	Readable = In | RdNorm
	Writable = Out | WrNorm

	// Internal is notified for changes no poll event describes (a child
	// exited, a futex was woken, a lock was released).
	Internal Events = 1 << 30

	// All matches every notification.
	All Events = math.MaxUint32
)

// NoDeadline, given as a deadline, means to wait for ever. Deadlines are
// absolute nanoseconds of the sandbox's monotonic clock.
const NoDeadline = math.MaxInt64

// The kernel's internal errors by which an interrupted system call says how
// it is to be restarted (Linux include/linux/errno.h). They never reach an
// application.
const (
	// ErrInterrupted (ERESTARTSYS): restart if the handler has SA_RESTART,
	// else EINTR.
	ErrInterrupted = unix.Errno(512)
	// ErrRestartNoIntr (ERESTARTNOINTR): always restart.
	ErrRestartNoIntr = unix.Errno(513)
	// ErrRestartNoHand (ERESTARTNOHAND): restart unless a handler runs.
	ErrRestartNoHand = unix.Errno(514)
	// ErrRestartBlock (ERESTART_RESTARTBLOCK): restart through
	// restart_syscall(2) unless a handler runs.
	ErrRestartBlock = unix.Errno(516)
)

// A Blocker is one who can wait: a task. Code below the kernel package that
// has to wait takes a Blocker.
type Blocker interface {
	Notifiee
	// Block parks the caller until one of its Waiters is notified (nil), the
	// deadline passes (ETIMEDOUT) or the caller is interrupted by a signal, a
	// stop or a checkpoint (ErrInterrupted). A notification that came since
	// the Waiter was added is not lost; spurious wake-ups are possible, so the
	// caller loops. No locks may be held.
	Block(deadline int64) error
}

// A Notifiee is told about changes.
type Notifiee interface {
	// Notify is called with the queue's lock held: it must not block, nor
	// touch the queue.
	Notify(w *Waiter, ev Events)
}

// A Waiter is one registration on one Queue. The zero Waiter is not enqueued.
type Waiter struct {
	To   Notifiee
	Mask Events
	// Data is the owner's own, for a Notifiee with several Waiters.
	Data any
	// Exclusive Waiters take turns: see Queue.NotifyOne.
	Exclusive bool

	queue      *Queue
	next, prev *Waiter
}

// Queued reports whether w is on a queue. Only the owner may ask.
func (w *Waiter) Queued() bool { return w.queue != nil }

// A Queue is a list of Waiters. The zero Queue is empty and ready to use.
// Objects embed it.
type Queue struct {
	mu         sync.Mutex
	waiting    atomic.Int32
	head, tail *Waiter
}

// Add enqueues w for the events in mask. A Waiter is on at most one queue.
// To lose no change, add first, then look at the object's state, then block.
func (q *Queue) Add(w *Waiter, mask Events) {
	w.Mask = mask
	q.mu.Lock()
	w.queue, w.prev, w.next = q, q.tail, nil
	if q.tail != nil {
		q.tail.next = w
	} else {
		q.head = w
	}
	q.tail = w
	q.waiting.Add(1)
	q.mu.Unlock()
}

// AddFirst is Add of one who hears of a change before all who are there: what w changes is so for whoever is woken.
// Between the change and its Notify others may have seen it already.
func (q *Queue) AddFirst(w *Waiter, mask Events) {
	w.Mask = mask
	q.mu.Lock()
	w.queue, w.prev, w.next = q, nil, q.head
	if q.head != nil {
		q.head.prev = w
	} else {
		q.tail = w
	}
	q.head = w
	q.waiting.Add(1)
	q.mu.Unlock()
}

// Remove takes w off its queue; when it returns no Notify for w is running or
// will come. Removing a Waiter that is on no queue does nothing.
func (w *Waiter) Remove() {
	q := w.queue
	if q == nil {
		return
	}
	q.mu.Lock()
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	q.waiting.Add(-1)
	w.queue, w.next, w.prev = nil, nil, nil
	q.mu.Unlock()
}

// Notify tells every Waiter whose mask meets ev.
func (q *Queue) Notify(ev Events) {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	for w := q.head; w != nil; w = w.next {
		if w.Mask&ev != 0 {
			w.To.Notify(w, ev)
		}
	}
	q.mu.Unlock()
}

// NotifyOne tells every non-exclusive Waiter and the first exclusive one whose
// mask meets ev; that one goes to the end of the list (EPOLLEXCLUSIVE, accept).
func (q *Queue) NotifyOne(ev Events) {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var chosen *Waiter
	for w := q.head; w != nil; w = w.next {
		if w.Mask&ev == 0 || w.Exclusive && chosen != nil {
			continue
		}
		if w.Exclusive {
			chosen = w
		}
		w.To.Notify(w, ev)
	}
	if chosen != nil && chosen != q.tail {
		if chosen.prev != nil {
			chosen.prev.next = chosen.next
		} else {
			q.head = chosen.next
		}
		chosen.next.prev = chosen.prev
		chosen.prev, chosen.next = q.tail, nil
		q.tail.next = chosen
		q.tail = chosen
	}
}

// Empty reports whether nobody waits. It is a hint.
func (q *Queue) Empty() bool { return q.waiting.Load() == 0 }
