package pgalloc

import (
	"testing"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// TestPresent follows pages from nothing to nothing.
func TestPresent(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	f.Spare(1 << 20) // so that what is freed is given back
	const pages = 200
	r, err := f.Allocate(pages*usermem.PageSize, usermem.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if f.Present(r) || f.Probe(r) {
		t.Error("pages that nobody has touched are taken to be present")
	}
	b := f.Bytes(r)
	for i := range pages - 1 {
		b[i*usermem.PageSize] = 1
	}
	if f.Probe(r) {
		t.Error("a page that nobody has touched is taken to be present")
	}
	b[(pages-1)*usermem.PageSize] = 1
	if !f.Probe(r) || !f.Present(r) {
		t.Error("pages are not seen to be present")
	}
	if f.Present(memmap.Range{Start: r.Start, End: r.End + usermem.PageSize}) {
		t.Error("the page behind them is taken to be present")
	}
	for range hideAfter/int(r.Len()) + 1 {
		f.Brought(r) // what is there stays
	}
	if b[0] != 1 || !f.Present(r) || !f.Probe(r) {
		t.Error("pages were lost")
	}
	f.DecRef(r)
	if f.Present(r) || f.Probe(r) {
		t.Error("pages that were given back are taken to be present")
	}
}
