package gofer

import (
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// beneath is how every name is resolved: it may not leave the directory, and nothing is followed.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// checkName refuses what is not the name of one directory entry.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0:
		return unix.EINVAL
	case len(name) > wire.MaxName:
		return unix.ENAMETOOLONG
	}
	return nil
}

// openChild opens one entry of a directory. flags must hold O_PATH, O_DIRECTORY, O_CREAT|O_EXCL, or, where there are no
// devices, O_NONBLOCK.
func openChild(dir int, name string, flags, mode uint32) (int, error) {
	if err := checkName(name); err != nil {
		return -1, err
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC), Resolve: beneath}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		// EAGAIN: a rename came in between, see openat2(2); or, of O_NONBLOCK, a lease is in the way (fcntl(2)).
		if err != unix.EINTR && (err != unix.EAGAIN || flags&unix.O_NONBLOCK != 0) {
			return fd, err
		}
	}
}

// pathChild opens an entry by O_PATH and reads its attributes.
func pathChild(dir int, name string, a *wire.Attr) (int, error) {
	fd, err := openChild(dir, name, unix.O_PATH, 0)
	if err != nil {
		return -1, err
	}
	if err := statFD(fd, a); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

func statFD(fd int, a *wire.Attr) error {
	var empty byte
	var st unix.Statx_t
	if err := statxAt(fd, &empty, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, &st); err != nil {
		return err
	}
	fromStatx(a, &st)
	return nil
}

// statxAt is statx(2) of a name that ends in a NUL.
func statxAt(dir int, name *byte, flags int, st *unix.Statx_t) error {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags), statxMask,
		uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func fromStatx(a *wire.Attr, st *unix.Statx_t) {
	*a = wire.Attr{
		Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Nlink: st.Nlink, BlockSize: st.Blksize,
		Ino: st.Ino, Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor),
		Size: st.Size, Blocks: st.Blocks,
		ATime: toTime(st.Atime), MTime: toTime(st.Mtime), CTime: toTime(st.Ctime), BTime: toTime(st.Btime),
	}
}

func toTime(t unix.StatxTimestamp) wire.Time { return wire.Time{Sec: t.Sec, Nsec: t.Nsec} }

func toQID(a *wire.Attr) wire.QID {
	q := wire.QID{Path: a.Ino, Version: uint32(a.MTime.Sec) ^ a.MTime.Nsec<<2}
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		q.Type = wire.QTDir
	case unix.S_IFLNK:
		q.Type = wire.QTSymlink
	}
	return q
}

// reopen opens the very file of f, not whatever its name means now. Only regular files and directories can be: the
// type bits were read from the descriptor itself and cannot change. ENXIO for all else.
func (s *server) reopen(f *fid, flags int) (int, error) {
	if f.mode != unix.S_IFREG && f.mode != unix.S_IFDIR {
		return -1, unix.ENXIO
	}
	flags |= unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	for {
		fd, err := unix.Openat(s.proc, strconv.Itoa(f.fd), flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openData opens a regular file's data for donation or Tread. The O_NONBLOCK that reopen gives, so that a lease on the
// file cannot hold up the server, has no meaning for it afterwards.
func (s *server) openData(f *fid, flags uint32) (int, error) {
	if f.mode != unix.S_IFREG {
		return -1, unix.ENXIO
	}
	const allowed = unix.O_ACCMODE | unix.O_TRUNC | unix.O_DIRECT | unix.O_SYNC | unix.O_DSYNC | unix.O_NOATIME
	acc := flags & unix.O_ACCMODE
	if acc == unix.O_ACCMODE {
		return -1, unix.EINVAL
	}
	if s.readOnly && (acc != unix.O_RDONLY || flags&unix.O_TRUNC != 0) {
		return -1, unix.EROFS
	}
	return s.reopen(f, int(flags&allowed))
}

// chmod changes permissions through the descriptor.
func (s *server) chmod(fd int, mode uint32) error {
	return unix.Fchmodat(s.proc, strconv.Itoa(fd), mode&07777, 0)
}

func readlink(fd int) (string, error) { return readlinkAt(fd, "") }

func readlinkAt(dir int, name string) (string, error) {
	var b [wire.MaxTarget + 1]byte
	n, err := unix.Readlinkat(dir, name, b[:])
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// change is what setattr asks for; valid holds wire.Set… bits.
type change struct {
	valid, mode, uid, gid uint32
	size                  uint64
	atime, mtime          unix.Timespec
}

func decodeChange(d *wire.Decoder) change {
	c := change{valid: d.U32(), mode: d.U32(), uid: d.U32(), gid: d.U32(), size: d.U64()}
	c.atime = unix.Timespec{Sec: int64(d.U64()), Nsec: int64(d.U64())}
	c.mtime = unix.Timespec{Sec: int64(d.U64()), Nsec: int64(d.U64())}
	return c
}

// setattr applies c in the order in which no step undoes another: the owner first, for it clears setuid bits.
func (s *server) setattr(f *fid, c *change) error {
	if s.readOnly {
		return unix.EROFS
	}
	if c.valid&wire.SetSize != 0 {
		if err := s.truncate(f, c.size); err != nil {
			return err
		}
	}
	if c.valid&(wire.SetUID|wire.SetGID) != 0 {
		uid, gid := -1, -1
		if c.valid&wire.SetUID != 0 {
			uid = int(c.uid)
		}
		if c.valid&wire.SetGID != 0 {
			gid = int(c.gid)
		}
		if err := unix.Fchownat(f.fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if c.valid&wire.SetMode != 0 {
		if f.mode == unix.S_IFLNK {
			return unix.EOPNOTSUPP
		}
		if err := s.chmod(f.fd, c.mode); err != nil {
			return err
		}
	}
	if c.valid&(wire.SetATime|wire.SetMTime) != 0 {
		ts := [2]unix.Timespec{
			timeArg(c.valid, wire.SetATime, wire.SetATimeVal, c.atime),
			timeArg(c.valid, wire.SetMTime, wire.SetMTimeVal, c.mtime),
		}
		return unix.UtimesNanoAt(f.fd, "", ts[:], unix.AT_EMPTY_PATH)
	}
	return nil
}

func timeArg(valid, set, val uint32, t unix.Timespec) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&val == 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return t
}

func (s *server) truncate(f *fid, size uint64) error {
	if f.isDir() {
		return unix.EISDIR
	}
	if f.mode != unix.S_IFREG || int64(size) < 0 {
		return unix.EINVAL
	}
	fd, err := s.reopen(f, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Ftruncate(fd, int64(size))
}
