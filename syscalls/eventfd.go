package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/eventfd"
)

var eventfdCalls = []Call{
	{Nr: unix.SYS_EVENTFD, Name: "eventfd", Func: Eventfd, Args: []Arg{UInt}},
	{Nr: unix.SYS_EVENTFD2, Name: "eventfd2", Func: Eventfd2, Args: []Arg{UInt, Hex}},
}

// Eventfd is eventfd(2) as it was without flags.
func Eventfd(t *task, a arguments) (uintptr, error) {
	return installAnon(t, eventfd.New(uint64(a[0].Uint()), false), "anon_inode:[eventfd]", 0600, unix.O_RDWR, false)
}

// Eventfd2 is eventfd(2).
func Eventfd2(t *task, a arguments) (uintptr, error) {
	flags := a[1].Uint()
	if flags&^(unix.EFD_CLOEXEC|unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE) != 0 {
		return 0, unix.EINVAL
	}
	f := eventfd.New(uint64(a[0].Uint()), flags&unix.EFD_SEMAPHORE != 0)
	return installAnon(t, f, "anon_inode:[eventfd]", 0600, unix.O_RDWR|flags&unix.O_NONBLOCK, flags&unix.EFD_CLOEXEC != 0)
}
