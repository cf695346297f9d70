package kernel

import (
	"sync/atomic"

	"ringfort/sentry/auth"
	"ringfort/sentry/fs/mqueue"
	"ringfort/sentry/ipc"
)

// ipcBudget bounds the Sentry's own memory that semaphores and queued messages
// of all IPC namespaces take, in bytes. Linux charges them to the memory cgroup.
const ipcBudget = 256 << 20

// IPCNamespace holds System V IPC objects and POSIX message queues. They go
// when its last task and its last open file have gone.
type IPCNamespace struct {
	*ipc.Namespace
	mq     *mqueue.Namespace
	userNS *auth.UserNamespace
	inode  uint64
	refs   atomic.Int64
}

// newIPCNamespace returns an empty namespace with one reference.
func newIPCNamespace(k *Kernel, u *auth.UserNamespace) *IPCNamespace {
	n := &IPCNamespace{Namespace: ipc.NewNamespace(u, k.memory, k.ipcBudget), userNS: u, inode: k.nsInode()}
	n.mq = mqueue.New(k.mqAccounts, k.ipcBudget)
	n.refs.Store(1)
	return n
}

// MQ returns the POSIX message queues.
func (n *IPCNamespace) MQ() *mqueue.Namespace { return n.mq }

// UserNS returns the user namespace that owns the objects.
func (n *IPCNamespace) UserNS() *auth.UserNamespace { return n.userNS }

// Inode returns the number /proc/PID/ns/ipc shows.
func (n *IPCNamespace) Inode() uint64 { return n.inode }

// IncRef adds a task or an open file.
func (n *IPCNamespace) IncRef() { n.refs.Add(1) }

// DecRef removes one. With the last one the objects go.
func (n *IPCNamespace) DecRef() {
	if n.refs.Add(-1) == 0 {
		n.Release()
		n.mq.Release()
	}
}

// setIPC moves t to another IPC namespace, whose reference it takes over. What
// SEM_UNDO promised in the old one is done now.
func (t *Task) setIPC(n *IPCNamespace) {
	t.dropUndo()
	if old := t.ipc.Swap(n); old != nil {
		old.DecRef()
	}
}

// UndoList returns where SEM_UNDO adjustments of t are kept. Owner only.
func (t *Task) UndoList() *ipc.UndoList {
	if t.undo == nil {
		t.undo = ipc.NewUndoList()
	}
	return t.undo
}

// dropUndo makes the adjustments, unless other tasks share them.
func (t *Task) dropUndo() {
	if t.undo != nil {
		t.undo.DecRef(t)
		t.undo = nil
	}
}

// shareUndo gives a clone the list of t (CLONE_SYSVSEM).
func (t *Task) shareUndo(n *Task) {
	n.undo = t.UndoList()
	n.undo.IncRef()
}

// exitIPC does what the end of a task means for the IPC namespace; last is set
// for the last one of its process.
func (t *Task) exitIPC(last bool) {
	t.dropUndo()
	if n := t.ipc.Swap(nil); n != nil {
		if last {
			n.CreatorGone(t.ProcessName())
		}
		n.DecRef()
	}
}

// PID names a process for good: the numbers it had in its PID namespaces stay
// its own after it has ended.
type PID struct{ ids ids }

// In returns the number in ns, 0 if the process was not visible there.
func (p *PID) In(ns *PIDNamespace) int32 {
	if p == nil {
		return 0
	}
	return p.ids.in(ns)
}

// NumberOf returns the number by which t knows a process that ProcessName of a
// task names, 0 if it is not visible.
func (t *Task) NumberOf(process any) int32 {
	p, _ := process.(*PID)
	return p.In(t.PIDNS())
}

// ProcessName implements ipc.Caller: a *PID.
func (t *Task) ProcessName() any { return t.tg.pid }

var _ ipc.Caller = (*Task)(nil)
