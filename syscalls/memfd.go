package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/tmpfs"
)

var memfdCalls = []Call{
	{Nr: unix.SYS_MEMFD_CREATE, Name: "memfd_create", Func: MemfdCreate, Args: []Arg{Path, Hex}, Level: Partial, Note: "no huge pages"},
}

// memfds is the file system of nameless files in memory, one for the sandbox.
var memfds struct {
	once sync.Once
	fs   *tmpfs.Memfds
}

// memfdNameMax is the longest name, without the NUL (memfd_create(2)).
const memfdNameMax = 249

// MemfdCreate is memfd_create(2).
func MemfdCreate(t *task, a arguments) (uintptr, error) {
	flags := a[1].Uint()
	if flags&unix.MFD_HUGETLB != 0 {
		return 0, unix.ENOSYS
	}
	const known = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING | unix.MFD_NOEXEC_SEAL | unix.MFD_EXEC
	if flags&^known != 0 || flags&unix.MFD_NOEXEC_SEAL != 0 && flags&unix.MFD_EXEC != 0 {
		return 0, unix.EINVAL
	}
	name, err := t.CopyInString(addr(a[0].Pointer()), memfdNameMax+1)
	if err == unix.ENAMETOOLONG {
		err = unix.EINVAL
	}
	if err != nil {
		return 0, err
	}
	mode, seals := uint32(0777), uint32(unix.F_SEAL_SEAL)
	if flags&unix.MFD_ALLOW_SEALING != 0 {
		seals = 0
	}
	if flags&unix.MFD_NOEXEC_SEAL != 0 {
		mode, seals = 0666, unix.F_SEAL_EXEC
	}
	memfds.once.Do(func() { memfds.fs = tmpfs.NewMemfds(t.Kernel().MemoryFile()) })
	d := memfds.fs.Create(t, name, mode, seals)
	defer d.DecRef(t)
	fd, err := t.NewFD(d, 0, flags&unix.MFD_CLOEXEC != 0)
	return uintptr(fd), err
}
