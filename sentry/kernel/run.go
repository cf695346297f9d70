package kernel

import (
	"errors"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// start begins the execution of t.
func (t *Task) start() {
	t.k.tasks.Add(1)
	t.k.ready.Add(1)
	go t.run()
}

// run is the life of a task: application code, and whatever it needs of the
// kernel, until it exits.
func (t *Task) run() {
	defer t.k.tasks.Done()
	t.k.ready.Add(-1)
	t.startCPU()
	t.finishClone()
	t.publishAnswers()
	for t.prepareUser() {
		m := t.MM()
		if err := m.Prepare(t.ctx); err != nil {
			t.hostFailure("map memory", err)
			continue
		}
		if c, ok := t.ctx.(platform.Closer); ok {
			c.MayClose(t.mayCloseLate())
		}
		t.enterUser()
		ev, err := t.ctx.Switch(m.AddressSpace(), &t.regs, &t.fp)
		t.leaveUser()
		t.partial = ev.Is(platform.Partial)
		m.Settle(t.ctx)
		if ev.Late != nil {
			t.catchUp(ev.Late)
		}
		switch {
		case err != nil:
			t.hostFailure("run application code", err)
		case ev.Kind == platform.EventSyscall:
			if !ev.Is(platform.Partial) {
				m.Trapped()
			}
			if ev.Is(platform.SiteHot | platform.SiteNew) {
				m.PatchSite(t.Registers(), ev.Is(platform.SiteHot))
			}
			t.serve()
		case ev.Kind == platform.EventFault:
			t.fault(ev.Fault)
		}
	}
	t.exit()
}

// prepareUser does what has to be done before user code goes on: signals,
// stops, pauses. It returns false if the task is to exit.
func (t *Task) prepareUser() bool {
	for {
		a := t.attention.Load()
		if a == 0 && t.restartErr == 0 {
			return true
		}
		switch {
		case a&attnKill != 0:
			return false
		case a&attnPause != 0:
			t.attention.And(^uint32(attnPause))
			t.stopCPU()
			t.tg.container.waitWhilePaused()
			t.startCPU()
		case a&attnStop != 0:
			t.attention.And(^uint32(attnStop))
			t.joinStop()
		case a&attnSignal != 0:
			t.attention.And(^uint32(attnSignal))
			if t.deliverOne() {
				// There may be more.
				t.attention.Or(attnSignal)
			}
		case t.restartErr != 0:
			t.rewind()
		default: // attnMask
			t.attention.And(^uint32(attnMask))
			t.restoreMask()
		}
	}
}

// hostFailure ends the process when the host does not let it go on. The
// sandbox itself is in order.
func (t *Task) hostFailure(doing string, err error) {
	if !errors.Is(err, platform.ErrDead) || t.attention.Load()&attnKill == 0 {
		pid := t.ThreadGroupID()
		t.lastWords = func() {
			t.k.log.Warn("application killed: the host failed to "+doing, "pid", pid, "comm", t.Name(), "err", err)
		}
	}
	t.tg.kill(ExitStatus{Signal: int32(unix.SIGKILL)})
}

// serve serves the system call in the registers.
func (t *Task) serve() {
	nr := t.regs.SyscallNumber()
	args := &t.args
	t.regs.SyscallArgs(args)
	t.syscallNr, t.inSyscall = nr, true
	if s := t.seccomp.Load(); s != nil {
		if skip := t.checkSeccomp(s, nr, args); skip {
			t.inSyscall = false
			return
		}
		nr = t.regs.SyscallNumber()
		t.regs.SyscallArgs(args)
	}
	t.syscallNr = nr
	var f SyscallFunc
	if nr < maxSyscall {
		f = t.k.syscalls[nr]
	}
	var ret uintptr
	var err error
	tr := t.k.trace.Load()
	if tr != nil {
		(*tr).Enter(t, nr, args)
	}
	if f != nil {
		ret, err = f(t, args)
	} else {
		t.reportMissing(nr)
		err = unix.ENOSYS
	}
	if tr != nil {
		(*tr).Exit(t, nr, args, ret, err)
	}
	t.inSyscall = false
	if err != nil {
		t.noteName(nr, args, err)
	}
	t.setResult(ret, err)
}

// setResult puts the outcome of a system call into the registers.
func (t *Task) setResult(ret uintptr, err error) {
	if err == nil {
		t.regs.Rax = uint64(ret)
		return
	}
	if err == errNoReturn {
		return
	}
	errno, ok := err.(unix.Errno)
	if !ok && !errors.As(err, &errno) {
		errno = unix.EIO
		t.k.log.Warn("system call failed without an errno", "call", t.k.names(t.syscallNr), "err", err)
	}
	switch errno {
	case wait.ErrInterrupted, wait.ErrRestartNoIntr, wait.ErrRestartNoHand, wait.ErrRestartBlock:
		t.restartErr = errno
		errno = unix.EINTR
	}
	t.regs.Rax = uint64(-int64(errno))
}

// errNoReturn is returned by system calls that have set the registers
// themselves (execve, rt_sigreturn).
var errNoReturn = errors.New("registers are set")

// ErrNoReturn tells the run loop to leave the registers alone.
var ErrNoReturn = errNoReturn

// rewind makes the interrupted system call start again.
func (t *Task) rewind() {
	nr := t.syscallNr
	if t.restartErr == wait.ErrRestartBlock {
		nr = unix.SYS_RESTART_SYSCALL
	}
	t.restartErr = 0
	r := t.Registers()
	r.Rax = uint64(nr)
	r.Rip -= syscallLength
}

// syscallLength is the length of the SYSCALL instruction.
const syscallLength = 2

// reportMissing logs a system call that is not implemented, once by name.
func (t *Task) reportMissing(nr uintptr) {
	if nr >= maxSyscall || t.k.missing[nr].Swap(true) {
		return
	}
	t.k.log.Info("system call is not implemented", "call", t.k.names(nr), "comm", t.Name())
}

// RestartWith arranges that an interrupted call goes on with f (restart_syscall(2)).
func (t *Task) RestartWith(f func(t *Task) (uintptr, error)) error {
	t.restart = f
	return wait.ErrRestartBlock
}

// RestartSyscall is restart_syscall(2).
func (t *Task) RestartSyscall() (uintptr, error) {
	f := t.restart
	t.restart = nil
	if f == nil {
		return 0, unix.EINTR
	}
	return f(t)
}

// faultMemory recognises a fault that comes back although nothing is missing.
type faultMemory struct {
	rip, addr uint64
	times     int
}

// maxSameFault is how often in a row one instruction may fault at one address
// with nothing missing before the application is told.
const maxSameFault = 4

// repeats notes a fault and reports whether it has come too often.
func (f *faultMemory) repeats(idle bool, rip, addr uint64) bool {
	if !idle || f.rip != rip || f.addr != addr {
		*f = faultMemory{rip: rip, addr: addr}
		return false
	}
	f.times++
	return f.times >= maxSameFault
}

// catchUp does what the platform has done in the kernel's place.
func (t *Task) catchUp(l *platform.Late) {
	if l.Read != 0 {
		t.handedOut(l.Read)
	}
	if l.Closed != 0 {
		t.FDs().CloseLate(t, l.Closed)
	}
}

// fault serves an exception of the application.
func (t *Task) fault(f *platform.Fault) {
	t.faults.Add(1)
	sig := unix.Signal(f.Signal)
	info := &SignalInfo{Signo: f.Signal, Code: f.Code}
	info.SetAddr(f.Addr)
	const segvMapErr, segvAccErr, busAdrErr = 1, 2, 2
	if sig == unix.SIGSEGV && (f.Code == segvMapErr || f.Code == segvAccErr) || sig == unix.SIGBUS {
		at := usermem.Access{Read: !f.Write && !f.Execute, Write: f.Write, Exec: f.Execute}
		idle, err := t.MM().HandleFault(usermem.Addr(f.Addr), at, f.AccessKnown, t.tg.limits.Get(unix.RLIMIT_STACK).Cur)
		if err == nil && !t.lastFault.repeats(idle, t.Registers().Rip, uint64(f.Addr)) {
			return
		}
		switch {
		case err == memmap.ErrBeyondEnd || err == nil && sig == unix.SIGBUS:
			info.Signo, info.Code = int32(unix.SIGBUS), busAdrErr
		case err == unix.ENOMEM:
			t.k.log.Warn("out of memory: process killed", "pid", t.ThreadGroupID(), "comm", t.Name())
			t.tg.kill(ExitStatus{Signal: int32(unix.SIGKILL)})
			return
		case err == unix.EFAULT:
			info.Signo, info.Code = int32(unix.SIGSEGV), segvMapErr
		default:
			info.Signo, info.Code = int32(unix.SIGSEGV), segvAccErr
		}
	}
	t.force(info)
}
