package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// maxDeep is how many levels below the directory asked for TList goes: each holds a descriptor while it does.
const maxDeep = 16

// place is the directory a TList is about.
type place struct {
	fd   int    // of the table's, or opened for reading and not in the table yet
	newN uint32 // its number to be; NoFID: it is in the table, or is not wanted there
	f    *fid   // in the table, nil if not yet
}

// takePlace takes newfid[4] path[s], of a directory at or below dir.
func (s *server) takePlace(dir *fid, d *wire.Decoder) (place, error) {
	newN, path := d.U32(), d.Str()
	if err := take(d); err != nil {
		return place{}, err
	}
	if path == "" {
		return place{fd: dir.fd, newN: wire.NoFID, f: dir}, nil
	}
	if newN != wire.NoFID {
		if err := s.checkNew(newN); err != nil {
			return place{}, err
		}
	}
	fd, err := s.openSubdir(dir.fd, path)
	return place{fd: fd, newN: newN}, err
}

// settle puts the directory into the table if it is to be there and err is nil, else it lets go of it.
func (s *server) settle(p *place, err error) {
	switch {
	case p.f != nil:
	case err != nil || p.newN == wire.NoFID:
		unix.Close(p.fd)
	default:
		s.fids[p.newN] = s.newFID(p.fd, unix.S_IFDIR)
	}
}

// openSubdir opens a directory below a directory for reading. O_DIRECTORY refuses all else without opening it.
func (s *server) openSubdir(dir int, path string) (int, error) {
	return s.openBelow(dir, path, unix.O_RDONLY|unix.O_DIRECTORY)
}

// list answers TList.
func (s *server) list(d *wire.Decoder, e *wire.Encoder) error {
	defer s.leave()
	dir, err := s.takeDir(d)
	if err != nil {
		return err
	}
	p, err := s.takePlace(dir, d)
	if err != nil {
		return err
	}
	base := dir.fd
	err = s.listPlace(base, &p, d, e)
	s.settle(&p, err)
	return err
}

func (s *server) listPlace(base int, p *place, d *wire.Decoder, e *wire.Encoder) error {
	_, count, err := s.ioRange(0, d.U32())
	if err != nil {
		return err
	}
	flags := d.U8()
	more, err := takePaths(d, 0, wire.MaxMore)
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
	l := lister{s: s, e: e, limit: len(e.B) + count, bare: flags&wire.ListBare != 0, names: flags&wire.ListNames != 0, dev: a.Dev, dirno: uint32(len(more))}
	l.open = flags&wire.ListOpen != 0 && s.noDevices
	e.U64(a.Dev)
	e.U64(a.Ino)
	at := len(e.B)
	e.U8(0)
	e.U32(0)
	var dirs []string
	n, state, err := l.entries(fd, &dirs)
	putU32(e.B[at+1:], n)
	e.B[at] = state
	if err != nil || state&wire.ListEnd == 0 || flags&wire.ListDeep == 0 || !l.below(fd, dirs, maxDeep) {
		return err
	}
	for i, path := range more {
		if l.full || !l.one(base, path, uint32(i)+1, maxDeep) {
			break
		}
	}
	return nil
}

// takePaths takes n[2] n*path[s], from least to most of them, which end the message.
func takePaths(d *wire.Decoder, least, most int) ([]string, error) {
	n := int(d.U16())
	if d.Err() != nil || n < least || n > most {
		return nil, unix.EINVAL
	}
	paths := make([]string, n)
	for i := range paths {
		paths[i] = d.Str()
	}
	return paths, take(d)
}

// lister appends whole directories to a reply.
type lister struct {
	s     *server
	e     *wire.Encoder
	limit int    // of the reply's bytes
	dirno uint32 // directories among the entries so far
	// bare leaves out attributes, once it is known that a listing's numbers are the files' own here, on device dev.
	bare, numbers bool
	dev           uint64
	names         bool // leaves out all but names
	// open opens files, until full: there are as many as may be.
	open, full bool
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
		if l.full || !l.one(dir, name, first+uint32(i)+1, levels) {
			return false
		}
	}
	return true
}

// one appends a directory and those below it. One that cannot be read now is left to be asked for by itself.
func (l *lister) one(dir int, path string, dirno uint32, levels int) bool {
	fd, err := l.s.openSubdir(dir, path)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	at, opened := len(l.e.B), len(l.s.many)
	l.e.U32(dirno)
	l.e.U32(0)
	var dirs []string
	n, state, err := l.entries(fd, &dirs)
	if err != nil || state != wire.ListEnd {
		l.e.B = l.e.B[:at]
		l.s.keepMany(opened)
		return err != nil || state&wire.ListPartial != 0
	}
	putU32(l.e.B[at+4:], n)
	return l.below(fd, dirs, levels-1)
}

// entries appends the entries of an open directory from where it stands, as far as the reply may grow, and tells how
// many there were, and the state of the listing. The names of those that are directories are added to dirs unless it
// is nil.
func (l *lister) entries(dir int, dirs *[]string) (n uint32, state uint8, err error) {
	eof, err := l.s.dirEntries(dir, func(name []byte, typ uint8, ino, next uint64) bool {
		if name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.') {
			return true
		}
		e, at, opened := l.e, len(l.e.B), len(l.s.many)
		e.U64(next)
		e.Name(name)
		if l.names {
			e.U8(unix.DT_REG)
			e.U64(0)
		} else if l.bare && l.numbers && typ != unix.DT_DIR && typ != unix.DT_UNKNOWN {
			e.U8(typ)
			e.U64(ino)
		} else if mode, err := l.entry(dir, name, typ, ino); err != nil {
			e.B = e.B[:at]
			if err != unix.ENOENT { // removed since it was listed
				state = wire.ListPartial
			}
			return true
		} else if mode == unix.S_IFDIR && dirs != nil {
			*dirs = append(*dirs, string(name))
		}
		if len(e.B) > l.limit {
			e.B = e.B[:at]
			l.s.keepMany(opened)
			return false
		}
		n++
		return true
	})
	if eof {
		state |= wire.ListEnd
	}
	return n, state, err
}

// entry appends the attributes of an entry, and where it leads if it is a symbolic link. It returns the type.
func (l *lister) entry(dir int, name []byte, typ uint8, ino uint64) (uint32, error) {
	var a wire.Attr
	kind, err := l.attr(dir, name, typ, &a)
	if err != nil {
		return 0, err
	}
	l.e.U8(kind)
	l.e.Attr(&a)
	mode := a.Mode & unix.S_IFMT
	if mode == unix.S_IFLNK {
		l.e.U16(0)
		at := len(l.e.B)
		if target, err := readlinkAt(dir, string(name)); err == nil && at+len(target) <= l.limit {
			l.e.B = append(l.e.B[:at-2], byte(len(target)), byte(len(target)>>8))
			l.e.B = append(l.e.B, target...)
		}
	}
	if l.bare && !l.numbers && mode != unix.S_IFDIR {
		l.bare = typ != unix.DT_UNKNOWN && a.Ino == ino && a.Dev == l.dev
		l.numbers = l.bare
	}
	return mode, nil
}

// attr gets the attributes of an entry, and opens it if that is wanted. It returns the kind.
func (l *lister) attr(dir int, name []byte, typ uint8, a *wire.Attr) (uint8, error) {
	if l.open && typ == unix.DT_REG {
		if kind, ok := l.openEntry(dir, name, a); ok {
			return kind, nil
		}
	}
	var st unix.Statx_t
	if err := statxAt(dir, &name[0], unix.AT_SYMLINK_NOFOLLOW, &st); err != nil {
		return 0, err
	}
	fromStatx(a, &st)
	return 0, nil
}

// openEntry opens an entry for donation and gets its attributes, in less time than both take by name. A file that is empty
// is let go of. It reports whether there are attributes.
func (l *lister) openEntry(dir int, name []byte, a *wire.Attr) (kind uint8, ok bool) {
	fd, err := openChild(dir, string(name), openFlags, 0)
	if err != nil {
		l.open = err != unix.EMFILE && err != unix.ENFILE
		return 0, false
	}
	if err := statFD(fd, a); err != nil {
		unix.Close(fd)
		return 0, false
	}
	if a.Mode&unix.S_IFMT != unix.S_IFREG || a.Size == 0 {
		unix.Close(fd)
		return 0, true
	}
	l.s.many = append(l.s.many, fd)
	if len(l.s.many) == wire.MaxListOpen {
		l.open, l.full = false, true
	}
	return wire.EntryOpen, true
}

// keepMany closes all descriptors that were going to be donated but the first n.
func (s *server) keepMany(n int) {
	for _, fd := range s.many[n:] {
		unix.Close(fd)
	}
	s.many = s.many[:n]
}

// openMany answers TOpenMany.
func (s *server) openMany(d *wire.Decoder, e *wire.Encoder) error {
	defer s.leave()
	dir, err := s.takeDir(d)
	if err != nil {
		return err
	}
	paths, err := takePaths(d, 1, wire.MaxOpenMany)
	if err != nil {
		return err
	}
	e.U16(uint16(len(paths)))
	for _, path := range paths {
		var a wire.Attr
		fd, err := s.openFile(dir.fd, path, &a)
		if err == nil {
			s.many = append(s.many, fd)
		}
		e.U32(uint32(errnoOf(err)))
		e.U64(a.Dev)
		e.U64(a.Ino)
	}
	return nil
}

// openFlags open a regular file for donation, and do nothing to anything else but a device.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

// openFile opens a regular file below a directory for donation. Where there are no devices that takes one step: to open
// anything else by mistake, because the name has just become another file's, does nothing to it.
func (s *server) openFile(dir int, path string, a *wire.Attr) (int, error) {
	flags := uint32(unix.O_PATH)
	if s.noDevices {
		flags = openFlags
	}
	fd, err := s.openBelow(dir, path, flags)
	if err != nil {
		return -1, err
	}
	err = statFD(fd, a)
	if err == nil && s.noDevices && a.Mode&unix.S_IFMT == unix.S_IFREG {
		return fd, nil
	}
	defer unix.Close(fd)
	if err != nil {
		return -1, err
	}
	f := fid{fd: fd, mode: a.Mode & unix.S_IFMT}
	return s.openData(&f, unix.O_RDONLY)
}
