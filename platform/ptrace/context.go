package ptrace

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/platform/tracee"
	"ringfort/sentry/arch"
)

// States of a context.
const (
	idle        = iota
	running     // the application may be executing
	interrupted // Interrupt was called
)

// interruptSignal makes a running thread stop. Its delivery is suppressed.
const interruptSignal = unix.SIGURG

// context is one application thread. All but Interrupt is called from one
// goroutine, which it locks to its OS thread.
type context struct {
	p      *Platform
	state  atomic.Int32
	target atomic.Pointer[tracee.Tracee] // for Interrupt

	space  *space
	thread *tracee.Tracee
	place  placement
	vigil  vigil // over thread
	xstate []byte
	last   platform.Fault // of the last event
	locked bool           // the owner to its OS thread
}

// Switch implements platform.Context.
func (c *context) Switch(as platform.AddressSpace, r *arch.Registers, fp *arch.FPState) (platform.Event, error) {
	s := as.(*space)
	if c.space != s {
		if err := c.enter(s); err != nil {
			return platform.Event{}, err
		}
	}
	if s.pending.Load() {
		if err := s.flush(c.thread); err != nil {
			return platform.Event{}, err
		}
	}
	if fp.Dirty {
		if err := c.loadFP(fp); err != nil {
			return platform.Event{}, err
		}
	}
	if !c.state.CompareAndSwap(idle, running) {
		c.state.Store(idle)
		return platform.Event{Kind: platform.EventInterrupt}, nil
	}
	c.place.before(c.thread.TID)
	ev, err := c.run(r)
	c.place.after()
	c.state.Store(idle)
	return ev, err
}

// Flush implements platform.Context.
func (c *context) Flush(as platform.AddressSpace) error {
	s := as.(*space)
	if c.space != s {
		if err := c.enter(s); err != nil {
			return err
		}
	}
	return s.flush(c.thread)
}

// run resumes the thread with r and waits for its next stop.
func (c *context) run(r *arch.Registers) (platform.Event, error) {
	r.OrigRax = ^uint64(0)
	fresh(r)
	t := c.thread
	if err := t.SetRegs(r); err != nil {
		// The registers are the application's (sigreturn): a bad RIP or base.
		if err == unix.EIO {
			return c.faulted(platform.Fault{Signal: int32(unix.SIGSEGV), Code: 0x80}), nil
		}
		return platform.Event{}, c.dead(err)
	}
	if err := t.Ptrace(tracee.Sysemu, 0, 0); err != nil {
		return platform.Event{}, c.dead(err)
	}
	status, err := t.Wait()
	if err != nil {
		return platform.Event{}, c.dead(err)
	}
	if !status.Stopped() {
		c.vigil.end()
		c.thread, c.space = nil, nil
		return platform.Event{}, platform.ErrDead
	}
	if err := t.GetRegs(r); err != nil {
		return platform.Event{}, c.dead(err)
	}
	sig := status.StopSignal()
	switch {
	case sig == tracee.SysemuStop:
		return platform.Event{Kind: platform.EventSyscall}, nil
	case sig == interruptSignal || uint32(status)>>16 != 0:
		return platform.Event{Kind: platform.EventInterrupt}, nil
	}
	return c.fault(sig, r)
}

// fault describes the synchronous signal the thread stopped for.
func (c *context) fault(sig unix.Signal, r *arch.Registers) (platform.Event, error) {
	var info struct {
		signo, errno, code int32
		_                  int32
		addr               uint64
		_                  [104]byte
	}
	if err := c.thread.Ptrace(unix.PTRACE_GETSIGINFO, 0, uintptr(unsafe.Pointer(&info))); err != nil {
		return platform.Event{}, c.dead(err)
	}
	switch sig {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP:
		// si_code above 0 is the kernel's own (sigaction(2)).
		if info.code > 0 {
			return c.faulted(platform.Fault{
				Signal: int32(sig), Code: info.code, Addr: uintptr(info.addr),
				Execute: sig == unix.SIGSEGV && info.addr == r.Rip,
			}), nil
		}
	}
	return platform.Event{Kind: platform.EventInterrupt}, nil
}

// faulted returns the event of f.
func (c *context) faulted(f platform.Fault) platform.Event {
	c.last = f
	return platform.Event{Kind: platform.EventFault, Fault: &c.last}
}

func (c *context) dead(err error) error {
	if err == unix.ESRCH || err == unix.ECHILD {
		if c.thread != nil {
			reap(c.thread)
		}
		c.vigil.end()
		c.thread, c.space = nil, nil
		return platform.ErrDead
	}
	return fmt.Errorf("ptrace platform: %w", err)
}

// enter gets a thread in s, leaving the old one.
func (c *context) enter(s *space) error {
	c.leave()
	if !c.locked {
		// Only the tracing thread may make requests of ptrace(2).
		runtime.LockOSThread()
		c.locked = true
	}
	t, err := s.thread()
	if err != nil {
		return err
	}
	c.space, c.thread = s, t
	c.target.Store(t)
	c.vigil = keepVigil(t.TID, &s.mourner)
	c.place.forget()
	return nil
}

func (c *context) leave() {
	c.target.Store(nil)
	c.vigil.end()
	if c.thread != nil {
		endThread(c.thread)
	}
	c.thread, c.space = nil, nil
}

// SaveFP implements platform.Context.
func (c *context) SaveFP(fp *arch.FPState) error {
	if fp.Dirty || c.thread == nil {
		return nil // what fp holds has not been loaded yet
	}
	if c.xstate == nil {
		c.xstate = make([]byte, tracee.MaxXState)
	}
	iov := unix.Iovec{Base: &c.xstate[0], Len: tracee.MaxXState}
	if err := c.thread.Ptrace(unix.PTRACE_GETREGSET, tracee.XState, uintptr(unsafe.Pointer(&iov))); err != nil {
		return c.dead(err)
	}
	fp.Data = append(fp.Data[:0], c.xstate[:iov.Len]...)
	return nil
}

// loadFP makes fp the thread's extended state.
func (c *context) loadFP(fp *arch.FPState) error {
	size := int(c.p.xstateSize.Load())
	if size == 0 {
		// The size is the host's (CPUID leaf 0xd); ask it once.
		probe := arch.FPState{}
		if err := c.SaveFP(&probe); err != nil {
			return err
		}
		size = len(probe.Data)
		c.p.xstateSize.Store(int32(size))
	}
	data := fp.Data
	if len(data) != size {
		data = make([]byte, size)
		copy(data, fp.Data)
	}
	iov := unix.Iovec{Base: &data[0], Len: uint64(size)}
	if err := c.thread.Ptrace(unix.PTRACE_SETREGSET, tracee.XState, uintptr(unsafe.Pointer(&iov))); err != nil {
		return c.dead(err)
	}
	fp.Dirty = false
	return nil
}

// Interrupt implements platform.Context.
func (c *context) Interrupt() {
	for {
		switch c.state.Load() {
		case idle:
			if c.state.CompareAndSwap(idle, interrupted) {
				return
			}
		case running:
			if c.state.CompareAndSwap(running, interrupted) {
				if t := c.target.Load(); t != nil {
					unix.Tgkill(t.PID, t.TID, interruptSignal)
				}
				return
			}
		case interrupted:
			return
		}
	}
}

// Sleep implements platform.Context.
func (c *context) Sleep() {}

// Inherit implements platform.Context.
func (c *context) Inherit(platform.Context) {}

// Linger implements platform.Context.
func (c *context) Linger(<-chan struct{}) bool { return false }

// Release implements platform.Context.
func (c *context) Release() {
	c.leave()
	c.place.release()
	if c.locked {
		runtime.UnlockOSThread()
	}
}

// endThread ends a thread of a stub and reaps it.
func endThread(t *tracee.Tracee) {
	defer reap(t)
	var r arch.Registers
	if t.GetRegs(&r) != nil {
		return
	}
	r.Rip, r.OrigRax = stubCode+codeExit, ^uint64(0)
	if t.SetRegs(&r) != nil {
		return
	}
	for t.Ptrace(unix.PTRACE_CONT, 0, 0) == nil {
		if status, err := t.Wait(); err != nil || !status.Stopped() {
			return
		}
	}
}

// reap waits for the end of a thread that is ending, or has ended. A stub's first
// thread cannot be waited for before each other one has been by its tracer.
func reap(t *tracee.Tracee) {
	for {
		if status, err := t.Wait(); err != nil || !status.Stopped() {
			return
		}
	}
}
