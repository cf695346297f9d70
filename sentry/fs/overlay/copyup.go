package overlay

import (
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// copyUp makes sure that the file is in the upper layer; withData says whether a regular file's bytes are wanted.
func (in *inode) copyUp(withData bool) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.upper != nil {
		return nil
	}
	up, err := in.makeCopy()
	if err != nil {
		return err
	}
	if withData && in.lower.Base().Type() == unix.S_IFREG {
		err = copyData(in.lower, up)
	}
	if err == nil {
		err = copyAttributes(in.lower, up)
	}
	if err != nil {
		if !in.removed {
			_ = in.parent.upper.Unlink(nil, in.name, up, false) // the first error is the one that counts
		}
		vfs.DecRefInode(up)
		return err
	}
	in.fs.mu.Lock()
	in.fs.inodes[up.Base()] = in
	in.fs.mu.Unlock()
	in.upper = up
	return nil
}

// makeCopy makes the empty file in the upper layer. in.mu is held.
func (in *inode) makeCopy() (vfs.Inode, error) {
	low := in.lower.Base()
	a := &vfs.CreateArgs{Mode: low.Mode(), UID: low.UID(), GID: low.GID(), Rdev: low.Rdev, Intent: vfs.NoIntent}
	if low.Type() == unix.S_IFLNK {
		var err error
		if a.Target, err = in.lower.Readlink(nil); err != nil {
			return nil, err
		}
	}
	if in.removed {
		return in.fs.upper.Root().Inode().(vfs.TmpfileMaker).Tmpfile(nil, a)
	}
	if err := in.parent.copyUp(false); err != nil {
		return nil, err
	}
	return in.parent.upper.Create(nil, in.name, a)
}

// describe wraps an inode so that its file can be read and written here.
func describe(in vfs.Inode, flags uint32) (*vfs.Description, error) {
	in.Base().IncRef()
	p := vfs.NewNamelessPath(in, "")
	f, err := in.Open(nil, p, flags)
	if err != nil {
		p.DecRef()
		return nil, err
	}
	return vfs.NewDescription(f, p, flags), nil
}

// copyData copies the bytes of a regular file; holes stay holes.
func copyData(from, to vfs.Inode) error {
	src, err := describe(from, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer src.DecRef(nil)
	dst, err := describe(to, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer dst.DecRef(nil)
	buf := make([]byte, 256<<10)
	off := int64(0)
	for {
		n, err := src.ReadAt(nil, usermem.BytesSeq(buf), off)
		if err != nil || n == 0 {
			if err == nil {
				err = to.SetAttr(nil, &vfs.SetAttr{Mask: vfs.SetSize, Size: off})
			}
			return err
		}
		if !allZero(buf[:n]) {
			for b := buf[:n]; len(b) > 0; {
				k, err := dst.WriteAt(nil, usermem.BytesSeq(b), off+n-int64(len(b)))
				if err != nil {
					return err
				}
				if k == 0 {
					return unix.ENOSPC
				}
				b = b[k:]
			}
		}
		off += n
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// copyAttributes copies extended attributes and times, and notes where the copy is from.
func copyAttributes(from, to vfs.Inode) error {
	names, err := from.ListXattr(nil)
	if err != nil && err != unix.EOPNOTSUPP {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, xattrPrefix) {
			continue
		}
		v, err := from.GetXattr(nil, n)
		if err == nil {
			err = to.SetXattr(nil, n, v, 0)
		}
		if err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
			return err
		}
	}
	if err := to.SetXattr(nil, originXattr, []byte(utoa(from.Base().Ino())), 0); err != nil {
		return err
	}
	var st unix.Statx_t
	if err := from.Stat(nil, &st); err != nil {
		return err
	}
	return to.SetAttr(nil, &vfs.SetAttr{Mask: vfs.SetATime | vfs.SetMTime, ATime: nanos(st.Atime), MTime: nanos(st.Mtime)})
}

func nanos(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }
