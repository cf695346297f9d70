package mm

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/safecopy"

	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// patchWindow is how far around a call site code is looked at for jumps into
// the middle of it, in bytes.
const patchWindow = 64 << 10

// PatchSite lets the platform replace the SYSCALL instruction that ends at rip.
// Only code of a private file mapping that cannot be written is touched: what
// programs generate or change themselves stays as it is.
func (m *MemoryManager) PatchSite(rip usermem.Addr) {
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
	around := usermem.Range{Start: rip - min(rip, patchWindow), End: rip + patchWindow}.Intersect(v.Range)
	code, from := m.presentCode(around, rip)
	site := &platform.CallSite{Addr: uintptr(from), Code: code, End: uintptr(rip)}
	p.PlanPatch(site, func(patch platform.Patch) error {
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
	for _, old := range p.DropPatches(uintptr(r.Start), uintptr(r.End)) {
		_ = m.writeCode(usermem.Addr(old.Addr), old.Bytes) // what is no longer there needs no mending
	}
}

// presentCode returns the code of a run of present pages around at, within r,
// and where it begins.
func (m *MemoryManager) presentCode(r usermem.Range, at usermem.Addr) (code []byte, from usermem.Addr) {
	i, j := m.pmas.within(r)
	for _, p := range m.pmas.list[i:j] {
		part := p.Intersect(r)
		if from+usermem.Addr(len(code)) != part.Start {
			if from+usermem.Addr(len(code)) > at {
				break // a gap behind the site
			}
			code, from = nil, part.Start
		}
		off := p.off + uint64(part.Start-p.Start)
		b, err := p.file.Internal(memmap.Range{Start: off, End: off + uint64(part.Len())}, usermem.Read)
		if err != nil {
			return nil, at
		}
		n := len(code)
		code = append(code, make([]byte, part.Len())...)
		if !b.Unsafe {
			copy(code[n:], blockBytes(b))
		} else if _, err := safecopy.CopyIn(code[n:], b.Ptr); err != nil {
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
