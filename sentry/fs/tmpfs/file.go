package tmpfs

import (
	"golang.org/x/sys/unix"
	"ringfort/sentry/memmap"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/steady"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

type seq = usermem.Seq

// regFile is an open regular file.
type regFile struct {
	vfs.FileBase
	in *inode
}

// zeros is what holes read as.
var zeros [64 << 10]byte

// Read copies pages out, holding a reference on them but no lock.
func (f *regFile) Read(c vfs.Caller, d *vfs.Description, dst seq, off int64) (int64, error) {
	in := f.in
	if off < 0 {
		return 0, unix.EINVAL
	}
	want := min(int64(dst.Len()), in.size.Load()-off)
	if want <= 0 {
		return 0, nil
	}
	if now := vfs.Now(c); vfs.AtimeStale(d.Path().Mount(), d.Flags(), false, now, in.atime.Load(), in.mtime.Load(), in.ctime.Load()) {
		in.atime.Store(now)
	}
	done := int64(0)
	for done < want {
		r, n, ok := in.obj.Hold(uint64(off+done), uint64(want-done))
		var k int
		var err error
		if ok {
			k, err = dst.CopyOut(in.fs.mem.Bytes(r))
			in.fs.mem.DecRef(pgalloc.Pages(r))
		} else {
			n = min(n, uint64(len(zeros)))
			k, err = dst.CopyOut(zeros[:n])
		}
		done += int64(k)
		if err != nil || k < int(n) {
			if done > 0 {
				err = nil
			}
			return done, err
		}
		dst = dst.Drop(k)
	}
	return done, nil
}

// A bringer has pages of the memory file made present by who is to account for them: where the host limits memory, it is
// the writer that waits when there are no more, or is killed, not the Sentry.
type bringer interface{ Bring(r memmap.Range) error }

const (
	bringMost   = 1 << 20  // at once
	bringAround = 64 << 10 // and as much ahead as there is
)

// bring has the pages of r, which are those at off, made present.
func (in *inode) bring(c vfs.Caller, off uint64, r memmap.Range) error {
	b, ok := c.(bringer)
	if !ok || in.fs.mem.Present(r) {
		return nil
	}
	if r.Len() < bringAround {
		if ahead, _, ok := in.obj.Hold(off&^usermem.PageMask, bringAround); ok {
			defer in.fs.mem.DecRef(pgalloc.Pages(ahead))
			r = ahead
		}
	}
	return b.Bring(pgalloc.Pages(r))
}

// Write copies pages in.
func (f *regFile) Write(c vfs.Caller, d *vfs.Description, src seq, off int64) (int64, int64, error) {
	done, end, err := f.in.write(c, src, off, d.Flags()&unix.O_APPEND != 0)
	if done == 0 {
		return 0, end, err
	}
	vfs.AfterWrite(c, f.in)
	return done, end, nil
}

// write copies src to off, or to the end, and returns how much and where that ended. An error may stand beside a part.
func (in *inode) write(c vfs.Caller, src seq, off int64, atEnd bool) (int64, int64, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if atEnd {
		off = in.size.Load()
	}
	n, err := in.room(c, off, src.Len())
	done := int64(0)
	for src = src.Take(n); done < int64(n); {
		r, length, ok := in.obj.Hold(uint64(off+done), uint64(min(int64(n)-done, bringMost)))
		if !ok {
			got := int64(0)
			if got, err = in.allocate(off+done, int64(n)-done); got == 0 {
				break
			}
			continue
		}
		k := 0
		if err = in.bring(c, uint64(off+done), r); err == nil {
			k, err = src.CopyIn(in.fs.mem.Bytes(r))
		}
		in.fs.mem.DecRef(pgalloc.Pages(r))
		done += int64(k)
		if err != nil || uint64(k) < length {
			break
		}
		src = src.Drop(k)
	}
	if end := off + done; done > 0 {
		if end > in.size.Load() {
			in.setSize(end)
		}
		in.touch(c)
	}
	return done, off + done, err
}

// room returns how many of n bytes c may write at off, but for what the file system has room for. in.mu is held.
func (in *inode) room(c vfs.Caller, off int64, n int) (int, error) {
	n, err := vfs.WriteLimit(c, off, n)
	if err != nil || n == 0 {
		return 0, err
	}
	if off > maxSize-int64(n) {
		return 0, unix.EFBIG
	}
	if s := in.seals.Load(); s&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0 {
		return 0, unix.EPERM
	} else if s&unix.F_SEAL_GROW != 0 && off+int64(n) > in.size.Load() {
		if n = int(max(0, in.size.Load()-off)); n == 0 {
			return 0, unix.EPERM
		}
	}
	return n, nil
}

// allocate backs [off, off+n) and returns how much of it there was room for. in.mu is held.
func (in *inode) allocate(off, n int64) (int64, error) {
	limit := off + n
	if in.fs.opts.Size == 0 {
		limit = max(limit, in.size.Load())
	}
	k, err := in.obj.Fill(uint64(off), uint64(n), uint64(roundUp(limit)))
	if err != nil {
		err = unix.ENOSPC
	}
	return int64(k), err
}

func roundUp(n int64) int64 { return (n + usermem.PageMask) &^ usermem.PageMask }

// setSize changes the size. in.mu is held for writing.
func (in *inode) setSize(n int64) {
	in.size.Store(n)
	in.sized.Disturb()
}

// truncate changes the size.
func (in *inode) truncate(c vfs.Caller, size int64) error {
	if in.Type() != unix.S_IFREG {
		return unix.EINVAL
	}
	in.mu.Lock()
	old := in.size.Load()
	s := in.seals.Load()
	if size < old && s&unix.F_SEAL_SHRINK != 0 || size > old && s&unix.F_SEAL_GROW != 0 {
		in.mu.Unlock()
		return unix.EPERM
	}
	in.setSize(size)
	if size < old {
		in.obj.Punch(uint64(size), uint64(roundUp(old)))
	}
	in.touch(c)
	in.mu.Unlock()
	if size < old {
		in.mappings.Invalidate(uint64(roundUp(size)), ^uint64(0)&^usermem.PageMask, false)
	}
	return nil
}

// Seek knows holes by what is backed.
func (f *regFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	size := f.in.size.Load()
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE || off < 0 || off >= size {
		return vfs.SeekSize(off, whence, cur, size)
	}
	for off < size {
		_, n, ok := f.in.obj.Lookup(uint64(off), uint64(size-off))
		if ok == (whence == unix.SEEK_DATA) {
			return off, nil
		}
		off += int64(n)
	}
	if whence == unix.SEEK_DATA {
		return 0, unix.ENXIO
	}
	return size, nil
}

// SizeMark implements vfs.Sized.
func (f *regFile) SizeMark() *steady.Mark { return &f.in.sized }

// Sync does nothing: memory is all there is.
func (*regFile) Sync(vfs.Caller, bool) error { return nil }

// Allocate is fallocate(2).
func (f *regFile) Allocate(c vfs.Caller, mode uint32, off, length int64) error {
	in := f.in
	if mode&^(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		return unix.EOPNOTSUPP
	}
	end := off + length
	in.mu.Lock()
	s := in.seals.Load()
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		if s&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0 {
			in.mu.Unlock()
			return unix.EPERM
		}
		in.obj.Punch(uint64(off), uint64(end))
		in.touch(c)
		in.mu.Unlock()
		in.mappings.Invalidate(uint64(roundUp(off)), uint64(end)&^usermem.PageMask, true)
		if mode&unix.FALLOC_FL_PUNCH_HOLE != 0 {
			return nil
		}
		in.mu.Lock()
	}
	defer in.mu.Unlock()
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 && end > in.size.Load() {
		if s&unix.F_SEAL_GROW != 0 {
			return unix.EPERM
		}
	}
	if in.obj.Missing(uint64(off), uint64(length)) > in.fs.quota.Room() {
		return unix.ENOSPC // and not in part
	}
	if got, err := in.allocate(off, length); got < length {
		return err
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 && end > in.size.Load() {
		in.setSize(end)
	}
	in.touch(c)
	return nil
}

// Mappable returns the inode: its pages are in the memory file.
func (f *regFile) Mappable(vfs.Caller, *vfs.Description) (memmap.Mappable, error) { return f.in, nil }

// Pages hands out the pages of a mapping, allocating them.
func (in *inode) Pages(off, n uint64, at usermem.Access) (memmap.File, memmap.Range, error) {
	end := uint64(roundUp(in.size.Load()))
	if off >= end {
		return nil, memmap.Range{}, memmap.ErrBeyondEnd
	}
	r, err := in.obj.Acquire(off, min(n, end-off), end)
	if err == unix.ENOSPC {
		// Whoever touches more than there is room for gets a bus error, as on Linux.
		return nil, memmap.Range{}, memmap.ErrBeyondEnd
	}
	return in.fs.mem, r, err
}

// Exact implements memmap.Exact.
func (in *inode) Exact(n uint64) bool { return !in.fs.quota.Roomy(n) }

// AddMapping notes a mapping; a sealed file refuses writable ones.
func (in *inode) AddMapping(s memmap.Space, r usermem.Range, off uint64, writable bool) error {
	if writable && in.seals.Load()&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0 {
		return unix.EPERM
	}
	in.mappings.Add(s, r, off, writable)
	return nil
}

// RemoveMapping forgets it.
func (in *inode) RemoveMapping(s memmap.Space, r usermem.Range, off uint64, writable bool) {
	in.mappings.Remove(s, r, off, writable)
}

// Sync has nothing to do.
func (in *inode) Sync(uint64, uint64) error { return nil }
