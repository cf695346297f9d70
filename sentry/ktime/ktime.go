// Package ktime owns the clocks of a sandbox and the timers that run on them.
//
// Times are nanoseconds. Timer callbacks run on a goroutine of their own and
// must not block. Lock order: Timer.mu is a leaf, and is not held during
// callbacks.
package ktime

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Never is a time that does not come.
const Never = math.MaxInt64

// Clock is a clock of the sandbox.
type Clock struct {
	realtime bool
	offset   atomic.Int64 // added to the host's clock
}

// NewRealtime returns a clock that follows the host's CLOCK_REALTIME.
func NewRealtime() *Clock { return &Clock{realtime: true} }

// NewMonotonic returns a clock that follows the host's CLOCK_MONOTONIC.
func NewMonotonic() *Clock { return &Clock{} }

// base ties Go's monotonic reading to the host's CLOCK_MONOTONIC, so that a
// reading costs no system call.
var base, baseMono = func() (time.Time, int64) {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return time.Now(), ts.Nano()
}()

// Now returns the time of the clock.
func (c *Clock) Now() int64 {
	if c.realtime {
		return time.Now().UnixNano() + c.offset.Load()
	}
	return int64(time.Since(base)) + baseMono + c.offset.Load()
}

// SetOffset sets what is added to the host's clock.
func (c *Clock) SetOffset(n int64) { c.offset.Store(n) }

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
