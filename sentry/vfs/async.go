package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/wait"
)

// An IOSignaller is who gets SIGIO: of package syscalls, which knows what the IDs of F_SETOWN meant when it was called.
type IOSignaller interface {
	// SignalIO sends sig, or SIGIO without details if sig is 0 (fcntl(2), F_SETSIG). code is POLL_IN or its kin
	// (sigaction(2)), band the events of poll(2).
	SignalIO(sig, code int32, band int64, fd int32)
}

// asyncState is signal-driven I/O of a description (F_SETOWN, F_SETOWN_EX, F_SETSIG, O_ASYNC).
type asyncState struct {
	mu    sync.Mutex
	kind  int32 // F_OWNER_*
	id    int32
	owner IOSignaller
	sig   int32
	watch *ioWatch // nil unless O_ASYNC is set
}

// SetOwner is F_SETOWN_EX. id 0 removes the owner.
func (d *Description) SetOwner(kind, id int32, owner IOSignaller) {
	d.async.mu.Lock()
	d.async.kind, d.async.id, d.async.owner = kind, id, owner
	d.async.mu.Unlock()
}

// Owner is F_GETOWN_EX.
func (d *Description) Owner() (kind, id int32) {
	d.async.mu.Lock()
	defer d.async.mu.Unlock()
	return d.async.kind, d.async.id
}

// SetOwnerSignal is F_SETSIG; 0 is SIGIO.
func (d *Description) SetOwnerSignal(sig int32) {
	d.async.mu.Lock()
	d.async.sig = sig
	d.async.mu.Unlock()
}

// OwnerSignal is F_GETSIG.
func (d *Description) OwnerSignal() int32 {
	d.async.mu.Lock()
	defer d.async.mu.Unlock()
	return d.async.sig
}

// ioWatch hears of a file's events and sends signals for them.
type ioWatch struct {
	d      *Description
	fd     int32
	w      wait.Waiter
	events atomic.Uint32 // not yet told
}

// SetAsync begins or ends to send signals, after O_ASYNC was changed through fd.
func (d *Description) SetAsync(on bool, fd int32) {
	d.async.mu.Lock()
	old := d.async.watch
	if on == (old != nil) {
		d.async.mu.Unlock()
		return
	}
	d.async.watch = nil
	if on {
		if mask, ok := d.asyncEvents(); ok {
			a := &ioWatch{d: d, fd: fd}
			a.w.To = a
			d.async.watch = a
			d.file.Queue().Add(&a.w, mask)
		}
	}
	d.async.mu.Unlock()
	if old != nil {
		old.w.Remove()
	}
}

// asyncEvents says which events of the file are told by signals; pipes, sockets, terminals and inotify know of them.
func (d *Description) asyncEvents() (wait.Events, bool) {
	if d.file.Queue() == nil {
		return 0, false
	}
	const always = wait.Err | wait.HUp
	_, inotify := d.file.(*Inotify)
	switch t := d.path.dentry.inode.Base().Type(); {
	case t == unix.S_IFIFO:
		mask := wait.Events(always)
		if d.Readable() {
			mask |= wait.Readable
		}
		if d.Writable() {
			mask |= wait.Writable
		}
		return mask, true
	case t == unix.S_IFSOCK, t == unix.S_IFCHR, inotify:
		// Room to send is told by Linux only after a send had to wait; here it is not.
		return wait.Readable | wait.Pri | wait.RdHUp | always, true
	}
	return 0, false
}

// Notify implements wait.Notifiee. Signals need locks that come before a queue's: they are sent from elsewhere, and
// what happens meanwhile is told together.
func (a *ioWatch) Notify(_ *wait.Waiter, ev wait.Events) {
	if a.events.Or(uint32(ev&^wait.Internal)) == 0 {
		go a.tell()
	}
}

// tell sends a signal for what has happened.
func (a *ioWatch) tell() {
	ev := wait.Events(a.events.Swap(0))
	s := &a.d.async
	s.mu.Lock()
	owner, sig, current := s.owner, s.sig, s.watch == a
	s.mu.Unlock()
	if owner == nil || !current {
		return
	}
	// Codes and bands of sigaction(2), SIGIO (include/uapi/asm-generic/siginfo.h).
	for _, k := range [...]struct {
		ev   wait.Events
		code int32
		band wait.Events
	}{
		{wait.Readable | wait.RdHUp, 1, wait.Readable},
		{wait.Writable, 2, wait.Writable | wait.WrBand},
		{wait.Err, 4, wait.Err},
		{wait.Pri, 5, wait.Pri | wait.RdBand},
		{wait.HUp, 6, wait.HUp | wait.Err},
	} {
		if ev&k.ev != 0 {
			owner.SignalIO(sig, k.code, int64(k.band), a.fd)
			return
		}
	}
}
