package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/steady"
)

// asked are the last calls about descriptors that a task has made, by the lower bits of
// theirs. Owner only.
type asked [16]platform.Echo

// Repeats notes that t makes a call about a descriptor, and reports whether the last one like it was the
// same: only then it is worth an Echo. e has no result yet.
func (t *Task) Repeats(e *platform.Echo) bool {
	if t.asked == nil {
		if _, ok := t.ctx.(platform.Echoer); !ok {
			return false
		}
		t.asked = new(asked)
	}
	if t.Repeated(e) {
		return true
	}
	t.asked[e.FD%int32(len(t.asked))] = *e
	return false
}

// Repeated is Repeats without noting the call.
func (t *Task) Repeated(e *platform.Echo) bool {
	if t.asked == nil {
		return false
	}
	last := &t.asked[e.FD%int32(len(t.asked))]
	return e.Nr == last.Nr && e.FD == last.FD && e.Args == last.Args && !t.watched()
}

// Echo lets the platform answer a call that Repeats for as long as the stamps hold, which were taken before what
// it is about was looked at. It may not.
func (t *Task) Echo(e *platform.Echo, stamps ...steady.Stamp) {
	for i, s := range stamps {
		if !s.Holds() {
			return
		}
		e.Slots[i], e.Gens[i] = s.Slot, s.Gen
	}
	p, ok := t.ctx.(platform.Echoer)
	if !ok || t.watched() {
		return
	}
	p.Echo(*e)
	if t.watched() {
		p.AnswerNothing() // since just now
	}
}

// Failure is the result of a call that fails with errno.
func Failure(errno unix.Errno) uint64 { return uint64(-int64(errno)) }
