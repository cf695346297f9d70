package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/mm"
)

// Exec replaces the program of the calling task's process (execve(2)). args
// are complete; args.File's reference stays with the caller.
func (t *Task) Exec(args *LoadArgs) error {
	im, err := t.k.loader.Load(t, args)
	if err != nil {
		return err
	}
	if !t.dethread() {
		im.File.DecRef(t)
		im.MM.DecUsers()
		return errNoReturn // killed meanwhile
	}
	// From here on there is no way back.
	t.exitFutexes()
	t.clearTID, t.robust = 0, RobustList{}
	t.endVfork()
	t.stopPOSIXTimers()
	tg := t.tg
	tg.sig.Lock()
	if tg.actions.refs.Load() > 1 {
		tg.actions.refs.Add(-1)
		tg.actions = tg.actions.copy()
	}
	for i := range tg.actions.a {
		a := &tg.actions.a[i]
		if a.Handler != SigIgn {
			*a = SigAction{}
		} else {
			*a = SigAction{Handler: SigIgn}
		}
	}
	t.altStack = StackT{Flags: SSDisable}
	tg.sig.Unlock()
	if f := t.fds.Load(); f.Shared() {
		t.fds.Store(f.Copy())
		f.DecRef(t)
	}
	t.fds.Load().DoExec(t)
	t.ctx.Release()
	t.ctxMu.Lock()
	t.ctx = t.Platform().NewContext(&t.k.ready)
	t.ctxMu.Unlock()
	t.restartErr = 0
	c := t.Creds()
	t.install(im)
	im.File.DecRef(t)
	if d := t.Creds(); d.KeepCaps || d != c {
		d = d.Copy()
		d.KeepCaps = false
		t.creds.Store(d)
	}
	if im.Secure {
		t.pdeathSig = 0
	}
	t.k.tree.Lock()
	tg.hasExecd = true
	if tg.Parent() != nil {
		tg.exitSignal = int32(unix.SIGCHLD)
	}
	t.k.tree.Unlock()
	t.publishAnswers()
	return errNoReturn
}

// dethread ends the other threads of the process and makes t its leader. It
// returns false if t is killed first.
func (t *Task) dethread() bool {
	k, tg := t.k, t.tg
	k.tree.Lock()
	tg.sig.Lock()
	if tg.groupExit || tg.execing != nil {
		tg.sig.Unlock()
		k.tree.Unlock()
		return false
	}
	tg.execing = t
	for _, o := range tg.tasks {
		if o != t {
			o.poke(attnKill)
		}
	}
	tg.sig.Unlock()
	k.tree.Unlock()
	alive := true
	for {
		k.tree.RLock()
		alone := len(tg.tasks) == 1
		k.tree.RUnlock()
		if alone {
			break
		}
		if t.attention.Load()&attnKill != 0 {
			alive = false
			break
		}
		<-t.wake
	}
	k.tree.Lock()
	defer k.tree.Unlock()
	tg.sig.Lock()
	tg.execing = nil
	tg.sig.Unlock()
	if alive && tg.Leader() != t {
		t.becomeLeader()
	}
	return alive
}

// becomeLeader gives t the identity of the leader, which has exited.
// Kernel.tree is held.
func (t *Task) becomeLeader() {
	old := t.tg.Leader()
	t.reapIDs()
	t.k.live.Add(1)
	t.state.Store(StateRunning)
	t.ids = old.ids
	t.started = old.started
	for _, e := range t.ids {
		e.ns.mu.Lock()
		e.ns.tasks[e.id] = t
		e.ns.mu.Unlock()
	}
	old.state.Store(StateDead)
	t.k.live.Add(-1)
	t.tg.leader.Store(t)
}

// Cmdline and Environ return what the program's arguments and environment are
// now, as /proc/PID/cmdline and environ show them; at most limit bytes.
func (t *Task) Cmdline(limit int) []byte {
	return t.infoBytes(limit, func(i *mm.Info) (a, b uint64) { return uint64(i.ArgStart), uint64(i.ArgEnd) })
}

// Environ is the environment; see Cmdline.
func (t *Task) Environ(limit int) []byte {
	return t.infoBytes(limit, func(i *mm.Info) (a, b uint64) { return uint64(i.EnvStart), uint64(i.EnvEnd) })
}
