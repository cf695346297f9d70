package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// fid is a file the client has a number for.
type fid struct {
	num  uint32 // NoFID while no table holds it
	fd   int    // O_PATH descriptor, never followed; a directory's may be open for reading (TList, TOpenMany)
	mode uint32 // type bits; those never change

	io  int // opened by Tlopen or Tlcreate, -1 if not
	dir int // directory opened for reading entries, -1 if not
	pos int64
}

func (s *server) newFID(fd int, mode uint32) *fid {
	if s.opened != nil {
		s.opened(fd)
	}
	return &fid{num: wire.NoFID, fd: fd, mode: mode & unix.S_IFMT, io: -1, dir: -1}
}

func (f *fid) close() {
	for _, fd := range [...]int{f.fd, f.io, f.dir} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (f *fid) closeDir() {
	if f.dir >= 0 {
		unix.Close(f.dir)
		f.dir = -1
	}
}

func (f *fid) isDir() bool { return f.mode == unix.S_IFDIR }

// lookup finds a fid the client names; EBADF if it was never issued.
func (s *server) lookup(n uint32) (*fid, error) {
	if f := s.fids[n]; f != nil {
		return f, nil
	}
	return nil, unix.EBADF
}

// takeFID takes a fid's number from a request and finds it.
func (s *server) takeFID(d *wire.Decoder) (*fid, error) {
	n := d.U32()
	if err := take(d); err != nil {
		return nil, err
	}
	return s.lookup(n)
}

// takeDir is takeFID of a fid that must be a directory.
func (s *server) takeDir(d *wire.Decoder) (*fid, error) {
	n := d.U32()
	if err := take(d); err != nil {
		return nil, err
	}
	return s.lookupDir(n)
}

// lookupDir finds a fid that must be a directory.
func (s *server) lookupDir(n uint32) (*fid, error) {
	f, err := s.lookup(n)
	if err == nil && !f.isDir() {
		err = unix.ENOTDIR
	}
	return f, err
}

// checkNew says whether a client may have n for a new fid.
func (s *server) checkNew(n uint32) error {
	switch {
	case n == wire.NoFID:
		return unix.EINVAL
	case s.fids[n] != nil:
		return unix.EBUSY
	case len(s.fids) >= wire.MaxFIDs:
		return unix.ENFILE
	}
	return nil
}

func (s *server) dropFIDs() {
	for n, f := range s.fids {
		f.close()
		delete(s.fids, n)
	}
}

func (s *server) forget(n uint32) error {
	f, err := s.lookup(n)
	if err == nil {
		f.close()
		delete(s.fids, n)
	}
	return err
}
