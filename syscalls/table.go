package syscalls

import (
	"fmt"
	"sort"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
)

// Level says how far a system call is supported.
type Level int

// The levels of support.
const (
	Full    Level = iota
	Partial       // with a note about what is missing
	Refused       // always fails with Errno; the note says why
)

// String returns the level's name in tables.
func (l Level) String() string {
	return [...]string{"full", "partial", "refused"}[l]
}

// Arg is the format of an argument in a trace.
type Arg int

// Formats of arguments.
const (
	Int Arg = iota
	UInt
	Hex
	Ptr
	FD
	DirFD
	Path
	Buf // an address; the next argument is its length
	OutBuf
	Size
	Offset
	Mode
	OpenFlags
	Sig
	Iovec
	Timespec
	SockAddr
)

// Call is a row of the system call table.
type Call struct {
	Nr    uintptr
	Name  string
	Func  kernel.SyscallFunc // nil if refused
	Level Level
	Note  string
	Errno unix.Errno // of a refused call
	Args  []Arg
}

// families are the rows of each file.
var families = [][]Call{
	memoryCalls, processCalls, signalCalls, futexCalls, timeCalls, identityCalls, limitCalls, prctlCalls, schedCalls,
	namespaceCalls, miscCalls, refusedCalls,
	readWriteCalls, fdCalls, fileCalls, statCalls, getdentsCalls, xattrCalls, mountCalls, syncCalls, inotifyCalls,
	copyRangeCalls, memfdCalls, shmCalls, semCalls, msgCalls, mqueueCalls,
	socketCalls, pollCalls, epollCalls, pipeCalls, eventfdCalls, timerfdCalls, signalfdCalls, spliceCalls,
}

// Table returns the table by ascending number. It panics if two rows have one
// number, which is a mistake of the build.
func Table() []Call {
	var all []Call
	seen := map[uintptr]string{}
	for _, f := range families {
		for _, c := range f {
			if other, ok := seen[c.Nr]; ok {
				panic(fmt.Sprintf("system call %d is both %s and %s", c.Nr, other, c.Name))
			}
			seen[c.Nr] = c.Name
			all = append(all, c)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Nr < all[j].Nr })
	return all
}

// Funcs returns the table as the kernel wants it.
func Funcs() map[uintptr]kernel.SyscallFunc {
	m := map[uintptr]kernel.SyscallFunc{}
	for _, c := range Table() {
		if c.Func == nil {
			errno := c.Errno
			c.Func = func(*kernel.Task, arguments) (uintptr, error) { return 0, errno }
		}
		m[c.Nr] = c.Func
	}
	return m
}

// Name returns the name of a system call, or its number if it has none.
func Name(nr uintptr) string {
	if n, ok := names()[nr]; ok {
		return n
	}
	return fmt.Sprintf("syscall_%d", nr)
}
