package seccompfilters

import "golang.org/x/sys/unix"

// Forward returns the rules of the process that listens on the host's side of a pod's network namespace. It can connect
// to nothing.
func Forward() []Rule {
	const why = "listeners that stand for those of the sandbox"
	rules := append(goRuntime(), unixSockets()...)
	return append(rules,
		allowIf(unix.SYS_SOCKET, why, eq(0, unix.AF_INET), eq(1, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK), eq(2, 0)),
		allowIf(unix.SYS_SOCKET, why, eq(0, unix.AF_INET6), eq(1, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK), eq(2, 0)),
		allow(unix.SYS_BIND, why+"; the namespace is the pod's"),
		allow(unix.SYS_LISTEN, why),
		allow(unix.SYS_SETSOCKOPT, why+": addresses used again; a connection is reset"),
	)
}
