package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// ExitThread ends the calling thread (exit(2)).
func (t *Task) ExitThread(code int32) error {
	t.exitCode = ExitStatus{Code: code & 0xff}
	t.attention.Or(attnKill)
	return errNoReturn
}

// ExitGroup ends the process (exit_group(2)).
func (t *Task) ExitGroup(code int32) error {
	t.tg.kill(ExitStatus{Code: code & 0xff})
	t.attention.Or(attnKill)
	return errNoReturn
}

// exit is the end of a task, on its own goroutine.
func (t *Task) exit() {
	k, tg := t.k, t.tg
	t.exitFutexes()
	if t.clearTID != 0 && t.MM().Users() > 1 {
		if err := usermem.CopyOutVal(t.MM(), t.clearTID, new(uint32)); err == nil {
			_, _ = k.FutexWake(t, t.clearTID, 1, ^uint32(0), false)
			_, _ = k.FutexWake(t, t.clearTID, 1, ^uint32(0), true)
		}
	}
	t.endVfork()
	m := t.mmp.Load()
	if m.Stale() && m.Users() > 1 {
		_ = m.Flush(t.ctx) // the process is ending: an error shows in its other threads
	}
	t.ctx.Release()
	tg.sig.Lock()
	last := len(tg.tasks) == 1
	tg.sig.Unlock()
	if last {
		t.stopTimers()
	}
	t.mmp.Store(nil)
	m.DecUsers() // first, for others may be waiting for memory
	if t.lastWords != nil {
		t.lastWords()
	}
	t.exitIPC(last)
	if f := t.fds.Swap(nil); f != nil {
		f.DecRef(t)
	}
	t.fs.Load().DecRef()
	t.releaseNamespaces()
	t.leave()
}

// endVfork lets a parent that waits in vfork(2) go on.
func (t *Task) endVfork() {
	if t.vfork != nil {
		close(t.vfork)
		t.vfork = nil
	}
}

// leave takes t out of the tree of tasks; the last one makes its process a
// zombie.
func (t *Task) leave() {
	k, tg := t.k, t.tg
	k.tree.Lock()
	defer k.tree.Unlock()
	tg.sig.Lock()
	t.exited = true
	t.stopCPU()
	tg.deadUsage.add(t.Usage())
	for i, o := range tg.tasks {
		if o == t {
			tg.tasks = append(tg.tasks[:i:i], tg.tasks[i+1:]...)
			break
		}
	}
	if tg.stopping {
		// One fewer has to stop.
		if tg.stopCount--; tg.stopCount == 0 && len(tg.tasks) > 0 {
			tg.stopReported = true
			defer tg.tellParent(CldStopped, tg.stopSignal)
		}
	}
	if len(tg.tasks) == 0 && !tg.groupExit {
		tg.groupExit, tg.status = true, t.exitCode
	}
	execing := tg.execing
	tg.sig.Unlock()
	t.state.Store(StateZombie)
	for _, child := range tg.children {
		if child.parentTask == t {
			child.parentDied(t, len(tg.tasks) > 0)
		}
	}
	if !t.isLeader() {
		t.reapIDs()
	}
	if execing != nil {
		execing.awaken()
	}
	if len(tg.tasks) == 0 {
		k.makeZombie(tg)
	}
}

// parentDied delivers PR_SET_PDEATHSIG when the thread that cloned tg exits.
// Kernel.tree is held.
func (tg *ThreadGroup) parentDied(parent *Task, groupLives bool) {
	for _, t := range tg.tasks {
		if t.pdeathSig != 0 {
			info := &SignalInfo{Signo: t.pdeathSig, Code: SIUser}
			info.SetSender(parent.idIn(t.ids[0].ns), t.UserNS().UID(parent.Creds().RUID))
			tg.sig.Lock()
			tg.sendLocked(info, t, true)
			tg.sig.Unlock()
		}
	}
	if groupLives {
		tg.parentTask = parent.tg.tasks[0]
	}
}

// reapIDs frees the IDs of t. Kernel.tree is held.
func (t *Task) reapIDs() {
	for _, e := range t.ids {
		e.ns.free(e.id)
	}
	t.state.Store(StateDead)
	t.tg.container.count.remove()
	t.k.live.Add(-1)
}

// makeZombie does what the end of a process means for its relatives.
// Kernel.tree is held.
func (k *Kernel) makeZombie(tg *ThreadGroup) {
	tg.zombie = true
	if g := tg.group; g != nil {
		k.hangUpOrphans(g, tg)
		if s := g.session; s.leader == tg {
			k.endSession(s)
		}
	}
	k.orphanChildren(tg)
	if ns := tg.Leader().ids[0].ns; ns.init == tg {
		k.killNamespace(ns)
	}
	tg.exited.Notify(wait.In | wait.RdNorm | wait.Internal)
	tg.doneOnce.Do(func() { close(tg.done) })
	k.tellOfExit(tg)
}

// tellOfExit sends the exit signal to the parent, or reaps the process at once
// if nobody is going to wait for it. Kernel.tree is held.
func (k *Kernel) tellOfExit(tg *ThreadGroup) {
	p := tg.Parent()
	if p == nil {
		if !tg.awaited {
			k.reap(tg)
		}
		return
	}
	s := tg.status
	code, status := int32(CldExited), s.Code
	if s.Signal != 0 {
		code, status = CldKilled, s.Signal
		if s.Core {
			code = CldDumped
		}
	}
	autoReap := false
	if tg.exitSignal == int32(unix.SIGCHLD) {
		a := p.actions.get(int32(unix.SIGCHLD))
		autoReap = a.Handler == SigIgn || a.Flags&saNoCldWait != 0
	}
	if tg.exitSignal != 0 {
		info := &SignalInfo{Signo: tg.exitSignal, Code: code}
		u := tg.usage()
		info.SetChild(tg.Leader().idIn(p.Leader().ids[0].ns), p.Leader().UserNS().UID(tg.Leader().Creds().RUID), status, u.User/tick, u.Sys/tick)
		p.send(info)
	}
	if autoReap {
		k.reap(tg)
	}
	p.childQueue.Notify(wait.Internal)
}

// orphanChildren gives tg's children to the nearest subreaper or the init of
// their namespace. Kernel.tree is held.
func (k *Kernel) orphanChildren(tg *ThreadGroup) {
	if len(tg.children) == 0 {
		return
	}
	heir := k.heirOf(tg)
	children := tg.children
	tg.children = nil
	for _, c := range children {
		c.parent.Store(heir)
		for _, t := range c.tasks {
			t.answerParent()
		}
		if heir == nil {
			c.parentTask = nil
			if c.zombie {
				k.reap(c)
			}
			continue
		}
		c.parentTask = heir.Leader()
		c.exitSignal = int32(unix.SIGCHLD)
		heir.children = append(heir.children, c)
		if c.zombie {
			k.tellOfExit(c)
		}
	}
}

// heirOf returns who adopts the children of tg; nil if nobody is left.
func (k *Kernel) heirOf(tg *ThreadGroup) *ThreadGroup {
	ns := tg.Leader().ids[0].ns
	for p := tg.Parent(); p != nil; p = p.Parent() {
		if p.subreaper && !p.zombie && p.Leader().ids[0].ns == ns {
			return p
		}
	}
	if ns.init != nil && ns.init != tg && !ns.init.zombie {
		return ns.init
	}
	return nil
}

// endSession hangs the terminal up when a session leader exits.
func (k *Kernel) endSession(s *Session) {
	info := func(sig unix.Signal) *SignalInfo { return KernelSignal(sig) }
	if s.tty != nil {
		tty := s.tty
		fg := s.foreground
		s.tty, s.foreground = nil, nil
		go tty.HangUp()
		if fg != nil {
			for m := range fg.members {
				m.send(info(unix.SIGHUP))
				m.send(info(unix.SIGCONT))
			}
		}
	}
	s.leader = nil
}

// hangUpOrphans sends SIGHUP and SIGCONT to process groups that the exit of tg
// leaves orphaned with stopped members (POSIX _exit): its own if its parent
// was the link to the session, and those of its children.
func (k *Kernel) hangUpOrphans(own *ProcessGroup, tg *ThreadGroup) {
	groups := map[*ProcessGroup]bool{}
	if p := tg.Parent(); p != nil && p.group != nil && p.group != own && p.group.session == own.session {
		groups[own] = true
	}
	for _, c := range tg.children {
		if c.group != nil && c.group != own && c.group.session == own.session {
			groups[c.group] = true
		}
	}
	for pg := range groups {
		if pg.stopped() && pg.orphaned(tg) {
			for m := range pg.members {
				m.send(KernelSignal(unix.SIGHUP))
				m.send(KernelSignal(unix.SIGCONT))
			}
		}
	}
}

// stopped reports whether a member of pg is stopped. Kernel.tree is held.
func (pg *ProcessGroup) stopped() bool {
	for m := range pg.members {
		m.sig.Lock()
		s := m.stopping
		m.sig.Unlock()
		if s {
			return true
		}
	}
	return false
}

// killNamespace ends everything in a PID namespace whose init has exited.
func (k *Kernel) killNamespace(ns *PIDNamespace) {
	ns.mu.Lock()
	ns.dead = true
	victims := make([]*Task, 0, len(ns.tasks))
	for _, t := range ns.tasks {
		victims = append(victims, t)
	}
	ns.mu.Unlock()
	for _, t := range victims {
		t.tg.sig.Lock()
		t.tg.killLocked(ExitStatus{Signal: int32(unix.SIGKILL)})
		t.tg.sig.Unlock()
	}
}

// reap removes a zombie for good. Kernel.tree is held.
func (k *Kernel) reap(tg *ThreadGroup) {
	if p := tg.Parent(); p != nil {
		for i, c := range p.children {
			if c == tg {
				p.children = append(p.children[:i:i], p.children[i+1:]...)
				break
			}
		}
		p.childUsage.add(tg.deadUsage)
		p.childUsage.add(tg.childUsage)
	}
	k.leaveGroup(tg)
	tg.Leader().reapIDs()
}

// Reap removes a process that CreateProcess has made once it has ended; others
// are reaped by their parents.
func (k *Kernel) Reap(tg *ThreadGroup) {
	k.tree.Lock()
	defer k.tree.Unlock()
	if tg.zombie && tg.Parent() == nil && tg.group != nil {
		k.reap(tg)
	}
}
