package mm

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/safecopy"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

func blockBytes(b usermem.Block) []byte { return unsafe.Slice((*byte)(b.Ptr), b.Len) }

// view returns the Sentry's view of a start of r for the access. m.mu is held
// for reading; ok is false if pages have to be made ready first.
func (m *MemoryManager) view(r usermem.Range, at usermem.Access, force bool) (b usermem.Block, ok bool) {
	p, found := m.pmas.at(r.Start)
	if !found || !force && !p.allows(at) || at.Write && p.cow {
		return b, false
	}
	part := p.Intersect(r)
	off := p.off + uint64(part.Start-p.Start)
	fr := memmap.Range{Start: off, End: off + uint64(part.Len())}
	if at.Write && part.Len() >= usermem.PageSize && m.limited() && !m.resident(p, fr) {
		return b, false
	}
	b, err := p.file.Internal(fr, at)
	return b, err == nil
}

// ready makes the page at a ready for the access, as a fault would. n is how many bytes are to be accessed in all.
func (m *MemoryManager) ready(a usermem.Addr, n uint64, at usermem.Access, force bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.vmaFor(a, 64<<20)
	if err != nil {
		return unix.EFAULT
	}
	if !force && (!v.permits(at) || v.prot == 0) {
		return unix.EFAULT
	}
	if force && at.Write && v.shared && !v.permits(at) {
		return unix.EFAULT
	}
	p, err := m.pageFor(v, a, at)
	if err != nil {
		return unix.EFAULT
	}
	if force && at.Write && p.cow {
		return unix.EFAULT
	}
	if at.Write && n >= usermem.PageSize && m.limited() {
		return m.bring(p, a, n)
	}
	return nil
}

// access calls f with block after block of [addr, addr+n).
func (m *MemoryManager) access(addr usermem.Addr, n int, at usermem.Access, force bool, f func(b usermem.Block) (int, error)) (int, error) {
	end, ok := addr.AddLength(uint64(n))
	if !ok || n < 0 || end > m.layout.Max {
		return 0, unix.EFAULT
	}
	done := 0
	faulted := usermem.Addr(0)
	for done < n {
		a := addr + usermem.Addr(done)
		m.mu.RLock()
		b, ok := m.view(usermem.Range{Start: a, End: end}, at, force)
		if !ok {
			m.mu.RUnlock()
			if faulted == a+1 {
				return done, unix.EFAULT
			}
			faulted = a + 1
			if err := m.ready(a, uint64(end-a), at, force); err != nil {
				return done, err
			}
			continue
		}
		got, err := f(b)
		m.mu.RUnlock()
		done += got
		if err != nil {
			return done, err
		}
		if got < b.Len {
			return done, nil
		}
	}
	return done, nil
}

// CopyIn implements usermem.IO.
func (m *MemoryManager) CopyIn(addr usermem.Addr, dst []byte) (int, error) {
	return m.copyIn(addr, dst, false)
}

func (m *MemoryManager) copyIn(addr usermem.Addr, dst []byte, force bool) (int, error) {
	n := 0
	return m.access(addr, len(dst), usermem.Read, force, func(b usermem.Block) (int, error) {
		got, err := copyFrom(dst[n:], b)
		n += got
		return got, err
	})
}

// CopyOut implements usermem.IO.
func (m *MemoryManager) CopyOut(addr usermem.Addr, src []byte) (int, error) {
	return m.copyOut(addr, src, false)
}

func (m *MemoryManager) copyOut(addr usermem.Addr, src []byte, force bool) (int, error) {
	n := 0
	return m.access(addr, len(src), usermem.Write, force, func(b usermem.Block) (int, error) {
		got, err := copyTo(b, src[n:])
		n += got
		return got, err
	})
}

// copyFrom fills dst from b, as far as the shorter goes.
func copyFrom(dst []byte, b usermem.Block) (int, error) {
	dst = dst[:min(len(dst), b.Len)]
	if !b.Unsafe {
		return copy(dst, blockBytes(b)), nil
	}
	n, err := safecopy.CopyIn(dst, b.Ptr)
	if err != nil {
		err = unix.EFAULT
	}
	return n, err
}

// copyTo fills b from src, likewise.
func copyTo(b usermem.Block, src []byte) (int, error) {
	src = src[:min(len(src), b.Len)]
	if !b.Unsafe {
		return copy(blockBytes(b), src), nil
	}
	n, err := safecopy.CopyOut(b.Ptr, src)
	if err != nil {
		err = unix.EFAULT
	}
	return n, err
}

// Zero implements usermem.IO.
func (m *MemoryManager) Zero(addr usermem.Addr, n int) (int, error) {
	return m.access(addr, n, usermem.Write, false, func(b usermem.Block) (int, error) {
		if !b.Unsafe {
			clear(blockBytes(b))
			return b.Len, nil
		}
		got, err := safecopy.ZeroOut(b.Ptr, uintptr(b.Len))
		if err != nil {
			err = unix.EFAULT
		}
		return int(got), err
	})
}

// rooms are pooled because what a function is given escapes.
var rooms = sync.Pool{New: func() any { return new([8]usermem.Block) }}

// Blocks implements usermem.IO. The pages stay in place while f runs because
// m.mu is held for reading.
func (m *MemoryManager) Blocks(addr usermem.Addr, n int, at usermem.Access, f func([]usermem.Block) (int, error)) (int, error) {
	end, ok := addr.AddLength(uint64(n))
	if !ok || n < 0 || end > m.layout.Max {
		return 0, unix.EFAULT
	}
	room := rooms.Get().(*[8]usermem.Block)
	defer rooms.Put(room)
	for attempt := usermem.Addr(0); ; {
		blocks := room[:0]
		m.mu.RLock()
		a := addr
		for a < end && len(blocks) < 64 {
			b, ok := m.view(usermem.Range{Start: a, End: end}, at, false)
			if !ok {
				break
			}
			blocks = append(blocks, b)
			a += usermem.Addr(b.Len)
		}
		if a >= end || len(blocks) == 64 || attempt == a+1 && len(blocks) > 0 {
			got, err := f(blocks)
			m.mu.RUnlock()
			return got, err
		}
		m.mu.RUnlock()
		if attempt == a+1 {
			return 0, unix.EFAULT
		}
		if err := m.ready(a, uint64(end-a), at, false); err != nil {
			if a == addr {
				return 0, err
			}
			// What comes before the hole can still be used.
			end = a
		}
		attempt = a + 1
	}
}

// CopyInForce and CopyOutForce access memory whatever its protection, as
// ptrace(2) and /proc/PID/mem do; a write to a private read-only page copies it.
func (m *MemoryManager) CopyInForce(addr usermem.Addr, dst []byte) (int, error) {
	return m.copyIn(addr, dst, true)
}

// CopyOutForce is the writing counterpart of CopyInForce.
func (m *MemoryManager) CopyOutForce(addr usermem.Addr, src []byte) (int, error) {
	return m.copyOut(addr, src, true)
}

// Load32 reads the aligned word at addr atomically.
func (m *MemoryManager) Load32(addr usermem.Addr) (v uint32, err error) {
	if addr&3 != 0 {
		return 0, unix.EINVAL
	}
	_, err = m.access(addr, 4, usermem.Read, false, func(b usermem.Block) (int, error) {
		var err error
		if v, err = safecopy.LoadUint32(b.Ptr); err != nil {
			return 0, unix.EFAULT
		}
		return 4, nil
	})
	return v, err
}

// CompareAndSwap32 replaces old by new at addr atomically and returns what was there.
func (m *MemoryManager) CompareAndSwap32(addr usermem.Addr, old, new uint32) (was uint32, err error) {
	if addr&3 != 0 {
		return 0, unix.EINVAL
	}
	_, err = m.access(addr, 4, usermem.Write, false, func(b usermem.Block) (int, error) {
		var err error
		if was, err = safecopy.CompareAndSwapUint32(b.Ptr, old, new); err != nil {
			return 0, unix.EFAULT
		}
		return 4, nil
	})
	return was, err
}

// Swap32 stores new at addr atomically and returns what was there.
func (m *MemoryManager) Swap32(addr usermem.Addr, new uint32) (was uint32, err error) {
	if addr&3 != 0 {
		return 0, unix.EINVAL
	}
	_, err = m.access(addr, 4, usermem.Write, false, func(b usermem.Block) (int, error) {
		var err error
		if was, err = safecopy.SwapUint32(b.Ptr, new); err != nil {
			return 0, unix.EFAULT
		}
		return 4, nil
	})
	return was, err
}
