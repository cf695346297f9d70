// Package netns holds what a network namespace is (network_namespaces(7)): a
// TCP/IP stack and the abstract names of AF_UNIX.
//
// Namespaces are reference counted; with the last reference the stack is shut
// down. Namespace.mu is a leaf.
package netns

import (
	"sync"
	"sync/atomic"

	"ringfort/netstack"
	"ringfort/sentry/auth"
)

// firstInode is the inode number of the first network namespace, as on a
// freshly booted Linux.
const firstInode = 4026531840

// defaultUnprivileged is Linux's PROT_SOCK.
const defaultUnprivileged = 1024

var inodes atomic.Uint64

// Namespace is a network namespace.
type Namespace struct {
	// Stack is the namespace's TCP/IP stack.
	Stack *netstack.Stack
	// UserNS owns the namespace: CAP_NET_ADMIN in it allows to configure it.
	UserNS *auth.UserNamespace
	// Host says that the namespace is the host's: sockets are the host's (package
	// hostinet), and Stack only shows the links there are. Fixed before use.
	Host bool
	// Listeners are the TCP sockets of package inet that accept connections.
	Listeners Ports

	refs  atomic.Int64
	inode uint64
	// unprivileged is net.ipv4.ip_unprivileged_port_start.
	unprivileged atomic.Uint32

	mu       sync.Mutex
	abstract map[string]any
}

// New returns a namespace of its own with nothing but loopback, owned by
// userNS, with one reference.
func New(userNS *auth.UserNamespace) (*Namespace, error) {
	s, err := netstack.New(nil, nil)
	if err != nil {
		return nil, err
	}
	return FromStack(s, userNS), nil
}

// FromStack returns a namespace around a stack that is already set up, with
// one reference.
func FromStack(s *netstack.Stack, userNS *auth.UserNamespace) *Namespace {
	ns := &Namespace{Stack: s, UserNS: userNS, inode: firstInode + inodes.Add(1) - 1, abstract: make(map[string]any)}
	ns.refs.Store(1)
	ns.unprivileged.Store(defaultUnprivileged)
	return ns
}

// ReplaceStack gives the namespace another stack, before anything uses it, and
// ends the old one.
func (ns *Namespace) ReplaceStack(s *netstack.Stack) {
	old := ns.Stack
	ns.Stack = s
	go old.Close()
}

// UnprivilegedPort is the first port that may be bound without
// CAP_NET_BIND_SERVICE (net.ipv4.ip_unprivileged_port_start).
func (ns *Namespace) UnprivilegedPort() uint16 { return uint16(ns.unprivileged.Load()) }

// SetUnprivilegedPort changes it.
func (ns *Namespace) SetUnprivilegedPort(p uint16) { ns.unprivileged.Store(uint32(p)) }

// Inode is the number /proc/PID/ns/net shows.
func (ns *Namespace) Inode() uint64 { return ns.inode }

// IncRef takes a reference.
func (ns *Namespace) IncRef() { ns.refs.Add(1) }

// DecRef drops a reference; with the last one the stack ends. It does not
// wait for that.
func (ns *Namespace) DecRef() {
	if ns.refs.Add(-1) == 0 {
		go ns.Stack.Close()
	}
}

// BindAbstract gives an abstract name to a socket; false if it is taken.
func (ns *Namespace) BindAbstract(name string, ep any) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if _, taken := ns.abstract[name]; taken {
		return false
	}
	ns.abstract[name] = ep
	return true
}

// Abstract returns the socket of an abstract name, nil if there is none.
func (ns *Namespace) Abstract(name string) any {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.abstract[name]
}

// UnbindAbstract frees an abstract name.
func (ns *Namespace) UnbindAbstract(name string) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	delete(ns.abstract, name)
}
