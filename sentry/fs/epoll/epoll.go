package epoll

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// maxNesting is how many sets deep a set may watch sets (epoll_ctl(2) ELOOP;
// Linux EP_MAX_NESTS).
const maxNesting = 4

// flagBits are the bits of an event mask that are not events.
const flagBits = unix.EPOLLET | unix.EPOLLONESHOT | unix.EPOLLEXCLUSIVE | unix.EPOLLWAKEUP

// exclusiveOK are the bits allowed together with EPOLLEXCLUSIVE (epoll_ctl(2)).
const exclusiveOK = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLWAKEUP | unix.EPOLLET | unix.EPOLLEXCLUSIVE

// Event is what a caller asks of a descriptor, and what Wait reports.
type Event struct {
	Events uint32
	Data   [8]byte
}

// An item is one registration: one description may be in a set under several
// descriptors.
type item struct {
	ep   *Epoll
	fd   int32
	desc *vfs.Description
	same *item      // the next of the same description, or of the spare ones
	from vfs.Caller // who added it, for files whose readiness depends on that

	// events and data are guarded by ep.mu.
	events uint32
	data   [8]byte

	waiter wait.Waiter

	// The ready list, guarded by ep.readyMu.
	listed     bool
	next, prev *item
}

// Epoll is an epoll set.
type Epoll struct {
	vfs.FileBase
	queue wait.Queue

	mu     sync.Mutex
	items  map[*vfs.Description]*item // the first of each description
	spare  *item                      // dropped ones, for the next to be added
	spares int

	readyMu    sync.Mutex
	head, tail *item
}

// treeMu serialises changes to which set watches which, so that no circle can
// come about by two changes at once.
var treeMu sync.Mutex

// New returns an empty set.
func New() *Epoll { return &Epoll{items: make(map[*vfs.Description]*item)} }

// Size returns how many open files are in the set.
func (e *Epoll) Size() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.items)
}

// maxSpares is how many dropped items a set keeps: programs that add and delete
// a descriptor for every request do it one by one.
const maxSpares = 16

// find returns the item of (fd, d), nil if it is not in the set. e.mu is held.
func (e *Epoll) find(fd int32, d *vfs.Description) *item {
	it := e.items[d]
	for it != nil && it.fd != fd {
		it = it.same
	}
	return it
}

// newItem returns an item that nobody knows of. e.mu is held.
func (e *Epoll) newItem() *item {
	it := e.spare
	if it == nil {
		return &item{ep: e}
	}
	e.spare, it.same = it.same, nil
	e.spares--
	return it
}

// Add is EPOLL_CTL_ADD. EEXIST if (fd, d) is there, EPERM if d is of a kind
// that is always ready, EINVAL and ELOOP as epoll_ctl(2).
func (e *Epoll) Add(c vfs.Caller, fd int32, d *vfs.Description, ev Event) error {
	if ev.Events&unix.EPOLLEXCLUSIVE != 0 && ev.Events&^exclusiveOK != 0 {
		return unix.EINVAL
	}
	q := queueOf(c, d)
	if q == nil {
		return unix.EPERM
	}
	if inner, ok := d.File().(*Epoll); ok {
		if ev.Events&unix.EPOLLEXCLUSIVE != 0 || inner == e {
			return unix.EINVAL
		}
		treeMu.Lock()
		defer treeMu.Unlock()
		if inner.reaches(e, 0) || inner.depth()+1 > maxNesting {
			return unix.ELOOP
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.find(fd, d) != nil {
		return unix.EEXIST
	}
	it := e.newItem()
	it.fd, it.desc, it.from = fd, d, c
	it.events, it.data = ev.Events|unix.EPOLLERR|unix.EPOLLHUP, ev.Data
	it.waiter.To = it
	it.waiter.Exclusive = ev.Events&unix.EPOLLEXCLUSIVE != 0
	if it.same = e.items[d]; it.same == nil {
		d.AddReleaseWatcher(e)
	}
	e.items[d] = it
	q.Add(&it.waiter, it.mask())
	e.offer(it)
	return nil
}

// Modify is EPOLL_CTL_MOD; ENOENT if (fd, d) is not in the set.
func (e *Epoll) Modify(fd int32, d *vfs.Description, ev Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	it := e.find(fd, d)
	if it == nil {
		return unix.ENOENT
	}
	if ev.Events&unix.EPOLLEXCLUSIVE != 0 || it.waiter.Exclusive {
		return unix.EINVAL
	}
	it.events, it.data = ev.Events|unix.EPOLLERR|unix.EPOLLHUP, ev.Data
	it.waiter.Remove()
	queueOf(it.from, d).Add(&it.waiter, it.mask())
	e.offer(it)
	return nil
}

// Delete is EPOLL_CTL_DEL; ENOENT if (fd, d) is not in the set.
func (e *Epoll) Delete(fd int32, d *vfs.Description) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	it := e.find(fd, d)
	if it == nil {
		return unix.ENOENT
	}
	switch first := e.items[d]; {
	case first != it:
		for first.same != it {
			first = first.same
		}
		first.same = it.same
	case it.same != nil:
		e.items[d] = it.same
	default:
		delete(e.items, d)
		d.RemoveReleaseWatcher(e)
	}
	e.drop(it)
	return nil
}

// Released forgets a description that is gone.
func (e *Epoll) Released(d *vfs.Description) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.items[d]
	delete(e.items, d)
	e.dropAll(first)
}

// Release forgets everything; the set is gone.
func (e *Epoll) Release(vfs.Caller) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for d, first := range e.items {
		d.RemoveReleaseWatcher(e)
		delete(e.items, d)
		e.dropAll(first)
	}
	e.spare, e.spares = nil, 0
}

// dropAll drops the items of a description. e.mu is held.
func (e *Epoll) dropAll(it *item) {
	for it != nil {
		next := it.same
		e.drop(it)
		it = next
	}
}

// drop ends an item that e.items has no more. e.mu is held.
func (e *Epoll) drop(it *item) {
	it.waiter.Remove() // no Notify of it runs from here on
	e.readyMu.Lock()
	if it.listed {
		e.unlink(it)
	}
	e.readyMu.Unlock()
	*it = item{ep: e}
	if e.spares < maxSpares {
		it.same, e.spare = e.spare, it
		e.spares++
	}
}

// offer lists an item if its description is ready now. e.mu is held.
func (e *Epoll) offer(it *item) {
	if it.ready() != 0 {
		it.Notify(&it.waiter, wait.Events(it.events))
	}
}

// mask is the events to be told of. e.mu is held.
func (it *item) mask() wait.Events { return wait.Events(it.events &^ flagBits) }

// ready asks the description. A one-shot item that fired has no events left
// but the two that are always set, and is disabled. e.mu is held.
func (it *item) ready() wait.Events {
	m := it.mask()
	if it.disabled() {
		return 0
	}
	return pollOf(it.from, it.desc, m) & m
}

// disabled tells whether a one-shot item fired. e.mu is held.
func (it *item) disabled() bool { return it.events&^flagBits == 0 }

// Notify puts the item on the ready list and wakes who waits for the set. It
// implements wait.Notifiee.
func (it *item) Notify(*wait.Waiter, wait.Events) {
	e := it.ep
	e.readyMu.Lock()
	e.link(it)
	e.readyMu.Unlock()
	e.queue.NotifyOne(wait.Readable)
}

// link appends an item to the ready list. e.readyMu is held.
func (e *Epoll) link(it *item) {
	if it.listed {
		return
	}
	it.listed, it.prev, it.next = true, e.tail, nil
	if e.tail != nil {
		e.tail.next = it
	} else {
		e.head = it
	}
	e.tail = it
}

// unlink removes an item from the ready list. e.readyMu is held.
func (e *Epoll) unlink(it *item) {
	if it.prev != nil {
		it.prev.next = it.next
	} else {
		e.head = it.next
	}
	if it.next != nil {
		it.next.prev = it.prev
	} else {
		e.tail = it.prev
	}
	it.listed, it.next, it.prev = false, nil, nil
}

// Wait reports up to len(out) ready items and returns how many; it does not
// wait. Level-triggered items go to the end of the list, so that with more
// ready than asked for each has its turn.
func (e *Epoll) Wait(out []Event) int {
	if e.empty() {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	var again *item // the first item put back: the end of this round
	for n < len(out) {
		e.readyMu.Lock()
		it := e.head
		if it == nil || it == again {
			e.readyMu.Unlock()
			break
		}
		// Unlisted before it is asked: a change from here on lists it anew.
		e.unlink(it)
		e.readyMu.Unlock()
		ready := it.ready()
		if ready == 0 {
			continue
		}
		out[n] = Event{Events: uint32(ready), Data: it.data}
		n++
		switch {
		case it.events&unix.EPOLLONESHOT != 0:
			it.events &= flagBits
		case it.events&unix.EPOLLET == 0:
			e.readyMu.Lock()
			e.link(it)
			e.readyMu.Unlock()
			if again == nil {
				again = it
			}
		}
	}
	// Waiters woken one at a time must pass on what they leave.
	if n > 0 && !e.empty() {
		e.queue.NotifyOne(wait.Readable)
	}
	return n
}

func (e *Epoll) empty() bool {
	e.readyMu.Lock()
	defer e.readyMu.Unlock()
	return e.head == nil
}

// Poll says readable if an item is ready. Items found not ready leave the list.
func (e *Epoll) Poll(mask wait.Events) wait.Events {
	if mask&wait.Readable == 0 || e.empty() {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		e.readyMu.Lock()
		it := e.head
		if it == nil {
			e.readyMu.Unlock()
			return 0
		}
		e.unlink(it)
		e.readyMu.Unlock()
		if it.ready() != 0 {
			e.readyMu.Lock()
			e.link(it)
			e.readyMu.Unlock()
			return wait.Readable & mask
		}
	}
}

// Queue is notified when an item becomes ready.
func (e *Epoll) Queue() *wait.Queue { return &e.queue }

// reaches tells whether e watches target, directly or through others. treeMu
// is held.
func (e *Epoll) reaches(target *Epoll, level int) bool {
	if e == target {
		return true
	}
	if level > maxNesting {
		return true
	}
	for _, in := range e.nested() {
		if in.reaches(target, level+1) {
			return true
		}
	}
	return false
}

// depth returns how many levels of sets are below e. treeMu is held.
func (e *Epoll) depth() int {
	d := 0
	for _, in := range e.nested() {
		d = max(d, in.depth()+1)
	}
	return d
}

func (e *Epoll) nested() []*Epoll {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*Epoll
	for d := range e.items {
		if in, ok := d.File().(*Epoll); ok {
			list = append(list, in)
		}
	}
	return list
}

// FDInfo lists the items as proc(5) shows them.
func (e *Epoll) FDInfo() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, it := range e.items {
		for ; it != nil; it = it.same {
			fmt.Fprintf(&b, "tfd: %8d events: %8x data: %16x  pos:0 ino:0 sdev:0\n", it.fd, it.events, leUint64(it.data))
		}
	}
	return b.String()
}

func leUint64(b [8]byte) (v uint64) {
	for i := 7; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// perCaller is a file whose readiness depends on who asks (signalfd).
type perCaller interface {
	PollAs(c vfs.Caller, mask wait.Events) wait.Events
	QueueAs(c vfs.Caller) *wait.Queue
}

func queueOf(c vfs.Caller, d *vfs.Description) *wait.Queue {
	if f, ok := d.File().(perCaller); ok {
		return f.QueueAs(c)
	}
	return d.Queue()
}

func pollOf(c vfs.Caller, d *vfs.Description, mask wait.Events) wait.Events {
	if f, ok := d.File().(perCaller); ok {
		return f.PollAs(c, mask)
	}
	return d.Poll(mask)
}
