package mm

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Where the host limits memory, pages that the Sentry is to fill for an application, for read(2) say, are made present by
// the application's host process: so they count as what that process has, in its cgroup, and it is that process, not the
// Sentry, that waits when there are no more, and is killed if it has most.
const (
	// bringAround is how much is made present together, where so much belongs together.
	bringAround = 64 << 10
	// bringMost is how much is made present at once.
	bringMost = 1 << 20
)

// limited reports whether the host limits the memory of m.
func (m *MemoryManager) limited() bool { return m.allowance != nil && m.allowance.Load() > 0 }

// dense reports whether the Sentry finds memory for m ahead, in large folios. The host charges that to the Sentry: it must be
// the same for those who look at how much an application has, or limit that.
func (m *MemoryManager) dense() bool { return !m.apart && !m.limited() }

// resident reports whether the pages of p at fr are known to be present.
func (m *MemoryManager) resident(p *pma, fr memmap.Range) bool {
	return p.file != memmap.File(m.file) || m.file.Present(fr)
}

// bring has the host process make the pages from a on present, as much of n bytes as p has. m.mu is held for writing.
func (m *MemoryManager) bring(p *pma, a usermem.Addr, n uint64) error {
	if p.file != memmap.File(m.file) || p.hostProt() == 0 {
		return nil
	}
	n = min(n, bringMost)
	r := usermem.Range{Start: a &^ (bringAround - 1), End: (a + usermem.Addr(n) + bringAround - 1) &^ (bringAround - 1)}
	r = r.Intersect(p.Range)
	q := p.sub(r)
	if m.file.Probe(q.fileRange()) {
		return nil
	}
	m.as.Map(uintptr(q.Start), uintptr(q.Len()), q.file.Host(), q.off, q.hostProt(), true)
	m.stale.Store(true)
	if err := m.as.Flush(); err != nil {
		return unix.EFAULT // which nobody will see: the host process is gone
	}
	m.file.Brought(q.fileRange())
	return nil
}

// Bring has the host process make pages of the memory file present that are none of its own, those of a file that it
// writes to say. It sees them for a moment, read-only.
func (m *MemoryManager) Bring(r memmap.Range) error {
	if !m.limited() || m.file.Present(r) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file.Probe(r) {
		return nil
	}
	n := usermem.Addr(r.Len())
	addr, err := m.findBelow(n, m.layout.Min+m.ballast, m.layout.TopDown)
	if err != nil {
		return nil // it is too full for that
	}
	m.as.Map(uintptr(addr), uintptr(n), m.file.Host(), r.Start, platform.Read, true)
	m.as.Unmap(uintptr(addr), uintptr(n))
	if err := m.as.Flush(); err != nil {
		return unix.EINTR // the host process is gone
	}
	m.file.Brought(r)
	return nil
}
