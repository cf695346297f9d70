package fsutil

import (
	"sync"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Mappings knows where an object is mapped, so that a truncation can reach its mappings.
type Mappings struct {
	mu     sync.Mutex
	spaces map[memmap.Space][]mapping
	// Writable counts the bytes mapped shared and writable, for memfd's seals.
	writable int64
}

type mapping struct {
	r        usermem.Range
	off      uint64
	writable bool
}

// Add notes a mapping.
func (m *Mappings) Add(s memmap.Space, r usermem.Range, off uint64, writable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.spaces == nil {
		m.spaces = map[memmap.Space][]mapping{}
	}
	m.spaces[s] = append(m.spaces[s], mapping{r, off, writable})
	if writable {
		m.writable += int64(r.Len())
	}
}

// Remove forgets a mapping or a piece of one.
func (m *Mappings) Remove(s memmap.Space, r usermem.Range, off uint64, writable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.spaces[s]
	for i, o := range list {
		if o.writable != writable || r.Start < o.r.Start || r.End > o.r.End || off-o.off != uint64(r.Start-o.r.Start) {
			continue
		}
		list[i] = list[len(list)-1]
		list = list[:len(list)-1]
		if o.r.Start < r.Start {
			list = append(list, mapping{usermem.Range{Start: o.r.Start, End: r.Start}, o.off, writable})
		}
		if r.End < o.r.End {
			list = append(list, mapping{usermem.Range{Start: r.End, End: o.r.End}, o.off + uint64(r.End-o.r.Start), writable})
		}
		break
	}
	if len(list) == 0 {
		delete(m.spaces, s)
	} else {
		m.spaces[s] = list
	}
	if writable {
		m.writable -= int64(r.Len())
	}
}

// Writable reports whether the object is mapped shared and writable anywhere.
func (m *Mappings) Writable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writable > 0
}

// Invalidate makes all mappings of [start, end) of the object forget its pages. A truncation takes private copies with
// it, the punching of a hole leaves them.
func (m *Mappings) Invalidate(start, end uint64, keepPrivate bool) {
	type part struct {
		s memmap.Space
		r usermem.Range
	}
	var hit []part
	m.mu.Lock()
	for s, list := range m.spaces {
		for _, o := range list {
			oend := o.off + uint64(o.r.Len())
			from, to := max(start, o.off), min(end, oend)
			if from < to {
				hit = append(hit, part{s, usermem.Range{Start: o.r.Start + usermem.Addr(from-o.off), End: o.r.Start + usermem.Addr(to-o.off)}})
			}
		}
	}
	m.mu.Unlock()
	for _, h := range hit {
		h.s.Invalidate(h.r, keepPrivate)
	}
}
