package mm

import (
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/safecopy"

	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

const (
	// eagerMax is the largest private anonymous mapping that gets its pages at
	// once; larger ones get them in pieces of this size as they are touched.
	eagerMax = 1 << 20
	// denseMax is the same where pages take memory from the start, unless they have it already, and densePiece the first
	// piece then. One just behind the last is twice as large as that was.
	denseMax   = 256 << 10
	densePiece = 64 << 10
	// cowPages is how many neighbouring pages a copy-on-write copies together, and cowMost the same for a program that goes
	// through them: one just behind the last copies twice as many as that did. A fault takes some 40 µs.
	cowPages = 8
	cowMost  = 64
	// cowBrief is the largest mapping of a file that is copied whole.
	cowBrief = 32
	// aroundBytes is how much of a mapped object one fault maps.
	aroundBytes = 1 << 20
	// wholeBytes is the largest mapping of a file whose pages are there that a fault maps whole, and wholeCode the
	// same for code, which is gone through to and fro. They count as resident then.
	wholeBytes = 4 << 20
	wholeCode  = 32 << 20
)

// hostMap queues the host mapping of p. m.mu is held for writing.
func (m *MemoryManager) hostMap(p *pma) { m.queueMap(p, false) }

// hostFill is hostMap for pages that the Sentry has just filled: the host enters all of them into the page table, which takes
// less than one fault.
func (m *MemoryManager) hostFill(p *pma) { m.queueMap(p, true) }

func (m *MemoryManager) queueMap(p *pma, populate bool) {
	m.stale.Store(true)
	prot := p.hostProt()
	if prot == 0 {
		m.as.Unmap(uintptr(p.Start), uintptr(p.Len()))
		return
	}
	m.as.Map(uintptr(p.Start), uintptr(p.Len()), p.file.Host(), p.off, prot, populate)
}

// addPMA inserts p, merged with its neighbours where they continue each other.
func (m *MemoryManager) addPMA(p *pma) {
	m.count(p, 1)
	i := m.pmas.after(p.Start)
	joins := func(a, b *pma) bool {
		return a.End == b.Start && a.file == b.file && a.off+uint64(a.Len()) == b.off &&
			a.prot == b.prot && a.cow == b.cow && a.private == b.private && a.own == b.own
	}
	if i > 0 && joins(m.pmas.list[i-1], p) {
		prev := m.pmas.list[i-1]
		prev.End = p.End
		if i < len(m.pmas.list) && joins(prev, m.pmas.list[i]) {
			prev.End = m.pmas.list[i].End
			m.pmas.list = slices.Delete(m.pmas.list, i, i+1)
		}
		return
	}
	if i < len(m.pmas.list) && joins(p, m.pmas.list[i]) {
		next := m.pmas.list[i]
		next.Start, next.off = p.Start, p.off
		return
	}
	m.pmas.list = slices.Insert(m.pmas.list, i, p)
}

// isolatePMAs splits the PMAs at the ends of r and returns the indexes [i, j) of those in r.
func (m *MemoryManager) isolatePMAs(r usermem.Range) (i, j int) {
	m.splitPMA(r.Start)
	m.splitPMA(r.End)
	return m.pmas.within(r)
}

func (m *MemoryManager) splitPMA(a usermem.Addr) {
	i := m.pmas.after(a)
	if i == len(m.pmas.list) || m.pmas.list[i].Start >= a {
		return
	}
	p := m.pmas.list[i]
	tail := p.sub(usermem.Range{Start: a, End: p.End})
	p.End = a
	m.pmas.list = slices.Insert(m.pmas.list, i+1, tail)
}

// dropPages removes the pages of r (only those of objects if keepPrivate) from
// the address space and from the host.
func (m *MemoryManager) dropPages(r usermem.Range, keepPrivate bool) {
	i, j := m.isolatePMAs(r)
	if i == j {
		return
	}
	if !keepPrivate {
		m.dropPatches(r)
		i, j = m.isolatePMAs(r)
	}
	kept := m.pmas.list[i:i]
	whole := true
	for _, p := range m.pmas.list[i:j] {
		if keepPrivate && p.private {
			whole = false
		}
	}
	first, last := m.pmas.list[i].Start, m.pmas.list[j-1].End
	for _, p := range m.pmas.list[i:j] {
		if keepPrivate && p.private {
			kept = append(kept, p)
			continue
		}
		if !whole {
			m.as.Unmap(uintptr(p.Start), uintptr(p.Len()))
		}
		m.count(p, -1)
		m.dead = append(m.dead, held{p.file, p.fileRange()})
	}
	if whole {
		m.as.Unmap(uintptr(first), uintptr(last-first))
	}
	m.stale.Store(true)
	m.pmas.list = slices.Delete(m.pmas.list, i+len(kept), j)
}

// pageFor returns the PMA at a after making it ready for the access. v
// contains a and permits the access. m.mu is held for writing.
func (m *MemoryManager) pageFor(v *vma, a usermem.Addr, at usermem.Access) (*pma, error) {
	p, ok := m.pmas.at(a)
	if !ok {
		if err := m.populate(v, a, at); err != nil {
			return nil, err
		}
		p, _ = m.pmas.at(a)
	}
	if at.Write && p.cow {
		if err := m.breakCOW(v, p, a); err != nil {
			m.hostMap(p) // as populate would have, see brief
			return nil, err
		}
		p, _ = m.pmas.at(a)
	}
	return p, nil
}

// gapAround returns the largest range around a, within r, without PMAs.
func (m *MemoryManager) gapAround(a usermem.Addr, r usermem.Range) usermem.Range {
	i := m.pmas.after(a)
	if i > 0 {
		r.Start = max(r.Start, m.pmas.list[i-1].End)
	}
	if i < len(m.pmas.list) {
		r.End = min(r.End, m.pmas.list[i].Start)
	}
	return r
}

// populate puts pages at a, which has none, and around it.
func (m *MemoryManager) populate(v *vma, a usermem.Addr, at usermem.Access) error {
	if v.anonymous() {
		if v.small(usermem.Addr(v.Len())) {
			m.touch.faulted()
		}
		piece := usermem.Range{Start: a &^ (eagerMax - 1), End: (a &^ (eagerMax - 1)) + eagerMax}
		if v.growsDown {
			piece.Start = max(piece.Start, a.RoundDown()-min(a.RoundDown(), 16*usermem.PageSize))
		}
		gap := m.gapAround(a, v.Intersect(piece))
		if m.dense() && gap.Len() > densePiece && !m.file.Freed(uint64(gap.Len())) {
			gap = gap.Intersect(m.piece(a))
		}
		return m.allocate(v, gap, a, false)
	}
	gap := m.gapAround(a, v.Range)
	start := a.RoundDown()
	if !v.whole(usermem.Addr(gap.Len())) {
		// Map forward from a bit before a: programs run and read forward.
		back := usermem.Addr(16 * usermem.PageSize)
		if o, ok := v.obj.(memmap.Exact); ok && o.Exact(aroundBytes) {
			back = 0
		}
		if start-gap.Start > back {
			gap.Start = start - back
		}
		if gap.Len() > aroundBytes {
			gap.End = gap.Start + aroundBytes
		}
	}
	write := at.Write && v.shared
	shared := usermem.Access{Read: true, Write: write || v.shared && v.prot&platform.Write != 0, Exec: at.Exec}
	file, r, err := v.obj.Pages(v.offsetOf(gap.Start), uint64(gap.Len()), shared)
	if err != nil || gap.Start+usermem.Addr(r.Len()) <= a {
		if err == nil {
			file.DecRef(r)
		}
		// What lies before a cannot be had together with it.
		gap.Start = start
		if file, r, err = v.obj.Pages(v.offsetOf(start), uint64(gap.Len()), shared); err != nil {
			return err
		}
	}
	p := &pma{Range: usermem.Range{Start: gap.Start, End: gap.Start + usermem.Addr(r.Len())},
		file: file, off: r.Start, prot: v.prot, cow: !v.shared}
	m.addPMA(p)
	if !(at.Write && v.brief()) {
		m.hostMap(p)
		m.adoptKnown(v, p)
	} // else the copy is mapped
	m.populateImage(v)
	return nil
}

// piece returns what gets new memory when the page at a is touched, in an anonymous mapping that goes as far.
func (m *MemoryManager) piece(a usermem.Addr) usermem.Range {
	r, n := usermem.Range{Start: a &^ (densePiece - 1)}, usermem.Addr(densePiece)
	if last := m.grown; r.Start == last.End {
		n = min(2*usermem.Addr(last.Len()), eagerMax)
	}
	r.End = r.Start + n
	m.grown = r
	return r
}

// populateImage maps the parts of a program or library, of which v is one, that cannot be written: it is begun with, and
// all of them will be used.
func (m *MemoryManager) populateImage(v *vma) {
	if v.shared {
		return
	}
	i := m.vmas.after(v.Start)
	for _, step := range []int{-1, 1} {
		for j, next := i+step, v; j >= 0 && j < len(m.vmas.list); j += step {
			w := m.vmas.list[j]
			if w.obj != v.obj || w.shared || w.End != next.Start && next.End != w.Start {
				break
			}
			next = w
			if n := w.Len(); v.prot|w.prot != platform.Read && w.prot&platform.Write == 0 && w.prot != 0 && w.whole(usermem.Addr(n)) {
				m.populateWhole(w)
			}
		}
	}
}

// populateWhole maps all of v, of which nothing is mapped yet, if its object has so much.
func (m *MemoryManager) populateWhole(v *vma) {
	if i, j := m.pmas.within(v.Range); i < j {
		return
	}
	file, r, err := v.obj.Pages(v.off, uint64(v.Len()), usermem.Access{Read: true, Exec: v.prot&platform.Exec != 0})
	if err != nil {
		return // a fault will tell
	}
	p := &pma{Range: usermem.Range{Start: v.Start, End: v.Start + usermem.Addr(r.Len())}, file: file, off: r.Start, prot: v.prot, cow: true}
	m.hostMap(p)
	m.addPMA(p)
	m.adoptKnown(v, p)
}

// fillPages is how many pages at the start of a run are worth a mapping of their own, for the faults that it saves.
const fillPages = 8

// allocate gives r, in v and without pages, fresh private pages; if memory is
// short, only the page at a. With touch the host makes them present at once.
func (m *MemoryManager) allocate(v *vma, r usermem.Range, a usermem.Addr, touch bool) error {
	fr, there, err := m.file.AllocateTold(uint64(r.Len()), usermem.PageSize, m.dense())
	if err != nil {
		r = usermem.Range{Start: a.RoundDown(), End: a.RoundDown() + usermem.PageSize}
		if fr, there, err = m.file.AllocateTold(usermem.PageSize, usermem.PageSize, m.dense()); err != nil {
			return err
		}
	}
	p := &pma{Range: r, file: m.file, off: fr.Start, prot: v.prot, private: true, own: true}
	switch whole := uint64(r.Len()); {
	case touch || there == whole:
		m.hostFill(p)
	case there < fillPages*usermem.PageSize:
		m.hostMap(p)
	default:
		// What is there is what the last one to have the run has touched, and this one will, perhaps.
		mid := r.Start + usermem.Addr(there)
		m.hostFill(p.sub(usermem.Range{Start: r.Start, End: mid}))
		m.hostMap(p.sub(usermem.Range{Start: mid, End: r.End}))
	}
	m.addPMA(p)
	return nil
}

// breakCOW gives the page at a and some neighbours in p pages of their own.
func (m *MemoryManager) breakCOW(v *vma, p *pma, a usermem.Addr) error {
	r := usermem.Range{Start: a &^ (cowPages*usermem.PageSize - 1)}
	n := usermem.Addr(cowPages)
	if r.Start == m.cow.end {
		n = min(2*m.cow.pages, cowMost)
	}
	r.End = r.Start + n*usermem.PageSize
	if v.brief() && !p.private {
		r = v.Range
	}
	r = r.Intersect(p.Range).Intersect(v.Range)
	if p.private && p.file == memmap.File(m.file) {
		if own, ok := m.unshared(p, a); ok {
			m.retake(own.Intersect(v.Range))
			return nil
		}
	}
	m.hot.note(a)
	m.cow.end, m.cow.pages = r.End, n
	fr, err := m.file.AllocateDirty(uint64(r.Len()), usermem.PageSize, m.dense())
	if err != nil { // memory is short
		r = usermem.Range{Start: a.RoundDown(), End: a.RoundDown() + usermem.PageSize}
		if fr, err = m.file.AllocateDirty(usermem.PageSize, usermem.PageSize, m.dense()); err != nil {
			return err
		}
	}
	src := p.sub(r)
	if err := m.copyPages(fr, src); err != nil {
		m.file.DecRef(fr)
		return err
	}
	m.dropPagesQuietly(r)
	q := &pma{Range: r, file: m.file, off: fr.Start, prot: v.prot, private: true, own: true}
	m.hostFill(q)
	m.addPMA(q)
	return nil
}

// unshared returns the run of p's pages around a that nobody else refers to.
func (m *MemoryManager) unshared(p *pma, a usermem.Addr) (usermem.Range, bool) {
	at := func(x usermem.Addr) bool { return m.file.Unshared(p.off + uint64(x-p.Start)) }
	a = a.RoundDown()
	if !at(a) {
		return usermem.Range{}, false
	}
	r := usermem.Range{Start: a, End: a + usermem.PageSize}
	for r.Start > p.Start && at(r.Start-usermem.PageSize) {
		r.Start -= usermem.PageSize
	}
	for r.End < p.End && at(r.End) {
		r.End += usermem.PageSize
	}
	return r, true
}

// retake makes copy-on-write pages writable again that are shared no more.
func (m *MemoryManager) retake(r usermem.Range) {
	i, j := m.isolatePMAs(r)
	took := slices.Clone(m.pmas.list[i:j])
	m.pmas.list = slices.Delete(m.pmas.list, i, j)
	for _, p := range took {
		m.count(p, -1)
		p.cow, p.own = false, true
		m.hostMap(p)
		m.addPMA(p)
	}
}

// dropPagesQuietly is dropPages for a range that is mapped anew at once.
func (m *MemoryManager) dropPagesQuietly(r usermem.Range) {
	i, j := m.isolatePMAs(r)
	for _, p := range m.pmas.list[i:j] {
		m.count(p, -1)
		m.dead = append(m.dead, held{p.file, p.fileRange()})
	}
	m.pmas.list = slices.Delete(m.pmas.list, i, j)
}

// copyPages fills dst, in the memory file and not clear, from p. A page of a host file beyond
// the file's end gives memmap.ErrBeyondEnd.
func (m *MemoryManager) copyPages(dst memmap.Range, p *pma) error {
	src, err := p.file.Internal(p.fileRange(), usermem.Read)
	if err != nil {
		return err
	}
	b := m.file.Bytes(dst)
	if !src.Unsafe {
		clear(b[copy(b, blockBytes(src)):])
		return nil
	}
	if n, err := safecopy.CopyIn(b, src.Ptr); err != nil {
		if n < usermem.PageSize {
			return memmap.ErrBeyondEnd
		}
		clear(b[n:])
	}
	return nil
}

// Invalidate implements memmap.Space.
func (m *MemoryManager) Invalidate(r usermem.Range, keepPrivate bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropPages(r, keepPrivate)
	// The owner of the pages is about to free them: let no thread keep them.
	if err := m.as.Flush(); err == nil {
		m.dropDead()
	}
}

// HandleFault makes the access to a possible, or says which signal it gets:
// EFAULT for SIGSEGV with SEGV_MAPERR, EACCES for SEGV_ACCERR, ErrBeyondEnd for
// SIGBUS, ENOMEM for the OOM killer. known is false if the platform cannot
// tell the kind of access. idle tells that nothing was missing: another thread
// has dealt with the fault already, or it is one that cannot be dealt with.
func (m *MemoryManager) HandleFault(a usermem.Addr, at usermem.Access, known bool, stackLimit uint64) (idle bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.vmaFor(a, stackLimit)
	if err != nil {
		return false, err
	}
	if !known && !at.Exec {
		at.Read = true
		// A page that is there and may be read was hit by a write, unless another
		// thread has just brought it in: where writing is never allowed, the
		// fault has to come back before it is believed (Task.fault).
		if p, ok := m.pmas.at(a); ok && p.hostProt() != 0 {
			at.Write = p.hostProt()&platform.Write == 0 && v.prot&platform.Write != 0
		} else if v.anonymous() && v.prot&platform.Write != 0 {
			at.Write = true
		}
	}
	if !v.permits(at) || v.prot == 0 {
		return false, unix.EACCES
	}
	if p, ok := m.pmas.at(a); ok && p.allows(at) {
		return true, nil
	}
	_, err = m.pageFor(v, a, at)
	return false, err
}

// vmaFor returns the VMA at a, growing a stack down to it if it may.
func (m *MemoryManager) vmaFor(a usermem.Addr, stackLimit uint64) (*vma, error) {
	if v, ok := m.vmas.at(a); ok {
		return v, nil
	}
	i := m.vmas.after(a)
	if i == len(m.vmas.list) || !m.vmas.list[i].growsDown {
		return nil, unix.EFAULT
	}
	v := m.vmas.list[i]
	start := a.RoundDown()
	if uint64(v.End-start) > stackLimit || start < m.layout.Min {
		return nil, unix.EFAULT
	}
	if i > 0 {
		below := m.vmas.list[i-1]
		if start < below.End || !below.growsDown && below.prot != 0 && start-below.End < stackGuardGap {
			return nil, unix.EFAULT
		}
	}
	m.account(v, -1)
	v.Start = start
	m.account(v, 1)
	return v, nil
}
