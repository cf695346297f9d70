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
	all, _, err := f.AllocateTold(32*page, page, false)
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

// TestAllocateTold frees a run of which a part is there and asks for it again.
func TestAllocateTold(t *testing.T) {
	const page = usermem.PageSize
	for touched, want := range map[uint64]uint64{0: 0, 1: 1, 5: 5, 8: 8} {
		f, err := New()
		if err != nil {
			t.Fatal(err)
		}
		r, there, err := f.AllocateTold(8*page, page, false)
		if err != nil || there != 0 {
			t.Fatalf("fresh memory: %d bytes are there, error %v", there, err)
		}
		for p := range touched {
			f.Bytes(r)[p*page+9] = 1
		}
		f.DecRef(r)
		again, there, err := f.AllocateTold(8*page, page, false)
		if err != nil || again != r || there != want*page {
			t.Errorf("%d of 8 pages touched: %v again is %v, %d pages are there, error %v", touched, r, again, there/page, err)
		}
		for p := range touched {
			if f.Bytes(again)[p*page+9] != 0 {
				t.Errorf("page %d of %d is not clear", p, touched)
			}
		}
	}
}

// TestAllocateDirty has the pages of a run that was freed as they were, and only for who asks for that.
func TestAllocateDirty(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	const n = 3 * usermem.PageSize
	r, err := f.Allocate(n, usermem.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, dirty := range []bool{true, false} {
		f.Bytes(r)[n-1] = 7
		f.DecRef(r)
		allocate := f.Allocate
		if dirty {
			allocate = func(n, align uint64) (memmap.Range, error) { return f.AllocateDirty(n, align, false) }
		}
		again, err := allocate(n, usermem.PageSize)
		if err != nil || again != r {
			t.Fatalf("%v again is %v, error %v", r, again, err)
		}
		if got := f.Bytes(r)[n-1]; (got == 7) != dirty {
			t.Errorf("dirty %v: the last byte is %d", dirty, got)
		}
	}
}

func TestMerged(t *testing.T) {
	got := merged([]run{{30, 40}, {0, 10}, {10, 20}, {50, 60}, {40, 50}})
	if len(got) != 2 || got[0] != (run{0, 20}) || got[1] != (run{30, 60}) {
		t.Errorf("got %v", got)
	}
}
