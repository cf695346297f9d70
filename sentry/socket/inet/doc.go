// Package inet implements AF_INET and AF_INET6 sockets (ip(7), ipv6(7),
// tcp(7), udp(7), icmp(7), raw(7)) over the endpoints of a netstack.Stack.
//
// It owns the translation between Linux's socket interface and tcpip's:
// addresses, options, control messages, readiness and error numbers. The
// protocols themselves are tcpip's.
//
// What it must never do: wait; hand memory of an application to the stack
// (data is copied when it is queued); trust a length.
//
// Lock order: Socket.mu guards what tcpip does not keep and is taken before
// every lock of tcpip. tcpip notifies with its locks held: the listener only
// passes the event on to wait.Queue, whose lock is taken after them.
package inet
