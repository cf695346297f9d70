package usermem

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Addr is an address of the application.
type Addr uintptr

// The page size of x86-64.
const (
	PageShift = 12
	PageSize  = 1 << PageShift
	PageMask  = PageSize - 1
)

// RoundDown returns a rounded down to a page.
func (a Addr) RoundDown() Addr { return a &^ PageMask }

// RoundUp returns a rounded up to a page; ok is false if that overflows.
func (a Addr) RoundUp() (Addr, bool) {
	up := (a + PageMask) &^ PageMask
	return up, up >= a
}

// PageOffset returns the offset of a within its page.
func (a Addr) PageOffset() int { return int(a & PageMask) }

// AddLength returns a+n; ok is false if that overflows.
func (a Addr) AddLength(n uint64) (Addr, bool) {
	end := a + Addr(n)
	return end, end >= a
}

// Range is [Start, End) of application memory.
type Range struct{ Start, End Addr }

// Len returns the length of r in bytes.
func (r Range) Len() int { return int(r.End - r.Start) }

// Contains reports whether a lies in r.
func (r Range) Contains(a Addr) bool { return r.Start <= a && a < r.End }

// Overlaps reports whether r and s share a byte.
func (r Range) Overlaps(s Range) bool { return r.Start < s.End && s.Start < r.End }

// Intersect returns the common part of r and s (empty if none).
func (r Range) Intersect(s Range) Range {
	if s.Start > r.Start {
		r.Start = s.Start
	}
	if s.End < r.End {
		r.End = s.End
	}
	if r.End < r.Start {
		r.End = r.Start
	}
	return r
}

// Access says what is done to memory.
type Access struct{ Read, Write, Exec bool }

// Common accesses.
var (
	Read    = Access{Read: true}
	Write   = Access{Write: true}
	Execute = Access{Exec: true}
)

// Block is a piece of application memory as the Sentry sees it. It lives only
// as long as the callback it was handed to.
type Block struct {
	Ptr unsafe.Pointer
	Len int
	// Unsafe is set if touching the block may fault (a host file that can be
	// truncated under its mapping): use a host system call or safecopy.
	Unsafe bool
}

// IO is access to one application memory. Implementations keep neither dst nor
// src beyond the call: the functions below pass them pointers into the stack
// without the compiler knowing.
type IO interface {
	// CopyIn copies len(dst) bytes from the application. It returns how much
	// was copied and EFAULT if that is not all.
	CopyIn(addr Addr, dst []byte) (int, error)
	// CopyOut copies src to the application, likewise.
	CopyOut(addr Addr, src []byte) (int, error)
	// Zero clears n bytes, likewise.
	Zero(addr Addr, n int) (int, error)
	// Blocks calls f with the Sentry's view of [addr, addr+n), or of as long a
	// start of it as is accessible (EFAULT if nothing is). f returns how many
	// bytes it handled. f must not block, allocate application memory or touch
	// the same IO: its memory is locked in place.
	Blocks(addr Addr, n int, at Access, f func(bs []Block) (int, error)) (int, error)
}

// CopyInVal copies a value of a type without pointers in from addr.
func CopyInVal[T any](io IO, addr Addr) (T, error) {
	var v T
	_, err := io.CopyIn(addr, hide(BytesOf(&v)))
	return v, err
}

// CopyOutVal copies a value of a type without pointers out to addr.
func CopyOutVal[T any](io IO, addr Addr, v *T) error {
	_, err := io.CopyOut(addr, hide(BytesOf(v)))
	return err
}

// CopyInSlice fills dst, a slice of a type without pointers, from addr.
func CopyInSlice[T any](io IO, addr Addr, dst []T) error {
	_, err := io.CopyIn(addr, hide(BytesOfSlice(dst)))
	return err
}

// CopyOutSlice copies src, a slice of a type without pointers, to addr.
func CopyOutSlice[T any](io IO, addr Addr, src []T) error {
	_, err := io.CopyOut(addr, hide(BytesOfSlice(src)))
	return err
}

// hide returns b without the compiler seeing that it is b, which then need not be
// on the heap for fear that an IO keeps it (see IO). Nothing that could move the
// stack happens while its address is a mere number.
func hide(b []byte) []byte {
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), len(b))
}

// BytesOf returns the memory of *v, which must hold no pointers.
func BytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// BytesOfSlice returns the memory of s, whose elements must hold no pointers.
func BytesOfSlice[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

// CopyInString copies a NUL-terminated string of at most max bytes, without
// its NUL. It returns ENAMETOOLONG if there is no NUL within max bytes.
func CopyInString(io IO, addr Addr, max int) (string, error) {
	var stack [256]byte
	var out []byte
	for done := 0; done < max; {
		n := min(len(stack), max-done, PageSize-addr.PageOffset())
		got, err := io.CopyIn(addr, hide(stack[:n]))
		if i := bytes.IndexByte(stack[:got], 0); i >= 0 {
			if out == nil {
				return string(stack[:i]), nil // one allocation, and the usual case
			}
			return string(append(out, stack[:i]...)), nil
		}
		if err != nil {
			return "", err
		}
		out = append(out, stack[:n]...)
		done += n
		addr += Addr(n)
	}
	return "", unix.ENAMETOOLONG
}
