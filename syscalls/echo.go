package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/kernel"
	"ringfort/sentry/socket"
	"ringfort/sentry/steady"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Calls about descriptors that platforms answer again by themselves (package steady).

// seekAgain reports whether a seek is one that was just made, which moves nothing unless something else did since, and
// takes the stamps of what its result depends on.
func seekAgain(t *task, d *vfs.Description, e *platform.Echo) (stamps [2]steady.Stamp, again bool) {
	f, ok := d.File().(vfs.Sized)
	if !ok || !t.Repeats(e) {
		return stamps, false
	}
	switch whence := int32(e.Args[1]); {
	case whence == unix.SEEK_SET, whence == unix.SEEK_CUR && e.Args[0] == 0:
		stamps[0] = d.Note()
	case whence == unix.SEEK_END && f.SizeMark() != nil:
		stamps[0], stamps[1] = d.Note(), f.SizeMark().Note()
	default:
		return stamps, false
	}
	return stamps, t.FDs().Means(e.FD, d) // it may have ceased to before the stamp
}

// discarded is called when a write to d, which fd meant, has been done. If d takes whatever is written, another write, of
// whatever length, is done by returning that.
func discarded(t *task, d *vfs.Description, fd int32) {
	if !d.Discards() {
		return
	}
	e := platform.Echo{Nr: unix.SYS_WRITE, FD: fd}
	if !t.Repeats(&e) {
		return
	}
	if stamps, ok := d.NoteDiscards(); ok && t.FDs().Means(fd, d) {
		t.Echo(&e, stamps[:]...)
	}
}

// echoStat tells the platform what fstat(2) returns for a file that was just opened, or read to the end. open was noted before.
func echoStat(t *task, d *vfs.Description, fd int32, open steady.Stamp, read bool) {
	f, ok := d.File().(vfs.StatNoter)
	if !ok {
		return
	}
	told, ok := f.NoteStat()
	if !ok {
		return
	}
	_ = vfs.WithStat(t, d.Path(), func(st *unix.Statx_t) error {
		var out unix.Stat_t
		toStat(t, st, &out)
		t.EchoStat(fd, &out, d.Offset(), [2]steady.Stamp{open, told}, read)
		return nil
	})
}

// readOut is called when fd has been read from, which meant d then. Who asks for the attributes of what he has read to the end
// finds them, as far as the platform can.
func readOut(t *task, d *vfs.Description, fd int32) {
	f, ok := d.File().(vfs.StatNoter)
	if !ok || d.Offset() < f.Size() {
		return
	}
	if !t.StatsRead() {
		t.ReadOut(fd)
	} else if open := d.Note(); t.FDs().Means(fd, d) {
		echoStat(t, d, fd, open, true)
	}
}

// echoRead tells the platform what read(2) returns for a file that was just opened, if that is not more than most bytes.
func echoRead(t *task, d *vfs.Description, fd int32, most int) {
	f, ok := d.File().(vfs.Shower)
	if !ok || d.Writable() {
		return
	}
	b := t.MM().Window()
	if b == nil {
		return
	}
	t.FDs().HandOutNothing() // what it shows now goes away
	if n, stamp := f.Show(b[:most]); n > 0 {
		t.EchoRead(fd, d, uint32(n), stamp)
	}
}

// drained is called when a call has received n bytes of a stream into dst, or failed with err. Who has found out before that
// nothing more is there by asking once more will do so again: then it is told without a call. dontWait says that such a call
// does not wait whatever the flags of d say.
func drained(t *task, d *vfs.Description, dst usermem.Seq, n int64, err error, dontWait bool, e *platform.Echo) {
	switch {
	case !dontWait && !d.NonBlocking() || err != nil && err != unix.EAGAIN:
		return
	case err == unix.EAGAIN:
		if !t.Repeats(e) {
			return
		}
	case n <= 0 || n == int64(dst.Len()) || !t.Repeated(e):
		return
	}
	s, ok := d.File().(socket.Teller)
	if !ok || s.Type() != unix.SOCK_STREAM || !s.TellsArrivals() {
		return
	}
	stamp := d.NoteEmpty()
	// What was looked at before the stamp is looked at again.
	if t.FDs().Means(e.FD, d) && (dontWait || d.NonBlocking()) && d.Poll(wait.Readable|wait.RdHUp) == 0 {
		e.Result = kernel.Failure(unix.EAGAIN)
		t.Echo(e, stamp)
	}
}
