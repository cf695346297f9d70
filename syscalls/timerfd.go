package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/timerfd"
	"ringfort/sentry/ktime"
	"ringfort/sentry/usermem"
)

var timerfdCalls = []Call{
	{Nr: unix.SYS_TIMERFD_CREATE, Name: "timerfd_create", Func: TimerfdCreate, Args: []Arg{Int, Hex}},
	{Nr: unix.SYS_TIMERFD_SETTIME, Name: "timerfd_settime", Func: TimerfdSettime, Args: []Arg{FD, Hex, Ptr, Ptr}},
	{Nr: unix.SYS_TIMERFD_GETTIME, Name: "timerfd_gettime", Func: TimerfdGettime, Args: []Arg{FD, Ptr}},
}

// TimerfdCreate is timerfd_create(2).
func TimerfdCreate(t *task, a arguments) (uintptr, error) {
	id, flags := a[0].Int(), a[1].Uint()
	if flags&^(unix.TFD_CLOEXEC|unix.TFD_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	var clock *ktime.Clock
	switch id {
	case unix.CLOCK_REALTIME:
		clock = t.Kernel().RealtimeClock()
	case unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME: // the sandbox never sleeps
		clock = t.Kernel().MonotonicClock()
	case unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
		if !t.Creds().HasRootCap(unix.CAP_WAKE_ALARM) {
			return 0, unix.EPERM
		}
		clock = t.Kernel().MonotonicClock()
		if id == unix.CLOCK_REALTIME_ALARM {
			clock = t.Kernel().RealtimeClock()
		}
	default:
		return 0, unix.EINVAL
	}
	return installAnon(t, timerfd.New(clock, id), "anon_inode:[timerfd]", 0600, unix.O_RDWR|flags&unix.O_NONBLOCK, flags&unix.TFD_CLOEXEC != 0)
}

// withTimerFD calls f with the timer of a descriptor.
func withTimerFD(t *task, fd int32, f func(*timerfd.TimerFD) error) error {
	d := t.GetIOFile(fd)
	if d == nil {
		return unix.EBADF
	}
	defer d.DecRef(t)
	tf, ok := d.File().(*timerfd.TimerFD)
	if !ok {
		return unix.EINVAL
	}
	return f(tf)
}

// TimerfdSettime is timerfd_settime(2).
func TimerfdSettime(t *task, a arguments) (uintptr, error) {
	flags := a[1].Uint()
	if flags&^(unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET) != 0 {
		return 0, unix.EINVAL
	}
	spec, err := usermem.CopyInVal[itimerspec](t.MM(), addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	value, err := durationOf(spec.Value)
	if err != nil {
		return 0, err
	}
	interval, err := durationOf(spec.Interval)
	if err != nil {
		return 0, err
	}
	return 0, withTimerFD(t, a[0].Int(), func(f *timerfd.TimerFD) error {
		left, old := f.Set(value, interval, int32(flags))
		if p := addr(a[3].Pointer()); p != 0 {
			out := newItimerspec(left, old)
			return usermem.CopyOutVal(t.MM(), p, &out)
		}
		return nil
	})
}

// TimerfdGettime is timerfd_gettime(2).
func TimerfdGettime(t *task, a arguments) (uintptr, error) {
	return 0, withTimerFD(t, a[0].Int(), func(f *timerfd.TimerFD) error {
		left, interval := f.Get()
		out := newItimerspec(left, interval)
		return usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &out)
	})
}
