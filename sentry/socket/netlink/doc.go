// Package netlink implements AF_NETLINK sockets (netlink(7)): the route
// protocol in full enough for iproute2, getifaddrs(3) and resolvers
// (rtnetlink(7)), and kernel events and audit as quiet as they are in a
// container.
//
// It owns the sockets and the wire format; what the messages ask for is done
// by the namespace's netstack.Stack. Requests are handled within the send, as
// the kernel does; replies wait in the socket's queue, which is bounded: one
// that does not read loses replies and is told by ENOBUFS.
//
// What it must never do: trust a length in a message; wait.
//
// Lock order: Socket.mu, then the stack's and wait.Queue.mu. ports.mu is a
// leaf.
package netlink
