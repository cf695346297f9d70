package vfs

import (
	"math"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/sentry/wait"
)

// lockState is the advisory locks on one file: flock(2) and fcntl(2) locks, which do not see each other.
type lockState struct {
	mu      sync.Mutex
	flocks  []flockLock
	records []RecordLock // sorted by start
	queue   wait.Queue   // notified of every release

	// host is asked for what the file's users here hold together, nil if nobody else has the file.
	host      HostLocker
	hostFlock int // what is held there: LOCK_SH, LOCK_EX or LOCK_UN
}

type flockLock struct {
	owner     *Description
	exclusive bool
}

// RecordLock is a byte-range lock: [Start, End), End math.MaxInt64 for "to the end, wherever".
type RecordLock struct {
	Start, End int64
	Write      bool
	// Owner is the *FDTable of a POSIX lock, the *Description of an open-file-description lock.
	Owner any
	PID   int32 // as F_GETLK shows it; -1 for description locks
}

// LockEOF is the End of a lock without one.
const LockEOF = math.MaxInt64

func (d *Description) lockState() *lockState {
	in := d.Inode()
	b := in.Base()
	for {
		if l := b.locks.Load(); l != nil {
			return l
		}
		l := &lockState{hostFlock: unix.LOCK_UN}
		if h, ok := in.(HostLocker); ok && h.LocksOnHost() {
			l.host = h
		}
		b.locks.CompareAndSwap(nil, l)
	}
}

// Flock is flock(2); op is LOCK_SH, LOCK_EX or LOCK_UN, LOCK_NB with them. It waits on behalf of c.
func (d *Description) Flock(c Caller, op int32) error {
	l := d.lockState()
	nb := op&unix.LOCK_NB != 0
	switch op &^ unix.LOCK_NB {
	case unix.LOCK_UN:
		l.unflock(d)
		return nil
	case unix.LOCK_SH, unix.LOCK_EX:
	default:
		return unix.EINVAL
	}
	exclusive := op&unix.LOCK_EX != 0
	err := l.tryFlock(d, exclusive)
	if err != unix.EAGAIN || nb {
		return err
	}
	w := wait.Waiter{To: c}
	l.queue.Add(&w, wait.Internal)
	defer w.Remove()
	p := l.patience()
	for {
		if err := l.tryFlock(d, exclusive); err != unix.EAGAIN {
			return err
		}
		if err := p.block(c); err != nil {
			return err
		}
	}
}

// tryFlock takes the lock, or changes its kind; EAGAIN if somebody else is in the way. As on Linux a change gives the old
// lock up first, even if the new one cannot be had.
func (l *lockState) tryFlock(d *Description, exclusive bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.flocks {
		if f.owner == d {
			if f.exclusive == exclusive {
				return nil
			}
			l.flocks = slices.Delete(l.flocks, i, i+1)
			l.queue.Notify(wait.Internal)
			break
		}
	}
	for _, f := range l.flocks {
		if exclusive || f.exclusive {
			return unix.EAGAIN
		}
	}
	if err := l.askFlock(exclusive); err != nil {
		return err
	}
	l.flocks = append(l.flocks, flockLock{d, exclusive})
	return nil
}

func (l *lockState) unflock(d *Description) {
	l.mu.Lock()
	n := len(l.flocks)
	l.flocks = slices.DeleteFunc(l.flocks, func(f flockLock) bool { return f.owner == d })
	changed := len(l.flocks) != n
	if len(l.flocks) == 0 {
		l.endFlock()
	}
	l.mu.Unlock()
	if changed {
		l.queue.Notify(wait.Internal)
	}
}

func (a *RecordLock) overlaps(b *RecordLock) bool { return a.Start < b.End && b.Start < a.End }

// conflict returns a lock in the way of r. l.mu is held.
func (l *lockState) conflict(r *RecordLock) *RecordLock {
	for i := range l.records {
		o := &l.records[i]
		if o.Owner != r.Owner && o.overlaps(r) && (o.Write || r.Write) {
			return o
		}
	}
	return nil
}

// GetLock is F_GETLK and F_OFD_GETLK: the lock in the way of r, nil if there is none.
func (d *Description) GetLock(r RecordLock) (*RecordLock, error) {
	l := d.lockState()
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.conflict(&r); o != nil {
		found := *o
		return &found, nil
	}
	if l.host != nil {
		return l.host.HostTestLock(r)
	}
	return nil, nil
}

// SetLock is F_SETLK, F_SETLKW and their F_OFD_ kin: it takes r, waiting on behalf of c if wanted. EAGAIN: somebody
// else holds it; EDEADLK: waiting would never end.
func (d *Description) SetLock(c Caller, r RecordLock, block bool) error {
	l := d.lockState()
	if _, err := l.tryRecord(&r); err != unix.EAGAIN || !block {
		return err
	}
	w := wait.Waiter{To: c}
	l.queue.Add(&w, wait.Internal)
	defer w.Remove()
	p := l.patience()
	for {
		holder, err := l.tryRecord(&r)
		if err != unix.EAGAIN {
			return err
		}
		if holder != nil && !lockWaits.begin(r.Owner, holder) {
			return unix.EDEADLK
		}
		err = p.block(c)
		lockWaits.end(r.Owner)
		if err != nil {
			return err
		}
	}
}

// Unlock is the same with F_UNLCK.
func (d *Description) Unlock(r RecordLock) {
	l := d.Inode().Base().locks.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	changed := l.carve(&r)
	if changed {
		l.endRecords(r.Start, r.End)
	}
	l.mu.Unlock()
	if changed {
		l.queue.Notify(wait.Internal)
	}
}

// tryRecord takes r, in place of what its owner held there. EAGAIN: holder is in the way, or, if that is nil, somebody
// outside of the sandbox.
func (l *lockState) tryRecord(r *RecordLock) (holder any, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.conflict(r); o != nil {
		return o.Owner, unix.EAGAIN
	}
	if l.host != nil {
		// Whoever else here has a lock there has one for reading, and so has r's owner then.
		typ := int16(unix.F_RDLCK)
		if r.Write {
			typ = unix.F_WRLCK
		}
		if err := l.host.HostLock(typ, r.Start, r.End); err != nil {
			return nil, err
		}
	}
	if l.carve(r) {
		defer l.queue.Notify(wait.Internal) // a write lock may have become a read lock
	}
	n := *r
	// Neighbours of the same kind become one.
	l.records = slices.DeleteFunc(l.records, func(o RecordLock) bool {
		if o.Owner == n.Owner && o.Write == n.Write && (o.End == n.Start || o.Start == n.End) {
			n.Start, n.End = min(n.Start, o.Start), max(n.End, o.End)
			return true
		}
		return false
	})
	i := slices.IndexFunc(l.records, func(o RecordLock) bool { return o.Start > n.Start })
	if i < 0 {
		i = len(l.records)
	}
	l.records = slices.Insert(l.records, i, n)
	return nil, nil
}

// carve takes r's owner's locks off r's range and reports whether there were any. l.mu is held.
func (l *lockState) carve(r *RecordLock) bool {
	changed := false
	var out []RecordLock
	for _, o := range l.records {
		if o.Owner != r.Owner || !o.overlaps(r) {
			out = append(out, o)
			continue
		}
		changed = true
		if o.Start < r.Start {
			left := o
			left.End = r.Start
			out = append(out, left)
		}
		if o.End > r.End {
			right := o
			right.Start = r.End
			out = append(out, right)
		}
	}
	if changed {
		slices.SortFunc(out, func(a, b RecordLock) int {
			switch {
			case a.Start < b.Start:
				return -1
			case a.Start > b.Start:
				return 1
			}
			return 0
		})
		l.records = out
	}
	return changed
}

// dropOwner releases all record locks of an owner.
func (b *InodeBase) dropOwner(owner any) {
	l := b.locks.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	n := len(l.records)
	l.records = slices.DeleteFunc(l.records, func(o RecordLock) bool { return o.Owner == owner })
	changed := len(l.records) != n
	if changed {
		l.endRecords(0, LockEOF)
	}
	l.mu.Unlock()
	if changed {
		l.queue.Notify(wait.Internal)
	}
}

// dropPOSIXLocks is what the closing of any descriptor of a file does: the closing process loses its POSIX locks on
// it (fcntl(2)).
func (d *Description) dropPOSIXLocks(_ Caller, t *FDTable) {
	if b := d.Inode().Base(); b.locks.Load() != nil {
		b.dropOwner(t)
	}
}

// dropDescriptionLocks releases the locks that belong to the description itself.
func (d *Description) dropDescriptionLocks(b *InodeBase) {
	if l := b.locks.Load(); l != nil {
		l.unflock(d)
		b.dropOwner(d)
	}
}

// lockGraph knows which owners of POSIX locks wait for which, to find deadlocks.
type lockGraph struct {
	mu    sync.Mutex
	waits map[any]any
}

var lockWaits = lockGraph{waits: map[any]any{}}

// begin notes that owner waits for holder; false if that closes a circle. Description locks take no part.
func (g *lockGraph) begin(owner, holder any) bool {
	if _, ok := owner.(*FDTable); !ok {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for o := holder; o != nil; o = g.waits[o] {
		if o == owner {
			return false
		}
	}
	g.waits[owner] = holder
	return true
}

func (g *lockGraph) end(owner any) {
	g.mu.Lock()
	delete(g.waits, owner)
	g.mu.Unlock()
}
