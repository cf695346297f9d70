package mm

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

const (
	// patchWindow is how far around a call site code is looked at for jumps into
	// the middle of it, in bytes.
	patchWindow = 64 << 10
	// patchNear is how far it is looked at for the instructions themselves.
	patchNear = 16
)

// PatchSite lets the platform replace the SYSCALL instruction that a thread with these registers has trapped at, if it is
// hot; else it has trapped for the first time here.
// Only code of a private file mapping that cannot be written is touched: what
// programs generate or change themselves stays as it is.
func (m *MemoryManager) PatchSite(regs *arch.Registers, hot bool) {
	rip := usermem.Addr(regs.Rip)
	p, ok := m.as.(platform.Patcher)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.vmas.at(rip - 1)
	if !ok || v.shared || v.obj == nil || v.prot != platform.Read|platform.Exec {
		return
	}
	buf := codeWindows.Get().(*codeWindow)
	defer codeWindows.Put(buf)
	if !hot {
		m.knowSite(p, v, regs, buf)
		return
	}
	p.PlanPatch(m.callSite(v, regs, buf), func(patch platform.Patch) error {
		r := usermem.Range{Start: usermem.Addr(patch.Addr), End: usermem.Addr(patch.Addr) + usermem.Addr(len(patch.Bytes))}
		if r.Intersect(v.Range) != r {
			return unix.EFAULT
		}
		if err := m.ownCode(v, r); err != nil {
			return err
		}
		return m.writeCode(r.Start, patch.Bytes)
	})
}

// codeWindow holds a copy of the code around a site. There are many while programs start, and as much allocated for each
// would all be garbage.
type codeWindow [2 * patchWindow]byte

var codeWindows = sync.Pool{New: func() any { return new(codeWindow) }}

// callSite describes the site in v at which a thread with these registers has trapped. What it tells of the code around is in buf.
func (m *MemoryManager) callSite(v *vma, regs *arch.Registers, buf *codeWindow) *platform.CallSite {
	rip := usermem.Addr(regs.Rip)
	look := func(far usermem.Addr, into []byte) ([]byte, uintptr) {
		around := usermem.Range{Start: rip - min(rip, far), End: rip + far}.Intersect(v.Range)
		code, from := m.presentCode(around, rip, into)
		return code, uintptr(from)
	}
	site := &platform.CallSite{End: uintptr(rip), Regs: regs, Around: func() ([]byte, uintptr) { return look(patchWindow, buf[:]) }}
	site.Code, site.Addr = look(patchNear, make([]byte, 2*patchNear))
	return site
}

// StopPatching undoes all patches for good.
func (m *MemoryManager) StopPatching() {
	if p, ok := m.as.(platform.Patcher); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		p.StopPatching()
		m.unpatch(usermem.Range{End: m.layout.Max})
	}
}

// unpatch restores the code in r. m.mu is held for writing.
func (m *MemoryManager) unpatch(r usermem.Range) {
	p, ok := m.as.(platform.Patcher)
	if !ok {
		return
	}
	p.DropPatches(uintptr(r.Start), uintptr(r.End), m.restoreCode)
}

// dropPatches forgets the patches in r, which goes away, and restores the code
// of those that reach beyond it. m.mu is held for writing.
func (m *MemoryManager) dropPatches(r usermem.Range) {
	p, ok := m.as.(platform.Patcher)
	if !ok {
		return
	}
	p.DropPatches(uintptr(r.Start), uintptr(r.End), func(old platform.Patch) {
		if at := patchRange(old); r.Intersect(at) != at {
			m.restoreCode(old)
		}
	})
}

func patchRange(p platform.Patch) usermem.Range {
	return usermem.Range{Start: usermem.Addr(p.Addr), End: usermem.Addr(p.Addr) + usermem.Addr(len(p.Bytes))}
}

// restoreCode writes the code that was at a site before it was patched. What is
// no longer there needs no mending.
func (m *MemoryManager) restoreCode(old platform.Patch) {
	r := patchRange(old)
	// Since a fork the page may be shared, patched in the other process as well. A
	// site may lie across two mappings.
	for a := r.Start; a < r.End; {
		v, ok := m.vmas.at(a)
		if !ok {
			a = a.RoundDown() + usermem.PageSize
			continue
		}
		end := min(r.End, v.End)
		if next := a.RoundDown() + usermem.PageSize; next < end && !(m.hasPrivate(a) && m.hasPrivate(next)) {
			end = next
		}
		if m.hasPrivate(a) {
			m.replaceCode(v, a, old.Bytes[a-r.Start:end-r.Start])
		}
		a = end
	}
}

// hasPrivate reports whether the page of a is there and private.
func (m *MemoryManager) hasPrivate(a usermem.Addr) bool {
	p, ok := m.pmas.at(a)
	return ok && p.private
}

// replaceCode maps a copy of the private pages of v that has b at a: threads may be executing what is there, and an
// instruction of which a part is changed is none.
func (m *MemoryManager) replaceCode(v *vma, a usermem.Addr, b []byte) {
	end, _ := (a + usermem.Addr(len(b))).RoundUp()
	r := usermem.Range{Start: a.RoundDown(), End: end}
	fr, err := m.file.AllocateDirty(uint64(r.Len()), usermem.PageSize, m.dense())
	if err == nil {
		if err = m.copyEach(fr, r); err != nil {
			m.file.DecRef(fr)
		}
	}
	if err != nil {
		// There is no memory. What was meant is what most threads will see.
		if m.ownCode(v, r) == nil {
			_ = m.writeCode(a, b)
		}
		return
	}
	copy(m.file.Bytes(fr)[a-r.Start:], b)
	m.dropPagesQuietly(r)
	q := &pma{Range: r, file: m.file, off: fr.Start, prot: v.prot, private: true, own: true}
	m.hostFill(q)
	m.addPMA(q)
}

// copyEach fills dst, in the memory file, from the pages of r, which are there.
func (m *MemoryManager) copyEach(dst memmap.Range, r usermem.Range) error {
	for a := r.Start; a < r.End; a += usermem.PageSize {
		p, ok := m.pmas.at(a)
		if !ok {
			return unix.EFAULT
		}
		at := dst.Start + uint64(a-r.Start)
		if err := m.copyPages(memmap.Range{Start: at, End: at + usermem.PageSize}, p.sub(usermem.Range{Start: a, End: a + usermem.PageSize})); err != nil {
			return err
		}
	}
	return nil
}

// presentCode copies the code of a run of present pages around at, within r, to buf, which has room for all of r, and
// returns it and where it begins.
func (m *MemoryManager) presentCode(r usermem.Range, at usermem.Addr, buf []byte) (code []byte, from usermem.Addr) {
	code = buf[:0]
	i, j := m.pmas.within(r)
	for _, p := range m.pmas.list[i:j] {
		part := p.Intersect(r)
		if from+usermem.Addr(len(code)) != part.Start {
			if from+usermem.Addr(len(code)) > at {
				break // a gap behind the site
			}
			code, from = buf[:0], part.Start
		}
		off := p.off + uint64(part.Start-p.Start)
		n := len(code)
		code = code[:n+int(part.Len())]
		if !readPages(p.file, memmap.Range{Start: off, End: off + uint64(part.Len())}, code[n:]) {
			return nil, at
		}
	}
	return code, from
}

// ownCode gives the pages of r, in v, copies of their own, executable and not
// writable. m.mu is held for writing.
func (m *MemoryManager) ownCode(v *vma, r usermem.Range) error {
	for a := r.Start.RoundDown(); a < r.End; a += usermem.PageSize {
		p, ok := m.pmas.at(a)
		if !ok {
			return unix.EFAULT
		}
		if !p.cow {
			continue
		}
		if err := m.breakCOW(v, p, a); err != nil {
			return err
		}
	}
	return nil
}

// writeCode writes b to private pages at a, whatever their protection.
func (m *MemoryManager) writeCode(a usermem.Addr, b []byte) error {
	for len(b) > 0 {
		p, ok := m.pmas.at(a)
		if !ok || !p.private || p.cow {
			return unix.EFAULT
		}
		off := p.off + uint64(a-p.Start)
		n := copy(m.file.Bytes(memmap.Range{Start: off, End: min(off+uint64(len(b)), p.off+uint64(p.Len()))}), b)
		a, b = a+usermem.Addr(n), b[n:]
	}
	return nil
}
