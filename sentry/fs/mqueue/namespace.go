package mqueue

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/ipc"
	"ringfort/sentry/limits"
	"ringfort/sentry/vfs"
)

// Magic is f_type of mqueue (statfs(2)).
const Magic = 0x19800202

// Limits are /proc/sys/fs/mqueue/* (mq_overview(7)).
type Limits struct {
	QueuesMax                  int32
	MsgMax, MsgSizeMax         int32 // highest of mq_maxmsg and mq_msgsize
	MsgDefault, MsgSizeDefault int32 // where mq_open(2) gives none
}

// The bounds of Limits, and of what CAP_SYS_RESOURCE may ask for.
const (
	HardMsgMax     = 65536
	HardMsgSizeMax = 16 << 20
)

// Namespace is the queues of an IPC namespace.
type Namespace struct {
	sb       vfs.Superblock
	root     vfs.Path
	accounts *Accounts
	budget   *ipc.Budget
	nextIno  atomic.Uint64
	queues   atomic.Int32

	mu  sync.Mutex
	lim Limits
}

// Accounts counts the bytes of each user's queues, for RLIMIT_MSGQUEUE, over all namespaces.
type Accounts struct {
	mu    sync.Mutex
	bytes map[auth.KUID]uint64
}

// NewAccounts returns empty accounts.
func NewAccounts() *Accounts { return &Accounts{bytes: map[auth.KUID]uint64{}} }

// charge adds n bytes to a user's account: EMFILE beyond limit.
func (a *Accounts) charge(u auth.KUID, n, limit uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := a.bytes[u] + n
	if sum < n || limit != limits.Infinity && sum > limit {
		return unix.EMFILE
	}
	a.bytes[u] = sum
	return nil
}

func (a *Accounts) uncharge(u auth.KUID, n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes[u] -= n; a.bytes[u] == 0 {
		delete(a.bytes, u)
	}
}

// New returns a namespace without queues. What messages take is charged to b.
func New(a *Accounts, b *ipc.Budget) *Namespace {
	n := &Namespace{accounts: a, budget: b, lim: Limits{QueuesMax: 256, MsgMax: 10, MsgSizeMax: 8192, MsgDefault: 10, MsgSizeDefault: 8192}}
	n.sb.Type, n.sb.Source, n.sb.Magic, n.sb.Dev = "mqueue", "mqueue", Magic, vfs.NewDev()
	d := &directory{ns: n, queues: map[string]*Queue{}}
	d.Init(&n.sb, n.nextIno.Add(1), unix.S_IFDIR|0o1777, 0, 0)
	d.SetNlink(2)
	d.stamp(nil)
	n.sb.SetRoot(d)
	n.sb.ReleaseFunc = d.release
	n.root = vfs.NewKernelMount(&n.sb)
	return n
}

// Superblock returns the file system of the queues, to mount it.
func (n *Namespace) Superblock() *vfs.Superblock { return &n.sb }

// Root returns the directory of the queues; its reference is the namespace's.
func (n *Namespace) Root() vfs.Path { return n.root }

// Release gives up the kernel's mount: the queues go with the last other one.
func (n *Namespace) Release() { n.root.DecRef() }

// Limits returns the limits.
func (n *Namespace) Limits() Limits {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lim
}

// Change changes the limits within their bounds.
func (n *Namespace) Change(f func(l *Limits)) {
	n.mu.Lock()
	f(&n.lim)
	n.mu.Unlock()
}
