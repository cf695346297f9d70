package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
)

// publishAnswers tells the platform what calls for the caller's identity
// return, so that it can answer them without us. Whoever watches system calls,
// a tracer or a seccomp filter, must see them all. Everything that changes an
// identity calls this: the task itself before it returns to user code.
func (t *Task) publishAnswers() {
	a, ok := t.ctx.(platform.Answerer)
	if !ok {
		return
	}
	defer t.reviewNames()
	if t.watched() {
		a.AnswerNothing()
		return
	}
	c := t.Creds()
	fixed := c.UserNS == t.k.rootUserNS || c.UserNS == t.k.initUserNS
	if !fixed {
		a.AnswerNothing() // IDs change with the maps of the namespace
	}
	a.Answer(unix.SYS_GETPID, uint64(t.TGID()))
	a.Answer(unix.SYS_GETTID, uint64(t.TID()))
	a.Answer(unix.SYS_SCHED_YIELD, 0)
	a.Answer(unix.SYS_CLOCK_GETTIME, 0)
	t.k.tree.RLock()
	t.answerParent()
	t.k.tree.RUnlock()
	if fixed {
		a.Answer(unix.SYS_GETUID, uint64(c.UserNS.UID(c.RUID)))
		a.Answer(unix.SYS_GETEUID, uint64(c.UserNS.UID(c.EUID)))
		a.Answer(unix.SYS_GETGID, uint64(c.UserNS.GID(c.RGID)))
		a.Answer(unix.SYS_GETEGID, uint64(c.UserNS.GID(c.EGID)))
	}
	if t.watched() {
		a.AnswerNothing() // since just now
	}
}

// watched reports whether each system call of t must be seen.
func (t *Task) watched() bool { return t.k.trace.Load() != nil || t.seccomp.Load() != nil }

// SetTracer has all system calls from now on told to tr, nil for nobody. Tasks of
// which none was told before are answered by the platform again only after their
// next execve(2) or change of identity.
func (k *Kernel) SetTracer(tr Tracer) {
	if tr == nil {
		k.trace.Store(nil)
		return
	}
	k.trace.Store(&tr)
	for _, t := range k.rootPIDNS.Tasks() {
		t.withdrawAnswers()
	}
}

// answerParent tells the platform the present parent. Whoever gives the task a
// new one calls it. Kernel.tree is held.
func (t *Task) answerParent() {
	t.ctxMu.RLock()
	defer t.ctxMu.RUnlock()
	if a, ok := t.ctx.(platform.Answerer); ok && !t.watched() {
		a.Answer(unix.SYS_GETPPID, uint64(t.PPID()))
		if t.watched() {
			a.AnswerNothing() // since just now
		}
	}
}

// withdrawAnswers takes the answers of any task back for good: it is watched
// from now on.
func (t *Task) withdrawAnswers() {
	t.ctxMu.RLock()
	defer t.ctxMu.RUnlock()
	if a, ok := t.ctx.(platform.Answerer); ok {
		a.AnswerNothing()
	}
}
