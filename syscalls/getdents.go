package syscalls

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

var getdentsCalls = []Call{
	{Nr: unix.SYS_GETDENTS64, Name: "getdents64", Func: Getdents64, Args: []Arg{FD, OutBuf, Size}},
	{Nr: unix.SYS_GETDENTS, Name: "getdents", Func: Getdents, Args: []Arg{FD, OutBuf, Size}},
}

// maxDirents bounds what one call returns: more is a matter of calling again.
const maxDirents = 256 << 10

var direntBufs = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}

// Getdents64 is getdents64(2).
func Getdents64(t *task, a arguments) (uintptr, error) {
	return readDir(t, a, func(b []byte, e vfs.Dirent, size int) []byte {
		// struct linux_dirent64: ino[8] off[8] reclen[2] type[1] name NUL, 8-aligned.
		n := (19 + len(e.Name) + 1 + 7) &^ 7
		if len(b)+n > size {
			return nil
		}
		b = binary.LittleEndian.AppendUint64(b, e.Ino)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Next))
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = append(b, e.Type)
		b = append(b, e.Name...)
		return append(b, make([]byte, n-19-len(e.Name))...)
	})
}

// Getdents is getdents(2), the old layout: ino[8] off[8] reclen[2] name NUL … type in the last byte.
func Getdents(t *task, a arguments) (uintptr, error) {
	return readDir(t, a, func(b []byte, e vfs.Dirent, size int) []byte {
		n := (18 + len(e.Name) + 2 + 7) &^ 7
		if len(b)+n > size {
			return nil
		}
		b = binary.LittleEndian.AppendUint64(b, e.Ino)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Next))
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = append(b, e.Name...)
		b = append(b, make([]byte, n-19-len(e.Name))...)
		return append(b, e.Type)
	})
}

// readDir fills the application's buffer with entries as encode lays them out; encode returns nil for one that does
// not fit.
func readDir(t *task, a arguments, encode func(b []byte, e vfs.Dirent, size int) []byte) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	size := int(min(a[2].Size()&0xffffffff, maxDirents))
	buf := direntBufs.Get().(*[]byte)
	defer direntBufs.Put(buf)
	b := (*buf)[:0]
	full := false
	err := d.ReadDir(t, func(e vfs.Dirent) bool {
		next := encode(b, e, size)
		if next == nil {
			full = true
			return false
		}
		b = next
		return true
	})
	*buf = b
	if len(b) == 0 {
		if err == nil && full {
			err = unix.EINVAL // not even one fits
		}
		return 0, err
	}
	if _, err := t.MM().CopyOut(addr(a[1].Pointer()), b); err != nil {
		return 0, err
	}
	return uintptr(len(b)), nil
}
