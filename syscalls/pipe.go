package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/pipe"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

var pipeCalls = []Call{
	{Nr: unix.SYS_PIPE, Name: "pipe", Func: Pipe, Args: []Arg{Ptr}},
	{Nr: unix.SYS_PIPE2, Name: "pipe2", Func: Pipe2, Args: []Arg{Ptr, OpenFlags}},
}

// Pipe is pipe(2).
func Pipe(t *task, a arguments) (uintptr, error) { return makePipe(t, addr(a[0].Pointer()), 0) }

// Pipe2 is pipe2(2).
func Pipe2(t *task, a arguments) (uintptr, error) {
	flags := a[1].Uint()
	if flags&^(unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_DIRECT) != 0 {
		// O_NOTIFICATION_PIPE (O_EXCL) needs watch queues, which there are none of.
		return 0, unix.EINVAL
	}
	return makePipe(t, addr(a[0].Pointer()), flags)
}

func makePipe(t *task, out addr, flags uint32) (uintptr, error) {
	r, w := pipe.NewEnds()
	const mode = unix.S_IFIFO | 0600
	status := flags & (unix.O_NONBLOCK | unix.O_DIRECT)
	// Both ends are of one inode: their names agree.
	rd := vfs.NewAnonDescription(r, "pipe:[%d]", mode, unix.O_RDONLY|status)
	defer rd.DecRef(t)
	// An open through /proc/PID/fd finds the pipe as that of a FIFO is found.
	rd.Path().Inode().Base().SetEndpoint(r.Pipe())
	rd.Path().IncRef()
	wd := vfs.NewDescription(w, rd.Path(), unix.O_WRONLY|status)
	defer wd.DecRef(t)
	return 0, installPair(t, rd, wd, flags&unix.O_CLOEXEC != 0, out)
}

// installPair gives two descriptions descriptors and writes them to out. On
// failure neither is open.
func installPair(t *task, first, second *vfs.Description, cloexec bool, out addr) error {
	var fds [2]int32
	var err error
	if fds[0], err = t.NewFD(first, 0, cloexec); err != nil {
		return err
	}
	if fds[1], err = t.NewFD(second, 0, cloexec); err != nil {
		t.FDs().Close(t, fds[0])
		return err
	}
	if err := usermem.CopyOutVal(t.MM(), out, &fds); err != nil {
		t.FDs().Close(t, fds[0])
		t.FDs().Close(t, fds[1])
		return err
	}
	return nil
}
