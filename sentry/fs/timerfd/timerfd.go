// Package timerfd implements timers that are read (timerfd_create(2)).
//
// A periodic timer is set again only when it is read, as on Linux: one that
// nobody reads costs one firing, however short its period. The package must
// never wait. TimerFD.mu comes before the timer's lock, those of an address
// space and wait.Queue.mu.
package timerfd

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/ktime"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// TimerFD is a timer behind a descriptor.
type TimerFD struct {
	vfs.FileBase
	queue   wait.Queue
	clock   *ktime.Clock
	clockID int32
	timer   *ktime.Timer

	mu       sync.Mutex
	when     int64  // next expiration, a time of clock; ktime.Never if disarmed
	interval int64  // nanoseconds, 0 for one-shot
	ticks    uint64 // expirations counted and not read
	flags    int32  // of the last Set, for fdinfo
	buf      [8]byte
}

// New returns a disarmed timer on a clock; id is the clock's number, for
// fdinfo.
func New(clock *ktime.Clock, id int32) *TimerFD {
	f := &TimerFD{clock: clock, clockID: id, when: ktime.Never}
	f.timer = ktime.NewTimer(func(uint64) { f.queue.Notify(wait.Readable) })
	return f
}

// collect counts the expirations up to now. f.mu is held.
func (f *TimerFD) collect() {
	if f.when == ktime.Never {
		return
	}
	now := f.clock.Now()
	if now < f.when {
		return
	}
	n := int64(1)
	if f.interval > 0 {
		n += (now - f.when) / f.interval
		f.when += n * f.interval
		f.timer.Set(f.clock, f.when, 0)
	} else {
		f.when = ktime.Never
	}
	f.ticks += uint64(n)
}

// left returns the time to the next expiration, 0 if disarmed. f.mu is held.
func (f *TimerFD) left() int64 {
	if f.when == ktime.Never {
		return 0
	}
	return max(f.when-f.clock.Now(), 1)
}

// Set arms the timer for when, a time of its clock if absolute and from now
// if not, and then every interval; when 0 disarms. It returns what was set.
func (f *TimerFD) Set(when, interval int64, flags int32) (left, oldInterval int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collect()
	left, oldInterval = f.left(), f.interval
	f.ticks = 0
	f.interval, f.flags = interval, flags
	if when == 0 {
		f.when = ktime.Never
		f.timer.Stop()
		return left, oldInterval
	}
	if flags&unix.TFD_TIMER_ABSTIME == 0 {
		now := f.clock.Now()
		if when > math.MaxInt64-1-now {
			when = math.MaxInt64 - 1 - now
		}
		when += now
	}
	f.when = when
	f.timer.Set(f.clock, when, 0)
	return left, oldInterval
}

// Get returns the time to the next expiration, 0 if disarmed, and the interval.
func (f *TimerFD) Get() (left, interval int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collect()
	return f.left(), f.interval
}

// Read takes the number of expirations; EAGAIN if there was none.
func (f *TimerFD) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	if dst.Len() < 8 {
		return 0, unix.EINVAL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collect()
	if f.ticks == 0 {
		return 0, unix.EAGAIN
	}
	binary.NativeEndian.PutUint64(f.buf[:], f.ticks)
	f.ticks = 0
	if n, err := dst.CopyOut(f.buf[:]); n < len(f.buf) {
		return 0, err
	}
	return 8, nil
}

// Poll says readable once the timer has expired.
func (f *TimerFD) Poll(mask wait.Events) wait.Events {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ticks > 0 || f.when != ktime.Never && f.clock.Now() >= f.when {
		return wait.In & mask
	}
	return 0
}

// Queue is notified when the timer expires.
func (f *TimerFD) Queue() *wait.Queue { return &f.queue }

// Release stops the timer.
func (f *TimerFD) Release(vfs.Caller) { f.timer.Stop() }

// FDInfo adds the settings to /proc/PID/fdinfo (proc(5)).
func (f *TimerFD) FDInfo() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collect()
	left := f.left()
	return fmt.Sprintf("clockid: %d\nticks: %d\nsettime flags: %#o\nit_value: (%d, %d)\nit_interval: (%d, %d)\n",
		f.clockID, f.ticks, f.flags, left/1e9, left%1e9, f.interval/1e9, f.interval%1e9)
}
