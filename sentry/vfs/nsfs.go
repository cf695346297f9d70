package vfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// nsFS is the file system of namespace files, nsfs on Linux: it has no
// directory, only single files that are bound to names.
var nsFS = &Superblock{Type: "nsfs", Source: "nsfs", Dev: NewDev(), Magic: unix.NSFS_MAGIC}

// NamespaceDev returns the st_dev of namespace files, by which, with their
// numbers, namespaces are compared.
func NamespaceDev() uint64 { return nsFS.Dev }

// Bindable is a file without a name that can be mounted: that of a namespace.
type Bindable interface {
	// Bind returns another file of the same object, which a mount keeps and releases.
	Bind() File
}

// boundInode is the inode of a Bindable that is mounted.
type boundInode struct{ AnonInode }

// Destroy releases the file: the last mount is gone.
func (b *boundInode) Destroy() { b.file.Release(nil) }

// bindAnon returns a mount, not placed yet, of a file without a name; nil if it
// cannot be mounted. mountMu is held.
func bindAnon(source Path) *Mount {
	a, ok := source.Inode().(*AnonInode)
	if !ok {
		return nil
	}
	f, ok := a.file.(Bindable)
	if !ok {
		return nil
	}
	in := &boundInode{AnonInode{file: f.Bind(), made: time.Now().UnixNano()}}
	in.Init(nsFS, NextAnonIno(), unix.S_IFREG|0o444, 0, 0)
	return newMount(nsFS, newDentry(nsFS, in, nil, source.dentry.Name()), 0)
}
