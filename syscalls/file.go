package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/steady"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var fileCalls = append([]Call{
	{Nr: unix.SYS_OPEN, Name: "open", Func: Open, Args: []Arg{Path, OpenFlags, Mode}},
	{Nr: unix.SYS_OPENAT, Name: "openat", Func: Openat, Args: []Arg{DirFD, Path, OpenFlags, Mode}},
	{Nr: unix.SYS_OPENAT2, Name: "openat2", Func: Openat2, Args: []Arg{DirFD, Path, Ptr, Size}},
	{Nr: unix.SYS_CREAT, Name: "creat", Func: Creat, Args: []Arg{Path, Mode}},
	{Nr: unix.SYS_ACCESS, Name: "access", Func: Access, Args: []Arg{Path, Int}},
	{Nr: unix.SYS_FACCESSAT, Name: "faccessat", Func: Faccessat, Args: []Arg{DirFD, Path, Int}},
	{Nr: unix.SYS_FACCESSAT2, Name: "faccessat2", Func: Faccessat2, Args: []Arg{DirFD, Path, Int, Hex}},
	{Nr: unix.SYS_GETCWD, Name: "getcwd", Func: Getcwd, Args: []Arg{Ptr, Size}},
	{Nr: unix.SYS_CHDIR, Name: "chdir", Func: Chdir, Args: []Arg{Path}},
	{Nr: unix.SYS_FCHDIR, Name: "fchdir", Func: Fchdir, Args: []Arg{FD}},
	{Nr: unix.SYS_CHROOT, Name: "chroot", Func: Chroot, Args: []Arg{Path}},
	{Nr: unix.SYS_UMASK, Name: "umask", Func: Umask, Args: []Arg{Mode}},
	{Nr: unix.SYS_MKDIR, Name: "mkdir", Func: Mkdir, Args: []Arg{Path, Mode}},
	{Nr: unix.SYS_MKDIRAT, Name: "mkdirat", Func: Mkdirat, Args: []Arg{DirFD, Path, Mode}},
	{Nr: unix.SYS_MKNOD, Name: "mknod", Func: Mknod, Args: []Arg{Path, Mode, Hex}},
	{Nr: unix.SYS_MKNODAT, Name: "mknodat", Func: Mknodat, Args: []Arg{DirFD, Path, Mode, Hex}},
	{Nr: unix.SYS_RMDIR, Name: "rmdir", Func: Rmdir, Args: []Arg{Path}},
	{Nr: unix.SYS_UNLINK, Name: "unlink", Func: Unlink, Args: []Arg{Path}},
	{Nr: unix.SYS_UNLINKAT, Name: "unlinkat", Func: Unlinkat, Args: []Arg{DirFD, Path, Hex}},
	{Nr: unix.SYS_LINK, Name: "link", Func: Link, Args: []Arg{Path, Path}},
	{Nr: unix.SYS_LINKAT, Name: "linkat", Func: Linkat, Args: []Arg{DirFD, Path, DirFD, Path, Hex}},
	{Nr: unix.SYS_SYMLINK, Name: "symlink", Func: Symlink, Args: []Arg{Path, Path}},
	{Nr: unix.SYS_SYMLINKAT, Name: "symlinkat", Func: Symlinkat, Args: []Arg{Path, DirFD, Path}},
	{Nr: unix.SYS_RENAME, Name: "rename", Func: Rename, Args: []Arg{Path, Path}},
	{Nr: unix.SYS_RENAMEAT, Name: "renameat", Func: Renameat, Args: []Arg{DirFD, Path, DirFD, Path}},
	{Nr: unix.SYS_RENAMEAT2, Name: "renameat2", Func: Renameat2, Args: []Arg{DirFD, Path, DirFD, Path, Hex}, Level: Partial, Note: "no RENAME_WHITEOUT"},
	{Nr: unix.SYS_READLINK, Name: "readlink", Func: Readlink, Args: []Arg{Path, OutBuf, Size}},
	{Nr: unix.SYS_READLINKAT, Name: "readlinkat", Func: Readlinkat, Args: []Arg{DirFD, Path, OutBuf, Size}},
	{Nr: unix.SYS_TRUNCATE, Name: "truncate", Func: Truncate, Args: []Arg{Path, Offset}},
	{Nr: unix.SYS_FTRUNCATE, Name: "ftruncate", Func: Ftruncate, Args: []Arg{FD, Offset}},
}, attrCalls...)

// oLargefile is what every descriptor opened by a 64-bit program shows (O_LARGEFILE is 0 in its headers).
const oLargefile = 0100000

// Open is open(2).
func Open(t *task, a arguments) (uintptr, error) {
	return openAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), a[1].Uint(), a[2].Mode())
}

// Openat is openat(2).
func Openat(t *task, a arguments) (uintptr, error) {
	return openAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Uint(), a[3].Mode())
}

// Creat is creat(2).
func Creat(t *task, a arguments) (uintptr, error) {
	return openAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, a[1].Mode())
}

func openAt(t *task, dirfd int32, name addr, flags, mode uint32) (uintptr, error) {
	const known = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_APPEND | unix.O_NONBLOCK |
		unix.O_SYNC | unix.O_DSYNC | unix.O_ASYNC | unix.O_DIRECT | oLargefile | unix.O_DIRECTORY | unix.O_NOFOLLOW |
		unix.O_NOATIME | unix.O_CLOEXEC | unix.O_PATH | unix.O_TMPFILE
	return openHow(t, dirfd, name, vfs.OpenHow{Flags: flags&known | oLargefile, Mode: mode & 07777})
}

func openHow(t *task, dirfd int32, name addr, how vfs.OpenHow) (uintptr, error) {
	s, err := t.CopyInPath(name)
	if err != nil {
		return 0, err
	}
	relative := s
	if how.Resolve&unix.RESOLVE_IN_ROOT != 0 {
		relative = "" // "/" means the directory then
	}
	b, err := baseOf(t, dirfd, relative)
	if err != nil {
		return 0, err
	}
	defer b.release(t)
	d, err := vfs.Open(t, b.path(), s, how)
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	stats := t.Stats()
	var open steady.Stamp
	if stats {
		open = d.Note()
	}
	fd, err := t.NewFD(d, 0, how.Flags&unix.O_CLOEXEC != 0)
	if err == nil {
		reads := t.Reads()
		t.Opened(fd)
		t.FDs().OfferCloseLate(fd, d)
		if stats {
			echoStat(t, d, fd, open, false)
		}
		if reads > 0 {
			echoRead(t, d, fd, reads)
		}
	}
	return uintptr(fd), err
}

// Openat2 is openat2(2).
func Openat2(t *task, a arguments) (uintptr, error) {
	size := a[3].Size()
	if size < unix.SizeofOpenHow {
		return 0, unix.EINVAL
	}
	if size > usermem.PageSize {
		return 0, unix.E2BIG
	}
	var how unix.OpenHow
	if err := copyInStruct(t, addr(a[2].Pointer()), size, usermem.BytesOf(&how)); err != nil {
		return 0, err
	}
	const known = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_APPEND | unix.O_NONBLOCK |
		unix.O_SYNC | unix.O_DSYNC | unix.O_ASYNC | unix.O_DIRECT | oLargefile | unix.O_DIRECTORY | unix.O_NOFOLLOW |
		unix.O_NOATIME | unix.O_CLOEXEC | unix.O_PATH | unix.O_TMPFILE
	const resolve = unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH | unix.RESOLVE_IN_ROOT | resolveCached
	creates := how.Flags&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0
	switch {
	case how.Flags&^known != 0 || how.Resolve&^resolve != 0:
		return 0, unix.EINVAL
	case how.Resolve&unix.RESOLVE_BENEATH != 0 && how.Resolve&unix.RESOLVE_IN_ROOT != 0:
		return 0, unix.EINVAL
	case how.Mode&^07777 != 0 || !creates && how.Mode != 0:
		return 0, unix.EINVAL
	case how.Flags&unix.O_PATH != 0 && how.Flags&^(unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC) != 0:
		return 0, unix.EINVAL
	case how.Resolve&resolveCached != 0 && how.Flags&(unix.O_TRUNC|unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0:
		return 0, unix.EAGAIN
	}
	return openHow(t, a[0].Int(), addr(a[1].Pointer()), vfs.OpenHow{Flags: uint32(how.Flags) | oLargefile, Mode: uint32(how.Mode), Resolve: how.Resolve})
}

// resolveCached is RESOLVE_CACHED (openat2(2)).
const resolveCached = 0x20

// Access is access(2).
func Access(t *task, a arguments) (uintptr, error) {
	return accessAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), a[1].Uint(), 0)
}

// Faccessat is faccessat(2) without flags, as the kernel has it.
func Faccessat(t *task, a arguments) (uintptr, error) {
	return accessAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Uint(), 0)
}

// Faccessat2 is faccessat2(2).
func Faccessat2(t *task, a arguments) (uintptr, error) {
	return accessAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Uint(), a[3].Int())
}

func accessAt(t *task, dirfd int32, name addr, mask uint32, flags int32) (uintptr, error) {
	if mask&^7 != 0 || flags&^(unix.AT_EACCESS|unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	creds := t.Creds()
	if flags&unix.AT_EACCESS == 0 && (creds.RUID != creds.FSUID || creds.RGID != creds.FSGID || creds.Permitted != creds.Effective) {
		// The question is about the real user: a root user has what is permitted, others have no capabilities.
		c := creds.Copy()
		c.FSUID, c.FSGID = c.RUID, c.RGID
		root, _ := c.UserNS.KUID(0)
		if c.RUID == root {
			c.Effective = c.Permitted
		} else {
			c.Effective = 0
		}
		creds = c
	}
	return 0, withPath(t, dirfd, name, walkFlags(flags), func(p vfs.Path) error { return vfs.Access(t, p, creds, mask) })
}

// Getcwd is getcwd(2): it returns the length with the NUL.
func Getcwd(t *task, a arguments) (uintptr, error) {
	p := t.FS().Cwd()
	defer p.DecRef()
	if p.Dentry().Deleted() {
		return 0, unix.ENOENT
	}
	s := p.String(t)
	if uint64(len(s))+1 > a[1].Size() {
		return 0, unix.ERANGE
	}
	if _, err := t.MM().CopyOut(addr(a[0].Pointer()), append([]byte(s), 0)); err != nil {
		return 0, err
	}
	return uintptr(len(s) + 1), nil
}

// maySearch checks that t may make p its root or working directory.
func maySearch(t *task, p vfs.Path) error {
	if !p.Inode().Base().IsDir() {
		return unix.ENOTDIR
	}
	return vfs.CheckPerm(t, t.Creds(), p.Inode(), vfs.MayExec)
}

// Chdir is chdir(2).
func Chdir(t *task, a arguments) (uintptr, error) {
	return 0, withPath(t, unix.AT_FDCWD, addr(a[0].Pointer()), vfs.FollowLast|vfs.WantDir, func(p vfs.Path) error {
		err := maySearch(t, p)
		if err == nil {
			t.FS().SetCwd(p)
		}
		return err
	})
}

// Fchdir is fchdir(2).
func Fchdir(t *task, a arguments) (uintptr, error) {
	d := t.GetFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if err := maySearch(t, d.Path()); err != nil {
		return 0, err
	}
	t.FS().SetCwd(d.Path())
	return 0, nil
}

// Chroot is chroot(2).
func Chroot(t *task, a arguments) (uintptr, error) {
	return 0, withPath(t, unix.AT_FDCWD, addr(a[0].Pointer()), vfs.FollowLast|vfs.WantDir, func(p vfs.Path) error {
		if err := maySearch(t, p); err != nil {
			return err
		}
		if !t.Creds().HasCap(unix.CAP_SYS_CHROOT) {
			return unix.EPERM
		}
		t.Kernel().ChangeRoots(func() { t.FS().SetRoot(p) })
		return nil
	})
}

// Umask is umask(2).
func Umask(t *task, a arguments) (uintptr, error) {
	return uintptr(t.FS().SetUmask(a[0].Mode())), nil
}

// Mkdir is mkdir(2).
func Mkdir(t *task, a arguments) (uintptr, error) {
	return makeAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), vfs.CreateArgs{Mode: unix.S_IFDIR | a[1].Mode()&01777})
}

// Mkdirat is mkdirat(2).
func Mkdirat(t *task, a arguments) (uintptr, error) {
	return makeAt(t, a[0].Int(), addr(a[1].Pointer()), vfs.CreateArgs{Mode: unix.S_IFDIR | a[2].Mode()&01777})
}

func makeAt(t *task, dirfd int32, name addr, m vfs.CreateArgs) (uintptr, error) {
	return 0, withName(t, dirfd, name, func(at vfs.Path, s string) error { return vfs.Make(t, at, s, m, nil) })
}

// Mknod is mknod(2).
func Mknod(t *task, a arguments) (uintptr, error) {
	return mknodAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), a[1].Mode(), a[2].Uint())
}

// Mknodat is mknodat(2).
func Mknodat(t *task, a arguments) (uintptr, error) {
	return mknodAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Mode(), a[3].Uint())
}

func mknodAt(t *task, dirfd int32, name addr, mode, dev uint32) (uintptr, error) {
	m := vfs.CreateArgs{Mode: mode & (unix.S_IFMT | 07777)}
	switch mode & unix.S_IFMT {
	case 0:
		m.Mode |= unix.S_IFREG
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK:
	case unix.S_IFCHR, unix.S_IFBLK:
		// As in Linux the right counts in the first namespace only; overlayfs whiteouts (0, 0) are free.
		if !(mode&unix.S_IFMT == unix.S_IFCHR && dev == 0) && !t.Creds().HasRootCap(unix.CAP_MKNOD) {
			return 0, unix.EPERM
		}
		m.Rdev = uint64(dev)
	case unix.S_IFDIR:
		return 0, unix.EPERM
	default:
		return 0, unix.EINVAL
	}
	return makeAt(t, dirfd, name, m)
}

// Rmdir is rmdir(2).
func Rmdir(t *task, a arguments) (uintptr, error) {
	return unlinkAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), true)
}

// Unlink is unlink(2).
func Unlink(t *task, a arguments) (uintptr, error) {
	return unlinkAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), false)
}

// Unlinkat is unlinkat(2).
func Unlinkat(t *task, a arguments) (uintptr, error) {
	if a[2].Int()&^unix.AT_REMOVEDIR != 0 {
		return 0, unix.EINVAL
	}
	return unlinkAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Int() != 0)
}

func unlinkAt(t *task, dirfd int32, name addr, rmdir bool) (uintptr, error) {
	return 0, withName(t, dirfd, name, func(at vfs.Path, s string) error { return vfs.Unlink(t, at, s, rmdir) })
}

// Link is link(2).
func Link(t *task, a arguments) (uintptr, error) {
	return linkAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), unix.AT_FDCWD, addr(a[1].Pointer()), 0)
}

// Linkat is linkat(2).
func Linkat(t *task, a arguments) (uintptr, error) {
	return linkAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Int(), addr(a[3].Pointer()), a[4].Int())
}

func linkAt(t *task, oldDir int32, oldName addr, newDir int32, newName addr, flags int32) (uintptr, error) {
	if flags&^(unix.AT_SYMLINK_FOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	wf := vfs.WalkFlags(0)
	if flags&unix.AT_SYMLINK_FOLLOW != 0 {
		wf |= vfs.FollowLast
	}
	if flags&unix.AT_EMPTY_PATH != 0 {
		if !t.Creds().HasCap(unix.CAP_DAC_READ_SEARCH) {
			return 0, unix.ENOENT
		}
		wf |= vfs.AllowEmpty
	}
	return 0, withPath(t, oldDir, oldName, wf, func(old vfs.Path) error {
		return withName(t, newDir, newName, func(at vfs.Path, s string) error { return vfs.Link(t, old, at, s) })
	})
}

// Symlink is symlink(2).
func Symlink(t *task, a arguments) (uintptr, error) {
	return symlinkAt(t, addr(a[0].Pointer()), unix.AT_FDCWD, addr(a[1].Pointer()))
}

// Symlinkat is symlinkat(2).
func Symlinkat(t *task, a arguments) (uintptr, error) {
	return symlinkAt(t, addr(a[0].Pointer()), a[1].Int(), addr(a[2].Pointer()))
}

func symlinkAt(t *task, target addr, dirfd int32, name addr) (uintptr, error) {
	to, err := t.CopyInPath(target)
	if err != nil {
		return 0, err
	}
	if to == "" {
		return 0, unix.ENOENT
	}
	return makeAt(t, dirfd, name, vfs.CreateArgs{Mode: unix.S_IFLNK, Target: to})
}

// Rename is rename(2).
func Rename(t *task, a arguments) (uintptr, error) {
	return renameAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), unix.AT_FDCWD, addr(a[1].Pointer()), 0)
}

// Renameat is renameat(2).
func Renameat(t *task, a arguments) (uintptr, error) {
	return renameAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Int(), addr(a[3].Pointer()), 0)
}

// Renameat2 is renameat2(2).
func Renameat2(t *task, a arguments) (uintptr, error) {
	return renameAt(t, a[0].Int(), addr(a[1].Pointer()), a[2].Int(), addr(a[3].Pointer()), a[4].Uint())
}

func renameAt(t *task, oldDir int32, oldName addr, newDir int32, newName addr, flags uint32) (uintptr, error) {
	return 0, withName(t, oldDir, oldName, func(oldAt vfs.Path, old string) error {
		return withName(t, newDir, newName, func(newAt vfs.Path, s string) error {
			return vfs.Rename(t, oldAt, old, newAt, s, flags)
		})
	})
}

// Readlink is readlink(2).
func Readlink(t *task, a arguments) (uintptr, error) {
	return readlinkAt(t, unix.AT_FDCWD, addr(a[0].Pointer()), addr(a[1].Pointer()), a[2].Int())
}

// Readlinkat is readlinkat(2).
func Readlinkat(t *task, a arguments) (uintptr, error) {
	return readlinkAt(t, a[0].Int(), addr(a[1].Pointer()), addr(a[2].Pointer()), a[3].Int())
}

func readlinkAt(t *task, dirfd int32, name, buf addr, size int32) (n uintptr, err error) {
	if size <= 0 {
		return 0, unix.EINVAL
	}
	s, err := t.CopyInPath(name)
	if err != nil {
		return 0, err
	}
	flags := vfs.WalkFlags(0)
	if s == "" && dirfd != unix.AT_FDCWD {
		flags = vfs.AllowEmpty
	}
	err = withWalk(t, dirfd, s, flags, func(p vfs.Path) error {
		target, err := vfs.Readlink(t, p)
		if err == unix.EINVAL && s == "" {
			err = unix.ENOENT
		}
		if err != nil {
			return err
		}
		target = target[:min(len(target), int(size))]
		n = uintptr(len(target))
		_, err = t.MM().CopyOut(buf, []byte(target))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Truncate is truncate(2).
func Truncate(t *task, a arguments) (uintptr, error) {
	if a[1].Int64() < 0 {
		return 0, unix.EINVAL
	}
	return 0, withPath(t, unix.AT_FDCWD, addr(a[0].Pointer()), vfs.FollowLast, func(p vfs.Path) error {
		return vfs.Truncate(t, p, a[1].Int64())
	})
}

// Ftruncate is ftruncate(2).
func Ftruncate(t *task, a arguments) (uintptr, error) {
	if a[1].Int64() < 0 {
		return 0, unix.EINVAL
	}
	d := t.GetFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	return 0, d.Truncate(t, a[1].Int64())
}
