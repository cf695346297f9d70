package systrap

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	gosync "gvisor.dev/gvisor/pkg/sync"

	"ringfort/platform/fdroom"
)

// hub is where contexts that spin wait for their stubs, or linger for other tasks. One of
// them looks for all; the goroutines of the others are parked, and run one after the other
// on the processor of the one that looks: between them no host thread is switched or woken.
//
// While contexts wait and nobody looks, one of them has been told to: it runs as soon as the
// task that left it so waits for anything itself. The hub has no lock.
type hub struct {
	lead  atomic.Pointer[context] // looks, or is to look next
	taken atomic.Int32            // how many seats are
	seats [2 * maxSharing]atomic.Pointer[context]
}

// seat is a context's place in the hub.
type seat struct {
	at    int           // in hub.seats; noSeat
	state atomic.Uint32 // seatAway and so on
	g     uintptr       // the goroutine, while it is parked
	word  atomic.Pointer[uint32]
	// word is the state word of the area, or nil for a context that lingers: for wake, which
	// is always the same channel.
	wake   <-chan struct{}
	until  atomic.Uint64          // how long to wait, in ticks
	others atomic.Pointer[uint32] // of the area, see offOthers; nil before the context has spun
	left   uint64                 // when it went from the hub last, in ticks
	slow   bool                   // it was away for long then, in which no other could look
}

// noSeat is seat.at of a context that has none.
const noSeat = -1

// States of a seat.
const (
	seatAway   = iota // its goroutine runs
	seatParked        // it sleeps until it is called
	seatCalled        // it was called, and has not come yet
)

const (
	// hubKeep is how long a stub that looks for the Sentry keeps its core when others than the stubs of contexts
	// in the hub may want it, in ticks.
	hubKeep = 24000
	// hubLooks is how often all words are looked at before the time is.
	hubLooks = 20
	// slowTicks is a call, in ticks, that another thread should look meanwhile for.
	slowTicks = 100000
)

// join takes a seat; false if there is none.
func (h *hub) join(c *context) bool {
	if c.seat.at != noSeat {
		return true
	}
	for i := range h.seats {
		if h.seats[i].Load() == nil && h.seats[i].CompareAndSwap(nil, c) {
			c.seat.at = i
			h.taken.Add(1)
			return true
		}
	}
	return false
}

// part gives the seat back.
func (h *hub) part(c *context) {
	if c.seat.at != noSeat {
		h.seats[c.seat.at].Store(nil)
		c.seat.at = noSeat
		h.taken.Add(-1)
	}
}

// alone reports whether no context but one has a seat.
func (h *hub) alone() bool { return h.taken.Load() <= 1 }

// due reports whether there is what the context waits for.
func (s *seat) due() bool {
	if w := s.word.Load(); w != nil {
		return atomic.LoadUint32(w) >= stateSentry
	}
	return len(s.wake) > 0
}

// waiting reports whether the context waits.
func (s *seat) waiting() bool { return s.state.Load() != seatAway }

// wait waits until the context, which has a seat, is due; false if it takes too long.
func (h *hub) wait(c *context) bool {
	for {
		if h.lead.Load() == c || h.lead.CompareAndSwap(nil, c) {
			next := h.look(c)
			if next == c {
				h.resign(c)
				return c.seat.due()
			}
			h.lead.Store(next)
			h.call(next)
		}
		gosync.Gopark(commit, unsafe.Pointer(c), gosync.WaitReasonSelect, gosync.TraceBlockSelect, 0)
		c.seat.state.Store(seatAway)
	}
}

// commit is called by Gopark to park context p, whose goroutine is g: unless it is to look
// itself.
//
//go:nosplit
//go:norace
func commit(g uintptr, p unsafe.Pointer) bool {
	c := (*context)(p)
	c.seat.g = g
	c.seat.state.Store(seatParked)
	if l := c.k.pacer.hub.lead.Load(); l != nil && l != c {
		return true
	}
	return !c.seat.state.CompareAndSwap(seatParked, seatAway)
}

// call has a parked context go on; false if it is not parked.
func (h *hub) call(c *context) bool {
	if !c.seat.state.CompareAndSwap(seatParked, seatCalled) {
		return false
	}
	gosync.Goready(c.seat.g, 0, false)
	return true
}

// resign ends looking. If others wait one of them is told to look.
func (h *hub) resign(c *context) {
	h.lead.Store(nil)
	if h.alone() {
		return
	}
	defer func() {
		if c.seat.slow {
			gosync.Wakep()
		}
	}()
	for i := range h.seats {
		if m := h.seats[i].Load(); m != nil && m.seat.state.Load() == seatCalled {
			return
		}
	}
	for i := range h.seats {
		if m := h.seats[i].Load(); m != nil && h.call(m) {
			return
		}
	}
}

// pass tells the other stubs, which share a core with that of c, that it has been given its context: who only looks for
// something lets it go on. Nobody waits for the stores: nothing depends on when they are seen.
func (h *hub) pass(c *context) {
	for i := range h.seats {
		if m := h.seats[i].Load(); m != nil && m != c {
			if w := m.seat.others.Load(); w != nil {
				*w = uint32(c.began)
			}
		}
	}
}

// find returns another context that waits and for which ok is true, or nil.
func (h *hub) find(c *context, ok func(*seat) bool) *context {
	for i := range h.seats {
		if m := h.seats[i].Load(); m != nil && m != c && m.seat.waiting() && ok(&m.seat) {
			return m
		}
	}
	return nil
}

// scan looks for one that is due, which may be c, a few times.
func (h *hub) scan(c *context) *context {
	for range hubLooks {
		if c.seat.due() {
			return c
		}
		if m := h.find(c, (*seat).due); m != nil {
			return m
		}
	}
	return nil
}

// late returns one that has waited too long, which may be c, or nil.
func (h *hub) late(c *context, now uint64) *context {
	if now > c.seat.until.Load() {
		return c
	}
	return h.find(c, func(s *seat) bool { return now > s.until.Load() })
}

// look looks for all, until one is due or has waited too long, and returns that. Meanwhile it closes descriptors that wait
// for somebody to have time.
func (h *hub) look(c *context) *context {
	for last, gave := tsc(), false; ; gave = h.letOthers(c) {
		due := h.scan(c)
		for due == nil && !gave && fdroom.CloseOne() {
			due, last = h.scan(c), tsc()
		}
		if due == nil || gave {
			now := tsc()
			gap := now - last
			last = now
			if h.lost(c, now, gap, gave) && due == nil {
				return c
			}
			if due == nil {
				if m := h.late(c, now); m != nil {
					return m
				}
				continue
			}
		}
		if due == c {
			c.seat.left = last
		}
		return due
	}
}

// lost reports whether the gap between two looks was one in which others kept the core, which they may have been given.
func (h *hub) lost(c *context, now, gap uint64, gave bool) bool {
	switch p := c.k.pacer; {
	case gap > awayTicks && gave:
		p.yieldRest.begin(now-gap, now, maxYieldRest)
	case gap > awayTicks || gap > lostTicks && h.alone():
		p.spinRest.begin(now, now, maxSpinRest)
	default:
		return false
	}
	return true
}

// letOthers lets others than those that are here have our processor, or our core. It reports whether it was the core.
func (h *hub) letOthers(c *context) bool {
	switch p := c.k.pacer; {
	case c.ready.Load() > 0:
		runtime.Gosched()
	case p.active.Load()+p.lingering.Load() > h.taken.Load():
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		return true
	}
	return false
}
