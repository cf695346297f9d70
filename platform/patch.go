package platform

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
)

// CallSite is a place in application code where the platform would like to
// replace a trapping SYSCALL instruction by something faster.
type CallSite struct {
	// Addr is the address of Code[0].
	Addr uintptr
	// Code are the instructions next to the site, as far as they could be read.
	Code []byte
	// End is the address behind the SYSCALL instruction.
	End uintptr
	// Regs are the registers of the thread that trapped there.
	Regs *arch.Registers
	// Around returns the same for all the code from which short jumps lead here, which takes a while.
	Around func() (code []byte, addr uintptr)
}

// Patch replaces len(Bytes) bytes at Addr.
type Patch struct {
	Addr  uintptr
	Bytes []byte
}

// KnownSite is how a call site is patched wherever the code is mapped.
type KnownSite struct {
	Number uint32
	Kind   uint8
	Before [8]byte // what was there
	// Patch is to be written in its place, from Back bytes before the end of the SYSCALL instruction on.
	Patch []byte
	Back  int
}

// Patcher is an AddressSpace that patches call sites. The kernel, which
// alone can write application memory, asks it what to write.
type Patcher interface {
	AddressSpace
	// PlanPatch returns how to patch a site. ok is false if the site cannot be
	// patched safely. If write returns nil, the patch holds. No thread runs in
	// the address space meanwhile; if one does, nothing is done.
	PlanPatch(s *CallSite, write func(Patch) error)
	// PlanKnown tells how to patch a site in all address spaces of the sandbox; false if that cannot be done
	// safely, or if too many sites are known.
	PlanKnown(s *CallSite) (KnownSite, bool)
	// Adopt says that the code of sites is about to be mapped, patched, for no thread can be there yet. The SYSCALL
	// instructions end at ends. If it returns false that must not be done.
	Adopt(sites []KnownSite, ends []uintptr) bool
	// DropPatches forgets the patches in [start, end). For each it calls restore
	// before, with what was there, to be mapped again where the memory stays: threads may
	// be running. It flushes what restore has queued.
	DropPatches(start, end uintptr, restore func(Patch))
	// StopPatching says that no site is to be patched any more.
	StopPatching()
	// InheritPatches takes over the patches of another address space, of which
	// this one is a copy that has not run yet.
	InheritPatches(from AddressSpace)
}

// Answerer is a Context whose application can be answered some system calls
// without the kernel. All methods may be called by anyone.
type Answerer interface {
	// Answer fixes the result of a call without arguments, from the next time the
	// application makes it on. clock_gettime is answered by the clock page, if there
	// is one.
	Answer(nr uintptr, value uint64)
	// AnswerNothing takes all answers back, and has names looked up no more.
	AnswerNothing()
}

// NameReader is an Answerer that can look path names up in a table (package names of the
// Sentry) before it asks the kernel.
type NameReader interface {
	Answerer
	// ReadNames has the table of the present address space read, or not. The owner calls it.
	ReadNames(on bool)
}

// Echoer is an Answerer that can make calls about descriptors again by itself, for as long as generations (package
// steady of the Sentry) are what they were.
type Echoer interface {
	Answerer
	// Echo has a call answered as it was. The owner calls it while the application does not run.
	Echo(e Echo)
	// EchoStat has fstat(2) of a descriptor of a regular file answered with st, a struct stat. As long as the first of the
	// generations is what it was, whatever the second is, TCGETS of ioctl_tty(2) is answered with ENOTTY, and lseek(2) to where
	// the offset is with offset. All that ends with the next call that is made. EchoStat reports whether an fstat was answered
	// so since it was called last. Called as Echo.
	EchoStat(fd int32, st unix.Stat_t, offset int64, slots [2]uint32, gens [2]uint64) (used bool)
}

// Echo is a call about a descriptor, and its answer.
type Echo struct {
	Nr     uintptr // read, recvfrom without an address, lseek, or a write that is done with its length
	FD     int32
	Args   [3]uint64 // the second, third and fourth, where they matter, else 0
	Result uint64    // but of a write
	Slots  [2]uint32 // generations that are to be
	Gens   [2]uint64 // these
}

// Reader is an Echoer that can hand out what a file has that was just opened.
type Reader interface {
	Echoer
	// EchoRead has reads of a descriptor hand out the first n bytes of the present address space's window, from the first
	// on, for as long as generations are what they were, and Event.Read tell of it. It reports whether all were read the last
	// time. The owner calls it while the application does not run.
	EchoRead(fd int32, n uint32, slots [2]uint32, gens [2]uint64) (used bool)
	// Worthwhile is how much at most is better handed out than read by a call, in bytes. Called as EchoRead.
	Worthwhile() int
}

// WindowSize is how much a Window shows, in bytes.
const WindowSize = 32 << 10

// Window is an AddressSpace in which a Reader finds what it is to hand out.
type Window interface {
	AddressSpace
	// ShowWindow puts WindowSize bytes of file, at offset, there. It is done like Map.
	ShowWindow(file HostFile, offset uint64)
}

// Closer is an Answerer that can close descriptors by itself: the kernel hears of it with the next Event.
type Closer interface {
	Answerer
	// MayClose says which descriptors these are, bit n for descriptor n. The owner calls it before each Switch.
	MayClose(fds uint64)
}

// NameTable is an AddressSpace in which a NameReader finds a table.
type NameTable interface {
	AddressSpace
	// ShowNames puts length bytes of file, at offset, where the table is read. It is done like Map.
	ShowNames(file HostFile, offset, length uint64)
	// HideNames takes the table away, which is done like Unmap, and has nobody in this
	// address space read it from now on.
	HideNames()
}

// Clock is a Platform that can answer clock_gettime(2) by a page of parameters
// (ktime.Params), which has the generations of names in its second half and those of
// package steady before. MapClock is called before any address space is made.
type Clock interface {
	MapClock(file HostFile, offset uint64) error
}

// Carrier is a Context that can change mappings in the course of a Switch, as
// long as no other context uses the address space.
type Carrier interface {
	// Carry reports whether the next Switch carries out what is queued in as; if
	// not, Flush has to.
	Carry(as AddressSpace) bool
	// Carried reports whether the last Switch did so and nothing was queued since. An
	// application can make a change fail and hide it.
	Carried() bool
}
