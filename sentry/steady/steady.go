// Package steady tells for how long a system call about a descriptor would return
// the same again, so that a platform's stub can answer it beside the application.
//
// Programs ask again what they know: a server reads until there is nothing more and
// reads once more before it waits, a linker sets an offset seventy times to what it is, a
// database asks for the size of a table before each page. Such a call changes nothing, and its
// answer holds until what it is about is disturbed: data comes, an offset moves, the
// descriptor is closed. Each thing that answers depend on has a Mark. Whoever
// disturbs it moves its generation on, after the change and before anybody can have
// learned of it by having waited for it; or before the change, where whoever looks has
// to wait for the end of it.
//
// Answers are noted by whoever makes the call: with Note first, then the look at the
// thing. So a change that the look missed moves the generation on that was noted. All that
// the answer depends on belongs to the look: that the descriptor means the thing, too.
package steady

import "sync/atomic"

// Slots is how many generations there are. Marks of one slot share it.
const Slots = 128

// still is the slot of Stamp's zero value, which nothing disturbs.
const still = 0

// Generations are in memory that stubs map read-only. They never come round.
type Generations [Slots]atomic.Uint64

var (
	current atomic.Pointer[Generations]
	last    atomic.Uint32 // slot given away
)

func init() { current.Store(new(Generations)) }

// Share has the generations kept in g from now on. It is called before anything is noted.
func Share(g *Generations) { current.Store(g) }

// Mark is of one thing. The zero Mark has never been noted; to disturb it costs a look.
type Mark struct{ slot atomic.Uint32 }

// Stamp is a generation of a Mark. That of the zero Stamp is for ever.
type Stamp struct {
	Slot uint32
	Gen  uint64
}

// Note returns the present generation, to be taken before looking at the thing.
func (m *Mark) Note() Stamp {
	s := m.slot.Load()
	if s == 0 {
		m.slot.CompareAndSwap(0, last.Add(1)%(Slots-1)+1)
		s = m.slot.Load()
	}
	return Stamp{s, current.Load()[s].Load()}
}

// Disturb is called when the thing has changed.
func (m *Mark) Disturb() {
	if s := m.slot.Load(); s != still {
		current.Load()[s].Add(1)
	}
}

// DisturbAll disturbs every Mark.
func DisturbAll() {
	g := current.Load()
	for s := still + 1; s < Slots; s++ {
		g[s].Add(1)
	}
}

// Holds reports whether nothing was disturbed since the stamp was taken.
func (s Stamp) Holds() bool { return current.Load()[s.Slot].Load() == s.Gen }
