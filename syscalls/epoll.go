package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/epoll"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var epollCalls = []Call{
	{Nr: unix.SYS_EPOLL_CREATE, Name: "epoll_create", Func: EpollCreate, Args: []Arg{Int}},
	{Nr: unix.SYS_EPOLL_CREATE1, Name: "epoll_create1", Func: EpollCreate1, Args: []Arg{Hex}},
	{Nr: unix.SYS_EPOLL_CTL, Name: "epoll_ctl", Func: EpollCtl, Args: []Arg{FD, Int, FD, Ptr}},
	{Nr: unix.SYS_EPOLL_WAIT, Name: "epoll_wait", Func: EpollWait, Args: []Arg{FD, Ptr, Int, Int}},
	{Nr: unix.SYS_EPOLL_PWAIT, Name: "epoll_pwait", Func: EpollPwait, Args: []Arg{FD, Ptr, Int, Int, Ptr, Size}},
	{Nr: unix.SYS_EPOLL_PWAIT2, Name: "epoll_pwait2", Func: EpollPwait2, Args: []Arg{FD, Ptr, Int, Timespec, Ptr, Size}},
}

// installAnon gives a file without a name a descriptor. name is what
// /proc/PID/fd shows.
func installAnon(t *task, f vfs.File, name string, mode, flags uint32, cloexec bool) (uintptr, error) {
	d := vfs.NewAnonDescription(f, name, mode, flags)
	defer d.DecRef(t)
	fd, err := t.NewFD(d, 0, cloexec)
	if err != nil {
		return 0, err
	}
	return uintptr(fd), nil
}

// EpollCreate is epoll_create(2).
func EpollCreate(t *task, a arguments) (uintptr, error) {
	if a[0].Int() <= 0 {
		return 0, unix.EINVAL
	}
	return installAnon(t, epoll.New(), "anon_inode:[eventpoll]", 0600, unix.O_RDWR, false)
}

// EpollCreate1 is epoll_create1(2).
func EpollCreate1(t *task, a arguments) (uintptr, error) {
	if a[0].Uint()&^unix.EPOLL_CLOEXEC != 0 {
		return 0, unix.EINVAL
	}
	return installAnon(t, epoll.New(), "anon_inode:[eventpoll]", 0600, unix.O_RDWR, a[0].Uint() != 0)
}

// epollEvent is struct epoll_event, which is packed on x86-64.
type epollEvent = epoll.Event

// EpollCtl is epoll_ctl(2).
func EpollCtl(t *task, a arguments) (uintptr, error) {
	op := a[1].Int()
	var ev epollEvent
	if op != unix.EPOLL_CTL_DEL {
		var err error
		if ev, err = usermem.CopyInVal[epollEvent](t.MM(), addr(a[3].Pointer())); err != nil {
			return 0, err
		}
	}
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	target := t.GetIOFile(a[2].Int())
	if target == nil {
		return 0, unix.EBADF
	}
	defer target.DecRef(t)
	e, ok := d.File().(*epoll.Epoll)
	if queueFor(t, target) == nil {
		return 0, unix.EPERM
	}
	if !ok || target.File() == d.File() {
		return 0, unix.EINVAL
	}
	switch op {
	case unix.EPOLL_CTL_ADD:
		return 0, e.Add(t, a[2].Int(), target, ev)
	case unix.EPOLL_CTL_MOD:
		return 0, e.Modify(a[2].Int(), target, ev)
	case unix.EPOLL_CTL_DEL:
		return 0, e.Delete(a[2].Int(), target)
	}
	return 0, unix.EINVAL
}

// EpollWait is epoll_wait(2).
func EpollWait(t *task, a arguments) (uintptr, error) {
	return epollUntil(t, a, millisDeadline(t, a[3].Int()))
}

func millisDeadline(t *task, ms int32) int64 {
	switch {
	case ms < 0:
		return wait.NoDeadline
	case ms == 0:
		return 0
	}
	return after(t, int64(ms)*1e6)
}

// epollUntil waits; if nothing but a stop interrupts it, it goes on with what
// is left of its time.
func epollUntil(t *task, a arguments, deadline int64) (uintptr, error) {
	n, err := doEpoll(t, a, deadline)
	if err == wait.ErrInterrupted {
		kept := *a
		return 0, t.RestartWith(func(t *task) (uintptr, error) { return epollUntil(t, &kept, deadline) })
	}
	return n, err
}

// EpollPwait is epoll_pwait(2).
func EpollPwait(t *task, a arguments) (uintptr, error) {
	return epollMasked(t, a, millisDeadline(t, a[3].Int()))
}

// EpollPwait2 is epoll_pwait2(2).
func EpollPwait2(t *task, a arguments) (uintptr, error) {
	deadline, err := timespecDeadline(t, addr(a[3].Pointer()))
	if err != nil {
		return 0, err
	}
	return epollMasked(t, a, deadline)
}

func epollMasked(t *task, a arguments, deadline int64) (uintptr, error) {
	if a[4].Pointer() == 0 {
		return epollUntil(t, a, deadline)
	}
	restore, err := useMask(t, addr(a[4].Pointer()), a[5].Size())
	if err != nil {
		return 0, err
	}
	n, err := doEpoll(t, a, deadline)
	restore(err)
	if err == wait.ErrInterrupted {
		err = unix.EINTR
	}
	return n, err
}

// eventBatch is how many events one call reports without an allocation.
const eventBatch = 256

// eventBuffers are pooled because what is copied out escapes.
var eventBuffers = sync.Pool{New: func() any { return new([eventBatch]epollEvent) }}

func doEpoll(t *task, a arguments, deadline int64) (uintptr, error) {
	limit := a[2].Int()
	if limit <= 0 || int64(limit) > (1<<31-1)/12 {
		return 0, unix.EINVAL
	}
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	e, ok := d.File().(*epoll.Epoll)
	if !ok {
		return 0, unix.EINVAL
	}
	buf := eventBuffers.Get().(*[eventBatch]epollEvent)
	defer eventBuffers.Put(buf)
	out := buf[:min(int(limit), eventBatch)]
	if limit > eventBatch {
		if n := e.Size(); n > eventBatch {
			out = make([]epollEvent, min(int(limit), n))
		}
	}
	n, err := awaitEvents(t, e, out, deadline)
	if n == 0 {
		return 0, err
	}
	if err := usermem.CopyOutSlice(t.MM(), addr(a[1].Pointer()), out[:n]); err != nil {
		return 0, err
	}
	return uintptr(n), nil
}

func awaitEvents(t *task, e *epoll.Epoll, out []epollEvent, deadline int64) (int, error) {
	if n := e.Wait(out); n > 0 || deadline == 0 {
		return n, nil
	}
	// Of several that wait, one is woken for an event.
	w := t.OwnWaiter()
	w.Exclusive = true
	e.Queue().Add(w, wait.Readable)
	defer w.Remove()
	for {
		if n := e.Wait(out); n > 0 {
			return n, nil
		}
		if err := t.Block(deadline); err != nil {
			w.Remove()
			// The wake-up that came too late for this one is another's.
			if e.Poll(wait.Readable) != 0 {
				if err == unix.ETIMEDOUT {
					return e.Wait(out), nil
				}
				e.Queue().NotifyOne(wait.Readable)
			}
			if err == unix.ETIMEDOUT {
				err = nil
			}
			return 0, err
		}
	}
}
