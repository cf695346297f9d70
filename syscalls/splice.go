package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/pipe"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var spliceCalls = []Call{
	{Nr: unix.SYS_SPLICE, Name: "splice", Func: Splice, Args: []Arg{FD, Ptr, FD, Ptr, Size, Hex}},
	{Nr: unix.SYS_TEE, Name: "tee", Func: Tee, Args: []Arg{FD, FD, Size, Hex}},
	{Nr: unix.SYS_VMSPLICE, Name: "vmsplice", Func: Vmsplice, Args: []Arg{FD, Iovec, Size, Hex}},
}

// spliceFlags are SPLICE_F_MOVE, NONBLOCK, MORE and GIFT. Pages are always
// copied, so only NONBLOCK means something.
const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK | unix.SPLICE_F_MORE | unix.SPLICE_F_GIFT

// end is one side of a splice.
type end struct {
	d      *vfs.Description
	pipe   *pipe.Pipe // nil if it is none
	off    int64      // where to read or write, with offset set
	offset bool
}

func newEnd(t *task, fd int32) (end, error) {
	d := t.GetIOFile(fd)
	if d == nil {
		return end{}, unix.EBADF
	}
	e := end{d: d}
	if f, ok := d.File().(*pipe.File); ok {
		e.pipe = f.Pipe()
	}
	return e, nil
}

// withEnds calls f with the two descriptors of a call that moves n bytes between them, if they are readable and
// writable. Nothing is to be done for no bytes.
func withEnds(t *task, from, to int32, n uint64, flags uint32, f func(in, out *end) (uintptr, error)) (uintptr, error) {
	if flags&^spliceFlags != 0 {
		return 0, unix.EINVAL
	}
	if n == 0 {
		return 0, nil
	}
	in, err := newEnd(t, from)
	if err != nil {
		return 0, err
	}
	defer in.d.DecRef(t)
	out, err := newEnd(t, to)
	if err != nil {
		return 0, err
	}
	defer out.d.DecRef(t)
	if !in.d.Readable() || !out.d.Writable() {
		return 0, unix.EBADF
	}
	return f(&in, &out)
}

// takeOffset reads the offset argument of an end.
func (e *end) takeOffset(t *task, p addr) error {
	if p == 0 {
		return nil
	}
	if e.pipe != nil {
		return unix.ESPIPE
	}
	if !e.d.Positional() {
		return unix.EINVAL
	}
	off, err := usermem.CopyInVal[int64](t.MM(), p)
	if err != nil {
		return err
	}
	if off < 0 {
		return unix.EINVAL
	}
	e.off, e.offset = off, true
	return nil
}

// Splice is splice(2).
func Splice(t *task, a arguments) (uintptr, error) {
	return withEnds(t, a[0].Int(), a[2].Int(), a[4].Size(), a[5].Uint(), func(in, out *end) (uintptr, error) {
		return splice(t, in, out, a)
	})
}

func splice(t *task, in, out *end, a arguments) (uintptr, error) {
	if in.pipe == nil && out.pipe == nil || out.pipe == nil && out.d.Flags()&unix.O_APPEND != 0 {
		return 0, unix.EINVAL
	}
	if err := in.takeOffset(t, addr(a[1].Pointer())); err != nil {
		return 0, err
	}
	if err := out.takeOffset(t, addr(a[3].Pointer())); err != nil {
		return 0, err
	}
	done, err := awaitSplice(t, in, out, a[5].Uint(), func() (int64, error) { return spliceOnce(t, in, out, a[4].Size()) })
	if err == unix.EPIPE && out.pipe != nil {
		t.SendSignal(int32(unix.SIGPIPE))
	}
	if done <= 0 {
		return 0, err
	}
	for i, e := range []*end{in, out} {
		if e.offset {
			off := e.off + done
			if err := usermem.CopyOutVal(t.MM(), addr(a[1+2*i].Pointer()), &off); err != nil {
				return 0, err
			}
		}
	}
	return uintptr(done), nil
}

// spliceOnce moves what can be moved now.
func spliceOnce(t *task, in, out *end, n uint64) (int64, error) {
	n = min(n, 1<<30)
	switch {
	case in.pipe != nil && out.pipe != nil:
		return pipe.Transfer(in.pipe, out.pipe, n, false)
	case in.pipe != nil:
		off := out.off
		return in.pipe.DrainTo(n, func(b []byte) (int, error) {
			m, err := out.write(t, b, off)
			off += int64(m)
			return m, err
		})
	default:
		off := in.off
		return out.pipe.FillFrom(n, func(b []byte) (int, error) {
			m, err := in.read(t, b, off)
			off += int64(m)
			return m, err
		})
	}
}

func (e *end) write(t *task, b []byte, off int64) (int, error) {
	var n int64
	var err error
	if e.offset {
		n, err = e.d.WriteAt(t, usermem.BytesSeq(b), off)
	} else {
		n, err = e.d.Write(t, usermem.BytesSeq(b))
	}
	return int(n), err
}

func (e *end) read(t *task, b []byte, off int64) (int, error) {
	var n int64
	var err error
	if e.offset {
		n, err = e.d.ReadAt(t, usermem.BytesSeq(b), off)
	} else {
		n, err = e.d.Read(t, usermem.BytesSeq(b))
	}
	return int(n), err
}

// awaitSplice repeats op until it is not EAGAIN, waiting for both ends unless
// one of them or flags says not to.
func awaitSplice(t *task, in, out *end, flags uint32, op func() (int64, error)) (int64, error) {
	n, err := op()
	if err != unix.EAGAIN || n > 0 || flags&unix.SPLICE_F_NONBLOCK != 0 || in.d.NonBlocking() || out.d.NonBlocking() {
		return n, err
	}
	var ws [2]wait.Waiter
	for i, e := range []*end{in, out} {
		if q := queueFor(t, e.d); q != nil {
			ws[i].To = t
			q.Add(&ws[i], wait.Readable|wait.Writable|wait.Err|wait.HUp)
			defer ws[i].Remove()
		}
	}
	for {
		if n, err = op(); err != unix.EAGAIN || n > 0 {
			return n, err
		}
		if err := t.Block(wait.NoDeadline); err != nil {
			return 0, err
		}
	}
}

// Tee is tee(2).
func Tee(t *task, a arguments) (uintptr, error) {
	n, flags := a[2].Size(), a[3].Uint()
	return withEnds(t, a[0].Int(), a[1].Int(), n, flags, func(in, out *end) (uintptr, error) {
		if in.pipe == nil || out.pipe == nil || in.pipe == out.pipe {
			return 0, unix.EINVAL
		}
		done, err := awaitSplice(t, in, out, flags, func() (int64, error) { return pipe.Transfer(in.pipe, out.pipe, n, true) })
		if err == unix.EPIPE {
			t.SendSignal(int32(unix.SIGPIPE))
		}
		return uintptr(max(done, 0)), err
	})
}

// Vmsplice is vmsplice(2): as pages are copied, it is writev to the writing
// end of a pipe and readv from the other.
func Vmsplice(t *task, a arguments) (uintptr, error) {
	flags := a[3].Uint()
	if flags&^spliceFlags != 0 {
		return 0, unix.EINVAL
	}
	e, err := newEnd(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer e.d.DecRef(t)
	if e.pipe == nil {
		return 0, unix.EBADF
	}
	if a[2].Size() > maxMessages {
		return 0, unix.EINVAL
	}
	seq, err := t.IovecSeq(addr(a[1].Pointer()), int32(a[2].Size()))
	if err != nil {
		return 0, err
	}
	if e.d.Writable() {
		if flags&unix.SPLICE_F_NONBLOCK != 0 {
			n, err := e.d.Write(t, seq)
			return uintptr(n), err
		}
		n, err := blockingWrite(t, e.d, seq, func(src usermem.Seq) (int64, error) { return e.d.Write(t, src) })
		return uintptr(n), err
	}
	if flags&unix.SPLICE_F_NONBLOCK != 0 {
		n, err := e.d.Read(t, seq)
		return uintptr(n), err
	}
	n, err := blocking(t, e.d, wait.Readable, wait.NoDeadline, func() (int64, error) { return e.d.Read(t, seq) })
	return uintptr(n), err
}
