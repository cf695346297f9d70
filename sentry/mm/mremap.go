package mm

import (
	"slices"

	"golang.org/x/sys/unix"

	"ringfort/sentry/limits"
	"ringfort/sentry/usermem"
)

// Mremap is mremap(2).
func (m *MemoryManager) Mremap(old usermem.Addr, oldLen, newLen uint64, flags uint32, to usermem.Addr, l *limits.Set) (usermem.Addr, error) {
	const known = unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED | unix.MREMAP_DONTUNMAP
	mayMove, fixed, keep := flags&unix.MREMAP_MAYMOVE != 0, flags&unix.MREMAP_FIXED != 0, flags&unix.MREMAP_DONTUNMAP != 0
	on, ok1 := usermem.Addr(oldLen).RoundUp()
	nn, ok2 := usermem.Addr(newLen).RoundUp()
	if flags&^known != 0 || (fixed || keep) && !mayMove || keep && on != nn || old.PageOffset() != 0 || !ok1 || !ok2 || nn == 0 {
		return 0, unix.EINVAL
	}
	oldEnd, ok := old.AddLength(uint64(on))
	if !ok {
		return 0, unix.EINVAL
	}
	if fixed || keep && to != 0 {
		end, ok := to.AddLength(uint64(nn))
		if to.PageOffset() != 0 || !ok || end > m.layout.Max || to < oldEnd && old < end {
			return 0, unix.EINVAL
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.vmas.at(old)
	if !ok {
		return 0, unix.EFAULT
	}
	m.unpatch(usermem.Range{Start: old, End: old + on})
	if on == 0 {
		if !v.shared || !mayMove {
			return 0, unix.EINVAL
		}
		return m.duplicate(v, old, nn, fixed, to, l)
	}
	if keep && (!v.anonymous() && v.shared) {
		return 0, unix.EINVAL
	}
	if nn < on && !fixed {
		m.unmap(usermem.Range{Start: old + nn, End: oldEnd})
		return old, nil
	}
	if nn == on && !fixed && !keep {
		return old, nil
	}
	if fixed && nn < on {
		m.unmap(usermem.Range{Start: old + nn, End: oldEnd})
		on, oldEnd = nn, old+nn
	}
	if oldEnd > v.End {
		return 0, unix.EFAULT
	}
	grow := uint64(nn - on)
	if v.locked && l != nil && m.locked+grow > l.Get(rlimitMemlock).Cur {
		return 0, unix.EAGAIN
	}
	if m.overLimit(l, grow) {
		return 0, unix.ENOMEM
	}
	if !fixed && !keep && oldEnd == v.End {
		r := usermem.Range{Start: oldEnd, End: old + nn}
		if r.End > r.Start && r.End <= m.layout.Max && m.free(r) {
			return old, m.extend(v, r)
		}
	}
	if !mayMove {
		return 0, unix.ENOMEM
	}
	return m.move(usermem.Range{Start: old, End: oldEnd}, nn, fixed, keep, to)
}

// extend grows v by r, which follows it and is free.
func (m *MemoryManager) extend(v *vma, r usermem.Range) error {
	w := *v
	w.Range = r
	if v.obj != nil {
		w.off = v.offsetOf(r.Start)
		if err := v.obj.AddMapping(m, r, w.off, m.mayWriteObject(v)); err != nil {
			return err
		}
	}
	if w.id != nil {
		w.id.IncRef()
	}
	m.insertVMA(&w)
	m.eager(&w, r.Start, usermem.Addr(r.Len()), w.locked)
	return nil
}

// target returns where a moved mapping of n bytes goes, cleared of what is there.
func (m *MemoryManager) target(n usermem.Addr, fixed bool, to usermem.Addr) (usermem.Addr, error) {
	addr, err := m.place(MapOpts{Addr: to, Fixed: fixed}, n)
	if err == nil && fixed {
		m.unmap(usermem.Range{Start: addr, End: addr + n})
	}
	return addr, err
}

// duplicate maps the object of the shared mapping v a second time.
func (m *MemoryManager) duplicate(v *vma, old, n usermem.Addr, fixed bool, to usermem.Addr, l *limits.Set) (usermem.Addr, error) {
	if m.overLimit(l, uint64(n)) {
		return 0, unix.ENOMEM
	}
	addr, err := m.target(n, fixed, to)
	if err != nil {
		return 0, err
	}
	w := *v
	w.Range, w.off = usermem.Range{Start: addr, End: addr + n}, v.offsetOf(old)
	if err := w.obj.AddMapping(m, w.Range, w.off, m.mayWriteObject(&w)); err != nil {
		return 0, err
	}
	if w.id != nil {
		w.id.IncRef()
	}
	m.insertVMA(&w)
	return addr, nil
}

// move moves r, within one VMA, to a range of n bytes elsewhere.
func (m *MemoryManager) move(r usermem.Range, n usermem.Addr, fixed, keep bool, to usermem.Addr) (usermem.Addr, error) {
	addr, err := m.target(n, fixed, to)
	if err != nil {
		return 0, err
	}
	i, j := m.isolateVMAs(r)
	if j-i != 1 {
		return 0, unix.EFAULT
	}
	w := *m.vmas.list[i]
	w.Range = usermem.Range{Start: addr, End: addr + n}
	if w.obj != nil {
		if err := w.obj.AddMapping(m, w.Range, w.off, m.mayWriteObject(&w)); err != nil {
			return 0, err
		}
	}
	if w.id != nil {
		w.id.IncRef()
	}
	// The pages go along; their references do too.
	pi, pj := m.isolatePMAs(r)
	pages := slices.Clone(m.pmas.list[pi:pj])
	m.pmas.list = slices.Delete(m.pmas.list, pi, pj)
	m.stale.Store(true)
	m.as.Unmap(uintptr(r.Start), uintptr(r.Len()))
	if !keep {
		i, _ = m.vmas.within(r)
		v := m.vmas.list[i]
		m.account(v, -1)
		m.forget(v)
		m.vmas.list = slices.Delete(m.vmas.list, i, i+1)
	}
	m.insertVMA(&w)
	for _, p := range pages {
		m.count(p, -1)
		p.Start, p.End = addr+(p.Start-r.Start), addr+(p.End-r.Start)
		m.hostMap(p)
		m.addPMA(p)
	}
	return addr, nil
}
