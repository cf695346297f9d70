package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// walkAttr answers TWalkAttr; see package wire for the fields.
func (s *server) walkAttr(d *wire.Decoder, e *wire.Encoder) (int, error) {
	n, newN, open, count := d.U32(), d.U32(), d.U32(), d.U16()
	f, err := s.lookup(n)
	if err == nil {
		err = take(d)
	}
	if err == nil && newN != wire.NoFID {
		err = s.checkNew(newN)
	}
	if err == nil && count > wire.MaxWalk {
		err = unix.EINVAL
	}
	if err != nil {
		return -1, err
	}
	at := len(e.B)
	e.U32(0)
	e.U16(0)
	last, done, werr := s.walkNames(f, d, e, int(count))
	if last == nil { // malformed, or nothing at all could be had
		return -1, werr
	}
	donated := -1
	if werr == nil && done == int(count) && open != wire.NoOpen && last.mode == unix.S_IFREG {
		donated, werr = s.openData(last, open)
	}
	if newN != wire.NoFID && done == int(count) {
		s.fids[newN] = last
	} else {
		last.close()
	}
	if count == 0 {
		done = 1
	}
	putU32(e.B[at:], uint32(errnoOf(werr)))
	e.B[at+4], e.B[at+5] = byte(done), byte(done>>8)
	return donated, nil
}

func putU32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func errnoOf(err error) unix.Errno {
	if err == nil {
		return 0
	}
	return toErrno(err)
}

// walkNames walks count names of d from f and appends the attributes of each file reached. It returns a fid (in no
// table yet) for the last one reached, how many names were walked, and why it stopped before the end.
func (s *server) walkNames(f *fid, d *wire.Decoder, e *wire.Encoder, count int) (last *fid, done int, err error) {
	cur, err := unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, 0, err
	}
	a := wire.Attr{Mode: f.mode}
	if count == 0 {
		if err = appendAttr(e, cur, &a, true); err != nil {
			unix.Close(cur)
			return nil, 0, err
		}
	}
	for ; done < count; done++ {
		name := d.Str()
		if d.Err() != nil {
			unix.Close(cur)
			return nil, 0, unix.EINVAL
		}
		if mode := a.Mode & unix.S_IFMT; mode == unix.S_IFLNK && done > 0 {
			break // the client resolves it and asks again
		} else if mode != unix.S_IFDIR {
			err = unix.ENOTDIR
			break
		}
		var next int
		if next, err = openChild(cur, name, unix.O_PATH, 0); err != nil {
			break
		}
		if err = appendAttr(e, next, &a, true); err != nil {
			unix.Close(next)
			break
		}
		unix.Close(cur)
		cur = next
	}
	return newFID(cur, a.Mode), done, err
}

// appendAttr appends the attributes of fd and, if asked, the target where it is a symbolic link.
func appendAttr(e *wire.Encoder, fd int, a *wire.Attr, target bool) error {
	if err := statFD(fd, a); err != nil {
		return err
	}
	var link string
	isLink := target && a.Mode&unix.S_IFMT == unix.S_IFLNK
	if isLink {
		var err error
		if link, err = readlink(fd); err != nil {
			return err
		}
	}
	e.Attr(a)
	if isLink {
		e.Str(link)
	}
	return nil
}

// make answers TMake.
func (s *server) make(d *wire.Decoder, e *wire.Encoder) (int, error) {
	dir, err := s.takeDir(d)
	if err != nil {
		return -1, err
	}
	newN := d.U32()
	m := newFile{name: d.Str(), mode: d.U32(), uid: d.U32(), gid: d.U32(), rdev: d.U64(), target: d.Str()}
	open := d.U32()
	if err := s.checkWrite(d, m.name); err != nil {
		return -1, err
	}
	if newN != wire.NoFID {
		if err := s.checkNew(newN); err != nil {
			return -1, err
		}
	}
	var a wire.Attr
	fd, err := s.create(dir.fd, &m, &a)
	if err != nil {
		return -1, err
	}
	f := newFID(fd, a.Mode)
	donated := -1
	if open != wire.NoOpen && f.mode == unix.S_IFREG {
		if donated, err = s.openData(f, open); err != nil {
			f.close()
			return -1, err
		}
	}
	if newN != wire.NoFID {
		s.fids[newN] = f
	} else {
		f.close()
	}
	e.Attr(&a)
	return donated, nil
}

// openFD answers TOpenFD.
func (s *server) openFD(d *wire.Decoder, _ *wire.Encoder) (int, error) {
	f, err := s.takeFID(d)
	if err != nil {
		return -1, err
	}
	flags := d.U32()
	if err := take(d); err != nil {
		return -1, err
	}
	return s.openData(f, flags)
}

// changeAttr answers TChange.
func (s *server) changeAttr(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	c := decodeChange(d)
	if err := take(d); err != nil {
		return err
	}
	if err := s.setattr(f, &c); err != nil {
		return err
	}
	var a wire.Attr
	return appendAttr(e, f.fd, &a, false)
}

// xattrFile opens the file an extended attribute request names. Those of anything but regular files and directories
// are not served: reaching them needs a path.
func (s *server) xattrFile(f *fid) (int, error) {
	fd, err := s.reopen(f, unix.O_RDONLY)
	if err == unix.ENXIO {
		err = unix.EOPNOTSUPP
	}
	return fd, err
}

// getXattr answers TGetXattr.
func (s *server) getXattr(d *wire.Decoder, e *wire.Encoder) error {
	return s.xattr(d, func(fd int) error {
		name := d.Str()
		if err := take(d); err != nil {
			return err
		}
		b := make([]byte, wire.MaxXattr)
		n, err := unix.Fgetxattr(fd, name, b)
		if err == nil {
			e.Bytes(b[:n])
		}
		return err
	})
}

// setXattr answers TSetXattr.
func (s *server) setXattr(d *wire.Decoder, _ *wire.Encoder) error {
	return s.xattr(d, func(fd int) error {
		name, flags, value := d.Str(), d.U32(), d.Bytes()
		if err := take(d); err != nil {
			return err
		}
		if s.readOnly {
			return unix.EROFS
		}
		return unix.Fsetxattr(fd, name, value, int(flags))
	})
}

// listXattr answers TListXattr.
func (s *server) listXattr(d *wire.Decoder, e *wire.Encoder) error {
	return s.xattr(d, func(fd int) error {
		b := make([]byte, wire.MaxXattr) // XATTR_LIST_MAX is as much
		n, err := unix.Flistxattr(fd, b)
		if err == nil {
			e.Bytes(b[:n])
		}
		return err
	})
}

// removeXattr answers TRemoveXattr.
func (s *server) removeXattr(d *wire.Decoder, _ *wire.Encoder) error {
	return s.xattr(d, func(fd int) error {
		name := d.Str()
		if err := take(d); err != nil {
			return err
		}
		if s.readOnly {
			return unix.EROFS
		}
		return unix.Fremovexattr(fd, name)
	})
}

func (s *server) xattr(d *wire.Decoder, do func(fd int) error) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	fd, err := s.xattrFile(f)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}

// allocate answers TAllocate, for files the Sentry holds no writable descriptor of.
func (s *server) allocate(d *wire.Decoder, _ *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	mode, off, length := d.U32(), d.U64(), d.U64()
	if err := take(d); err != nil {
		return err
	}
	fd, err := s.openData(f, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fallocate(fd, mode, int64(off), int64(length))
}
