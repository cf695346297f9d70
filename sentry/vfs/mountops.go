package vfs

import (
	"golang.org/x/sys/unix"
	"path"
	"ringfort/sentry/names"
)

// MayMount checks that c may change the mounts of its namespace (EPERM).
func MayMount(c Caller) error {
	if !c.Creds().HasCapIn(unix.CAP_SYS_ADMIN, c.MountNS().userNS) {
		return unix.EPERM
	}
	return nil
}

// MountFS mounts sb's root at target. flags are the mount's own MS_* flags.
func MountFS(c Caller, sb *Superblock, target Path, flags uint64) error {
	mountMu.Lock()
	defer mountMu.Unlock()
	m := newMount(sb, sb.root, flags)
	return graft(c, m, target)
}

// graft puts the detached tree m at target, and copies of it wherever the target's mount propagates to. mountMu is
// held; on failure m is released.
func graft(c Caller, m *Mount, target Path) error {
	err := checkTarget(c, m, target)
	if err != nil {
		gone := unmountTree(m)
		releaseMounts(gone)
		return err
	}
	parent, point := topmost(target.mount, target.dentry)
	if parent.peerGroup != nil {
		m.tree(func(o *Mount) { o.share() })
	}
	for _, r := range parent.receivers() {
		if !isBelow(point, r.root) {
			continue
		}
		cp := copyTree(m, m.root, true)
		if r.peerGroup == nil {
			cp.tree(func(o *Mount) { o.enslave() })
		}
		attach(cp, r, point)
		setNS(cp, r.ns.Load())
	}
	attach(m, parent, point)
	setNS(m, parent.ns.Load())
	return nil
}

func setNS(m *Mount, ns *MountNamespace) { m.tree(func(o *Mount) { o.ns.Store(ns) }) }

func checkTarget(c Caller, m *Mount, target Path) error {
	ns := target.mount.ns.Load()
	switch {
	case ns == nil, c != nil && ns != c.MountNS():
		return unix.EINVAL
	case target.dentry.Deleted():
		return unix.ENOENT
	case m.root.inode.Base().IsDir() != target.dentry.inode.Base().IsDir():
		return unix.ENOTDIR
	}
	return nil
}

// topmost goes up the stack of mounts on one place.
func topmost(m *Mount, d *Dentry) (*Mount, *Dentry) {
	for {
		o := mountedAt(m, d)
		if o == nil {
			return m, d
		}
		m, d = o, o.root
	}
}

// BindMount makes source visible at target too, with the mounts below it if recursive.
func BindMount(c Caller, source, target Path, recursive bool) error {
	mountMu.Lock()
	defer mountMu.Unlock()
	if source.mount == anonMount {
		m := bindAnon(source)
		if m == nil {
			return unix.EINVAL
		}
		return graft(c, m, target)
	}
	if source.mount.unbind || source.mount.ns.Load() == nil {
		return unix.EINVAL
	}
	return graft(c, copyTree(source.mount, source.dentry, recursive), target)
}

// MoveMount moves the mount whose root is source to target.
func MoveMount(c Caller, source, target Path) error {
	mountMu.Lock()
	defer mountMu.Unlock()
	m := source.mount
	at := m.at.Load()
	if source.dentry != m.root || at == nil || m.ns.Load() != c.MountNS() || at.parent.peerGroup != nil {
		return unix.EINVAL
	}
	for p := target.mount; p != nil; {
		if p == m {
			return unix.ELOOP
		}
		up := p.at.Load()
		if up == nil {
			break
		}
		p = up.parent
	}
	if err := checkTarget(c, m, target); err != nil {
		return err
	}
	parent, point := topmost(target.mount, target.dentry)
	detach(m)
	attach(m, parent, point)
	return nil
}

// Remount changes the flags of the mount whose root is p.
func Remount(c Caller, p Path, flags uint64) error {
	mountMu.Lock()
	defer mountMu.Unlock()
	if p.dentry != p.mount.root || p.mount.ns.Load() != c.MountNS() {
		return unix.EINVAL
	}
	names.Begin(names.World)
	defer names.End()
	p.mount.flags.Store(flags & PerMount)
	return nil
}

// SetMountFlags adds and removes flags of a mount, of all below it too if recursive (mount_setattr(2)).
func SetMountFlags(c Caller, p Path, set, clear uint64, recursive bool) error {
	mountMu.Lock()
	defer mountMu.Unlock()
	if p.dentry != p.mount.root || p.mount.ns.Load() != c.MountNS() {
		return unix.EINVAL
	}
	names.Begin(names.World) // MS_NOSYMFOLLOW
	defer names.End()
	do := func(m *Mount) { m.flags.Store((m.flags.Load()&^clear | set) & PerMount) }
	if recursive {
		p.mount.tree(do)
	} else {
		do(p.mount)
	}
	return nil
}

// SetPropagation changes how mounts at p propagate: kind is MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE.
func SetPropagation(c Caller, p Path, kind uint64, recursive bool) error {
	mountMu.Lock()
	defer mountMu.Unlock()
	if p.dentry != p.mount.root {
		return unix.EINVAL
	}
	do := func(m *Mount) {
		m.unbind = kind == unix.MS_UNBINDABLE
		switch kind {
		case unix.MS_SHARED:
			m.share()
		case unix.MS_SLAVE:
			m.enslave()
		default:
			m.leaveGroups()
		}
	}
	if recursive {
		p.mount.tree(do)
	} else {
		do(p.mount)
	}
	return nil
}

// Unmount is umount2(2); flags are MNT_* and UMOUNT_NOFOLLOW.
func Unmount(c Caller, p Path, flags uint32) error {
	mountMu.Lock()
	m := p.mount
	at := m.at.Load()
	if p.dentry != m.root || m.ns.Load() != c.MountNS() || at == nil {
		mountMu.Unlock()
		return unix.EINVAL
	}
	// The caller's own Path is one reference.
	busy := m.refs.Load() > 1 || len(m.children) > 0
	if busy && flags&unix.MNT_DETACH == 0 {
		mountMu.Unlock()
		return unix.EBUSY
	}
	var gone []*Mount
	for _, r := range at.parent.receivers() {
		if o := mountedAt(r, at.point); o != nil && o.sb == m.sb && (flags&unix.MNT_DETACH != 0 || o.refs.Load() == 0 && len(o.children) == 0) {
			gone = append(gone, unmountTree(o)...)
		}
	}
	gone = append(gone, unmountTree(m)...)
	mountMu.Unlock()
	releaseMounts(gone)
	return nil
}

// PivotRoot is pivot_root(2): newRoot becomes the root of the namespace and the old root is moved to putOld. Tasks
// whose root or working directory was the old root are the caller's to move.
func PivotRoot(c Caller, newRoot, putOld Path) (oldRoot Path, err error) {
	mountMu.Lock()
	defer mountMu.Unlock()
	root := c.FS().rootUnref()
	ns := c.MountNS()
	nm, om := newRoot.mount, root.mount
	nat, oat := nm.at.Load(), om.at.Load()
	switch {
	case nm.ns.Load() != ns || om.ns.Load() != ns || putOld.mount.ns.Load() != ns:
		return oldRoot, unix.EINVAL
	case nm == om || putOld.mount == om:
		return oldRoot, unix.EBUSY
	case newRoot.dentry != nm.root || root.dentry != om.root || nat == nil:
		return oldRoot, unix.EINVAL
	case nat.parent.peerGroup != nil || nm.peerGroup != nil || oat != nil && oat.parent.peerGroup != nil:
		return oldRoot, unix.EINVAL
	case !below(putOld, newRoot):
		return oldRoot, unix.EINVAL
	}
	detach(nm)
	if oat != nil {
		detach(om)
		attach(nm, oat.parent, oat.point)
	} else {
		ns.root = nm
	}
	parent, point := topmost(putOld.mount, putOld.dentry)
	attach(om, parent, point)
	return root, nil
}

// below reports whether p lies at or under top, across mounts.
func below(p, top Path) bool {
	m, d := p.mount, p.dentry
	for m != nil {
		if m == top.mount {
			return isBelow(d, top.dentry)
		}
		at := m.at.Load()
		if at == nil {
			return false
		}
		m, d = at.parent, at.point
	}
	return false
}

// MountInfo describes a mount for /proc/PID/mountinfo and mounts.
type MountInfo struct {
	ID, Parent int
	Dev        uint64
	Root       string // within the file system
	Point      string // as the viewer sees it
	Flags      uint64
	Tags       []string // shared:N, master:N, unbindable
	Type       string
	Source     string
	SuperOpts  string
}

// List returns the mounts of ns that lie below root, in the order they hang in the tree.
func (ns *MountNamespace) List(root Path) []MountInfo {
	mountMu.Lock()
	defer mountMu.Unlock()
	var out []MountInfo
	ns.root.tree(func(m *Mount) {
		point, reach := Path{m, m.root}.nameFrom(root)
		if reach == Unreachable || m == root.mount && root.dentry != m.root {
			return
		}
		in := MountInfo{
			ID: m.ID, Parent: m.ID, Dev: m.sb.Dev, Point: point, Flags: m.Flags(), Type: m.sb.Type, Source: m.sb.Source,
			SuperOpts: m.sb.Options, Root: "/",
		}
		if at := m.at.Load(); at != nil {
			in.Parent = at.parent.ID
		}
		if m.root != m.sb.root {
			in.Root, _ = Path{&Mount{root: m.sb.root}, m.root}.nameFrom(Path{})
		}
		if m.sb.RootName != "" {
			in.Root = path.Join(m.sb.RootName, in.Root)
		}
		if m.peerGroup != nil {
			in.Tags = append(in.Tags, tag("shared", m.peerGroup.id))
		}
		if m.master != nil {
			in.Tags = append(in.Tags, tag("master", m.master.id))
		}
		if m.unbind {
			in.Tags = append(in.Tags, "unbindable")
		}
		out = append(out, in)
	})
	return out
}

// Superblocks returns the file systems mounted in ns, for sync(2).
func (ns *MountNamespace) Superblocks() []*Superblock {
	mountMu.Lock()
	defer mountMu.Unlock()
	seen := map[*Superblock]bool{}
	var out []*Superblock
	ns.root.tree(func(m *Mount) {
		if !seen[m.sb] {
			seen[m.sb] = true
			out = append(out, m.sb)
		}
	})
	return out
}
