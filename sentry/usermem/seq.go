package usermem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Seq is a scatter list: where a read puts its bytes or a write finds them.
// It is a value; methods do not change it. The common single range needs no
// allocation.
type Seq struct {
	IO    IO
	first Range
	rest  []Range
}

// NewSeq returns the Seq of one range.
func NewSeq(io IO, addr Addr, n int) Seq {
	return Seq{IO: io, first: Range{addr, addr + Addr(n)}}
}

// NewSeqRanges returns the Seq of several ranges (an iovec). The Seq keeps rs.
func NewSeqRanges(io IO, rs []Range) Seq {
	if len(rs) == 0 {
		return Seq{IO: io}
	}
	return Seq{IO: io, first: rs[0], rest: rs[1:]}
}

// BytesSeq returns a Seq over the Sentry's own memory b.
func BytesSeq(b []byte) Seq {
	return NewSeq(bytesIO(b), 0, len(b))
}

// Len returns the number of bytes in s.
func (s Seq) Len() int {
	n := s.first.Len()
	for _, r := range s.rest {
		n += r.Len()
	}
	return n
}

// Drop returns s without its first n bytes.
func (s Seq) Drop(n int) Seq {
	for {
		if l := s.first.Len(); n < l {
			s.first.Start += Addr(n)
			return s
		} else {
			n -= l
		}
		if len(s.rest) == 0 {
			s.first = Range{}
			return s
		}
		s.first, s.rest = s.rest[0], s.rest[1:]
	}
}

// Take returns the first n bytes of s.
func (s Seq) Take(n int) Seq {
	if l := s.first.Len(); n <= l {
		s.first.End = s.first.Start + Addr(n)
		s.rest = nil
		return s
	} else {
		n -= l
	}
	for i, r := range s.rest {
		if n <= r.Len() {
			rest := append([]Range(nil), s.rest[:i+1]...)
			rest[i].End = r.Start + Addr(n)
			s.rest = rest
			return s
		}
		n -= r.Len()
	}
	return s
}

// each calls f for every non-empty range until one is not done whole.
func (s Seq) each(f func(r Range) (int, error)) (int, error) {
	total := 0
	for i := -1; i < len(s.rest); i++ {
		r := s.first
		if i >= 0 {
			r = s.rest[i]
		}
		if r.Len() == 0 {
			continue
		}
		n, err := f(r)
		total += n
		if err != nil || n < r.Len() {
			return total, err
		}
	}
	return total, nil
}

// CopyOut copies p into the memory s names. It returns the count copied, and
// an error only if memory was not accessible; a p longer than s is cut.
func (s Seq) CopyOut(p []byte) (int, error) {
	if len(s.rest) == 0 {
		p = p[:min(len(p), s.first.Len())]
		if len(p) == 0 {
			return 0, nil
		}
		return s.IO.CopyOut(s.first.Start, p)
	}
	return s.each(func(r Range) (int, error) {
		q := p[:min(len(p), r.Len())]
		p = p[len(q):]
		if len(q) == 0 {
			return 0, nil
		}
		return s.IO.CopyOut(r.Start, q)
	})
}

// CopyIn copies from the memory s names into p, likewise.
func (s Seq) CopyIn(p []byte) (int, error) {
	if len(s.rest) == 0 {
		p = p[:min(len(p), s.first.Len())]
		if len(p) == 0 {
			return 0, nil
		}
		return s.IO.CopyIn(s.first.Start, p)
	}
	return s.each(func(r Range) (int, error) {
		q := p[:min(len(p), r.Len())]
		p = p[len(q):]
		if len(q) == 0 {
			return 0, nil
		}
		return s.IO.CopyIn(r.Start, q)
	})
}

// Zero clears all of s.
func (s Seq) Zero() (int, error) {
	return s.each(func(r Range) (int, error) { return s.IO.Zero(r.Start, r.Len()) })
}

// Blocks calls f range by range with the Sentry's view of s; at says what f
// does to the memory. It stops at the first short count. See IO.Blocks for
// what f may do.
func (s Seq) Blocks(at Access, f func(bs []Block) (int, error)) (int, error) {
	return s.each(func(r Range) (int, error) { return s.IO.Blocks(r.Start, r.Len(), at, f) })
}

// bytesIO is an IO over the Sentry's own memory, addressed from 0.
type bytesIO []byte

func (b bytesIO) part(addr Addr, n int) ([]byte, error) {
	if addr > Addr(len(b)) || n > len(b)-int(addr) {
		return nil, unix.EFAULT
	}
	return b[addr : int(addr)+n], nil
}

func (b bytesIO) CopyIn(addr Addr, dst []byte) (int, error) {
	p, err := b.part(addr, len(dst))
	return copy(dst, p), err
}

func (b bytesIO) CopyOut(addr Addr, src []byte) (int, error) {
	p, err := b.part(addr, len(src))
	return copy(p, src), err
}

func (b bytesIO) Zero(addr Addr, n int) (int, error) {
	p, err := b.part(addr, n)
	clear(p)
	return len(p), err
}

func (b bytesIO) Blocks(addr Addr, n int, _ Access, f func([]Block) (int, error)) (int, error) {
	p, err := b.part(addr, n)
	if err != nil || len(p) == 0 {
		return 0, err
	}
	return f([]Block{{Ptr: unsafe.Pointer(&p[0]), Len: len(p)}})
}
