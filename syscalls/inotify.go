package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

var inotifyCalls = []Call{
	{Nr: unix.SYS_INOTIFY_INIT, Name: "inotify_init", Func: InotifyInit},
	{Nr: unix.SYS_INOTIFY_INIT1, Name: "inotify_init1", Func: InotifyInit1, Args: []Arg{Hex}},
	{Nr: unix.SYS_INOTIFY_ADD_WATCH, Name: "inotify_add_watch", Func: InotifyAddWatch, Args: []Arg{FD, Path, Hex}, Level: Partial, Note: "changes made on the host are not seen"},
	{Nr: unix.SYS_INOTIFY_RM_WATCH, Name: "inotify_rm_watch", Func: InotifyRmWatch, Args: []Arg{FD, Int}},
}

// InotifyInit is inotify_init(2).
func InotifyInit(t *task, _ arguments) (uintptr, error) { return inotifyInit(t, 0) }

// InotifyInit1 is inotify_init1(2).
func InotifyInit1(t *task, a arguments) (uintptr, error) { return inotifyInit(t, a[0].Uint()) }

func inotifyInit(t *task, flags uint32) (uintptr, error) {
	if flags&^(unix.IN_NONBLOCK|unix.IN_CLOEXEC) != 0 {
		return 0, unix.EINVAL
	}
	d := vfs.NewAnonDescription(vfs.NewInotify(), "anon_inode:inotify", 0600, unix.O_RDONLY|flags&unix.IN_NONBLOCK)
	defer d.DecRef(t)
	fd, err := t.NewFD(d, 0, flags&unix.IN_CLOEXEC != 0)
	return uintptr(fd), err
}

// withInotify calls f with the instance behind fd.
func withInotify(t *task, fd int32, f func(n *vfs.Inotify) error) error {
	d := t.GetIOFile(fd)
	if d == nil {
		return unix.EBADF
	}
	defer d.DecRef(t)
	n, ok := d.File().(*vfs.Inotify)
	if !ok {
		return unix.EINVAL
	}
	return f(n)
}

// InotifyAddWatch is inotify_add_watch(2).
func InotifyAddWatch(t *task, a arguments) (wd uintptr, err error) {
	mask := a[2].Uint()
	if mask&unix.IN_ALL_EVENTS == 0 || mask&unix.IN_MASK_ADD != 0 && mask&unix.IN_MASK_CREATE != 0 {
		return 0, unix.EINVAL
	}
	flags := vfs.FollowLast
	if mask&unix.IN_DONT_FOLLOW != 0 {
		flags = 0
	}
	if mask&unix.IN_ONLYDIR != 0 {
		flags |= vfs.WantDir
	}
	err = withInotify(t, a[0].Int(), func(n *vfs.Inotify) error {
		return withPath(t, unix.AT_FDCWD, addr(a[1].Pointer()), flags, func(p vfs.Path) error {
			if err := vfs.CheckPerm(t, t.Creds(), p.Inode(), vfs.MayRead); err != nil {
				return err
			}
			id, err := n.AddWatch(p, mask)
			wd = uintptr(id)
			return err
		})
	})
	return wd, err
}

// InotifyRmWatch is inotify_rm_watch(2).
func InotifyRmWatch(t *task, a arguments) (uintptr, error) {
	return 0, withInotify(t, a[0].Int(), func(n *vfs.Inotify) error { return n.RemoveWatch(a[1].Int()) })
}
