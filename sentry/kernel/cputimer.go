package kernel

import (
	"time"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ktime"
	"ringfort/sentry/limits"
	"ringfort/sentry/wait"
)

// TimerClock is what a timer measures.
type TimerClock struct {
	// Machine is a clock of the sandbox; nil for CPU time.
	Machine *ktime.Clock
	// Thread is whose CPU time it is; nil for that of the process.
	Thread *Task
	// User counts only the time in application code (ITIMER_VIRTUAL).
	User bool
}

// alarm is a timer on any clock. Times are nanoseconds; left is 0 if it is not
// set. tg.sig is held for all of them.
type alarm interface {
	now() int64
	set(when, interval int64) (left, oldInterval int64)
	stop() (left, interval int64)
	get() (left, interval int64)
}

// newAlarm returns an alarm that calls fire with the number of expirations and
// tg.sig held.
func (tg *ThreadGroup) newAlarm(c TimerClock, fire func(n uint64)) alarm {
	if c.Machine == nil {
		return &cpuTimer{tg: tg, clock: c, fire: fire, when: ktime.Never}
	}
	locked := func(n uint64) {
		tg.sig.Lock()
		defer tg.sig.Unlock()
		fire(n)
	}
	return machineTimer{c.Machine, tg.k.NewTimer(locked)}
}

// machineTimer is an alarm on a clock of the sandbox.
type machineTimer struct {
	clock *ktime.Clock
	timer *ktime.Timer
}

func (m machineTimer) now() int64 { return m.clock.Now() }
func (m machineTimer) set(when, interval int64) (left, old int64) {
	return m.timer.Set(m.clock, when, interval)
}
func (m machineTimer) stop() (left, interval int64) { return m.timer.Stop() }
func (m machineTimer) get() (left, interval int64)  { return m.timer.Get() }

// cpuTimer is an alarm on CPU time. Those that are set are in
// ThreadGroup.cpuTimers.
type cpuTimer struct {
	tg             *ThreadGroup
	clock          TimerClock
	fire           func(n uint64)
	when, interval int64
}

func (c *cpuTimer) now() int64 {
	switch t := c.clock.Thread; {
	case t != nil && t.exited:
		return 0
	case t != nil && c.clock.User:
		return t.userTime()
	case t != nil:
		return t.CPUTime()
	case c.clock.User:
		return c.tg.userTime()
	}
	return c.tg.cpuTime()
}

func (c *cpuTimer) get() (left, interval int64) {
	if c.when == ktime.Never {
		return 0, c.interval
	}
	return max(c.when-c.now(), 1), c.interval
}

func (c *cpuTimer) set(when, interval int64) (left, old int64) {
	left, old = c.get()
	if c.when == ktime.Never {
		c.tg.cpuTimers = append(c.tg.cpuTimers, c)
	}
	c.when, c.interval = when, interval
	c.tg.watchCPU()
	return left, old
}

func (c *cpuTimer) stop() (left, interval int64) {
	left, interval = c.get()
	c.when, c.interval = ktime.Never, 0
	for i, o := range c.tg.cpuTimers {
		if o == c {
			c.tg.cpuTimers = append(c.tg.cpuTimers[:i], c.tg.cpuTimers[i+1:]...)
			break
		}
	}
	return left, interval
}

// expire fires if the time has come.
func (c *cpuTimer) expire() {
	now := c.now()
	if now < c.when {
		return
	}
	n := uint64(1)
	if c.interval > 0 {
		n += uint64((now - c.when) / c.interval)
		c.when += int64(n) * c.interval
	} else {
		interval := c.interval
		c.stop()
		c.interval = interval
	}
	c.fire(n)
}

// How a process watches its CPU time: there is nothing to wait for; everybody
// sleeps, so whoever wakes up first starts the watch; or a host timer runs.
const (
	watchNothing = iota
	watchAsleep
	watchRunning
)

// minWatch is the least time between two looks at CPU time: what Linux's clock
// tick is at 1000 Hz.
const minWatch = int64(time.Millisecond)

// watchCPU arranges that checkCPU is called when the nearest CPU timer, or
// RLIMIT_CPU, may be due. tg.sig is held.
func (tg *ThreadGroup) watchCPU() {
	left := tg.cpuLeft()
	if left == ktime.Never || len(tg.tasks) == 0 {
		tg.cpuWatch.Store(watchNothing)
		return
	}
	// Who wakes up looks at cpuWatch after its stopwatch has started, we look at
	// the stopwatches after cpuWatch is set: one of us sees the other.
	tg.cpuWatch.Store(watchAsleep)
	running := int64(0)
	for _, t := range tg.tasks {
		if t.cpu.runs() {
			running++
		}
	}
	if running == 0 {
		return
	}
	tg.cpuWatch.Store(watchRunning)
	// One more may join those that run before we look again.
	wait := time.Duration(max(left/(running+1), min(left, minWatch)))
	if tg.cpuHost == nil {
		tg.cpuHost = time.AfterFunc(wait, tg.checkCPU)
	} else {
		tg.cpuHost.Reset(wait)
	}
}

// cpuLeft returns how much CPU time is left until something is due, Never if
// nothing is. tg.sig is held.
func (tg *ThreadGroup) cpuLeft() int64 {
	left := int64(ktime.Never)
	for _, c := range tg.cpuTimers {
		if c.clock.Thread == nil || !c.clock.Thread.exited {
			left = min(left, c.when-c.now())
		}
	}
	if l := tg.limits.Get(unix.RLIMIT_CPU); l.Cur != limits.Infinity {
		left = min(left, cpuLimit(l.Cur)-tg.cpuTime())
	}
	return max(left, 0)
}

// cpuLimit returns a value of RLIMIT_CPU, seconds, in nanoseconds. 0 means a
// second (setrlimit(2)).
func cpuLimit(sec uint64) int64 {
	return int64(min(max(sec, 1), ktime.Never/1_000_000_000)) * 1e9
}

// checkCPU fires the CPU timers that are due and enforces RLIMIT_CPU.
func (tg *ThreadGroup) checkCPU() {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	if len(tg.tasks) == 0 {
		return
	}
	for i := len(tg.cpuTimers) - 1; i >= 0; i-- {
		tg.cpuTimers[i].expire() // may take itself out
	}
	tg.checkCPULimit()
	tg.watchCPU()
}

// checkCPULimit sends SIGXCPU at the soft limit, and each second from then on
// until the hard limit kills (getrlimit(2), RLIMIT_CPU). tg.sig is held.
func (tg *ThreadGroup) checkCPULimit() {
	l := tg.limits.Get(unix.RLIMIT_CPU)
	if l.Cur == limits.Infinity {
		return
	}
	used := tg.cpuTime()
	if l.Max != limits.Infinity && used >= cpuLimit(l.Max) {
		tg.killLocked(ExitStatus{Signal: int32(unix.SIGKILL)})
		return
	}
	if used >= cpuLimit(l.Cur) {
		tg.sendRunning(KernelSignal(unix.SIGXCPU))
		l.Cur = uint64(used/1e9) + 1
		tg.limits.Put(unix.RLIMIT_CPU, l)
	}
}

// CPULimitChanged takes notice of a new RLIMIT_CPU.
func (tg *ThreadGroup) CPULimitChanged() {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	tg.watchCPU()
}

// sendRunning sends a signal that CPU time has caused to the process: to a
// thread that runs, if one wants it, as profilers expect. tg.sig is held.
func (tg *ThreadGroup) sendRunning(info *SignalInfo) {
	tg.sendLocked(info, nil, true)
	for _, t := range tg.tasks {
		if t.cpu.runs() && t.wants(info.Signo) {
			t.poke(attnSignal)
			return
		}
	}
}

// SleepCPU sleeps until a CPU clock has reached when, or has gone on by when
// unless abs (clock_nanosleep(2)). If it is interrupted it returns what is left.
func (t *Task) SleepCPU(c TimerClock, abs bool, when int64) (left int64, err error) {
	tg := t.tg
	done := false
	tg.sig.Lock()
	a := tg.newAlarm(c, func(uint64) {
		done = true
		t.Notify(nil, 0)
	})
	if !abs {
		when = addTime(a.now(), when)
	}
	a.set(when, 0)
	for err == nil && !done {
		tg.sig.Unlock()
		err = t.Block(wait.NoDeadline)
		tg.sig.Lock()
	}
	defer tg.sig.Unlock()
	if done {
		return 0, nil
	}
	left, _ = a.stop()
	return left, err
}
