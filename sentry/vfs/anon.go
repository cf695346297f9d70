package vfs

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
)

// Reopener is a file without a name that can be opened again through /proc/PID/fd/N (a pipe, a memfd).
type Reopener interface {
	Reopen(c Caller, flags uint32) (File, error)
}

// Statter is a file without a name that knows more of its attributes than the kernel does.
type Statter interface {
	Stat(c Caller, st *unix.Statx_t) error
}

// AnonInode is the inode of a file that has no name.
type AnonInode struct {
	InodeBase
	file File
	made int64
}

var anonInos atomic.Uint64

// NextAnonIno returns the next number for the inode of a nameless file.
func NextAnonIno() uint64 { return anonInos.Add(1) }

// Stat tells what is known.
func (a *AnonInode) Stat(c Caller, st *unix.Statx_t) error {
	a.FillStat(st)
	st.Mask |= unix.STATX_BASIC_STATS
	t := unix.StatxTimestamp{Sec: a.made / 1e9, Nsec: uint32(a.made % 1e9)}
	st.Atime, st.Mtime, st.Ctime = t, t, t
	if s, ok := a.file.(Statter); ok {
		return s.Stat(c, st)
	}
	return nil
}

// SetAttr changes mode and owner (fchmod of a pipe works); a file that knows more is asked first.
func (a *AnonInode) SetAttr(c Caller, s *SetAttr) error {
	if f, ok := a.file.(interface {
		SetAttr(c Caller, s *SetAttr) error
	}); ok {
		if err := f.SetAttr(c, s); err != nil {
			return err
		}
	} else if s.Mask&SetSize != 0 {
		return unix.EINVAL
	}
	a.ApplyAttr(s)
	return nil
}

// Open opens the file again.
func (a *AnonInode) Open(c Caller, _ Path, flags uint32) (File, error) {
	if r, ok := a.file.(Reopener); ok {
		return r.Reopen(c, flags)
	}
	return nil, unix.ENXIO
}

// ApplyAttr stores mode and owner of s in the base.
func (b *InodeBase) ApplyAttr(s *SetAttr) {
	if s.Mask&SetMode != 0 {
		b.SetMode(b.Type() | s.Mode&07777)
	}
	uid, gid := b.UID(), b.GID()
	if s.Mask&SetUID != 0 {
		uid = s.UID
	}
	if s.Mask&SetGID != 0 {
		gid = s.GID
	}
	b.SetOwner(uid, gid)
}

// NewAnonPath returns a place for a file that has no name, with one reference. name is what /proc/PID/fd shows.
func NewAnonPath(file File, name string, mode uint32, uid auth.KUID, gid auth.KGID) Path {
	a := &AnonInode{file: file, made: time.Now().UnixNano()}
	a.Init(anonMount.sb, NextAnonIno(), mode, uid, gid)
	d := newDentry(anonMount.sb, a, nil, name)
	d.refs.Add(1)
	anonMount.refs.Add(1)
	return Path{anonMount, d}
}

// NewNamelessPath returns a place for an inode that has no name, with one reference; it takes over the reference on in.
func NewNamelessPath(in Inode, name string) Path {
	d := newDentry(anonMount.sb, in, nil, name)
	d.refs.Add(1)
	anonMount.refs.Add(1)
	return Path{anonMount, d}
}

// NewAnonDescription returns a description, with one reference, of a file that has no name. name is what /proc/PID/fd
// shows, a "%d" in it being the inode number; mode holds the type (S_IFIFO, S_IFSOCK, 0 for anonymous inodes) and
// permissions.
func NewAnonDescription(file File, name string, mode uint32, flags uint32) *Description {
	p := NewAnonPath(file, name, mode, 0, 0)
	if i := indexPercentD(name); i >= 0 {
		p.dentry.loc.Store(&location{nil, name[:i] + utoa(p.Inode().Base().Ino()) + name[i+2:]})
	}
	return NewDescription(file, p, flags)
}

func indexPercentD(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '%' && s[i+1] == 'd' {
			return i
		}
	}
	return -1
}

// IsAnon reports whether p is the place of a file without a name.
func (p Path) IsAnon() bool { return p.mount == anonMount }
