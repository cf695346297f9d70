package seccompfilters

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Sentry returns the rules of the Sentry with the given platform. hostNetwork is for a container that was given the host's
// network: only then are there sockets of the host.
func Sentry(platform string, hostNetwork bool) ([]Rule, error) {
	var first []Rule
	switch platform {
	case "ptrace":
		first = ptracePlatform()
	case "systrap":
		first = systrapPlatform()
	default:
		return nil, fmt.Errorf("seccomp: no rules for platform %q", platform)
	}
	rules := append(append(first, notifications()...), goRuntime()...)
	rules = append(rules, unixSockets()...)
	rules = append(rules, hostFiles()...)
	rules = append(rules, network()...)
	if hostNetwork {
		rules = append(rules, hostSockets()...)
	}
	return append(rules, profiles()...), nil
}

// profiles is for runsc debug. Package runtime/pprof reads /proc/self/maps and does without if it cannot; there is no
// other way to have it write a profile. The open is not done. Any other is the end of the process.
func profiles() []Rule {
	const here = unix.AT_FDCWD & (1<<64 - 1)
	return []Rule{
		failIf(unix.SYS_OPENAT, unix.EACCES, "runtime/pprof: the mappings of the process", eq(0, here), eq(2, unix.O_RDONLY|unix.O_CLOEXEC), eq(3, 0)),
	}
}

// ptracePlatform drives stubs by tracing. The stubs themselves are made from one that was started before the filter, by
// system calls that the tracer has them make, so that no filter of ours is inherited by them.
func ptracePlatform() []Rule {
	return []Rule{
		allow(unix.SYS_PTRACE, "ptrace platform: stubs; the PID namespace holds nothing else to trace"),
		allow(unix.SYS_WAIT4, "ptrace platform: stops of stubs"),
		allow(unix.SYS_WAITID, "ptrace platform: stops of stubs"),
		allowIf(unix.SYS_KILL, "ptrace platform: end a stub; the PID namespace holds nothing else", eq(1, uint64(unix.SIGKILL))),
		allow(unix.SYS_SCHED_SETAFFINITY, "ptrace platform: a stub on its tracer's CPU"),
		allow(unix.SYS_PROCESS_VM_READV, "ptrace platform: debug registers and stack of a stub"),
		allow(unix.SYS_GETCPU, "ptrace platform: which CPU this is"),
		allowIf(unix.SYS_PIDFD_OPEN, "ptrace platform: the end of a stub; the PID namespace holds nothing else", eq(1, unix.O_NONBLOCK|unix.O_EXCL)),
	}
}

// systrapPlatform drives stubs through shared memory. Their mappers, made before the filter, do what needs more.
func systrapPlatform() []Rule {
	return []Rule{
		allow(unix.SYS_WAIT4, "systrap platform: the end of stubs"),
		allowIf(unix.SYS_KILL, "systrap platform: end a stub; the PID namespace holds nothing else", eq(1, uint64(unix.SIGKILL))),
		allow(unix.SYS_SCHED_SETAFFINITY, "systrap platform: a stub on another core than its Sentry thread, while both spin"),
	}
}

// notifications are how those sleep whom we wake on our own core (package unotify).
func notifications() []Rule {
	return []Rule{
		allowIf(unix.SYS_IOCTL, "a stub of the systrap platform has handed over; the gofer has done its work", eq(1, 0xc0502100)),
		allowIf(unix.SYS_IOCTL, "systrap platform: hand over to a stub; a request for the gofer", eq(1, 0xc0182101)),
		allowIf(unix.SYS_IOCTL, "systrap platform and gofer: wake-ups on one core", eq(1, 0x40082104)),
	}
}

// hostFiles is for the memory file, donated descriptors and standard streams: work on what is open, never an open.
func hostFiles() []Rule {
	return []Rule{
		allow(unix.SYS_PREAD64, "donated files"),
		allow(unix.SYS_PWRITE64, "donated files: data, and the time by a write that fails"),
		allow(unix.SYS_READV, "donated files, standard streams"),
		allow(unix.SYS_WRITEV, "donated files, standard streams"),
		allow(unix.SYS_PREADV, "donated files"),
		allow(unix.SYS_PWRITEV, "donated files"),
		allow(unix.SYS_PREADV2, "donated files with flags"),
		allow(unix.SYS_PWRITEV2, "donated files with flags (RWF_APPEND, RWF_DSYNC)"),
		allow(unix.SYS_LSEEK, "standard streams, SEEK_DATA and SEEK_HOLE; memory file: which pages are there"),
		allow(unix.SYS_FSYNC, "durability"),
		allow(unix.SYS_FDATASYNC, "durability"),
		allow(unix.SYS_SYNC_FILE_RANGE, "durability"),
		allow(unix.SYS_FADVISE64, "advice on a donated file"),
		allow(unix.SYS_READAHEAD, "advice on a donated file"),
		allow(unix.SYS_FTRUNCATE, "memory file: make it longer; donated files"),
		allow(unix.SYS_FALLOCATE, "memory file: find memory, punch holes; donated files"),
		allow(unix.SYS_FSTATFS, "donated files"),
		allowIf(unix.SYS_STATX, "attributes of an open descriptor", eq(2, unix.AT_EMPTY_PATH)),
		allowIf(unix.SYS_NEWFSTATAT, "attributes of an open descriptor", eq(3, unix.AT_EMPTY_PATH)),
		allow(unix.SYS_COPY_FILE_RANGE, "between two open descriptors"),
		allow(unix.SYS_SPLICE, "between two open descriptors"),
		allow(unix.SYS_SENDFILE, "between two open descriptors"),
		allow(unix.SYS_FLOCK, "locks of a donated file that others have as well"),
		allowIf(unix.SYS_FCNTL, "locks of a donated file that others have as well", eq(1, unix.F_OFD_SETLK)),
		allowIf(unix.SYS_FCNTL, "locks of a donated file that others have as well", eq(1, unix.F_OFD_GETLK)),
		allow(unix.SYS_DUP, "keep a descriptor"),
		allow(unix.SYS_DUP3, "keep a descriptor"),
		allow(unix.SYS_MREMAP, "windows on the memory file"),
		allow(unix.SYS_MSYNC, "shared mappings of donated files"),
		allow(unix.SYS_MINCORE, "resident pages of mappings"),
		allow(unix.SYS_MLOCK, "runtime profile buffers"),
		allow(unix.SYS_MEMBARRIER, "membarrier of the application"),
		allowIf(unix.SYS_MEMFD_CREATE, "memory of its own, no name in any file system", masked(1, ^uint64(unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_HUGETLB|unix.MFD_EXEC|unix.MFD_NOEXEC_SEAL), 0)),
		allow(unix.SYS_PPOLL, "readiness of standard streams"),
		allow(unix.SYS_POLL, "readiness of standard streams"),
		allow(unix.SYS_EPOLL_WAIT, "readiness of standard streams"),
		allow(unix.SYS_CLOCK_NANOSLEEP, "timers"),
		allow(unix.SYS_CLOCK_GETRES, "clock_getres of the application"),
		allow(unix.SYS_GETTIMEOFDAY, "time"),
		allow(unix.SYS_GETRUSAGE, "resource usage of the Sentry for its statistics"),
		allow(unix.SYS_SYSINFO, "load and memory of the host machine"),
		allowIf(unix.SYS_FCNTL, "size of pipes given as standard streams", eq(1, unix.F_GETPIPE_SZ)),
		allowIf(unix.SYS_FCNTL, "size of pipes given as standard streams", eq(1, unix.F_SETPIPE_SZ)),
		allowIf(unix.SYS_FCNTL, "seals of a memory file", eq(1, unix.F_ADD_SEALS)),
		allowIf(unix.SYS_IOCTL, "bytes to be read in a standard stream", eq(1, unix.TIOCINQ)),
		allowIf(unix.SYS_IOCTL, "terminal given as standard stream: modes", eq(1, unix.TCGETS)),
		allowIf(unix.SYS_IOCTL, "terminal: modes", eq(1, unix.TCSETS)),
		allowIf(unix.SYS_IOCTL, "terminal: modes", eq(1, unix.TCSETSW)),
		allowIf(unix.SYS_IOCTL, "terminal: modes", eq(1, unix.TCSETSF)),
		allowIf(unix.SYS_IOCTL, "terminal: modes, with speeds", eq(1, unix.TCGETS2)),
		allowIf(unix.SYS_IOCTL, "terminal: modes, with speeds", eq(1, unix.TCSETS2)),
		allowIf(unix.SYS_IOCTL, "terminal: modes, with speeds", eq(1, unix.TCSETSW2)),
		allowIf(unix.SYS_IOCTL, "terminal: modes, with speeds", eq(1, unix.TCSETSF2)),
		allowIf(unix.SYS_IOCTL, "terminal: size", eq(1, unix.TIOCGWINSZ)),
		allowIf(unix.SYS_IOCTL, "terminal: size", eq(1, unix.TIOCSWINSZ)),
		allowIf(unix.SYS_IOCTL, "terminal: output not yet sent", eq(1, unix.TIOCOUTQ)),
		allowIf(unix.SYS_IOCTL, "terminal: flush", eq(1, unix.TCFLSH)),
	}
}

// network is for the sockets that runsc opened: packet sockets, and one connected to the name server that Docker has on
// the loopback of the host's side of the namespace. That side is the container's own: whoever has the packet sockets can
// send what he likes there, and nothing but that server listens. No socket can be made, bound or connected.
func network() []Rule {
	return []Rule{
		allow(unix.SYS_RECVMMSG, "frames from a packet socket"),
		allow(unix.SYS_SENDMMSG, "frames to a packet socket"),
		allow(unix.SYS_RECVFROM, "frames; answers of the gofer and of the resolver"),
		allowIf(unix.SYS_SENDTO, "frames on a bound socket, queries on one connected to the resolver: no address", eq(4, 0)),
	}
}

// hostSockets is for a container with the host's network, by nobody's wish but the engine's: what its sockets do, those of
// the Sentry do. The Sentry looks at every address and option before (package hostinet); it is in the network namespace of
// the host, but without a capability there.
func hostSockets() []Rule {
	var rules []Rule
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			rules = append(rules, allowIf(unix.SYS_SOCKET, "host network: TCP, UDP and ping sockets, nothing raw",
				eq(0, family), eq(1, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)))
		}
	}
	rules = append(rules,
		allow(unix.SYS_BIND, "host network: bind(2) of the application"),
		allow(unix.SYS_CONNECT, "host network: connect(2) of the application"),
		allow(unix.SYS_LISTEN, "host network: listen(2) of the application"))
	for _, level := range []uint64{unix.SOL_SOCKET, unix.IPPROTO_IP, unix.IPPROTO_TCP, unix.IPPROTO_IPV6} {
		rules = append(rules, allowIf(unix.SYS_SETSOCKOPT, "host network: the options that package hostinet lists", eq(1, level)))
	}
	return rules
}
