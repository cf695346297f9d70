package mm

import (
	"slices"
	"sync"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// hotMax is how many pages a fork copies at once at most.
const hotMax = 8

// hotPages are pages that were copied on write lately, here or in processes this one
// was forked from or has forked. What is written soon after one fork, as the top of
// the stack is, will be after the next one: to copy it then is cheaper than two faults.
//
// mu is a leaf.
type hotPages struct {
	mu   sync.Mutex
	list []usermem.Addr // the latest first
}

// note puts the page of a in front.
func (h *hotPages) note(a usermem.Addr) {
	a = a.RoundDown()
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.list, a); i >= 0 {
		h.list = slices.Delete(h.list, i, i+1)
	} else if len(h.list) == hotMax {
		h.list = h.list[:hotMax-1]
	}
	h.list = slices.Insert(h.list, 0, a)
}

// within returns the pages in r.
func (h *hotPages) within(r usermem.Range) (in []usermem.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.list {
		if a >= r.Start && a < r.End {
			in = append(in, a)
		}
	}
	return in
}

// copyHot gives n copies of the hot pages of v that m has of its own. m keeps them as
// they are. m.mu is held; n is not in use yet.
func (m *MemoryManager) copyHot(n *MemoryManager, v *vma) {
	if v.shared {
		return
	}
	for _, a := range m.hot.within(v.Range) {
		p, ok := m.pmas.at(a)
		if !ok || !p.private || p.cow || p.file != memmap.File(m.file) {
			continue
		}
		i, _ := m.isolatePMAs(usermem.Range{Start: a, End: a + usermem.PageSize})
		p = m.pmas.list[i]
		fr, err := m.file.AllocateDirty(usermem.PageSize, usermem.PageSize, m.dense())
		if err != nil {
			return // then they are shared
		}
		if m.copyPages(fr, p) != nil {
			m.file.DecRef(fr)
			return
		}
		q := &pma{Range: p.Range, file: m.file, off: fr.Start, prot: p.prot, private: true, own: true}
		n.hostFill(q)
		n.addPMA(q)
	}
}
