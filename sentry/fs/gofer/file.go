package goferfs

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/platform/fdroom"
	"ringfort/sentry/memmap"
	"ringfort/sentry/steady"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Open opens a directory or a regular file.
func (in *inode) Open(_ vfs.Caller, _ vfs.Path, flags uint32) (vfs.File, error) {
	switch in.Type() {
	case unix.S_IFDIR:
		return &dirFile{in: in}, nil
	case unix.S_IFREG:
	default:
		return nil, unix.ENXIO
	}
	f := &regFile{in: in, own: -1}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		in.told.Disturb() // Show relies on it
	}
	if own := flags & (unix.O_DIRECT | unix.O_SYNC | unix.O_DSYNC); own != 0 {
		// These belong to one description: it gets a descriptor of its own.
		fid, err := in.getFID()
		if err != nil {
			return nil, err
		}
		if f.own, err = in.fs.openData(fid, own|openIntent(flags)); err != nil {
			return nil, err
		}
	}
	var err error
	if f.h, err = in.open(flags&unix.O_ACCMODE != unix.O_RDONLY); err != nil {
		if f.own >= 0 {
			unix.Close(f.own)
		}
		return nil, err
	}
	return f, nil
}

// openData asks for a descriptor; if either side is out of them it drops cached files and tries once more.
func (fs *fileSystem) openData(fid FID, flags uint32) (int, error) {
	fd, err := fs.client.Open(fid, flags)
	if err == unix.EMFILE || err == unix.ENFILE {
		fs.sb.Shrink()
		fd, err = fs.client.Open(fid, flags)
	}
	return fd, err
}

// open makes sure that there is a descriptor fit for use and counts a user; close undoes it.
func (in *inode) open(write bool) (*hostFile, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.needFD(write); err != nil {
		return nil, err
	}
	in.kept.Store(false)
	in.opens++
	return in.data, nil
}

// needFD gets a descriptor, writable if asked. in.mu is held.
func (in *inode) needFD(write bool) error {
	if in.data != nil && (!write || in.data.rw.Load() >= 0) {
		return nil
	}
	if !write && !in.fs.shared {
		if fd, of := in.fs.ahead.take(in.key); fd >= 0 {
			in.putFD(fd, false)
			if of != nil {
				in.openNext(of)
			}
			return nil
		}
		if in.fid == NoFID {
			if fd, err := in.openFirst(); err == nil {
				in.putFD(fd, false)
				return nil
			}
			// Something on the way was moved, perhaps: go one step at a time.
		}
	}
	flags := uint32(unix.O_RDONLY)
	if write {
		flags = unix.O_RDWR
	}
	if in.fid == NoFID {
		// Found and opened at once; where only the second failed, it is tried again to learn why.
		_, err := in.learnFID(flags)
		if err != nil || in.data != nil && (!write || in.data.rw.Load() >= 0) {
			return err
		}
	}
	fd, err := in.fs.openData(in.fid, flags)
	if err != nil {
		return err
	}
	in.putFD(fd, write)
	return nil
}

// forgetAhead closes what was opened of the file before anybody asked, also if it is going to come with a listing that is
// under way (putListed). The host has changed the file, or has opened it for that.
func (in *inode) forgetAhead() {
	in.fs.gen.Add(1)
	in.fs.ahead.drop(in.key)
}

// raised notes that the host was asked to change the data of the file, or opened it for that: on overlayfs a descriptor opened
// before may be of the file below, for ever. What is read from it is true, what is mapped is not. in.mu is held.
func (in *inode) raised() {
	if h := in.data; in.fs.layered && h != nil && h.ro.Load() >= 0 && !h.above {
		h.below = true
	}
}

// renew gets another descriptor for reading if that is needed (raised). in.mu is held.
func (in *inode) renew() error {
	if !in.data.below {
		return nil
	}
	fid, err := in.getFIDLocked()
	if err != nil {
		return err
	}
	fd, err := in.fs.openData(fid, unix.O_RDONLY)
	if err != nil {
		return err
	}
	in.data.renew(int32(fd))
	in.data.below, in.data.above = false, true
	return nil
}

// putFD stores a descriptor, or closes it if one like it is there. in.mu is held.
func (in *inode) putFD(fd int, write bool) {
	if in.data == nil {
		in.data = newHostFile()
		in.hasData.Store(true)
	}
	slot := &in.data.ro
	if write {
		slot = &in.data.rw
		in.forgetAhead()
		in.raised()
	}
	if !slot.CompareAndSwap(-1, int32(fd)) {
		unix.Close(fd)
	}
}

// adoptFD takes a descriptor that came with a walk or a creation.
func (in *inode) adoptFD(fd int, write bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.Type() != unix.S_IFREG {
		unix.Close(fd)
		return
	}
	fresh := in.data == nil
	in.putFD(fd, write)
	if fresh && in.opens == 0 {
		in.keep()
	}
}

// close gives up a use. Descriptors nobody uses stay with the file for the next opening, within bounds.
func (in *inode) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.opens--; in.opens > 0 {
		return
	}
	in.dropLocks()
	switch {
	case in.data == nil:
	case in.fs.shared && in.data.rw.Load() >= 0:
		in.closeData() // others cannot execute what is open for writing
	default:
		in.keep()
	}
}

// closeData lets go of the descriptors; mappings keep them open as long as they need. in.mu is held.
func (in *inode) closeData() {
	in.kept.Store(false)
	if in.data != nil {
		if !in.fs.shared && in.stale.Load() {
			in.fromData() // cheaper now than a round trip later
		}
		in.rewrites.forget()
		closeFD := closeNow
		if in.fs.exact && in.data.rw.Load() < 0 && in.Nlink() > 0 {
			closeFD = fdroom.CloseLater // it frees no blocks, and the host's own file systems do that without delay
		}
		in.data.drop(1, closeFD)
		in.data = nil
		in.hasData.Store(false)
	}
}

// sync writes the file to the disk.
func (in *inode) sync(dataOnly bool) error {
	in.mu.Lock()
	h := in.data
	if h != nil {
		in.touch() // the times are to last as well
		h.refs.Add(1)
	}
	in.mu.Unlock()
	in.dirty.Store(false)
	if h == nil {
		fid, err := in.getFID()
		if err != nil {
			return err
		}
		return in.fs.client.Sync(fid)
	}
	defer h.drop(1, closeNow)
	if dataOnly {
		return unix.Fdatasync(h.any())
	}
	return unix.Fsync(h.any())
}

// regFile is an open regular file. As long as it is open, in.data stays.
type regFile struct {
	vfs.FileBase
	in  *inode
	h   *hostFile // in.data, which does not change while a file is open
	own int       // descriptor of this description alone, -1 if it shares the inode's
}

// Release closes the file.
func (f *regFile) Release(vfs.Caller) {
	f.in.settle()
	if f.own >= 0 {
		unix.Close(f.own)
	}
	f.in.close()
}

// fd returns the descriptor for reading or writing.
func (f *regFile) fd(write bool) int {
	switch {
	case f.own >= 0:
		return f.own
	case write:
		return int(f.h.rw.Load())
	}
	return f.h.any()
}

// Read reads straight into application memory.
func (f *regFile) Read(c vfs.Caller, d *vfs.Description, dst usermem.Seq, off int64) (int64, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	fd := f.fd(false)
	if !f.in.stale.Load() {
		f.in.spoil() // the access time
	}
	if n, ok := f.reread(dst, off); ok {
		return n, nil
	}
	f.in.settle() // whether the access time is due depends on when the file was last written to
	n, err := transfer(dst, usermem.Write, fd, off, unix.SYS_PREADV2, 0, nil)
	if err != nil && n == 0 {
		return 0, err
	}
	f.h.rereads.read(off + int64(n))
	return int64(n), nil
}

// Write writes straight from application memory.
func (f *regFile) Write(c vfs.Caller, d *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	n, err := vfs.WriteLimit(c, max(off, 0), src.Len())
	if err != nil || n == 0 {
		return 0, off, err
	}
	if n < src.Len() {
		src = src.Take(n)
	}
	fd := f.fd(true)
	in := f.in
	appending := d.Flags()&unix.O_APPEND != 0
	if !appending && f.rewrite(src, off) {
		return int64(n), off + int64(n), nil
	}
	flags := 0
	if appending {
		flags = unix.RWF_APPEND
		in.appendMu.Lock()
		defer in.appendMu.Unlock()
	}
	f.h.rereads.written()
	in.spoil()
	changes := in.rewrites.changes.Load()
	n, err = transfer(src, usermem.Read, fd, off, unix.SYS_PWRITEV2, flags, in)
	if n == 0 {
		return 0, off, err
	}
	in.dirty.Store(true)
	end := off + int64(n)
	if appending {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil {
			end = st.Size
		}
	}
	for {
		old := in.size.Load()
		if end <= old {
			break
		}
		if in.size.CompareAndSwap(old, end) {
			in.sized.Disturb()
			break
		}
	}
	in.spoil()
	if m := in.Mode(); m&(unix.S_ISUID|unix.S_ISGID) != 0 {
		in.afterSetIDWrite(c, m)
	} else if f.own < 0 && !appending {
		f.wrote(end, changes)
	}
	return int64(n), end, nil
}

// afterSetIDWrite settles the set-ID bits after a write: the host took them away, for the Sentry is nobody there; a
// writer with CAP_FSETID keeps them.
func (in *inode) afterSetIDWrite(c vfs.Caller, mode uint32) {
	if c == nil || !c.Creds().HasCap(unix.CAP_FSETID) {
		vfs.AfterWrite(c, in)
		return
	}
	fid, err := in.getFID()
	if err != nil {
		return // the data is written; the bits stay off
	}
	if a, err := in.fs.client.SetAttr(fid, &Change{Valid: wire.SetMode, Mode: mode & 07777}); err == nil {
		in.setAttr(&a)
	}
}

// Seek asks the host about holes, itself about the rest.
func (f *regFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	switch whence {
	case unix.SEEK_DATA, unix.SEEK_HOLE:
		if off < 0 {
			return 0, unix.ENXIO
		}
		return unix.Seek(f.fd(false), off, int(whence))
	case unix.SEEK_END:
		if f.in.fs.shared {
			if err := f.in.refresh(); err != nil {
				return 0, err
			}
		}
	}
	return vfs.SeekSize(off, whence, cur, f.in.size.Load())
}

// SizeMark implements vfs.Sized.
func (f *regFile) SizeMark() *steady.Mark {
	if f.in.fs.shared {
		return nil
	}
	return &f.in.sized
}

// NoteStat implements vfs.StatNoter.
func (f *regFile) NoteStat() (steady.Stamp, bool) {
	in := f.in
	if in.fs.shared || in.refresh() != nil {
		return steady.Stamp{}, false
	}
	s := in.told.Note()
	return s, !in.stale.Load()
}

// Size implements vfs.StatNoter.
func (f *regFile) Size() int64 { return f.in.size.Load() }

// Show implements vfs.Shower. Who writes to a mapping of the file has opened it for that.
func (f *regFile) Show(b []byte) (int, steady.Stamp) {
	in := f.in
	s := in.told.Note()
	size := in.size.Load()
	if in.fs.shared || f.own >= 0 || size == 0 || size > int64(len(b)) || !in.Steady() {
		return 0, s
	}
	b = b[:size]
	if n, ok := f.reread(usermem.BytesSeq(b), 0); ok {
		return int(n), s
	}
	in.settle()
	n, err := unix.Pread(f.h.any(), b, 0)
	if err != nil || n < len(b) {
		return 0, s
	}
	f.h.rereads.read(size)
	return n, s
}

// Shown implements vfs.Shower.
func (f *regFile) Shown() { f.in.spoil() } // the access time

// Sync writes the file to the disk.
func (f *regFile) Sync(_ vfs.Caller, dataOnly bool) error {
	if f.own < 0 {
		return f.in.sync(dataOnly)
	}
	f.in.settle()
	if dataOnly {
		return unix.Fdatasync(f.own)
	}
	return unix.Fsync(f.own)
}

// Allocate is fallocate(2).
func (f *regFile) Allocate(_ vfs.Caller, mode uint32, off, length int64) error {
	fd := f.fd(true)
	f.in.hold()
	defer f.in.rewrites.mu.RUnlock()
	if err := unix.Fallocate(fd, mode, off, length); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	f.in.setStat(&st)
	f.in.dirty.Store(true)
	return nil
}

// Mappable returns the inode, after making sure that there is a read-only descriptor to map through.
func (f *regFile) Mappable(_ vfs.Caller, d *vfs.Description) (memmap.Mappable, error) {
	in := f.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.data.ro.Load() < 0 {
		fid, err := in.getFIDLocked()
		if err != nil {
			return nil, err
		}
		fd, err := in.fs.openData(fid, unix.O_RDONLY)
		if err != nil {
			return nil, err
		}
		in.putFD(fd, false)
	}
	return in, in.renew()
}

// HostFD returns a descriptor for the host's own copying between files (copy_file_range, sendfile).
func (f *regFile) HostFD(write bool) int {
	f.in.settle() // as for Read
	return f.fd(write)
}

// Wrote tells that the host file was written to by other means than Write.
func (f *regFile) Wrote() {
	f.in.spoil()
	f.in.dirty.Store(true)
	_ = f.in.refreshSize()
}

func (in *inode) refreshSize() error {
	in.spoil()
	return in.refresh()
}

// Tmpfile makes a file and takes its name away again: 9P knows none without.
func (in *inode) Tmpfile(c vfs.Caller, a *vfs.CreateArgs) (vfs.Inode, error) {
	for {
		name := tmpName()
		child, err := in.Create(c, name, a)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return nil, err
		}
		fid, err := in.getFID()
		if err == nil {
			err = in.fs.client.Unlink(fid, name, 0)
		}
		if err != nil {
			vfs.DecRefInode(child)
			return nil, err
		}
		in.changed(name, false)
		child.(*inode).lostName(false)
		return child, nil
	}
}
