package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

var timeCalls = []Call{
	{Nr: unix.SYS_CLOCK_GETTIME, Name: "clock_gettime", Func: ClockGettime, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_CLOCK_GETRES, Name: "clock_getres", Func: ClockGetres, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_CLOCK_SETTIME, Name: "clock_settime", Func: ClockSettime, Args: []Arg{Int, Ptr}, Level: Partial, Note: "EPERM: the host's clock is not the sandbox's to set"},
	{Nr: unix.SYS_CLOCK_ADJTIME, Name: "clock_adjtime", Level: Refused, Errno: unix.EPERM, Note: "the host's clock is not the sandbox's to set"},
	{Nr: unix.SYS_ADJTIMEX, Name: "adjtimex", Level: Refused, Errno: unix.EPERM, Note: "the host's clock is not the sandbox's to set"},
	{Nr: unix.SYS_SETTIMEOFDAY, Name: "settimeofday", Level: Refused, Errno: unix.EPERM, Note: "the host's clock is not the sandbox's to set"},
	{Nr: unix.SYS_CLOCK_NANOSLEEP, Name: "clock_nanosleep", Func: ClockNanosleep, Args: []Arg{Int, Int, Timespec, Ptr}},
	{Nr: unix.SYS_NANOSLEEP, Name: "nanosleep", Func: Nanosleep, Args: []Arg{Timespec, Ptr}},
	{Nr: unix.SYS_GETTIMEOFDAY, Name: "gettimeofday", Func: Gettimeofday, Args: []Arg{Ptr, Ptr}},
	{Nr: unix.SYS_TIME, Name: "time", Func: Time, Args: []Arg{Ptr}},
	{Nr: unix.SYS_TIMES, Name: "times", Func: Times, Args: []Arg{Ptr}},
	{Nr: unix.SYS_ALARM, Name: "alarm", Func: Alarm, Args: []Arg{UInt}},
	{Nr: unix.SYS_GETITIMER, Name: "getitimer", Func: Getitimer, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_SETITIMER, Name: "setitimer", Func: Setitimer, Args: []Arg{Int, Ptr, Ptr}},
	{Nr: unix.SYS_TIMER_CREATE, Name: "timer_create", Func: TimerCreate, Args: []Arg{Int, Ptr, Ptr}, Level: Partial, Note: "no timers on the CPU clocks of other processes"},
	{Nr: unix.SYS_TIMER_SETTIME, Name: "timer_settime", Func: TimerSettime, Args: []Arg{Int, Int, Ptr, Ptr}},
	{Nr: unix.SYS_TIMER_GETTIME, Name: "timer_gettime", Func: TimerGettime, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_TIMER_GETOVERRUN, Name: "timer_getoverrun", Func: TimerGetoverrun, Args: []Arg{Int}},
	{Nr: unix.SYS_TIMER_DELETE, Name: "timer_delete", Func: TimerDelete, Args: []Arg{Int}},
}

const second = int64(1e9)

// copyInDuration reads a timespec that must be valid (EINVAL), in nanoseconds.
func copyInDuration(t *task, p addr) (int64, error) {
	ts, err := usermem.CopyInVal[unix.Timespec](t.MM(), p)
	if err != nil {
		return 0, err
	}
	return durationOf(ts)
}

// durationOf returns a timespec in nanoseconds, cut to what fits; EINVAL.
func durationOf(ts unix.Timespec) (int64, error) {
	if ts.Sec < 0 || ts.Nsec < 0 || ts.Nsec >= second {
		return 0, unix.EINVAL
	}
	if ts.Sec > wait.NoDeadline/second-1 {
		return wait.NoDeadline - 1, nil
	}
	return ts.Sec*second + ts.Nsec, nil
}

// clockNow returns the time of a clock (clock_gettime(2)); EINVAL.
func clockNow(t *task, id int32) (int64, error) {
	k := t.Kernel()
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_TAI:
		return k.Realtime(), nil
	case unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_MONOTONIC_COARSE, unix.CLOCK_BOOTTIME, unix.CLOCK_BOOTTIME_ALARM:
		return k.Monotonic(), nil
	case unix.CLOCK_PROCESS_CPUTIME_ID:
		return t.ThreadGroup().CPUTime(), nil
	case unix.CLOCK_THREAD_CPUTIME_ID:
		return t.CPUTime(), nil
	}
	if id < 0 {
		return cpuClock(t, id)
	}
	return 0, unix.EINVAL
}

// Kinds of CPU clocks in the low bits of a negative clock ID (linux/posix-timers.h).
const (
	cpuClockUser = 1
	cpuClockNone = 3
)

// ownerOfClock returns whose CPU clock a negative clock ID names, and whether it is
// the clock of the thread or of its process (pthread_getcpuclockid(3)); EINVAL.
func ownerOfClock(t *task, id int32) (o *task, thread bool, err error) {
	pid, thread := ^(id >> 3), id&4 != 0
	if id >= 0 || id&3 == cpuClockNone {
		return nil, false, unix.EINVAL
	}
	o = t
	if pid != 0 {
		o = t.TaskWithID(pid)
	}
	if o == nil || thread && o.ThreadGroup() != t.ThreadGroup() {
		return nil, false, unix.EINVAL
	}
	return o, thread, nil
}

// cpuClock is the CPU clock of another process or thread.
func cpuClock(t *task, id int32) (int64, error) {
	o, thread, err := ownerOfClock(t, id)
	switch {
	case err != nil:
		return 0, err
	case thread && id&3 == cpuClockUser:
		return o.Usage().User, nil
	case thread:
		return o.CPUTime(), nil
	case id&3 == cpuClockUser:
		return o.ThreadGroup().Usage().User, nil
	}
	return o.ThreadGroup().CPUTime(), nil
}

// ClockGettime is clock_gettime(2).
func ClockGettime(t *task, a arguments) (uintptr, error) {
	now, err := clockNow(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	ts := unix.NsecToTimespec(now)
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &ts)
}

// ClockGetres is clock_getres(2).
func ClockGetres(t *task, a arguments) (uintptr, error) {
	if _, err := clockNow(t, a[0].Int()); err != nil {
		return 0, err
	}
	ts := unix.Timespec{Nsec: 1}
	if id := a[0].Int(); id == unix.CLOCK_REALTIME_COARSE || id == unix.CLOCK_MONOTONIC_COARSE {
		ts.Nsec = 4000000
	}
	if p := addr(a[1].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &ts)
	}
	return 0, nil
}

// ClockSettime is clock_settime(2).
func ClockSettime(t *task, a arguments) (uintptr, error) {
	if _, err := copyInDuration(t, addr(a[1].Pointer())); err != nil {
		return 0, err
	}
	if a[0].Int() != unix.CLOCK_REALTIME {
		return 0, unix.EINVAL
	}
	return 0, unix.EPERM
}

// ClockNanosleep is clock_nanosleep(2).
func ClockNanosleep(t *task, a arguments) (uintptr, error) {
	id, flags := a[0].Int(), a[1].Int()
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
	case unix.CLOCK_PROCESS_CPUTIME_ID:
		return sleepCPU(t, a)
	default:
		if id < 0 {
			return sleepCPU(t, a)
		}
		return 0, unix.EINVAL
	}
	d, err := copyInDuration(t, addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	if flags&unix.TIMER_ABSTIME == 0 {
		return sleepFor(t, d, addr(a[3].Pointer()))
	}
	deadline := absoluteDeadline(t, d, id == unix.CLOCK_REALTIME || id == unix.CLOCK_TAI || id == unix.CLOCK_REALTIME_ALARM)
	if err := sleepUntil(t, deadline); err != nil {
		return 0, wait.ErrRestartNoHand
	}
	return 0, nil
}

// sleepCPU is clock_nanosleep(2) on a CPU clock.
func sleepCPU(t *task, a arguments) (uintptr, error) {
	clock, err := timerClock(t, a[0].Int())
	if err == nil && clock.Thread == t {
		err = unix.EINVAL // it would never wake up
	}
	if err != nil {
		return 0, err
	}
	d, err := copyInDuration(t, addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	if a[1].Int()&unix.TIMER_ABSTIME != 0 {
		if _, err := t.SleepCPU(clock, true, d); err != nil {
			return 0, wait.ErrRestartNoHand
		}
		return 0, nil
	}
	return sleepCPUFor(t, clock, d, addr(a[3].Pointer()))
}

func sleepCPUFor(t *task, clock kernel.TimerClock, d int64, rem addr) (uintptr, error) {
	left, err := t.SleepCPU(clock, false, d)
	if err == nil {
		return 0, nil
	}
	if rem != 0 {
		ts := unix.NsecToTimespec(left)
		if err := usermem.CopyOutVal(t.MM(), rem, &ts); err != nil {
			return 0, err
		}
	}
	return 0, t.RestartWith(func(t *task) (uintptr, error) { return sleepCPUFor(t, clock, left, rem) })
}

// Nanosleep is nanosleep(2).
func Nanosleep(t *task, a arguments) (uintptr, error) {
	d, err := copyInDuration(t, addr(a[0].Pointer()))
	if err != nil {
		return 0, err
	}
	return sleepFor(t, d, addr(a[1].Pointer()))
}

// sleepUntil sleeps until the deadline; an error means interrupted.
func sleepUntil(t *task, deadline int64) error {
	for {
		switch err := t.Block(deadline); err {
		case nil:
		case unix.ETIMEDOUT:
			return nil
		default:
			return err
		}
	}
}

// sleepFor sleeps for d and, if interrupted, says at rem how much was left. A
// restart goes on to the same end.
func sleepFor(t *task, d int64, rem addr) (uintptr, error) {
	return sleepRest(t, deadlineAfter(t, d), rem)
}

func sleepRest(t *task, deadline int64, rem addr) (uintptr, error) {
	if err := sleepUntil(t, deadline); err == nil {
		return 0, nil
	}
	if rem != 0 {
		left := unix.NsecToTimespec(max(deadline-t.Monotonic(), 0))
		if err := usermem.CopyOutVal(t.MM(), rem, &left); err != nil {
			return 0, err
		}
	}
	return 0, t.RestartWith(func(t *task) (uintptr, error) { return sleepRest(t, deadline, rem) })
}

// Gettimeofday is gettimeofday(2).
func Gettimeofday(t *task, a arguments) (uintptr, error) {
	if p := addr(a[0].Pointer()); p != 0 {
		tv := unix.NsecToTimeval(t.Now())
		if err := usermem.CopyOutVal(t.MM(), p, &tv); err != nil {
			return 0, err
		}
	}
	if p := addr(a[1].Pointer()); p != 0 {
		var utc [2]int32 // struct timezone
		return 0, usermem.CopyOutVal(t.MM(), p, &utc)
	}
	return 0, nil
}

// Time is time(2).
func Time(t *task, a arguments) (uintptr, error) {
	now := t.Now() / second
	if p := addr(a[0].Pointer()); p != 0 {
		if err := usermem.CopyOutVal(t.MM(), p, &now); err != nil {
			return 0, err
		}
	}
	return uintptr(now), nil
}

// tick is the length of a clock tick in nanoseconds (USER_HZ is 100).
const tick = int64(1e7)

// Times is times(2).
func Times(t *task, a arguments) (uintptr, error) {
	if p := addr(a[0].Pointer()); p != 0 {
		u, c := t.ThreadGroup().Usage(), t.ThreadGroup().ChildUsage()
		buf := [4]int64{u.User / tick, u.Sys / tick, c.User / tick, c.Sys / tick}
		if err := usermem.CopyOutVal(t.MM(), p, &buf); err != nil {
			return 0, err
		}
	}
	return uintptr(t.Monotonic() / tick), nil
}

// Alarm is alarm(2).
func Alarm(t *task, a arguments) (uintptr, error) {
	left, _, err := t.ITimer(unix.ITIMER_REAL, true, int64(a[0].Uint())*second, 0)
	return uintptr((left + second - 1) / second), err
}

func timevalNs(tv unix.Timeval) (int64, error) {
	if tv.Sec < 0 || tv.Usec < 0 || tv.Usec >= 1e6 {
		return 0, unix.EINVAL
	}
	return min(tv.Sec, wait.NoDeadline/second/2)*second + tv.Usec*1000, nil
}

func itimerval(left, interval int64) unix.Itimerval {
	return unix.Itimerval{Interval: unix.NsecToTimeval(interval), Value: unix.NsecToTimeval(left)}
}

// Getitimer is getitimer(2).
func Getitimer(t *task, a arguments) (uintptr, error) {
	left, interval, err := t.ITimer(a[0].Int(), false, 0, 0)
	if err != nil {
		return 0, err
	}
	v := itimerval(left, interval)
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &v)
}

// Setitimer is setitimer(2).
func Setitimer(t *task, a arguments) (uintptr, error) {
	var new unix.Itimerval
	if p := addr(a[1].Pointer()); p != 0 {
		v, err := usermem.CopyInVal[unix.Itimerval](t.MM(), p)
		if err != nil {
			return 0, err
		}
		new = v
	}
	value, err := timevalNs(new.Value)
	if err != nil {
		return 0, err
	}
	interval, err := timevalNs(new.Interval)
	if err != nil {
		return 0, err
	}
	left, old, err := t.ITimer(a[0].Int(), true, value, interval)
	if err != nil {
		return 0, err
	}
	if p := addr(a[2].Pointer()); p != 0 {
		v := itimerval(left, old)
		return 0, usermem.CopyOutVal(t.MM(), p, &v)
	}
	return 0, nil
}

// timerClock returns the clock of a timer; EINVAL, EOPNOTSUPP for the CPU clock of
// another process.
func timerClock(t *task, id int32) (c kernel.TimerClock, err error) {
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_TAI, unix.CLOCK_REALTIME_ALARM:
		c.Machine = t.Kernel().RealtimeClock()
	case unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME, unix.CLOCK_BOOTTIME_ALARM:
		c.Machine = t.Kernel().MonotonicClock()
	case unix.CLOCK_PROCESS_CPUTIME_ID:
	case unix.CLOCK_THREAD_CPUTIME_ID:
		c.Thread = t
	default:
		o, thread, err := ownerOfClock(t, id)
		switch {
		case err != nil:
			return c, err
		case o.ThreadGroup() != t.ThreadGroup():
			return c, unix.EOPNOTSUPP
		case thread:
			c.Thread = o
		}
		c.User = id&3 == cpuClockUser
	}
	return c, nil
}

// sigevent is struct sigevent of x86-64 (64 bytes).
type sigevent struct {
	Value  uint64
	Signo  int32
	Notify int32
	TID    int32
	_      [44]byte
}

// TimerCreate is timer_create(2).
func TimerCreate(t *task, a arguments) (uintptr, error) {
	clock, err := timerClock(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	ev := sigevent{Signo: int32(unix.SIGALRM), Notify: kernel.SigevSignal}
	given := a[1] != 0
	if given {
		if ev, err = usermem.CopyInVal[sigevent](t.MM(), addr(a[1].Pointer())); err != nil {
			return 0, err
		}
	}
	var target *task
	switch ev.Notify {
	case kernel.SigevNone:
	case kernel.SigevSignal, kernel.SigevThread:
	case kernel.SigevSignal | kernel.SigevThreadID:
		if target = t.PIDNS().TaskWithID(ev.TID); target == nil || target.ThreadGroup() != t.ThreadGroup() {
			return 0, unix.EINVAL
		}
	default:
		return 0, unix.EINVAL
	}
	if ev.Notify != kernel.SigevNone && (ev.Signo < 1 || ev.Signo > kernel.SignalMax) {
		return 0, unix.EINVAL
	}
	id, err := t.CreateTimer(clock, ev.Notify, ev.Signo, ev.Value, given, target)
	if err != nil {
		return 0, err
	}
	if err := usermem.CopyOutVal(t.MM(), addr(a[2].Pointer()), &id); err != nil {
		_ = t.DeleteTimer(id)
		return 0, err
	}
	return 0, nil
}

// itimerspec is struct itimerspec.
type itimerspec struct{ Interval, Value unix.Timespec }

func newItimerspec(left, interval int64) itimerspec {
	return itimerspec{unix.NsecToTimespec(interval), unix.NsecToTimespec(left)}
}

// TimerSettime is timer_settime(2).
func TimerSettime(t *task, a arguments) (uintptr, error) {
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
	left, old, err := t.SetTimer(a[0].Int(), a[1].Int()&unix.TIMER_ABSTIME != 0, value, interval)
	if err != nil {
		return 0, err
	}
	if p := addr(a[3].Pointer()); p != 0 {
		v := newItimerspec(left, old)
		return 0, usermem.CopyOutVal(t.MM(), p, &v)
	}
	return 0, nil
}

// TimerGettime is timer_gettime(2).
func TimerGettime(t *task, a arguments) (uintptr, error) {
	left, interval, err := t.GetTimer(a[0].Int())
	if err != nil {
		return 0, err
	}
	v := newItimerspec(left, interval)
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &v)
}

// TimerGetoverrun is timer_getoverrun(2).
func TimerGetoverrun(t *task, a arguments) (uintptr, error) {
	n, err := t.TimerOverrun(a[0].Int())
	return uintptr(n), err
}

// TimerDelete is timer_delete(2).
func TimerDelete(t *task, a arguments) (uintptr, error) { return 0, t.DeleteTimer(a[0].Int()) }
