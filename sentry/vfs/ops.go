package vfs

import (
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/names"
)

// Make makes a file of any type but regular ones opened at once: mkdir(2), mknod(2), symlink(2), bind(2). mode holds
// the type; the umask is applied here. prepare, if not nil, is called with the new inode before others can find it.
func Make(c Caller, at Path, name string, a CreateArgs, prepare func(Inode)) error {
	dir, last, trailing, err := walkParent(c, at, name, 0)
	if err != nil {
		return err
	}
	defer dir.DecRef()
	isDir := a.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case last == "" || last == "." || last == "..":
		return unix.EEXIST
	case len(last) > nameMax:
		return unix.ENAMETOOLONG
	}
	d := dir.dentry
	d.dirMu.Lock()
	defer d.dirMu.Unlock()
	w := walker{c: c, intent: NoIntent}
	child, err := w.lookupLocked(d, last, "")
	if err != nil {
		return err
	}
	switch {
	case child.inode != nil:
		return unix.EEXIST
	case trailing && !isDir:
		return unix.ENOENT
	case dir.mount.ReadOnly():
		return unix.EROFS
	}
	if err := mayCreate(c, dir); err != nil {
		return err
	}
	if t := a.Mode & unix.S_IFMT; t == unix.S_IFLNK {
		a.Mode = unix.S_IFLNK | 0777
	} else {
		a.Mode &^= c.FS().Umask()
	}
	a.Intent = NoIntent
	a.UID, a.GID, a.Mode = newOwner(c, d.inode.Base(), a.Mode)
	beginName(last, nil)
	defer names.End()
	in, err := d.inode.Create(c, last, &a)
	if err != nil {
		return err
	}
	if prepare != nil {
		prepare(in)
	}
	d.replaceNegative(last)
	child = d.add(last, in)
	notifyChild(d, child, unix.IN_CREATE)
	return nil
}

// Link is linkat(2): it gives the file at old another name.
func Link(c Caller, old Path, at Path, name string) error {
	dir, last, trailing, err := walkParent(c, at, name, 0)
	if err != nil {
		return err
	}
	defer dir.DecRef()
	in := old.Inode()
	switch {
	case last == "" || last == "." || last == "..":
		return unix.EEXIST
	case len(last) > nameMax:
		return unix.ENAMETOOLONG
	}
	d := dir.dentry
	d.dirMu.Lock()
	defer d.dirMu.Unlock()
	w := walker{c: c, intent: NoIntent}
	child, err := w.lookupLocked(d, last, "")
	switch {
	case err != nil:
		return err
	case child.inode != nil:
		return unix.EEXIST
	case trailing:
		return unix.ENOENT
	case old.mount != dir.mount || in.Base().sb != d.sb:
		return unix.EXDEV
	case dir.mount.ReadOnly():
		return unix.EROFS
	}
	if err := mayCreate(c, dir); err != nil {
		return err
	}
	if in.Base().IsDir() {
		return unix.EPERM
	}
	if err := mayHardlink(c, in); err != nil {
		return err
	}
	beginName(last, nil)
	defer names.End()
	if err := d.inode.Link(c, last, in); err != nil {
		return err
	}
	in.Base().IncRef()
	d.replaceNegative(last)
	child = d.add(last, in)
	notifyChild(d, child, unix.IN_CREATE)
	notifyInode(in, unix.IN_ATTRIB)
	return nil
}

// mayHardlink is fs.protected_hardlinks: others' files may be linked only if they could be read and written and are
// no set-user-ID programs (proc(5)).
func mayHardlink(c Caller, in Inode) error {
	b := in.Base()
	creds := c.Creds()
	if OwnerOrCapable(creds, b) {
		return nil
	}
	m := b.Mode()
	if m&unix.S_IFMT != unix.S_IFREG || m&unix.S_ISUID != 0 || m&(unix.S_ISGID|0010) == unix.S_ISGID|0010 ||
		CheckPerm(c, creds, in, MayRead|MayWrite) != nil {
		return unix.EPERM
	}
	return nil
}

// Unlink is unlinkat(2); with rmdir it removes a directory.
func Unlink(c Caller, at Path, name string, rmdir bool) error {
	dir, last, trailing, err := walkParent(c, at, name, 0)
	if err != nil {
		return err
	}
	defer dir.DecRef()
	switch last {
	case "":
		return either(rmdir, unix.EBUSY, unix.EISDIR)
	case ".":
		return either(rmdir, unix.EINVAL, unix.EISDIR)
	case "..":
		return either(rmdir, unix.ENOTEMPTY, unix.EISDIR)
	}
	if len(last) > nameMax {
		return unix.ENAMETOOLONG
	}
	d := dir.dentry
	d.dirMu.Lock()
	w := walker{c: c, intent: NoIntent}
	child, err := w.lookupLocked(d, last, "")
	if err == nil {
		beginName(last, child.inode)
		defer names.End()
		err = unlinkLocked(c, dir, child, last, rmdir, trailing)
	}
	if err != nil {
		d.dirMu.Unlock()
		return err
	}
	in := child.inode
	in.Base().IncRef()
	d.remove(child)
	if !d.sb.NoNegative {
		d.addNegative(last, d.sb.Epoch())
	}
	d.dirMu.Unlock()
	notifyGone(d, in, last)
	DecRefInode(in)
	return nil
}

func either(cond bool, a, b unix.Errno) error {
	if cond {
		return a
	}
	return b
}

// unlinkLocked checks and does the removal of child from dir, whose dirMu is held.
func unlinkLocked(c Caller, dir Path, child *Dentry, name string, rmdir, trailing bool) error {
	in := child.inode
	switch {
	case in == nil:
		return unix.ENOENT
	case trailing && !rmdir:
		return either(in.Base().IsDir(), unix.EISDIR, unix.ENOTDIR)
	case dir.mount.ReadOnly():
		return unix.EROFS
	}
	if err := mayDelete(c, dir.dentry, in); err != nil {
		return err
	}
	if isDir := in.Base().IsDir(); rmdir != isDir {
		return either(rmdir, unix.ENOTDIR, unix.EISDIR)
	}
	if mountedIn(c, child) {
		return unix.EBUSY
	}
	if !rmdir {
		return dir.dentry.inode.Unlink(c, name, in, false)
	}
	if !child.TryIncRef() { // so that it stays while locked; it cannot be evicted: dirMu of its parent is held
		return unix.ENOENT
	}
	defer child.DecRef()
	child.dirMu.Lock()
	defer child.dirMu.Unlock()
	if err := dir.dentry.inode.Unlink(c, name, in, true); err != nil {
		return err
	}
	child.gone.Store(true) // nothing can be made in it from here on
	return nil
}

// mountedIn reports whether something is mounted on d in c's namespace. Mounts in others go away with the name.
func mountedIn(c Caller, d *Dentry) bool {
	if d.mounts.Load() == 0 {
		return false
	}
	ns := c.MountNS()
	mountMu.Lock()
	defer mountMu.Unlock()
	for at, m := range *mountTable.Load() {
		if at.point == d && m.ns.Load() == ns {
			return true
		}
	}
	return false
}

// SetStat changes the attributes of the file at p after the checks of chmod(2), chown(2), truncate(2) and
// utimensat(2).
func SetStat(c Caller, p Path, a *SetAttr) error {
	if p.mount.ReadOnly() && !p.IsAnon() {
		return unix.EROFS
	}
	in := p.Inode()
	if err := checkSetAttr(c, in, a); err != nil {
		return err
	}
	if a.Mask&(SetMode|SetUID|SetGID) != 0 {
		names.Begin(names.World) // who may search it
		defer names.End()
	}
	if err := in.SetAttr(c, a); err != nil {
		return err
	}
	if a.Mask&(SetSize|SetUID|SetGID) != 0 {
		dropFileCaps(c, in)
	}
	if a.Mask&SetSize != 0 {
		notifyPath(p, unix.IN_MODIFY)
	}
	if a.Mask&^SetSize != 0 {
		notifyPath(p, unix.IN_ATTRIB)
	}
	return nil
}

// checkSetAttr checks permissions and does what setting one attribute means for others: it may add to a.
func checkSetAttr(c Caller, in Inode, a *SetAttr) error {
	b := in.Base()
	creds := c.Creds()
	if a.Mask&(SetUID|SetGID|KillSetID) != 0 {
		a.Mask &^= KillSetID
		if err := checkChown(creds, b, a); err != nil {
			return err
		}
		// Set-ID bits of anything but directories do not survive a change of owner (chown(2)).
		if m := b.Mode(); !b.IsDir() && a.Mask&SetMode == 0 {
			keep := m &^ unix.S_ISUID
			if m&0010 != 0 {
				keep &^= unix.S_ISGID
			}
			if keep != m {
				a.Mask |= SetMode
				a.Mode = keep & 07777
			}
		}
	} else if a.Mask&SetMode != 0 {
		if !OwnerOrCapable(creds, b) {
			return unix.EPERM
		}
		a.Mode &= 07777
		if a.Mode&unix.S_ISGID != 0 && !creds.InGroup(b.GID()) && !capOver(creds, b, unix.CAP_FSETID) {
			a.Mode &^= unix.S_ISGID
		}
	}
	if a.Mask&(SetATime|SetMTime) != 0 && !OwnerOrCapable(creds, b) {
		// Setting both to now needs only write permission (utime(2)).
		now := (a.Mask&SetATime == 0 || a.ATimeNow) && (a.Mask&SetMTime == 0 || a.MTimeNow) && a.Mask&SetATime != 0 && a.Mask&SetMTime != 0
		if !now {
			return unix.EPERM
		}
		if err := CheckPerm(c, creds, in, MayWrite); err != nil {
			return err
		}
	}
	return nil
}

// checkChown checks chown(2): CAP_CHOWN, or the owner giving the file to a group of theirs.
func checkChown(creds *auth.Credentials, b *InodeBase, a *SetAttr) error {
	if capOver(creds, b, unix.CAP_CHOWN) {
		return nil
	}
	if a.Mask&SetUID != 0 && (creds.FSUID != b.UID() || a.UID != b.UID()) {
		return unix.EPERM
	}
	if a.Mask&SetGID != 0 && (creds.FSUID != b.UID() || a.GID != b.GID() && !creds.InGroup(a.GID)) {
		return unix.EPERM
	}
	return nil
}

// Truncate is truncate(2): a change of size by name.
func Truncate(c Caller, p Path, size int64) error {
	b := p.Inode().Base()
	switch {
	case b.IsDir():
		return unix.EISDIR
	case b.Type() != unix.S_IFREG:
		return unix.EINVAL
	}
	if err := CheckPerm(c, c.Creds(), p.Inode(), MayWrite); err != nil {
		return err
	}
	if p.mount.ReadOnly() {
		return unix.EROFS
	}
	if !b.getWrite() {
		return unix.ETXTBSY
	}
	defer b.putWrite()
	return setSize(c, p, size)
}

// Truncate is ftruncate(2).
func (d *Description) Truncate(c Caller, size int64) error {
	if d.Flags()&unix.O_PATH != 0 {
		return unix.EBADF
	}
	if !d.Writable() || d.Inode().Base().Type() != unix.S_IFREG {
		return unix.EINVAL
	}
	return setSize(c, d.path, size)
}

func setSize(c Caller, p Path, size int64) error {
	if size < 0 {
		return unix.EINVAL
	}
	in := p.Inode()
	if err := CheckFileSize(c, size, p.Inode()); err != nil {
		return err
	}
	a := &SetAttr{Mask: SetSize, Size: size}
	dropSetID(c, in.Base(), a)
	if err := in.SetAttr(c, a); err != nil {
		return err
	}
	notifyPath(p, unix.IN_MODIFY)
	return nil
}

// dropSetID adds to a what a change of content does to set-ID bits, unless c has CAP_FSETID.
func dropSetID(c Caller, b *InodeBase, a *SetAttr) {
	m := b.Mode()
	if m&(unix.S_ISUID|unix.S_ISGID) == 0 || c.Creds().HasCap(unix.CAP_FSETID) {
		return
	}
	keep := m &^ unix.S_ISUID
	if m&0010 != 0 {
		keep &^= unix.S_ISGID
	}
	if keep != m {
		a.Mask |= SetMode
		a.Mode = keep & 07777
	}
}

// SetStat is fchmod(2), fchown(2), futimens(2).
func (d *Description) SetStat(c Caller, a *SetAttr) error { return SetStat(c, d.path, a) }

// CheckFileSize checks a size to come against RLIMIT_FSIZE: EFBIG, and SIGXFSZ to the caller.
func CheckFileSize(c Caller, size int64, in Inode) error {
	if l := c.Limits().Get(unix.RLIMIT_FSIZE).Cur; uint64(size) > l {
		var st unix.Statx_t
		if in.Stat(c, &st) == nil && uint64(size) <= st.Size {
			return nil
		}
		c.SendSignal(int32(unix.SIGXFSZ))
		return unix.EFBIG
	}
	return nil
}

// statBuffers are pooled because what an Inode is given to fill in escapes.
var statBuffers = sync.Pool{New: func() any { return new(unix.Statx_t) }}

// Stat is statx(2) of the file at p.
func Stat(c Caller, p Path) (st unix.Statx_t, err error) {
	err = WithStat(c, p, func(buf *unix.Statx_t) error { st = *buf; return nil })
	return st, err
}

// WithStat calls use with what Stat returns, which stays no longer than that.
func WithStat(c Caller, p Path, use func(st *unix.Statx_t) error) error {
	st := statBuffers.Get().(*unix.Statx_t)
	defer statBuffers.Put(st)
	*st = unix.Statx_t{}
	if err := p.Inode().Stat(c, st); err != nil {
		return err
	}
	if p.mount != nil {
		st.Attributes_mask |= unix.STATX_ATTR_MOUNT_ROOT
		if p.dentry == p.mount.root {
			st.Attributes |= unix.STATX_ATTR_MOUNT_ROOT
		}
		st.Mnt_id = uint64(p.mount.ID)
		st.Mask |= unix.STATX_MNT_ID
	}
	return use(st)
}

// Stat is statx(2) of the description's file.
func (d *Description) Stat(c Caller) (unix.Statx_t, error) { return Stat(c, d.path) }

// Access is faccessat(2) with the credentials given.
func Access(c Caller, p Path, creds *auth.Credentials, mask uint32) error {
	in := p.Inode()
	b := in.Base()
	if mask&MayWrite != 0 && p.mount.ReadOnly() {
		switch b.Type() {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
			return unix.EROFS
		}
	}
	if mask&MayExec != 0 && b.Type() == unix.S_IFREG && p.mount.flags.Load()&unix.MS_NOEXEC != 0 {
		return unix.EACCES
	}
	if mask == 0 {
		return nil
	}
	return CheckPerm(c, creds, in, mask)
}

// StatFS is statfs(2).
func StatFS(c Caller, p Path) (unix.Statfs_t, error) {
	var st unix.Statfs_t
	var err error
	if s, ok := p.Inode().(StatFSer); ok {
		st, err = s.StatFS(c)
	} else {
		st, err = p.mount.sb.StatFS(c)
	}
	// f_flags (statfs(2)): ST_VALID and the mount's.
	st.Flags |= 0x20
	for _, f := range [...]struct {
		ms uint64
		st int64
	}{
		{unix.MS_RDONLY, unix.ST_RDONLY}, {unix.MS_NOSUID, unix.ST_NOSUID}, {unix.MS_NODEV, unix.ST_NODEV},
		{unix.MS_NOEXEC, unix.ST_NOEXEC}, {unix.MS_NOATIME, unix.ST_NOATIME}, {unix.MS_NODIRATIME, unix.ST_NODIRATIME},
		{unix.MS_RELATIME, unix.ST_RELATIME}, {unix.MS_NOSYMFOLLOW, 0x2000},
	} {
		if p.mount.Flags()&f.ms != 0 {
			st.Flags |= f.st
		}
	}
	return st, err
}

// Readlink is readlinkat(2) of the link at p.
func Readlink(c Caller, p Path) (string, error) {
	if p.Inode().Base().Type() != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	return p.Inode().Readlink(c)
}
