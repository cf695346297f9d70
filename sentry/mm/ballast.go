package mm

import (
	"math/bits"
	"sync/atomic"

	"ringfort/platform"
	"ringfort/sentry/usermem"
)

// Where the host limits memory, it kills the process that has most of it. What that process has are pages of the memory
// file, which are free only when the Sentry has seen its end; until then whoever needs a page, the Sentry first of all,
// has the host kill once more. So a process that has much holds some memory that the host itself frees with it, for
// everybody to live on meanwhile.
const (
	ballastShare = 16      // of the pages of its own
	minBallast   = 1 << 16 // less is of no use
	mostBallast  = 8 << 20 // more is not needed: what the Sentry gives back soon exceeds it
)

// LimitBy says where to find how many bytes the host lets all processes like this one have together, 0 for no limit. It is
// called before the address space is used.
func (m *MemoryManager) LimitBy(n *atomic.Int64) { m.allowance = n }

// trim adapts the ballast, which lies below all that the application has mapped, to the pages of m's own: rarely, for it
// takes a change of mappings. m.mu is held for writing.
func (m *MemoryManager) trim() {
	if m.allowance == nil {
		return
	}
	limit := m.allowance.Load()
	if limit <= 0 && m.ballast == 0 {
		return
	}
	as, ok := m.as.(platform.Mortal)
	if !ok {
		return
	}
	start, room := m.layout.Min, usermem.Addr(0)
	if len(m.vmas.list) > 0 {
		room = m.vmas.list[0].Start - start
	}
	if room < m.ballast {
		m.ballast = 0 // the application has mapped something in its place
		return
	}
	want := usermem.Addr(max(0, min(m.own/ballastShare, limit/ballastShare, mostBallast)))
	if want < minBallast {
		want = 0
	} else {
		want &^= 1<<(bits.Len64(uint64(want))-3) - 1 // so that it changes seldom
		want = min(want.RoundDown(), room.RoundDown())
	}
	switch now := m.ballast; {
	case want > now:
		as.Reserve(uintptr(start+now), uintptr(want-now))
	case want < now/4:
		m.as.Unmap(uintptr(start+want), uintptr(now-want))
	default:
		return
	}
	m.ballast = want
	m.stale.Store(true)
}
