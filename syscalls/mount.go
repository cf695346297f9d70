package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var mountCalls = []Call{
	{Nr: unix.SYS_MOUNT, Name: "mount", Func: Mount, Args: []Arg{Path, Path, Path, Hex, Path}, Level: Partial, Note: "file systems of /proc/filesystems; no block devices"},
	{Nr: unix.SYS_UMOUNT2, Name: "umount2", Func: Umount2, Args: []Arg{Path, Hex}, Level: Partial, Note: "no MNT_EXPIRE"},
	{Nr: unix.SYS_PIVOT_ROOT, Name: "pivot_root", Func: PivotRoot, Args: []Arg{Path, Path}},
	{Nr: unix.SYS_MOUNT_SETATTR, Name: "mount_setattr", Func: MountSetattr, Args: []Arg{DirFD, Path, Hex, Ptr, Size}, Level: Partial, Note: "no ID-mapped mounts"},
	{Nr: unix.SYS_FSOPEN, Name: "fsopen", Level: Refused, Errno: unix.ENOSYS, Note: "use mount"},
	{Nr: unix.SYS_FSCONFIG, Name: "fsconfig", Level: Refused, Errno: unix.ENOSYS, Note: "use mount"},
	{Nr: unix.SYS_FSMOUNT, Name: "fsmount", Level: Refused, Errno: unix.ENOSYS, Note: "use mount"},
	{Nr: unix.SYS_FSPICK, Name: "fspick", Level: Refused, Errno: unix.ENOSYS, Note: "use mount"},
	{Nr: unix.SYS_OPEN_TREE, Name: "open_tree", Level: Refused, Errno: unix.ENOSYS, Note: "use mount"},
	{Nr: unix.SYS_MOVE_MOUNT, Name: "move_mount", Level: Refused, Errno: unix.ENOSYS, Note: "use mount"},
}

const propagation = unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE

// Mount is mount(2).
func Mount(t *task, a arguments) (uintptr, error) {
	flags := a[3].Uint64()
	if flags&unix.MS_MGC_MSK == unix.MS_MGC_VAL {
		flags &^= unix.MS_MGC_MSK
	}
	optional := func(at addr) (string, error) {
		if at == 0 {
			return "", nil
		}
		return t.CopyInPath(at)
	}
	typ, err := optional(addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	source, err := optional(addr(a[0].Pointer()))
	if err != nil {
		return 0, err
	}
	data, err := optional(addr(a[4].Pointer()))
	if err == unix.ENAMETOOLONG {
		err = unix.EINVAL
	}
	if err != nil {
		return 0, err
	}
	return 0, withPath(t, unix.AT_FDCWD, addr(a[1].Pointer()), vfs.FollowLast, func(target vfs.Path) error {
		if err := vfs.MayMount(t); err != nil {
			return err
		}
		return mount(t, source, target, typ, flags, data)
	})
}

// mount does what the flags say, in the order mount(2) gives them.
func mount(t *task, source string, target vfs.Path, typ string, flags uint64, data string) error {
	own := flags & vfs.PerMount
	if flags&(unix.MS_NOATIME|unix.MS_STRICTATIME) == 0 {
		own |= unix.MS_RELATIME
	}
	recursive := flags&unix.MS_REC != 0
	switch {
	case flags&(unix.MS_REMOUNT|unix.MS_BIND) == unix.MS_REMOUNT|unix.MS_BIND:
		return vfs.Remount(t, target, own)
	case flags&unix.MS_REMOUNT != 0:
		return vfs.Remount(t, target, own)
	case flags&unix.MS_BIND != 0:
		return withWalk(t, unix.AT_FDCWD, source, vfs.FollowLast, func(p vfs.Path) error {
			return vfs.BindMount(t, p, target, recursive)
		})
	case flags&propagation != 0:
		kind := flags & propagation
		if kind&(kind-1) != 0 || flags&^(propagation|unix.MS_REC|unix.MS_SILENT) != 0 {
			return unix.EINVAL
		}
		return vfs.SetPropagation(t, target, kind, recursive)
	case flags&unix.MS_MOVE != 0:
		return withWalk(t, unix.AT_FDCWD, source, vfs.FollowLast, func(p vfs.Path) error {
			return vfs.MoveMount(t, p, target)
		})
	}
	if typ == "" {
		return unix.EINVAL
	}
	ft := vfs.LookupFS(typ)
	if ft == nil {
		return unix.ENODEV
	}
	if !ft.UserMount && !t.Creds().HasRootCap(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	sb, err := ft.New(t, vfs.MountSource{Source: source, Data: data})
	if err != nil {
		return errnoOf(err)
	}
	return vfs.MountFS(t, sb, target, own)
}

// errnoOf returns the number within an error that explains itself for logs.
func errnoOf(err error) error {
	for e := err; e != nil; {
		if errno, ok := e.(unix.Errno); ok {
			return errno
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	return unix.EINVAL
}

// Umount2 is umount2(2).
func Umount2(t *task, a arguments) (uintptr, error) {
	flags := a[1].Uint()
	if flags&^(unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) != 0 {
		return 0, unix.EINVAL
	}
	wf := vfs.FollowLast
	if flags&unix.UMOUNT_NOFOLLOW != 0 {
		wf = 0
	}
	return 0, withPath(t, unix.AT_FDCWD, addr(a[0].Pointer()), wf, func(p vfs.Path) error {
		if err := vfs.MayMount(t); err != nil {
			return err
		}
		return vfs.Unmount(t, p, flags)
	})
}

// PivotRoot is pivot_root(2). Every task of the mount namespace that stood in the old root stands in the new one after.
func PivotRoot(t *task, a arguments) (uintptr, error) {
	if err := vfs.MayMount(t); err != nil {
		return 0, err
	}
	const flags = vfs.FollowLast | vfs.WantDir
	return 0, withPath(t, unix.AT_FDCWD, addr(a[0].Pointer()), flags, func(newRoot vfs.Path) error {
		return withPath(t, unix.AT_FDCWD, addr(a[1].Pointer()), flags, func(putOld vfs.Path) error {
			old, err := vfs.PivotRoot(t, newRoot, putOld)
			if err != nil {
				return err
			}
			t.Kernel().ChangeRoots(func() {
				for _, o := range t.Kernel().RootPIDNS().Tasks() {
					if fs := o.FS(); fs != nil && o.MountNS() == t.MountNS() {
						fs.Replace(old, newRoot)
					}
				}
			})
			return nil
		})
	})
}

// mountAttr is struct mount_attr (mount_setattr(2)).
type mountAttr struct{ Set, Clear, Propagation, UserNSFD uint64 }

// MountSetattr is mount_setattr(2).
func MountSetattr(t *task, a arguments) (uintptr, error) {
	at, size := a[2].Int(), a[4].Size()
	if at&^(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT) != 0 || size < 32 {
		return 0, unix.EINVAL
	}
	if size > usermem.PageSize {
		return 0, unix.E2BIG
	}
	var m mountAttr
	if err := copyInStruct(t, addr(a[3].Pointer()), size, usermem.BytesOf(&m)); err != nil {
		return 0, err
	}
	set, err1 := mountAttrFlags(m.Set)
	clear, err2 := mountAttrFlags(m.Clear)
	if err1 != nil || err2 != nil || m.Propagation&^propagation != 0 || m.Propagation&(m.Propagation-1) != 0 {
		return 0, unix.EINVAL
	}
	recursive := at&unix.AT_RECURSIVE != 0
	return 0, withPath(t, a[0].Int(), addr(a[1].Pointer()), walkFlags(at), func(p vfs.Path) error {
		if err := vfs.MayMount(t); err != nil {
			return err
		}
		if err := vfs.SetMountFlags(t, p, set, clear, recursive); err != nil || m.Propagation == 0 {
			return err
		}
		return vfs.SetPropagation(t, p, m.Propagation, recursive)
	})
}

// mountAttrFlags translates MOUNT_ATTR_* to MS_*.
func mountAttrFlags(attr uint64) (ms uint64, err error) {
	for _, f := range [...]struct{ attr, ms uint64 }{
		{unix.MOUNT_ATTR_RDONLY, unix.MS_RDONLY}, {unix.MOUNT_ATTR_NOSUID, unix.MS_NOSUID}, {unix.MOUNT_ATTR_NODEV, unix.MS_NODEV},
		{unix.MOUNT_ATTR_NOEXEC, unix.MS_NOEXEC}, {unix.MOUNT_ATTR_NODIRATIME, unix.MS_NODIRATIME},
		{unix.MOUNT_ATTR_NOSYMFOLLOW, unix.MS_NOSYMFOLLOW}, {unix.MOUNT_ATTR_NOATIME, unix.MS_NOATIME},
		{unix.MOUNT_ATTR_STRICTATIME, 0},
	} {
		if attr&f.attr != 0 {
			ms |= f.ms
			attr &^= f.attr
		}
	}
	if attr != 0 {
		return 0, unix.EINVAL
	}
	return ms, nil
}
