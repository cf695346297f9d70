package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/steady"
	"ringfort/sentry/vfs"
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

// taskStats is what a task knows of its program's way to open files. Owner only.
type taskStats struct {
	opened int32 // the descriptor opened last, and 1
	after  int8  // how many times in a row that was asked about next
	told   bool  // the platform was told the last time
}

// statsAfter is after how many a program is taken to do so always.
const statsAfter = 2

// Stats reports whether t is likely to ask for the attributes of the file that it is about to open.
func (t *Task) Stats() bool { return t.stats.after >= statsAfter && !t.watched() }

// Opened notes that t has opened a file.
func (t *Task) Opened(fd int32) { t.stats.opened, t.reads.opened = fd+1, fd+1 }

// AskedStat notes that t asks for the attributes of a descriptor.
func (t *Task) AskedStat(fd int32) {
	if t.stats.opened == fd+1 {
		t.stats.opened = 0
		t.stats.after = min(t.stats.after+1, statsAfter)
	}
}

// EchoStat has the platform answer fstat(2) of a descriptor that was just opened, if that is the next call.
func (t *Task) EchoStat(fd int32, st *unix.Stat_t, stamps [2]steady.Stamp) {
	p, ok := t.ctx.(platform.Echoer)
	if !ok {
		return
	}
	used := p.EchoStat(fd, *st, [2]uint32{stamps[0].Slot, stamps[1].Slot}, [2]uint64{stamps[0].Gen, stamps[1].Gen})
	if t.stats.told && !used {
		t.stats.after = 0
	}
	t.stats.told = true
	if t.watched() {
		p.AnswerNothing() // since just now
	}
}

// taskReads is what a task knows of its program's way to read what it opens. Owner only.
type taskReads struct {
	opened int32            // the descriptor opened last, and 1
	after  int8             // how many times in a row that was read next
	told   bool             // the platform was told the last time
	of     *vfs.Description // what it was told of, which descriptor fd means
	fd     int32
}

// Reads returns how much of the file that it is about to open t is likely to read at once, in bytes, and may be handed out:
// nobody else has its memory or its descriptors.
func (t *Task) Reads() int {
	if t.reads.after < statsAfter || t.watched() || t.MM().Users() != 1 || t.FDs().Shared() {
		return 0
	}
	if p, ok := t.ctx.(platform.Reader); ok {
		return p.Worthwhile()
	}
	return 0
}

// AskedRead notes that t reads from a descriptor.
func (t *Task) AskedRead(fd int32) {
	if t.reads.opened == fd+1 {
		t.reads.opened = 0
		t.reads.after = min(t.reads.after+1, statsAfter)
	}
}

// EchoRead has the platform answer reads of d, which was just opened at fd, from the first n bytes of the window.
// stamp is that of the content.
func (t *Task) EchoRead(fd int32, d *vfs.Description, n uint32, stamp steady.Stamp) {
	p, ok := t.ctx.(platform.Reader)
	if !ok {
		return
	}
	open := t.FDs().HandOut(d)
	used := p.EchoRead(fd, n, [2]uint32{open.Slot, stamp.Slot}, [2]uint64{open.Gen, stamp.Gen})
	if t.reads.told && !used {
		t.reads.after = 0
	}
	t.reads.told, t.reads.of, t.reads.fd = true, d, fd
	if t.watched() {
		p.AnswerNothing() // since just now
	}
}

// handedOut notes that the platform has handed out n bytes since the task was here last.
func (t *Task) handedOut(n uint32) {
	if d := t.reads.of; d != nil && t.FDs().Means(t.reads.fd, d) {
		t.FDs().HandedOut(d, int64(n))
		t.CountRead(int64(n))
	}
}

// mayCloseLate returns the descriptors whose close(2) need not be seen at once.
func (t *Task) mayCloseLate() uint64 {
	if t.watched() {
		return 0
	}
	return t.FDs().MayCloseLate()
}

// Failure is the result of a call that fails with errno.
func Failure(errno unix.Errno) uint64 { return uint64(-int64(errno)) }
