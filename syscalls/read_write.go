package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var readWriteCalls = []Call{
	{Nr: unix.SYS_READ, Name: "read", Func: Read, Args: []Arg{FD, OutBuf, Size}, Note: "of a file just opened: /proc/PID/fdinfo may show the old offset until the task's next call"},
	{Nr: unix.SYS_WRITE, Name: "write", Func: Write, Args: []Arg{FD, Buf, Size}, Note: "/proc/PID/io lacks writes to /dev/null made again and again"},
	{Nr: unix.SYS_PREAD64, Name: "pread64", Func: Pread64, Args: []Arg{FD, OutBuf, Size, Offset}},
	{Nr: unix.SYS_PWRITE64, Name: "pwrite64", Func: Pwrite64, Args: []Arg{FD, Buf, Size, Offset}},
	{Nr: unix.SYS_READV, Name: "readv", Func: Readv, Args: []Arg{FD, Iovec, Int}},
	{Nr: unix.SYS_WRITEV, Name: "writev", Func: Writev, Args: []Arg{FD, Iovec, Int}},
	{Nr: unix.SYS_PREADV, Name: "preadv", Func: Preadv, Args: []Arg{FD, Iovec, Int, Offset}},
	{Nr: unix.SYS_PWRITEV, Name: "pwritev", Func: Pwritev, Args: []Arg{FD, Iovec, Int, Offset}},
	{Nr: unix.SYS_PREADV2, Name: "preadv2", Func: Preadv2, Args: []Arg{FD, Iovec, Int, Offset, Offset, Hex}, Level: Partial, Note: "RWF_HIPRI has no effect; RWF_NOWAIT only where a file would wait"},
	{Nr: unix.SYS_PWRITEV2, Name: "pwritev2", Func: Pwritev2, Args: []Arg{FD, Iovec, Int, Offset, Offset, Hex}, Level: Partial, Note: "no RWF_ATOMIC"},
	{Nr: unix.SYS_LSEEK, Name: "lseek", Func: Lseek, Args: []Arg{FD, Offset, Int}},
}

// readFile is read(2) of an open file into dst.
func readFile(t *task, d *vfs.Description, dst usermem.Seq) (uintptr, error) {
	n, err := d.Read(t, dst)
	if err == unix.EAGAIN && n == 0 {
		n, err = blocking(t, d, wait.Readable|wait.RdHUp, readDeadline(t, d), func() (int64, error) { return d.Read(t, dst) })
	}
	if n > 0 {
		t.CountRead(n)
		return uintptr(n), nil
	}
	return 0, err
}

// writeFile is write(2) of src to an open file. Streams take all of it, however often that means to wait.
func writeFile(t *task, d *vfs.Description, src usermem.Seq) (uintptr, error) {
	n, err := d.Write(t, src)
	if err == unix.EAGAIN || n > 0 && n < int64(src.Len()) && !d.Positional() {
		rest := src.Drop(int(n))
		var more int64
		more, err = blockingWrite(t, d, rest, func(src usermem.Seq) (int64, error) { return d.Write(t, src) })
		n += more
	}
	if n > 0 {
		t.CountWrite(n)
		return uintptr(n), nil
	}
	return 0, err
}

// buffers says how the memory arguments of a call are given.
type buffers func(t *task, a arguments) (usermem.Seq, error)

func oneBuffer(t *task, a arguments) (usermem.Seq, error) {
	return t.SingleSeq(addr(a[1].Pointer()), a[2].Size())
}

func manyBuffers(t *task, a arguments) (usermem.Seq, error) {
	return t.IovecSeq(addr(a[1].Pointer()), a[2].Int())
}

// onFile calls op with the open file and the memory that a call names in its first three arguments. A file that may not
// be used so, if that is given, is told of before memory that cannot be.
func onFile(t *task, a arguments, may func(*vfs.Description) bool, b buffers, op func(t *task, d *vfs.Description, s usermem.Seq) (uintptr, error)) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	s, err := b(t, a)
	if err != nil {
		if may != nil && !may(d) {
			err = unix.EBADF
		}
		return 0, err
	}
	return op(t, d, s)
}

// Read is read(2).
func Read(t *task, a arguments) (uintptr, error) {
	return onFile(t, a, (*vfs.Description).Readable, oneBuffer, func(t *task, d *vfs.Description, dst usermem.Seq) (uintptr, error) {
		n, err := readFile(t, d, dst)
		t.AskedRead(a[0].Int())
		if d.Positional() && n > 0 {
			readOut(t, d, a[0].Int())
		} else if !d.Positional() {
			e := platform.Echo{Nr: unix.SYS_READ, FD: a[0].Int(), Args: [3]uint64{1: a[2].Uint64()}}
			drained(t, d, dst, int64(n), err, false, &e)
		}
		return n, err
	})
}

// Write is write(2).
func Write(t *task, a arguments) (uintptr, error) {
	return onFile(t, a, (*vfs.Description).Writable, oneBuffer, func(t *task, d *vfs.Description, src usermem.Seq) (uintptr, error) {
		n, err := writeFile(t, d, src)
		if err == nil {
			discarded(t, d, a[0].Int())
		}
		return n, err
	})
}

// Readv is readv(2).
func Readv(t *task, a arguments) (uintptr, error) {
	return onFile(t, a, (*vfs.Description).Readable, manyBuffers, readFile)
}

// Writev is writev(2).
func Writev(t *task, a arguments) (uintptr, error) {
	return onFile(t, a, (*vfs.Description).Writable, manyBuffers, writeFile)
}

// readAt is pread(2) of an open file.
func readAt(t *task, d *vfs.Description, dst usermem.Seq, off int64) (uintptr, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	n, err := d.ReadAt(t, dst, off)
	if err == unix.EAGAIN {
		n, err = blocking(t, d, wait.Readable, wait.NoDeadline, func() (int64, error) { return d.ReadAt(t, dst, off) })
	}
	if n > 0 {
		t.CountRead(n)
		return uintptr(n), nil
	}
	return 0, err
}

// writeAt is pwrite(2) of an open file.
func writeAt(t *task, d *vfs.Description, src usermem.Seq, off int64) (uintptr, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	n, err := d.WriteAt(t, src, off)
	if err == unix.EAGAIN {
		n, err = blocking(t, d, wait.Writable, wait.NoDeadline, func() (int64, error) { return d.WriteAt(t, src, off) })
	}
	if n > 0 {
		t.CountWrite(n)
		return uintptr(n), nil
	}
	return 0, err
}

// atOffset calls op as onFile does, with the offset that is the fourth argument.
func atOffset(t *task, a arguments, b buffers, op func(t *task, d *vfs.Description, s usermem.Seq, off int64) (uintptr, error)) (uintptr, error) {
	return onFile(t, a, nil, b, func(t *task, d *vfs.Description, s usermem.Seq) (uintptr, error) { return op(t, d, s, a[3].Int64()) })
}

// Pread64 is pread(2).
func Pread64(t *task, a arguments) (uintptr, error) { return atOffset(t, a, oneBuffer, readAt) }

// Pwrite64 is pwrite(2).
func Pwrite64(t *task, a arguments) (uintptr, error) { return atOffset(t, a, oneBuffer, writeAt) }

// Preadv is preadv(2).
func Preadv(t *task, a arguments) (uintptr, error) { return atOffset(t, a, manyBuffers, readAt) }

// Pwritev is pwritev(2).
func Pwritev(t *task, a arguments) (uintptr, error) { return atOffset(t, a, manyBuffers, writeAt) }

// Preadv2 is preadv2(2).
func Preadv2(t *task, a arguments) (uintptr, error) {
	return onFile(t, a, (*vfs.Description).Readable, manyBuffers, func(t *task, d *vfs.Description, dst usermem.Seq) (uintptr, error) {
		return readWith(t, d, dst, a[3].Int64(), a[5].Int())
	})
}

// readWith is preadv2 with flags, at offset -1 that of the file.
func readWith(t *task, d *vfs.Description, dst usermem.Seq, off int64, flags int32) (uintptr, error) {
	if flags&^(unix.RWF_HIPRI|unix.RWF_NOWAIT) != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if flags&unix.RWF_NOWAIT != 0 {
		var n int64
		var err error
		if off == -1 {
			n, err = d.Read(t, dst)
		} else if off < 0 {
			return 0, unix.EINVAL
		} else {
			n, err = d.ReadAt(t, dst, off)
		}
		return uintptr(n), err
	}
	if off == -1 {
		return readFile(t, d, dst)
	}
	return readAt(t, d, dst, off)
}

// Pwritev2 is pwritev2(2).
func Pwritev2(t *task, a arguments) (uintptr, error) {
	return onFile(t, a, (*vfs.Description).Writable, manyBuffers, func(t *task, d *vfs.Description, src usermem.Seq) (uintptr, error) {
		return writeWith(t, d, src, a[3].Int64(), a[5].Int())
	})
}

// writeWith is pwritev2 with flags, at offset -1 that of the file.
func writeWith(t *task, d *vfs.Description, src usermem.Seq, off int64, flags int32) (uintptr, error) {
	if flags&^(unix.RWF_HIPRI|unix.RWF_NOWAIT|unix.RWF_SYNC|unix.RWF_DSYNC|unix.RWF_APPEND) != 0 {
		return 0, unix.EOPNOTSUPP
	}
	var n uintptr
	var err error
	switch {
	case flags&unix.RWF_APPEND != 0:
		n, err = appendTo(t, d, src, off)
	case off == -1:
		n, err = writeFile(t, d, src)
	default:
		n, err = writeAt(t, d, src, off)
	}
	if err == nil && flags&(unix.RWF_SYNC|unix.RWF_DSYNC) != 0 {
		if s, ok := d.File().(vfs.Syncer); ok {
			err = s.Sync(t, flags&unix.RWF_SYNC == 0)
		}
	}
	return n, err
}

// appendTo is pwritev2 with RWF_APPEND: it writes at the end and, at offset -1, moves the file's offset there.
func appendTo(t *task, d *vfs.Description, src usermem.Seq, off int64) (uintptr, error) {
	st, err := d.Stat(t)
	if err != nil {
		return 0, err
	}
	if off < -1 {
		return 0, unix.EINVAL
	}
	n, err := writeAt(t, d, src, int64(st.Size))
	if err == nil && off == -1 {
		d.WithOffset(func(int64) int64 { return int64(st.Size) + int64(n) })
	}
	return n, err
}

// Lseek is lseek(2).
func Lseek(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	e := platform.Echo{Nr: unix.SYS_LSEEK, FD: a[0].Int(), Args: [3]uint64{a[1].Uint64(), a[2].Uint64()}}
	stamps, again := seekAgain(t, d, &e)
	off, err := d.Seek(t, a[1].Int64(), a[2].Int())
	if again && err == nil {
		e.Result = uint64(off)
		t.Echo(&e, stamps[:]...)
	}
	return uintptr(off), err
}
