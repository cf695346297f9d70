package seccompfilters

import "golang.org/x/sys/unix"

// Gofer returns the rules of the gofer: work on files below its exports. Its root directory is empty, so that a name is
// always relative to a descriptor of an export. hostSockets is for one that was told to connect to unix sockets below them.
func Gofer(hostSockets bool) []Rule {
	rules := append(goRuntime(), unixSockets()...)
	rules = append(rules, goferFiles()...)
	if hostSockets {
		rules = append(rules, goferSockets()...)
	}
	return rules
}

// goferSockets is for --host-uds=open. The working directory is that of the gofer's own descriptors and its root is empty,
// so that a name leads nowhere but to a socket it has found below an export.
func goferSockets() []Rule {
	rules := []Rule{allow(unix.SYS_CONNECT, "--host-uds=open: a socket below an export")}
	for _, kind := range []uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		rules = append(rules, allowIf(unix.SYS_SOCKET, "--host-uds=open: unix sockets, nothing else",
			eq(0, unix.AF_UNIX), eq(1, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC), eq(2, 0)))
	}
	return rules
}

func goferFiles() []Rule {
	const beneath = "one name beneath an export"
	return []Rule{
		allow(unix.SYS_OPENAT2, beneath+", with RESOLVE_BENEATH"),
		allow(unix.SYS_OPENAT, beneath+": the same file again, through its descriptor"),
		allow(unix.SYS_NEWFSTATAT, "attributes"),
		allow(unix.SYS_STATX, "attributes"),
		allow(unix.SYS_FSTATFS, "attributes of a file system"),
		allow(unix.SYS_STATFS, "attributes of a file system"),
		allow(unix.SYS_READLINKAT, "target of a link, as text"),
		allow(unix.SYS_GETDENTS64, "list of a directory"),
		allow(unix.SYS_LSEEK, "list of a directory"),
		allow(unix.SYS_PREAD64, "data by 9P"),
		allow(unix.SYS_PWRITE64, "data by 9P"),
		allow(unix.SYS_PREADV2, "data by 9P"),
		allow(unix.SYS_PWRITEV2, "data by 9P"),
		allow(unix.SYS_READV, "data by 9P"),
		allow(unix.SYS_WRITEV, "data by 9P"),
		allow(unix.SYS_FSYNC, "durability"),
		allow(unix.SYS_FDATASYNC, "durability"),
		allow(unix.SYS_SYNCFS, "durability"),
		allow(unix.SYS_MKDIRAT, beneath),
		allow(unix.SYS_MKNODAT, beneath),
		allow(unix.SYS_SYMLINKAT, beneath),
		allow(unix.SYS_LINKAT, beneath),
		allow(unix.SYS_UNLINKAT, beneath),
		allow(unix.SYS_RENAMEAT2, beneath),
		allow(unix.SYS_RENAMEAT, beneath),
		allow(unix.SYS_FCHMODAT, "attributes"),
		allow(unix.SYS_FCHMODAT2, "attributes"),
		allow(unix.SYS_FCHMOD, "attributes"),
		allow(unix.SYS_FCHOWNAT, "attributes"),
		allow(unix.SYS_FCHOWN, "attributes"),
		allow(unix.SYS_UTIMENSAT, "attributes"),
		allow(unix.SYS_FTRUNCATE, "attributes: size"),
		allow(unix.SYS_FALLOCATE, "space of a file"),
		allow(unix.SYS_FACCESSAT, "access of a name"),
		allow(unix.SYS_FGETXATTR, "extended attributes"),
		allow(unix.SYS_FSETXATTR, "extended attributes"),
		allow(unix.SYS_FLISTXATTR, "extended attributes"),
		allow(unix.SYS_FREMOVEXATTR, "extended attributes"),
		allow(unix.SYS_GETXATTR, "extended attributes of an O_PATH descriptor, by its /proc/self/fd name"),
		allow(unix.SYS_SETXATTR, "extended attributes of an O_PATH descriptor"),
		allow(unix.SYS_LISTXATTR, "extended attributes of an O_PATH descriptor"),
		allow(unix.SYS_REMOVEXATTR, "extended attributes of an O_PATH descriptor"),
		allow(unix.SYS_INOTIFY_INIT1, "changes of a shared export"),
		allow(unix.SYS_INOTIFY_ADD_WATCH, "changes of a shared export"),
		allow(unix.SYS_INOTIFY_RM_WATCH, "changes of a shared export"),
		allow(unix.SYS_DUP, "keep a descriptor"),
		allow(unix.SYS_DUP3, "keep a descriptor"),
		allow(unix.SYS_UMASK, "modes are as the client says"),
		allow(unix.SYS_PPOLL, "readiness of the channels"),
		allow(unix.SYS_POLL, "room in the channels"),
		allowIf(unix.SYS_SECCOMP, "a filter more for the thread that serves, with a listener for the Sentry",
			eq(0, unix.SECCOMP_SET_MODE_FILTER), eq(1, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)),
		allow(unix.SYS_GETPPID, "sleep until the Sentry has a request: that filter makes a notification of it"),
		allow(unix.SYS_RECVFROM, "requests"),
		allow(unix.SYS_SENDTO, "answers"),
		allow(unix.SYS_MREMAP, "buffers"),
	}
}
