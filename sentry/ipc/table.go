package ipc

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
)

// Identifiers (ipc/util.h of Linux): an index in the low bits, above it a
// sequence number that tells a new object from an old one of the same index.
const (
	indexBits = 15
	maxIndex  = 1<<indexBits - 1
	maxSeq    = 1<<(31-indexBits) - 1
)

// Flags of the get calls, and the mode bits of permissions.
const (
	Private   = 0 // IPC_PRIVATE
	Create    = 0o1000
	Exclusive = 0o2000
	NoWait    = 0o4000
	ReadBits  = 0o444
	WriteBits = 0o222
	permBits  = 0o777
)

// header is what all objects have (struct ipc_perm, sysvipc(7)). Guarded by the
// object's lock; id and creator never change.
type header struct {
	id         int32
	key        int32
	uid, cuid  auth.KUID
	gid, cgid  auth.KGID
	mode       uint32
	seq        uint16
	removed    bool
	changeTime int64
}

// Perm is a header as applications see it.
type Perm struct {
	ID, Key   int32
	UID, CUID auth.KUID
	GID, CGID auth.KGID
	Mode      uint32
	Seq       uint16
}

func (h *header) head() *header { return h }

func (h *header) perm() Perm {
	return Perm{ID: h.id, Key: h.key, UID: h.uid, CUID: h.cuid, GID: h.gid, CGID: h.cgid, Mode: h.mode, Seq: h.seq}
}

func newHeader(c Caller, key int32, flags uint32) header {
	cr := c.Creds()
	return header{key: key, uid: cr.EUID, cuid: cr.EUID, gid: cr.EGID, cgid: cr.EGID, mode: flags & permBits, changeTime: seconds(c)}
}

// allows checks that c has the wanted rights, given in any of the three
// positions of a mode: EACCES.
func (n *Namespace) allows(c Caller, h *header, wanted uint32) error {
	cr := c.Creds()
	want := (wanted>>6 | wanted>>3 | wanted) & 7
	granted := h.mode
	if cr.EUID == h.cuid || cr.EUID == h.uid {
		granted >>= 6
	} else if cr.InGroup(h.cgid) || cr.InGroup(h.gid) {
		granted >>= 3
	}
	if want&^granted != 0 && !cr.HasCapIn(unix.CAP_IPC_OWNER, n.userNS) {
		return unix.EACCES
	}
	return nil
}

// owns checks that c may change or remove the object: EPERM.
func (n *Namespace) owns(c Caller, h *header) error {
	cr := c.Creds()
	if cr.EUID == h.cuid || cr.EUID == h.uid || cr.HasCapIn(unix.CAP_SYS_ADMIN, n.userNS) {
		return nil
	}
	return unix.EPERM
}

// Ownership is what IPC_SET gives an object.
type Ownership struct {
	UID  auth.KUID
	GID  auth.KGID
	Mode uint32
}

func (h *header) set(c Caller, o Ownership) {
	h.uid, h.gid = o.UID, o.GID
	h.mode = h.mode&^permBits | o.Mode&permBits
	h.changeTime = seconds(c)
}

// object is something in a table.
type object interface {
	comparable
	head() *header
	// discard gives back what making the object took.
	discard()
	sync.Locker
}

// table gives objects identifiers and finds them.
type table[T object] struct {
	mu    sync.RWMutex
	slots []T // by index; zero: free
	keys  map[int32]T
	used  int
	next  int // index to try first
	last  int // index given out last
	seq   uint16
}

// minCycle is up to where indexes go round at least (ipc_min_cycle of Linux).
const minCycle = 64

// insert gives o an identifier, and its key: ENOSPC beyond limit objects.
// Indexes go round within a range half as large again as what is in use, so
// that an identifier is not soon used again. t.mu is held.
func (t *table[T]) insert(o T, limit int) error {
	if t.used >= limit || t.used > maxIndex {
		return unix.ENOSPC
	}
	if t.keys == nil {
		t.keys, t.last = map[int32]T{}, -1
	}
	end := min(max(t.used*3/2, minCycle), maxIndex+1)
	i, ok := t.free(t.next, end)
	if !ok {
		if i, ok = t.free(0, end); !ok {
			return unix.ENOSPC
		}
	}
	if i <= t.last {
		if t.seq++; t.seq > maxSeq {
			t.seq = 0
		}
	}
	var none T
	for len(t.slots) <= i {
		t.slots = append(t.slots, none)
	}
	t.slots[i], t.next, t.last = o, i+1, i
	t.used++
	h := o.head()
	h.seq, h.id = t.seq, int32(t.seq)<<indexBits|int32(i)
	if h.key != Private {
		t.keys[h.key] = o
	}
	return nil
}

// free returns the first free index of [from, end).
func (t *table[T]) free(from, end int) (int, bool) {
	var none T
	for i := from; i < end; i++ {
		if i >= len(t.slots) || t.slots[i] == none {
			return i, true
		}
	}
	return 0, false
}

// remove takes o out. t.mu and o's lock are held.
func (t *table[T]) remove(o T) {
	var none T
	h := o.head()
	i := int(h.id & maxIndex)
	if h.removed || i >= len(t.slots) || t.slots[i] != o {
		return
	}
	t.dropKey(o)
	t.slots[i] = none
	t.used--
	h.removed = true
	for n := len(t.slots); n > 0 && t.slots[n-1] == none; n-- {
		t.slots = t.slots[:n-1]
	}
}

// dropKey makes o private. t.mu and o's lock are held.
func (t *table[T]) dropKey(o T) {
	h := o.head()
	if h.key != Private && t.keys[h.key] == o {
		delete(t.keys, h.key)
		h.key = Private
	}
}

// lock returns the object with an identifier, locked: EINVAL, or EIDRM if it has just gone.
func (t *table[T]) lock(id int32) (T, error) {
	var none T
	if id < 0 {
		return none, unix.EINVAL
	}
	o, ok := t.at(id & maxIndex)
	if !ok {
		return none, unix.EINVAL
	}
	o.Lock()
	h := o.head()
	switch {
	case h.id != id:
		o.Unlock()
		return none, unix.EINVAL
	case h.removed:
		o.Unlock()
		return none, unix.EIDRM
	}
	return o, nil
}

// lockIndex is lock by index (SHM_STAT and its like).
func (t *table[T]) lockIndex(id int32) (T, error) {
	var none T
	o, ok := t.at(id & maxIndex)
	if id < 0 || !ok {
		return none, unix.EINVAL
	}
	o.Lock()
	if o.head().removed {
		o.Unlock()
		return none, unix.EINVAL
	}
	return o, nil
}

// at returns what has an index.
func (t *table[T]) at(index int32) (o T, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if int(index) < len(t.slots) {
		o = t.slots[index]
	}
	var free T
	return o, o != free
}

// top returns the highest index in use, 0 if there is none, and the number of objects.
func (t *table[T]) top() (index, used int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return max(len(t.slots)-1, 0), t.used
}

// all returns the objects in order of their indexes.
func (t *table[T]) all() []T {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var free T
	list := make([]T, 0, t.used)
	for _, o := range t.slots {
		if o != free {
			list = append(list, o)
		}
	}
	return list
}

// get finds or makes the object of a key (the get calls). fits says whether one
// that is there is what the caller wants; create makes one, not yet in the table.
func get[T object](n *Namespace, t *table[T], c Caller, key int32, flags uint32, limit int, fits func(T) error, create func(header) (T, error)) (int32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok := t.keys[key]; ok && key != Private {
		o.Lock()
		defer o.Unlock()
		if flags&Create != 0 && flags&Exclusive != 0 {
			return 0, unix.EEXIST
		}
		if err := fits(o); err != nil {
			return 0, err
		}
		if err := n.allows(c, o.head(), flags); err != nil {
			return 0, err
		}
		return o.head().id, nil
	}
	if key != Private && flags&Create == 0 {
		return 0, unix.ENOENT
	}
	o, err := create(newHeader(c, key, flags))
	if err != nil {
		return 0, err
	}
	if err := t.insert(o, limit); err != nil {
		o.discard()
		return 0, err
	}
	return o.head().id, nil
}

// stat returns what show says of an object, found by index if byIndex; anybody
// may ask if any.
func stat[T object, S any](n *Namespace, t *table[T], c Caller, id int32, byIndex, any bool, show func(T) S) (st S, err error) {
	find := t.lock
	if byIndex {
		find = t.lockIndex
	}
	o, err := find(id)
	if err != nil {
		return st, err
	}
	defer o.Unlock()
	if !any {
		if err := n.allows(c, o.head(), ReadBits); err != nil {
			return st, err
		}
	}
	return show(o), nil
}

// change calls f with an object that c owns, locked (IPC_SET).
func change[T object](n *Namespace, t *table[T], c Caller, id int32, f func(T) error) error {
	o, err := t.lock(id)
	if err != nil {
		return err
	}
	defer o.Unlock()
	if err := n.owns(c, o.head()); err != nil {
		return err
	}
	return f(o)
}

// removeOwned calls remove with an object that c owns, not locked (IPC_RMID).
func removeOwned[T object](n *Namespace, t *table[T], c Caller, id int32, remove func(T)) error {
	var found T
	err := change(n, t, c, id, func(o T) error { found = o; return nil })
	if err == nil {
		remove(found)
	}
	return err
}

// list returns what show says of every object.
func list[T object, S any](t *table[T], show func(T) S) []S {
	var all []S
	for _, o := range t.all() {
		o.Lock()
		if !o.head().removed {
			all = append(all, show(o))
		}
		o.Unlock()
	}
	return all
}
