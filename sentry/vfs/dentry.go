package vfs

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Dentry is a name in a directory: positive (with an inode) or negative. The table of its parent finds it as long as
// it is hashed.
type Dentry struct {
	sb    *Superblock
	inode Inode // nil: negative; never changes

	// refs counts users and children. A hashed dentry without any stays as cache; deadRefs: gone for good.
	refs   atomic.Int64
	loc    atomic.Pointer[location]
	hashed atomic.Bool
	// gone: the name was removed (not merely evicted).
	gone atomic.Bool
	used atomic.Bool // since the clock's hand last came by
	// epoch is that of the superblock in which a negative dentry was true.
	epoch uint32
	// mounts counts the mounts on this dentry, in all namespaces.
	mounts atomic.Int32

	dirMu    sync.Mutex // changes to the directory's entries
	children atomic.Pointer[childTable]
	nchild   int // entries of children; guarded by dirMu
}

// location is where a dentry is; a rename replaces it whole.
type location struct {
	parent *Dentry // nil for a root
	name   string
}

const deadRefs = -1 << 40

// newDentry makes an unhashed dentry; it takes over the reference on inode and takes one on parent.
func newDentry(sb *Superblock, inode Inode, parent *Dentry, name string) *Dentry {
	d := &Dentry{sb: sb, inode: inode}
	d.loc.Store(&location{parent, name})
	d.used.Store(true)
	if parent != nil {
		parent.refs.Add(1)
	}
	return d
}

// Inode returns the file, nil if the dentry is negative.
func (d *Dentry) Inode() Inode { return d.inode }

// Superblock returns the file system.
func (d *Dentry) Superblock() *Superblock { return d.sb }

// Parent returns the directory the dentry is in, nil for a root.
func (d *Dentry) Parent() *Dentry { return d.loc.Load().parent }

// Name returns the last component.
func (d *Dentry) Name() string { return d.loc.Load().name }

// Deleted reports whether the name was removed.
func (d *Dentry) Deleted() bool { return d.gone.Load() }

// IncRef takes a reference; the caller holds one already.
func (d *Dentry) IncRef() { d.refs.Add(1) }

// TryIncRef takes a reference unless d was evicted.
func (d *Dentry) TryIncRef() bool {
	for {
		n := d.refs.Load()
		if n < 0 {
			return false
		}
		if d.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// DecRef drops a reference.
func (d *Dentry) DecRef() {
	for d != nil && d.refs.Add(-1) == 0 && !d.hashed.Load() {
		d = d.kill()
	}
}

// kill makes an unreferenced, unhashed dentry dead and returns its parent, of which the reference is to be dropped;
// nil if d is in use or dead already.
func (d *Dentry) kill() *Dentry {
	if d.sb.root == d || !d.refs.CompareAndSwap(0, deadRefs) {
		return nil
	}
	if d.inode != nil {
		DecRefInode(d.inode)
	}
	return d.Parent()
}

// Child tables. Buckets are immutable lists, replaced under dirMu, so that lookups take no lock.

type childNode struct {
	name string
	d    *Dentry
	next *childNode
}

type childTable struct{ buckets []atomic.Pointer[childNode] }

var nameSeed = maphash.MakeSeed()

func (t *childTable) bucket(name string) *atomic.Pointer[childNode] {
	return &t.buckets[maphash.String(nameSeed, name)&uint64(len(t.buckets)-1)]
}

// cached returns the child dentry of this name if there is one.
func (d *Dentry) cached(name string) *Dentry {
	t := d.children.Load()
	if t == nil {
		return nil
	}
	for n := t.bucket(name).Load(); n != nil; n = n.next {
		if n.name == name {
			return n.d
		}
	}
	return nil
}

// hash puts child, whose location says d and name, into the table. d.dirMu is held; no entry of the name is there.
func (d *Dentry) hash(child *Dentry, name string) {
	t := d.children.Load()
	if t == nil || d.nchild > 2*len(t.buckets) {
		t = d.grow(t)
	}
	child.hashed.Store(true)
	b := t.bucket(name)
	b.Store(&childNode{name, child, b.Load()})
	d.nchild++
	d.sb.remember(child)
}

func (d *Dentry) grow(old *childTable) *childTable {
	n := 4
	if old != nil {
		n = 4 * len(old.buckets)
	}
	t := &childTable{buckets: make([]atomic.Pointer[childNode], n)}
	if old != nil {
		for i := range old.buckets {
			for e := old.buckets[i].Load(); e != nil; e = e.next {
				b := t.bucket(e.name)
				b.Store(&childNode{e.name, e.d, b.Load()})
			}
		}
	}
	d.children.Store(t)
	return t
}

// unhash takes child out of the table. d.dirMu is held. The caller follows with drop once it is done with child.
func (d *Dentry) unhash(child *Dentry) {
	t := d.children.Load()
	if t == nil {
		return
	}
	b := t.bucket(child.Name())
	var list *childNode
	found := false
	for n := b.Load(); n != nil; n = n.next {
		if n.d == child {
			found = true
			continue
		}
		list = &childNode{n.name, n.d, list}
	}
	if found {
		b.Store(list)
		d.nchild--
		child.hashed.Store(false)
	}
}

// drop frees an unhashed dentry if nobody uses it.
func (d *Dentry) drop() {
	if p := d.kill(); p != nil {
		p.DecRef()
	}
}

// remove unhashes child for good: the name is gone. d.dirMu is held.
func (d *Dentry) remove(child *Dentry) {
	child.gone.Store(true)
	d.unhash(child)
	child.drop()
}

// add makes a hashed dentry for name; it takes over the reference on inode (nil: negative). d.dirMu is held.
func (d *Dentry) add(name string, inode Inode) *Dentry {
	child := newDentry(d.sb, inode, d, name)
	d.hash(child, name)
	return child
}

// addNegative notes that name is not there, which was so in an epoch. d.dirMu is held.
func (d *Dentry) addNegative(name string, epoch uint32) *Dentry {
	child := newDentry(d.sb, nil, d, name)
	child.epoch = epoch
	d.hash(child, name)
	return child
}

// replaceNegative removes a negative dentry of this name. d.dirMu is held.
func (d *Dentry) replaceNegative(name string) {
	if n := d.cached(name); n != nil && n.inode == nil {
		d.unhash(n)
		n.drop()
	}
}

// remember lets the clock know a dentry that was hashed, and evicts others if there are too many.
func (sb *Superblock) remember(d *Dentry) {
	limit := sb.MaxDentries
	if limit == 0 {
		limit = DefaultMaxDentries
	}
	sb.cacheMu.Lock()
	sb.cache = append(sb.cache, d)
	over := len(sb.cache) > limit
	sb.cacheMu.Unlock()
	if over {
		sb.evict(limit - limit/8)
	}
}

// evict moves the clock's hand once around at most, dropping what was not used since it last came by, until no more
// than target dentries are left.
func (sb *Superblock) evict(target int) {
	var victims []*Dentry
	sb.cacheMu.Lock()
	keep := sb.cache[:0]
	excess := len(sb.cache) - target
	for i, d := range sb.cache {
		switch {
		case !d.hashed.Load():
			excess--
		case excess > 0 && d.refs.Load() == 0 && d.mounts.Load() == 0 && !d.bound() && !d.used.Swap(false):
			victims = append(victims, d)
			excess--
		default:
			keep = append(keep, sb.cache[i])
		}
	}
	clear(sb.cache[len(keep):])
	sb.cache = keep
	sb.cacheMu.Unlock()
	for _, d := range victims {
		p := d.Parent()
		// A directory being changed keeps its children until the next time round.
		if p == nil || !p.dirMu.TryLock() {
			sb.cacheMu.Lock()
			sb.cache = append(sb.cache, d)
			sb.cacheMu.Unlock()
			continue
		}
		// Dead first: who finds it in the table until it is unhashed starts over.
		killed := d.Parent() == p && d.hashed.Load() && d.refs.CompareAndSwap(0, deadRefs)
		if killed {
			p.unhash(d)
		}
		p.dirMu.Unlock()
		if killed {
			if d.inode != nil {
				DecRefInode(d.inode)
			}
			p.DecRef()
		} else if d.hashed.Load() {
			sb.cacheMu.Lock()
			sb.cache = append(sb.cache, d)
			sb.cacheMu.Unlock()
		}
	}
}

// bound reports whether something lives on the inode that would be lost with it: a socket's endpoint.
func (d *Dentry) bound() bool { return d.inode != nil && d.inode.Base().endpoint.Load() != nil }

// cached returns how many dentries the clock knows.
func (sb *Superblock) cached() int {
	sb.cacheMu.Lock()
	defer sb.cacheMu.Unlock()
	return len(sb.cache)
}

// Shrink drops half of the unused dentries, for a file system short of what they hold.
func (sb *Superblock) Shrink() {
	for range 2 { // the first time round only clears marks
		sb.evict(sb.cached() / 2)
	}
}

// empty drops all unused dentries, of a file system that is mounted no more.
func (sb *Superblock) empty() {
	for n, idle := sb.cached(), 0; n > 0 && idle < 2; { // twice, for the first time round may only have cleared marks
		sb.evict(0)
		left := sb.cached()
		if idle++; left < n {
			n, idle = left, 0 // and directories may be unused now
		}
	}
}
