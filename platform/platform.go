package platform

import (
	"sync/atomic"

	"errors"

	"ringfort/sentry/arch"
)

// Platform makes address spaces and execution contexts.
type Platform interface {
	// NewAddressSpace returns an empty address space.
	NewAddressSpace() (AddressSpace, error)
	// NewContext returns a context for one application thread.
	// NewContext returns a context for a task. ready counts the tasks whose goroutines could
	// run: a context that spins lets them have its processor.
	NewContext(ready *atomic.Int32) Context
	// UserAddresses returns the addresses applications may use: [min, max).
	UserAddresses() (min, max uintptr)
}

// Grouper is a Platform whose host processes can be told apart: those of each
// group come from a process of its own, whose host cgroups they inherit.
type Grouper interface {
	// NewGroup returns a platform for a group of address spaces.
	NewGroup() (Group, error)
}

// Group is a Platform for some of a sandbox's address spaces.
type Group interface {
	Platform
	// PID returns the host process, by its number in the Sentry's PID namespace,
	// that the group's processes are forked from.
	PID() int
	// Release ends that process. Address spaces that are in use stay.
	Release()
}

// Titler is an AddressSpace with a host process of its own, which whoever looks at
// the host finds by its number and knows by its command line.
type Titler interface {
	// SetTitle gives the process a command line; it is cut where it is long. It is
	// done like a mapping.
	SetTitle(title string)
	// PID returns the process's number in the Sentry's PID namespace.
	PID() int
}

// Mortal is an AddressSpace whose host process others than the Sentry can end: the host when memory is short, or a person.
type Mortal interface {
	// OnDeath has f called, once and soon, when the process has ended and was not released. f must not block. It is
	// called at most once for an address space.
	OnDeath(f func())
	// Reserve puts memory of the host process's own at [addr, addr+length), in the place of what is there, that is of no
	// use but to be free the moment the process is killed, before the host looks for another to kill: the memory of
	// applications is a file's, which only the Sentry can give back. Nothing can access it. It is done like Map, and undone
	// by Unmap. The host frees what is lowest first.
	Reserve(addr, length uintptr)
}

// Context is the execution state of one application thread. Switch, Sleep and
// Release are called by its owner only, Interrupt by anyone.
type Context interface {
	// Switch runs the application in as, from the state in r and fp, until the
	// kernel is needed, and brings the registers back (fp only by SaveFP). The
	// owner calls it from one goroutine.
	Switch(as AddressSpace, r *arch.Registers, fp *arch.FPState) (Event, error)
	// Flush carries out what is queued in as with this context's own host
	// thread; it is AddressSpace.Flush for the owner, without a hand-over.
	Flush(as AddressSpace) error
	// SaveFP brings fp up to date with the thread's extended state. The owner
	// calls it between two Switches.
	SaveFP(fp *arch.FPState) error
	// Sleep says that the next Switch will not come soon: the task waits for
	// something.
	Sleep()
	// Inherit is called for a new thread, with the context of the thread that made it: what
	// that has shown of its ways is expected of the new one. The owner of parent calls it.
	Inherit(parent Context)
	// Linger may wait a little for a value to come to wake, which it leaves there, and
	// reports whether one has come. It is what a task calls first that waits for others,
	// and then Sleep.
	Linger(wake <-chan struct{}) bool
	// Interrupt makes a running Switch return EventInterrupt soon, or the next
	// one if none is running.
	Interrupt()
	// Release frees the context's host resources. Its owner calls it last.
	Release()
}

// Loader is a Context that may leave registers where they are which few system calls need.
type Loader interface {
	// Load brings what a Switch whose Event is Partial has left out of r, and leaves alone what it
	// has not. The owner calls it before it uses or changes any other register, once.
	Load(r *arch.Registers)
}

// AddressSpace is what the application sees as memory. Map, Unmap and Protect
// are queued; they are done before the next Switch in this address space
// returns to user code. A thread of the same space that is running
// meanwhile may see the old mapping until Flush.
type AddressSpace interface {
	// Map maps [offset, offset+length) of file at addr, replacing what is there.
	Map(addr, length uintptr, file HostFile, offset uint64, prot Prot, populate bool)
	// Unmap removes all mappings in the range.
	Unmap(addr, length uintptr)
	// Protect changes the protection of mappings in the range; holes are skipped.
	Protect(addr, length uintptr, prot Prot)
	// Flush does what is queued now. After it returns, no thread in this address
	// space sees a mapping that was removed or downgraded before the call.
	Flush() error
	// Release destroys the address space. No Switch may be running in it.
	Release()
}

// Prot is a memory protection.
type Prot uint8

// The bits of Prot; the values are those of PROT_* in mmap(2).
const (
	Read  Prot = 1
	Write Prot = 2
	Exec  Prot = 4
)

// HostFile is a mappable host file: a descriptor and its rights. RO is a
// descriptor opened read-only, through which pages that the application must
// not write are mapped so that no mprotect can widen them; RW is a
// descriptor open for reading and writing, or -1.
type HostFile struct{ RO, RW int32 }

// EventKind says why Switch returned.
type EventKind uint8

// Why Switch returned.
const (
	// EventSyscall: the application executed a system call instruction; the
	// registers are those of the call, RIP after the instruction.
	EventSyscall EventKind = iota
	// EventFault: the application got a synchronous exception; see Event.
	EventFault
	// EventInterrupt: Interrupt was called, or the host wanted attention.
	EventInterrupt
)

// EventFlags say more of an Event.
type EventFlags uint8

const (
	// The call site of an EventSyscall is worth patching (see Patcher).
	SiteHot EventFlags = 1 << iota
	// It has trapped for the first time.
	SiteNew
	// Of the registers only those of a system call, RAX and OrigRax are in r: a Loader has the
	// rest, and the next Switch goes on with that and RAX if it is not asked for it.
	Partial
)

// Event is why the kernel is needed. It has no more than four fields, so that the
// compiler keeps it in registers. What it points to is true until the next Switch.
type Event struct {
	Kind  EventKind
	Flags EventFlags
	Fault *Fault // of an EventFault
	Late  *Late  // nil if there is nothing of that
}

// Fault is an exception of the application: the signal a Linux kernel would send, its si_code and
// its si_addr, and for memory faults what was tried, as far as is known.
type Fault struct {
	Signal  int32
	Code    int32
	Addr    uintptr
	Write   bool
	Execute bool
	// AccessKnown is false if the platform cannot tell reads from writes.
	AccessKnown bool
}

// Late is what the application has done since the last Event without the kernel.
type Late struct {
	// Read is how much of what a Reader was to hand out was read, in bytes.
	Read uint32
	// Closed are the descriptors, bit n for descriptor n, that a Closer has closed, for the kernel to do it now.
	Closed uint64
}

// Is reports whether one of the flags is set.
func (e Event) Is(f EventFlags) bool { return e.Flags&f != 0 }

// ErrDead is returned by Switch when the host execution context is gone (its
// process was killed from outside). The task cannot continue.
var ErrDead = errors.New("platform: the application's host process is gone")
