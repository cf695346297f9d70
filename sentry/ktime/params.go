package ktime

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Params says how to read the clocks off the processor's time stamp counter. It
// lies at the start of a page of its own, which the Sentry alone writes; whoever
// maps the page read-only (the vDSO, a platform's stub) can tell the time
// without a system call. The layout is fixed; see the Off constants.
//
// To read clock ID c, below NumClocks:
//
//  1. seq := Seq; give up if it is odd.
//  2. Give up unless bit c of Clocks is set. If time stamps are of no use no bit is.
//  3. d := RDTSC (after LFENCE) - Base, modulo 2^64; give up if d > Limit.
//  4. n := Start[c].Nsec + d*Mult>>Shift; the product fits in 64 bits.
//  5. Give up unless Seq is still seq.
//  6. The time is Start[c].Sec seconds and n nanoseconds, where n may be
//     more than a second (but less than three).
//
// Who gives up makes the system call. It is the system call that renews
// parameters older than Limit, so nothing ticks while nobody asks for the time.
//
// Readings never go back, whoever takes them: a new set of parameters starts at
// or after what the old ones give at their Limit, which is the last reading
// anyone can have taken from those.
type Params struct {
	Seq    atomic.Uint32 // odd while the rest changes
	Clocks atomic.Uint32 // bit n: clock ID n can be read
	Base   atomic.Uint64 // time stamp at which Start holds
	Limit  atomic.Uint64 // cycles after Base for which the parameters hold
	Mult   atomic.Uint64 // nanoseconds a cycle, times 1<<Shift
	Start  [NumClocks]ClockStart
}

// ClockStart is a clock's time at Params.Base.
type ClockStart struct {
	Sec  atomic.Int64
	Nsec atomic.Uint64 // below 1e9
}

// The layout of Params.
const (
	OffSeq    = 0
	OffClocks = 4
	OffBase   = 8
	OffLimit  = 16
	OffMult   = 24
	OffStart  = 32 // Sec of clock ID c is at OffStart + c*StartSize, Nsec 8 bytes on
	StartSize = 16

	// ParamsMax is how long Params may be: behind, the page has the generations of package steady, then those of names.
	ParamsMax = 0x400

	Shift     = 32
	NumClocks = unix.CLOCK_TAI + 1
)

// maxSpan bounds Limit, in nanoseconds: d*Mult stays below 2^63 and the drift from
// the host's clock small.
const maxSpan = int64(1e9)

// clocks has a bit for each clock that Params tell: those that the kernel's own
// page tells too (vdso(7)).
const clocks = 1<<unix.CLOCK_REALTIME | 1<<unix.CLOCK_MONOTONIC | 1<<unix.CLOCK_MONOTONIC_RAW | 1<<unix.CLOCK_REALTIME_COARSE |
	1<<unix.CLOCK_MONOTONIC_COARSE | 1<<unix.CLOCK_BOOTTIME | 1<<unix.CLOCK_TAI

// follows reports whether a clock shows the time of day and not the time since
// the machine started.
func follows(clock int) bool {
	return clock == unix.CLOCK_REALTIME || clock == unix.CLOCK_REALTIME_COARSE || clock == unix.CLOCK_TAI
}

// read returns the time of a clock that is in clocks; ok is false for whom
// gives up.
func (p *Params) read(clock int) (ns int64, ok bool) {
	seq := p.Seq.Load()
	if seq&1 != 0 {
		return 0, false
	}
	d := Cycles() - p.Base.Load()
	if d > p.Limit.Load() {
		return 0, false
	}
	s := &p.Start[clock]
	ns = s.Sec.Load()*1e9 + int64(s.Nsec.Load()+d*p.Mult.Load()>>Shift)
	return ns, p.Seq.Load() == seq
}

// publish replaces the parameters. One caller at a time.
func (p *Params) publish(base, limit, mult uint64, mono, real int64) {
	p.Seq.Add(1)
	p.Base.Store(base)
	p.Limit.Store(limit)
	p.Mult.Store(mult)
	for c := range p.Start {
		if clocks>>c&1 == 0 {
			continue
		}
		ns := mono
		if follows(c) {
			ns = real
		}
		p.Start[c].Sec.Store(ns / 1e9)
		p.Start[c].Nsec.Store(uint64(ns % 1e9))
	}
	p.Clocks.Store(clocks)
	p.Seq.Add(1)
}
