package vfs

import (
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Programs close half of the files that they open unnoticed: one that was read, and of which nobody waits to hear. A
// platform's stub answers such a close(2) by itself, and the kernel does it when the task next comes to it, before
// anything else. Until then the file counts as open for those who look from outside: in /proc/PID/fd, where it has no name
// any more, or where its mount is to go.

// lateDescriptors is how many descriptors, the lowest, can be closed so.
const lateDescriptors = 64

// lateClose says which descriptors of a table may be closed late. Only the one task that uses the table adds to them.
type lateClose struct {
	fds   atomic.Uint64
	never atomic.Bool
}

// withdraw says that none may, for now.
func (l *lateClose) withdraw() {
	if l.fds.Load() != 0 {
		l.fds.Store(0)
	}
}

// not says that fd may not.
func (l *lateClose) not(fd int32) {
	if bit := uint64(1) << uint32(fd); fd < lateDescriptors && l.fds.Load()&bit != 0 {
		l.fds.And(^bit)
	}
}

// MayCloseLate returns the descriptors that may be closed late, bit n for descriptor n.
func (t *FDTable) MayCloseLate() uint64 { return t.late.fds.Load() }

// NeverCloseLate says that no close may be late from now on: closing sets locks free (fcntl(2), flock(2)) that the task has
// taken, or somebody else who has a descriptor of the same description.
func (t *FDTable) NeverCloseLate() {
	t.late.never.Store(true)
	t.share()
}

// share is called when somebody else gets what is open: he may lock it, and wait for us to close it, or read it.
func (t *FDTable) share() {
	t.late.withdraw()
	t.HandOutNothing()
}

// OfferCloseLate says that fd, which was just opened as d, may be closed late, unless somebody could notice. The only task
// that uses the table calls it.
func (t *FDTable) OfferCloseLate(fd int32, d *Description) {
	if fd >= lateDescriptors || t.late.never.Load() || t.Shared() || !d.unnoticed() {
		return
	}
	t.late.fds.Or(1 << uint32(fd))
}

// CloseLate closes what was closed meanwhile.
func (t *FDTable) CloseLate(c Caller, fds uint64) {
	for ; fds != 0; fds &= fds - 1 {
		_ = t.Close(c, int32(bits.TrailingZeros64(fds))) // of a file that was read nothing can fail
	}
}

// unnoticed reports whether d is a regular file for reading, and nobody watches it.
func (d *Description) unnoticed() bool {
	b := d.path.dentry.inode.Base()
	if b.Type() != unix.S_IFREG || d.Writable() || b.watches.Load() != nil {
		return false
	}
	p := d.path.dentry.Parent()
	return p == nil || p.inode.Base().watches.Load() == nil
}
