// Package unixsock implements AF_UNIX sockets (unix(7)): streams, datagrams
// and sequenced packets, named by path, by abstract name or not at all, with
// descriptors and credentials passed beside the data.
//
// It owns the data between two sockets of a sandbox: each socket has an inbox
// that its peers put into. Nothing here reaches the host.
//
// A socket sent over itself and then closed keeps itself alive until the
// sandbox ends; maxInFlight bounds what can be lost that way.
//
// What it must never do: wait; hold a lock while a description is released
// (that may close a socket of this very package); count on a peer staying.
//
// Lock order: Socket.mu of a socket that does not listen, Socket.mu of one
// that listens, inbox.mu (never two), then the locks of an address space and
// wait.Queue.mu. A listening socket never becomes another kind, so the kind is
// known before its lock is taken.
package unixsock
