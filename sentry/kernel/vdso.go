package kernel

import (
	"unsafe"

	"ringfort/sentry/ktime"
	"ringfort/sentry/memmap"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vdso"
)

// vdsoPages are two pages of the memory file: the parameters of the clocks
// ("vvar"), which the Sentry keeps up to date, and the vDSO, which reads them.
// Both are there for as long as the sandbox. It implements memmap.Mappable.
type vdsoPages struct {
	f  *pgalloc.File
	at memmap.Range
}

func newVDSOPages(f *pgalloc.File) (*vdsoPages, error) {
	r, err := f.Allocate(2*usermem.PageSize, usermem.PageSize)
	if err != nil {
		return nil, err
	}
	copy(f.Bytes(r)[usermem.PageSize:], vdso.Image())
	return &vdsoPages{f, r}, nil
}

// params returns the first page as what it is.
func (p *vdsoPages) params() *ktime.Params {
	return (*ktime.Params)(unsafe.Pointer(unsafe.SliceData(p.f.Bytes(p.at))))
}

// Pages implements memmap.Mappable.
func (p *vdsoPages) Pages(off, n uint64, _ usermem.Access) (memmap.File, memmap.Range, error) {
	if off >= p.at.Len() {
		return nil, memmap.Range{}, memmap.ErrBeyondEnd
	}
	r := memmap.Range{Start: p.at.Start + off, End: p.at.Start + off + min(n, p.at.Len()-off)}
	p.f.IncRef(r)
	return p.f, r, nil
}

// AddMapping implements memmap.Mappable: the pages never change their place.
func (p *vdsoPages) AddMapping(memmap.Space, usermem.Range, uint64, bool) error { return nil }

// RemoveMapping implements memmap.Mappable.
func (p *vdsoPages) RemoveMapping(memmap.Space, usermem.Range, uint64, bool) {}

// Sync implements memmap.Mappable.
func (p *vdsoPages) Sync(_, _ uint64) error { return nil }

// VDSO returns what a loader maps into every program: the page of ktime.Params
// at offset 0 and the vDSO in the page behind it.
func (k *Kernel) VDSO() memmap.Mappable { return k.vdso }

// ClockPage returns where in the memory file the page of ktime.Params is, for a
// platform whose stubs tell the time themselves. They must map it read-only.
func (k *Kernel) ClockPage() memmap.Range {
	return memmap.Range{Start: k.vdso.at.Start, End: k.vdso.at.Start + usermem.PageSize}
}

// Clock returns where the clocks read the time.
func (k *Kernel) Clock() *ktime.Source { return k.clock }
