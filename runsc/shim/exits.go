package shim

import (
	"sync"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/go-runc"
)

// A member is a process of a container, its first one or one of an exec.
type member struct {
	c      *container
	p      process.Process
	execID string // "" for the first one
}

// exits finds out whose the end of a child is. A child may end before it is known what it is, so while something is
// being started ends of strangers are kept.
type exits struct {
	mu       sync.Mutex
	running  map[int]member
	starting int
	early    map[int]runc.Exit // while starting > 0
	ended    func(m member, e runc.Exit)
}

func newExits(ended func(member, runc.Exit)) *exits {
	return &exits{running: map[int]member{}, early: map[int]runc.Exit{}, ended: ended}
}

// run handles the ends of children until there are no more.
func (x *exits) run(from <-chan runc.Exit) {
	for e := range from {
		x.mu.Lock()
		m, known := x.running[e.Pid]
		delete(x.running, e.Pid)
		if !known && x.starting > 0 {
			x.early[e.Pid] = e
		}
		x.mu.Unlock()
		if known {
			x.ended(m, e)
		}
	}
}

// begin says that a process is being started; end must follow.
func (x *exits) begin() {
	x.mu.Lock()
	x.starting++
	x.mu.Unlock()
}

// hold is begin for a process that is known already: if it ends before know is called again, then that is when others
// are told.
func (x *exits) hold(pid int) {
	x.mu.Lock()
	x.starting++
	delete(x.running, pid)
	x.mu.Unlock()
}

func (x *exits) end() {
	x.mu.Lock()
	if x.starting--; x.starting == 0 {
		clear(x.early)
	}
	x.mu.Unlock()
}

// know says what the child pid is, between begin and end.
func (x *exits) know(pid int, m member) {
	x.mu.Lock()
	e, ended := x.early[pid]
	delete(x.early, pid)
	if !ended {
		x.running[pid] = m
	}
	x.mu.Unlock()
	if ended {
		x.ended(m, e)
	}
}
