package vfs

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/names"
)

// Mount is a file system, or a directory of one, seen at a place.
type Mount struct {
	ID    int
	sb    *Superblock
	root  *Dentry // with a reference
	at    atomic.Pointer[mountPoint]
	ns    atomic.Pointer[MountNamespace] // nil once unmounted
	flags atomic.Uint64                  // MS_* of mount(2): those of a mount, not of a file system
	refs  atomic.Int64                   // paths that use it
	done  atomic.Bool                    // its references were given up

	// Guarded by mountMu.
	children  []*Mount
	peerGroup *peerGroup // MS_SHARED
	master    *peerGroup // MS_SLAVE
	unbind    bool       // MS_UNBINDABLE
}

// mountPoint is where a mount sits; it holds references on neither: the mount tree does (parent by being a child,
// point by its mounts count, which keeps it in the cache, and a reference).
type mountPoint struct {
	parent *Mount
	point  *Dentry
}

// peerGroup is a set of mounts that propagate to each other (mount_namespaces(7)).
type peerGroup struct {
	id     int
	peers  []*Mount
	slaves []*Mount
}

// PerMount are the flags that are a mount's own (mount(2)).
const PerMount = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME |
	unix.MS_RELATIME | unix.MS_NOSYMFOLLOW

// The tree of all mounts of all namespaces. Lookups read the table without a lock.
var (
	mountMu     sync.Mutex
	mountTable  atomic.Pointer[map[mountPoint]*Mount]
	nextMountID int
	nextGroupID int
	nextMountNS uint64 = 0xF0000000
)

func init() { mountTable.Store(&map[mountPoint]*Mount{}) }

// anonMount is the mount files without a name are seen through; it is in no namespace.
var anonMount = newMount(&Superblock{Type: "anon_inodefs", Dev: NewDev(), Magic: unix.ANON_INODE_FS_MAGIC}, nil, 0)

func newMount(sb *Superblock, root *Dentry, flags uint64) *Mount {
	nextMountID++
	m := &Mount{ID: nextMountID, sb: sb, root: root}
	if flags&(unix.MS_NOATIME|unix.MS_STRICTATIME) == 0 {
		flags |= unix.MS_RELATIME // the default of mount(2)
	}
	m.flags.Store(flags & PerMount)
	if root != nil {
		root.refs.Add(1)
	}
	sb.mounts.Add(1)
	return m
}

// NewKernelMount mounts sb where only the kernel sees it and returns its root, with a reference.
func NewKernelMount(sb *Superblock) Path {
	mountMu.Lock()
	defer mountMu.Unlock()
	m := newMount(sb, sb.root, 0)
	p := Path{m, m.root}
	p.IncRef()
	return p
}

// Superblock returns what is mounted.
func (m *Mount) Superblock() *Superblock { return m.sb }

// Flags returns the mount's MS_* flags.
func (m *Mount) Flags() uint64 { return m.flags.Load() }

// ReadOnly reports whether nothing may be changed through m.
func (m *Mount) ReadOnly() bool { return m.flags.Load()&unix.MS_RDONLY != 0 }

// Root returns the mount's root, without a reference.
func (m *Mount) Root() Path { return Path{m, m.root} }

// decRef drops a path's reference; an unmounted mount goes with the last.
func (m *Mount) decRef() {
	if m.refs.Add(-1) == 0 && m.ns.Load() == nil {
		m.release()
	}
}

// release gives up what an unmounted, unused mount holds.
func (m *Mount) release() {
	if m == anonMount || !m.done.CompareAndSwap(false, true) {
		return
	}
	m.root.DecRef()
	if m.sb.mounts.Add(-1) > 0 {
		return
	}
	m.sb.empty()
	if m.sb.ReleaseFunc != nil {
		m.sb.ReleaseFunc()
	}
}

// mountedAt returns the mount on top of d in m, nil if there is none.
func mountedAt(m *Mount, d *Dentry) *Mount {
	if d.mounts.Load() == 0 {
		return nil
	}
	return (*mountTable.Load())[mountPoint{m, d}]
}

// attach puts m at (parent, point). mountMu is held.
func attach(m, parent *Mount, point *Dentry) {
	at := mountPoint{parent, point}
	t := maps.Clone(*mountTable.Load())
	t[at] = m
	point.refs.Add(1)
	point.mounts.Add(1)
	names.Begin(names.World)
	defer names.End()
	m.at.Store(&at)
	m.ns.Store(parent.ns.Load())
	parent.children = append(parent.children, m)
	mountTable.Store(&t)
}

// detach takes m off its place. mountMu is held. The caller releases m after.
func detach(m *Mount) {
	at := m.at.Load()
	if at == nil {
		return
	}
	t := maps.Clone(*mountTable.Load())
	delete(t, *at)
	names.Begin(names.World)
	defer names.End()
	mountTable.Store(&t)
	at.parent.children = slices.DeleteFunc(at.parent.children, func(o *Mount) bool { return o == m })
	m.at.Store(nil)
	at.point.mounts.Add(-1)
	at.point.DecRef()
}

// leaveGroups takes m out of propagation. mountMu is held.
func (m *Mount) leaveGroups() {
	isM := func(o *Mount) bool { return o == m }
	if g := m.peerGroup; g != nil {
		g.peers = slices.DeleteFunc(g.peers, isM)
		m.peerGroup = nil
	}
	if g := m.master; g != nil {
		g.slaves = slices.DeleteFunc(g.slaves, isM)
		m.master = nil
	}
}

// tree calls f with m and all mounts below it. mountMu is held.
func (m *Mount) tree(f func(*Mount)) {
	f(m)
	for _, ch := range slices.Clone(m.children) {
		ch.tree(f)
	}
}

// receivers returns the mounts to which a change under m propagates: its peers and all slaves below. mountMu is held.
func (m *Mount) receivers() []*Mount {
	if m.peerGroup == nil {
		return nil
	}
	var out []*Mount
	seen := map[*Mount]bool{m: true}
	var visit func(g *peerGroup)
	visit = func(g *peerGroup) {
		for _, set := range [2][]*Mount{g.peers, g.slaves} {
			for _, o := range set {
				if seen[o] {
					continue
				}
				seen[o] = true
				out = append(out, o)
				if o.peerGroup != nil && o.peerGroup != g {
					visit(o.peerGroup)
				}
			}
		}
	}
	visit(m.peerGroup)
	return out
}

// share makes m a peer of a group, a new one if it has none. mountMu is held.
func (m *Mount) share() {
	if m.peerGroup == nil {
		nextGroupID++
		m.peerGroup = &peerGroup{id: nextGroupID, peers: []*Mount{m}}
	}
}

// copyTree copies m, and the mounts below root if recursive, for a bind mount or a new namespace. mountMu is held.
func copyTree(m *Mount, root *Dentry, recursive bool) *Mount {
	c := newMount(m.sb, root, m.flags.Load())
	if g := m.peerGroup; g != nil {
		c.peerGroup = g
		g.peers = append(g.peers, c)
	}
	if g := m.master; g != nil {
		c.master = g
		g.slaves = append(g.slaves, c)
	}
	if recursive {
		for _, ch := range m.children {
			at := ch.at.Load()
			if ch.unbind || !isBelow(at.point, root) {
				continue
			}
			attach(copyTree(ch, ch.root, true), c, at.point)
		}
	}
	return c
}

// isBelow reports whether d is top or under it.
func isBelow(d, top *Dentry) bool {
	for ; d != nil; d = d.Parent() {
		if d == top {
			return true
		}
	}
	return false
}

// MountNamespace is a tree of mounts (mount_namespaces(7)).
type MountNamespace struct {
	refs   atomic.Int64
	userNS *auth.UserNamespace
	root   *Mount
	inode  uint64
}

// NewMountNamespace returns a namespace with sb as its root; it has one reference.
func NewMountNamespace(sb *Superblock, flags uint64, owner *auth.UserNamespace) *MountNamespace {
	mountMu.Lock()
	defer mountMu.Unlock()
	ns := newMountNS(owner)
	ns.root = newMount(sb, sb.root, flags)
	ns.root.ns.Store(ns)
	return ns
}

func newMountNS(owner *auth.UserNamespace) *MountNamespace {
	nextMountNS++
	ns := &MountNamespace{userNS: owner, inode: nextMountNS}
	ns.refs.Store(1)
	return ns
}

// Inode returns the number /proc/PID/ns/mnt shows.
func (ns *MountNamespace) Inode() uint64 { return ns.inode }

// UserNS returns the user namespace that owns ns.
func (ns *MountNamespace) UserNS() *auth.UserNamespace { return ns.userNS }

// Root returns the root of the namespace, topmost mount, with a reference for the caller.
func (ns *MountNamespace) Root() Path {
	p := Path{ns.root, ns.root.root}
	for m := mountedAt(p.mount, p.dentry); m != nil; m = mountedAt(p.mount, p.dentry) {
		p = Path{m, m.root}
	}
	p.IncRef()
	return p
}

// IncRef takes a reference.
func (ns *MountNamespace) IncRef() { ns.refs.Add(1) }

// DecRef drops a reference; the last unmounts everything.
func (ns *MountNamespace) DecRef() {
	if ns.refs.Add(-1) != 0 {
		return
	}
	mountMu.Lock()
	gone := unmountTree(ns.root)
	mountMu.Unlock()
	releaseMounts(gone)
}

// Clone returns a copy of the namespace owned by owner (CLONE_NEWNS), and moves root and working directory of fs,
// which the caller owns alone, to the same places in it. In a less privileged namespace mounts become slaves.
func (ns *MountNamespace) Clone(fs *FSContext, owner *auth.UserNamespace) *MountNamespace {
	mountMu.Lock()
	n := newMountNS(owner)
	old := map[*Mount]*Mount{}
	n.root = cloneMounts(ns.root, n, old)
	if owner != ns.userNS {
		n.root.tree(func(m *Mount) { m.enslave() })
	}
	mountMu.Unlock()
	move := func(p Path) Path {
		if m := old[p.mount]; m != nil {
			return Path{m, p.dentry}
		}
		return p
	}
	pl := fs.place.Load()
	fs.SetRoot(move(pl.root))
	fs.SetCwd(move(fs.place.Load().cwd))
	return n
}

func cloneMounts(m *Mount, ns *MountNamespace, old map[*Mount]*Mount) *Mount {
	c := copyTree(m, m.root, false)
	c.unbind = m.unbind
	c.ns.Store(ns)
	old[m] = c
	for _, ch := range m.children {
		at := ch.at.Load()
		attach(cloneMounts(ch, ns, old), c, at.point)
	}
	return c
}

// enslave is MS_SLAVE: peers become the master. mountMu is held.
func (m *Mount) enslave() {
	g := m.peerGroup
	if g == nil {
		return
	}
	old := m.master
	m.leaveGroups()
	if len(g.peers) == 0 {
		if m.master = old; old != nil {
			old.slaves = append(old.slaves, m)
		}
		return
	}
	m.master = g
	g.slaves = append(g.slaves, m)
}

// unmountTree detaches m and everything below; the caller releases the result. mountMu is held.
func unmountTree(m *Mount) []*Mount {
	var all []*Mount
	m.tree(func(o *Mount) { all = append(all, o) })
	for i := len(all) - 1; i >= 0; i-- {
		all[i].leaveGroups()
		detach(all[i])
		all[i].ns.Store(nil)
	}
	return all
}

func releaseMounts(gone []*Mount) {
	for _, m := range gone {
		if m.refs.Load() == 0 {
			m.release()
		}
	}
}
