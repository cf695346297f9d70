package ptrace

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/platform/tracee"
	"ringfort/sentry/arch"
)

// space is an address space: a stub and what is to be changed in it.
type space struct {
	k    *keeper
	stub *stub

	mourner mourner

	pending atomic.Bool // queue is not empty
	heavy   atomic.Bool // what is queued takes memory: the host may kill the stub meanwhile
	mu      sync.Mutex
	queue   [][requestWords]uintptr
}

func (s *space) push(r [requestWords]uintptr) {
	s.mu.Lock()
	s.queue = append(s.queue, r)
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
	if populate && s.mourner.present.Load() {
		flags |= unix.MAP_POPULATE
		s.heavy.Store(true)
	}
	s.push([requestWords]uintptr{unix.SYS_MMAP, addr, length, uintptr(prot), flags, uintptr(fd), uintptr(offset)})
}

// Unmap implements platform.AddressSpace.
func (s *space) Unmap(addr, length uintptr) {
	s.push([requestWords]uintptr{unix.SYS_MUNMAP, addr, length})
}

// Protect implements platform.AddressSpace.
func (s *space) Protect(addr, length uintptr, prot platform.Prot) {
	s.push([requestWords]uintptr{unix.SYS_MPROTECT, addr, length, uintptr(prot)})
}

// Flush implements platform.AddressSpace.
func (s *space) Flush() (err error) {
	if !s.pending.Load() {
		return nil
	}
	s.k.do(func() {
		t := s.stub.keeper
		if s.heavy.Load() {
			t.Gone = s.mourner.dead.Load
			defer func() { t.Gone = nil }()
		}
		err = s.flush(t)
	})
	return err
}

// flush carries the queue out in t, a stopped thread of the stub traced by the
// calling OS thread.
func (s *space) flush(t *tracee.Tracee) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	for done := 0; done < len(s.queue); {
		n := copy(s.k.slot(s.stub.slot)[:], s.queue[done:])
		done += n
		r := s.k.regs
		r.Rip, r.R12, r.R13, r.R14 = stubCode+codeBatch, stubBatch, uint64(n), 0
		if err := t.Run(&r); err != nil {
			return err
		}
		if r.R14 != 0 && first == nil {
			first = fmt.Errorf("map application memory: %w", unix.Errno(-r.R14))
		}
	}
	s.queue = s.queue[:0]
	s.pending.Store(false)
	s.heavy.Store(false)
	return first
}

// Reserve implements platform.Mortal.
func (s *space) Reserve(addr, length uintptr) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED | unix.MAP_POPULATE
	const noFile = ^uintptr(0)
	if !s.mourner.present.Load() {
		return
	}
	s.heavy.Store(true)
	s.push([requestWords]uintptr{unix.SYS_MMAP, addr, length, unix.PROT_READ | unix.PROT_WRITE, flags, noFile, 0})
	s.push([requestWords]uintptr{unix.SYS_MPROTECT, addr, length, unix.PROT_NONE})
}

// Release implements platform.AddressSpace.
func (s *space) Release() { s.k.destroy(s.stub) }

// thread returns a parked thread of the stub for the calling OS thread to
// seize.
func (s *space) thread() (*tracee.Tracee, error) {
	s.mu.Lock()
	tid := s.stub.ready
	s.stub.ready = 0
	s.mu.Unlock()
	if tid == 0 {
		var err error
		if tid, err = s.k.newThread(s.stub); err != nil {
			return nil, err
		}
	}
	return tracee.Seize(s.stub.keeper.PID, tid)
}

var (
	_ platform.AddressSpace = (*space)(nil)
	_ platform.Mortal       = (*space)(nil)
)

// fresh is the state every application thread starts from: flat user segments.
func fresh(r *arch.Registers) {
	r.Cs, r.Ss = arch.UserCS, arch.UserSS
	r.Ds, r.Es, r.Fs, r.Gs = 0, 0, 0, 0
}
