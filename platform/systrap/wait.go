package systrap

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a thread may take to notice an interrupt before its
	// process is taken to be hostile, and killed.
	patience = 5 * time.Second

	// spinTicks is how long we look for the stub before we sleep, in ticks of the
	// time stamp counter; about what sleeping and waking cost.
	spinTicks = 60000
	// lostTicks is a gap while spinning that says that something else ran on our core.
	lostTicks = 30000
	// stubSpins is how often the stub looks for us before it sleeps.
	stubSpins = 15000
	// The time without spinning after the core was lost: it doubles as long as
	// spinning fails at once.
	minRest = 1 << 22 // about 2 ms
	maxRest = 1 << 28
)

// pacer decides whether waiting sides may spin: only while there are more cores
// than contexts that want to run, here and elsewhere on the machine.
type pacer struct {
	active  atomic.Int32 // contexts that run or are served
	cores   int32
	restEnd atomic.Uint64 // no spinning before
	rest    atomic.Uint64 // length of the last rest
}

func newPacer() *pacer { return &pacer{cores: int32(runtime.NumCPU())} }

// maySpin reports whether a side may spin now.
func (p *pacer) maySpin(now uint64) bool {
	return p.active.Load() < p.cores && now >= p.restEnd.Load()
}

// lost notes that a spinning side lost its core.
func (p *pacer) lost(now uint64) {
	rest := p.rest.Load()
	if end := p.restEnd.Load(); now-end < rest {
		rest = min(2*rest, maxRest)
	} else {
		rest = minRest
	}
	p.rest.Store(rest)
	p.restEnd.Store(now + rest)
}

// wake counts the context as active.
func (c *context) wake() {
	if !c.active {
		c.active = true
		c.k.pacer.active.Add(1)
	}
}

// Sleep implements platform.Context.
func (c *context) Sleep() {
	if c.active {
		c.active = false
		c.k.pacer.active.Add(-1)
	}
	if c.thread != nil {
		atomic.StoreUint32(c.thread.u32(offSpin), 0)
	}
}

// give hands the context to the stub.
func (c *context) give(t *thread) error {
	c.wake()
	c.spin = c.k.pacer.maySpin(tsc())
	spins := uint32(0)
	if c.spin {
		spins = stubSpins
	}
	atomic.StoreUint32(t.u32(offSpin), spins)
	if atomic.SwapUint32(t.u32(offState), stateApp) == stateSentryAlone {
		return t.answer()
	}
	return nil
}

// wait waits until the stub gives the context back.
func (c *context) wait(t *thread) error {
	state := t.u32(offState)
	if c.spin {
		if c.look(state) {
			return nil
		}
	}
	if !atomic.CompareAndSwapUint32(state, stateApp, stateAppAlone) {
		return nil
	}
	return t.receive()
}

// look spins until the stub gives the context back or it takes too long.
func (c *context) look(state *uint32) bool {
	const looks = 200
	start := tsc()
	for last := start; ; {
		if spin(state, looks) {
			return true
		}
		now := tsc()
		if now-last > lostTicks {
			c.k.pacer.lost(now)
			return false
		}
		if now-start > spinTicks {
			return false
		}
		last = now
	}
}

// expect kills the stub if an interrupt is not noticed in time.
func (c *context) expect(t *thread) {
	if !c.watched.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(patience, func() {
		c.watched.Store(false)
		if c.state.Load() == interrupted && c.target.Load() == t && atomic.LoadUint32(t.u32(offInterrupt)) != 0 {
			unix.Kill(t.p.pid, unix.SIGKILL)
		}
	})
}
