package names

import "sync/atomic"

// Slots is how many generations there are. Names that have the same slot share one.
const Slots = 512

// World is the slot of what changes more than one name: of mounts, of
// directories and symbolic links that others' paths lead through, of permissions.
const World = 0

// Generations are in memory that stubs map read-only. Their values mean nothing but
// that they were the same before.
type Generations [Slots]atomic.Uint32

// changes are those under way, and how many there were.
type changes struct {
	going atomic.Int32
	begun atomic.Uint64
}

var (
	current atomic.Pointer[Generations]
	all     changes
)

func init() { current.Store(new(Generations)) }

// Share has the generations kept in g from now on. It is called before there is any table.
func Share(g *Generations) { current.Store(g) }

// Slot returns the slot of the last component of a path, or of one that is missing.
func Slot(name string) uint32 {
	const prime = 16777619 // FNV-1a
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * prime
	}
	return 1 + h%(Slots-1)
}

// Begin is called before a name of this slot is changed. Whoever calls it calls End
// when the change can be seen.
func Begin(slot uint32) {
	all.going.Add(1)
	all.begun.Add(1)
	if current.Load()[slot].Add(1) == 0 {
		forgetAll() // what was true 1<<32 changes ago would seem to be so again
	}
}

// End is called once for each Begin.
func End() { all.going.Add(-1) }

// Stamp is a moment in which nothing was changing.
type Stamp struct {
	begun uint64
	ok    bool
}

// Now returns the present moment, to be taken before looking at names.
func Now() Stamp {
	s := Stamp{begun: all.begun.Load()}
	s.ok = all.going.Load() == 0
	return s
}

// still reports whether nothing has begun to change since.
func (s Stamp) still() bool { return s.ok && all.begun.Load() == s.begun }
