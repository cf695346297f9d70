package usermem

import (
	"bytes"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func ranges(at ...Addr) (rs []Range) {
	for i := 0; i < len(at); i += 2 {
		rs = append(rs, Range{at[i], at[i+1]})
	}
	return rs
}

// TestSeqRanges copies to and from every part of several ranges, as one of a
// buffer that holds the same bytes in a row.
func TestSeqRanges(t *testing.T) {
	for _, rs := range [][]Range{
		nil,
		ranges(5, 5),
		ranges(3, 9),
		ranges(4, 4, 3, 9, 7, 7),
		ranges(0, 3, 10, 11, 11, 11, 5, 9),
		ranges(20, 21, 0, 2, 4, 6, 8, 8, 10, 13, 3, 4, 15, 19),
	} {
		mem := []byte("abcdefghijklmnopqrstuvwxyz")
		var row []byte
		for _, r := range rs {
			row = append(row, mem[r.Start:r.End]...)
		}
		s := NewSeqRanges(BytesIO(mem), rs)
		if s.Len() != len(row) {
			t.Fatalf("%v: length %d, not %d", rs, s.Len(), len(row))
		}
		for i := 0; i <= len(row)+1; i++ {
			for n := 0; n <= len(row)+1; n++ {
				want := row[min(i, len(row)):min(i+n, len(row))]
				part, got := s.Drop(i).Take(n), make([]byte, 30)
				if k, err := part.CopyIn(got); k != len(want) || err != nil || !bytes.Equal(got[:k], want) {
					t.Fatalf("%v from %d, %d bytes: %q, %v; want %q", rs, i, n, got[:k], err, want)
				}
				var seen []byte
				k, err := part.Blocks(Read, func(bs []Block) (int, error) {
					seen = append(seen, unsafe.Slice((*byte)(bs[0].Ptr), bs[0].Len)...)
					return bs[0].Len, nil
				})
				if k != len(want) || err != nil || !bytes.Equal(seen, want) {
					t.Fatalf("%v from %d, %d bytes: blocks %q, %v; want %q", rs, i, n, seen, err, want)
				}
				upper := bytes.ToUpper(want)
				if k, err := part.CopyOut(append(upper, '!')); k != min(len(want), n) || err != nil {
					t.Fatalf("%v from %d, %d bytes out: %d, %v", rs, i, n, k, err)
				}
				if _, err := s.CopyIn(got); err != nil || string(got[:len(row)]) != string(row[:min(i, len(row))])+string(upper)+string(row[min(i+n, len(row)):]) {
					t.Fatalf("%v from %d, %d bytes out: %q, %v", rs, i, n, got[:len(row)], err)
				}
				_, _ = part.CopyOut(want)
			}
		}
		if k, err := s.Drop(1).Zero(); k != max(0, len(row)-1) || err != nil || len(row) > 1 && bytes.Count(mem, []byte{0}) != k {
			t.Fatalf("%v: %d bytes cleared, %v, in %q", rs, k, err, mem)
		}
	}
}

// TestSeqFault stops where memory ends, with what was copied before.
func TestSeqFault(t *testing.T) {
	mem := []byte("abcdef")
	s := NewSeqRanges(BytesIO(mem), ranges(1, 3, 4, 9, 0, 1))
	got := make([]byte, 8)
	if n, err := s.CopyIn(got); n != 2 || err != unix.EFAULT || string(got[:n]) != "bc" {
		t.Errorf("%d, %v, %q", n, err, got)
	}
	if n, err := s.Take(4).CopyIn(got); n != 4 || err != nil || string(got[:n]) != "bcef" {
		t.Errorf("%d, %v, %q", n, err, got)
	}
	other := []byte("ABCDEFGHIJ")
	if n, err := s.In(BytesIO(other)).CopyIn(got); n != 8 || err != nil || string(got) != "BCEFGHIA" {
		t.Errorf("%d, %v, %q", n, err, got)
	}
}
