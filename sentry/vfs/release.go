package vfs

import "golang.org/x/sys/unix"

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
	d.SetAsync(false, 0)
	d.unwatch()
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
	d.Disturb() // as Read
	d.off = f(d.off)
}

// Positional reports whether the description has an offset.
func (d *Description) Positional() bool { return d.positional }
