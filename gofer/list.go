package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// maxDeep is how many levels below the directory asked for TList goes: each holds a descriptor while it does.
const maxDeep = 16

// place is the directory a TList or TOpenMany is about.
type place struct {
	fd   int    // of the table's, or opened for reading and not in the table yet
	newN uint32 // its number to be; NoFID: it is in the table
	f    *fid   // in the table, nil if not yet
}

// takePlace takes dir[4] newfid[4] name[s].
func (s *server) takePlace(d *wire.Decoder) (place, error) {
	dir, err := s.takeDir(d)
	if err != nil {
		return place{}, err
	}
	newN, name := d.U32(), d.Str()
	if err := take(d); err != nil {
		return place{}, err
	}
	if name == "" {
		return place{fd: dir.fd, newN: wire.NoFID, f: dir}, nil
	}
	if err := s.checkNew(newN); err != nil {
		return place{}, err
	}
	fd, err := openSubdir(dir.fd, name)
	return place{fd: fd, newN: newN}, err
}

// settle puts the directory into the table if it is to be there and err is nil, else it lets go of it.
func (s *server) settle(p *place, err error) {
	switch {
	case p.f != nil:
	case err != nil:
		unix.Close(p.fd)
	default:
		s.fids[p.newN] = newFID(p.fd, unix.S_IFDIR)
	}
}

// openSubdir opens a directory in a directory for reading. O_DIRECTORY refuses all else without opening it.
func openSubdir(dir int, name string) (int, error) {
	if err := checkName(name); err != nil {
		return -1, err
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: beneath}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		if err != unix.EINTR && err != unix.EAGAIN { // EAGAIN: a rename came in between, see openat2(2)
			return fd, err
		}
	}
}

// list answers TList.
func (s *server) list(d *wire.Decoder, e *wire.Encoder) error {
	p, err := s.takePlace(d)
	if err != nil {
		return err
	}
	err = s.listPlace(&p, d, e)
	s.settle(&p, err)
	return err
}

func (s *server) listPlace(p *place, d *wire.Decoder, e *wire.Encoder) error {
	_, count, err := s.ioRange(0, d.U32())
	deep := d.U8() != 0
	if err == nil {
		err = take(d)
	}
	if err != nil {
		return err
	}
	var a wire.Attr
	if err := statFD(p.fd, &a); err != nil {
		return err
	}
	fd := p.fd
	if p.f != nil { // opened for its place only
		if fd, err = s.reopen(p.f, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			return err
		}
		defer unix.Close(fd)
	}
	l := lister{s: s, e: e, limit: len(e.B) + count}
	e.U64(a.Dev)
	e.U64(a.Ino)
	at := len(e.B)
	e.U8(0)
	e.U32(0)
	var dirs []string
	n, eof, err := s.appendEntries(fd, e, l.limit, &dirs)
	putU32(e.B[at+1:], n)
	if err != nil || !eof {
		return err
	}
	e.B[at] = 1
	if deep {
		l.below(fd, dirs, maxDeep)
	}
	return nil
}

// lister appends whole directories to a reply.
type lister struct {
	s     *server
	e     *wire.Encoder
	limit int    // of the reply's bytes
	dirno uint32 // directories among the entries so far
}

// below appends the directories names of dir, which are the last entries that are directories, and those below them.
// It returns false when there is no more room.
func (l *lister) below(dir int, names []string, levels int) bool {
	first := l.dirno
	l.dirno += uint32(len(names))
	if levels == 0 {
		return true
	}
	for i, name := range names {
		if !l.one(dir, name, first+uint32(i)+1, levels) {
			return false
		}
	}
	return true
}

// one appends a directory and those below it. One that cannot be read now is left to be asked for by itself.
func (l *lister) one(dir int, name string, dirno uint32, levels int) bool {
	fd, err := openSubdir(dir, name)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	at := len(l.e.B)
	l.e.U32(dirno)
	l.e.U32(0)
	var dirs []string
	n, eof, err := l.s.appendEntries(fd, l.e, l.limit, &dirs)
	if err != nil || !eof {
		l.e.B = l.e.B[:at]
		return err != nil
	}
	putU32(l.e.B[at+4:], n)
	return l.below(fd, dirs, levels-1)
}

// openMany answers TOpenMany.
func (s *server) openMany(d *wire.Decoder, e *wire.Encoder) error {
	p, err := s.takePlace(d)
	if err != nil {
		return err
	}
	n := d.U16()
	if err = take(d); err == nil && (n == 0 || n > wire.MaxOpenMany) {
		err = unix.EINVAL
	}
	e.U16(n)
	for ; err == nil && n > 0; n-- {
		name := d.Str()
		if err = take(d); err != nil {
			break
		}
		var a wire.Attr
		fd, oerr := s.openFile(p.fd, name, &a)
		if oerr == nil {
			s.many = append(s.many, fd)
		}
		e.U32(uint32(errnoOf(oerr)))
		e.U64(a.Dev)
		e.U64(a.Ino)
	}
	s.settle(&p, err)
	return err
}

// openFile opens a regular file of a directory for donation.
func (s *server) openFile(dir int, name string, a *wire.Attr) (int, error) {
	fd, err := pathChild(dir, name, a)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	f := fid{fd: fd, mode: a.Mode & unix.S_IFMT}
	return s.openData(&f, unix.O_RDONLY)
}
