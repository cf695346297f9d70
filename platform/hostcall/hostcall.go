// Package hostcall makes system calls of the host that may take long, so that other goroutines need not wait for them.
//
// A goroutine that makes a system call keeps its processor, one of the few on which Go's runtime runs goroutines (GOMAXPROCS),
// until the runtime's monitor has found it there twice. That takes little and is right for a short call. For a long one the
// monitor is late, all the more as package isolate has it oversleep, and meanwhile those wait who were made ready on that
// processor, and everybody if all are kept.
//
// To give the processor away takes 0.15 µs more, and may wake a thread that finds nothing to do.
//
// Measured on 2 cores:
//
//	twelve threads that compute, another that sleeps 1 ms     too late by 1.1 ms one time in ten if all is left to the monitor
//	make -j2, tar to a pipe                                   5 and 15 % more time if a processor is given away for each wait
package hostcall

import (
	"runtime"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

var (
	// kept is how many processors calls of Long keep.
	kept atomic.Int32
	// most is how many they may.
	most atomic.Int32
)

func init() { most.Store(int32(runtime.GOMAXPROCS(0)) - 1) }

// Processors has the runtime use n processors, above 0, of which n-1 may be kept by calls that take long.
func Processors(n int) {
	runtime.GOMAXPROCS(n)
	most.Store(int32(n) - 1)
}

// Long makes a system call that may take long. It gives the processor away before if others wait for one, or if all but
// one would be kept. The arguments that are pointers are converted in the call, as those of unix.Syscall.
//
//go:uintptrescapes
func Long(others bool, trap, a1, a2, a3, a4, a5, a6 uintptr) (uintptr, unix.Errno) {
	if others || !keep() {
		return away(trap, a1, a2, a3, a4, a5, a6)
	}
	r, _, errno := unix.Syscall6(trap, a1, a2, a3, a4, a5, a6)
	kept.Add(-1)
	return r, errno
}

// Sync is fsync(2), or fdatasync(2), which take long if anything does.
func Sync(fd int, dataOnly bool) error {
	trap := uintptr(unix.SYS_FSYNC)
	if dataOnly {
		trap = unix.SYS_FDATASYNC
	}
	for {
		_, errno := Long(true, trap, uintptr(fd), 0, 0, 0, 0, 0)
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// Slack is how late the host's timers may be of a thread that is to be in time, in nanoseconds: Linux's default.
const Slack = 50_000 // package seccompfilters knows it

// Prompt sees to it that what the calling thread waits for next comes in time: threads that the runtime's monitor has
// started inherit its slack (package isolate), and some day wait for everybody's timers. It takes 0.1 µs.
func Prompt() { unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, Slack, 0) }

// keep counts a processor as kept, unless there are as many as may be.
func keep() bool {
	if kept.Add(1) > most.Load() {
		kept.Add(-1)
		return false
	}
	return true
}

// away makes a system call without a processor. The runtime wants entersyscallblock and exitsyscall called by one function,
// which must not grow its stack in between.
//
//go:nosplit
//go:norace
func away(trap, a1, a2, a3, a4, a5, a6 uintptr) (uintptr, unix.Errno) {
	entersyscallblock()
	r, _, errno := unix.RawSyscall6(trap, a1, a2, a3, a4, a5, a6)
	exitsyscall()
	return r, errno
}

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
