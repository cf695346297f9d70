package vfs

import (
	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
)

// Access asked of an inode (access(2)).
const (
	MayExec  = 1
	MayWrite = 2
	MayRead  = 4
)

// CheckPerm reports whether creds may access in: EACCES if not (inode(7), capabilities(7)).
func CheckPerm(c Caller, creds *auth.Credentials, in Inode, mask uint32) error {
	b := in.Base()
	mode := b.Mode()
	perm := mode
	if creds.FSUID == b.UID() {
		perm >>= 6
	} else if creds.InGroup(b.GID()) {
		perm >>= 3
	}
	if perm&mask != mask && !overrides(creds, b, mode, mask) {
		g, ok := in.(PermGranter)
		if !ok || !g.Grants(c) {
			return unix.EACCES
		}
	}
	if p, ok := in.(PermChecker); ok {
		return p.CheckPerm(c, mask)
	}
	return nil
}

// overrides reports whether capabilities allow what the mode bits do not.
func overrides(creds *auth.Credentials, b *InodeBase, mode, mask uint32) bool {
	if creds.Effective == 0 {
		return false
	}
	isDir := mode&unix.S_IFMT == unix.S_IFDIR
	// CAP_DAC_OVERRIDE does not make a file executable that nobody may execute.
	if (isDir || mask&MayExec == 0 || mode&0111 != 0) && capOver(creds, b, unix.CAP_DAC_OVERRIDE) {
		return true
	}
	return (mask == MayRead || isDir && mask&MayWrite == 0) && capOver(creds, b, unix.CAP_DAC_READ_SEARCH)
}

// capOver reports whether creds have a capability over the inode: its owner and group must be known in their user
// namespace (user_namespaces(7)).
func capOver(creds *auth.Credentials, b *InodeBase, capability int) bool {
	return creds.HasCap(capability) && creds.UserNS.MapsUID(b.UID()) && creds.UserNS.MapsGID(b.GID())
}

// OwnerOrCapable reports whether creds own the inode or have CAP_FOWNER over it.
func OwnerOrCapable(creds *auth.Credentials, b *InodeBase) bool {
	return creds.FSUID == b.UID() || capOver(creds, b, unix.CAP_FOWNER)
}

// mayCreate checks that c may add an entry to the directory p.
func mayCreate(c Caller, p Path) error {
	if p.dentry.Deleted() {
		return unix.ENOENT
	}
	if err := CheckPerm(c, c.Creds(), p.dentry.inode, MayWrite|MayExec); err != nil {
		return err
	}
	return nil
}

// mayDelete checks that c may remove child from dir, which may be sticky.
func mayDelete(c Caller, dir *Dentry, child Inode) error {
	creds := c.Creds()
	if err := CheckPerm(c, creds, dir.inode, MayWrite|MayExec); err != nil {
		return err
	}
	db, cb := dir.inode.Base(), child.Base()
	if db.Mode()&unix.S_ISVTX != 0 && creds.FSUID != cb.UID() && creds.FSUID != db.UID() && !capOver(creds, cb, unix.CAP_FOWNER) {
		return unix.EPERM
	}
	return nil
}

// newOwner returns owner, group and mode of a file c makes in dir: a set-group-ID directory passes its group on, and
// the bit to directories; others may not set the bit for a group they are not in.
func newOwner(c Caller, dir *InodeBase, mode uint32) (auth.KUID, auth.KGID, uint32) {
	creds := c.Creds()
	gid := creds.FSGID
	if dir.Mode()&unix.S_ISGID != 0 {
		gid = dir.GID()
		if mode&unix.S_IFMT == unix.S_IFDIR {
			mode |= unix.S_ISGID
		} else if mode&(unix.S_ISGID|0010) == unix.S_ISGID|0010 && !creds.InGroup(gid) && !creds.HasCap(unix.CAP_FSETID) {
			mode &^= unix.S_ISGID
		}
	}
	return creds.FSUID, gid, mode
}
