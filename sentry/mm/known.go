package mm

import (
	"bytes"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/safecopy"

	"ringfort/platform"
	"ringfort/sentry/arch"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Call sites that several processes have trapped at are patched in pages that are kept with the file (memmap.Code). Who maps
// the file's code maps those pages instead of the file's, if they were made from what the file has there now.

// Trapped notes that the application has trapped at a call site.
func (m *MemoryManager) Trapped() { m.traps.Add(1) }

// remember tells the program's file how often it has trapped. Nobody uses m any more.
func (m *MemoryManager) remember() {
	if m.program != nil && !m.adopted {
		m.program.Ran(m.traps.Load())
	}
}

// knowSite notes that a thread with these registers has trapped at a site in v, for the first time here. m.mu is held for writing.
func (m *MemoryManager) knowSite(p platform.Patcher, v *vma, regs *arch.Registers, buf *codeWindow) {
	rip := usermem.Addr(regs.Rip)
	obj, ok := v.obj.(memmap.Coded)
	if !ok || !obj.Code().Saw(v.offsetOf(rip)) {
		return
	}
	k, ok := p.PlanKnown(m.callSite(v, regs, buf))
	if !ok {
		return
	}
	s := memmap.KnownSite{KnownSite: k, End: v.offsetOf(rip)}
	at := (s.End - uint64(k.Back)) &^ usermem.PageMask
	if at < v.off || s.End > at+usermem.PageSize {
		return // part of another page
	}
	original := make([]byte, usermem.PageSize)
	start := s.Start(at)
	if !readPage(obj, at, original) || start+uint64(len(k.Patch)) > usermem.PageSize || !bytes.Equal(original[start:][:len(k.Patch)], k.Before[:len(k.Patch)]) {
		return
	}
	fr, err := m.file.AllocateDirty(usermem.PageSize, usermem.PageSize, m.dense())
	if err != nil {
		return
	}
	if !obj.Code().Add(m.file, fr, m.file.Bytes(fr), at, original, s) {
		m.file.DecRef(fr)
	}
}

// readPage reads the page of code at off into b.
func readPage(obj memmap.Mappable, off uint64, b []byte) bool {
	file, r, err := obj.Pages(off, usermem.PageSize, usermem.Access{Read: true, Exec: true})
	if err != nil {
		return false
	}
	defer file.DecRef(r)
	return readPages(file, r, b)
}

// readPages copies the pages at r of file to b.
func readPages(file memmap.File, r memmap.Range, b []byte) bool {
	src, err := file.Internal(r, usermem.Read)
	if err != nil {
		return false
	}
	if !src.Unsafe {
		return copy(b, blockBytes(src)) == len(b)
	}
	_, err = safecopy.CopyIn(b, src.Ptr)
	return err == nil
}

// codeBufs are pages to compare with.
var codeBufs = sync.Pool{New: func() any { return new([usermem.PageSize]byte) }}

// adoptKnown maps pages with known sites in place of those of p, which has just been put into v. m.mu is held for writing.
func (m *MemoryManager) adoptKnown(v *vma, p *pma) {
	obj, ok := v.obj.(memmap.Coded)
	if !ok || v.shared || v.prot != platform.Read|platform.Exec || m.program == nil || !m.program.Busy() {
		return
	}
	as, ok := m.as.(platform.Patcher)
	if !ok {
		return
	}
	r, file, off := p.Range, p.file, p.off // p may be part of another one by now, and is going to be divided
	from := v.offsetOf(r.Start)
	pages := slices.DeleteFunc(obj.Code().Within(from, uint64(r.Len())), func(c *memmap.CodePage) bool {
		own := off + (c.Offset - from)
		if fits(c, file, memmap.Range{Start: own, End: own + usermem.PageSize}) {
			return false
		}
		m.file.DecRef(c.Frame)
		return true
	})
	if len(pages) == 0 {
		return
	}
	if !adopt(as, pages, r.Start-usermem.Addr(from)) {
		for _, c := range pages {
			m.file.DecRef(c.Frame)
		}
		return
	}
	m.adopted = true
	for _, c := range pages {
		at := r.Start + usermem.Addr(c.Offset-from)
		page := usermem.Range{Start: at, End: at + usermem.PageSize}
		m.dropPagesQuietly(page)
		q := &pma{Range: page, file: m.file, off: c.Frame.Start, prot: v.prot, private: true, cow: true}
		m.hostFill(q)
		m.addPMA(q)
	}
}

// fits reports whether c was made from what the file has at r.
func fits(c *memmap.CodePage, file memmap.File, r memmap.Range) bool {
	buf := codeBufs.Get().(*[usermem.PageSize]byte)
	defer codeBufs.Put(buf)
	return readPages(file, r, buf[:]) && bytes.Equal(buf[:], c.Original)
}

// adopt tells the platform of the sites of pages, which are going to be mapped shift above their offsets, modulo 2^64.
func adopt(as platform.Patcher, pages []*memmap.CodePage, shift usermem.Addr) bool {
	var sites []platform.KnownSite
	var ends []uintptr
	for _, c := range pages {
		for i := range c.Sites {
			sites, ends = append(sites, c.Sites[i].KnownSite), append(ends, uintptr(shift)+uintptr(c.Sites[i].End))
		}
	}
	return as.Adopt(sites, ends)
}
