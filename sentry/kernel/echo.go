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

// habits is what a task knows of its program's way to use files. Owner only.
type habits struct {
	openStat habit            // to ask for the attributes of what it has opened
	openRead habit            // to read that
	readStat habit            // to ask for the attributes of what it has read to the end
	stat     *habit           // by which the platform was told what fstat returns the last time
	read     bool             // the platform was told what read returns the last time
	of       *vfs.Description // what that was, which descriptor fd means
	fd       int32
}

// habit is a call that follows another one about the same descriptor.
type habit struct {
	fd    int32 // the descriptor, and 1
	times int8  // how many times in a row that was so
}

// habitAfter is after how many a program is taken to do so always.
const habitAfter = 2

func (h *habit) began(fd int32) { h.fd = fd + 1 }

func (h *habit) followed(fd int32) {
	if h.fd == fd+1 {
		h.fd = 0
		h.times = min(h.times+1, habitAfter)
	}
}

// Stats reports whether t is likely to ask for the attributes of the file that it is about to open.
func (t *Task) Stats() bool { return t.habits.openStat.times >= habitAfter && !t.watched() }

// StatsRead is Stats for a file that it has read to the end.
func (t *Task) StatsRead() bool { return t.habits.readStat.times >= habitAfter && !t.watched() }

// Opened notes that t has opened a file.
func (t *Task) Opened(fd int32) {
	t.habits.openStat.began(fd)
	t.habits.openRead.began(fd)
}

// ReadOut notes that t has read a file to the end.
func (t *Task) ReadOut(fd int32) { t.habits.readStat.began(fd) }

// AskedStat notes that t asks for the attributes of a descriptor.
func (t *Task) AskedStat(fd int32) {
	t.habits.openStat.followed(fd)
	t.habits.readStat.followed(fd)
}

// AskedRead notes that t reads from a descriptor.
func (t *Task) AskedRead(fd int32) { t.habits.openRead.followed(fd) }

// EchoStat has the platform answer fstat(2) of a descriptor of a regular file that was just opened, or read to the end, that it
// is no terminal, and where its offset is, until the next call that it cannot answer.
func (t *Task) EchoStat(fd int32, st *unix.Stat_t, offset int64, stamps [2]steady.Stamp, read bool) {
	p, ok := t.ctx.(platform.Echoer)
	if !ok {
		return
	}
	h := &t.habits
	used := p.EchoStat(fd, *st, offset, [2]uint32{stamps[0].Slot, stamps[1].Slot}, [2]uint64{stamps[0].Gen, stamps[1].Gen})
	if h.stat != nil && !used {
		h.stat.times = 0
	}
	if h.stat = &h.openStat; read {
		h.stat = &h.readStat
	}
	if t.watched() {
		p.AnswerNothing() // since just now
	}
}

// Reads returns how much of the file that it is about to open t is likely to read at once, in bytes, and may be handed out:
// nobody else has its memory or its descriptors.
func (t *Task) Reads() int {
	if t.habits.openRead.times < habitAfter || t.watched() || t.MM().Users() != 1 || t.FDs().Shared() {
		return 0
	}
	if p, ok := t.ctx.(platform.Reader); ok {
		return p.Worthwhile()
	}
	return 0
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
	h := &t.habits
	if h.read && !used {
		h.openRead.times = 0
	}
	h.read, h.of, h.fd = true, d, fd
	if t.watched() {
		p.AnswerNothing() // since just now
	}
}

// handedOut notes that the platform has handed out n bytes since the task was here last.
func (t *Task) handedOut(n uint32) {
	if d := t.habits.of; d != nil && t.FDs().Means(t.habits.fd, d) {
		d.HandedOut(int64(n))
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
