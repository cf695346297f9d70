package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
)

// Unshare gives the calling task things of its own (unshare(2)).
func (t *Task) Unshare(flags uint64) error {
	const known = namespaceFlags | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_VM | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	if flags&^uint64(known) != 0 {
		return unix.EINVAL // time namespaces among them
	}
	alone := len(t.tg.Tasks()) == 1
	if flags&(unix.CLONE_THREAD|unix.CLONE_SIGHAND|unix.CLONE_VM|unix.CLONE_NEWUSER) != 0 && !alone {
		return unix.EINVAL
	}
	c := t.Creds()
	if flags&unix.CLONE_NEWUSER != 0 {
		n, err := t.enterNewUserNS(c)
		if err != nil {
			return err
		}
		c = n
		flags |= unix.CLONE_FS
	}
	if flags&namespaceFlags&^unix.CLONE_NEWUSER != 0 && !c.HasCap(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	if flags&unix.CLONE_NEWNET != 0 {
		net, err := newNetNS(c.UserNS)
		if err != nil {
			return unix.ENOMEM
		}
		t.setNet(net)
	}
	if flags&(unix.CLONE_FS|unix.CLONE_NEWNS) != 0 {
		t.UnshareFS()
	}
	if flags&unix.CLONE_NEWNS != 0 {
		t.setMounts(t.mounts.Load().Clone(t.fs.Load(), c.UserNS))
	}
	if flags&unix.CLONE_FILES != 0 {
		t.UnshareFiles()
	}
	if flags&unix.CLONE_NEWUTS != 0 {
		t.uts.Store(t.k.NewUTSNS(t.uts.Load(), c.UserNS))
	}
	if flags&unix.CLONE_NEWIPC != 0 {
		t.setIPC(newIPCNamespace(t.k, c.UserNS))
	} else if flags&unix.CLONE_SYSVSEM != 0 {
		t.dropUndo()
	}
	if flags&unix.CLONE_NEWCGROUP != 0 {
		t.cgroup.Store(t.k.newCgroupNS(c.UserNS))
	}
	if flags&unix.CLONE_NEWPID != 0 {
		pid := newPIDNamespace(t.childNS.Load(), c.UserNS)
		pid.inode = t.k.nsInode()
		t.childNS.Store(pid)
	}
	if c != t.Creds() {
		t.SetCreds(c)
	}
	return nil
}

// newNetNS returns a network namespace with nothing but a loopback interface,
// which is down until somebody sets it up (network_namespaces(7)).
func newNetNS(u *auth.UserNamespace) (*netns.Namespace, error) {
	ns, err := netns.New(u)
	if err != nil {
		return nil, err
	}
	for _, i := range ns.Stack.Interfaces() {
		if err := ns.Stack.SetUp(i.Index, false); err != nil {
			ns.DecRef()
			return nil, err
		}
	}
	return ns, nil
}

func (t *Task) setNet(n *netns.Namespace) {
	if old := t.net.Swap(n); old != nil {
		old.DecRef()
	}
}

func (t *Task) setMounts(n *vfs.MountNamespace) {
	if old := t.mounts.Swap(n); old != nil {
		old.DecRef()
	}
	t.reviewNames()
}

// SetNS moves the calling task into a namespace of a kind, a CLONE_NEW* flag
// (setns(2)).
func (t *Task) SetNS(kind uint64, ns any) error {
	c := t.Creds()
	switch n := ns.(type) {
	case *UTSNamespace:
		if !c.HasCapIn(unix.CAP_SYS_ADMIN, n.userNS) {
			return unix.EPERM
		}
		t.uts.Store(n)
	case *IPCNamespace:
		if !c.HasCapIn(unix.CAP_SYS_ADMIN, n.userNS) {
			return unix.EPERM
		}
		n.IncRef()
		t.setIPC(n)
	case *netns.Namespace:
		if !c.HasCap(unix.CAP_SYS_ADMIN) {
			return unix.EPERM
		}
		n.IncRef()
		t.setNet(n)
	case *PIDNamespace:
		if !c.HasCapIn(unix.CAP_SYS_ADMIN, n.userNS) {
			return unix.EPERM
		}
		for p := n; p != t.PIDNS(); p = p.parent {
			if p == nil {
				return unix.EINVAL
			}
		}
		t.childNS.Store(n)
	case *CgroupNamespace:
		if !c.HasCapIn(unix.CAP_SYS_ADMIN, n.userNS) {
			return unix.EPERM
		}
		t.cgroup.Store(n)
	case *vfs.MountNamespace:
		if !c.HasCapIn(unix.CAP_SYS_ADMIN, n.UserNS()) || !c.HasCap(unix.CAP_SYS_CHROOT) {
			return unix.EPERM
		}
		if t.fs.Load().Shared() {
			return unix.EINVAL
		}
		n.IncRef()
		root := n.Root()
		t.fs.Load().SetRoot(root)
		t.fs.Load().SetCwd(root)
		root.DecRef()
		t.setMounts(n)
	default:
		return unix.EINVAL
	}
	return nil
}
