package systrap

// Where the stub lies: at the top of the user half, out of the reach of
// applications (UserAddresses ends below). stub_amd64.s knows these numbers.
const (
	stubBase = 0x7fffe0000000
	// codeAddr holds the stub's code and behind it, in the page filterAddr, the
	// threads' seccomp program: one file, read-only and executable.
	codeAddr   = stubBase
	codeSize   = 0x2000
	filterAddr = codeAddr + codeSize
	textSize   = codeSize + 0x1000
	// ctlAddr is the control block: written by the Sentry, read-only in the stub.
	ctlAddr = stubBase + 0x10000
	ctlSize = 0x4000
	// scratchAddr is a page the mapper writes what nobody relies on.
	scratchAddr = ctlAddr + ctlSize
	ctlStride   = 0x8000 // control block and scratch page in their file
	// clockAddr is the page that tells the time, read-only in the stub.
	clockAddr = ctlAddr + ctlStride
	// titleAddr is a private page with the command line that ps(1) shows on the
	// host. The application can write to it, as it could to its own natively.
	titleAddr = clockAddr + 0x1000
	titleSize = 0x400 // bytes; the last is not zero (see setTitles)
	titlePage = 0x1000
	// namesAddr is the table of answers about names, read-only, where one is shown; the
	// clock page has their generations at clockNames, and those of package steady at clockSteady.
	namesAddr = stubBase + 0x80000
	namesMax  = 0x40000
	// windowAddr is what reads hand out, read-only, where a file was shown.
	windowAddr  = namesAddr + namesMax
	clockNames  = 0x800
	clockSteady = 0x400
	// areaAddr is where the thread areas are, one for each thread number.
	areaAddr = stubBase + 0x100000
	areaSize = 0x8000
	maxAreas = 8192
)

// Offsets in a control block.
const (
	ctlSeq      = 0x00 // u32: number of the last request; the mapper waits here
	ctlCount    = 0x04 // u32: how many entries the request has
	ctlDone     = 0x08 // u64: eventfd that tells the Sentry of the end
	ctlFile     = 0x10 // u64: descriptor of the file of control blocks
	ctlGood     = 0x18 // u64: what is written to the eventfd when all went well
	ctlBad      = 0x20 // u64: the same when an entry failed
	ctlEntries  = 0x100
	entryWords  = 8 // number, six arguments, and what a cloned child starts with
	maxEntries  = (ctlSize - ctlEntries) / (entryWords * 8)
	goodResult  = 1
	badResult   = 1 << 32
	scratchErr  = 0x00  // u64: errno of the first failed entry, for the log only
	scratchPID  = 0x08  // u32: where clone leaves the number of a new process
	scratchText = 0x800 // where the Sentry puts a title for the mapper to read
	scratchPage = 0x1000
)

// A thread area: the page of the context, the XSAVE buffer, the signal stack.
//
// The context's page begins with the registers: restWords, and callWords at offCall. The
// state word and what almost every call needs are in one line of memory, which is
// all that travels between two cores then: the words behind are written by one side, or
// written seldom.
const (
	offState     = 0x100 // u32: who has the context, below
	offKind      = 0x104 // u32: why the stub stopped
	offCall      = 0x108 // callWords
	offYield     = 0x140 // u32: for how many ticks the stub keeps its core while it looks
	offSpin      = 0x144 // u32: for how many ticks it looks before it sleeps
	offInterrupt = 0x148 // u32: an interrupt is wanted
	offCommand   = 0x14c // u32: what to do before the application goes on
	offFPState   = 0x150 // u64: where to load the extended state from
	offMapCount  = 0x158 // u32: how many entries cmdMap carries out
	offOthers    = 0x15c // u32: another value when a stub that shares the core has got its context
	offNames     = 0x160 // u64: address of the table of names, 0 if the stub must not read it
	offClosable  = 0x168 // u64: the descriptors that the stub may close: it clears their bits
	offStack     = 0x180 // stack_t of sigaltstack(2)
	offAfterFlag = 0x198 // u64: address behind the flags, where PUSHFQ pushes them
	offFlags     = 0x1a0 // u64: address of the flags
	offFrameRIP  = 0x1a8 // u64: address of RIP, where IRETQ takes its frame
	offXSave     = 0x1b0 // u64: address of the XSAVE buffer
	offSelf      = 0x1b8 // u64: address of the area
	offAppGS     = 0x1c0 // u64: GS base found by the signal handler
	offSeen      = 0x1c8 // u64: the ucontext of the last interrupt that found the stub's code
	offFrame     = 0x1d0 // u64: address of the ucontext
	offInfo      = 0x1d8 // u64: address of the siginfo
	offSigno     = 0x1e0 // u32
	offTID       = 0x1e4 // u32: where clone leaves the host's thread number
	offNotify    = 0x1e8 // u32: the descriptor of the thread's seccomp notifications
	offPassed    = 0x1ec // u32: offOthers as it was when the stub last let others have the core
	offMapError  = 0x1f0 // u64: the last error of an entry of cmdMap, negated
	offEntries   = 0x200 // what cmdMap carries out: number and six arguments each
	maxCarried   = 3
	offPath      = 0x300 // a path, while it is looked up in the table of names
	offEchoes    = 0x400 // echoes of 64 bytes each: answers to calls about descriptors, at the lower bits of theirs
	echoes       = 16
	offAnswers   = 0x800 // 256 u64: results of calls answered by the stub
	answers      = 256
	xsaveBuf     = 0x1000
	xsaveMax     = 0x2c00 // all that there is, 8 KiB of tiles with it
	offStat      = 0x3c00 // what fstat of the file opened last returns: statEcho
	offRead      = 0x3d00 // what reads of a descriptor hand out: readEcho
	sigStack     = 0x4000
	sigStackSize = areaSize - sigStack
)

// Values of the state word. Whoever hands the context over learns from the old
// value whether the other side has to be woken.
const (
	stateApp         = 0 // the stub has the context: application code runs
	stateAppAlone    = 1 // and the Sentry sleeps
	stateSentry      = 2 // the Sentry has the context
	stateSentryAlone = 3 // and the stub sleeps
)

// Commands; several may be set.
const (
	cmdSaveFP = 1 << iota // write the extended state to the XSAVE buffer and stop again
	cmdLoadFP             // load it from offFPState
	cmdSetFS              // load the FS base
	cmdFull               // leave by IRETQ and with the application's own GS base
	cmdMap                // change mappings first
)

// Why the stub stopped.
const (
	kindSyscall   = 1 // at a patched call site; the registers are in the area
	kindSignal    = 2 // by a signal; the registers are in the frame
	kindInterrupt = 3 // for an interrupt; the registers are in the area
	kindSaved     = 4 // cmdSaveFP is done
	kindBroken    = 5 // the stub's own code got a signal
)

// noAnswer marks a call that the stub does not answer.
const noAnswer = ^uint64(0xfff)

// interruptSignal takes a thread out of application code.
const interruptSignal = 23 // SIGURG
