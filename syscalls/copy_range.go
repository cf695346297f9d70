package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var copyRangeCalls = []Call{
	{Nr: unix.SYS_SENDFILE, Name: "sendfile", Func: Sendfile, Args: []Arg{FD, FD, Ptr, Size}},
	{Nr: unix.SYS_COPY_FILE_RANGE, Name: "copy_file_range", Func: CopyFileRange, Args: []Arg{FD, Ptr, FD, Ptr, Size, Hex}},
	{Nr: unix.SYS_FALLOCATE, Name: "fallocate", Func: Fallocate, Args: []Arg{FD, Hex, Offset, Offset}},
	{Nr: unix.SYS_FADVISE64, Name: "fadvise64", Func: Fadvise64, Args: []Arg{FD, Offset, Offset, Int}, Level: Partial, Note: "checked; advice is not needed"},
	{Nr: unix.SYS_READAHEAD, Name: "readahead", Func: Readahead, Args: []Arg{FD, Offset, Size}, Level: Partial, Note: "checked; the host reads ahead by itself"},
}

// copyChunk is how much is moved between files at once.
const copyChunk = 128 << 10

var copyBufs = sync.Pool{New: func() any { b := make([]byte, copyChunk); return &b }}

// pump moves up to n bytes from in to out. inOff and outOff are where, nil for the files' own offsets; they are moved
// on. What out does not take is not taken from in either, if in can be read again at an offset.
func pump(t *task, in, out *vfs.Description, inOff, outOff *int64, n uint64) (int64, error) {
	buf := copyBufs.Get().(*[]byte)
	defer copyBufs.Put(buf)
	total := int64(0)
	for uint64(total) < n {
		want := min(n-uint64(total), copyChunk)
		var got int64
		var err error
		off := int64(0)
		switch {
		case inOff != nil:
			off = *inOff
		case in.Positional():
			off = in.Offset()
		default:
			return total, unix.EINVAL
		}
		got, err = in.ReadAt(t, usermem.BytesSeq((*buf)[:want]), off)
		if got == 0 || err != nil {
			return result(total, err)
		}
		put, err := pushAll(t, out, outOff, (*buf)[:got])
		total += put
		if inOff != nil {
			*inOff = off + put
		} else {
			in.WithOffset(func(int64) int64 { return off + put })
		}
		if err != nil || put < got {
			return result(total, err)
		}
	}
	return total, nil
}

func result(n int64, err error) (int64, error) {
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// pushAll writes b, waiting for room unless out is non-blocking.
func pushAll(t *task, out *vfs.Description, outOff *int64, b []byte) (int64, error) {
	done := int64(0)
	for done < int64(len(b)) {
		src := usermem.BytesSeq(b[done:])
		op := func() (int64, error) {
			if outOff != nil {
				return out.WriteAt(t, src, *outOff)
			}
			return out.Write(t, src)
		}
		n, err := blocking(t, out, wait.Writable, wait.NoDeadline, op)
		done += n
		if outOff != nil {
			*outOff += n
		}
		if err != nil || n == 0 {
			return done, err
		}
	}
	return done, nil
}

// Sendfile is sendfile(2).
func Sendfile(t *task, a arguments) (uintptr, error) {
	out, in := t.GetIOFile(a[0].Int()), t.GetIOFile(a[1].Int())
	defer release(t, out, in)
	if out == nil || in == nil || !in.Readable() || !out.Writable() {
		return 0, unix.EBADF
	}
	if out.Flags()&unix.O_APPEND != 0 {
		return 0, unix.EINVAL
	}
	at := addr(a[2].Pointer())
	var inOff *int64
	if at != 0 {
		if !in.Positional() {
			return 0, unix.ESPIPE
		}
		off, err := usermem.CopyInVal[int64](t.MM(), at)
		if err != nil {
			return 0, err
		}
		if off < 0 {
			return 0, unix.EINVAL
		}
		inOff = &off
	}
	n, err := pump(t, in, out, inOff, nil, min(a[3].Size(), 0x7ffff000))
	if at != 0 {
		if cerr := usermem.CopyOutVal(t.MM(), at, inOff); cerr != nil {
			return 0, cerr
		}
	}
	return uintptr(n), err
}

func release(t *task, ds ...*vfs.Description) {
	for _, d := range ds {
		if d != nil {
			d.DecRef(t)
		}
	}
}

// CopyFileRange is copy_file_range(2).
func CopyFileRange(t *task, a arguments) (uintptr, error) {
	in, out := t.GetIOFile(a[0].Int()), t.GetIOFile(a[2].Int())
	defer release(t, out, in)
	if out == nil || in == nil {
		return 0, unix.EBADF
	}
	if a[5].Uint() != 0 {
		return 0, unix.EINVAL
	}
	for _, d := range [...]*vfs.Description{in, out} {
		switch d.Inode().Base().Type() {
		case unix.S_IFREG:
		case unix.S_IFDIR:
			return 0, unix.EISDIR
		default:
			return 0, unix.EINVAL
		}
	}
	if !in.Readable() || !out.Writable() || out.Flags()&unix.O_APPEND != 0 {
		return 0, unix.EBADF
	}
	inAt, outAt := addr(a[1].Pointer()), addr(a[3].Pointer())
	inOff, err := offsetArg(t, inAt)
	if err != nil {
		return 0, err
	}
	outOff, err := offsetArg(t, outAt)
	if err != nil {
		return 0, err
	}
	n := min(a[4].Size(), 0x7ffff000)
	if in.Inode() == out.Inode() {
		from, to := in.Offset(), out.Offset()
		if inOff != nil {
			from = *inOff
		}
		if outOff != nil {
			to = *outOff
		}
		if from < to+int64(n) && to < from+int64(n) {
			return 0, unix.EINVAL
		}
	}
	done, err := pump(t, in, out, inOff, outOff, n)
	for _, o := range [...]struct {
		at  addr
		off *int64
	}{{inAt, inOff}, {outAt, outOff}} {
		if o.at != 0 && done > 0 {
			if err := usermem.CopyOutVal(t.MM(), o.at, o.off); err != nil {
				return 0, err
			}
		}
	}
	return uintptr(done), err
}

func offsetArg(t *task, at addr) (*int64, error) {
	if at == 0 {
		return nil, nil
	}
	off, err := usermem.CopyInVal[int64](t.MM(), at)
	if err == nil && off < 0 {
		err = unix.EINVAL
	}
	return &off, err
}

// Fallocate is fallocate(2).
func Fallocate(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	mode, off, length := a[1].Uint(), a[2].Int64(), a[3].Int64()
	switch {
	case off < 0 || length <= 0:
		return 0, unix.EINVAL
	case mode&unix.FALLOC_FL_PUNCH_HOLE != 0 && mode&unix.FALLOC_FL_KEEP_SIZE == 0:
		return 0, unix.EOPNOTSUPP
	case !d.Writable():
		return 0, unix.EBADF
	}
	switch d.Inode().Base().Type() {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return 0, unix.EISDIR
	case unix.S_IFIFO:
		return 0, unix.ESPIPE
	default:
		return 0, unix.ENODEV
	}
	if off+length < 0 {
		return 0, unix.EFBIG
	}
	f, ok := d.File().(vfs.Allocator)
	if !ok {
		return 0, unix.EOPNOTSUPP
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		if err := vfs.CheckFileSize(t, off+length, d.Inode()); err != nil {
			return 0, err
		}
	}
	return 0, f.Allocate(t, mode, off, length)
}

// Fadvise64 is posix_fadvise(2).
func Fadvise64(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	switch d.Inode().Base().Type() {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return 0, unix.ESPIPE
	}
	if a[3].Int() < unix.FADV_NORMAL || a[3].Int() > unix.FADV_NOREUSE || a[2].Int64() < 0 {
		return 0, unix.EINVAL
	}
	return 0, nil
}

// Readahead is readahead(2).
func Readahead(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil || !d.Readable() {
		release(t, d)
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if t := d.Inode().Base().Type(); t != unix.S_IFREG && t != unix.S_IFBLK {
		return 0, unix.EINVAL
	}
	return 0, nil
}
