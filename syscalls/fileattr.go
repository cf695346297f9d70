package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// attrCalls are the calls that change attributes; table.go gets them with fileCalls.
var attrCalls = []Call{
	{Nr: unix.SYS_CHMOD, Name: "chmod", Func: Chmod, Args: []Arg{Path, Mode}},
	{Nr: unix.SYS_FCHMOD, Name: "fchmod", Func: Fchmod, Args: []Arg{FD, Mode}},
	{Nr: unix.SYS_FCHMODAT, Name: "fchmodat", Func: Fchmodat, Args: []Arg{DirFD, Path, Mode}},
	{Nr: unix.SYS_FCHMODAT2, Name: "fchmodat2", Func: Fchmodat2, Args: []Arg{DirFD, Path, Mode, Hex}},
	{Nr: unix.SYS_CHOWN, Name: "chown", Func: Chown, Args: []Arg{Path, Int, Int}},
	{Nr: unix.SYS_LCHOWN, Name: "lchown", Func: Lchown, Args: []Arg{Path, Int, Int}},
	{Nr: unix.SYS_FCHOWN, Name: "fchown", Func: Fchown, Args: []Arg{FD, Int, Int}},
	{Nr: unix.SYS_FCHOWNAT, Name: "fchownat", Func: Fchownat, Args: []Arg{DirFD, Path, Int, Int, Hex}},
	{Nr: unix.SYS_UTIME, Name: "utime", Func: Utime, Args: []Arg{Path, Ptr}},
	{Nr: unix.SYS_UTIMES, Name: "utimes", Func: Utimes, Args: []Arg{Path, Ptr}},
	{Nr: unix.SYS_FUTIMESAT, Name: "futimesat", Func: Futimesat, Args: []Arg{DirFD, Path, Ptr}},
	{Nr: unix.SYS_UTIMENSAT, Name: "utimensat", Func: Utimensat, Args: []Arg{DirFD, Path, Ptr, Hex}},
}

// Chmod is chmod(2).
func Chmod(t *task, a arguments) (uintptr, error) {
	return chmodAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), a[1].Mode(), 0)
}

// Fchmodat is fchmodat(2) without flags, as the kernel has it.
func Fchmodat(t *task, a arguments) (uintptr, error) {
	return chmodAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Mode(), 0)
}

// Fchmodat2 is fchmodat2(2).
func Fchmodat2(t *task, a arguments) (uintptr, error) {
	flags := a[3].Int()
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	return chmodAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Mode(), flags)
}

func chmodAt(t *task, dirfd int32, name addr, mode uint32, flags int32) (uintptr, error) {
	return 0, withPath(t, dirfd, name, walkFlags(flags), func(p vfs.Path) error {
		if p.Inode().Base().Type() == unix.S_IFLNK {
			return unix.EOPNOTSUPP
		}
		return vfs.SetStat(t, p, &vfs.SetAttr{Mask: vfs.SetMode, Mode: mode & 07777})
	})
}

// Fchmod is fchmod(2).
func Fchmod(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	return 0, d.SetStat(t, &vfs.SetAttr{Mask: vfs.SetMode, Mode: a[1].Mode() & 07777})
}

// Chown is chown(2).
func Chown(t *task, a arguments) (uintptr, error) {
	return chownAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), a[1].Uint(), a[2].Uint(), 0)
}

// Lchown is lchown(2).
func Lchown(t *task, a arguments) (uintptr, error) {
	return chownAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), a[1].Uint(), a[2].Uint(), unix.AT_SYMLINK_NOFOLLOW)
}

// Fchownat is fchownat(2).
func Fchownat(t *task, a arguments) (uintptr, error) {
	flags := a[4].Int()
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	return chownAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Uint(), a[3].Uint(), flags)
}

// Fchown is fchown(2).
func Fchown(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	s, err := ownerChange(t, a[1].Uint(), a[2].Uint())
	if err != nil {
		return 0, err
	}
	return 0, d.SetStat(t, s)
}

func chownAt(t *task, dirfd int32, name addr, uid, gid uint32, flags int32) (uintptr, error) {
	return 0, withPath(t, dirfd, name, walkFlags(flags), func(p vfs.Path) error {
		s, err := ownerChange(t, uid, gid)
		if err != nil {
			return err
		}
		return vfs.SetStat(t, p, s)
	})
}

// ownerChange turns the IDs of chown(2) into a change; -1 leaves an ID as it is. Even with both left it clears set-ID
// bits.
func ownerChange(t *task, uid, gid uint32) (*vfs.SetAttr, error) {
	s := &vfs.SetAttr{Mask: vfs.KillSetID}
	if uid != auth.NoID {
		k, ok := t.UserNS().KUID(uid)
		if !ok {
			return nil, unix.EINVAL
		}
		s.Mask |= vfs.SetUID
		s.UID = k
	}
	if gid != auth.NoID {
		k, ok := t.UserNS().KGID(gid)
		if !ok {
			return nil, unix.EINVAL
		}
		s.Mask |= vfs.SetGID
		s.GID = k
	}
	return s, nil
}

// Utime is utime(2).
func Utime(t *task, a arguments) (uintptr, error) {
	var ts *[2]unix.Timespec
	if at := addr(a[1].Pointer()); at != 0 {
		b, err := usermem.CopyInVal[[2]int64](t.MM(), at)
		if err != nil {
			return 0, err
		}
		ts = &[2]unix.Timespec{{Sec: b[0]}, {Sec: b[1]}}
	}
	return utimesAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), ts, 0)
}

// Utimes is utimes(2).
func Utimes(t *task, a arguments) (uintptr, error) {
	return timevals(t, unix.AT_FDCWD, addr(a[0].Pointer()), addr(a[1].Pointer()))
}

// Futimesat is futimesat(2).
func Futimesat(t *task, a arguments) (uintptr, error) {
	return timevals(t, a[0].Int(), addr(a[1].Pointer()), addr(a[2].Pointer()))
}

func timevals(t *task, dirfd int32, name, at addr) (uintptr, error) {
	if at == 0 {
		return utimesAt(t, dirfd, name, nil, 0)
	}
	tv, err := usermem.CopyInVal[[2]unix.Timeval](t.MM(), at)
	if err != nil {
		return 0, err
	}
	var ts [2]unix.Timespec
	for i, v := range tv {
		if v.Usec < 0 || v.Usec >= 1e6 {
			return 0, unix.EINVAL
		}
		ts[i] = unix.Timespec{Sec: v.Sec, Nsec: v.Usec * 1000}
	}
	return utimesAt(t, dirfd, name, &ts, 0)
}

// Utimensat is utimensat(2).
func Utimensat(t *task, a arguments) (uintptr, error) {
	flags := a[3].Int()
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	var ts *[2]unix.Timespec
	if at := addr(a[2].Pointer()); at != 0 {
		v, err := usermem.CopyInVal[[2]unix.Timespec](t.MM(), at)
		if err != nil {
			return 0, err
		}
		ts = &v
	}
	name := addr(a[1].Pointer())
	if name == 0 && a[0].Int() != unix.AT_FDCWD {
		flags |= unix.AT_EMPTY_PATH // futimens(3)
	} else if name == 0 {
		return 0, unix.EFAULT
	}
	return utimesAt(t, a[0].Int(), name, ts, flags)
}

// utimesAt sets both times; nil is now for both.
func utimesAt(t *task, dirfd int32, name addr, ts *[2]unix.Timespec, flags int32) (uintptr, error) {
	now := t.Now()
	s := &vfs.SetAttr{Mask: vfs.SetATime | vfs.SetMTime, ATime: now, MTime: now, ATimeNow: ts == nil, MTimeNow: ts == nil}
	if ts != nil {
		var err error
		if s.ATime, s.ATimeNow, err = oneTime(ts[0], now, vfs.SetATime, &s.Mask); err != nil {
			return 0, err
		}
		if s.MTime, s.MTimeNow, err = oneTime(ts[1], now, vfs.SetMTime, &s.Mask); err != nil {
			return 0, err
		}
		if s.Mask == 0 {
			return 0, nil
		}
	}
	return 0, withPath(t, dirfd, name, walkFlags(flags), func(p vfs.Path) error {
		c := *s
		return vfs.SetStat(t, p, &c)
	})
}

// oneTime reads one time of utimensat(2), which may be UTIME_NOW or UTIME_OMIT.
func oneTime(ts unix.Timespec, now int64, bit uint32, mask *uint32) (ns int64, isNow bool, err error) {
	switch {
	case ts.Nsec == unix.UTIME_OMIT:
		*mask &^= bit
		return 0, false, nil
	case ts.Nsec == unix.UTIME_NOW:
		return now, true, nil
	case ts.Nsec < 0 || ts.Nsec >= 1e9:
		return 0, false, unix.EINVAL
	}
	// What does not fit 64 bits of nanoseconds is cut, as file systems do with times they cannot hold.
	sec := min(max(ts.Sec, -1<<33), 1<<33)
	return sec*1e9 + ts.Nsec, false, nil
}
