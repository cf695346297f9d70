package systrap

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// space is an address space: a stub and what is to be changed in it.
//
// Lock order: patchMu, then lineage.mu, then mu, then process.mu.
type space struct {
	p *process

	pending atomic.Bool // queue is not empty
	mu      sync.Mutex
	queue   []entry
	titled  bool // the queue has a title, which only the mapper can set
	shown   bool // the table of names or the window is mapped, or will be

	// Patched call sites (patch.go).
	patching   atomic.Bool // no thread may begin to execute application code
	patched    atomic.Pointer[map[uintptr]*site]
	generation atomic.Uint32 // of the patched code
	patchMu    sync.Mutex
	contexts   map[*context]struct{} // those in the space
	patches    patches
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

// ShowNames implements platform.NameTable.
func (s *space) ShowNames(file platform.HostFile, offset, length uint64) {
	s.shown = true
	s.push(entry{unix.SYS_MMAP, namesAddr, min(uintptr(length), namesMax), unix.PROT_READ, unix.MAP_SHARED | unix.MAP_FIXED, uintptr(file.RO), uintptr(offset)})
}

// ShowWindow implements platform.Window.
func (s *space) ShowWindow(file platform.HostFile, offset uint64) {
	s.shown = true
	s.push(entry{unix.SYS_MMAP, windowAddr, platform.WindowSize, unix.PROT_READ, unix.MAP_SHARED | unix.MAP_FIXED | unix.MAP_POPULATE, uintptr(file.RO), uintptr(offset)})
}

// HideNames implements platform.NameTable.
func (s *space) HideNames() {
	s.patchMu.Lock()
	for c := range s.contexts {
		c.answer.readNames(false)
	}
	s.patchMu.Unlock()
	s.push(entry{unix.SYS_MUNMAP, namesAddr, namesMax})
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
	s.titled = false
	s.pending.Store(false)
	return err
}

// take empties the queue into list if it fits.
func (s *space) take(list *[maxCarried]entry) (n int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.titled || len(s.queue) > len(list) {
		return 0, false
	}
	n = copy(list[:], s.queue)
	s.queue = s.queue[:0]
	s.pending.Store(false)
	return n, true
}

// short reports whether the queue can be carried by a Switch.
func (s *space) short() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.titled && len(s.queue) <= maxCarried
}

// OnDeath implements platform.Mortal.
func (s *space) OnDeath(f func()) {
	s.p.mourn.Store(&f)
	if s.p.dead.Load() {
		s.p.tell()
	}
}

// Reserve implements platform.Mortal.
func (s *space) Reserve(addr, length uintptr) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED | unix.MAP_POPULATE
	s.push(entry{unix.SYS_MMAP, addr, length, unix.PROT_READ | unix.PROT_WRITE, flags, noFile, 0})
	s.push(entry{unix.SYS_MPROTECT, addr, length, unix.PROT_NONE})
}

// noFile is the descriptor of an anonymous mapping.
const noFile = ^uintptr(0)

// Release implements platform.AddressSpace.
func (s *space) Release() {
	p := s.p
	p.mourn.Store(nil)
	p.lineage, p.shown = s.patches.l, s.shown
	switch {
	case !p.asleep():
		// A thread that pretends to sleep must not see what its memory is used for next.
		p.end()
	case len(p.threads) > maxThreads || !p.family.reuse(p):
		p.kill()
	}
}

// join and part tell which contexts are in the space.
func (s *space) join(c *context) {
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	if s.contexts == nil {
		s.contexts = make(map[*context]struct{})
	}
	s.contexts[c] = struct{}{}
}

func (s *space) part(c *context) {
	s.patchMu.Lock()
	defer s.patchMu.Unlock()
	delete(s.contexts, c)
}

// quiet reports whether no thread executes application code. With patching set none
// will begin to: it says that it runs before it looks whether it may. s.patchMu is held.
func (s *space) quiet() bool {
	for c := range s.contexts {
		if v := c.state.Load(); v == running || v == interrupted {
			return false
		}
	}
	return true
}

// awaitPatch waits for the end of a patch.
func (s *space) awaitPatch() {
	s.patchMu.Lock()
	//lint:ignore SA2001 nothing is to be done but to wait
	s.patchMu.Unlock()
}

var (
	_ platform.Patcher   = (*space)(nil)
	_ platform.Mortal    = (*space)(nil)
	_ platform.NameTable = (*space)(nil)
	_ platform.Window    = (*space)(nil)
)
