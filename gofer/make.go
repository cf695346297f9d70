package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// newFile is a file to be made. An owner of NoID keeps what the host gives.
type newFile struct {
	name     string
	mode     uint32 // type and permissions
	uid, gid uint32
	rdev     uint64
	target   string // of a symbolic link
	// keep leaves a regular file open for reading and writing, as data.
	keep bool
	data int
}

// create makes m in dir, never over something that is there, and gives it exactly the mode and owner asked for.
// It returns an O_PATH descriptor of the new file and its attributes.
func (s *server) create(dir int, m *newFile, a *wire.Attr) (int, error) {
	if s.readOnly {
		return -1, unix.EROFS
	}
	var err error
	switch m.mode & unix.S_IFMT {
	case unix.S_IFREG:
		m.data, err = openChild(dir, m.name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NONBLOCK, m.mode&07777)
		if err == nil && !m.keep {
			unix.Close(m.data)
		}
	case unix.S_IFDIR:
		err = unix.Mkdirat(dir, m.name, m.mode&07777)
	case unix.S_IFLNK:
		if m.target == "" {
			return -1, unix.ENOENT
		}
		if len(m.target) > wire.MaxTarget {
			return -1, unix.ENAMETOOLONG
		}
		err = unix.Symlinkat(m.target, dir, m.name)
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK:
		err = unix.Mknodat(dir, m.name, m.mode&(unix.S_IFMT|07777), int(m.rdev))
	default:
		return -1, unix.EINVAL
	}
	if err != nil {
		return -1, err
	}
	fd, err := pathChild(dir, m.name, a)
	if err != nil {
		m.drop()
		return -1, err
	}
	if err = s.own(fd, m, a); err != nil {
		m.drop()
		unix.Close(fd)
		rm := 0
		if a.Mode&unix.S_IFMT == unix.S_IFDIR {
			rm = unix.AT_REMOVEDIR
		}
		_ = unix.Unlinkat(dir, m.name, rm) // best effort: the error that counts is the first
		return -1, err
	}
	return fd, nil
}

// drop closes what was left open.
func (m *newFile) drop() {
	if m.keep {
		unix.Close(m.data)
	}
}

// own gives a new file its owner and permissions where the host's rules gave it others.
func (s *server) own(fd int, m *newFile, a *wire.Attr) error {
	if a.Mode&unix.S_IFMT != m.mode&unix.S_IFMT {
		return unix.EIO // somebody on the host put another file in its place
	}
	changed := false
	uid, gid := -1, -1
	if m.uid != noID && m.uid != a.UID {
		uid = int(m.uid)
	}
	if m.gid != noID && m.gid != a.GID {
		gid = int(m.gid)
	}
	if uid >= 0 || gid >= 0 {
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
		changed = true
	}
	isLink := m.mode&unix.S_IFMT == unix.S_IFLNK
	if !isLink && (a.Mode&07777 != m.mode&07777 || changed && m.mode&07000 != 0) {
		if err := s.chmod(fd, m.mode); err != nil {
			return err
		}
		changed = true
	}
	if changed {
		return statFD(fd, a)
	}
	return nil
}

// noID in uid or gid means: leave it. Plain 9P2000.L sends no uid.
const noID = 0xffffffff
