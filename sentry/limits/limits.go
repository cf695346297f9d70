// Package limits holds the resource limits of a thread group (getrlimit(2)).
// Its lock is a leaf.
package limits

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Infinity is RLIM_INFINITY.
const Infinity = ^uint64(0)

// Count is the number of resources Linux knows (RLIM_NLIMITS).
const Count = 16

// Limit is a soft and a hard limit.
type Limit struct{ Cur, Max uint64 }

// Set is one limit for each resource, indexed by RLIMIT_*.
type Set struct {
	mu sync.RWMutex
	l  [Count]Limit
}

// New returns Linux's defaults for a first process (include/asm-generic/resource.h).
func New() *Set {
	s := &Set{}
	for i := range s.l {
		s.l[i] = Limit{Infinity, Infinity}
	}
	s.l[unix.RLIMIT_STACK] = Limit{8 << 20, Infinity}
	s.l[unix.RLIMIT_CORE] = Limit{0, Infinity}
	s.l[unix.RLIMIT_NPROC] = Limit{32768, 32768}
	s.l[unix.RLIMIT_NOFILE] = Limit{1024, 4096}
	s.l[unix.RLIMIT_MEMLOCK] = Limit{8 << 20, 8 << 20}
	s.l[unix.RLIMIT_SIGPENDING] = Limit{32768, 32768}
	s.l[unix.RLIMIT_MSGQUEUE] = Limit{819200, 819200}
	s.l[unix.RLIMIT_NICE] = Limit{0, 0}
	s.l[unix.RLIMIT_RTPRIO] = Limit{0, 0}
	return s
}

// Get returns the limit of a resource.
func (s *Set) Get(resource int) Limit {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.l[resource]
}

// Put sets the limit of a resource; the caller has checked permissions.
func (s *Set) Put(resource int, l Limit) {
	s.mu.Lock()
	s.l[resource] = l
	s.mu.Unlock()
}

// Copy returns an independent copy (fork).
func (s *Set) Copy() *Set {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &Set{l: s.l}
}
