package seccompfilters

import "golang.org/x/sys/unix"

// threadFlags are the flags with which the Go runtime makes a thread (runtime/os_linux.go, cloneFlags; sys_linux_amd64.s, clone).
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD |
	unix.CLONE_SETTLS

// goRuntime is what any Go program of ours needs: memory, threads, signals, time and the poller.
func goRuntime() []Rule {
	return []Rule{
		allow(unix.SYS_FUTEX, "runtime: sleep and wake threads"),
		allow(unix.SYS_EPOLL_PWAIT, "runtime: network poller"),
		allow(unix.SYS_EPOLL_CTL, "runtime: network poller"),
		allow(unix.SYS_NANOSLEEP, "runtime: sysmon, usleep"),
		allow(unix.SYS_CLOCK_GETTIME, "time, when the vDSO cannot"),
		allow(unix.SYS_SCHED_YIELD, "runtime: osyield"),
		allow(unix.SYS_READ, "descriptors that we hold"),
		allow(unix.SYS_WRITE, "descriptors that we hold, the log"),
		allow(unix.SYS_CLOSE, "descriptors that we hold"),
		allow(unix.SYS_RT_SIGRETURN, "runtime: return from a signal handler"),
		allow(unix.SYS_RT_SIGPROCMASK, "runtime: threads and signals"),
		allow(unix.SYS_SIGALTSTACK, "runtime: the signal stack of a thread"),
		allowIf(unix.SYS_RT_SIGACTION, "runtime: handlers, but that of SIGSYS stays", ne(0, uint64(unix.SIGSYS))),
		allow(unix.SYS_TGKILL, "runtime: preempt own threads; the PID namespace holds only ourselves and our stubs"),
		allowIf(unix.SYS_MMAP, "runtime: heap and stacks, never code", without(2, unix.PROT_EXEC)),
		allow(unix.SYS_MUNMAP, "runtime: give memory back"),
		allowIf(unix.SYS_MPROTECT, "runtime: heap, never code", without(2, unix.PROT_EXEC)),
		allow(unix.SYS_MADVISE, "runtime: give memory back"),
		allowIf(unix.SYS_PRCTL, "runtime: names of memory areas", eq(0, unix.PR_SET_VMA)),
		allowIf(unix.SYS_CLONE, "runtime: threads, no process", eq(0, threadFlags)),
		allow(unix.SYS_EXIT, "runtime: end of a thread"),
		allowIf(unix.SYS_EXIT_GROUP, "end of the process; the runtime's crash is caught to have its own status", ne(0, runtimeCrash)),
		allow(unix.SYS_GETPID, "runtime: preempt own threads"),
		allow(unix.SYS_GETTID, "runtime: threads"),
		allow(unix.SYS_SCHED_GETAFFINITY, "runtime: number of CPUs"),
		allow(unix.SYS_GETRANDOM, "runtime: seeds"),
		allow(unix.SYS_EVENTFD2, "runtime: wake the poller"),
		allow(unix.SYS_PIPE2, "runtime: wake the poller"),
		allow(unix.SYS_EPOLL_CREATE1, "runtime: network poller"),
		allowIf(unix.SYS_FCNTL, "os.File: blocking mode and duplicates",
			eq(1, unix.F_GETFL)),
		allowIf(unix.SYS_FCNTL, "os.File", eq(1, unix.F_SETFL)),
		allowIf(unix.SYS_FCNTL, "os.File", eq(1, unix.F_DUPFD_CLOEXEC)),
		allowIf(unix.SYS_FCNTL, "descriptors taken over", eq(1, unix.F_GETFD)),
		allowIf(unix.SYS_FCNTL, "descriptors taken over", eq(1, unix.F_SETFD)),
		allow(unix.SYS_FSTAT, "os.File: kind of a descriptor"),
		allow(unix.SYS_TIMER_CREATE, "runtime: CPU profile of a thread"),
		allow(unix.SYS_TIMER_SETTIME, "runtime: CPU profile of a thread"),
		allow(unix.SYS_TIMER_DELETE, "runtime: CPU profile of a thread"),
		allow(unix.SYS_SETITIMER, "runtime: CPU profile"),
		allow(unix.SYS_RESTART_SYSCALL, "the kernel restarts a sleep after a stop"),
		allow(unix.SYS_GETRLIMIT, "runtime and os: limit of open files"),
	}
}

// unixSockets is for the control connection and the channels between Sentry and gofer.
func unixSockets() []Rule {
	return []Rule{
		allow(unix.SYS_RECVMSG, "messages with descriptors"),
		allow(unix.SYS_SENDMSG, "messages with descriptors"),
		allow(unix.SYS_SHUTDOWN, "end of a connection"),
		allow(unix.SYS_GETSOCKOPT, "kind of a socket taken over"),
		allow(unix.SYS_GETSOCKNAME, "address of a socket taken over"),
		allow(unix.SYS_GETPEERNAME, "address of a socket taken over"),
		allow(unix.SYS_ACCEPT4, "control connections"),
	}
}
