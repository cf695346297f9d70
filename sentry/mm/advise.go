package mm

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/limits"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Madvise is madvise(2). Advice that only tunes the host's paging is checked
// and accepted.
func (m *MemoryManager) Madvise(addr usermem.Addr, length uint64, advice int32) error {
	n, ok := usermem.Addr(length).RoundUp()
	end, ok2 := addr.AddLength(uint64(n))
	if addr.PageOffset() != 0 || !ok || !ok2 || length != 0 && n == 0 || !knownAdvice(advice) {
		return unix.EINVAL
	}
	if n == 0 {
		return nil
	}
	r := usermem.Range{Start: addr, End: end}
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	a := r.Start
	i, j := m.vmas.within(r)
	if mustSplit(advice) {
		i, j = m.isolateVMAs(r)
	}
	for _, v := range m.vmas.list[i:j] {
		if v.Start > a {
			err = unix.ENOMEM
		}
		a = v.End
		if e := m.adviseVMA(v, v.Intersect(r), advice); e != nil {
			return e
		}
	}
	if a < r.End {
		err = unix.ENOMEM
	}
	m.mergeAround(r)
	return err
}

func knownAdvice(advice int32) bool {
	switch advice {
	case unix.MADV_NORMAL, unix.MADV_RANDOM, unix.MADV_SEQUENTIAL, unix.MADV_WILLNEED, unix.MADV_DONTNEED, unix.MADV_FREE,
		unix.MADV_REMOVE, unix.MADV_DONTFORK, unix.MADV_DOFORK, unix.MADV_MERGEABLE, unix.MADV_UNMERGEABLE, unix.MADV_HUGEPAGE,
		unix.MADV_NOHUGEPAGE, unix.MADV_DONTDUMP, unix.MADV_DODUMP, unix.MADV_WIPEONFORK, unix.MADV_KEEPONFORK, unix.MADV_COLD,
		unix.MADV_PAGEOUT, unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE, unix.MADV_DONTNEED_LOCKED, unix.MADV_COLLAPSE:
		return true
	}
	return false
}

func mustSplit(advice int32) bool {
	switch advice {
	case unix.MADV_DONTFORK, unix.MADV_DOFORK, unix.MADV_WIPEONFORK, unix.MADV_KEEPONFORK:
		return true
	}
	return false
}

func (m *MemoryManager) adviseVMA(v *vma, r usermem.Range, advice int32) error {
	switch advice {
	case unix.MADV_DONTNEED, unix.MADV_DONTNEED_LOCKED, unix.MADV_FREE:
		if v.locked && advice != unix.MADV_DONTNEED_LOCKED {
			return unix.EINVAL
		}
		if advice == unix.MADV_FREE && !v.anonymous() {
			return unix.EINVAL
		}
		if !v.stack || !m.wipe(r) {
			m.dropPages(r, false)
		}
	case unix.MADV_REMOVE:
		hole, ok := v.obj.(interface{ Punch(off, n uint64) error })
		if !v.shared || v.prot&platform.Write == 0 || v.locked || !ok {
			return unix.EINVAL
		}
		m.dropPages(r, false)
		return hole.Punch(v.offsetOf(r.Start), uint64(r.Len()))
	case unix.MADV_DONTFORK:
		v.noFork = true
	case unix.MADV_DOFORK:
		v.noFork = false
	case unix.MADV_WIPEONFORK:
		if !v.anonymous() || v.shared {
			return unix.EINVAL
		}
		v.wipeOnFork = true
	case unix.MADV_KEEPONFORK:
		v.wipeOnFork = false
	case unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE:
		at := usermem.Access{Read: true, Write: advice == unix.MADV_POPULATE_WRITE}
		if !v.permits(at) {
			return unix.EFAULT
		}
		for a := r.Start; a < r.End; {
			p, err := m.pageFor(v, a, at)
			if err == memmap.ErrBeyondEnd {
				return unix.EFAULT
			}
			if err != nil {
				return err
			}
			a = p.End
		}
	}
	return nil
}

// wipePages is how many pages that are there are cleared instead of being dropped, in each of the few pieces of a stack.
const wipePages = 16

// wipe clears the pages of r where they are, if they are the process's own and few; else it returns false. The C library
// drops the stack of a thread when the thread ends, and the next one gets it.
func (m *MemoryManager) wipe(r usermem.Range) bool {
	i, j := m.pmas.within(r)
	for _, p := range m.pmas.list[i:j] {
		if !p.private || !p.own || p.cow || p.file != memmap.File(m.file) {
			return false
		}
	}
	for _, p := range m.pmas.list[i:j] {
		if !m.file.Wipe(p.sub(r).fileRange(), wipePages) {
			return false
		}
	}
	return true
}

// Mincore is mincore(2): it fills vec with 1 for each page that is there.
func (m *MemoryManager) Mincore(addr usermem.Addr, pages int, vec []byte) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range pages {
		a := addr + usermem.Addr(i)*usermem.PageSize
		if _, ok := m.vmas.at(a); !ok {
			return unix.ENOMEM
		}
		if _, ok := m.pmas.at(a); ok {
			vec[i] = 1
		} else {
			vec[i] = 0
		}
	}
	return nil
}

// Msync is msync(2) with MS_SYNC if sync is set.
func (m *MemoryManager) Msync(addr usermem.Addr, length uint64, sync, invalidate bool) error {
	n, ok := usermem.Addr(length).RoundUp()
	end, ok2 := addr.AddLength(uint64(n))
	if addr.PageOffset() != 0 {
		return unix.EINVAL
	}
	if !ok || !ok2 {
		return unix.ENOMEM
	}
	type piece struct {
		obj    memmap.Mappable
		id     memmap.Identity
		off, n uint64
	}
	var pieces []piece
	r := usermem.Range{Start: addr, End: end}
	m.mu.RLock()
	a := r.Start
	var err error
	i, j := m.vmas.within(r)
	for _, v := range m.vmas.list[i:j] {
		if v.Start > a {
			err = unix.ENOMEM
		}
		if invalidate && v.locked {
			m.mu.RUnlock()
			return unix.EBUSY
		}
		part := v.Intersect(r)
		if sync && v.shared && v.obj != nil {
			if v.id != nil {
				v.id.IncRef()
			}
			pieces = append(pieces, piece{v.obj, v.id, v.offsetOf(part.Start), uint64(part.Len())})
		}
		a = v.End
	}
	m.mu.RUnlock()
	if a < r.End && n > 0 {
		err = unix.ENOMEM
	}
	for _, p := range pieces {
		if e := p.obj.Sync(p.off, p.n); e != nil && err == nil {
			err = e
		}
		if p.id != nil {
			p.id.DecRef()
		}
	}
	return err
}

// Mlock is mlock(2) or munlock(2). The Sentry's memory is never swapped by
// itself; locking is bookkeeping and bringing pages in.
func (m *MemoryManager) Mlock(addr usermem.Addr, length uint64, lock, onFault bool, l *limits.Set, privileged bool) error {
	end, ok := addr.AddLength(length)
	if !ok {
		return unix.EINVAL
	}
	top, ok := end.RoundUp()
	if !ok {
		return unix.EINVAL
	}
	r := usermem.Range{Start: addr.RoundDown(), End: top}
	if r.Start == r.End {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i, j := m.vmas.within(r)
	if lock {
		limit := l.Get(rlimitMemlock).Cur
		if limit == 0 && !privileged {
			return unix.EPERM
		}
		more := uint64(0)
		for _, v := range m.vmas.list[i:j] {
			if !v.locked {
				more += uint64(v.Intersect(r).Len())
			}
		}
		if m.locked+more > limit && !privileged {
			return unix.ENOMEM
		}
	}
	a := r.Start
	for _, v := range m.vmas.list[i:j] {
		if v.Start > a {
			return unix.ENOMEM
		}
		a = v.End
	}
	if a < r.End {
		return unix.ENOMEM
	}
	i, j = m.isolateVMAs(r)
	for _, v := range m.vmas.list[i:j] {
		m.account(v, -1)
		v.locked = lock
		m.account(v, 1)
	}
	m.mergeAround(r)
	if lock && !onFault {
		m.populateRange(r)
	}
	return nil
}

// MlockAll is mlockall(2) (lock, with now and future) or munlockall(2).
func (m *MemoryManager) MlockAll(lock, now, future bool, l *limits.Set, privileged bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lock {
		limit := l.Get(rlimitMemlock).Cur
		if limit == 0 && !privileged {
			return unix.EPERM
		}
		if now && m.total > limit && !privileged {
			return unix.ENOMEM
		}
	}
	m.lockFuture = lock && future
	if lock && !now {
		return nil
	}
	for _, v := range m.vmas.list {
		m.account(v, -1)
		v.locked = lock
		m.account(v, 1)
	}
	return nil
}
