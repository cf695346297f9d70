package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

var xattrCalls = []Call{
	{Nr: unix.SYS_GETXATTR, Name: "getxattr", Func: Getxattr, Args: []Arg{Path, Path, OutBuf, Size}},
	{Nr: unix.SYS_LGETXATTR, Name: "lgetxattr", Func: Lgetxattr, Args: []Arg{Path, Path, OutBuf, Size}},
	{Nr: unix.SYS_FGETXATTR, Name: "fgetxattr", Func: Fgetxattr, Args: []Arg{FD, Path, OutBuf, Size}},
	{Nr: unix.SYS_SETXATTR, Name: "setxattr", Func: Setxattr, Args: []Arg{Path, Path, Buf, Size, Hex}, Level: Partial, Note: "no POSIX ACLs"},
	{Nr: unix.SYS_LSETXATTR, Name: "lsetxattr", Func: Lsetxattr, Args: []Arg{Path, Path, Buf, Size, Hex}, Level: Partial, Note: "no POSIX ACLs"},
	{Nr: unix.SYS_FSETXATTR, Name: "fsetxattr", Func: Fsetxattr, Args: []Arg{FD, Path, Buf, Size, Hex}, Level: Partial, Note: "no POSIX ACLs"},
	{Nr: unix.SYS_LISTXATTR, Name: "listxattr", Func: Listxattr, Args: []Arg{Path, OutBuf, Size}},
	{Nr: unix.SYS_LLISTXATTR, Name: "llistxattr", Func: Llistxattr, Args: []Arg{Path, OutBuf, Size}},
	{Nr: unix.SYS_FLISTXATTR, Name: "flistxattr", Func: Flistxattr, Args: []Arg{FD, OutBuf, Size}},
	{Nr: unix.SYS_REMOVEXATTR, Name: "removexattr", Func: Removexattr, Args: []Arg{Path, Path}},
	{Nr: unix.SYS_LREMOVEXATTR, Name: "lremovexattr", Func: Lremovexattr, Args: []Arg{Path, Path}},
	{Nr: unix.SYS_FREMOVEXATTR, Name: "fremovexattr", Func: Fremovexattr, Args: []Arg{FD, Path}},
}

const (
	xattrNameMax = 255      // XATTR_NAME_MAX
	xattrSizeMax = 64 << 10 // XATTR_SIZE_MAX
)

func xattrName(t *task, at addr) (string, error) {
	s, err := t.CopyInString(at, xattrNameMax+1)
	if err == unix.ENAMETOOLONG || err == nil && s == "" {
		err = unix.ERANGE
	}
	return s, err
}

// onFD calls f with the file a descriptor names, onPath with that a path names.
func onFD(t *task, fd int32, f func(p vfs.Path) error) error {
	d := t.GetIOFile(fd)
	if d == nil {
		return unix.EBADF
	}
	defer d.DecRef(t)
	return f(d.Path())
}

func onPath(t *task, name addr, follow vfs.WalkFlags, f func(p vfs.Path) error) error {
	return withPath(t, unix.AT_FDCWD, name, follow, f)
}

// giveOut copies a value out as getxattr(2) and listxattr(2) do: a size of 0 asks for the length.
func giveOut(t *task, v []byte, buf addr, size uint64) (uintptr, error) {
	if size == 0 {
		return uintptr(len(v)), nil
	}
	if uint64(len(v)) > size {
		return 0, unix.ERANGE
	}
	if _, err := t.MM().CopyOut(buf, v); err != nil {
		return 0, err
	}
	return uintptr(len(v)), nil
}

func getXattr(t *task, a arguments, p vfs.Path) (uintptr, error) {
	name, err := xattrName(t, addr(a[1].Pointer()))
	if err != nil {
		return 0, err
	}
	v, err := vfs.GetXattr(t, p, name)
	if err != nil {
		return 0, err
	}
	return giveOut(t, v, addr(a[2].Pointer()), a[3].Size())
}

// Getxattr is getxattr(2).
func Getxattr(t *task, a arguments) (n uintptr, err error) {
	err = onPath(t, addr(a[0].Pointer()), vfs.FollowLast, func(p vfs.Path) (err error) { n, err = getXattr(t, a, p); return })
	return n, err
}

// Lgetxattr is lgetxattr(2).
func Lgetxattr(t *task, a arguments) (n uintptr, err error) {
	err = onPath(t, addr(a[0].Pointer()), 0, func(p vfs.Path) (err error) { n, err = getXattr(t, a, p); return })
	return n, err
}

// Fgetxattr is fgetxattr(2).
func Fgetxattr(t *task, a arguments) (n uintptr, err error) {
	err = onFD(t, a[0].Int(), func(p vfs.Path) (err error) { n, err = getXattr(t, a, p); return })
	return n, err
}

func setXattr(t *task, a arguments, p vfs.Path) error {
	flags := a[4].Uint()
	if flags&^(unix.XATTR_CREATE|unix.XATTR_REPLACE) != 0 {
		return unix.EINVAL
	}
	name, err := xattrName(t, addr(a[1].Pointer()))
	if err != nil {
		return err
	}
	if a[3].Size() > xattrSizeMax {
		return unix.E2BIG
	}
	v := make([]byte, a[3].Size())
	if _, err := t.MM().CopyIn(addr(a[2].Pointer()), v); err != nil {
		return err
	}
	return vfs.SetXattr(t, p, name, v, flags)
}

// Setxattr is setxattr(2).
func Setxattr(t *task, a arguments) (uintptr, error) {
	return 0, onPath(t, addr(a[0].Pointer()), vfs.FollowLast, func(p vfs.Path) error { return setXattr(t, a, p) })
}

// Lsetxattr is lsetxattr(2).
func Lsetxattr(t *task, a arguments) (uintptr, error) {
	return 0, onPath(t, addr(a[0].Pointer()), 0, func(p vfs.Path) error { return setXattr(t, a, p) })
}

// Fsetxattr is fsetxattr(2).
func Fsetxattr(t *task, a arguments) (uintptr, error) {
	return 0, onFD(t, a[0].Int(), func(p vfs.Path) error { return setXattr(t, a, p) })
}

func listXattr(t *task, a arguments, p vfs.Path) (uintptr, error) {
	names, err := vfs.ListXattr(t, p)
	if err != nil {
		return 0, err
	}
	var all []byte
	for _, n := range names {
		all = append(append(all, n...), 0)
	}
	return giveOut(t, all, addr(a[1].Pointer()), a[2].Size())
}

// Listxattr is listxattr(2).
func Listxattr(t *task, a arguments) (n uintptr, err error) {
	err = onPath(t, addr(a[0].Pointer()), vfs.FollowLast, func(p vfs.Path) (err error) { n, err = listXattr(t, a, p); return })
	return n, err
}

// Llistxattr is llistxattr(2).
func Llistxattr(t *task, a arguments) (n uintptr, err error) {
	err = onPath(t, addr(a[0].Pointer()), 0, func(p vfs.Path) (err error) { n, err = listXattr(t, a, p); return })
	return n, err
}

// Flistxattr is flistxattr(2).
func Flistxattr(t *task, a arguments) (n uintptr, err error) {
	err = onFD(t, a[0].Int(), func(p vfs.Path) (err error) { n, err = listXattr(t, a, p); return })
	return n, err
}

func removeXattr(t *task, a arguments, p vfs.Path) error {
	name, err := xattrName(t, addr(a[1].Pointer()))
	if err != nil {
		return err
	}
	return vfs.RemoveXattr(t, p, name)
}

// Removexattr is removexattr(2).
func Removexattr(t *task, a arguments) (uintptr, error) {
	return 0, onPath(t, addr(a[0].Pointer()), vfs.FollowLast, func(p vfs.Path) error { return removeXattr(t, a, p) })
}

// Lremovexattr is lremovexattr(2).
func Lremovexattr(t *task, a arguments) (uintptr, error) {
	return 0, onPath(t, addr(a[0].Pointer()), 0, func(p vfs.Path) error { return removeXattr(t, a, p) })
}

// Fremovexattr is fremovexattr(2).
func Fremovexattr(t *task, a arguments) (uintptr, error) {
	return 0, onFD(t, a[0].Int(), func(p vfs.Path) error { return removeXattr(t, a, p) })
}
