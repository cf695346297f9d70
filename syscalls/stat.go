package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var statCalls = []Call{
	{Nr: unix.SYS_STAT, Name: "stat", Func: Stat, Args: []Arg{Path, Ptr}},
	{Nr: unix.SYS_LSTAT, Name: "lstat", Func: Lstat, Args: []Arg{Path, Ptr}},
	{Nr: unix.SYS_FSTAT, Name: "fstat", Func: Fstat, Args: []Arg{FD, Ptr}},
	{Nr: unix.SYS_NEWFSTATAT, Name: "newfstatat", Func: Newfstatat, Args: []Arg{DirFD, Path, Ptr, Hex}},
	{Nr: unix.SYS_STATX, Name: "statx", Func: Statx, Args: []Arg{DirFD, Path, Hex, Hex, Ptr}},
	{Nr: unix.SYS_STATFS, Name: "statfs", Func: Statfs, Args: []Arg{Path, Ptr}},
	{Nr: unix.SYS_FSTATFS, Name: "fstatfs", Func: Fstatfs, Args: []Arg{FD, Ptr}},
}

// atStatxSyncType is AT_STATX_SYNC_TYPE (statx(2)).
const atStatxSyncType = unix.AT_STATX_FORCE_SYNC | unix.AT_STATX_DONT_SYNC

// mapOwner turns kernel IDs into those of t's user namespace.
func mapOwner(t *task, st *unix.Statx_t) {
	ns := t.UserNS()
	st.Uid, st.Gid = ns.UID(auth.KUID(st.Uid)), ns.GID(auth.KGID(st.Gid))
}

func copyOutStat(t *task, at addr, st *unix.Statx_t) error {
	var out unix.Stat_t
	toStat(t, st, &out)
	return usermem.CopyOutVal(t.MM(), at, &out)
}

// toStat sets out, which is zero, to st as stat(2) has it, for t.
func toStat(t *task, st *unix.Statx_t, out *unix.Stat_t) {
	mapOwner(t, st)
	out.Dev, out.Rdev = unix.Mkdev(st.Dev_major, st.Dev_minor), unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	out.Ino, out.Nlink, out.Mode, out.Uid, out.Gid = st.Ino, uint64(st.Nlink), uint32(st.Mode), st.Uid, st.Gid
	out.Size, out.Blksize, out.Blocks = int64(st.Size), int64(st.Blksize), int64(st.Blocks)
	out.Atim.Sec, out.Atim.Nsec = st.Atime.Sec, int64(st.Atime.Nsec)
	out.Mtim.Sec, out.Mtim.Nsec = st.Mtime.Sec, int64(st.Mtime.Nsec)
	out.Ctim.Sec, out.Ctim.Nsec = st.Ctime.Sec, int64(st.Ctime.Nsec)
}

// Stat is stat(2).
func Stat(t *task, a arguments) (uintptr, error) {
	return statAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), addr(a[1].Pointer()), vfs.FollowLast)
}

// Lstat is lstat(2).
func Lstat(t *task, a arguments) (uintptr, error) {
	return statAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), addr(a[1].Pointer()), 0)
}

// Newfstatat is fstatat(2).
func Newfstatat(t *task, a arguments) (uintptr, error) {
	flags := a[3].Int()
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT|atStatxSyncType) != 0 {
		return 0, unix.EINVAL
	}
	return statAt(t, a[0].Int(), addr(a[1].Pointer()), addr(a[2].Pointer()), walkFlags(flags))
}

func statAt(t *task, dirfd int32, name, out addr, flags vfs.WalkFlags) (uintptr, error) {
	s, err := "", error(nil)
	if name != 0 || flags&vfs.AllowEmpty == 0 {
		if s, err = t.CopyInPath(name); err != nil {
			return 0, err
		}
	}
	if s == "" && flags&vfs.AllowEmpty != 0 && dirfd != unix.AT_FDCWD {
		return fstat(t, dirfd, out)
	}
	b, err := baseOf(t, dirfd, s)
	if err != nil {
		return 0, err
	}
	defer b.release(t)
	p, err := vfs.Walk(t, b.path(), s, flags)
	if err != nil {
		return 0, err
	}
	err = vfs.WithStat(t, p, func(st *unix.Statx_t) error { return copyOutStat(t, out, st) })
	p.DecRef()
	return 0, err
}

// Fstat is fstat(2).
func Fstat(t *task, a arguments) (uintptr, error) {
	return fstat(t, a[0].Int(), addr(a[1].Pointer()))
}

func fstat(t *task, fd int32, out addr) (uintptr, error) {
	d := t.GetFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	t.AskedStat(fd)
	err := vfs.WithStat(t, d.Path(), func(st *unix.Statx_t) error { return copyOutStat(t, out, st) })
	d.DecRef(t)
	return 0, err
}

// Statx is statx(2).
func Statx(t *task, a arguments) (uintptr, error) {
	flags, mask := a[2].Int(), a[3].Uint()
	const known = unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH | unix.AT_NO_AUTOMOUNT | atStatxSyncType
	if flags&^known != 0 || flags&atStatxSyncType == atStatxSyncType || mask&unix.STATX__RESERVED != 0 {
		return 0, unix.EINVAL
	}
	out := addr(a[4].Pointer())
	return 0, withPath(t, a[0].Int(), addr(a[1].Pointer()), walkFlags(flags), func(p vfs.Path) error {
		st, err := vfs.Stat(t, p)
		if err != nil {
			return err
		}
		mapOwner(t, &st)
		if mask&unix.STATX_BTIME == 0 {
			st.Mask &^= unix.STATX_BTIME
		}
		if mask&unix.STATX_MNT_ID == 0 {
			st.Mask &^= unix.STATX_MNT_ID
		}
		return usermem.CopyOutVal(t.MM(), out, &st)
	})
}

// Statfs is statfs(2).
func Statfs(t *task, a arguments) (uintptr, error) {
	return 0, withPath(t, unix.AT_FDCWD, addr(a[0].Pointer()), vfs.FollowLast, func(p vfs.Path) error {
		return copyOutStatFS(t, p, addr(a[1].Pointer()))
	})
}

// Fstatfs is fstatfs(2).
func Fstatfs(t *task, a arguments) (uintptr, error) {
	d := t.GetFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	return 0, copyOutStatFS(t, d.Path(), addr(a[1].Pointer()))
}

func copyOutStatFS(t *task, p vfs.Path, out addr) error {
	st, err := vfs.StatFS(t, p)
	if err != nil {
		return err
	}
	return usermem.CopyOutVal(t.MM(), out, &st)
}
