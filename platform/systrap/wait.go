package systrap

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a thread may take to notice an interrupt before its
	// process is taken to be hostile, and killed.
	patience = 5 * time.Second
	// patienceTicks is less than that on any machine, in ticks of the time stamp
	// counter.
	patienceTicks = 4_000_000_000

	// spinTicks is how long we look for the stub before we sleep, in ticks of the
	// time stamp counter; about what sleeping and waking cost.
	spinTicks = 60000
	// partTicks is the same when the stub's core has first to wake up.
	partTicks = 500000
	// lostTicks is a gap while spinning that says that something else ran on our core.
	lostTicks = 125000
	// stubSpins is how often the stub looks for us before it sleeps.
	stubSpins = 50000
	// The time without spinning after the core was lost: it doubles as long as
	// spinning fails at once.
	minRest = 1 << 21 // about 1 ms
	maxRest = 1 << 25
	// quickTurns is after how many short turns in a row a context begins to spin: to
	// put the stub on a core of its own costs as much as ten wake-ups.
	quickTurns = 64
)

// pacer decides whether waiting sides may spin: only while there are more cores
// than contexts that want to run, here and elsewhere on the machine.
type pacer struct {
	allowed unix.CPUSet  // the cores we may use
	active  atomic.Int32 // contexts that run or are served
	cores   int32
	restEnd atomic.Uint64 // no spinning before
	rest    atomic.Uint64 // length of the last rest
}

func newPacer() *pacer {
	p := &pacer{}
	if unix.SchedGetaffinity(0, &p.allowed) == nil {
		p.cores = int32(p.allowed.Count())
	}
	return p
}

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
	c.quick = 0
	if c.spin && c.thread != nil {
		atomic.StoreUint32(c.thread.u32(offSpin), 0)
	}
}

// give hands the context to the stub.
func (c *context) give(t *thread) error {
	c.wake()
	c.began = tsc()
	if c.carried.n > 0 {
		c.quick = 0 // the proof is a notification
	}
	c.spin = c.quick >= quickTurns && c.k.pacer.maySpin(c.began)
	spins := uint32(0)
	if c.spin {
		spins = stubSpins
	}
	c.limit = spinTicks
	if c.spin && (c.slept || c.home == nowhere) || !c.spin && c.home != nowhere {
		c.part(t)
		c.limit = partTicks
	}
	if atomic.LoadUint32(t.u32(offSpin)) != spins {
		atomic.StoreUint32(t.u32(offSpin), spins)
	}
	if atomic.SwapUint32(t.u32(offState), stateApp) == stateSentryAlone {
		if err := t.answer(); err != nil {
			return err
		}
	}
	return c.oversee(t)
}

// setAffinity keeps a host thread on one core.
func setAffinity(tid int, core int32) {
	var set unix.CPUSet
	set.Set(int(core))
	unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(set), uintptr(unsafe.Pointer(&set)))
}

// roam lets a host thread run on all cores.
func (p *pacer) roam(tid int) {
	unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(p.allowed), uintptr(unsafe.Pointer(&p.allowed)))
}

// part keeps the stub off our core when both are to spin, and lets it come
// when they are not: to wake each other is cheapest on one core. Where we are
// may change whenever we sleep.
func (c *context) part(t *thread) {
	c.slept = false
	set, home := c.k.pacer.allowed, int32(nowhere)
	if c.spin {
		if home = int32(core()); home == c.home {
			return
		}
		set.Clear(int(home))
	}
	unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(t.tid), unsafe.Sizeof(set), uintptr(unsafe.Pointer(&set)))
	c.home = home
}

// nowhere is no core.
const nowhere = -1

// wait waits until the stub gives the context back.
func (c *context) wait(t *thread) (err error) {
	state := t.u32(offState)
	if !c.spin || !c.look(state) {
		if atomic.CompareAndSwapUint32(state, stateApp, stateAppAlone) || c.carried.n > 0 {
			err = t.receive()
			c.slept = true
			if err == nil && atomic.LoadUint32(state) != stateSentryAlone {
				// The stub says so before it sleeps: the application has jumped to its code,
				// and nobody would wake it.
				unix.Kill(t.p.pid, unix.SIGKILL)
				err = errDead
			}
		}
	}
	if tsc()-c.began < c.limit {
		c.quick = min(c.quick+1, 2*quickTurns)
	} else {
		c.quick /= 2
	}
	return err
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
		if now-start > c.limit {
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
	time.AfterFunc(patience, func() { c.check(t) })
}

// check looks at an interrupt that was sent some time ago, or at a later one.
func (c *context) check(t *thread) {
	c.watched.Store(false)
	if c.state.Load() != interrupted || c.target.Load() != t {
		return
	}
	if tsc()-c.since.Load() < patienceTicks {
		if c.watched.CompareAndSwap(false, true) {
			time.AfterFunc(patience, func() { c.check(t) })
		}
		return
	}
	unix.Kill(t.p.pid, unix.SIGKILL)
}
