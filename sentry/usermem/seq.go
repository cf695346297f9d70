package usermem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Seq is where a read puts its bytes or a write finds them: a run of addresses
// of an IO, which may be several of another (NewSeqRanges). It is a value;
// methods do not change it. It is small, so that it is passed in registers: what
// is passed in memory is read in other widths than it was written in, which
// costs the processor as much as an atomic operation.
type Seq struct {
	io   IO
	addr Addr
	n    int
}

// NewSeq returns the Seq of one range.
func NewSeq(io IO, addr Addr, n int) Seq { return Seq{io, addr, n} }

// NewSeqRanges returns the Seq of several ranges (an iovec). It does not keep rs.
func NewSeqRanges(io IO, rs []Range) Seq {
	used, last := 0, Range{}
	for _, r := range rs {
		if r.Len() > 0 {
			used, last = used+1, r
		}
	}
	if used <= 1 {
		return Seq{io, last.Start, last.Len()}
	}
	list := &scattered{io: io}
	list.rs = list.few[:0]
	n := 0
	for _, r := range rs {
		if r.Len() > 0 {
			list.rs = append(list.rs, r)
			n += r.Len()
		}
	}
	return Seq{list, 0, n}
}

// BytesSeq returns a Seq over the Sentry's own memory b.
func BytesSeq(b []byte) Seq { return NewSeq(BytesIO(b), 0, len(b)) }

// In returns the Seq of the same ranges of another memory.
func (s Seq) In(io IO) Seq {
	if l, ok := s.io.(*scattered); ok {
		s.io = &scattered{io: io, rs: l.rs}
	} else {
		s.io = io
	}
	return s
}

// Len returns the number of bytes in s.
func (s Seq) Len() int { return s.n }

// Drop returns s without its first n bytes.
func (s Seq) Drop(n int) Seq {
	n = min(n, s.n)
	return Seq{s.io, s.addr + Addr(n), s.n - n}
}

// Take returns the first n bytes of s.
func (s Seq) Take(n int) Seq { return Seq{s.io, s.addr, min(n, s.n)} }

// CopyOut copies p into the memory s names. It returns the count copied, and
// an error only if memory was not accessible; a p longer than s is cut.
func (s Seq) CopyOut(p []byte) (int, error) {
	if p = p[:min(len(p), s.n)]; len(p) == 0 {
		return 0, nil
	}
	return s.io.CopyOut(s.addr, p)
}

// CopyIn copies from the memory s names into p, likewise.
func (s Seq) CopyIn(p []byte) (int, error) {
	if p = p[:min(len(p), s.n)]; len(p) == 0 {
		return 0, nil
	}
	return s.io.CopyIn(s.addr, p)
}

// Zero clears all of s.
func (s Seq) Zero() (int, error) {
	if s.n == 0 {
		return 0, nil
	}
	return s.io.Zero(s.addr, s.n)
}

// Blocks calls f range by range with the Sentry's view of s; at says what f
// does to the memory. It stops at the first short count. See IO.Blocks for
// what f may do.
func (s Seq) Blocks(at Access, f func(bs []Block) (int, error)) (int, error) {
	if s.n == 0 {
		return 0, nil
	}
	return s.io.Blocks(s.addr, s.n, at, f)
}

// scattered is an IO over ranges of another, one behind the other from address 0.
type scattered struct {
	io  IO
	rs  []Range // none empty
	few [4]Range
}

// each calls f for every range in [addr, addr+n) until one is not done whole.
func (l *scattered) each(addr Addr, n int, f func(r Range) (int, error)) (int, error) {
	total := 0
	for _, r := range l.rs {
		if total == n {
			break
		}
		if skip := Addr(r.Len()); addr >= skip {
			addr -= skip
			continue
		}
		r.Start += addr
		addr = 0
		r.End = min(r.End, r.Start+Addr(n-total))
		k, err := f(r)
		total += k
		if err != nil || k < r.Len() {
			return total, err
		}
	}
	return total, nil
}

func (l *scattered) CopyIn(addr Addr, dst []byte) (int, error) {
	return l.each(addr, len(dst), func(r Range) (int, error) {
		p := dst[:r.Len()]
		dst = dst[len(p):]
		return l.io.CopyIn(r.Start, p)
	})
}

func (l *scattered) CopyOut(addr Addr, src []byte) (int, error) {
	return l.each(addr, len(src), func(r Range) (int, error) {
		p := src[:r.Len()]
		src = src[len(p):]
		return l.io.CopyOut(r.Start, p)
	})
}

func (l *scattered) Zero(addr Addr, n int) (int, error) {
	return l.each(addr, n, func(r Range) (int, error) { return l.io.Zero(r.Start, r.Len()) })
}

func (l *scattered) Blocks(addr Addr, n int, at Access, f func([]Block) (int, error)) (int, error) {
	return l.each(addr, n, func(r Range) (int, error) { return l.io.Blocks(r.Start, r.Len(), at, f) })
}

// BytesIO is an IO over the Sentry's own memory, addressed from 0.
type BytesIO []byte

func (b BytesIO) part(addr Addr, n int) ([]byte, error) {
	if addr > Addr(len(b)) || n > len(b)-int(addr) {
		return nil, unix.EFAULT
	}
	return b[addr : int(addr)+n], nil
}

func (b BytesIO) CopyIn(addr Addr, dst []byte) (int, error) {
	p, err := b.part(addr, len(dst))
	return copy(dst, p), err
}

func (b BytesIO) CopyOut(addr Addr, src []byte) (int, error) {
	p, err := b.part(addr, len(src))
	return copy(p, src), err
}

func (b BytesIO) Zero(addr Addr, n int) (int, error) {
	p, err := b.part(addr, n)
	clear(p)
	return len(p), err
}

func (b BytesIO) Blocks(addr Addr, n int, _ Access, f func([]Block) (int, error)) (int, error) {
	p, err := b.part(addr, n)
	if err != nil || len(p) == 0 {
		return 0, err
	}
	return f([]Block{{Ptr: unsafe.Pointer(&p[0]), Len: len(p)}})
}
