package systrap

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	gosync "gvisor.dev/gvisor/pkg/sync"

	"ringfort/platform"
	"ringfort/platform/fdroom"
)

const (
	// patience is how long a thread may take to notice an interrupt before its
	// process is taken to be hostile, and killed.
	patience = 5 * time.Second
	// patienceTicks is less than that on any machine, in ticks of the time stamp
	// counter, as all that follow.
	patienceTicks = 4_000_000_000

	// spinTicks is how long we look for the stub before we sleep; about what sleeping
	// and waking cost.
	spinTicks = 60000
	// aloneTicks is the same while no other context was active for crowdTicks: the other core
	// would be idle. Compilers and interpreters compute about as long between calls.
	aloneTicks = 2_000_000
	crowdTicks = 25000000
	// longTurn is how many short turns a long one outweighs then. To sleep while it lasts
	// costs little; to be found asleep by each of the short ones that follow costs more.
	longTurn = 4
	// turnTicks is the longest turn that counts as short while both sleep in between and
	// the task talks to others: most of it may be waking cores, which spinning saves.
	turnTicks = 400000
	// partTicks is the same when the stub's core has first to wake up.
	partTicks = 500000
	// keepTicks is how long a side that looks for the other keeps its core to itself
	// when others wait for it.
	keepTicks = 1200
	// firstLooks is how often we look for the stub before we take the time.
	firstLooks = 200
	// lingerTicks is how long both sides of a task that waits for another one look for
	// the end of that.
	lingerTicks = 400000
	// lostTicks is a gap while spinning that says that something else ran on our core.
	lostTicks = 125000
	// awayTicks is the same where we let others have the core.
	awayTicks = 2000000
	// stubTicks is how long the stub looks for us before it sleeps.
	stubTicks = 500000
	// The time without spinning after the core was lost, and without letting others
	// have it after they kept it: it doubles as long as the same happens at once. Who
	// loses the core has had his share of it, who gives it away has not.
	minRest      = 1 << 21 // about 1 ms
	maxSpinRest  = 1 << 25
	maxYieldRest = 1 << 28
	// quickTurns is after how many short turns in a row a context begins to spin: to
	// put the stub on a core of its own costs as much as ten wake-ups.
	quickTurns = 32
	// againTurns is the same for one that did so before in the same program, and how many are
	// left when it ceases to.
	againTurns = 12
	// patientTurns is for how many turns a stub is kept off our core while its context may
	// not spin for the moment: to let it come and to move it away again costs more.
	patientTurns = 64
	// nearTurns is after how many a context and its stub, on one core, let each other have
	// it instead of sleeping, and nearTicks how long they look for each other then.
	nearTurns = 4
	nearTicks = 100000
	// briefWaits is after how many short waits in a row a context lingers.
	briefWaits = 4
	// maxSharing is how many contexts may spin on one pair of cores: each look of one
	// delays the others by a switch.
	maxSharing = 4
)

// pacer decides whether waiting sides may spin: only while there is a core for
// them and one for the stubs, beside those that contexts with long turns keep busy,
// here and elsewhere on the machine.
type pacer struct {
	allowed   unix.CPUSet   // the cores we may use
	active    atomic.Int32  // contexts that run or are served
	brisk     atomic.Int32  // those of them that make short turns
	lingering atomic.Int32  // contexts that linger
	spinning  atomic.Int32  // contexts that spin, or linger in between
	home      atomic.Int32  // the core where contexts that share are served
	crowd     atomic.Uint64 // when more than one context was active, in ticks, about
	cores     int32
	spinRest  rest // no spinning
	yieldRest rest // no letting others have the core
	cedeRest  rest // the same, of who waits for a mapper
	hub       hub
}

func newPacer() *pacer {
	p := &pacer{}
	p.home.Store(nowhere)
	if unix.SchedGetaffinity(0, &p.allowed) == nil {
		p.cores = int32(p.allowed.Count())
	}
	return p
}

// maySpin reports whether a side may spin now.
func (p *pacer) maySpin(now uint64) bool {
	brisk := p.brisk.Load()
	return brisk <= maxSharing && p.active.Load()-brisk+2 <= p.cores && p.spinRest.over(now) && (!p.shared() || p.yieldRest.over(now))
}

// crowded reports whether there are not two cores for each context that makes short turns.
func (p *pacer) crowded() bool { return p.cores < 2*(p.brisk.Load()+p.lingering.Load()) }

// alone reports whether no two contexts were active for a while.
func (p *pacer) alone(now uint64) bool { return now-p.crowd.Load() > crowdTicks }

// shared reports whether more than one context looks for something.
func (p *pacer) shared() bool { return p.active.Load()+p.lingering.Load() > 1 }

// rest is a time in which something that went wrong is not tried.
type rest struct{ end, length atomic.Uint64 }

// over reports whether it may be tried again.
func (r *rest) over(now uint64) bool { return now >= r.end.Load() }

// begin notes that it went wrong again, since a time.
func (r *rest) begin(since, now, most uint64) {
	length := r.length.Load()
	if since < r.end.Load()+length {
		length = min(2*length, most)
	} else {
		length = minRest
	}
	r.length.Store(length)
	r.end.Store(now + length)
}

// count keeps n the number of contexts for which *is is true.
func count(n *atomic.Int32, is *bool, on bool) {
	if *is == on {
		return
	}
	*is = on
	if on {
		n.Add(1)
	} else {
		n.Add(-1)
	}
}

// wake counts the context as active.
func (c *context) wake() {
	if !c.active && c.brisk {
		c.k.pacer.brisk.Add(1)
	}
	count(&c.k.pacer.active, &c.active, true)
}

// rest counts it as inactive.
func (c *context) rest() {
	if c.active && c.brisk {
		c.k.pacer.brisk.Add(-1)
	}
	count(&c.k.pacer.active, &c.active, false)
}

// setBrisk notes whether the context makes short turns. It is active.
func (c *context) setBrisk(on bool) { count(&c.k.pacer.brisk, &c.brisk, on) }

// setSpin notes whether the context spins.
func (c *context) setSpin(on bool) {
	h := &c.k.pacer.hub
	if on = on && h.join(c); !on {
		h.part(c)
	}
	count(&c.k.pacer.spinning, &c.spin, on)
}

// Inherit implements platform.Context.
func (c *context) Inherit(parent platform.Context) {
	if p, ok := parent.(*context); ok {
		c.quick, c.brief = p.quick, p.brief
	}
}

// Sleep implements platform.Context.
func (c *context) Sleep() {
	c.rest()
	if c.waited == 0 {
		c.waited = tsc()
	}
	if c.brief < briefWaits {
		c.quick = 0
	}
	if c.thread != nil {
		set(c.thread.u32(offSpin), 0)
	}
	c.setSpin(false)
}

// Linger implements platform.Context.
func (c *context) Linger(wake <-chan struct{}) bool {
	c.waited = tsc()
	p := c.k.pacer
	c.rest()
	if c.brief < briefWaits || c.thread == nil || p.active.Load() > p.cores || !p.spinRest.over(c.waited) || !p.yieldRest.over(c.waited) {
		return false
	}
	p.lingering.Add(1)
	defer p.lingering.Add(-1)
	if c.spin || c.near {
		set(c.thread.u32(offYield), 0)
		set(c.thread.u32(offSpin), stubTicks)
	}
	if c.spin && p.crowded() && (c.seat.wake == nil || c.seat.wake == wake) {
		c.seat.wake = wake
		c.seat.word.Store(nil)
		c.seat.until.Store(c.waited + lingerTicks)
		return p.hub.wait(c)
	}
	for last := c.waited; len(wake) == 0; {
		c.letOthers()
		now := tsc()
		if now-last > awayTicks {
			p.yieldRest.begin(last, now, maxYieldRest)
			return len(wake) > 0
		}
		if now-c.waited > lingerTicks {
			return false
		}
		last = now
	}
	return true
}

// resume judges the wait that is over.
func (c *context) resume(now uint64) {
	if c.waited == 0 {
		return
	}
	if now-c.waited < lingerTicks {
		c.brief = min(c.brief+1, 2*briefWaits)
	} else {
		c.brief = max(c.brief-1, 0)
		if c.brief < briefWaits {
			c.quick = 0
		}
	}
	c.waited = 0
	c.astray = true
}

// letOthers lets other tasks have our processor, or else other threads our core.
func (c *context) letOthers() {
	if c.ready.Load() > 0 {
		runtime.Gosched()
		return
	}
	unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
}

// set changes a word of the area. What stands there already is left alone: lines
// that one side only reads do not travel between cores.
func set(word *uint32, v uint32) {
	if atomic.LoadUint32(word) != v {
		atomic.StoreUint32(word, v)
	}
}

// give hands the context to the stub.
func (c *context) give(t *thread) error {
	c.began = tsc()
	c.seat.slow = c.waited == 0 && c.seat.left != 0 && c.began-c.seat.left > slowTicks
	c.seat.left = 0
	c.resume(c.began)
	c.wake()
	if c.carried.n > 0 {
		c.quick = 0 // the proof is a notification
	}
	c.setBrisk(c.isBrisk())
	p := c.k.pacer
	if p.active.Load() > 1 && c.began-p.crowd.Load() > crowdTicks/8 {
		p.crowd.Store(c.began)
	}
	c.setSpin(c.brisk && p.maySpin(c.began))
	c.near = !c.spin && c.short >= nearTurns && c.carried.n == 0 && p.active.Load() <= p.cores && p.spinRest.over(c.began) && p.yieldRest.over(c.began)
	spins, keep := uint32(0), uint32(math.MaxUint32)
	c.limit = spinTicks
	if c.brief >= briefWaits {
		c.limit = turnTicks
	}
	switch {
	case c.near:
		spins, keep = nearTicks, 0
	case c.spin && p.shared():
		spins, keep = stubTicks, hubKeep
		c.limit = 2 * spinTicks
	case c.spin && p.alone(c.began):
		spins, c.limit = stubTicks, aloneTicks
	case c.spin:
		spins, c.limit = stubTicks, spinTicks
	}
	if c.place(t) {
		c.limit = partTicks
	}
	if w := t.u32(offOthers); c.spin && c.seat.others.Load() != w {
		c.seat.others.Store(w)
	}
	set(t.u32(offSpin), spins)
	set(t.u32(offYield), keep)
	if atomic.SwapUint32(t.u32(offState), stateApp) == stateSentryAlone {
		if err := t.answer(); err != nil {
			return err
		}
	}
	if c.spin && p.crowded() && !p.hub.alone() {
		p.hub.pass(c)
	}
	return c.oversee(t)
}

// isBrisk reports whether the context makes short turns, by those it has made.
func (c *context) isBrisk() bool {
	c.known = c.known || c.quick >= quickTurns
	return c.known && c.quick >= againTurns
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

// place keeps the stub off our core when both are to spin, and lets it come when
// they are not: to wake each other is cheapest on one core. Contexts for which there
// are not cores enough are all served on one. It reports whether the stub had to be
// moved.
func (c *context) place(t *thread) bool {
	home := t.home
	switch {
	case !c.spin:
		if c.brisk && home != nowhere && c.unspun < patientTurns {
			c.unspun++
			return false
		}
		home = nowhere
	case c.astray || home == nowhere:
		c.astray, c.unspun = false, 0
		home = int32(core())
		if p := c.k.pacer; p.spinning.Load() == 1 {
			if p.home.Load() != home {
				p.home.Store(home)
			}
		} else if at := p.home.Load(); at != home && p.crowded() {
			home = at
			setAffinity(0, at)
			p.roam(0)
		}
	}
	if home == t.home && !(c.slept && c.spin) {
		return false
	}
	moved := home != t.home
	c.slept = false
	if moved {
		t.keepOff(home)
	}
	return true
}

// keepOff keeps the stub off a core, nowhere for none.
func (t *thread) keepOff(home int32) {
	set := t.p.k.pacer.allowed
	if home != nowhere {
		set.Clear(int(home))
	}
	unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(t.tid), unsafe.Sizeof(set), uintptr(unsafe.Pointer(&set)))
	t.home = home
}

// nowhere is no core.
const nowhere = -1

// wait waits until the stub gives the context back.
func (c *context) wait(t *thread) (err error) {
	state := t.u32(offState)
	if c.spin && !c.astray && spin(state, firstLooks) {
		c.quick = min(c.quick+1, 2*quickTurns)
		return nil // and nobody has had our core meanwhile
	}
	c.astray = true
	found := false
	switch {
	case c.spin && c.k.pacer.crowded():
		c.seat.word.Store(state)
		c.seat.until.Store(c.began + c.limit)
		found = c.k.pacer.hub.wait(c)
	case c.spin || c.near:
		found = c.look(state)
	}
	if !found {
		if c.spin && t.home != nowhere && c.k.pacer.active.Load() >= c.k.pacer.cores {
			t.keepOff(nowhere) // it computes, and others want to as well
		}
		if atomic.CompareAndSwapUint32(state, stateApp, stateAppAlone) || c.carried.n > 0 {
			if !c.k.pacer.hub.alone() {
				gosync.Wakep() // for who is to look now
			}
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
		c.short = min(c.short+1, 2*nearTurns)
	} else if c.k.pacer.alone(c.began) {
		c.quick = max(c.quick-longTurn, 0)
		c.short = max(c.short-1, 0)
	} else {
		c.quick /= 2
		c.short /= 2
	}
	return err
}

// look spins until the stub gives the context back or it takes too long.
func (c *context) look(state *uint32) bool {
	looks, keep, most := uint32(200), uint64(keepTicks), c.limit
	if c.near {
		looks, keep, most = 10, 0, nearTicks
	}
	p, start, gave := c.k.pacer, tsc(), false
	for last := start; ; {
		found := spin(state, looks)
		for !found && !gave && fdroom.CloseOne() {
			found, last = spin(state, looks), tsc()
		}
		if found && !gave {
			return true
		}
		now := tsc()
		if gave && now-last > awayTicks {
			p.yieldRest.begin(last, now, maxYieldRest)
			return found
		}
		switch {
		case found:
			return true
		case now-last > lostTicks && !gave:
			p.spinRest.begin(now, now, maxSpinRest)
			return false
		case now-start > most:
			return false
		}
		if gave = now-start >= keep && (c.near || c.ready.Load() > 0 || p.shared()); gave {
			c.letOthers()
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
