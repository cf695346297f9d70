package goferfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// maxAhead is how many descriptors of files opened before anybody asked are kept.
const maxAhead = 256

// aheadFDs keeps descriptors of files that are likely to be opened next. The oldest gives way. mu is a leaf.
type aheadFDs struct {
	mu   sync.Mutex
	fds  map[inoKey]int
	ring [maxAhead]inoKey // in the order of put
	next int
}

// put takes over fd.
func (a *aheadFDs) put(key inoKey, fd int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.fds[key]; ok {
		unix.Close(fd)
		return
	}
	if a.fds == nil {
		a.fds = map[inoKey]int{}
	}
	old := &a.ring[a.next]
	a.next = (a.next + 1) % maxAhead
	if fd, ok := a.fds[*old]; ok {
		delete(a.fds, *old)
		unix.Close(fd)
	}
	*old = key
	a.fds[key] = fd
}

// take hands over the descriptor of a file, -1 if there is none.
func (a *aheadFDs) take(key inoKey) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	fd, ok := a.fds[key]
	if !ok {
		return -1
	}
	delete(a.fds, key)
	return fd
}

// has reports whether there is a descriptor of a file.
func (a *aheadFDs) has(key inoKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.fds[key]
	return ok
}

// drop closes the descriptor of a file that is no more.
func (a *aheadFDs) drop(key inoKey) {
	if fd := a.take(key); fd >= 0 {
		unix.Close(fd)
	}
}

// clear closes all.
func (a *aheadFDs) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, fd := range a.fds {
		delete(a.fds, key)
		unix.Close(fd)
	}
}
