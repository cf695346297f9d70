package vfs

import "golang.org/x/sys/unix"

// capabilityXattr holds the capabilities of a program (capabilities(7), "File capabilities").
const capabilityXattr = "security.capability"

// FileCaps returns the value of security.capability of in, nil if there is none or the file system keeps none. changed
// is the inode's time of change in nanoseconds: that a file has none is remembered until it changes, because every
// execve(2) asks.
func FileCaps(c Caller, in Inode, changed int64) ([]byte, error) {
	b := in.Base()
	if changed != 0 && b.noCaps.Load() == changed {
		return nil, nil
	}
	v, err := in.GetXattr(c, capabilityXattr)
	switch err {
	case nil:
		return v, nil
	case unix.ENODATA, unix.EOPNOTSUPP:
		b.noCaps.Store(changed)
		return nil, nil
	}
	return nil, err
}

// dropFileCaps takes the capabilities from a file whose content or owner changed. Files of the host lose theirs there.
func dropFileCaps(c Caller, in Inode) {
	if b := in.Base(); b.hasCaps.Load() && b.hasCaps.Swap(false) {
		_ = in.RemoveXattr(c, capabilityXattr) // the change itself is done; ENODATA if the host was first
	}
}

// NoteXattr tells that the attribute name was set on the file.
func (b *InodeBase) NoteXattr(name string) {
	if name == capabilityXattr {
		b.noCaps.Store(0)
		b.hasCaps.Store(true)
	}
}

// validFileCaps reports whether v may be set as security.capability: revision 2 or 3 of linux/capability.h, whose first
// word has the revision in its high byte.
func validFileCaps(v []byte) bool {
	return len(v) == 20 && v[3] == 2 || len(v) == 24 && v[3] == 3
}
