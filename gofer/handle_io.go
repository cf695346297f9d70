package gofer

import (
	"strconv"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// The messages of plain 9P2000.L that the Sentry's own client does not need, for it has shorter ones: they keep the
// server usable, and testable, by any 9P2000.L client.

// lopen answers Tlopen fid[4] flags[4].
func (s *server) lopen(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	flags := d.U32()
	if err := take(d); err != nil {
		return err
	}
	if f.io >= 0 || f.dir >= 0 {
		return unix.EBUSY
	}
	if f.isDir() {
		if flags&unix.O_ACCMODE != unix.O_RDONLY {
			return unix.EISDIR
		}
		err = s.openDir(f)
	} else {
		f.io, err = s.openData(f, flags)
	}
	if err != nil {
		return err
	}
	var a wire.Attr
	if err := statFD(f.fd, &a); err != nil {
		return err
	}
	e.QID(toQID(&a))
	e.U32(0) // iounit: as much as a message holds
	return nil
}

// lcreate answers Tlcreate fid[4] name[s] flags[4] mode[4] gid[4]: fid becomes the new, opened file.
func (s *server) lcreate(d *wire.Decoder, e *wire.Encoder) error {
	n := d.U32()
	dir, err := s.lookupDir(n)
	if err != nil {
		return err
	}
	m := newFile{name: d.Str()}
	flags := d.U32()
	m.mode, m.gid = unix.S_IFREG|d.U32()&07777, d.U32()
	if err := s.checkWrite(d, m.name); err != nil {
		return err
	}
	var a wire.Attr
	fd, err := s.create(dir.fd, &m, &a)
	if err != nil {
		return err
	}
	f := s.newFID(fd, a.Mode)
	if f.io, err = s.openData(f, flags&^unix.O_TRUNC); err != nil {
		f.close()
		return err
	}
	dir.close()
	s.fids[n] = f
	e.QID(toQID(&a))
	e.U32(0)
	return nil
}

// symlink answers Tsymlink dfid[4] name[s] symtgt[s] gid[4].
func (s *server) symlink(d *wire.Decoder, e *wire.Encoder) error {
	n := d.U32()
	m := newFile{name: d.Str(), target: d.Str(), mode: unix.S_IFLNK | 0777}
	m.gid = d.U32()
	return s.makeQID(d, e, n, &m)
}

// mknod answers Tmknod dfid[4] name[s] mode[4] major[4] minor[4] gid[4].
func (s *server) mknod(d *wire.Decoder, e *wire.Encoder) error {
	n := d.U32()
	m := newFile{name: d.Str(), mode: d.U32(), rdev: unix.Mkdev(d.U32(), d.U32())}
	m.gid = d.U32()
	return s.makeQID(d, e, n, &m)
}

// mkdir answers Tmkdir dfid[4] name[s] mode[4] gid[4].
func (s *server) mkdir(d *wire.Decoder, e *wire.Encoder) error {
	n := d.U32()
	m := newFile{name: d.Str(), mode: unix.S_IFDIR | d.U32()&07777}
	m.gid = d.U32()
	return s.makeQID(d, e, n, &m)
}

func (s *server) makeQID(d *wire.Decoder, e *wire.Encoder, n uint32, m *newFile) error {
	dir, err := s.lookupDir(n)
	if err != nil {
		return err
	}
	if err := s.checkWrite(d, m.name); err != nil {
		return err
	}
	var a wire.Attr
	fd, err := s.create(dir.fd, m, &a)
	if err != nil {
		return err
	}
	unix.Close(fd)
	e.QID(toQID(&a))
	return nil
}

// getattr answers Tgetattr fid[4] request_mask[8] with all the basic fields and the birth time.
func (s *server) getattr(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	var a wire.Attr
	if err := statFD(f.fd, &a); err != nil {
		return err
	}
	const basic, btime = 0x7ff, 0x800
	e.U64(basic | btime)
	e.QID(toQID(&a))
	e.U32(a.Mode)
	e.U32(a.UID)
	e.U32(a.GID)
	for _, v := range [...]uint64{uint64(a.Nlink), a.Rdev, a.Size, uint64(a.BlockSize), a.Blocks} {
		e.U64(v)
	}
	for _, t := range [...]wire.Time{a.ATime, a.MTime, a.CTime, a.BTime} {
		e.U64(uint64(t.Sec))
		e.U64(uint64(t.Nsec))
	}
	e.U64(0) // gen
	e.U64(0) // data_version
	return nil
}

// setattrMsg answers Tsetattr fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime[16] mtime[16].
func (s *server) setattrMsg(d *wire.Decoder, _ *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	c := decodeChange(d)
	if err := take(d); err != nil {
		return err
	}
	return s.setattr(f, &c)
}

// ioRange clamps a client's count to what one message holds and refuses offsets that are none.
func (s *server) ioRange(off uint64, count uint32) (int64, int, error) {
	if int64(off) < 0 {
		return 0, 0, unix.EINVAL
	}
	return int64(off), int(min(count, s.msize-64)), nil
}

// read answers Tread fid[4] offset[8] count[4].
func (s *server) read(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	off, count, err := s.ioRange(d.U64(), d.U32())
	if err == nil {
		err = take(d)
	}
	if err != nil {
		return err
	}
	if f.io < 0 {
		return unix.EBADF
	}
	b := make([]byte, count)
	n, err := unix.Pread(f.io, b, off)
	if err != nil {
		return err
	}
	e.Bytes(b[:n])
	return nil
}

// write answers Twrite fid[4] offset[8] count[4] data[count].
func (s *server) write(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	off, _, err := s.ioRange(d.U64(), 0)
	data := d.Bytes()
	if err == nil {
		err = take(d)
	}
	if err != nil {
		return err
	}
	if f.io < 0 {
		return unix.EBADF
	}
	n, err := unix.Pwrite(f.io, data, off)
	if err != nil {
		return err
	}
	e.U32(uint32(n))
	return nil
}

// linkFD makes a hard link to the very file behind fd.
func (s *server) linkFD(fd, dir int, name string) error {
	return unix.Linkat(s.proc, strconv.Itoa(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}
