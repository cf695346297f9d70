package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/wait"
)

// WaitSpec says which children wait4(2) and waitid(2) wait for.
type WaitSpec struct {
	// PID is a child's ID in the caller's namespace, 0 for any.
	PID int32
	// Group is a process group, nil for any. Exact is the very process, from a pidfd.
	Group *ProcessGroup
	Exact *ThreadGroup

	Exited, Stopped, Continued bool
	NoHang, NoReap             bool // WNOHANG, WNOWAIT
	OwnThreadOnly              bool // __WNOTHREAD
	Clone, All                 bool // __WCLONE, __WALL
}

// WaitResult is what became of a child.
type WaitResult struct {
	PID    int32
	UID    auth.KUID
	Code   int32  // CLD_*
	Status int32  // exit code or signal
	Word   uint32 // wait(2) status
	Usage  Rusage
}

// WaitChild waits for a child (wait4(2)). A nil result without error means that
// there is none yet (WNOHANG); ECHILD that there is none to wait for.
func (t *Task) WaitChild(spec *WaitSpec) (*WaitResult, error) {
	w := t.OwnWaiter()
	t.tg.childQueue.Add(w, wait.Internal)
	defer w.Remove()
	for {
		r, some := t.lookForChild(spec)
		if r != nil {
			return r, nil
		}
		if !some {
			return nil, unix.ECHILD
		}
		if spec.NoHang {
			return nil, nil
		}
		if err := t.Block(wait.NoDeadline); err != nil {
			return nil, err
		}
	}
}

// lookForChild returns the first child with news; some tells whether any child
// matches at all.
func (t *Task) lookForChild(spec *WaitSpec) (r *WaitResult, some bool) {
	k := t.k
	k.tree.Lock()
	defer k.tree.Unlock()
	for _, c := range t.tg.children {
		if !t.waitsFor(spec, c) {
			continue
		}
		some = true
		if r = t.collect(spec, c); r != nil {
			return r, true
		}
	}
	return nil, some
}

func (t *Task) waitsFor(spec *WaitSpec, c *ThreadGroup) bool {
	if spec.Exact != nil && spec.Exact != c || spec.Group != nil && spec.Group != c.group ||
		spec.PID != 0 && spec.PID != c.Leader().idIn(t.ids[0].ns) ||
		spec.OwnThreadOnly && c.parentTask != t {
		return false
	}
	isClone := c.exitSignal != int32(unix.SIGCHLD)
	return spec.All || isClone == spec.Clone
}

// collect returns what is new of c. Kernel.tree is held.
func (t *Task) collect(spec *WaitSpec, c *ThreadGroup) *WaitResult {
	r := &WaitResult{PID: c.Leader().idIn(t.ids[0].ns), UID: c.Leader().Creds().RUID}
	if c.zombie {
		if !spec.Exited {
			return nil
		}
		s := c.status
		r.Word, r.Code, r.Status = s.Word(), CldExited, s.Code
		if s.Signal != 0 {
			r.Code, r.Status = CldKilled, s.Signal
			if s.Core {
				r.Code = CldDumped
			}
		}
		r.Usage = c.deadUsage
		r.Usage.add(c.childUsage)
		if !spec.NoReap {
			t.k.reap(c)
		}
		return r
	}
	c.sig.Lock()
	defer c.sig.Unlock()
	switch {
	case spec.Stopped && c.stopping && c.stopReported:
		r.Code, r.Status = CldStopped, c.stopSignal
		r.Word = uint32(c.stopSignal)<<8 | 0x7f
		if !spec.NoReap {
			c.stopReported = false
		}
	case spec.Continued && c.continued:
		r.Code, r.Status, r.Word = CldContinued, int32(unix.SIGCONT), 0xffff
		if !spec.NoReap {
			c.continued = false
		}
	default:
		return nil
	}
	r.Usage = c.usage()
	return r
}
