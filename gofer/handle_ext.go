package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// walkAttr answers TWalkAttr; see package wire for the fields.
func (s *server) walkAttr(d *wire.Decoder, e *wire.Encoder) (int, error) {
	f, err := s.takeFID(d)
	if err != nil {
		return -1, err
	}
	open, count := d.U32(), d.U16()
	if d.Err() != nil || count > wire.MaxWalk {
		return -1, unix.EINVAL
	}
	at := len(e.B)
	e.U32(0)
	e.U16(0)
	if count == 0 {
		var a wire.Attr
		if err := appendAttr(e, f.fd, &a, true); err != nil {
			return -1, err
		}
		e.B[at+4] = 1
		return -1, nil
	}
	last, done, werr := s.walkNames(f, d, e, int(count))
	donated := -1
	if werr == nil && done == int(count) && open != wire.NoOpen && last.mode == unix.S_IFREG {
		donated, werr = s.openData(last, open)
	}
	if last != f && !s.owned(last) {
		last.close()
	}
	putU32(e.B[at:], uint32(errnoOf(werr)))
	e.B[at+4], e.B[at+5] = byte(done), byte(done>>8)
	return donated, nil
}

// owned reports whether the table holds f.
func (s *server) owned(f *fid) bool { return f.num != wire.NoFID }

func putU32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func errnoOf(err error) unix.Errno {
	if err == nil {
		return 0
	}
	return toErrno(err)
}

// walkNames walks count names of d from f, appends the attributes of each file reached and puts it into the fid table
// where the client wants it there. It returns the last one reached (f if none), how many names were walked, and why
// it stopped before the end.
func (s *server) walkNames(f *fid, d *wire.Decoder, e *wire.Encoder, count int) (last *fid, done int, err error) {
	last = f
	for ; done < count; done++ {
		newN, name := d.U32(), d.Str()
		if err = take(d); err == nil && newN != wire.NoFID {
			err = s.checkNew(newN)
		}
		if err != nil {
			break
		}
		if last.mode == unix.S_IFLNK && done > 0 {
			break // the client resolves it and asks again
		} else if !last.isDir() {
			err = unix.ENOTDIR
			break
		}
		var next int
		if next, err = openChild(last.fd, name, unix.O_PATH, 0); err != nil {
			break
		}
		var a wire.Attr
		if err = appendAttr(e, next, &a, true); err != nil {
			unix.Close(next)
			break
		}
		if last != f && !s.owned(last) {
			last.close()
		}
		last = s.newFID(next, a.Mode)
		if last.num = newN; newN != wire.NoFID {
			s.fids[newN] = last
		}
	}
	return last, done, err
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
	open, after := d.U32(), d.U8()
	m.keep = open == unix.O_RDWR && m.mode&unix.S_IFMT == unix.S_IFREG
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
	f := s.newFID(fd, a.Mode)
	donated := -1
	if m.keep {
		donated = m.data
	} else if open != wire.NoOpen && f.mode == unix.S_IFREG {
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
	if after == 1 {
		dirAttr(e, dir.fd)
	}
	return donated, nil
}

// dirAttr appends what a directory is like after a change to it, which stands whether or not that can be told.
func dirAttr(e *wire.Encoder, dir int) {
	var a wire.Attr
	if statFD(dir, &a) != nil {
		a = wire.Attr{}
	}
	e.Attr(&a)
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
