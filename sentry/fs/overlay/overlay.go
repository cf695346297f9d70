package overlay

import (
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/vfs"
)

// Attributes of the upper layer's files (Documentation/filesystems/overlayfs.rst).
const (
	opaqueXattr = "trusted.overlay.opaque"
	originXattr = "trusted.overlay.origin" // here: the inode number of the file it was copied from
	xattrPrefix = "trusted.overlay."
)

// fileSystem is one overlay.
type fileSystem struct {
	sb           vfs.Superblock
	upper, lower *vfs.Superblock

	// inodes finds the overlay's inode of a layer's. mu is a leaf.
	mu     sync.Mutex
	inodes map[*vfs.InodeBase]*inode
}

// New lays a new tmpfs with its pages in mem over lower.
func New(mem *pgalloc.File, lower *vfs.Superblock) *vfs.Superblock {
	lb := lower.Root().Inode().Base()
	fs := &fileSystem{lower: lower, inodes: map[*vfs.InodeBase]*inode{}}
	fs.upper = tmpfs.New(mem, tmpfs.Options{Mode: lb.Mode() & 07777, UID: lb.UID(), GID: lb.GID()})
	fs.sb.Type, fs.sb.Source, fs.sb.Magic, fs.sb.Dev = "overlay", "overlay", unix.OVERLAYFS_SUPER_MAGIC, vfs.NewDev()
	fs.sb.Settled = lower.Settled
	fs.sb.StatFSFunc = func(c vfs.Caller) (unix.Statfs_t, error) {
		st, err := lower.StatFS(c)
		st.Type = unix.OVERLAYFS_SUPER_MAGIC
		return st, err
	}
	fs.sb.ReleaseFunc = func() {
		for _, l := range [...]*vfs.Superblock{fs.upper, fs.lower} {
			if l.ReleaseFunc != nil {
				l.ReleaseFunc()
			}
		}
	}
	up, low := fs.upper.Root().Inode(), fs.lower.Root().Inode()
	up.Base().IncRef()
	low.Base().IncRef()
	fs.sb.SetRoot(fs.inode(up, low, nil, ""))
	return &fs.sb
}

// inode returns the overlay's inode of a file in the upper layer (nil: not there), the lower one (nil: not there, or
// hidden), or for directories both. It takes over the references, and returns one.
func (fs *fileSystem) inode(up, low vfs.Inode, parent *inode, name string) *inode {
	real := up
	if real == nil {
		real = low
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if in := fs.inodes[real.Base()]; in != nil && in.TryIncRef() {
		for _, l := range [...]vfs.Inode{up, low} {
			if l != nil {
				defer vfs.DecRefInode(l)
			}
		}
		return in
	}
	b := real.Base()
	in := &inode{fs: fs, upper: up, lower: low, parent: parent, name: name}
	in.Init(&fs.sb, inoOf(up, low), b.Mode(), b.UID(), b.GID())
	in.SetNlink(b.Nlink())
	in.Rdev = b.Rdev
	if parent != nil {
		parent.IncRef()
	}
	fs.inodes[b] = in
	return in
}

// inoOf is a file's number: that of the lower file it is or was copied from, else one that no lower file has.
func inoOf(up, low vfs.Inode) uint64 {
	if low != nil {
		return low.Base().Ino()
	}
	if v, err := up.GetXattr(nil, originXattr); err == nil {
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n
		}
	}
	return up.Base().Ino() | 1<<62
}

// inode is a file of the overlay.
type inode struct {
	vfs.InodeBase
	fs *fileSystem

	mu    sync.Mutex // what follows
	upper vfs.Inode  // nil until the file is changed
	lower vfs.Inode
	// parent (with a reference) and name are where the file is copied to.
	parent  *inode
	name    string
	removed bool // its name is gone: a copy has none either
}

// layers returns both layers' inodes as they are now.
func (in *inode) layers() (up, low vfs.Inode) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.upper, in.lower
}

// real returns the layer's inode that counts.
func (in *inode) real() vfs.Inode {
	up, low := in.layers()
	if up != nil {
		return up
	}
	return low
}

// sync brings the base up to date with the layer.
func (in *inode) sync() {
	b := in.real().Base()
	in.SetMode(b.Mode())
	in.SetOwner(b.UID(), b.GID())
	in.SetNlink(b.Nlink())
}

// Destroy lets go of the layers.
func (in *inode) Destroy() {
	in.fs.mu.Lock()
	for _, l := range [...]vfs.Inode{in.upper, in.lower} {
		if l != nil && in.fs.inodes[l.Base()] == in {
			delete(in.fs.inodes, l.Base())
		}
	}
	in.fs.mu.Unlock()
	for _, l := range [...]vfs.Inode{in.upper, in.lower} {
		if l != nil {
			vfs.DecRefInode(l)
		}
	}
	if in.parent != nil {
		vfs.DecRefInode(in.parent)
	}
}

// isWhiteout reports whether an upper inode says that a name is gone.
func isWhiteout(in vfs.Inode) bool {
	b := in.Base()
	return b.Type() == unix.S_IFCHR && b.Rdev == 0
}

// Stat asks the layer.
func (in *inode) Stat(c vfs.Caller, st *unix.Statx_t) error {
	if err := in.real().Stat(c, st); err != nil {
		return err
	}
	in.sync()
	st.Ino = in.Ino()
	st.Dev_major, st.Dev_minor = unix.Major(in.fs.sb.Dev), unix.Minor(in.fs.sb.Dev)
	return nil
}

// SetAttr copies the file up and changes the copy.
func (in *inode) SetAttr(c vfs.Caller, a *vfs.SetAttr) error {
	if err := in.copyUp(a.Mask&vfs.SetSize == 0 || a.Size > 0); err != nil {
		return err
	}
	err := in.real().SetAttr(c, a)
	in.sync()
	return err
}

// Open opens the layer's file; one that is going to be written is copied up first.
func (in *inode) Open(c vfs.Caller, at vfs.Path, flags uint32) (vfs.File, error) {
	if in.IsDir() {
		return &dirFile{in: in}, nil
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		if err := in.copyUp(true); err != nil {
			return nil, err
		}
	}
	return in.real().Open(c, at, flags)
}

// Readlink asks the layer.
func (in *inode) Readlink(c vfs.Caller) (string, error) { return in.real().Readlink(c) }

// GetXattr asks the layer; the overlay's own attributes are not shown.
func (in *inode) GetXattr(c vfs.Caller, name string) ([]byte, error) {
	if isOwn(name) {
		return nil, unix.ENODATA
	}
	return in.real().GetXattr(c, name)
}

func isOwn(name string) bool {
	return len(name) >= len(xattrPrefix) && name[:len(xattrPrefix)] == xattrPrefix
}

// SetXattr copies the file up and changes the copy.
func (in *inode) SetXattr(c vfs.Caller, name string, value []byte, flags uint32) error {
	if isOwn(name) {
		return unix.EPERM
	}
	if err := in.copyUp(true); err != nil {
		return err
	}
	return in.real().SetXattr(c, name, value, flags)
}

// ListXattr asks the layer.
func (in *inode) ListXattr(c vfs.Caller) ([]string, error) {
	names, err := in.real().ListXattr(c)
	out := names[:0]
	for _, n := range names {
		if !isOwn(n) {
			out = append(out, n)
		}
	}
	return out, err
}

// RemoveXattr copies the file up and changes the copy.
func (in *inode) RemoveXattr(c vfs.Caller, name string) error {
	if isOwn(name) {
		return unix.ENODATA
	}
	if err := in.copyUp(true); err != nil {
		return err
	}
	return in.real().RemoveXattr(c, name)
}
