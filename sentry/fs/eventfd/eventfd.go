// Package eventfd implements event counters (eventfd(2)).
//
// It owns one 64-bit counter a file and must never wait. EventFD.mu is taken
// before the locks of an address space and wait.Queue.mu.
package eventfd

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// maxCount is the largest value the counter may have.
const maxCount = math.MaxUint64 - 1

// EventFD is an event counter.
type EventFD struct {
	vfs.FileBase
	queue     wait.Queue
	semaphore bool

	mu    sync.Mutex
	count uint64
	buf   [8]byte // of a copy in progress: on the stack it would escape
}

// New returns a counter with an initial value; semaphore is EFD_SEMAPHORE.
func New(initial uint64, semaphore bool) *EventFD {
	return &EventFD{count: initial, semaphore: semaphore}
}

// Read takes the counter, or one of it in semaphore mode; EAGAIN at zero.
func (e *EventFD) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	if dst.Len() < 8 {
		return 0, unix.EINVAL
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count == 0 {
		return 0, unix.EAGAIN
	}
	v := e.count
	if e.semaphore {
		v = 1
	}
	binary.NativeEndian.PutUint64(e.buf[:], v)
	if n, err := dst.CopyOut(e.buf[:]); n < len(e.buf) {
		return 0, err
	}
	e.count -= v
	e.queue.Notify(wait.Writable)
	return 8, nil
}

// Write adds to the counter; EAGAIN if it would pass its maximum.
func (e *EventFD) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	if src.Len() < 8 {
		return 0, off, unix.EINVAL
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n, err := src.CopyIn(e.buf[:]); n < len(e.buf) {
		return 0, off, err
	}
	if err := e.add(binary.NativeEndian.Uint64(e.buf[:])); err != nil {
		return 0, off, err
	}
	return 8, off, nil
}

// Add adds v to the counter: EINVAL for the one value that is not allowed,
// EAGAIN if the counter would pass its maximum.
func (e *EventFD) Add(v uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.add(v)
}

func (e *EventFD) add(v uint64) error {
	if v == math.MaxUint64 {
		return unix.EINVAL
	}
	if v > maxCount-e.count {
		return unix.EAGAIN
	}
	e.count += v
	e.queue.Notify(wait.Readable)
	return nil
}

// Poll says readable above zero, writable while at least one can be added.
func (e *EventFD) Poll(mask wait.Events) wait.Events {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ev wait.Events
	if e.count > 0 {
		ev |= wait.In
	}
	if e.count < maxCount {
		ev |= wait.Out
	}
	return ev & mask
}

// Queue is notified when the counter changes.
func (e *EventFD) Queue() *wait.Queue { return &e.queue }

// FDInfo adds the counter to /proc/PID/fdinfo (proc(5)).
func (e *EventFD) FDInfo() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	semaphore := 0
	if e.semaphore {
		semaphore = 1
	}
	return fmt.Sprintf("eventfd-count: %16x\neventfd-id: 0\neventfd-semaphore: %d\n", e.count, semaphore)
}
