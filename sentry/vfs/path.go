package vfs

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Path is a place: a dentry seen through a mount. Whoever keeps one holds a reference on both.
type Path struct {
	mount  *Mount
	dentry *Dentry
}

// Mount returns the mount.
func (p Path) Mount() *Mount { return p.mount }

// Dentry returns the dentry.
func (p Path) Dentry() *Dentry { return p.dentry }

// Inode returns the file at p.
func (p Path) Inode() Inode { return p.dentry.inode }

// IsZero reports whether p is no place at all.
func (p Path) IsZero() bool { return p.dentry == nil }

// IncRef takes a reference; the caller holds one already.
func (p Path) IncRef() {
	if p.dentry != nil {
		p.mount.refs.Add(1)
		p.dentry.IncRef()
	}
}

// DecRef drops a reference.
func (p Path) DecRef() {
	if p.dentry != nil {
		p.dentry.DecRef()
		p.mount.decRef()
	}
}

// tryIncRef takes a reference unless the dentry was evicted.
func (p Path) tryIncRef() bool {
	if !p.dentry.TryIncRef() {
		return false
	}
	p.mount.refs.Add(1)
	return true
}

// String returns the path as getcwd(2) and the links in /proc show it to c (nil: to the kernel, from the root of all
// mounts): with " (deleted)" after a removed file's, and "(unreachable)" before what c's root does not contain.
func (p Path) String(c Caller) string {
	s, state := p.Name(c)
	switch {
	case p.mount == anonMount:
		return s
	case state == Unreachable:
		return "(unreachable)" + s
	case p.dentry.Deleted():
		return s + " (deleted)"
	}
	return s
}

// Reach says how a path lies to a root.
type Reach int

// How a path lies to the caller's root.
const (
	Reachable Reach = iota
	Unreachable
)

// Name returns the bare path from c's root.
func (p Path) Name(c Caller) (string, Reach) {
	if p.mount == anonMount {
		return p.dentry.Name(), Reachable
	}
	var root Path
	if c != nil {
		root = c.FS().rootUnref()
	}
	return p.nameFrom(root)
}

// nameFrom is Name from a given root (zero: the root of all mounts).
func (p Path) nameFrom(root Path) (string, Reach) {
	var parts []string
	m, d := p.mount, p.dentry
	reach := Reachable
	for range 4096 { // a rename going on may show a loop
		if m == root.mount && d == root.dentry {
			break
		}
		if d == m.root {
			up := m.at.Load()
			if up == nil {
				if root.dentry != nil {
					reach = Unreachable
				}
				break
			}
			m, d = up.parent, up.point
			continue
		}
		l := d.loc.Load()
		if l.parent == nil {
			reach = Unreachable
			break
		}
		parts = append(parts, l.name)
		d = l.parent
	}
	if len(parts) == 0 {
		return "/", reach
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	return b.String(), reach
}

// FSContext is root, working directory and umask of a task; tasks made with CLONE_FS share one.
type FSContext struct {
	refs  atomic.Int64
	umask atomic.Uint32
	mu    sync.Mutex // changes of place
	place atomic.Pointer[fsPlace]
}

// fsPlace holds references on both; it is replaced whole.
type fsPlace struct{ root, cwd Path }

// NewFSContext returns a context with one reference; it takes over the references on root and cwd.
func NewFSContext(root, cwd Path, umask uint32) *FSContext {
	f := &FSContext{}
	f.refs.Store(1)
	f.umask.Store(umask)
	f.place.Store(&fsPlace{root, cwd})
	return f
}

// IncRef takes a reference (CLONE_FS).
func (f *FSContext) IncRef() { f.refs.Add(1) }

// DecRef drops a reference.
func (f *FSContext) DecRef() {
	if f.refs.Add(-1) == 0 {
		p := f.place.Load()
		p.root.DecRef()
		p.cwd.DecRef()
	}
}

// Shared reports whether others hold references too.
func (f *FSContext) Shared() bool { return f.refs.Load() > 1 }

// Copy returns an independent copy with one reference (fork, unshare(CLONE_FS)).
func (f *FSContext) Copy() *FSContext {
	return NewFSContext(f.Root(), f.Cwd(), f.Umask())
}

// Root returns the root directory with a reference for the caller.
func (f *FSContext) Root() Path {
	for {
		if p := f.place.Load().root; p.tryIncRef() {
			return p
		}
	}
}

// Cwd returns the working directory with a reference for the caller.
func (f *FSContext) Cwd() Path {
	for {
		if p := f.place.Load().cwd; p.tryIncRef() {
			return p
		}
	}
}

// rootUnref returns the root without a reference, to compare with or to walk from.
func (f *FSContext) rootUnref() Path { return f.place.Load().root }

// SeesAs is what the root directory is told apart by: no reference is held, and it is good for nothing else.
func (f *FSContext) SeesAs() Path { return f.rootUnref() }

// SetCwd changes the working directory; it takes its own reference.
func (f *FSContext) SetCwd(p Path) {
	p.IncRef()
	f.change(func(o *fsPlace) (fsPlace, Path) { return fsPlace{o.root, p}, o.cwd })
}

// SetRoot changes the root directory; it takes its own reference.
func (f *FSContext) SetRoot(p Path) {
	p.IncRef()
	f.change(func(o *fsPlace) (fsPlace, Path) { return fsPlace{p, o.cwd}, o.root })
}

func (f *FSContext) change(with func(*fsPlace) (fsPlace, Path)) {
	f.mu.Lock()
	n, old := with(f.place.Load())
	f.place.Store(&n)
	f.mu.Unlock()
	old.DecRef()
}

// Umask returns the file mode creation mask.
func (f *FSContext) Umask() uint32 { return f.umask.Load() }

// SetUmask sets the mask and returns the old one.
func (f *FSContext) SetUmask(m uint32) uint32 { return f.umask.Swap(m & 0777) }

// Replace makes to the root and the working directory if they were from (pivot_root(2)).
func (f *FSContext) Replace(from, to Path) {
	p := f.place.Load()
	if p.root == from {
		f.SetRoot(to)
	}
	if p.cwd == from {
		f.SetCwd(to)
	}
}

// Chrooted reports whether the root is not that of the mount namespace ns (chroot(2)).
func (f *FSContext) Chrooted(ns *MountNamespace) bool {
	top := ns.Root()
	defer top.DecRef()
	return f.rootUnref() != top
}
