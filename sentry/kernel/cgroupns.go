package kernel

import "ringfort/sentry/auth"

// CgroupNamespace is a cgroup namespace (cgroup_namespaces(7)). There is one
// cgroup, the container's, so every namespace has it for its root.
type CgroupNamespace struct {
	userNS *auth.UserNamespace
	inode  uint64
}

// rootCgroupNSInode is the number of the first one (include/linux/proc_ns.h).
const rootCgroupNSInode = 0xEFFFFFFB

// UserNS returns the user namespace that owns n.
func (n *CgroupNamespace) UserNS() *auth.UserNamespace { return n.userNS }

// Inode returns the number /proc/PID/ns/cgroup shows.
func (n *CgroupNamespace) Inode() uint64 { return n.inode }

// CgroupNS returns the cgroup namespace; nil once the task has exited.
func (t *Task) CgroupNS() *CgroupNamespace { return t.cgroup.Load() }

func (k *Kernel) newCgroupNS(u *auth.UserNamespace) *CgroupNamespace {
	return &CgroupNamespace{userNS: u, inode: k.nsInode()}
}
