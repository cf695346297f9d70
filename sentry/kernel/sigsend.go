package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/wait"
)

// send sends info to the process, from the kernel or from outside its PID
// namespace. The target thread is one that does not block it.
func (tg *ThreadGroup) send(info *SignalInfo) {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	tg.sendLocked(info, nil, true)
}

// SendSignal sends info to the process, whatever the sender's rights. 0 does nothing.
func (tg *ThreadGroup) SendSignal(info *SignalInfo) {
	if info.Signo != 0 {
		tg.send(info)
	}
}

// sendLocked sends a copy of info to to, or to the group if to is nil. tg.sig is
// held. forced says that the sender is the kernel or outside the PID namespace
// of tg. It returns false if the queue is full (RLIMIT_SIGPENDING).
func (tg *ThreadGroup) sendLocked(info *SignalInfo, to *Task, forced bool) bool {
	if len(tg.tasks) == 0 || to != nil && to.exited {
		return true
	}
	sig := info.Signo
	tg.prepare(sig)
	if tg.discards(sig, to, forced) {
		return true
	}
	queue := &tg.pending
	if to != nil {
		queue = &to.pending
	}
	if sig >= SIGRTMIN && uint64(len(queue.queue)) >= tg.limits.Get(unix.RLIMIT_SIGPENDING).Cur {
		return false
	}
	queue.add(info)
	tg.signalQueue.Notify(wait.In | wait.RdNorm | wait.Internal)
	if sig == int32(unix.SIGKILL) {
		tg.killLocked(ExitStatus{Signal: sig})
		return true
	}
	if to != nil {
		if to.wants(sig) {
			to.poke(attnSignal)
		}
		return true
	}
	for _, t := range tg.tasks {
		if t.wants(sig) {
			t.poke(attnSignal)
			break
		}
	}
	return true
}

// wants reports whether sig would interrupt t now. tg.sig is held.
func (t *Task) wants(sig int32) bool {
	return !t.exited && (!t.mask.Has(sig) || t.waiting.Has(sig))
}

// prepare does what sending sig means before it is queued: stop and
// continue signals cancel each other (signal(7)).
func (tg *ThreadGroup) prepare(sig int32) {
	switch {
	case sig == int32(unix.SIGCONT):
		tg.discardAll(stopSignals)
		tg.continueLocked()
	case stopSignals.Has(sig):
		tg.discardAll(SignalSetOf(unix.SIGCONT))
	case sig == int32(unix.SIGKILL):
		tg.continueLocked()
	}
}

func (tg *ThreadGroup) discardAll(s SignalSet) {
	tg.pending.discard(s)
	for _, t := range tg.tasks {
		t.pending.discard(s)
	}
}

// discards reports whether a signal is dropped at once: ignored, not blocked,
// and nobody traces or waits for it.
func (tg *ThreadGroup) discards(sig int32, to *Task, forced bool) bool {
	if unblockable.Has(sig) {
		return tg.immune() && !forced
	}
	t := to
	if t == nil {
		t = tg.Leader()
	}
	if t.mask.Has(sig) || t.waiting.Has(sig) {
		return false
	}
	a := tg.actions.get(sig)
	return a.Handler == SigIgn || a.Handler == SigDfl && (ignoredSignals.Has(sig) || tg.immune())
}

// immune reports whether tg, as the init of a PID namespace, ignores signals it
// has no handler for: all but SIGKILL and SIGSTOP, and those only if they come
// from the namespace itself (pid_namespaces(7)). tg.sig is held.
func (tg *ThreadGroup) immune() bool { return tg.reaper && !tg.mortal }

// kill starts the death of the process with a status; the first one counts.
func (tg *ThreadGroup) kill(s ExitStatus) {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	tg.killLocked(s)
}

func (tg *ThreadGroup) killLocked(s ExitStatus) {
	if !tg.groupExit {
		tg.groupExit = true
		tg.status = s
	}
	tg.stopping = false
	for _, t := range tg.tasks {
		t.poke(attnKill)
	}
}

// SendSignal implements vfs.Caller: a signal of the kernel to t itself.
func (t *Task) SendSignal(sig int32) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	t.tg.sendLocked(KernelSignal(unix.Signal(sig)), t, true)
}

// SendSignalInfo sends info for a task to the process of t (group) or to t alone.
// EINVAL; EAGAIN if the queue is full and the signal is more than a number
// (sigqueue(3)).
func (t *Task) SendSignalInfo(from *Task, info *SignalInfo, group bool) error {
	if info.Signo == 0 {
		return nil
	}
	if info.Signo < 0 || info.Signo > SignalMax {
		return unix.EINVAL
	}
	to := t
	if group {
		to = nil
	}
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	if !t.tg.sendLocked(info, to, from.idIn(t.PIDNS()) == 0) && info.Code != SIUser {
		return unix.EAGAIN
	}
	return nil
}

// force sends a synchronous signal that cannot be blocked or ignored: if it is,
// its action becomes the default first.
func (t *Task) force(info *SignalInfo) {
	tg := t.tg
	tg.sig.Lock()
	defer tg.sig.Unlock()
	sig := info.Signo
	tg.actions.mu.Lock()
	a := &tg.actions.a[sig]
	if blocked := t.mask.Has(sig); blocked || a.Handler == SigIgn {
		a.Handler = SigDfl
		t.mask &^= 1 << (sig - 1)
	}
	if a.Handler == SigDfl {
		tg.mortal = true
	}
	tg.actions.mu.Unlock()
	t.pending.add(info)
	t.attention.Or(attnSignal)
}

// MaySignal reports whether a task with credentials c may send sig to t (kill(2)).
func (t *Task) MaySignal(from *Task, sig int32) bool {
	if from.tg == t.tg {
		return true
	}
	c, d := from.Creds(), t.Creds()
	if c.EUID == d.SUID || c.EUID == d.RUID || c.RUID == d.SUID || c.RUID == d.RUID {
		return true
	}
	if c.HasCapIn(unix.CAP_KILL, d.UserNS) {
		return true
	}
	if sig == int32(unix.SIGCONT) {
		return from.tg.Session() == t.tg.Session()
	}
	return false
}

// UserSignal returns the info of a signal t sends with kill(2) and its like, as
// a receiver in ns sees it.
func (t *Task) UserSignal(sig, code int32, ns *PIDNamespace, u *auth.UserNamespace) SignalInfo {
	i := SignalInfo{Signo: sig, Code: code}
	i.SetSender(ns.IDOfThreadGroup(t.tg), u.UID(t.Creds().RUID))
	return i
}

// SignalMask returns the blocked signals.
func (t *Task) SignalMask() SignalSet {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	return t.mask
}

// SetSignalMask blocks exactly the signals of s (never SIGKILL and SIGSTOP).
func (t *Task) SetSignalMask(s SignalSet) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	t.setMask(s)
}

func (t *Task) setMask(s SignalSet) {
	t.mask = s &^ unblockable
	if (t.pending.set|t.tg.pending.set)&^t.mask != 0 {
		t.attention.Or(attnSignal)
	}
}

// UseMask blocks s for one system call: the old mask comes back after the
// signal that ends the wait has been set up (sigsuspend(2), ppoll(2)).
func (t *Task) UseMask(s SignalSet) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	if !t.maskSaved {
		t.savedMask, t.maskSaved = t.mask, true
	}
	t.setMask(s)
}

// RestoreMask brings the mask back when the call ends. If it was interrupted
// the mask stays for the delivery of the signal.
func (t *Task) RestoreMask(interrupted bool) {
	if interrupted {
		t.attention.Or(attnMask)
		return
	}
	t.restoreMask()
}

func (t *Task) restoreMask() {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	if t.maskSaved {
		t.maskSaved = false
		t.setMask(t.savedMask)
	}
}

// PendingSignals returns the signals pending for t or its process.
func (t *Task) PendingSignals() SignalSet {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	return t.pending.set | t.tg.pending.set
}

// PendingSets returns the signals pending for the thread and for the process.
func (t *Task) PendingSets() (thread, process SignalSet) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	return t.pending.set, t.tg.pending.set
}

// ActionSets returns which signals are ignored and which caught.
func (tg *ThreadGroup) ActionSets() (ignored, caught SignalSet) {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	for sig := int32(1); sig <= SignalMax; sig++ {
		switch tg.actions.get(sig).Handler {
		case SigDfl:
		case SigIgn:
			ignored |= 1 << (sig - 1)
		default:
			caught |= 1 << (sig - 1)
		}
	}
	return ignored, caught
}

// DequeueSignal takes a pending signal of the set, nil if there is none
// (signalfd(2), sigtimedwait(2)).
func (t *Task) DequeueSignal(set SignalSet) *SignalInfo {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	if i, ok := t.dequeue(set); ok {
		return &i
	}
	return nil
}

func (t *Task) dequeue(set SignalSet) (SignalInfo, bool) {
	if i, ok := t.pending.take(set); ok {
		return i, true
	}
	return t.tg.pending.take(set)
}

// WaitSignal waits for a signal of the set until the deadline (sigtimedwait(2)).
// EAGAIN: none came.
func (t *Task) WaitSignal(set SignalSet, deadline int64) (*SignalInfo, error) {
	set &^= unblockable
	t.tg.sig.Lock()
	if i, ok := t.dequeue(set); ok {
		t.tg.sig.Unlock()
		return &i, nil
	}
	t.waiting = set
	t.tg.sig.Unlock()
	err := t.Block(deadline)
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	t.waiting = 0
	if i, ok := t.dequeue(set); ok {
		return &i, nil
	}
	if err == unix.ETIMEDOUT {
		return nil, unix.EAGAIN
	}
	return nil, unix.EINTR
}

// Action returns the action of a signal and, if new is not nil, sets it
// (rt_sigaction(2)). EINVAL for a signal that has none.
func (t *Task) Action(sig int32, new *SigAction) (SigAction, error) {
	if sig < 1 || sig > SignalMax || new != nil && unblockable.Has(sig) {
		return SigAction{}, unix.EINVAL
	}
	tg := t.tg
	tg.sig.Lock()
	defer tg.sig.Unlock()
	tg.actions.mu.Lock()
	old := tg.actions.a[sig]
	if new != nil {
		n := *new
		n.Mask &^= unblockable
		n.Flags &= saKnown
		tg.actions.a[sig] = n
	}
	tg.actions.mu.Unlock()
	if new != nil && (new.Handler == SigIgn || new.Handler == SigDfl && ignoredSignals.Has(sig)) {
		tg.discardAll(1 << (sig - 1))
	}
	return old, nil
}
