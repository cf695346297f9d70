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

// Remove forgets what is mapped in r, which may be part of one mapping or the whole of several side by side. Where a
// range has been mapped twice, the older goes: the newer is about to replace it.
func (m *Mappings) Remove(s memmap.Space, r usermem.Range, off uint64, writable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := make([]mapping, 0, len(m.spaces[s])+1)
	left := []usermem.Range{r}
	for _, o := range m.spaces[s] {
		if o.writable != writable || o.off-uint64(o.r.Start) != off-uint64(r.Start) {
			kept = append(kept, o)
			continue
		}
		var gone []usermem.Range
		left, gone = cut(left, o.r)
		rest := []usermem.Range{o.r}
		for _, g := range gone {
			rest, _ = cut(rest, g)
		}
		for _, k := range rest {
			kept = append(kept, mapping{k, o.off + uint64(k.Start-o.r.Start), writable})
		}
	}
	if len(kept) == 0 {
		delete(m.spaces, s)
	} else {
		m.spaces[s] = kept
	}
	if writable {
		m.writable -= int64(r.Len())
	}
}

// cut takes r out of each of list and returns what is left and what was taken.
func cut(list []usermem.Range, r usermem.Range) (left, gone []usermem.Range) {
	for _, l := range list {
		if l.End <= r.Start || r.End <= l.Start {
			left = append(left, l)
			continue
		}
		gone = append(gone, l.Intersect(r))
		if l.Start < r.Start {
			left = append(left, usermem.Range{Start: l.Start, End: r.Start})
		}
		if r.End < l.End {
			left = append(left, usermem.Range{Start: r.End, End: l.End})
		}
	}
	return left, gone
}

// Count returns the number of mappings; one with a hole in it counts twice.
func (m *Mappings) Count() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, list := range m.spaces {
		n += len(list)
	}
	return n
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
