package kernel

import (
	"sync"
	"sync/atomic"
	"time"

	"ringfort/sentry/limits"
	"ringfort/sentry/wait"
)

// ThreadGroup is a process: tasks that share signal actions, limits, a parent
// and an exit status.
type ThreadGroup struct {
	k      *Kernel
	limits *limits.Set
	pid    *PID // set with the leader's IDs, for good

	// Changed with Kernel.tree held, read without it.
	leader atomic.Pointer[Task]
	parent atomic.Pointer[ThreadGroup]

	// Changed with Kernel.tree and sig held; either is enough to read.
	tasks     []*Task // not yet exited, in order of creation
	deadUsage Rusage  // of tasks that have exited

	// Guarded by Kernel.tree.
	parentTask *Task // who cloned us, for PR_SET_PDEATHSIG
	children   []*ThreadGroup
	group      *ProcessGroup
	zombie     bool // every task has exited; waits to be reaped
	exitSignal int32
	subreaper  bool // PR_SET_CHILD_SUBREAPER
	hasExecd   bool // setpgid(2) by the parent is forbidden then
	childUsage Rusage
	reaper     bool // init of a PID namespace

	// children changes, exits, stops: wait4(2) waits here.
	childQueue wait.Queue
	// signals arrive: signalfd waits here.
	signalQueue wait.Queue
	// exited is notified when the group has become a zombie (pidfd).
	exited wait.Queue

	sig sync.Mutex
	// Guarded by sig.
	actions      *actions
	pending      pending
	mortal       bool // a fault takes the immunity of an init away
	groupExit    bool // exit_group or a fatal signal is under way
	status       ExitStatus
	stopping     bool // job control stop under way or done
	stopSignal   int32
	stopCount    int  // tasks that still have to stop
	stopReported bool // the parent has not yet waited for the stop
	continued    bool // the parent has not yet waited for the continuation
	execing      *Task
	itimers      [3]alarm    // ITIMER_REAL, _VIRTUAL, _PROF
	cpuTimers    []*cpuTimer // those that are set
	cpuHost      *time.Timer // calls checkCPU
	timers       map[int32]*PosixTimer
	nextTimer    int32

	cpuWatch atomic.Int32 // watch*; changed with sig held

	startTime   int64 // monotonic
	oomScoreAdj atomic.Int32
	barriers    atomic.Bool // membarrier(2) is registered

	container *Container
	awaited   bool // made by CreateProcess, whose caller calls Reap
	doneOnce  sync.Once
	done      chan struct{} // closed when the group is a zombie
}

// actions are signal actions, shared by CLONE_SIGHAND.
type actions struct {
	mu   sync.Mutex
	refs atomic.Int32
	a    [SignalMax + 1]SigAction
}

func newActions() *actions {
	a := &actions{}
	a.refs.Store(1)
	return a
}

func (a *actions) copy() *actions {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := newActions()
	n.a = a.a
	return n
}

func (a *actions) get(sig int32) SigAction {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.a[sig]
}

// ExitStatus is how a process ended: an exit code or a signal.
type ExitStatus struct {
	Code   int32
	Signal int32
	Core   bool
}

// Word returns the wait(2) status word.
func (s ExitStatus) Word() uint32 {
	w := uint32(s.Code&0xff)<<8 | uint32(s.Signal&0x7f)
	if s.Core {
		w |= 0x80
	}
	return w
}

// Rusage is resource use (getrusage(2)); times in nanoseconds.
type Rusage struct {
	User, Sys          int64
	MaxRSS             uint64 // bytes
	MinFlt, MajFlt     int64
	InBlock, OutBlock  int64
	VolSwitch, InvSwit int64
}

func (r *Rusage) add(o Rusage) {
	r.User += o.User
	r.Sys += o.Sys
	r.MaxRSS = max(r.MaxRSS, o.MaxRSS)
	r.MinFlt += o.MinFlt
	r.MajFlt += o.MajFlt
	r.InBlock += o.InBlock
	r.OutBlock += o.OutBlock
	r.VolSwitch += o.VolSwitch
	r.InvSwit += o.InvSwit
}

// Kernel returns the kernel tg belongs to.
func (tg *ThreadGroup) Kernel() *Kernel { return tg.k }

// Limits returns the resource limits.
func (tg *ThreadGroup) Limits() *limits.Set { return tg.limits }

// Container returns the container tg belongs to.
func (tg *ThreadGroup) Container() *Container { return tg.container }

// Leader returns the thread group leader, which may have exited already.
func (tg *ThreadGroup) Leader() *Task { return tg.leader.Load() }

// Tasks returns the tasks that have not exited.
func (tg *ThreadGroup) Tasks() []*Task {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	return append([]*Task(nil), tg.tasks...)
}

// Parent returns the parent process, nil for the first ones.
func (tg *ThreadGroup) Parent() *ThreadGroup { return tg.parent.Load() }

// Zombie reports whether all tasks have exited.
func (tg *ThreadGroup) Zombie() bool {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	return tg.zombie
}

// Done is closed when the process has ended.
func (tg *ThreadGroup) Done() <-chan struct{} { return tg.done }

// ExitQueue is notified when the process has ended (pidfd_open(2)).
func (tg *ThreadGroup) ExitQueue() *wait.Queue { return &tg.exited }

// SignalQueue is notified when a signal arrives for the process or a thread of it.
func (tg *ThreadGroup) SignalQueue() *wait.Queue { return &tg.signalQueue }

// Status returns how the process ended; meaningful once it is a zombie.
func (tg *ThreadGroup) Status() ExitStatus {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	return tg.status
}

// Stopped reports whether a job control stop is in effect.
func (tg *ThreadGroup) Stopped() bool {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	return tg.stopping
}

// StartTime returns when the process started, on the monotonic clock.
func (tg *ThreadGroup) StartTime() int64 { return tg.startTime }

// OOMScoreAdj returns /proc/PID/oom_score_adj.
func (tg *ThreadGroup) OOMScoreAdj() int32 { return tg.oomScoreAdj.Load() }

// SetOOMScoreAdj sets /proc/PID/oom_score_adj, -1000 to 1000.
func (tg *ThreadGroup) SetOOMScoreAdj(n int32) { tg.oomScoreAdj.Store(n) }

// Usage returns what the process has used, its dead threads included.
func (tg *ThreadGroup) Usage() Rusage {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	return tg.usage()
}

// usage is Usage with Kernel.tree or tg.sig held.
func (tg *ThreadGroup) usage() Rusage {
	u := tg.deadUsage
	for _, t := range tg.tasks {
		u.add(t.Usage())
	}
	return u
}

// ChildUsage returns what the children that were waited for have used.
func (tg *ThreadGroup) ChildUsage() Rusage {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	return tg.childUsage
}

// Subreaper reports PR_SET_CHILD_SUBREAPER.
func (tg *ThreadGroup) Subreaper() bool {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	return tg.subreaper
}

// SetSubreaper sets PR_SET_CHILD_SUBREAPER.
func (tg *ThreadGroup) SetSubreaper(on bool) {
	tg.k.tree.Lock()
	tg.subreaper = on
	tg.k.tree.Unlock()
}
