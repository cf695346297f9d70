// Package ring is the byte ring that pipes and stream sockets keep their data
// in. It does no locking: its owner does.
package ring

// first is the size in bytes a ring starts with; it grows as it fills, so
// that a thousand idle ones cost little.
const first = 4096

// Buffer is a ring of bytes between two absolute positions. The zero Buffer
// is empty. The owner moves R and W: it fills At(W, n) after Reserve(n) and
// adds to W; it takes from At(R, n) and adds to R.
type Buffer struct {
	b []byte // length is a power of two or zero
	// R is the position of the next byte to read, W of the next to write.
	R, W uint64
}

// Len returns the number of bytes in the ring.
func (r *Buffer) Len() uint64 { return r.W - r.R }

// Reserve makes room for n more bytes.
func (r *Buffer) Reserve(n uint64) {
	need := r.Len() + n
	if need <= uint64(len(r.b)) {
		return
	}
	size := max(uint64(len(r.b)), first)
	for size < need {
		size *= 2
	}
	r.resize(size)
}

// Shrink gives memory back until the ring takes at most n bytes, a power of
// two, or what it holds.
func (r *Buffer) Shrink(n uint64) {
	if uint64(len(r.b)) > n && r.Len() <= n {
		r.resize(n)
	}
}

// Reset empties the ring and frees its memory.
func (r *Buffer) Reset() { *r = Buffer{} }

func (r *Buffer) resize(n uint64) {
	b := make([]byte, n)
	for pos := r.R; pos < r.W; {
		pos += uint64(copy(b[pos&(n-1):], r.At(pos, r.W-pos)))
	}
	r.b = b
}

// At returns the contiguous bytes from pos on, at most n; the owner keeps
// [pos, pos+n) within what is held or reserved.
func (r *Buffer) At(pos, n uint64) []byte {
	off := pos & uint64(len(r.b)-1)
	return r.b[off:min(off+n, uint64(len(r.b)))]
}
