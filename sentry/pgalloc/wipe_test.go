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
	if _, ok := f.Wipe(inner, 1); ok {
		t.Error("two pages have data, one was allowed")
	}
	if n, ok := f.Wipe(inner, 2); n != 2 || !ok {
		t.Errorf("%d pages, %v; want 2 of the range alone", n, ok)
	}
	for p, want := range map[int]byte{0: 1, 3: 0, 4: 0, 31: 1} {
		if got := b[p*page+7]; got != want {
			t.Errorf("page %d holds %d, want %d", p, got, want)
		}
	}
	if n, ok := f.Wipe(memmap.Range{Start: all.Start + 5*page, End: all.Start + 9*page}, 0); n != 0 || !ok {
		t.Errorf("no data there: %d pages, %v", n, ok)
	}
}
