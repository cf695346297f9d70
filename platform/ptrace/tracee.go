package ptrace

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
)

// Requests of ptrace(2) that package unix does not name.
const (
	ptraceSysemu   = 31
	sysemuStop     = unix.SIGTRAP | 0x80 // with PTRACE_O_TRACESYSGOOD
	eventStop      = 128                 // PTRACE_EVENT_STOP
	ntX86XState    = 0x202
	traceOptions   = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD
	maxXStateBytes = 16 << 10
)

// tracee is a host thread stopped under the calling OS thread. All methods
// must be called from the OS thread that traces it.
type tracee struct {
	pid, tid int
}

// ptrace makes a request that does not block.
func (t *tracee) ptrace(request, addr, data uintptr) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(t.tid), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (t *tracee) getRegs(r *arch.Registers) error {
	return t.ptrace(unix.PTRACE_GETREGS, 0, uintptr(unsafe.Pointer(r)))
}

func (t *tracee) setRegs(r *arch.Registers) error {
	return t.ptrace(unix.PTRACE_SETREGS, 0, uintptr(unsafe.Pointer(r)))
}

// wait waits for the tracee's next stop or end.
func (t *tracee) wait() (unix.WaitStatus, error) {
	var status uint32
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAIT4, uintptr(t.tid), uintptr(unsafe.Pointer(&status)),
			unix.WALL, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return unix.WaitStatus(status), nil
	}
}

// seize attaches to a running thread and stops it.
func seize(pid, tid int) (*tracee, error) {
	t := &tracee{pid, tid}
	if err := t.ptrace(unix.PTRACE_SEIZE, 0, traceOptions); err != nil {
		return nil, fmt.Errorf("ptrace seize of stub thread %d: %w", tid, err)
	}
	if err := t.ptrace(unix.PTRACE_INTERRUPT, 0, 0); err != nil {
		return nil, fmt.Errorf("ptrace interrupt of stub thread %d: %w", tid, err)
	}
	status, err := t.wait()
	if err != nil {
		return nil, fmt.Errorf("wait for stub thread %d: %w", tid, err)
	}
	if !status.Stopped() {
		return nil, fmt.Errorf("stub thread %d ended: status %#x", tid, uint32(status))
	}
	return t, nil
}

// runStub runs the stub's code from regs until its int3 and returns the registers then.
func (t *tracee) runStub(regs *arch.Registers) error {
	regs.OrigRax = ^uint64(0)
	if err := t.setRegs(regs); err != nil {
		return err
	}
	for {
		if err := t.ptrace(unix.PTRACE_CONT, 0, 0); err != nil {
			return err
		}
		status, err := t.wait()
		if err != nil {
			return err
		}
		if !status.Stopped() {
			return fmt.Errorf("stub ended: status %#x", uint32(status))
		}
		if status.StopSignal() == unix.SIGTRAP && uint32(status)>>16 == 0 {
			return t.getRegs(regs)
		}
		if s := status.StopSignal(); s == unix.SIGSEGV || s == unix.SIGILL || s == unix.SIGBUS || s == unix.SIGSYS {
			return fmt.Errorf("stub code got %v", s)
		}
		// An interrupt meant for the application: it is looked for again before
		// the application runs (context.Switch).
	}
}

// call makes the stub execute one system call at the given routine.
func (t *tracee) call(routine uint64, base *arch.Registers, nr uintptr, args ...uintptr) (uintptr, error) {
	r := *base
	r.Rip = stubCode + routine
	r.Rax = uint64(nr)
	for i, p := range []*uint64{&r.Rdi, &r.Rsi, &r.Rdx, &r.R10, &r.R8, &r.R9}[:len(args)] {
		*p = uint64(args[i])
	}
	if err := t.runStub(&r); err != nil {
		return 0, err
	}
	if r.Rax > ^uint64(4095) {
		return 0, unix.Errno(-r.Rax)
	}
	return uintptr(r.Rax), nil
}

// exit ends the thread and reaps it.
func (t *tracee) exit() {
	var r arch.Registers
	if t.getRegs(&r) != nil {
		return
	}
	r.Rip, r.OrigRax = stubCode+codeExit, ^uint64(0)
	if t.setRegs(&r) != nil {
		return
	}
	for t.ptrace(unix.PTRACE_CONT, 0, 0) == nil {
		if status, err := t.wait(); err != nil || !status.Stopped() {
			return
		}
	}
	t.wait()
}
