package names

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layout of a table; stub_amd64.s of package systrap knows these numbers. A set
// has two entries.
const (
	sets      = 512
	entrySize = 256
	// TableSize is the size of a table in bytes.
	TableSize = sets * 2 * entrySize
	// MaxPath is how long a path may be, in bytes.
	MaxPath = pathWords*8 - 1

	pathWords = 27
	setShift  = 55 // of the hash: its upper bits choose the set
)

// entry is an answer: to the call that Key names with the path.
type entry struct {
	seq    atomic.Uint32 // odd while the entry changes
	world  atomic.Uint32 // generation it is true in
	slot   atomic.Uint32
	gen    atomic.Uint32 // generation of slot it is true in
	key    atomic.Uint64
	result atomic.Uint64
	_      uint64
	path   [pathWords]atomic.Uint64 // with zeros behind
}

// Key returns what tells calls with the same path apart: the number, and the one argument
// that is neither path nor pointer.
func Key(nr uintptr, arg uint32) uint64 { return uint64(uint32(nr)) | uint64(arg)<<32 }

// Table has answers. The memory is shared with stubs, who read it.
//
// mu is a leaf, after tables.mu.
type Table struct {
	sets *[sets][2]entry

	mu    sync.Mutex
	ended bool
	asked [1 << 12 / 64]uint64 // hashes of what was asked before
}

// NewTable returns the table in mem, of TableSize bytes, which is all zero.
func NewTable(mem []byte) *Table {
	t := &Table{sets: (*[sets][2]entry)(unsafe.Pointer(unsafe.SliceData(mem[:TableSize])))}
	tables.mu.Lock()
	defer tables.mu.Unlock()
	tables.list = append(tables.list, t)
	return t
}

// tables are those that have not ended.
var tables struct {
	mu   sync.Mutex
	list []*Table
}

// forgetAll takes all answers out of all tables.
func forgetAll() {
	tables.mu.Lock()
	defer tables.mu.Unlock()
	for _, t := range tables.list {
		t.forget()
	}
}

func (t *Table) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.sets {
		for j := range t.sets[i] {
			e := &t.sets[i][j]
			e.seq.Add(1)
			e.key.Store(0)
			e.seq.Add(1)
		}
	}
}

// End clears the memory, which may be another table's from now on. No stub reads it.
func (t *Table) End() {
	tables.mu.Lock()
	tables.list = slices.DeleteFunc(tables.list, func(o *Table) bool { return o == t })
	tables.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	clear(t.sets[:])
}

// words is a path as the stub compares it.
type words [pathWords]uint64

// split returns path in words; n is how many there are. It has at most MaxPath bytes.
func split(path string) (w words, n int) {
	var b [pathWords * 8]byte
	copy(b[:], path)
	n = len(path)/8 + 1
	for i := range n {
		w[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return w, n
}

const mix = 0x9e3779b97f4a7c15

// hash is computed by the stub as well.
func hash(key uint64, w []uint64) uint64 {
	h := key * mix
	for _, v := range w {
		h = bits.RotateLeft64((h^v)*mix, 31)
	}
	return h * mix
}

// Again notes that a call was made, and reports whether it was made before, or
// another that cannot be told from it: only then it is worth an entry.
func (t *Table) Again(key uint64, path string) bool {
	w, n := split(path)
	h := hash(key, w[:n]) >> 20 % (1 << 12)
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.asked[h/64]>>(h%64)&1 != 0
	t.asked[h/64] |= 1 << (h % 64)
	return was
}

// Enter has the call of key with path answered with errno. That was so at a time after s
// was taken, and is so until the name of slot changes. It may not be entered.
func (t *Table) Enter(s Stamp, key uint64, path string, slot uint32, errno unix.Errno) {
	if len(path) > MaxPath {
		return
	}
	g := current.Load()
	world, gen := g[World].Load(), g[slot].Load()
	if !s.still() {
		return // what was read of the generations may be newer than the answer
	}
	w, n := split(path)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	e := t.place(g, key, &w, n)
	e.seq.Add(1)
	e.world.Store(world)
	e.slot.Store(slot)
	e.gen.Store(gen)
	e.key.Store(key)
	e.result.Store(uint64(-int64(errno)))
	for i := range w {
		e.path[i].Store(w[i])
	}
	e.seq.Add(1)
}

// place chooses the entry for a call: its own, or one that is void, or the first, which
// moves to the second place. t.mu is held.
func (t *Table) place(g *Generations, key uint64, w *words, n int) *entry {
	set := &t.sets[hash(key, w[:n])>>setShift]
	for i := range set {
		if set[i].holds(key, w) {
			return &set[i]
		}
	}
	for i := range set {
		if e := &set[i]; e.key.Load() == 0 || e.stale(g) {
			return e
		}
	}
	set[1].copy(&set[0])
	return &set[0]
}

func (e *entry) holds(key uint64, w *words) bool {
	if e.key.Load() != key {
		return false
	}
	for i := range w {
		if e.path[i].Load() != w[i] {
			return false
		}
	}
	return true
}

// stale reports whether the answer may no longer be true.
func (e *entry) stale(g *Generations) bool {
	return e.world.Load() != g[World].Load() || e.gen.Load() != g[e.slot.Load()%Slots].Load()
}

func (e *entry) copy(from *entry) {
	e.seq.Add(1)
	e.world.Store(from.world.Load())
	e.slot.Store(from.slot.Load())
	e.gen.Store(from.gen.Load())
	e.key.Store(from.key.Load())
	e.result.Store(from.result.Load())
	for i := range e.path {
		e.path[i].Store(from.path[i].Load())
	}
	e.seq.Add(1)
}
