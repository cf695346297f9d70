package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/signalfd"
)

var signalfdCalls = []Call{
	{Nr: unix.SYS_SIGNALFD, Name: "signalfd", Func: Signalfd, Args: []Arg{FD, Ptr, Size}},
	{Nr: unix.SYS_SIGNALFD4, Name: "signalfd4", Func: Signalfd4, Args: []Arg{FD, Ptr, Size, Hex}},
}

// Signalfd is signalfd(2) as it was without flags.
func Signalfd(t *task, a arguments) (uintptr, error) {
	return makeSignalfd(t, a, 0)
}

// Signalfd4 is signalfd(2).
func Signalfd4(t *task, a arguments) (uintptr, error) { return makeSignalfd(t, a, a[3].Uint()) }

// makeSignalfd makes a descriptor, or changes the signals of one.
func makeSignalfd(t *task, a arguments, flags uint32) (uintptr, error) {
	fd := a[0].Int()
	if flags&^(unix.SFD_CLOEXEC|unix.SFD_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	set, err := t.CopyInSignalSet(addr(a[1].Pointer()), a[2].Size())
	if err != nil {
		return 0, err
	}
	if fd == -1 {
		return installAnon(t, signalfd.New(set), "anon_inode:[signalfd]", 0600, unix.O_RDWR|flags&unix.O_NONBLOCK, flags&unix.SFD_CLOEXEC != 0)
	}
	d := t.GetIOFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	f, ok := d.File().(*signalfd.SignalFD)
	if !ok {
		return 0, unix.EINVAL
	}
	f.SetMask(set)
	return uintptr(fd), nil
}
