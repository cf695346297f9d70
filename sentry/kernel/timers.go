package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/ktime"
)

// maxTimers bounds the POSIX timers of a process.
const maxTimers = 4096

// Numbers of the interval timers (getitimer(2)).
const (
	itimerReal    = 0
	itimerVirtual = 1
	itimerProf    = 2
)

// ITimer returns an interval timer's time left and interval in nanoseconds and,
// if set is true, arms it for value (0: disarms). EINVAL for an unknown one.
func (t *Task) ITimer(which int32, set bool, value, interval int64) (left, old int64, err error) {
	if which < itimerReal || which > itimerProf {
		return 0, 0, unix.EINVAL
	}
	tg := t.tg
	tg.sig.Lock()
	defer tg.sig.Unlock()
	timer := tg.itimers[which]
	if timer == nil {
		if !set {
			return 0, 0, nil
		}
		clock := [...]TimerClock{itimerReal: {Machine: t.k.monotonic}, itimerVirtual: {User: true}, itimerProf: {}}[which]
		info := KernelSignal([...]unix.Signal{unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF}[which])
		timer = tg.newAlarm(clock, func(uint64) {
			if clock.Machine != nil {
				tg.sendLocked(info, nil, true)
			} else {
				tg.sendRunning(info)
			}
		})
		tg.itimers[which] = timer
	}
	switch {
	case !set:
		left, old = timer.get()
	case value == 0:
		left, old = timer.stop()
	default:
		left, old = timer.set(addTime(timer.now(), value), interval)
	}
	return left, old, nil
}

// PosixTimer is a timer of timer_create(2).
type PosixTimer struct {
	id      int32
	alarm   alarm
	notify  int32 // SIGEV_*
	sig     int32
	value   uint64
	target  *Task // SIGEV_THREAD_ID
	overrun int64 // of the last signal sent
}

// Notification methods of struct sigevent (sigevent(7)).
const (
	SigevSignal   = 0
	SigevNone     = 1
	SigevThread   = 2
	SigevThreadID = 4
)

// CreateTimer is timer_create(2): EAGAIN at the limit.
func (t *Task) CreateTimer(clock TimerClock, notify, sig int32, value uint64, useID bool, target *Task) (int32, error) {
	tg := t.tg
	tg.sig.Lock()
	defer tg.sig.Unlock()
	if len(tg.timers) >= maxTimers {
		return 0, unix.EAGAIN
	}
	if tg.timers == nil {
		tg.timers = map[int32]*PosixTimer{}
	}
	id := tg.nextTimer
	for tg.timers[id] != nil {
		id++
	}
	tg.nextTimer = id + 1
	p := &PosixTimer{id: id, notify: notify, sig: sig, value: value, target: target}
	if !useID {
		p.value = uint64(id)
	}
	p.alarm = tg.newAlarm(clock, func(n uint64) { tg.timerFired(p, n) })
	tg.timers[id] = p
	return id, nil
}

// timerFired sends the signal of a timer that has expired n times. tg.sig is held.
func (tg *ThreadGroup) timerFired(p *PosixTimer, n uint64) {
	if p.notify == SigevNone || tg.timers[p.id] != p {
		return
	}
	if i := p.pendingIn(tg); i != nil {
		// The signal that is still pending tells of these expirations too.
		p.overrun += int64(n)
		i.SetTimer(p.id, int32(min(p.overrun, 1<<31-1)), p.value)
		return
	}
	p.overrun = int64(n) - 1
	info := &SignalInfo{Signo: p.sig, Code: SITimer}
	info.SetTimer(p.id, int32(min(p.overrun, 1<<31-1)), p.value)
	tg.sendLocked(info, p.target, false)
}

// pendingIn returns the timer's last signal if it is still pending.
func (p *PosixTimer) pendingIn(tg *ThreadGroup) *SignalInfo {
	q := tg.pending.queue
	if p.target != nil {
		q = p.target.pending.queue
	}
	for n := range q {
		if i := &q[n]; i.Code == SITimer && i.Signo == p.sig && i.PID() == p.id {
			return i
		}
	}
	return nil
}

// SetTimer is timer_settime(2); when is absolute if abs.
func (t *Task) SetTimer(id int32, abs bool, when, interval int64) (left, old int64, err error) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	p := t.tg.timers[id]
	if p == nil {
		return 0, 0, unix.EINVAL
	}
	if when == 0 {
		left, old = p.alarm.stop()
		return left, old, nil
	}
	if !abs {
		when = addTime(p.alarm.now(), when)
	}
	left, old = p.alarm.set(when, interval)
	return left, old, nil
}

// addTime returns a+d, or the last moment there is.
func addTime(a, d int64) int64 {
	if d > ktime.Never-1-a {
		return ktime.Never - 1
	}
	return a + d
}

// GetTimer is timer_gettime(2).
func (t *Task) GetTimer(id int32) (left, interval int64, err error) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	p := t.tg.timers[id]
	if p == nil {
		return 0, 0, unix.EINVAL
	}
	left, interval = p.alarm.get()
	return left, interval, nil
}

// TimerOverrun is timer_getoverrun(2).
func (t *Task) TimerOverrun(id int32) (int32, error) {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	p := t.tg.timers[id]
	if p == nil {
		return 0, unix.EINVAL
	}
	return int32(min(p.overrun, 1<<31-1)), nil
}

// DeleteTimer is timer_delete(2).
func (t *Task) DeleteTimer(id int32) error {
	t.tg.sig.Lock()
	p := t.tg.timers[id]
	defer t.tg.sig.Unlock()
	if p == nil {
		return unix.EINVAL
	}
	delete(t.tg.timers, id)
	p.alarm.stop()
	return nil
}

// stopPOSIXTimers deletes all POSIX timers (execve(2)).
func (t *Task) stopPOSIXTimers() {
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	for _, p := range t.tg.timers {
		p.alarm.stop()
	}
	t.tg.timers, t.tg.nextTimer = nil, 0
}

// stopTimers ends every timer of a process that exits.
func (t *Task) stopTimers() {
	t.stopPOSIXTimers()
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	for _, i := range t.tg.itimers {
		if i != nil {
			i.stop()
		}
	}
}
