package pgalloc

import (
	"testing"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

func TestWipe(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	const page = usermem.PageSize
	all, err := f.Allocate(32*page, page)
	if err != nil {
		t.Fatal(err)
	}
	b := f.Bytes(all)
	for _, p := range []int{0, 3, 4, 31} {
		b[p*page+7] = 1
	}
	inner := memmap.Range{Start: all.Start + page, End: all.End - page}
	if f.Wipe(inner, 1) {
		t.Error("two pages are there, one was allowed")
	}
	b[3*page+7], b[4*page+7] = 1, 1
	if !f.Wipe(inner, 2) {
		t.Error("two pages are there and were allowed")
	}
	for p, want := range map[int]byte{0: 1, 3: 0, 4: 0, 31: 1} {
		if got := b[p*page+7]; got != want {
			t.Errorf("page %d holds %d, want %d", p, got, want)
		}
	}
	if !f.Wipe(memmap.Range{Start: all.Start + 5*page, End: all.Start + 9*page}, 0) {
		t.Error("no page is there, and none was allowed")
	}
}
