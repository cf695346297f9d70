package seccompfilters

import "golang.org/x/sys/unix"

// Follow returns the rules of the process that takes over links which come late. It can do with the network namespace of
// its container what it likes, and reach nothing else.
func Follow() []Rule {
	const netlink = "links, addresses and routes of the namespace"
	rules := append(goRuntime(), unixSockets()...)
	return append(rules,
		allowIf(unix.SYS_SOCKET, netlink, eq(0, unix.AF_NETLINK), eq(1, unix.SOCK_RAW|unix.SOCK_CLOEXEC), eq(2, unix.NETLINK_ROUTE)),
		allowIf(unix.SYS_SOCKET, "packet socket on a new link", eq(0, unix.AF_PACKET), eq(1, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK), eq(2, 0)),
		allowIf(unix.SYS_SOCKET, "socket to the resolver", eq(0, unix.AF_INET), eq(1, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK), eq(2, 0)),
		allow(unix.SYS_BIND, netlink+"; packet socket on a new link"),
		allow(unix.SYS_CONNECT, "socket to the resolver"),
		allow(unix.SYS_SETSOCKOPT, netlink+": time limits; packet sockets: size of queues, headers"),
		allow(unix.SYS_SENDTO, netlink),
		allow(unix.SYS_RECVFROM, netlink),
		allow(unix.SYS_LSEEK, "table of UDP sockets"),
		allow(unix.SYS_PREAD64, "table of UDP sockets"),
	)
}
