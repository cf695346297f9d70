package kernel

import "ringfort/sentry/auth"

// IPCNamespace holds System V IPC objects and POSIX message queues.
type IPCNamespace struct {
	k      *Kernel
	userNS *auth.UserNamespace
	inode  uint64
}

func newIPCNamespace(k *Kernel, u *auth.UserNamespace) *IPCNamespace {
	return &IPCNamespace{k: k, userNS: u, inode: k.nsInode()}
}

// UserNS returns the user namespace that owns the objects.
func (n *IPCNamespace) UserNS() *auth.UserNamespace { return n.userNS }

// Inode returns the number /proc/PID/ns/ipc shows.
func (n *IPCNamespace) Inode() uint64 { return n.inode }
