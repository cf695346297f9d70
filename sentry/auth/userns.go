package auth

import (
	"sync"
	"sync/atomic"
)

// Extent maps Count IDs from First inside a namespace to ParentFirst in its
// parent (one line of /proc/PID/uid_map).
type Extent struct{ First, ParentFirst, Count uint32 }

// UserNamespace is a user namespace (user_namespaces(7)).
type UserNamespace struct {
	parent *UserNamespace
	level  int
	owner  KUID
	group  KGID
	inode  uint64

	mu        sync.RWMutex
	uids      []Extent // immutable once set
	gids      []Extent
	setgroups bool // "allow"
}

// MaxUserNSDepth is how deep user namespaces nest (user_namespaces(7)).
const MaxUserNSDepth = 32

// userNSInodes numbers user namespaces, for /proc/PID/ns/user.
var userNSInodes atomic.Uint64

// NewRootUserNS returns the root user namespace, which maps every ID to itself.
func NewRootUserNS() *UserNamespace {
	id := []Extent{{0, 0, ^uint32(0)}}
	return &UserNamespace{uids: id, gids: id, setgroups: true, inode: 0xEFFFFFFD}
}

// NewChild returns a user namespace below ns, owned by (owner, group), with no
// mappings yet. It returns false if it would nest too deep.
func (ns *UserNamespace) NewChild(owner KUID, group KGID) (*UserNamespace, bool) {
	if ns.level+1 > MaxUserNSDepth {
		return nil, false
	}
	ns.mu.RLock()
	setgroups := ns.setgroups
	ns.mu.RUnlock()
	return &UserNamespace{
		parent: ns, level: ns.level + 1, owner: owner, group: group,
		setgroups: setgroups, inode: 0xF1000000 + userNSInodes.Add(1),
	}, true
}

// Parent returns the parent, nil for the root.
func (ns *UserNamespace) Parent() *UserNamespace { return ns.parent }

// Owner returns the user who made the namespace.
func (ns *UserNamespace) Owner() KUID { return ns.owner }

// Inode returns the number /proc/PID/ns/user shows.
func (ns *UserNamespace) Inode() uint64 { return ns.inode }

// IsAncestorOf reports whether ns is d or an ancestor of d.
func (ns *UserNamespace) IsAncestorOf(d *UserNamespace) bool {
	for ; d != nil; d = d.parent {
		if d == ns {
			return true
		}
	}
	return false
}

// Maps returns the extents of uid_map and gid_map.
func (ns *UserNamespace) Maps() (uids, gids []Extent) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.uids, ns.gids
}

// SetUIDMap sets uid_map once; false if it was set already.
func (ns *UserNamespace) SetUIDMap(es []Extent) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.uids != nil {
		return false
	}
	ns.uids = es
	return true
}

// SetGIDMap sets gid_map once; false if it was set already.
func (ns *UserNamespace) SetGIDMap(es []Extent) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.gids != nil {
		return false
	}
	ns.gids = es
	return true
}

// Setgroups reports whether setgroups(2) is allowed (/proc/PID/setgroups).
func (ns *UserNamespace) Setgroups() bool {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.setgroups
}

// DenySetgroups forbids setgroups(2) for good; false if gid_map is set already
// (user_namespaces(7)).
func (ns *UserNamespace) DenySetgroups() bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.gids != nil && ns.setgroups {
		return false
	}
	ns.setgroups = false
	return true
}

func (ns *UserNamespace) extents(group bool) []Extent {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if group {
		return ns.gids
	}
	return ns.uids
}

// toRoot maps an ID of ns to the root namespace, NoID if it has no mapping.
func (ns *UserNamespace) toRoot(id uint32, group bool) uint32 {
	if id == NoID {
		return NoID
	}
walk:
	for ; ns.parent != nil; ns = ns.parent {
		for _, e := range ns.extents(group) {
			if id-e.First < e.Count {
				id = e.ParentFirst + (id - e.First)
				continue walk
			}
		}
		return NoID
	}
	return id
}

// fromRoot maps a root ID into ns, NoID if it has no mapping.
func (ns *UserNamespace) fromRoot(id uint32, group bool) uint32 {
	if id == NoID || ns.parent == nil {
		return id
	}
	id = ns.parent.fromRoot(id, group)
	if id == NoID {
		return NoID
	}
	for _, e := range ns.extents(group) {
		if id-e.ParentFirst < e.Count {
			return e.First + (id - e.ParentFirst)
		}
	}
	return NoID
}

// KUID maps a user ID of ns to the kernel's; false if ns does not map it.
func (ns *UserNamespace) KUID(id uint32) (KUID, bool) {
	k := ns.toRoot(id, false)
	return KUID(k), k != NoID
}

// KGID maps a group ID of ns to the kernel's; false if ns does not map it.
func (ns *UserNamespace) KGID(id uint32) (KGID, bool) {
	k := ns.toRoot(id, true)
	return KGID(k), k != NoID
}

// UID returns what k is called in ns, OverflowID if it has no name there.
func (ns *UserNamespace) UID(k KUID) uint32 {
	if id := ns.fromRoot(uint32(k), false); id != NoID {
		return id
	}
	return OverflowID
}

// GID returns what k is called in ns, OverflowID if it has no name there.
func (ns *UserNamespace) GID(k KGID) uint32 {
	if id := ns.fromRoot(uint32(k), true); id != NoID {
		return id
	}
	return OverflowID
}

// MapsUID reports whether k has a name in ns.
func (ns *UserNamespace) MapsUID(k KUID) bool { return ns.fromRoot(uint32(k), false) != NoID }

// MapsGID reports whether k has a name in ns.
func (ns *UserNamespace) MapsGID(k KGID) bool { return ns.fromRoot(uint32(k), true) != NoID }
