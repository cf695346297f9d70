package seccompfilters

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CrashStatus is the exit status of a process of ours that broke its filter or whose Go runtime gave up.
const CrashStatus = 128

// runtimeCrash is the status with which the Go runtime exits after a panic or a fatal error.
const runtimeCrash = 2

// ExitStatus turns a status meant for the outside into the argument of exit_group that says it: under the filter the
// plain 2 is the Go runtime's and becomes CrashStatus, so ours carries a bit that the kernel drops (exit_group(2):
// only the low byte reaches the parent).
func ExitStatus(status int) int { return status&0xff | 0x100 }

// Install puts a filter of rules on every thread of the process. From then on any other call ends the process: the
// handler of SIGSYS writes its name to standard error, then the Go runtime the stacks. The caller's thread must have
// no_new_privs, which spreads to the others together with the filter.
func Install(rules []Rule) error {
	prog, err := Compile(rules, unix.SECCOMP_RET_TRAP)
	if err != nil {
		return err
	}
	if err := catchSIGSYS(); err != nil {
		return fmt.Errorf("seccomp: handler of SIGSYS: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("seccomp: no_new_privs: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	r, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if r != 0 {
		return fmt.Errorf("seccomp: thread %d could not take the filter", r)
	}
	return nil
}

// kernelSigaction is struct sigaction as rt_sigaction takes it on amd64.
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	saSiginfo  = 0x4
	saOnStack  = 0x08000000
	saNoDefer  = 0x40000000
	saRestorer = 0x04000000
)

// messageSize is the size of an entry of messages, a power of two that sigsys_amd64.s knows too.
const messageSize = 64

// messages has what to write for each call, made before the filter is in place: the handler can allocate nothing. The
// last byte of an entry is the length of its text.
var messages [512][messageSize]byte

// goHandler is the Go runtime's handler of SIGSYS, to which ours passes on.
//
//lint:ignore U1000 the assembly jumps there
var goHandler uintptr

// sigsys is the signal handler. It is never called from Go.
//
//lint:ignore U1000 the kernel calls it
func sigsys()

// sigsysAddr returns the address of sigsys.
func sigsysAddr() uintptr

// catchSIGSYS puts sigsys before the Go runtime's handler. Nothing is masked while it runs: the runtime ends with
// exit_group(runtimeCrash), whose trap has to be taken as well.
func catchSIGSYS() error {
	for nr := range messages {
		text := fmt.Sprintf("seccomp: forbidden host system call %s (%d)\n", Name(uintptr(nr)), nr)
		n := copy(messages[nr][:messageSize-1], text)
		messages[nr][n-1] = '\n'
		messages[nr][messageSize-1] = byte(n)
	}
	var old kernelSigaction
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSYS), 0, uintptr(unsafe.Pointer(&old)), 8, 0, 0); errno != 0 {
		return errno
	}
	if old.handler != sigsysAddr() {
		goHandler = old.handler
	}
	act := kernelSigaction{
		handler:  sigsysAddr(),
		flags:    saSiginfo | saOnStack | saNoDefer | saRestorer,
		restorer: old.restorer,
	}
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSYS), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
