package ktime

import (
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Cycles returns the processor's time stamp counter, read after everything
// before it.
func Cycles() uint64

// unordered is Cycles without the wait.
func unordered() uint64

// Source is where clocks read the time: Params where the time stamp counter is
// good, the host's clocks where it is not.
//
// Source.mu guards the renewal of Params and is a leaf; a clock is read without it.
type Source struct {
	p   *Params
	tsc bool
	// tick is the first value of rate, by which ticks are counted.
	tick float64

	mu     sync.Mutex
	rate   float64 // nanoseconds a cycle
	anchor sample  // what rate is measured from
	doubts int     // measured rates in a row that were not believed
	span   int64   // how long the next parameters hold, in nanoseconds
	last   int64   // CLOCK_MONOTONIC at the end of the present ones
	offset int64   // CLOCK_REALTIME less CLOCK_MONOTONIC
}

// sample is a moment on all clocks.
type sample struct {
	tsc   uint64
	mono  int64  // the host's CLOCK_MONOTONIC
	real  int64  // the host's CLOCK_REALTIME
	width uint64 // cycles the measurement took
}

const (
	// firstSpan is how long the first parameters hold: they rest on a measurement
	// of no more than firstBaseline. Later ones hold twice as long each, up to maxSpan.
	firstSpan     = int64(10e6)
	firstBaseline = int64(2e6)
	// longBaseline is enough to measure the rate to less than 0.1 ppm.
	longBaseline = int64(500e6)
	// stepNS is how far CLOCK_REALTIME has to be off before it was set by
	// somebody: below it is the error of measurement.
	stepNS = 1000
	// maxDoubts is how often the rate may seem to have changed by more than 2 %,
	// which no clock discipline does, until it is taken for true.
	maxDoubts = 3
)

// origin ties Go's monotonic reading to the host's CLOCK_MONOTONIC, so that a
// reading costs no system call.
var origin, originMono = func() (time.Time, int64) {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return time.Now(), ts.Nano()
}()

// early is measured as the process starts, so that there is a baseline when the
// first Source is made.
var early = measure()

// hostMono returns the host's CLOCK_MONOTONIC.
func hostMono() int64 { return int64(time.Since(origin)) + originMono }

// measure reads all clocks together, the best of a few tries.
func measure() (best sample) {
	const tries, good = 4, 500 // a good try takes 100 to 200 cycles
	best.width = math.MaxUint64
	for range tries {
		a := Cycles()
		now := time.Now()
		if w := Cycles() - a; w < best.width {
			best = sample{tsc: a + w/2, mono: int64(now.Sub(origin)) + originMono, real: now.UnixNano(), width: w}
		}
		if best.width < good {
			break
		}
	}
	return best
}

// NewSource returns a source that publishes in p, which nobody else writes. tsc
// says that the time stamp counter runs at one rate, always and on all
// processors alike; without it p stays empty.
func NewSource(p *Params, tsc bool) *Source {
	s := &Source{p: p, tsc: tsc}
	if !tsc {
		return s
	}
	if d := firstBaseline - (hostMono() - early.mono); d > 0 {
		time.Sleep(time.Duration(d))
	}
	now := measure()
	s.anchor, s.span, s.offset = early, firstSpan, now.real-now.mono
	s.rate = float64(now.mono-early.mono) / float64(now.tsc-early.tsc)
	s.tick = s.rate
	s.start(now)
	return s
}

// Usable reports whether clocks are read off the time stamp counter.
func (s *Source) Usable() bool { return s.tsc }

// now returns the time of a clock that Params tell.
func (s *Source) now(clock int) int64 {
	if s.tsc {
		if ns, ok := s.p.read(clock); ok {
			return ns
		}
		return s.slow(clock)
	}
	if follows(clock) {
		return time.Now().UnixNano()
	}
	return hostMono()
}

// slow is now when the parameters are old or being renewed.
func (s *Source) slow(clock int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		// A second failure means that this thread did not run for all the time the
		// new parameters held.
		if ns, ok := s.p.read(clock); ok {
			return ns
		}
		s.renew()
	}
}

// renew replaces parameters that are used up. s.mu is held.
func (s *Source) renew() {
	now := measure()
	s.learnRate(now)
	off := now.real - now.mono
	if d := off - s.offset; d > stepNS || d < -stepNS {
		s.offset = off
	}
	s.span = min(2*s.span, maxSpan)
	s.start(now)
}

// learnRate compares the counter with the host's clock.
func (s *Source) learnRate(now sample) {
	elapsed, cycles := now.mono-s.anchor.mono, int64(now.tsc-s.anchor.tsc)
	if elapsed < firstBaseline || cycles <= 0 {
		s.anchor = now // the counter was set back: the machine was stopped and moved
		return
	}
	r := float64(elapsed) / float64(cycles)
	if math.Abs(r/s.rate-1) > 0.02 && s.doubts < maxDoubts {
		s.doubts++
		s.anchor, s.span = now, firstSpan/2
		return
	}
	s.doubts, s.rate = 0, r
	if elapsed >= longBaseline {
		s.anchor = now
	}
}

// start publishes parameters that hold from now on. They start at the host's
// time, or, if the old ones ran ahead of it, where those ended, and then run
// slower, to meet the host's time at their end.
func (s *Source) start(now sample) {
	mono := max(now.mono, s.last)
	slower := min(float64(mono-now.mono)/float64(s.span), 0.5)
	mult := uint64(s.rate * (1 - slower) * (1 << Shift))
	limit := uint64(float64(s.span) / s.rate)
	s.last = mono + int64(limit*mult>>Shift)
	s.p.publish(now.tsc, limit, mult, mono, mono+s.offset)
}

// Ticks returns a time on a scale of its own that costs least to read: for the
// length of time spans, see Span.
func (s *Source) Ticks() int64 {
	if s.tsc {
		return int64(unordered())
	}
	return hostMono()
}

// Span returns a number of ticks in nanoseconds. The same number is always the
// same time, to 20 ppm of the clock's.
func (s *Source) Span(ticks int64) int64 {
	if s.tsc {
		return int64(float64(ticks) * s.tick)
	}
	return ticks
}
