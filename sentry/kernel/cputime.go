package kernel

import "sync/atomic"

// stopwatch measures time in ticks of the kernel's clock source. One goroutine
// starts and stops it, anyone reads it, and no reading is ever less than an
// earlier one.
//
// The low bit of its word tells whether it runs. The rest is the time measured
// or, while it runs, the moment at which it would have had to be started to show
// what it shows.
type stopwatch struct{ word atomic.Int64 }

func (w *stopwatch) start(now int64) {
	if v := w.word.Load(); v&1 == 0 {
		w.word.Store((now-v>>1)<<1 | 1)
	}
}

func (w *stopwatch) stop(now int64) {
	if v := w.word.Load(); v&1 != 0 {
		w.word.Store((now - v>>1) << 1)
	}
}

// read returns the time measured until now.
func (w *stopwatch) read(now int64) int64 {
	v := w.word.Load()
	if v&1 != 0 {
		return now - v>>1
	}
	return v >> 1
}

// runs reports whether the stopwatch is running.
func (w *stopwatch) runs() bool { return w.word.Load()&1 != 0 }

// startCPU and stopCPU are called when t begins to run and when it goes to sleep.
func (t *Task) startCPU() {
	t.cpu.start(t.k.clock.Ticks())
	if tg := t.tg; tg.cpuWatch.Load() == watchAsleep {
		tg.sig.Lock()
		tg.watchCPU()
		tg.sig.Unlock()
	}
}

func (t *Task) stopCPU() { t.cpu.stop(t.k.clock.Ticks()) }

// enterUser and leaveUser are called around application code.
func (t *Task) enterUser() { t.user.start(t.k.clock.Ticks()) }

func (t *Task) leaveUser() { t.user.stop(t.k.clock.Ticks()) }

// cpuTimes returns how long t has run application code and how long the kernel
// for it, in nanoseconds.
func (t *Task) cpuTimes() (user, sys int64) {
	now := t.k.clock.Ticks()
	user = t.k.clock.Span(t.user.read(now))
	return user, max(t.k.clock.Span(t.cpu.read(now))-user, 0)
}

// CPUTime returns how long t has run, in nanoseconds (CLOCK_THREAD_CPUTIME_ID).
func (t *Task) CPUTime() int64 { return t.k.clock.Span(t.cpu.read(t.k.clock.Ticks())) }

// userTime is the part of CPUTime in application code.
func (t *Task) userTime() int64 { return t.k.clock.Span(t.user.read(t.k.clock.Ticks())) }

// userTime is the same of the process. tg.sig is held.
func (tg *ThreadGroup) userTime() int64 {
	ns := tg.deadUsage.User
	for _, t := range tg.tasks {
		ns += t.userTime()
	}
	return ns
}

// CPUTime returns how long the process has run, its dead threads included, in
// nanoseconds (CLOCK_PROCESS_CPUTIME_ID).
func (tg *ThreadGroup) CPUTime() int64 {
	tg.sig.Lock()
	defer tg.sig.Unlock()
	return tg.cpuTime()
}

// cpuTime is CPUTime with tg.sig held.
func (tg *ThreadGroup) cpuTime() int64 {
	ns := tg.deadUsage.User + tg.deadUsage.Sys
	for _, t := range tg.tasks {
		ns += t.CPUTime()
	}
	return ns
}
