package pgalloc

import (
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// TestReuse frees runs of several sizes and asks for them again: each is to be had back, clear, and without pages where
// nobody has touched any.
func TestReuse(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	sizes := []uint64{1, 2, 17, 3, 2, 6, 13, 3, 40, 1}
	take := func() (list []memmap.Range) {
		for _, n := range sizes {
			r, _, err := f.AllocateTold(n*usermem.PageSize, usermem.PageSize, false)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range f.Bytes(r) {
				if b != 0 {
					t.Fatalf("byte %d of a run of %d pages is %d", i, n, b)
				}
				if uint64(i) >= usermem.PageSize*n/2 {
					break // the rest is not to be touched
				}
			}
			list = append(list, r)
		}
		return list
	}
	first := take()
	end := f.end
	for i, r := range first {
		b := f.Bytes(r)
		for p := uint64(0); p < sizes[i]; p += 3 {
			b[p*usermem.PageSize+uint64(i)] = 0xaa
		}
	}
	for round := range 5 {
		for _, r := range first {
			f.DecRef(r)
		}
		if f.dirtyBytes == 0 {
			t.Fatal("nothing is kept")
		}
		first = take()
		if f.end != end {
			t.Fatalf("round %d: new memory was taken though as much was free", round)
		}
	}
	r := first[8]
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil && info.Totalswap == 0 && f.Probe(memmap.Range{Start: r.Start + usermem.PageSize*38, End: r.End}) {
		t.Error("pages that nobody has touched have become present")
	}
	for _, r := range first {
		for i, b := range f.Bytes(r) {
			if b != 0 {
				t.Fatalf("byte %d is %d", i, b)
			}
		}
	}
}
