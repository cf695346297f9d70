package mm

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/usermem"
)

// SharedMemory is memory of a fixed size that several address spaces map: the
// object behind MAP_SHARED|MAP_ANONYMOUS and System V segments. It implements
// memmap.Mappable and frees its pages with its last mapping or holder.
type SharedMemory struct {
	pages *pgalloc.Object
	size  uint64
	name  string
	ino   uint64

	mu     sync.Mutex
	held   bool  // by its maker
	mapped int64 // bytes mapped, a page once for each mapping of it
}

// NewSharedMemory returns size bytes (rounded up to pages) of shared memory,
// held by the caller until Release.
func NewSharedMemory(f *pgalloc.File, size uint64, name string, ino uint64) *SharedMemory {
	up, _ := usermem.Addr(size).RoundUp()
	return &SharedMemory{pages: pgalloc.NewObject(f, nil), size: uint64(up), name: name, ino: ino, held: true}
}

// Release ends the hold of the maker.
func (s *SharedMemory) Release() {
	s.mu.Lock()
	s.held = false
	s.unlock()
}

// unlock releases s.mu, and the pages with it if nobody can reach them any more.
func (s *SharedMemory) unlock() {
	last := !s.held && s.mapped == 0
	s.mu.Unlock()
	if last {
		s.pages.Release()
	}
}

// Size returns the size in bytes, a multiple of the page size.
func (s *SharedMemory) Size() uint64 { return s.size }

// Used returns the bytes that have pages.
func (s *SharedMemory) Used() uint64 { return s.pages.Used() }

// Pages implements memmap.Mappable.
func (s *SharedMemory) Pages(off, n uint64, _ usermem.Access) (memmap.File, memmap.Range, error) {
	if off >= s.size {
		return nil, memmap.Range{}, memmap.ErrBeyondEnd
	}
	r, err := s.pages.Acquire(off, min(n, s.size-off), s.size)
	return s.pages.File(), r, err
}

// AddMapping implements memmap.Mappable.
func (s *SharedMemory) AddMapping(_ memmap.Space, r usermem.Range, _ uint64, _ bool) error {
	s.mu.Lock()
	s.mapped += int64(r.Len())
	s.mu.Unlock()
	return nil
}

// RemoveMapping implements memmap.Mappable.
func (s *SharedMemory) RemoveMapping(_ memmap.Space, r usermem.Range, _ uint64, _ bool) {
	s.mu.Lock()
	s.mapped -= int64(r.Len())
	s.unlock()
}

// Sync implements memmap.Mappable.
func (s *SharedMemory) Sync(uint64, uint64) error { return nil }

// Punch frees the pages of [off, off+n) (MADV_REMOVE).
func (s *SharedMemory) Punch(off, n uint64) error {
	if off+n < off {
		return unix.EINVAL
	}
	s.pages.Punch(off, min(off+n, s.size))
	return nil
}

// MappedName implements memmap.Identity.
func (s *SharedMemory) MappedName(any) (string, uint64, uint64) {
	return fmt.Sprintf("%s (deleted)", s.name), 1, s.ino
}

// IncRef implements memmap.Identity; mappings count themselves.
func (s *SharedMemory) IncRef() {}

// DecRef implements memmap.Identity.
func (s *SharedMemory) DecRef() {}

// Detach unmaps, wherever it lies above addr, what is left of the object that
// was mapped with its start at addr and that size knows (shmdt(2)). EINVAL if there is none.
func (m *MemoryManager) Detach(addr usermem.Addr, size func(memmap.Mappable) (n uint64, ok bool)) error {
	if addr.PageOffset() != 0 {
		return unix.EINVAL
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found memmap.Mappable
	end := m.layout.Max
	for i := m.vmas.after(addr); i < len(m.vmas.list) && m.vmas.list[i].Start < end; {
		v := m.vmas.list[i]
		if v.obj == nil || uint64(v.Start-addr) != v.off || found != nil && v.obj != found {
			i++
			continue
		}
		if found == nil {
			n, ok := size(v.obj)
			if !ok {
				i++
				continue
			}
			found = v.obj
			if e, ok := addr.AddLength(n); ok {
				end = min(end, e)
			}
		}
		m.unmap(v.Range)
	}
	if found == nil {
		return unix.EINVAL
	}
	return nil
}
