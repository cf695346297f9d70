package kernel

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/ipc"
	"ringfort/sentry/limits"
	"ringfort/sentry/mm"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Task is a thread of an application.
type Task struct {
	k  *Kernel
	tg *ThreadGroup

	ids ids // guarded by Kernel.tree for writing (execve from a thread)

	// Owner only.
	ctx        platform.Context // replaced under ctxMu, for others who interrupt it
	ctxMu      sync.RWMutex
	regs       arch.Registers // see Registers
	partial    bool           // regs has those of a system call only: the platform has the rest
	fp         arch.FPState
	timer      *time.Timer
	waiter     wait.Waiter // see OwnWaiter
	futex      futexWaiter
	restart    func(t *Task) (uintptr, error) // restart_syscall(2)
	syscallNr  uintptr                        // of the call being served
	args       arch.SyscallArguments          // likewise
	inSyscall  bool
	restartErr unix.Errno // the call just served wants to be restarted
	savedMask  SignalSet  // to restore after sigsuspend and its like
	maskSaved  bool
	lastFault  faultMemory
	names      taskNames
	asked      *asked
	habits     habits
	clearTID   usermem.Addr // set_tid_address(2)
	setTID     usermem.Addr // CLONE_CHILD_SETTID, until the task has started
	robust     RobustList
	pdeathSig  int32
	undo       *ipc.UndoList // SEM_UNDO; nil until it is used

	// attention says why the task must not go on in user code, nor sleep.
	attention atomic.Uint32
	// wake carries one wake-up to Block.
	wake     chan struct{}
	notified atomic.Bool
	parked   atomic.Bool // awaken makes its goroutine ready

	mmp     atomic.Pointer[mm.MemoryManager]
	fds     atomic.Pointer[vfs.FDTable]
	fs      atomic.Pointer[vfs.FSContext]
	creds   atomic.Pointer[auth.Credentials]
	mounts  atomic.Pointer[vfs.MountNamespace]
	uts     atomic.Pointer[UTSNamespace]
	ipc     atomic.Pointer[IPCNamespace]
	net     atomic.Pointer[netns.Namespace]
	cgroup  atomic.Pointer[CgroupNamespace]
	childNS atomic.Pointer[PIDNamespace] // for children (unshare, setns)
	seccomp atomic.Pointer[seccompState]

	// Guarded by tg.sig.
	mask     SignalSet
	pending  pending
	altStack StackT
	waiting  SignalSet // sigtimedwait waits for these

	nameMu sync.Mutex
	name   string

	state    atomic.Int32 // State*
	exited   bool         // guarded by Kernel.tree
	exitCode ExitStatus
	vfork    chan struct{} // closed when a vfork child execs or exits
	// lastWords is called when its memory is free, for to write takes some.
	lastWords func()
	started   int64 // monotonic

	cpu      stopwatch // runs unless the task sleeps
	user     stopwatch // runs while the application does
	switches atomic.Int64
	faults   atomic.Int64

	persona atomic.Uint32
	sched   schedParams
	ioBytes ioCounters
}

// Task states as /proc/PID/stat shows them.
const (
	StateRunning = int32('R')
	StateSleep   = int32('S')
	StateStopped = int32('T')
	StateTraced  = int32('t')
	StateZombie  = int32('Z')
	StateDead    = int32('X')
)

// Bits of Task.attention.
const (
	attnSignal = 1 << iota // a signal may be deliverable
	attnStop               // a job control stop is under way
	attnKill               // exit now
	attnPause              // the sandbox is being paused
	attnMask               // restore the saved signal mask
)

// interrupting are the bits that end a wait.
const interrupting = attnSignal | attnStop | attnKill | attnPause

// poke makes t notice a bit of attention.
func (t *Task) poke(bit uint32) {
	t.attention.Or(bit)
	t.awaken()
	t.ctxMu.RLock()
	t.ctx.Interrupt()
	t.ctxMu.RUnlock()
}

func (t *Task) awaken() {
	if t.parked.CompareAndSwap(true, false) {
		t.k.ready.Add(1)
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Notify implements wait.Notifiee.
func (t *Task) Notify(*wait.Waiter, wait.Events) {
	t.notified.Store(true)
	t.awaken()
}

// lingerSleep is the shortest wait, in nanoseconds, that a task may linger in: the end of a shorter one is the timer's.
const lingerSleep = 1e6

// Block implements wait.Blocker.
func (t *Task) Block(deadline int64) error {
	if t.notified.Swap(false) {
		return nil
	}
	if t.attention.Load()&interrupting != 0 {
		return wait.ErrInterrupted
	}
	long, soon := false, false
	if deadline != wait.NoDeadline {
		left := deadline - t.k.Monotonic()
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		long, soon = left >= longSleep, left < lingerSleep
		t.armTimer(left)
		defer t.timer.Stop()
	}
	// Other threads of the process must not run with mappings this task has
	// replaced for as long as it sleeps.
	if m := t.mmp.Load(); m != nil && m.Stale() && m.Users() > 1 && t.ctx != nil {
		if err := m.Flush(t.ctx); err != nil {
			t.k.log.Warn("flush mappings", "err", err)
		}
	}
	t.state.Store(StateSleep)
	t.switches.Add(1)
	defer t.state.Store(StateRunning)
	t.stopCPU()
	defer t.startCPU()
	if soon || t.ctx == nil || !t.ctx.Linger(t.wake) {
		t.idle()
	}
	for {
		expired := t.sleep(deadline)
		if t.notified.Swap(false) {
			return nil
		}
		if expired {
			if long {
				t.Container().slept()
			}
			return unix.ETIMEDOUT
		}
		if t.attention.Load()&interrupting != 0 {
			return wait.ErrInterrupted
		}
	}
}

func (t *Task) armTimer(left int64) {
	if t.timer == nil {
		t.timer = time.NewTimer(time.Duration(left))
	} else {
		t.timer.Reset(time.Duration(left))
	}
}

// sleep waits until t is awakened or the deadline, for which t.timer is armed,
// has come.
func (t *Task) sleep(deadline int64) (expired bool) {
	t.parked.Store(true)
	defer func() {
		if !t.parked.CompareAndSwap(true, false) {
			t.k.ready.Add(-1)
		}
	}()
	if deadline == wait.NoDeadline {
		<-t.wake
		return false
	}
	for {
		select {
		case <-t.wake:
			return false
		case <-t.timer.C:
			// The host's timer runs by the host's clock, which ours follows.
			left := deadline - t.k.Monotonic()
			if left <= 0 {
				return true
			}
			t.armTimer(left)
		}
	}
}

// idle tells the platform that the task waits for something.
func (t *Task) idle() {
	if t.ctx != nil {
		t.ctx.Sleep()
	}
}

// BlockOn waits on q for an event until done returns true; see Block.
func (t *Task) BlockOn(q *wait.Queue, mask wait.Events, deadline int64, done func() bool) error {
	w := t.OwnWaiter()
	q.Add(w, mask)
	defer w.Remove()
	for !done() {
		if err := t.Block(deadline); err != nil {
			return err
		}
	}
	return nil
}

// OwnWaiter returns a Waiter of t's that is on no queue, for a system call that
// takes it off before it returns. Owner only.
func (t *Task) OwnWaiter() *wait.Waiter {
	if t.waiter.Queued() {
		return &wait.Waiter{To: t}
	}
	t.waiter = wait.Waiter{To: t}
	return &t.waiter
}

// Usage returns what the task has used.
func (t *Task) Usage() Rusage {
	user, sys := t.cpuTimes()
	u := Rusage{User: user, Sys: sys, VolSwitch: t.switches.Load(), MinFlt: t.faults.Load()}
	if m := t.mmp.Load(); m != nil {
		u.MaxRSS = m.MaxRSS()
	}
	return u
}

// Kernel returns the kernel.
func (t *Task) Kernel() *Kernel { return t.k }

// Container returns the container t belongs to.
func (t *Task) Container() *Container { return t.tg.container }

// Platform returns what runs the application code of t.
func (t *Task) Platform() platform.Platform { return t.tg.container.platform }

// ThreadGroup returns the process of t.
func (t *Task) ThreadGroup() *ThreadGroup { return t.tg }

// MM returns the address space; nil once the task has exited.
func (t *Task) MM() *mm.MemoryManager { return t.mmp.Load() }

// Memory returns the address space as an IO.
func (t *Task) Memory() usermem.IO { return t.mmp.Load() }

// Creds returns the credentials.
func (t *Task) Creds() *auth.Credentials { return t.creds.Load() }

// SetCreds publishes new credentials. Owner only.
func (t *Task) SetCreds(c *auth.Credentials) {
	old := t.creds.Swap(c)
	if old.EUID != c.EUID || old.EGID != c.EGID || old.FSUID != c.FSUID || old.FSGID != c.FSGID ||
		c.Permitted&^old.Permitted != 0 {
		// commit_creds of Linux: a process that changed identity dumps no core
		// and keeps no parent death signal.
		if m := t.MM(); m != nil {
			m.SetInfo(func(i *mm.Info) { i.Dumpable = 0 })
		}
		t.pdeathSig = 0
	}
	t.publishAnswers()
}

// UserNS returns the user namespace.
func (t *Task) UserNS() *auth.UserNamespace { return t.creds.Load().UserNS }

// FDs returns the descriptor table; nil once the task has exited.
func (t *Task) FDs() *vfs.FDTable { return t.fds.Load() }

// FS returns root, working directory and umask.
func (t *Task) FS() *vfs.FSContext { return t.fs.Load() }

// MountNS returns the mount namespace.
func (t *Task) MountNS() *vfs.MountNamespace { return t.mounts.Load() }

// UTSNS returns the UTS namespace.
func (t *Task) UTSNS() *UTSNamespace { return t.uts.Load() }

// IPCNS returns the IPC namespace.
func (t *Task) IPCNS() *IPCNamespace { return t.ipc.Load() }

// NetNS returns the network namespace.
func (t *Task) NetNS() *netns.Namespace { return t.net.Load() }

// PIDNS returns the PID namespace t is in.
func (t *Task) PIDNS() *PIDNamespace { return t.ids[0].ns }

// ChildPIDNS returns the PID namespace of children (pid_for_children).
func (t *Task) ChildPIDNS() *PIDNamespace { return t.childNS.Load() }

// Limits returns the resource limits.
func (t *Task) Limits() *limits.Set { return t.tg.limits }

// TID returns the thread ID in t's own PID namespace.
func (t *Task) TID() int32 { return t.ids[0].id }

// TGID returns the process ID in t's own PID namespace.
func (t *Task) TGID() int32 { return t.tg.Leader().TID() }

// ThreadGroupID returns the process ID in the root PID namespace.
func (t *Task) ThreadGroupID() int32 { return t.k.rootPIDNS.IDOfThreadGroup(t.tg) }

// PPID returns the parent's process ID in t's PID namespace, 0 if it is outside.
func (t *Task) PPID() int32 {
	p := t.tg.Parent()
	if p == nil {
		return 0
	}
	return p.Leader().idIn(t.ids[0].ns)
}

// TaskWithID returns the task called id in t's PID namespace, or nil. For t
// itself and its process it takes no lock.
func (t *Task) TaskWithID(id int32) *Task {
	switch id {
	case t.TID():
		return t
	case t.TGID():
		return t.tg.Leader()
	}
	return t.PIDNS().TaskWithID(id)
}

func (t *Task) idIn(ns *PIDNamespace) int32 { return t.ids.in(ns) }

// isLeader reports whether t leads its thread group.
func (t *Task) isLeader() bool { return t.tg.Leader() == t }

// Now returns CLOCK_REALTIME in nanoseconds.
func (t *Task) Now() int64 { return t.k.Realtime() }

// Monotonic returns CLOCK_MONOTONIC in nanoseconds.
func (t *Task) Monotonic() int64 { return t.k.Monotonic() }

// State returns State*.
func (t *Task) State() int32 { return t.state.Load() }

// StartTime returns when the task started, on the monotonic clock.
func (t *Task) StartTime() int64 { return t.started }

// Name returns the thread's name (comm), at most 15 bytes.
func (t *Task) Name() string {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	return t.name
}

// SetName sets the thread's name, cut to 15 bytes (PR_SET_NAME).
func (t *Task) SetName(s string) {
	if len(s) > 15 {
		s = s[:15]
	}
	t.nameMu.Lock()
	t.name = s
	t.nameMu.Unlock()
}

// Registers returns all registers. Owner only.
func (t *Task) Registers() *arch.Registers {
	if t.partial {
		t.partial = false
		t.ctx.(platform.Loader).Load(&t.regs)
	}
	return &t.regs
}

// GetFile returns the description of fd with a reference, or nil.
func (t *Task) GetFile(fd int32) *vfs.Description {
	tab := t.fds.Load()
	if tab == nil {
		return nil
	}
	return tab.Get(fd)
}

// GetIOFile is GetFile, but nil for a descriptor opened with O_PATH.
func (t *Task) GetIOFile(fd int32) *vfs.Description {
	d := t.GetFile(fd)
	if d != nil && d.Flags()&unix.O_PATH != 0 {
		d.DecRef(t)
		return nil
	}
	return d
}

// NewFD installs d, taking a reference, at the lowest free descriptor from min on.
func (t *Task) NewFD(d *vfs.Description, min int32, cloexec bool) (int32, error) {
	return t.fds.Load().Install(d, min, cloexec, t.tg.limits.Get(unix.RLIMIT_NOFILE).Cur)
}

// CopyInString copies a NUL-terminated string of at most max bytes.
func (t *Task) CopyInString(addr usermem.Addr, max int) (string, error) {
	return usermem.CopyInString(t.MM(), addr, max)
}

// pathMax is PATH_MAX, the terminating NUL included.
const pathMax = 4096

// CopyInPath copies a path name: EFAULT, or ENAMETOOLONG at PATH_MAX.
func (t *Task) CopyInPath(addr usermem.Addr) (string, error) {
	return usermem.CopyInString(t.MM(), addr, pathMax)
}

// MaxRW is the most one read or write moves (MAX_RW_COUNT).
const MaxRW = 0x7ffff000

// SingleSeq returns the Seq of one buffer, cut to MaxRW. EFAULT if it
// cannot be user memory.
func (t *Task) SingleSeq(addr usermem.Addr, n uint64) (usermem.Seq, error) {
	m := t.MM()
	if end, ok := addr.AddLength(n); !ok || end > m.Layout().Max {
		return usermem.Seq{}, unix.EFAULT
	}
	return usermem.NewSeq(m, addr, int(min(n, MaxRW))), nil
}

// IovecSeq reads an iovec array: EINVAL for a bad count or length.
func (t *Task) IovecSeq(addr usermem.Addr, count int32) (usermem.Seq, error) {
	const iovMax = 1024 // IOV_MAX
	if count < 0 || count > iovMax {
		return usermem.Seq{}, unix.EINVAL
	}
	m := t.MM()
	var few [8][2]uint64
	raw := few[:min(int(count), len(few))]
	if int(count) > len(few) {
		raw = make([][2]uint64, count)
	}
	if err := usermem.CopyInSlice(m, addr, raw); err != nil {
		return usermem.Seq{}, err
	}
	ranges := make([]usermem.Range, 0, len(few))
	total := uint64(0)
	for _, v := range raw {
		base, n := usermem.Addr(v[0]), v[1]
		if int64(n) < 0 {
			return usermem.Seq{}, unix.EINVAL
		}
		n = min(n, MaxRW-total)
		end, ok := base.AddLength(n)
		if !ok || n > 0 && end > m.Layout().Max {
			return usermem.Seq{}, unix.EFAULT
		}
		total += n
		ranges = append(ranges, usermem.Range{Start: base, End: end})
	}
	return usermem.NewSeqRanges(m, ranges), nil
}

// ioCounters are what /proc/PID/io tells: of the calls that were made. Those that the platform has answered (Echo) are not
// among them, which takes writes to the null device out of wchar and syscw.
type ioCounters struct{ rchar, wchar, syscr, syscw atomic.Int64 }

// CountRead and CountWrite account a read or write of n bytes.
func (t *Task) CountRead(n int64) {
	t.ioBytes.rchar.Add(n)
	t.ioBytes.syscr.Add(1)
}

// CountWrite accounts a write of n bytes.
func (t *Task) CountWrite(n int64) {
	t.ioBytes.wchar.Add(n)
	t.ioBytes.syscw.Add(1)
}

// IOCounts returns bytes read and written, and the number of reads and writes.
func (t *Task) IOCounts() (rchar, wchar, syscr, syscw int64) {
	c := &t.ioBytes
	return c.rchar.Load(), c.wchar.Load(), c.syscr.Load(), c.syscw.Load()
}

var _ vfs.Caller = (*Task)(nil)
