package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// deliverOne takes one pending signal and acts on it. It returns false if
// there is none to deliver.
func (t *Task) deliverOne() bool {
	tg := t.tg
	tg.sig.Lock()
	mayStop := (t.pending.set|tg.pending.set)&^t.mask&stopSignals != 0
	if mayStop {
		// A stop depends on the process group, so the tree comes first.
		tg.sig.Unlock()
		t.k.tree.RLock()
		tg.sig.Lock()
	}
	info, a, ok := t.nextSignal()
	caught := ok && a.Handler > SigIgn
	if ok && a.Handler == SigDfl {
		t.actByDefault(&info)
	}
	tg.sig.Unlock()
	if mayStop {
		t.k.tree.RUnlock()
	}
	if caught {
		t.handle(&info, &a)
	}
	return ok
}

// nextSignal takes a pending signal that is not blocked, with its action.
// tg.sig is held.
func (t *Task) nextSignal() (info SignalInfo, a SigAction, ok bool) {
	if info, ok = t.dequeue(^t.mask); !ok {
		return info, a, false
	}
	acts := t.tg.actions
	acts.mu.Lock()
	defer acts.mu.Unlock()
	a = acts.a[info.Signo]
	if a.Flags&saResetHand != 0 && a.Handler > SigIgn {
		acts.a[info.Signo].Handler = SigDfl
	}
	return info, a, true
}

// actByDefault does what a signal without a handler does (signal(7)). tg.sig is
// held, and for stop signals Kernel.tree for reading.
func (t *Task) actByDefault(info *SignalInfo) {
	tg, sig := t.tg, info.Signo
	switch {
	case ignoredSignals.Has(sig):
	case tg.immune() && !unblockable.Has(sig):
	case stopSignals.Has(sig):
		t.stopFor(sig)
	default:
		tg.killLocked(ExitStatus{Signal: sig, Core: coreSignals.Has(sig) && t.dumpsCore()})
	}
}

// dumpsCore reports whether Linux would write a core file for the process, which
// its parent is told (core(5), "There are various circumstances in which a core
// dump file is not produced"). The file itself is not written.
func (t *Task) dumpsCore() bool {
	const least = 4096 // bytes; a core file smaller than a page is none
	m := t.MM()
	return m != nil && m.Dumpable() && t.tg.limits.Get(unix.RLIMIT_CORE).Cur >= least
}

// stopFor starts a job control stop. Kernel.tree is held for reading, tg.sig too.
func (t *Task) stopFor(sig int32) {
	tg := t.tg
	if tg.groupExit {
		return
	}
	// An orphaned process group is not stopped from a terminal (POSIX).
	if sig != int32(unix.SIGSTOP) && tg.group != nil && tg.group.orphaned(nil) {
		return
	}
	if tg.stopping {
		return
	}
	tg.stopping, tg.stopSignal, tg.stopReported, tg.continued = true, sig, false, false
	tg.stopCount = len(tg.tasks)
	for _, o := range tg.tasks {
		o.poke(attnStop)
	}
}

// joinStop parks t while its process is stopped.
func (t *Task) joinStop() {
	tg := t.tg
	t.k.tree.RLock()
	tg.sig.Lock()
	if !tg.stopping {
		tg.sig.Unlock()
		t.k.tree.RUnlock()
		return
	}
	tg.stopCount--
	last := tg.stopCount == 0
	if last {
		tg.stopReported = true
	}
	sig := tg.stopSignal
	tg.sig.Unlock()
	if last {
		tg.tellParent(CldStopped, sig)
	}
	t.k.tree.RUnlock()
	t.state.Store(StateStopped)
	t.stopCPU()
	for tg.Stopped() && t.attention.Load()&attnKill == 0 {
		<-t.wake
	}
	t.startCPU()
	t.state.Store(StateRunning)
	// Whoever was woken may have lost a wake-up meant for a wait: none is in
	// progress here, so nothing is lost.
	t.attention.Or(attnSignal)
}

// continueLocked ends a job control stop. tg.sig is held.
func (tg *ThreadGroup) continueLocked() {
	if !tg.stopping {
		return
	}
	tg.stopping, tg.stopReported = false, false
	if !tg.groupExit {
		tg.continued = true
	}
	for _, t := range tg.tasks {
		t.attention.And(^uint32(attnStop))
		t.awaken()
	}
	if p := tg.Parent(); p != nil {
		p.childQueue.Notify(wait.Internal)
		go tg.reportContinue(p)
	}
}

// reportContinue sends SIGCHLD for a continuation; the locks of the sender of
// SIGCONT are not ours to keep.
func (tg *ThreadGroup) reportContinue(p *ThreadGroup) {
	tg.k.tree.RLock()
	defer tg.k.tree.RUnlock()
	if tg.Parent() == p {
		tg.tellParent(CldContinued, int32(unix.SIGCONT))
	}
}

// tellParent sends SIGCHLD for a stop or continuation and wakes wait4(2).
// Kernel.tree is held for reading.
func (tg *ThreadGroup) tellParent(code, status int32) {
	p := tg.Parent()
	if p == nil {
		return
	}
	if p.actions.get(int32(unix.SIGCHLD)).Flags&saNoCldStop == 0 {
		info := &SignalInfo{Signo: int32(unix.SIGCHLD), Code: code}
		u := tg.usage()
		info.SetChild(tg.Leader().idIn(p.Leader().ids[0].ns), p.Leader().UserNS().UID(tg.Leader().Creds().RUID), status, u.User/tick, u.Sys/tick)
		p.send(info)
	}
	p.childQueue.Notify(wait.Internal)
}

// tick is the length of a clock tick (USER_HZ) in nanoseconds.
const tick = 1e7

// handle enters the handler of a signal: the interrupted state goes to the
// user's stack.
func (t *Task) handle(info *SignalInfo, a *SigAction) {
	t.settleRestart(a)
	t.tg.sig.Lock()
	mask := t.mask
	if t.maskSaved {
		mask, t.maskSaved = t.savedMask, false
		t.attention.And(^uint32(attnMask))
	}
	stack := t.altStack
	t.tg.sig.Unlock()
	if !t.pushFrame(info, a, mask, stack) {
		// No room for the frame: SIGSEGV, by its default action if it was
		// SIGSEGV itself.
		if info.Signo == int32(unix.SIGSEGV) {
			t.tg.sig.Lock()
			t.tg.actions.mu.Lock()
			t.tg.actions.a[info.Signo].Handler = SigDfl
			t.tg.actions.mu.Unlock()
			t.tg.sig.Unlock()
		}
		t.force(KernelSignal(unix.SIGSEGV))
		return
	}
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	mask = t.mask | a.Mask
	if a.Flags&saNoDefer == 0 {
		mask |= 1 << (info.Signo - 1)
	}
	t.setMask(mask)
	if stack.Flags&SSAutodisarm != 0 {
		t.altStack = StackT{Flags: SSDisable}
	}
}

// settleRestart decides what an interrupted system call returns when a
// handler runs (signal(7), "Interruption of system calls").
func (t *Task) settleRestart(a *SigAction) {
	switch t.restartErr {
	case wait.ErrInterrupted:
		if a.Flags&saRestart != 0 {
			t.rewind()
		}
	case wait.ErrRestartNoIntr:
		t.rewind()
	}
	t.restartErr = 0 // else: EINTR, which is in RAX already
}

// pushFrame builds the signal frame; false if the stack is not writable.
func (t *Task) pushFrame(info *SignalInfo, a *SigAction, mask SignalSet, stack StackT) bool {
	if a.Flags&saRestorer == 0 {
		return false // x86-64 has no other way back
	}
	if err := t.ctx.SaveFP(&t.fp); err != nil {
		t.hostFailure("save the state of the processor", err)
		return true // no handler will run
	}
	r := t.Registers()
	sp := r.Rsp - arch.RedZone
	if a.Flags&saOnStack != 0 && stack.Flags&SSDisable == 0 && stack.Size > 0 && !stack.contains(r.Rsp) {
		sp = stack.SP + stack.Size
	}
	fp := t.fp.FrameBytes()
	fpAddr := (sp - uint64(len(fp))) &^ 63
	frame := (fpAddr-arch.UContextSize-arch.SigInfoSize-8)&^15 - 8
	uc := arch.UContext{
		Flags:   arch.UCFPXState | arch.UCSigcontextSS | arch.UCStrictRestoreSS,
		StackSP: stack.SP, StackFlag: stack.Flags, StackSize: stack.Size,
		Context: r.Context(), Mask: uint64(mask),
	}
	uc.Context.FPState, uc.Context.Oldmask = fpAddr, uint64(mask)
	if sig := unix.Signal(info.Signo); sig == unix.SIGSEGV || sig == unix.SIGBUS {
		uc.Context.Cr2, uc.Context.Trapno = info.Addr(), 14
	}
	m := t.MM()
	if _, err := m.CopyOut(usermem.Addr(fpAddr), fp); err != nil {
		return false
	}
	ucAddr := frame + 8
	infoAddr := ucAddr + arch.UContextSize
	if err := usermem.CopyOutVal(m, usermem.Addr(ucAddr), &uc); err != nil {
		return false
	}
	if err := usermem.CopyOutVal(m, usermem.Addr(infoAddr), info); err != nil {
		return false
	}
	if err := usermem.CopyOutVal(m, usermem.Addr(frame), &a.Restorer); err != nil {
		return false
	}
	r.Rsp, r.Rip, r.Rax = frame, a.Handler, 0
	r.Rdi, r.Rsi, r.Rdx = uint64(info.Signo), infoAddr, ucAddr
	r.EnterHandler()
	return true
}

// SigReturn is rt_sigreturn(2).
func (t *Task) SigReturn() error {
	var uc arch.UContext
	m, r := t.MM(), t.Registers()
	// The restorer has been popped: the ucontext is at the stack pointer.
	if _, err := m.CopyIn(usermem.Addr(r.Rsp), usermem.BytesOf(&uc)); err != nil {
		t.force(KernelSignal(unix.SIGSEGV))
		return errNoReturn
	}
	if uc.Context.FPState == 0 {
		t.fp.Reset()
	} else {
		if err := t.ctx.SaveFP(&t.fp); err != nil {
			return err
		}
		b := make([]byte, len(t.fp.Data))
		if n, err := m.CopyIn(usermem.Addr(uc.Context.FPState), b); err != nil && n < 512 {
			t.force(KernelSignal(unix.SIGSEGV))
			return errNoReturn
		}
		t.fp.FromFrame(b)
	}
	r.Restore(&uc.Context)
	t.tg.sig.Lock()
	t.setMask(SignalSet(uc.Mask))
	t.altStack = StackT{SP: uc.StackSP, Flags: uc.StackFlag &^ SSOnStack, Size: uc.StackSize}
	t.tg.sig.Unlock()
	t.restartErr = 0
	return errNoReturn
}

// minSigStack is MINSIGSTKSZ: the least size of an alternate stack (sigaltstack(2)).
const minSigStack = 2048

// AltStack returns the alternate signal stack and, if new is not nil, sets it.
func (t *Task) AltStack(new *StackT) (StackT, error) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	old := t.altStack
	on := old.contains(t.Registers().Rsp) && old.Flags&SSAutodisarm == 0
	if old.Size == 0 {
		old.Flags = SSDisable
	} else if on {
		old.Flags |= SSOnStack
	}
	if new == nil {
		return old, nil
	}
	if on {
		return old, unix.EPERM
	}
	mode := new.Flags &^ SSAutodisarm
	if mode != 0 && mode != SSOnStack && mode != SSDisable {
		return old, unix.EINVAL
	}
	if mode == SSDisable {
		t.altStack = StackT{Flags: SSDisable}
		return old, nil
	}
	if new.Size < minSigStack {
		return old, unix.ENOMEM
	}
	t.altStack = StackT{SP: new.SP, Flags: new.Flags & SSAutodisarm, Size: new.Size}
	return old, nil
}
