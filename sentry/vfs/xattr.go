package vfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// checkXattr checks whether c may read (or with write, change) the attribute name of in: xattr(7).
func checkXattr(c Caller, in Inode, name string, write bool) error {
	b := in.Base()
	creds := c.Creds()
	mask := uint32(MayRead)
	if write {
		mask = MayWrite
	}
	switch {
	case strings.HasSuffix(name, ".") && strings.Count(name, ".") == 1:
		return unix.EINVAL // a namespace without a name
	case strings.HasPrefix(name, "user."):
		if t := b.Type(); t != unix.S_IFREG && t != unix.S_IFDIR {
			return either(write, unix.EPERM, unix.ENODATA)
		}
		if write && b.IsDir() && b.Mode()&unix.S_ISVTX != 0 && !OwnerOrCapable(creds, b) {
			return unix.EPERM
		}
		return CheckPerm(c, creds, in, mask)
	case strings.HasPrefix(name, "trusted."):
		if !creds.HasRootCap(unix.CAP_SYS_ADMIN) {
			return either(write, unix.EPERM, unix.ENODATA)
		}
		return nil
	case strings.HasPrefix(name, "security."):
		if write {
			need := unix.CAP_SYS_ADMIN
			if name == capabilityXattr {
				need = unix.CAP_SETFCAP
			}
			if !capOver(creds, b, need) {
				return unix.EPERM
			}
		}
		return nil
	case strings.HasPrefix(name, "system."):
		return unix.EOPNOTSUPP // POSIX ACLs: not kept
	}
	return unix.EOPNOTSUPP
}

// GetXattr is getxattr(2).
func GetXattr(c Caller, p Path, name string) ([]byte, error) {
	if err := checkXattr(c, p.Inode(), name, false); err != nil {
		return nil, err
	}
	return p.Inode().GetXattr(c, name)
}

// SetXattr is setxattr(2).
func SetXattr(c Caller, p Path, name string, value []byte, flags uint32) error {
	if p.mount.ReadOnly() {
		return unix.EROFS
	}
	if err := checkXattr(c, p.Inode(), name, true); err != nil {
		return err
	}
	if name == capabilityXattr && !validFileCaps(value) {
		return unix.EINVAL
	}
	err := p.Inode().SetXattr(c, name, value, flags)
	if err == nil {
		p.Inode().Base().NoteXattr(name)
		notifyPath(p, unix.IN_ATTRIB)
	}
	return err
}

// ListXattr is listxattr(2): the names c may know of.
func ListXattr(c Caller, p Path) ([]string, error) {
	names, err := p.Inode().ListXattr(c)
	if err != nil {
		return nil, err
	}
	trusted := c.Creds().HasRootCap(unix.CAP_SYS_ADMIN)
	out := names[:0]
	for _, n := range names {
		if trusted || !strings.HasPrefix(n, "trusted.") {
			out = append(out, n)
		}
	}
	return out, nil
}

// RemoveXattr is removexattr(2).
func RemoveXattr(c Caller, p Path, name string) error {
	if p.mount.ReadOnly() {
		return unix.EROFS
	}
	if err := checkXattr(c, p.Inode(), name, true); err != nil {
		return err
	}
	err := p.Inode().RemoveXattr(c, name)
	if err == nil {
		notifyPath(p, unix.IN_ATTRIB)
	}
	return err
}
