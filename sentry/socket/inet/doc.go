// Package inet implements AF_INET and AF_INET6 sockets (ip(7), ipv6(7),
// tcp(7), udp(7), icmp(7), raw(7)) over the endpoints of a netstack.Stack.
//
// It owns the translation between Linux's socket interface and tcpip's:
// addresses, options, control messages, readiness and error numbers. The
// protocols themselves are tcpip's.
//
// A TCP connection between two sockets of one namespace does not go through the
// stack: connectLocal finds the listener (local.go) and bytes move from one
// end's system call into the other's ring (link.go). Links, addresses and
// routes of the stack still decide whether the address can be reached; packet
// sockets see nothing of such a connection. All others are tcpip's.
//
// What it must never do: wait; hand memory of an application to the stack
// (data is copied when it is queued); trust a length.
//
// Lock order: Socket.mu guards what tcpip does not keep and is taken before
// listener.mu, link.mu (one for both ends) and every lock of tcpip. Waiters are
// told with neither of the two held. tcpip notifies with its locks held: the listener only
// passes the event on to wait.Queue, whose lock is taken after them.
package inet
