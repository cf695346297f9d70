package mm

import (
	"slices"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/limits"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// MapOpts are the arguments of MMap.
type MapOpts struct {
	Addr      usermem.Addr // hint, or the address if Fixed
	Length    uint64       // rounded up to pages; not 0
	Fixed     bool
	NoReplace bool // with Fixed: EEXIST instead of replacing
	Low32     bool // MAP_32BIT

	Prot, MaxProt platform.Prot
	Shared        bool
	GrowsDown     bool
	Locked        bool
	Populate      bool
	NoReserve     bool
	Stack         bool // of a thread

	Obj  memmap.Mappable // nil: private anonymous
	Off  uint64
	ID   memmap.Identity // reference taken over on success
	Name string

	Limits *limits.Set // nil: not limited
}

// MMap maps what opts say and returns the address (mmap(2)).
func (m *MemoryManager) MMap(opts MapOpts) (usermem.Addr, error) {
	n, ok := usermem.Addr(opts.Length).RoundUp()
	if !ok || n == 0 {
		return 0, unix.ENOMEM
	}
	if opts.Obj != nil {
		if end := opts.Off + uint64(n); end < opts.Off || int64(end) < 0 {
			return 0, unix.EOVERFLOW
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	addr, err := m.place(opts, n)
	if err != nil {
		return 0, err
	}
	v := &vma{
		Range: usermem.Range{Start: addr, End: addr + n}, prot: opts.Prot, maxProt: opts.MaxProt,
		shared: opts.Shared, growsDown: opts.GrowsDown, locked: opts.Locked || m.lockFuture, noReserve: opts.NoReserve,
		stack: opts.Stack, obj: opts.Obj, off: opts.Off, id: opts.ID, name: opts.Name,
	}
	i, j := m.vmas.within(v.Range)
	if i < j && opts.NoReplace {
		return 0, unix.EEXIST
	}
	replaced := uint64(0)
	for _, w := range m.vmas.list[i:j] {
		replaced += uint64(w.Intersect(v.Range).Len())
	}
	if m.overLimit(opts.Limits, uint64(n)-replaced) || len(m.vmas.list) >= maxMapCount {
		return 0, unix.ENOMEM
	}
	if err := m.checkData(opts.Limits, v); err != nil {
		return 0, err
	}
	if v.locked && opts.Limits != nil && m.locked+uint64(n) > opts.Limits.Get(rlimitMemlock).Cur {
		return 0, unix.EAGAIN
	}
	if v.obj != nil {
		if err := v.obj.AddMapping(m, v.Range, v.off, m.mayWriteObject(v)); err != nil {
			return 0, err
		}
	}
	if i < j {
		m.unmap(v.Range)
	}
	if obj, ok := v.obj.(memmap.Coded); ok && m.program == nil {
		m.program = obj.Code()
	}
	m.insertVMA(v)
	m.eager(v, addr, n, opts.Populate || v.locked)
	return addr, nil
}

// maxMapCount is vm.max_map_count.
const maxMapCount = 65530

func (m *MemoryManager) checkData(l *limits.Set, v *vma) error {
	if l == nil || v.shared || v.prot&platform.Write == 0 || v.growsDown {
		return nil
	}
	if m.data+uint64(v.Len()) > l.Get(rlimitData).Cur {
		return unix.ENOMEM
	}
	return nil
}

// mayWriteObject reports whether v can change its object.
func (m *MemoryManager) mayWriteObject(v *vma) bool {
	return v.shared && v.maxProt&platform.Write != 0
}

// place returns the address for a mapping of n bytes.
func (m *MemoryManager) place(opts MapOpts, n usermem.Addr) (usermem.Addr, error) {
	if opts.Fixed {
		if opts.Addr.PageOffset() != 0 {
			return 0, unix.EINVAL
		}
		end, ok := opts.Addr.AddLength(uint64(n))
		if !ok || end > m.layout.Max {
			return 0, unix.ENOMEM
		}
		if opts.Addr < m.layout.Min {
			return 0, unix.EPERM
		}
		return opts.Addr, nil
	}
	if hint := opts.Addr &^ usermem.PageMask; hint >= m.layout.Min && !opts.Low32 {
		if end, ok := hint.AddLength(uint64(n)); ok && end <= m.layout.Max && m.free(usermem.Range{Start: hint, End: end}) {
			return hint, nil
		}
	}
	if opts.Low32 {
		return m.findBelow(n, 0x40000000, 0x80000000)
	}
	if a, err := m.findBelow(n, m.layout.Min, m.layout.TopDown); err == nil {
		return a, nil
	}
	return m.findBelow(n, m.layout.TopDown, m.layout.StackEnd-minStackGap)
}

// free reports whether r, and the guard gap of a stack above it, is unmapped.
func (m *MemoryManager) free(r usermem.Range) bool {
	i := m.vmas.after(r.Start)
	return i == len(m.vmas.list) || m.vmas.list[i].guarded() >= r.End
}

// guarded returns the lowest address that v wants for itself.
func (v *vma) guarded() usermem.Addr {
	if v.growsDown {
		return v.Start - min(v.Start, stackGuardGap)
	}
	return v.Start
}

// findBelow returns the highest free range of n bytes in [min, max).
func (m *MemoryManager) findBelow(n, min, max usermem.Addr) (usermem.Addr, error) {
	top := max
	for i := m.vmas.after(max) - 0; ; i-- {
		// The gap below list[i], which starts at or ends after top.
		if i < len(m.vmas.list) && m.vmas.list[i].guarded() < top {
			top = m.vmas.list[i].guarded()
		}
		bottom := min
		if i > 0 && m.vmas.list[i-1].End > bottom {
			bottom = m.vmas.list[i-1].End
		}
		if top > bottom && top-bottom >= n {
			return top - n, nil
		}
		if i == 0 || bottom == min {
			return 0, unix.ENOMEM
		}
		if bottom < top {
			top = bottom
		}
	}
}

// insertVMA adds v, whose range is free, merging it with its neighbours.
func (m *MemoryManager) insertVMA(v *vma) {
	m.account(v, 1)
	i := m.vmas.after(v.Start)
	if i > 0 && m.vmas.list[i-1].mergeable(v) {
		prev := m.vmas.list[i-1]
		prev.End = v.End
		m.dropID(v)
		v, i = prev, i-1
	} else {
		m.vmas.list = slices.Insert(m.vmas.list, i, v)
	}
	if i+1 < len(m.vmas.list) && v.mergeable(m.vmas.list[i+1]) {
		next := m.vmas.list[i+1]
		v.End = next.End
		m.dropID(next)
		m.vmas.list = slices.Delete(m.vmas.list, i+1, i+2)
	}
}

func (m *MemoryManager) dropID(v *vma) {
	if v.id != nil {
		v.id.DecRef()
	}
}

// eager gives a new mapping pages at once where that is free: the host then
// serves its faults.
func (m *MemoryManager) eager(v *vma, addr, n usermem.Addr, populate bool) {
	r := usermem.Range{Start: addr, End: addr + n}
	if v.small(n) && !populate {
		if m.dense() && n > denseMax && !m.file.Freed(uint64(n)) {
			return // perhaps little of it is touched
		}
		if w, ok := m.vmas.at(addr); ok && !m.touch.doubtful() {
			_ = m.allocate(w, r, addr, false) // without pages now the fault tries again
		}
		return
	}
	if populate {
		m.populateRange(r)
	}
}

// populateRange brings in all pages of r as far as protection and memory allow.
func (m *MemoryManager) populateRange(r usermem.Range) {
	for a := r.Start; a < r.End; {
		v, ok := m.vmas.at(a)
		if !ok || v.prot == 0 {
			return
		}
		at := usermem.Access{Read: true, Write: v.prot&platform.Write != 0 && !v.shared}
		p, err := m.pageFor(v, a, at)
		if err != nil {
			return
		}
		a = p.End
	}
}

// Munmap is munmap(2).
func (m *MemoryManager) Munmap(addr usermem.Addr, length uint64) error {
	r, err := m.pageRange(addr, length)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unmap(r)
	return nil
}

// pageRange checks the address and length of munmap and its like.
func (m *MemoryManager) pageRange(addr usermem.Addr, length uint64) (usermem.Range, error) {
	n, ok := usermem.Addr(length).RoundUp()
	if addr.PageOffset() != 0 || !ok || n == 0 {
		return usermem.Range{}, unix.EINVAL
	}
	end, ok := addr.AddLength(uint64(n))
	if !ok || end > m.layout.Max {
		return usermem.Range{}, unix.EINVAL
	}
	return usermem.Range{Start: addr, End: end}, nil
}

// unmap removes everything in r. m.mu is held.
func (m *MemoryManager) unmap(r usermem.Range) {
	i, j := m.isolateVMAs(r)
	if i == j {
		return
	}
	if v := m.vmas.list[i]; j == i+1 && v.small(usermem.Addr(v.Len())) {
		if p, q := m.pmas.within(r); p == q {
			m.touch.unmapped()
		}
	}
	m.dropPages(r, false)
	for _, v := range m.vmas.list[i:j] {
		m.account(v, -1)
		m.forget(v)
	}
	m.vmas.list = slices.Delete(m.vmas.list, i, j)
}

// forget tells v's object that it is mapped there no more.
func (m *MemoryManager) forget(v *vma) {
	if v.obj != nil {
		v.obj.RemoveMapping(m, v.Range, v.off, m.mayWriteObject(v))
	}
	m.dropID(v)
}

// isolateVMAs splits the VMAs at the ends of r and returns the indexes [i, j)
// of those in r.
func (m *MemoryManager) isolateVMAs(r usermem.Range) (i, j int) {
	m.splitVMA(r.Start)
	m.splitVMA(r.End)
	return m.vmas.within(r)
}

func (m *MemoryManager) splitVMA(a usermem.Addr) {
	i := m.vmas.after(a)
	if i == len(m.vmas.list) || m.vmas.list[i].Start >= a {
		return
	}
	v := m.vmas.list[i]
	tail := *v
	tail.Start, tail.off = a, v.offsetOf(a)
	if v.obj == nil {
		tail.off = 0
	}
	if v.id != nil {
		v.id.IncRef()
	}
	v.End = a
	m.vmas.list = slices.Insert(m.vmas.list, i+1, &tail)
}

// mergeAround merges VMAs in and next to r that have become alike.
func (m *MemoryManager) mergeAround(r usermem.Range) {
	i := m.vmas.after(r.Start)
	if i > 0 {
		i--
	}
	for i+1 < len(m.vmas.list) && m.vmas.list[i].Start <= r.End {
		v, w := m.vmas.list[i], m.vmas.list[i+1]
		if !v.mergeable(w) {
			i++
			continue
		}
		v.End = w.End
		m.dropID(w)
		m.vmas.list = slices.Delete(m.vmas.list, i+1, i+2)
	}
}

// Mprotect is mprotect(2). growsDown is PROT_GROWSDOWN.
func (m *MemoryManager) Mprotect(addr usermem.Addr, length uint64, prot platform.Prot, growsDown bool) error {
	if addr.PageOffset() != 0 {
		return unix.EINVAL
	}
	if length == 0 {
		return nil
	}
	n, ok := usermem.Addr(length).RoundUp()
	end, ok2 := addr.AddLength(uint64(n))
	if !ok || !ok2 || end > m.layout.Max {
		return unix.ENOMEM
	}
	r := usermem.Range{Start: addr, End: end}
	m.mu.Lock()
	defer m.mu.Unlock()
	if growsDown {
		v, ok := m.vmas.at(addr)
		if !ok || !v.growsDown {
			return unix.EINVAL
		}
		r.Start = v.Start
	}
	if prot&platform.Write != 0 {
		m.unpatch(r) // whoever means to change code finds it as it was
	}
	i, j := m.isolateVMAs(r)
	a := r.Start
	var err error
	for _, v := range m.vmas.list[i:j] {
		if v.Start != a {
			break
		}
		if prot&^v.maxProt != 0 {
			err = unix.EACCES
			break
		}
		m.account(v, -1)
		v.prot = prot
		m.account(v, 1)
		a = v.End
	}
	if err == nil && a != r.End {
		err = unix.ENOMEM
	}
	m.protectPages(usermem.Range{Start: r.Start, End: a}, prot)
	m.mergeAround(r)
	return err
}

// protectPages gives the PMAs of r a new protection.
func (m *MemoryManager) protectPages(r usermem.Range, prot platform.Prot) {
	if r.Len() == 0 {
		return
	}
	i, j := m.isolatePMAs(r)
	for _, p := range m.pmas.list[i:j] {
		before := p.hostProt()
		p.prot = prot
		after := p.hostProt()
		switch {
		case before == after:
		case after&^before == 0 && after != 0:
			m.stale.Store(true)
			m.as.Protect(uintptr(p.Start), uintptr(p.Len()), after)
		default:
			m.hostMap(p)
		}
	}
}

// Brk is brk(2): it sets the end of the heap and returns the end there is.
func (m *MemoryManager) Brk(addr usermem.Addr, l *limits.Set) usermem.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := &m.brk
	if addr < b.start {
		return b.end
	}
	oldEnd, _ := b.end.RoundUp()
	newEnd, ok := addr.RoundUp()
	if !ok || newEnd > m.layout.Max || uint64(addr-b.start) > l.Get(rlimitData).Cur {
		return b.end
	}
	switch {
	case newEnd < oldEnd:
		m.unmap(usermem.Range{Start: newEnd, End: oldEnd})
	case newEnd > oldEnd:
		r := usermem.Range{Start: oldEnd, End: newEnd}
		if i, j := m.vmas.within(r); i != j || !m.free(r) || m.overLimit(l, uint64(r.Len())) {
			return b.end
		}
		v := &vma{Range: r, prot: platform.Read | platform.Write, maxProt: anyProt, name: "[heap]", locked: m.lockFuture}
		small := v.small(usermem.Addr(r.Len())) && !v.locked
		m.insertVMA(v)
		if w, ok := m.vmas.at(r.Start); ok && small && b.grown && !m.limited() {
			// A heap is made longer when what there is has been used.
			_ = m.allocate(w, r, r.Start, true)
		} else {
			m.eager(v, r.Start, usermem.Addr(r.Len()), v.locked)
		}
		b.grown = oldEnd > b.start
	}
	b.end = addr
	return b.end
}

const anyProt = platform.Read | platform.Write | platform.Exec

// SetBrk places an empty heap at addr (exec).
func (m *MemoryManager) SetBrk(addr usermem.Addr) {
	m.mu.Lock()
	m.brk.start, m.brk.end = addr, addr
	m.mu.Unlock()
}

// BrkStart returns where the heap starts and ends.
func (m *MemoryManager) BrkStart() (start, end usermem.Addr) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.brk.start, m.brk.end
}
