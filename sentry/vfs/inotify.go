package vfs

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/arch"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// Limits of inotify (/proc/sys/fs/inotify).
const (
	MaxInotifyEvents  = 16384
	MaxInotifyWatches = 65536
)

// Inotify is the file of an inotify instance (inotify(7)).
//
// watchSet.mu comes before Inotify.mu; events are delivered with neither held.
type Inotify struct {
	FileBase
	queue wait.Queue

	mu      sync.Mutex
	events  []inotifyEvent
	watches map[int32]*watch
	next    int32
}

type watch struct {
	owner *Inotify
	wd    int32
	mask  atomic.Uint32
	path  Path // keeps the inode watched
}

type inotifyEvent struct {
	wd           int32
	mask, cookie uint32
	name         string
}

// NewInotify returns an instance.
func NewInotify() *Inotify { return &Inotify{watches: map[int32]*watch{}} }

// size is what the event takes in a read: its name is padded with NULs to a multiple of the header's size.
func (e *inotifyEvent) size() int {
	if e.name == "" {
		return unix.SizeofInotifyEvent
	}
	return unix.SizeofInotifyEvent + (len(e.name)+1+unix.SizeofInotifyEvent-1)&^(unix.SizeofInotifyEvent-1)
}

func (e *inotifyEvent) encode() []byte {
	b := make([]byte, e.size())
	binary.NativeEndian.PutUint32(b, uint32(e.wd))
	binary.NativeEndian.PutUint32(b[4:], e.mask)
	binary.NativeEndian.PutUint32(b[8:], e.cookie)
	binary.NativeEndian.PutUint32(b[12:], uint32(len(b)-unix.SizeofInotifyEvent))
	copy(b[unix.SizeofInotifyEvent:], e.name)
	return b
}

// AddWatch is inotify_add_watch(2) on the file at p; it takes its own reference.
func (n *Inotify) AddWatch(p Path, mask uint32) (int32, error) {
	s := p.Inode().Base().watchSet()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches {
		if w.owner != n {
			continue
		}
		if mask&unix.IN_MASK_CREATE != 0 {
			return -1, unix.EEXIST
		}
		keep := mask & (unix.IN_ALL_EVENTS | unix.IN_ONESHOT | unix.IN_EXCL_UNLINK)
		if mask&unix.IN_MASK_ADD != 0 {
			keep |= w.mask.Load()
		}
		w.mask.Store(keep)
		return w.wd, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.watches) >= MaxInotifyWatches {
		return -1, unix.ENOSPC
	}
	n.next++
	w := &watch{owner: n, wd: n.next, path: p}
	w.mask.Store(mask & (unix.IN_ALL_EVENTS | unix.IN_ONESHOT | unix.IN_EXCL_UNLINK))
	p.IncRef()
	n.watches[w.wd] = w
	s.watches = append(s.watches, w)
	s.mark.Disturb()
	return w.wd, nil
}

// RemoveWatch is inotify_rm_watch(2).
func (n *Inotify) RemoveWatch(wd int32) error {
	n.mu.Lock()
	w := n.watches[wd]
	n.mu.Unlock()
	if w == nil {
		return unix.EINVAL
	}
	w.path.Inode().Base().watchSet().remove(w)
	n.forget(w)
	return nil
}

// forget ends a watch that no watchSet holds any more.
func (n *Inotify) forget(w *watch) {
	n.mu.Lock()
	_, ok := n.watches[w.wd]
	delete(n.watches, w.wd)
	if ok {
		n.pushLocked(inotifyEvent{wd: w.wd, mask: unix.IN_IGNORED})
	}
	n.mu.Unlock()
	if ok {
		n.queue.Notify(wait.Readable)
		// The path's last reference may take locks the caller holds.
		go w.path.DecRef()
	}
}

func (w *watch) deliver(mask, cookie uint32, name string) {
	n := w.owner
	if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 {
		mask &^= unix.IN_ISDIR // as Linux: known to the watcher
	}
	n.mu.Lock()
	n.pushLocked(inotifyEvent{w.wd, mask, cookie, name})
	n.mu.Unlock()
	n.queue.Notify(wait.Readable)
	if w.mask.Load()&unix.IN_ONESHOT != 0 {
		w.path.Inode().Base().watchSet().remove(w)
		n.forget(w)
	}
}

// pushLocked queues an event unless it repeats the last one; of those that do not fit an overflow event is left.
func (n *Inotify) pushLocked(e inotifyEvent) {
	if k := len(n.events); k > 0 && n.events[k-1] == e {
		return
	}
	switch {
	case len(n.events) < MaxInotifyEvents:
		n.events = append(n.events, e)
	case len(n.events) == MaxInotifyEvents:
		n.events = append(n.events, inotifyEvent{wd: -1, mask: unix.IN_Q_OVERFLOW})
	}
}

// Read takes as many events as fit.
func (n *Inotify) Read(_ Caller, _ *Description, dst usermem.Seq, _ int64) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) == 0 {
		return 0, unix.EAGAIN
	}
	if n.events[0].size() > dst.Len() {
		return 0, unix.EINVAL
	}
	var buf []byte
	k := 0
	for k < len(n.events) && len(buf)+n.events[k].size() <= dst.Len() {
		buf = append(buf, n.events[k].encode()...)
		k++
	}
	done, err := dst.CopyOut(buf)
	if err != nil {
		return 0, err
	}
	n.events = n.events[k:]
	if len(n.events) == 0 {
		n.events = nil
	}
	return int64(done), nil
}

// Poll reports whether events are queued.
func (n *Inotify) Poll(mask wait.Events) wait.Events {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) > 0 {
		return mask & wait.Readable
	}
	return 0
}

// Queue returns the queue notified of events.
func (n *Inotify) Queue() *wait.Queue { return &n.queue }

// Ioctl answers FIONREAD, which is TIOCINQ.
func (n *Inotify) Ioctl(c Caller, _ *Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	if cmd != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	n.mu.Lock()
	total := int32(0)
	for i := range n.events {
		total += int32(n.events[i].size())
	}
	n.mu.Unlock()
	return 0, usermem.CopyOutVal(c.Memory(), usermem.Addr(arg), &total)
}

// FDInfo lists the watches as proc(5) shows them.
func (n *Inotify) FDInfo() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for wd, w := range n.watches {
		in := w.path.Inode().Base()
		fmt.Fprintf(&b, "inotify wd:%x ino:%x sdev:%x mask:%x ignored_mask:0\n", wd, in.Ino(), in.sb.Dev, w.mask.Load())
	}
	return b.String()
}

// Release ends all watches.
func (n *Inotify) Release(Caller) {
	n.mu.Lock()
	all := n.watches
	n.watches = map[int32]*watch{}
	n.events = nil
	n.mu.Unlock()
	for _, w := range all {
		w.path.Inode().Base().watchSet().remove(w)
		w.path.DecRef()
	}
}
