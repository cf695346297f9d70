package vfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// release is called when the last reference to d is gone.
func (d *Description) release(c Caller) {
	in := d.path.dentry.inode
	b := in.Base()
	if d.flags.Load()&unix.O_PATH == 0 {
		d.dropDescriptionLocks(b)
		ev := uint32(unix.IN_CLOSE_NOWRITE)
		if d.flags.Load()&unix.O_ACCMODE != unix.O_RDONLY {
			ev = unix.IN_CLOSE_WRITE
		}
		notifyPath(d.path, ev)
	}
	if b.opens.Add(-1) == 0 {
		notifyUnused(in)
	}
	d.file.Release(c)
	if d.wrote {
		b.putWrite()
	}
	if d.execs {
		b.allowWrite()
	}
	d.path.DecRef()
}

// Inode returns the file the description is of.
func (d *Description) Inode() Inode { return d.path.dentry.inode }

// asyncOwner is who gets SIGIO for a description (F_SETOWN, F_SETOWN_EX, F_SETSIG).
type asyncOwner struct {
	mu    sync.Mutex
	kind  int32 // F_OWNER_*
	id    int32
	owner any // of package kernel: what id meant when it was set
	sig   int32
}

// SetOwner is F_SETOWN_EX; owner is what the caller's IDs mean, kept for delivery. id 0 removes the owner.
func (d *Description) SetOwner(kind, id int32, owner any) {
	d.async.mu.Lock()
	d.async.kind, d.async.id, d.async.owner = kind, id, owner
	d.async.mu.Unlock()
}

// Owner is F_GETOWN_EX.
func (d *Description) Owner() (kind, id int32, owner any) {
	d.async.mu.Lock()
	defer d.async.mu.Unlock()
	return d.async.kind, d.async.id, d.async.owner
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

// Offset returns the file offset, for /proc/PID/fdinfo.
func (d *Description) Offset() int64 {
	d.offMu.Lock()
	defer d.offMu.Unlock()
	return d.off
}

// WithOffset calls f with the offset held still; f returns the new one (sendfile, splice, copy_file_range).
func (d *Description) WithOffset(f func(off int64) int64) {
	d.offMu.Lock()
	defer d.offMu.Unlock()
	d.off = f(d.off)
}

// Positional reports whether the description has an offset.
func (d *Description) Positional() bool { return d.positional }
