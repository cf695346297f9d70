package systrap

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/arch"
)

// States of a context.
const (
	idle        = iota
	running     // the application may be executing
	interrupted // Interrupt was called meanwhile
	awaited     // Interrupt was called before
)

// Where the extended state of a context is.
type fpPlace uint8

const (
	fpSentry fpPlace = iota // with the kernel only: the next Switch loads it
	fpLive                  // in the stub thread's registers
	fpFrame                 // in the signal frame at context.fpAddr
)

// context is one application thread. All but Interrupt is called by its owner.
type context struct {
	k      *keeper
	state  atomic.Int32
	target atomic.Pointer[thread] // for Interrupt

	ready  *atomic.Int32 // tasks that could run
	space  *space
	thread *thread
	fp     fpPlace
	fpAddr uint64 // fpFrame
	fsBase uint64 // of the thread
	stored stored
	left   bool   // the registers but those of the call are in the area only
	seen   uint32 // generation of the space's patches
	active bool   // counted by the pacer
	brisk  bool   // the same
	brief  int32  // how many short waits the task has made in a row
	waited uint64 // since when it waits, in ticks; 0: it does not
	spin   bool   // while waiting for the stub
	quick  int32  // how many short turns the application has taken in a row
	near   bool   // while waiting, stub and we let each other have the core
	short  int32  // as quick, but for whatever the turns were
	began  uint64 // when the stub was given the context, in ticks
	limit  uint64 // how long to look for the stub, in ticks
	known  bool   // it has made short turns before in this address space
	unspun int32  // how many turns in a row it was brisk and did not spin, its stub kept off a core
	slept  bool   // since then
	astray bool   // the core we are on may be another one
	answer answerSet
	seat   seat

	closable uint64 // the descriptors that the stub may close
	handed   uint32 // how much of what the stub hands out has been read
	handing  uint32 // of how much

	statSet  bool // there is a statEcho
	statUsed bool // the last one was used

	fault platform.Fault // of the last event
	late  platform.Late  // likewise

	carried carried
	watched atomic.Bool   // see expect
	since   atomic.Uint64 // when it was interrupted last, in ticks
}

// Switch implements platform.Context.
func (c *context) Switch(as platform.AddressSpace, r *arch.Registers, fp *arch.FPState) (platform.Event, error) {
	s := as.(*space)
	if c.space != s {
		if err := c.enter(s); err != nil {
			return platform.Event{}, err
		}
	}
	if r.Rip >= 1<<47 && !c.left {
		// The processor would refuse it in the stub's own code.
		c.carried.wanted = false
		c.fault = platform.Fault{Signal: int32(unix.SIGSEGV), Code: siKernel}
		return platform.Event{Kind: platform.EventFault, Fault: &c.fault}, nil
	}
	t := c.thread
	c.carried.done = false
	if atomic.LoadUint32(t.u32(offInterrupt)) != 0 {
		atomic.StoreUint32(t.u32(offInterrupt), 0)
	}
	if !c.state.CompareAndSwap(idle, running) {
		c.state.Store(idle)
		c.carried.wanted = false
		ev := platform.Event{Kind: platform.EventInterrupt}
		if c.left {
			ev.Flags = platform.Partial
		}
		return ev, nil
	}
	if err := c.catchUp(s, r); err != nil {
		c.state.Store(idle)
		return platform.Event{}, err
	}
	// What is written from here on is of one piece with giving the context away: an atomic
	// instruction in between would wait for the line to come from the stub's core.
	command := c.prepare(t, r, fp)
	if g := s.generation.Load(); g != c.seen {
		// What another core wrote to the code is sure to be seen behind an instruction
		// that serialises, as IRETQ does (Intel SDM vol. 3, 9.1.3).
		c.seen = g
		command |= cmdFull
	}
	if c.pack(t) {
		command |= cmdMap
	}
	if *t.u32(offCommand) != command {
		*t.u32(offCommand) = command
	}
	c.left = false
	err := c.give(t)
	if err == nil {
		err = c.wait(t)
	}
	c.state.Store(idle)
	c.settle(command, r)
	if c.statSet {
		c.endStat(t)
	}
	if err == nil {
		err = c.prove(t)
	}
	if err != nil {
		c.drop()
		return platform.Event{}, err
	}
	late := c.lately(t)
	ev, err := c.event(t, r)
	ev.Late = late
	return ev, err
}

// catchUp brings the context up to date with what others have patched in s, and has what is queued carried out. From when the
// context runs on nobody patches: a look before that would miss the trampolines of a patch that another thread makes
// meanwhile at the very site where this one has trapped, and it would go on in what was mapped there before.
func (c *context) catchUp(s *space, r *arch.Registers) error {
	if s.patching.Load() {
		s.awaitPatch()
	}
	if c.left && s.generation.Load() != c.seen {
		c.Load(r) // the stub would go on in a trampoline that is no longer meant
	}
	if s.pending.Load() && !c.carried.wanted {
		return s.Flush()
	}
	return nil
}

// siKernel is SI_KERNEL of sigaction(2).
const siKernel = 0x80

// prepare writes the registers to the area and returns what the stub is to do
// before the application goes on.
func (c *context) prepare(t *thread, r *arch.Registers, fp *arch.FPState) (command uint32) {
	if c.left {
		c.storeResult(t, r)
	} else {
		c.store(t, r)
	}
	if fp.Dirty {
		buf := t.bytes()[xsaveBuf : xsaveBuf+xsaveMax]
		clear(buf[copy(buf, fp.Data):c.k.xstate])
		fp.Dirty = false
		c.fp = fpSentry
	}
	switch c.fp {
	case fpSentry:
		*t.u64(offFPState) = uint64(t.addr + xsaveBuf)
		command |= cmdLoadFP
	case fpFrame:
		*t.u64(offFPState) = c.fpAddr
		command |= cmdLoadFP
	}
	if r.FsBase != c.fsBase {
		command |= cmdSetFS
	}
	const trapFlag = 1 << 8
	if !c.left && r.Eflags&trapFlag != 0 || r.GsBase != 0 {
		command |= cmdFull
	}
	return command
}

// settle notes what the stub has done of what it was told, which is nothing
// when an interrupt came first.
func (c *context) settle(command uint32, r *arch.Registers) {
	if command&cmdLoadFP != 0 {
		c.fp = fpLive
	}
	c.fsBase = r.FsBase
}

// event reads why the stub stopped.
func (c *context) event(t *thread, r *arch.Registers) (platform.Event, error) {
	switch kind := atomic.LoadUint32(t.u32(offKind)); kind {
	case kindSyscall:
		c.loadCall(t, r)
		return platform.Event{Kind: platform.EventSyscall, Flags: platform.Partial}, nil
	case kindSignal, kindBroken:
		return c.signalled(t, r, kind)
	case kindInterrupt:
		c.loadAll(t, r)
		return platform.Event{Kind: platform.EventInterrupt}, nil
	}
	// The stub's code got a signal of its own, or the application wrote to the
	// area: this process cannot go on.
	c.drop()
	return platform.Event{}, errDead
}

// signalled reads the frame of the signal the stub stopped for.
func (c *context) signalled(t *thread, r *arch.Registers, kind uint32) (platform.Event, error) {
	f := (*frame)(t.at(atomic.LoadUint64(t.u64(offFrame)), unsafe.Sizeof(frame{})))
	i := (*siginfo)(t.at(atomic.LoadUint64(t.u64(offInfo)), unsafe.Sizeof(siginfo{})))
	if f == nil || i == nil {
		c.drop()
		return platform.Event{}, errDead
	}
	uc, info := *f, *i
	uc.load(r)
	fixed(r)
	if kind == kindBroken {
		// The application has changed GS, unasked; the stub's first instruction found
		// that out. CX is where the call returns to.
		switch {
		case uc.rip >= uint64(stub.store) && uc.rip < uint64(stub.stored):
			c.badTimespec(t, r, &uc)
			return platform.Event{Kind: platform.EventSyscall}, nil
		case uc.rip >= uint64(stub.names) && uc.rip < uint64(stub.named):
			c.badName(t, r, &uc)
			return platform.Event{Kind: platform.EventSyscall}, nil
		}
		if uc.rip != uint64(stub.enter) {
			c.drop()
			return platform.Event{}, errDead
		}
		c.fp, c.fpAddr, c.stored.both = fpFrame, uc.fpstate, false
		r.Rip, r.OrigRax = c.space.leftAt(r.Rcx), r.Rax
		return platform.Event{Kind: platform.EventSyscall}, nil
	}
	r.Rip = c.space.leftAt(r.Rip)
	r.OrigRax = ^uint64(0)
	c.fp, c.fpAddr, c.stored.both = fpFrame, uc.fpstate, false
	switch sig := unix.Signal(atomic.LoadUint32(t.u32(offSigno))); sig {
	case unix.SIGSYS:
		if info.arch == unix.AUDIT_ARCH_X86_64 {
			r.OrigRax = r.Rax
		}
		return platform.Event{Kind: platform.EventSyscall, Flags: c.space.trapped(uintptr(r.Rip))}, nil
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP:
		if c.space.middleAt(r.Rip, sig, uc.trapno) || c.space.generation.Load() != c.seen {
			return platform.Event{Kind: platform.EventInterrupt}, nil // Switch knows where that is now
		}
		// si_code above 0 is the kernel's own (sigaction(2)).
		if info.code > 0 {
			c.fault = fault(sig, &info, &uc)
			return platform.Event{Kind: platform.EventFault, Fault: &c.fault}, nil
		}
	}
	return platform.Event{Kind: platform.EventInterrupt}, nil
}

// badTimespec makes a system call of a clock_gettime whose result the stub could
// not store. What the stub changed meanwhile is in the area.
func (c *context) badTimespec(t *thread, r *arch.Registers, uc *frame) {
	call, rest := *t.call(), *t.rest()
	r.Rdx, r.R8, r.R9, r.Rbx = call.rdx, call.r8, call.r9, rest.rbx
	r.Rsp, r.Eflags, r.R11 = rest.rsp, rest.eflags, rest.eflags
	r.Rip = c.space.leftAt(rest.rip)
	r.Rcx, r.Rax, r.OrigRax = r.Rip, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETTIME
	c.fp, c.fpAddr, c.stored.both = fpFrame, uc.fpstate, false
}

// badName makes a system call of one whose path the stub could not read.
func (c *context) badName(t *thread, r *arch.Registers, uc *frame) {
	call, rest := *t.call(), *t.rest()
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9, r.Rbx = call.rdi, call.rsi, call.rdx, call.r10, call.r8, call.r9, rest.rbx
	r.Rsp, r.Eflags, r.R11 = rest.rsp, rest.eflags, rest.eflags
	r.Rip = c.space.leftAt(rest.rip)
	r.Rcx, r.Rax, r.OrigRax = r.Rip, call.rax, call.rax
	c.fp, c.fpAddr, c.stored.both = fpFrame, uc.fpstate, false
}

// fault describes a synchronous signal. Trap 14 is a page fault; its error
// code tells the kind of access (Intel SDM vol. 3, 4.7).
func fault(sig unix.Signal, info *siginfo, uc *frame) platform.Fault {
	const pageFault, byWrite, byFetch = 14, 1 << 1, 1 << 4
	f := platform.Fault{Signal: int32(sig), Code: info.code, Addr: uintptr(info.addr)}
	if uc.trapno == pageFault {
		f.AccessKnown = true
		f.Write, f.Execute = uc.err&byWrite != 0, uc.err&byFetch != 0
	}
	return f
}

// Flush implements platform.Context.
func (c *context) Flush(as platform.AddressSpace) error {
	c.carried.wanted = false
	return as.Flush()
}

// enter gets a thread in s, leaving the old one.
func (c *context) enter(s *space) error {
	c.leave()
	t, err := s.p.take()
	if err != nil {
		return err
	}
	s.join(c)
	c.space, c.thread, c.fp, c.known = s, t, fpSentry, false
	c.fsBase, c.seen = ^uint64(0), ^uint32(0)
	c.closable, c.handing = 0, 0
	c.answer.publish(t)
	c.stored.both, c.left = false, false
	c.target.Store(t)
	return nil
}

// leave parks the thread for another context of its process.
func (c *context) leave() {
	c.target.Store(nil)
	c.answer.publish(nil)
	if c.thread != nil {
		c.space.part(c)
		c.space.p.giveBack(c.thread)
	}
	c.thread, c.space = nil, nil
}

// drop lets go of a thread that cannot be trusted to wait.
func (c *context) drop() {
	c.target.Store(nil)
	c.answer.publish(nil)
	if c.space != nil {
		c.space.part(c)
	}
	c.thread, c.space, c.left = nil, nil, false
}

// SaveFP implements platform.Context.
func (c *context) SaveFP(fp *arch.FPState) error {
	if fp.Dirty || c.thread == nil {
		return nil // what fp holds has not been loaded yet
	}
	t := c.thread
	n := uintptr(c.k.xstate)
	src := unsafe.Pointer(nil)
	switch c.fp {
	case fpSentry:
		return nil
	case fpLive:
		*t.u32(offCommand) = cmdSaveFP
		err := c.give(t)
		if err == nil {
			err = c.wait(t)
		}
		if err != nil {
			c.drop()
			return err
		}
		src = unsafe.Add(t.mem, xsaveBuf)
	case fpFrame:
		if src = t.at(c.fpAddr, n); src == nil {
			c.drop()
			return errDead
		}
	}
	fp.Data = append(fp.Data[:0], unsafe.Slice((*byte)(src), n)...)
	arch.SetXFeatures(fp.Data, c.k.xfeatures)
	return nil
}

// Interrupt implements platform.Context.
func (c *context) Interrupt() {
	for {
		switch c.state.Load() {
		case idle:
			if c.state.CompareAndSwap(idle, awaited) {
				return
			}
		case running:
			c.since.Store(tsc()) // before check can see the new state
			if c.state.CompareAndSwap(running, interrupted) {
				if t := c.target.Load(); t != nil {
					atomic.StoreUint32(t.u32(offInterrupt), 1)
					unix.Tgkill(t.p.pid, t.tid, interruptSignal)
					c.expect(t)
				}
				return
			}
		default:
			return
		}
	}
}

// Answer implements platform.Answerer.
func (c *context) Answer(nr uintptr, value uint64) {
	if nr != unix.SYS_CLOCK_GETTIME || c.k.hasClock {
		c.answer.set(nr, value)
	}
}

// AnswerNothing implements platform.Answerer.
func (c *context) AnswerNothing() { c.answer.clear() }

// ReadNames implements platform.NameReader.
func (c *context) ReadNames(on bool) { c.answer.readNames(on) }

// Release implements platform.Context.
func (c *context) Release() {
	if t := c.thread; t != nil && c.spin && t.p.busy() > 1 {
		// A thread that ends is often followed by another: it finds this one awake.
		c.rest()
		c.setSpin(false)
		set(t.u32(offYield), 0)
	} else {
		c.Sleep()
	}
	c.leave()
}

// Echo implements platform.Echoer.
func (c *context) Echo(e platform.Echo) { c.answer.repeat(&e) }

// EchoStat implements platform.Echoer.
func (c *context) EchoStat(fd int32, st unix.Stat_t, offset int64, slots [2]uint32, gens [2]uint64) (used bool) {
	c.answer.repeatStat(fd, &st, offset, slots, gens)
	used, c.statUsed, c.statSet = c.statUsed, false, true
	return used
}

// endStat takes the result of an fstat back: a call has been made since.
func (c *context) endStat(t *thread) {
	c.statSet = false
	c.statUsed = *t.u32(offStat + unsafe.Offsetof(statEcho{}.used)) != 0
	*t.u64(offStat) = 0
}

// EchoRead implements platform.Reader.
func (c *context) EchoRead(fd int32, n uint32, slots [2]uint32, gens [2]uint64) (used bool) {
	used = c.handed == c.handing
	c.handed, c.handing = 0, n
	c.answer.handOut(fd, n, slots, gens)
	return used
}

// Worthwhile implements platform.Reader. Where both sides spin, a call takes less than to fetch what another core has written.
func (c *context) Worthwhile() int {
	if c.spin {
		return 0
	}
	return platform.WindowSize
}

// read returns how much the stub has handed out since the last look.
func (c *context) read(t *thread) uint32 {
	if c.handing == 0 {
		return 0
	}
	pos := atomic.LoadUint32(&t.handed().pos)
	if pos <= c.handed || pos > c.handing {
		return 0
	}
	n := pos - c.handed
	c.handed = pos
	c.spared()
	return n
}

// lately returns what the stub has done in the kernel's place since the last event, nil if nothing.
func (c *context) lately(t *thread) *platform.Late {
	read, closed := c.read(t), c.closed(t)
	if read == 0 && closed == 0 {
		return nil
	}
	c.late = platform.Late{Read: read, Closed: closed}
	return &c.late
}

// MayClose implements platform.Closer.
func (c *context) MayClose(fds uint64) {
	if fds != c.closable && c.thread != nil {
		c.closable = fds
		c.answer.mayClose(fds)
	}
}

// closed returns the descriptors that the stub has closed since it was told which it may.
func (c *context) closed(t *thread) uint64 {
	fds := c.closable &^ atomic.LoadUint64(t.u64(offClosable))
	c.closable &^= fds
	for range bits.OnesCount64(fds) {
		c.spared()
	}
	return fds
}

// spared notes a call that the stub has answered in our place: it would have come at once, and so will others.
func (c *context) spared() {
	c.quick = min(c.quick+1, 2*quickTurns)
	c.short = min(c.short+1, 2*nearTurns)
}

var (
	_ platform.Context    = (*context)(nil)
	_ platform.NameReader = (*context)(nil)
	_ platform.Echoer     = (*context)(nil)
	_ platform.Reader     = (*context)(nil)
	_ platform.Closer     = (*context)(nil)
	_ platform.Carrier    = (*context)(nil)
	_ platform.Loader     = (*context)(nil)
)
