package tracee

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
)

// Requests and values of ptrace(2) that package unix does not name.
const (
	Sysemu     = 31                  // PTRACE_SYSEMU
	SysemuStop = unix.SIGTRAP | 0x80 // a system call stop with PTRACE_O_TRACESYSGOOD
	XState     = 0x202               // NT_X86_XSTATE of PTRACE_GETREGSET
	Options    = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD
	// MaxXState is more than any XSAVE area takes, in bytes.
	MaxXState = 16 << 10
)

// Tracee is a host thread stopped under the calling OS thread.
type Tracee struct {
	PID, TID int
	// Gone, if set, tells that the process has ended, of which the host does not tell while there are threads for others to
	// wait for: Wait then gives up with ESRCH.
	Gone func() bool
}

// Ptrace makes a request that does not block.
func (t *Tracee) Ptrace(request, addr, data uintptr) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(t.TID), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// GetRegs reads the general registers.
func (t *Tracee) GetRegs(r *arch.Registers) error {
	return t.Ptrace(unix.PTRACE_GETREGS, 0, uintptr(unsafe.Pointer(r)))
}

// SetRegs writes the general registers; EIO if the processor would refuse them.
func (t *Tracee) SetRegs(r *arch.Registers) error {
	return t.Ptrace(unix.PTRACE_SETREGS, 0, uintptr(unsafe.Pointer(r)))
}

// Wait waits for the tracee's next stop or end.
func (t *Tracee) Wait() (unix.WaitStatus, error) {
	var status uint32
	flags := uintptr(unix.WALL)
	if t.Gone != nil {
		flags |= unix.WNOHANG
	}
	for pause := 10 * time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		tid, _, errno := syscall.Syscall6(syscall.SYS_WAIT4, uintptr(t.TID), uintptr(unsafe.Pointer(&status)), flags, 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		case tid != 0:
			return unix.WaitStatus(status), nil
		case t.Gone():
			return 0, unix.ESRCH
		default:
			time.Sleep(pause)
		}
	}
}

// Seize attaches to a running thread and stops it.
func Seize(pid, tid int) (*Tracee, error) {
	t := &Tracee{PID: pid, TID: tid}
	if err := t.Ptrace(unix.PTRACE_SEIZE, 0, Options); err != nil {
		return nil, fmt.Errorf("ptrace seize of stub thread %d: %w", tid, err)
	}
	if err := t.Ptrace(unix.PTRACE_INTERRUPT, 0, 0); err != nil {
		return nil, fmt.Errorf("ptrace interrupt of stub thread %d: %w", tid, err)
	}
	status, err := t.Wait()
	if err != nil {
		return nil, fmt.Errorf("wait for stub thread %d: %w", tid, err)
	}
	if !status.Stopped() {
		return nil, fmt.Errorf("stub thread %d ended: status %#x", tid, uint32(status))
	}
	return t, nil
}

// Run runs the tracee from regs until an int3 and returns the registers then.
func (t *Tracee) Run(regs *arch.Registers) error {
	regs.OrigRax = ^uint64(0)
	if err := t.SetRegs(regs); err != nil {
		return err
	}
	for {
		if err := t.Ptrace(unix.PTRACE_CONT, 0, 0); err != nil {
			return err
		}
		status, err := t.Wait()
		if err != nil {
			return err
		}
		if !status.Stopped() {
			return fmt.Errorf("stub ended: status %#x", uint32(status))
		}
		if status.StopSignal() == unix.SIGTRAP && uint32(status)>>16 == 0 {
			return t.GetRegs(regs)
		}
		if s := status.StopSignal(); s == unix.SIGSEGV || s == unix.SIGILL || s == unix.SIGBUS || s == unix.SIGSYS {
			return fmt.Errorf("stub code got %v", s)
		}
		// Another signal is one that was meant for the application; whoever sent it
		// looks again before the application runs.
	}
}

// Call makes the tracee execute one system call at the address at, where a
// SYSCALL instruction and an int3 stand, with base for its other registers.
func (t *Tracee) Call(at uint64, base *arch.Registers, nr uintptr, args ...uintptr) (uintptr, error) {
	r := *base
	r.Rip = at
	r.Rax = uint64(nr)
	setArgs(&r, args)
	if err := t.Run(&r); err != nil {
		return 0, err
	}
	return result(&r)
}

// step executes the SYSCALL instruction at base.Rip with single stepping.
func (t *Tracee) step(base *arch.Registers, nr uintptr, args ...uintptr) (uintptr, error) {
	r := *base
	r.Rax, r.OrigRax = uint64(nr), ^uint64(0)
	setArgs(&r, args)
	if err := t.SetRegs(&r); err != nil {
		return 0, err
	}
	if err := t.Ptrace(unix.PTRACE_SINGLESTEP, 0, 0); err != nil {
		return 0, err
	}
	if _, err := t.Wait(); err != nil {
		return 0, err
	}
	if err := t.GetRegs(&r); err != nil {
		return 0, err
	}
	return result(&r)
}

func setArgs(r *arch.Registers, args []uintptr) {
	for i, p := range []*uint64{&r.Rdi, &r.Rsi, &r.Rdx, &r.R10, &r.R8, &r.R9}[:len(args)] {
		*p = uint64(args[i])
	}
}

func result(r *arch.Registers) (uintptr, error) {
	if r.Rax > ^uint64(4095) {
		return 0, unix.Errno(-r.Rax)
	}
	return uintptr(r.Rax), nil
}
