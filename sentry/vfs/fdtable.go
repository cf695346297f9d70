package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// FDTable maps file descriptors to descriptions. Tasks of a thread group
// usually share one (CLONE_FILES). It is also the owner of POSIX record
// locks (fcntl(2)).
//
// Get takes no lock. mu protects changes; it is a leaf but for Description
// reference counts, and descriptions are released with it dropped.
type FDTable struct {
	refs atomic.Int64
	mu   sync.Mutex
	tab  atomic.Pointer[fdSlots]
	next int32 // no free descriptor below
	used int32
	late lateClose
	// handed is open at one descriptor, and what it has may be read without us (HandOut).
	handed atomic.Pointer[Description]
}

// fdSlots is replaced by a larger one as the table grows; old ones stay valid
// for readers because slots are only changed with mu held in the newest.
type fdSlots struct {
	slot    []atomic.Pointer[Description]
	cloexec []bool // guarded by mu
}

// NewFDTable returns an empty table with one reference.
func NewFDTable() *FDTable {
	t := &FDTable{}
	t.refs.Store(1)
	t.tab.Store(newSlots(64))
	return t
}

func newSlots(n int) *fdSlots {
	return &fdSlots{slot: make([]atomic.Pointer[Description], n), cloexec: make([]bool, n)}
}

// IncRef takes a reference (CLONE_FILES).
func (t *FDTable) IncRef() {
	t.refs.Add(1)
	t.share()
}

// DecRef drops a reference; with the last one every descriptor is closed.
func (t *FDTable) DecRef(c Caller) {
	if t.refs.Add(-1) == 0 {
		t.closeWhere(c, func(int32, bool) bool { return true })
	}
}

// Shared reports whether others hold references too.
func (t *FDTable) Shared() bool { return t.refs.Load() > 1 }

// Get returns the description of fd with a reference for the caller, or nil.
func (t *FDTable) Get(fd int32) *Description {
	for {
		s := t.tab.Load()
		if fd < 0 || int(fd) >= len(s.slot) {
			return nil
		}
		d := s.slot[fd].Load()
		if d == nil {
			return nil
		}
		if d.TryIncRef() {
			// The slot may have been reused between the two loads; the reference
			// then belongs to a description fd no longer names.
			if t.tab.Load() == s && s.slot[fd].Load() == d {
				return d
			}
			d.DecRef(nil)
		}
	}
}

// Means reports whether fd means d, to which the caller has a reference. What d.Note or d.NoteEmpty returned before
// holds no longer once it does not.
func (t *FDTable) Means(fd int32, d *Description) bool {
	s := t.tab.Load()
	return fd >= 0 && int(fd) < len(s.slot) && s.slot[fd].Load() == d
}

// Install puts d at the lowest free descriptor at or above min and below limit
// (RLIMIT_NOFILE) and takes a reference for it; EMFILE if there is none.
func (t *FDTable) Install(d *Description, min int32, cloexec bool, limit uint64) (int32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fd := max(min, t.next)
	s := t.tab.Load()
	for int(fd) < len(s.slot) && s.slot[fd].Load() != nil {
		fd++
	}
	if uint64(fd) >= limit {
		return -1, unix.EMFILE
	}
	if min <= t.next {
		t.next = fd + 1
	}
	d.IncRef()
	t.put(fd, d, cloexec)
	return fd, nil
}

// InstallAt puts d at fd (dup2), taking a reference, and closes what was
// there. EBADF if fd is outside limit.
func (t *FDTable) InstallAt(c Caller, d *Description, fd int32, cloexec bool, limit uint64) error {
	if fd < 0 || uint64(fd) >= limit {
		return unix.EBADF
	}
	d.IncRef()
	t.mu.Lock()
	old := t.put(fd, d, cloexec)
	t.mu.Unlock()
	if old != nil {
		t.closed(c, old)
	}
	return nil
}

// put stores d in slot fd, growing the table. t.mu is held.
func (t *FDTable) put(fd int32, d *Description, cloexec bool) (old *Description) {
	t.late.not(fd)
	if t.handed.Load() == d {
		t.HandOutNothing()
	}
	s := t.tab.Load()
	if int(fd) >= len(s.slot) {
		n := len(s.slot)
		for n <= int(fd) {
			n *= 2
		}
		bigger := newSlots(n)
		copy(bigger.cloexec, s.cloexec)
		for i := range s.slot {
			bigger.slot[i].Store(s.slot[i].Load())
		}
		t.tab.Store(bigger)
		s = bigger
	}
	old = s.slot[fd].Swap(d)
	s.cloexec[fd] = cloexec
	if old == nil {
		t.used++
	} else {
		old.Disturb()
	}
	return old
}

// Remove takes fd out of the table and hands its reference to the caller; nil
// if fd is not open.
func (t *FDTable) Remove(fd int32) *Description {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tab.Load()
	if fd < 0 || int(fd) >= len(s.slot) {
		return nil
	}
	d := s.slot[fd].Swap(nil)
	if d != nil {
		t.late.not(fd)
		t.used--
		t.next = min(t.next, fd)
		d.Disturb()
	}
	return d
}

// Close is close(2): the descriptor is gone whatever error comes back.
func (t *FDTable) Close(c Caller, fd int32) error {
	d := t.Remove(fd)
	if d == nil {
		return unix.EBADF
	}
	return t.closed(c, d)
}

// closed does what the closing of a descriptor of d means and drops its reference.
func (t *FDTable) closed(c Caller, d *Description) error {
	var err error
	if f, ok := d.file.(Flusher); ok {
		err = f.Flush(c)
	}
	d.dropPOSIXLocks(c, t)
	d.DecRef(c)
	return err
}

// CloseOnExec reports the close-on-exec flag of fd.
func (t *FDTable) CloseOnExec(fd int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tab.Load()
	return fd >= 0 && int(fd) < len(s.slot) && s.cloexec[fd]
}

// SetCloseOnExec sets the close-on-exec flag of fd; false if it is not open.
func (t *FDTable) SetCloseOnExec(fd int32, on bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tab.Load()
	if fd < 0 || int(fd) >= len(s.slot) || s.slot[fd].Load() == nil {
		return false
	}
	s.cloexec[fd] = on
	return true
}

// DoExec closes the close-on-exec descriptors.
func (t *FDTable) DoExec(c Caller) {
	t.closeWhere(c, func(_ int32, cloexec bool) bool { return cloexec })
}

// CloseRange closes [first, last] (close_range(2)).
func (t *FDTable) CloseRange(c Caller, first, last uint32) {
	t.closeWhere(c, func(fd int32, _ bool) bool { return uint32(fd) >= first && uint32(fd) <= last })
}

// SetCloseOnExecRange marks [first, last] close-on-exec (CLOSE_RANGE_CLOEXEC).
func (t *FDTable) SetCloseOnExecRange(first, last uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tab.Load()
	for fd := uint64(first); fd <= uint64(last) && fd < uint64(len(s.slot)); fd++ {
		s.cloexec[fd] = true
	}
}

func (t *FDTable) closeWhere(c Caller, want func(fd int32, cloexec bool) bool) {
	var gone []*Description
	t.mu.Lock()
	s := t.tab.Load()
	for fd := range s.slot {
		if s.slot[fd].Load() != nil && want(int32(fd), s.cloexec[fd]) {
			d := s.slot[fd].Swap(nil)
			t.late.not(int32(fd))
			d.Disturb()
			gone = append(gone, d)
			t.used--
			t.next = min(t.next, int32(fd))
		}
	}
	t.mu.Unlock()
	for _, d := range gone {
		t.closed(c, d)
	}
}

// FDs returns the open descriptors in ascending order.
func (t *FDTable) FDs() []int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tab.Load()
	fds := make([]int32, 0, t.used)
	for fd := range s.slot {
		if s.slot[fd].Load() != nil {
			fds = append(fds, int32(fd))
		}
	}
	return fds
}

// Copy returns a table with the same descriptors (fork), with one reference.
func (t *FDTable) Copy() *FDTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tab.Load()
	n := &FDTable{next: t.next, used: t.used}
	n.refs.Store(1)
	slots := newSlots(len(s.slot))
	copy(slots.cloexec, s.cloexec)
	for i := range s.slot {
		if d := s.slot[i].Load(); d != nil {
			d.IncRef()
			slots.slot[i].Store(d)
		}
	}
	n.tab.Store(slots)
	t.share()
	return n
}
