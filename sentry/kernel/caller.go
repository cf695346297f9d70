package kernel

import (
	"time"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/limits"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Caller is the kernel itself as the author of file operations: all-powerful,
// without memory, signals or limits. Each goroutine that blocks needs its own.
type Caller struct {
	k      *Kernel
	creds  *auth.Credentials
	fs     *vfs.FSContext
	mounts *vfs.MountNamespace
	limits *limits.Set
	wake   chan struct{}
	net    *netns.Namespace

	// What the files of proc and the like are about; nil: the sandbox's.
	container *Container
	pids      *PIDNamespace
	uts       *UTSNamespace
	ipc       *IPCNamespace
}

// NewCaller returns a Caller with the given root and mount namespace, which may
// be nil where no path is walked. What it makes belongs to the containers' root.
func (k *Kernel) NewCaller(fs *vfs.FSContext, mounts *vfs.MountNamespace) *Caller {
	creds := auth.NewRoot(k.rootUserNS)
	if uid, ok := k.initUserNS.KUID(0); ok {
		creds.RUID, creds.EUID, creds.SUID, creds.FSUID = uid, uid, uid, uid
	}
	if gid, ok := k.initUserNS.KGID(0); ok {
		creds.RGID, creds.EGID, creds.SGID, creds.FSGID = gid, gid, gid, gid
	}
	return &Caller{k: k, creds: creds, fs: fs, mounts: mounts, limits: limits.New(), wake: make(chan struct{}, 1)}
}

// InInitUserNS makes IDs that c gives or is given mean those of the containers' user namespace, where alone c has its
// powers then, and returns c.
func (c *Caller) InInitUserNS() *Caller {
	creds := c.creds.Copy()
	creds.UserNS = c.k.initUserNS
	c.creds = creds
	return c
}

// InNetNS makes c act in a network namespace, and returns c.
func (c *Caller) InNetNS(n *netns.Namespace) *Caller {
	c.net = n
	return c
}

// InContainer makes c act in a container and its namespaces, and returns c.
func (c *Caller) InContainer(con *Container, pids *PIDNamespace, uts *UTSNamespace, ipc *IPCNamespace) *Caller {
	c.container, c.pids, c.uts, c.ipc = con, pids, uts, ipc
	return c
}

// Container returns the container c acts in, nil if none was said; so do the
// namespaces below.
func (c *Caller) Container() *Container { return c.container }

// PIDNS returns the PID namespace.
func (c *Caller) PIDNS() *PIDNamespace { return c.pids }

// UTSNS returns the UTS namespace.
func (c *Caller) UTSNS() *UTSNamespace { return c.uts }

// IPCNS returns the IPC namespace.
func (c *Caller) IPCNS() *IPCNamespace { return c.ipc }

// NetNS returns the network namespace c acts in, nil if none was said.
func (c *Caller) NetNS() *netns.Namespace { return c.net }

// Notify implements wait.Notifiee.
func (c *Caller) Notify(*wait.Waiter, wait.Events) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Block implements wait.Blocker.
func (c *Caller) Block(deadline int64) error {
	if deadline == wait.NoDeadline {
		<-c.wake
		return nil
	}
	timer := time.NewTimer(time.Duration(deadline - c.k.Monotonic()))
	defer timer.Stop()
	select {
	case <-c.wake:
		return nil
	case <-timer.C:
		return unix.ETIMEDOUT
	}
}

// Creds implements vfs.Caller.
func (c *Caller) Creds() *auth.Credentials { return c.creds }

// FS implements vfs.Caller.
func (c *Caller) FS() *vfs.FSContext { return c.fs }

// MountNS implements vfs.Caller.
func (c *Caller) MountNS() *vfs.MountNamespace { return c.mounts }

// Limits implements vfs.Caller.
func (c *Caller) Limits() *limits.Set { return c.limits }

// Memory implements vfs.Caller: the kernel has none.
func (c *Caller) Memory() usermem.IO { return usermem.BytesIO(nil) }

// ThreadGroupID implements vfs.Caller.
func (c *Caller) ThreadGroupID() int32 { return 0 }

// Now implements vfs.Caller.
func (c *Caller) Now() int64 { return c.k.Realtime() }

// SendSignal implements vfs.Caller.
func (c *Caller) SendSignal(int32) {}

var _ vfs.Caller = (*Caller)(nil)
