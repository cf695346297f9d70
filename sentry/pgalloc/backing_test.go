package pgalloc

import (
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
)

// taken returns how much memory the host has found for f, in bytes.
func taken(t *testing.T, f *File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.rw.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Blocks) * 512
}

// TestDense looks how much memory is found for what is asked for, and what is in it.
func TestDense(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if f.size == FileSize && unix.Geteuid() != 0 {
		t.Skip("to mount a tmpfs takes root, or a user namespace as the Sentry has")
	}
	if f.size == FileSize {
		t.Fatal("the memory file has no folios: no tmpfs of its own could be made")
	}
	const page = usermem.PageSize
	const small, large = 3 * page, 1 << 20
	r, there, err := f.AllocateTold(small, page, true)
	if err != nil || there != 0 {
		t.Fatalf("%d bytes are there, error %v", there, err)
	}
	if got := taken(t, f); got != folioBytes {
		t.Errorf("%d bytes were found for %d, want %d", got, small, folioBytes)
	}
	f.Bytes(r)[small-1] = 1
	next, err := f.AllocateDirty(large, page, true)
	if err != nil || next.Start != r.End {
		t.Fatalf("%v follows %v, error %v", next, r, err)
	}
	if got := taken(t, f); got < small+large || got > small+large+2*folioBytes {
		t.Errorf("%d bytes were found for %d", got, small+large)
	}
	for i, b := range f.Bytes(next) {
		if b != 0 {
			t.Fatalf("byte %d of new memory is %d", i, b)
		}
	}
	f.DecRef(next)
	if again, err := f.Allocate(large, page); err != nil || again != next {
		t.Errorf("%v again is %v, error %v", next, again, err)
	}
}

// TestSparse touches one page of a lot of memory: it is all that is found.
func TestSparse(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	const n = 16 << 20
	r, there, err := f.AllocateTold(n, usermem.PageSize, false)
	if err != nil || there != 0 {
		t.Fatalf("%d bytes are there, error %v", there, err)
	}
	f.Bytes(r)[n/2] = 1
	if got := taken(t, f); got != usermem.PageSize {
		t.Errorf("%d bytes were found for a page", got)
	}
	// A hole that is given back is none for a folio either.
	f.DecRef(r)
	if got := taken(t, f); got > usermem.PageSize {
		t.Errorf("%d bytes are left of what was freed", got)
	}
}

// TestGrow allocates with and without memory by turns until the file has grown often.
func TestGrow(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(200) {
		n := (i%37 + 1) * usermem.PageSize
		r, _, err := f.AllocateTold(n, usermem.PageSize, i%3 != 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.End > f.size {
			t.Fatalf("%v is beyond the end of the file, %d", r, f.size)
		}
		b := f.Bytes(r)
		b[0], b[n-1] = 1, 1
	}
}
