package ipc

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/wait"
)

// Caller is a task that asks for something.
type Caller interface {
	wait.Blocker
	Creds() *auth.Credentials
	// Now is CLOCK_REALTIME in nanoseconds.
	Now() int64
	// ProcessName names the caller's process for good: what shm_cpid and its
	// like are told from (a *kernel.PID). Package ipc only keeps it.
	ProcessName() any
}

// Budget bounds the bytes of the Sentry's own memory that objects take.
type Budget struct {
	max, used atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.max.Store(bytes)
	return b
}

// Charge takes n bytes: ENOMEM if they are not left.
func (b *Budget) Charge(n int64) error {
	if b.used.Add(n) > b.max.Load() {
		b.used.Add(-n)
		return unix.ENOMEM
	}
	return nil
}

// Uncharge gives n bytes back.
func (b *Budget) Uncharge(n int64) { b.used.Add(-n) }

// Namespace holds the objects of one IPC namespace.
type Namespace struct {
	userNS *auth.UserNamespace
	mem    *pgalloc.File
	budget *Budget

	limMu sync.RWMutex
	lim   Limits

	shm table[*Segment]
	sem table[*Set]
	msg table[*Queue]

	pages atomic.Uint64 // of all segments
	sems  atomic.Int64  // of all sets
}

// Limits are what /proc/sys/kernel bounds (proc_sys_kernel(5)).
type Limits struct {
	ShmMax, ShmAll uint64 // bytes of one segment, pages of all
	ShmMni         int32
	ShmRmidForced  bool

	// SEMMSL, SEMMNS, SEMOPM and SEMMNI: semaphores of a set, of all sets,
	// operations of a semop(2), sets.
	SemMsl, SemMns, SemOpm, SemMni int32

	MsgMax, MsgMnb, MsgMni int32 // bytes of a message, of a queue; queues
}

// DefaultLimits are those of Linux (include/uapi/linux/{shm,sem,msg}.h).
func DefaultLimits() Limits {
	const all = ^uint64(0) - 1<<24 // ULONG_MAX - (1UL << 24)
	return Limits{
		ShmMax: all, ShmAll: all, ShmMni: 4096,
		SemMsl: 32000, SemMns: 1024000000, SemOpm: 500, SemMni: 32000,
		MsgMax: 8192, MsgMnb: 16384, MsgMni: 32000,
	}
}

// NewNamespace returns an empty namespace whose segments have their pages in mem.
func NewNamespace(u *auth.UserNamespace, mem *pgalloc.File, b *Budget) *Namespace {
	return &Namespace{userNS: u, mem: mem, budget: b, lim: DefaultLimits()}
}

// Budget returns what the namespace charges.
func (n *Namespace) Budget() *Budget { return n.budget }

// Limits returns the limits.
func (n *Namespace) Limits() Limits {
	n.limMu.RLock()
	defer n.limMu.RUnlock()
	return n.lim
}

// Change changes the limits; f must leave them within the bounds Linux keeps.
func (n *Namespace) Change(f func(l *Limits)) {
	n.limMu.Lock()
	was := n.lim.ShmRmidForced
	f(&n.lim)
	forced := n.lim.ShmRmidForced && !was
	n.limMu.Unlock()
	if forced {
		n.removeOrphans()
	}
}

// Release removes everything: nobody is in the namespace any more. Segments
// that are still attached somewhere live until they are detached.
func (n *Namespace) Release() {
	for _, s := range n.shm.all() {
		n.removeSegment(s)
	}
	for _, s := range n.sem.all() {
		n.removeSet(s)
	}
	for _, q := range n.msg.all() {
		n.removeQueue(q)
	}
}

// seconds is the time as IPC objects keep it.
func seconds(c Caller) int64 { return c.Now() / 1e9 }
