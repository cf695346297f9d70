// Package ktime owns the clocks of a sandbox and the timers that run on them.
//
// Times are nanoseconds. Clocks are read off the time stamp counter with
// parameters that applications can read too (Params), so that both see one
// time. Timer callbacks run on a goroutine of their own and must not block. Lock
// order: Timer.mu, then Source.mu; Timer.mu is not held during callbacks.
package ktime

import (
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Never is a time that does not come.
const Never = math.MaxInt64

// Clock is a clock of the sandbox.
type Clock struct {
	src *Source
	id  int // CLOCK_REALTIME or CLOCK_MONOTONIC
}

// Realtime returns CLOCK_REALTIME as s tells it.
func (s *Source) Realtime() *Clock { return &Clock{s, unix.CLOCK_REALTIME} }

// Monotonic returns CLOCK_MONOTONIC as s tells it.
func (s *Source) Monotonic() *Clock { return &Clock{s, unix.CLOCK_MONOTONIC} }

// Now returns the time of the clock.
func (c *Clock) Now() int64 { return c.src.now(c.id) }

// Timer calls a function when a time of a clock has come, once or periodically.
type Timer struct {
	fn func(expirations uint64)

	mu       sync.Mutex
	clock    *Clock
	when     int64 // Never if disarmed
	interval int64 // 0 if one-shot
	host     *time.Timer
	setting  uint64 // distinguishes settings, so that a late firing is ignored
}

// NewTimer returns a disarmed timer. fn is told how many periods have passed
// since it was last called.
func NewTimer(fn func(expirations uint64)) *Timer { return &Timer{fn: fn, when: Never} }

// Set arms the timer for when, an absolute time of clock, and then every
// interval (0: once). It returns the previous time left (0 if disarmed) and interval.
func (t *Timer) Set(clock *Clock, when, interval int64) (left, oldInterval int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, oldInterval = t.left()
	t.clock, t.when, t.interval = clock, when, interval
	t.setting++
	t.arm()
	return left, oldInterval
}

// Stop disarms the timer and returns the time left (0 if it was disarmed) and
// the interval.
func (t *Timer) Stop() (left, interval int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, interval = t.left()
	t.when, t.interval = Never, 0
	t.setting++
	if t.host != nil {
		t.host.Stop()
	}
	return left, interval
}

// Get returns the time left (0 if disarmed, at least 1 if armed) and the interval.
func (t *Timer) Get() (left, interval int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.left()
}

func (t *Timer) left() (left, interval int64) {
	if t.when == Never || t.clock == nil {
		return 0, t.interval
	}
	return max(t.when-t.clock.Now(), 1), t.interval
}

// arm starts the host timer for t.when. t.mu is held.
func (t *Timer) arm() {
	if t.host != nil {
		t.host.Stop()
	}
	if t.when == Never {
		return
	}
	setting := t.setting
	t.host = time.AfterFunc(time.Duration(max(t.when-t.clock.Now(), 0)), func() { t.fire(setting) })
}

// fire is called by the host timer.
func (t *Timer) fire(setting uint64) {
	t.mu.Lock()
	if t.setting != setting || t.when == Never {
		t.mu.Unlock()
		return
	}
	now := t.clock.Now()
	if now < t.when {
		t.arm() // the host timer was early, or the clock was set back
		t.mu.Unlock()
		return
	}
	n := uint64(1)
	if t.interval > 0 {
		n += uint64((now - t.when) / t.interval)
		t.when += int64(n) * t.interval
		t.arm()
	} else {
		t.when = Never
	}
	t.mu.Unlock()
	t.fn(n)
}
