package systrap

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// space is an address space: a stub and what is to be changed in it.
//
// Lock order: mu, then process.mu.
type space struct {
	p *process

	pending atomic.Bool // queue is not empty
	mu      sync.Mutex
	queue   []entry
}

func (s *space) push(e entry) {
	s.mu.Lock()
	s.queue = append(s.queue, e)
	s.pending.Store(true)
	s.mu.Unlock()
}

// Map implements platform.AddressSpace.
func (s *space) Map(addr, length uintptr, file platform.HostFile, offset uint64, prot platform.Prot, populate bool) {
	fd := file.RO
	if prot&platform.Write != 0 {
		fd = file.RW
	}
	flags := uintptr(unix.MAP_SHARED | unix.MAP_FIXED)
	if populate {
		flags |= unix.MAP_POPULATE
	}
	s.push(entry{unix.SYS_MMAP, addr, length, uintptr(prot), flags, uintptr(fd), uintptr(offset)})
}

// Unmap implements platform.AddressSpace.
func (s *space) Unmap(addr, length uintptr) {
	s.push(entry{unix.SYS_MUNMAP, addr, length})
}

// Protect implements platform.AddressSpace.
func (s *space) Protect(addr, length uintptr, prot platform.Prot) {
	s.push(entry{unix.SYS_MPROTECT, addr, length, uintptr(prot)})
}

// Flush implements platform.AddressSpace.
func (s *space) Flush() error {
	if !s.pending.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	err := s.p.carryOut(s.queue)
	s.queue = s.queue[:0]
	s.pending.Store(false)
	return err
}

// Release implements platform.AddressSpace.
func (s *space) Release() { s.p.kill() }

var _ platform.AddressSpace = (*space)(nil)
