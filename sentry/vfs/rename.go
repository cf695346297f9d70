package vfs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/names"
)

// Rename is renameat2(2).
func Rename(c Caller, oldAt Path, oldName string, newAt Path, newName string, flags uint32) error {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE|unix.RENAME_WHITEOUT) != 0 ||
		flags&unix.RENAME_EXCHANGE != 0 && flags&(unix.RENAME_NOREPLACE|unix.RENAME_WHITEOUT) != 0 {
		return unix.EINVAL
	}
	if flags&unix.RENAME_WHITEOUT != 0 {
		return unix.EINVAL // as file systems without whiteouts say
	}
	from, fromLast, fromSlash, err := walkParent(c, oldAt, oldName, 0)
	if err != nil {
		return err
	}
	defer from.DecRef()
	to, toLast, toSlash, err := walkParent(c, newAt, newName, 0)
	if err != nil {
		return err
	}
	defer to.DecRef()
	if from.mount != to.mount {
		return unix.EXDEV
	}
	if isDots(fromLast) {
		return unix.EBUSY
	}
	if isDots(toLast) {
		return either(flags&unix.RENAME_NOREPLACE != 0, unix.EEXIST, unix.EBUSY)
	}
	if len(fromLast) > nameMax || len(toLast) > nameMax {
		return unix.ENAMETOOLONG
	}
	r := rename{c: c, from: from, to: to, oldName: fromLast, newName: toLast, flags: flags, slash: fromSlash || toSlash, newSlash: toSlash}
	return r.do()
}

func isDots(name string) bool { return name == "" || name == "." || name == ".." }

// rename is one renameat2 in progress.
type rename struct {
	c                Caller
	from, to         Path
	oldName, newName string
	flags            uint32
	slash, newSlash  bool // a slash followed a name: it must be a directory's

	child, target *Dentry
}

func (r *rename) do() error {
	fd, td := r.from.dentry, r.to.dentry
	if fd != td {
		fd.sb.renameMu.Lock()
		defer fd.sb.renameMu.Unlock()
		// The ancestor first; of unrelated ones any order is good, for renameMu is held.
		if isBelow(fd, td) {
			td.dirMu.Lock()
			fd.dirMu.Lock()
		} else {
			fd.dirMu.Lock()
			td.dirMu.Lock()
		}
		defer td.dirMu.Unlock()
	} else {
		fd.dirMu.Lock()
	}
	defer fd.dirMu.Unlock()
	w := walker{c: r.c, intent: NoIntent}
	var err error
	if r.child, err = w.lookupLocked(fd, r.oldName, ""); err != nil {
		return err
	}
	if r.target, err = w.lookupLocked(td, r.newName, ""); err != nil {
		return err
	}
	if err := r.check(); err != nil || r.child == r.target {
		return err
	}
	if r.target.inode != nil && r.child.inode == r.target.inode && r.flags&unix.RENAME_EXCHANGE == 0 {
		return nil // two names of one file: nothing happens (rename(2))
	}
	if !r.child.TryIncRef() {
		return unix.ENOENT
	}
	defer r.child.DecRef()
	if t := r.target; t.inode != nil {
		if !t.TryIncRef() {
			return unix.ENOENT
		}
		defer t.DecRef()
		if t.inode.Base().IsDir() {
			t.dirMu.Lock() // nothing may be made in it any more
			defer t.dirMu.Unlock()
		}
	}
	beginName(r.oldName, r.child.inode)
	defer names.End()
	beginName(r.newName, r.target.inode)
	defer names.End()
	if err := fd.inode.Rename(r.c, r.oldName, r.child.inode, td.inode, r.newName, r.target.inode, r.flags); err != nil {
		return err
	}
	r.move()
	return nil
}

// check is everything rename(2) refuses.
func (r *rename) check() error {
	in := r.child.inode
	if in == nil {
		return unix.ENOENT
	}
	isDir := in.Base().IsDir()
	tin := r.target.inode
	switch {
	case r.slash && !isDir && r.flags&unix.RENAME_EXCHANGE == 0:
		return unix.ENOTDIR
	case tin != nil && r.flags&unix.RENAME_NOREPLACE != 0:
		return unix.EEXIST
	case tin == nil && r.flags&unix.RENAME_EXCHANGE != 0:
		return unix.ENOENT
	case isBelow(r.to.dentry, r.child):
		return unix.EINVAL
	case tin != nil && isBelow(r.from.dentry, r.target):
		return either(r.flags&unix.RENAME_EXCHANGE != 0, unix.EINVAL, unix.ENOTEMPTY)
	case r.from.mount.ReadOnly():
		return unix.EROFS
	}
	if err := mayDelete(r.c, r.from.dentry, in); err != nil {
		return err
	}
	if tin == nil {
		if err := mayCreate(r.c, r.to); err != nil {
			return err
		}
	} else {
		if err := mayDelete(r.c, r.to.dentry, tin); err != nil {
			return err
		}
		if tdir := tin.Base().IsDir(); tdir != isDir && r.flags&unix.RENAME_EXCHANGE == 0 {
			return either(isDir, unix.ENOTDIR, unix.EISDIR)
		}
	}
	// A directory's ".." changes with its parent.
	if isDir && r.from.dentry != r.to.dentry {
		if err := CheckPerm(r.c, r.c.Creds(), in, MayWrite); err != nil {
			return err
		}
	}
	if mountedIn(r.c, r.child) || tin != nil && mountedIn(r.c, r.target) {
		return unix.EBUSY
	}
	return nil
}

var renameCookie atomic.Uint32

// move carries a rename the file system has done to the dentries.
func (r *rename) move() {
	fd, td := r.from.dentry, r.to.dentry
	cookie := renameCookie.Add(1)
	isDir := uint32(0)
	if r.child.inode.Base().IsDir() {
		isDir = unix.IN_ISDIR
	}
	fd.unhash(r.child)
	if r.target.inode == nil {
		td.replaceNegative(r.newName)
	}
	var replaced Inode
	if r.flags&unix.RENAME_EXCHANGE != 0 {
		td.unhash(r.target)
		relocate(r.target, td, fd, r.oldName)
		fd.hash(r.target, r.oldName)
	} else if r.target.inode != nil {
		replaced = r.target.inode
		td.remove(r.target)
	}
	relocate(r.child, fd, td, r.newName)
	td.hash(r.child, r.newName)
	notifyMove(fd.inode, r.oldName, td.inode, r.newName, r.child.inode, isDir, cookie)
	if replaced != nil {
		notifyReplaced(replaced)
	}
}

// relocate changes where d is; d keeps a reference on its parent.
func relocate(d, from, to *Dentry, name string) {
	d.loc.Store(&location{to, name})
	if from != to {
		to.refs.Add(1)
		from.DecRef()
	}
}
