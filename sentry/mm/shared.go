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

	mu   sync.Mutex
	refs int64 // mappings and holders
}

// NewSharedMemory returns size bytes (rounded up to pages) of shared memory,
// held by the caller until Release.
func NewSharedMemory(f *pgalloc.File, size uint64, name string, ino uint64) *SharedMemory {
	up, _ := usermem.Addr(size).RoundUp()
	return &SharedMemory{pages: pgalloc.NewObject(f), size: uint64(up), name: name, ino: ino, refs: 1}
}

// Release drops the holder's reference.
func (s *SharedMemory) Release() { s.add(-1) }

func (s *SharedMemory) add(n int64) {
	s.mu.Lock()
	s.refs += n
	last := s.refs == 0
	s.mu.Unlock()
	if last {
		s.pages.Release()
	}
}

// Pages implements memmap.Mappable.
func (s *SharedMemory) Pages(off, n uint64, _ usermem.Access) (memmap.File, memmap.Range, error) {
	if off >= s.size {
		return nil, memmap.Range{}, memmap.ErrBeyondEnd
	}
	r, err := s.pages.Acquire(off, min(n, s.size-off), s.size)
	return s.pages.File(), r, err
}

// AddMapping implements memmap.Mappable.
func (s *SharedMemory) AddMapping(memmap.Space, usermem.Range, uint64, bool) error {
	s.add(1)
	return nil
}

// RemoveMapping implements memmap.Mappable.
func (s *SharedMemory) RemoveMapping(memmap.Space, usermem.Range, uint64, bool) { s.add(-1) }

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
func (s *SharedMemory) MappedName() (string, uint64, uint64) {
	return fmt.Sprintf("%s (deleted)", s.name), 1, s.ino
}

// IncRef implements memmap.Identity; mappings count themselves.
func (s *SharedMemory) IncRef() {}

// DecRef implements memmap.Identity.
func (s *SharedMemory) DecRef() {}
