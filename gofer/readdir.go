package gofer

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// openDir opens a directory's entries for reading, from the start.
func (s *server) openDir(f *fid) error {
	fd, err := s.reopen(f, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		f.dir, f.pos = fd, 0
	}
	return err
}

// seekDir makes f's directory ready to be read from off.
func (s *server) seekDir(f *fid, off uint64) error {
	if int64(off) < 0 {
		return unix.EINVAL
	}
	if f.dir < 0 {
		if err := s.openDir(f); err != nil {
			return err
		}
	}
	// Also at 0: only a rewind shows what was made since the directory was opened.
	_, err := unix.Seek(f.dir, int64(off), unix.SEEK_SET)
	return err
}

// entries calls do for each directory entry after the host's offset off, until do says stop or the end is reached.
// The offset given with an entry is that from which the next would be read.
func (s *server) entries(f *fid, off uint64, do func(name []byte, typ uint8, ino, next uint64) bool) (eof bool, err error) {
	if err := s.seekDir(f, off); err != nil {
		return false, err
	}
	return s.dirEntries(f.dir, do)
}

// dirEntries is entries of an open directory from where it stands. do may not read another. A NUL follows the name in
// its memory, which is the next call's.
func (s *server) dirEntries(dir int, do func(name []byte, typ uint8, ino, next uint64) bool) (eof bool, err error) {
	if s.dents == nil {
		s.dents = make([]byte, 32<<10)
	}
	for {
		n, err := unix.Getdents(dir, s.dents)
		if err != nil || n == 0 {
			return err == nil, err
		}
		// struct linux_dirent64: ino[8] off[8] reclen[2] type[1] name NUL…
		for b := s.dents[:n]; len(b) >= 19; {
			reclen := int(binary.NativeEndian.Uint16(b[16:]))
			if reclen < 19 || reclen > len(b) {
				return false, unix.EIO
			}
			end := bytes.IndexByte(b[19:reclen], 0)
			if end < 0 {
				return false, unix.EIO
			}
			if !do(b[19:19+end], b[18], binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint64(b[8:])) {
				return false, nil
			}
			b = b[reclen:]
		}
	}
}

// readdir answers Treaddir fid[4] offset[8] count[4].
func (s *server) readdir(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeDir(d)
	if err != nil {
		return err
	}
	off := d.U64()
	_, count, err := s.ioRange(0, d.U32())
	if err == nil {
		err = take(d)
	}
	if err != nil {
		return err
	}
	if f.dir < 0 {
		return unix.EBADF
	}
	at := len(e.B)
	e.U32(0)
	_, err = s.entries(f, off, func(name []byte, typ uint8, ino, next uint64) bool {
		if len(e.B)-at-4+13+8+1+2+len(name) > count {
			return false
		}
		q := wire.QID{Path: ino}
		switch typ {
		case unix.DT_DIR:
			q.Type = wire.QTDir
		case unix.DT_LNK:
			q.Type = wire.QTSymlink
		}
		e.QID(q)
		e.U64(next)
		e.U8(q.Type)
		e.Name(name)
		return true
	})
	putU32(e.B[at:], uint32(len(e.B)-at-4))
	return err
}

// readdirAttr answers TReaddirAttr: entries together with their attributes, so that listing a directory is not a
// round trip for each.
func (s *server) readdirAttr(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeDir(d)
	if err != nil {
		return err
	}
	off := d.U64()
	_, count, err := s.ioRange(0, d.U32())
	if err == nil {
		err = take(d)
	}
	if err != nil {
		return err
	}
	at := len(e.B)
	e.U8(0)
	e.U32(0)
	if err := s.seekDir(f, off); err != nil {
		return err
	}
	l := lister{s: s, e: e, limit: at + count}
	n, state, err := l.entries(f.dir, nil)
	if state&wire.ListEnd != 0 {
		f.closeDir() // it will be opened again if it is read again
	}
	e.B[at] = state
	putU32(e.B[at+1:], n)
	return err
}
