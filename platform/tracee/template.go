package tracee

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
)

// taskSize is TASK_SIZE_MAX of x86-64 with 4-level paging.
const taskSize = 0x7ffffffff000

// fork makes a traced, stopped child with a copy of our address space and our
// descriptor table; the result is its process ID or a negated errno. Its end
// raises no signal.
func fork() (pid uintptr)

// Code is what a template keeps: size bytes of File, mapped read-only and
// executable at Addr. At Call stand a SYSCALL instruction and an int3.
type Code struct {
	File *os.File
	Addr uintptr
	Size uintptr
	Call uint64
}

// NewTemplate forks this process and empties the child's memory but for c. It
// returns the child, stopped, and registers to run it with.
func NewTemplate(c *Code) (*Tracee, *arch.Registers, error) {
	pid := fork()
	if pid > ^uintptr(4095) {
		return nil, nil, fmt.Errorf("fork the template stub: %w", unix.Errno(-pid))
	}
	t := &Tracee{PID: int(pid), TID: int(pid)}
	if status, err := t.Wait(); err != nil || !status.Stopped() {
		return nil, nil, fmt.Errorf("template stub did not stop: status %#x: %v", uint32(status), err)
	}
	if err := t.Ptrace(unix.PTRACE_SETOPTIONS, 0, Options); err != nil {
		return nil, nil, fmt.Errorf("trace the template stub: %w", err)
	}
	r := &arch.Registers{}
	if err := t.GetRegs(r); err != nil {
		return nil, nil, err
	}
	// The child stands in fork behind a SYSCALL, which is two bytes: run that
	// instruction again, stepwise, to get the code in place.
	at := *r
	at.Rip -= 2
	if _, err := t.step(&at, unix.SYS_MMAP, c.Addr, c.Size, unix.PROT_READ|unix.PROT_EXEC,
		unix.MAP_SHARED|unix.MAP_FIXED, c.File.Fd(), 0); err != nil {
		return nil, nil, fmt.Errorf("map the stub's code: %w", err)
	}
	end := c.Addr + c.Size
	for _, m := range [][2]uintptr{{0, c.Addr}, {end, taskSize - end}} {
		if _, err := t.Call(c.Call, r, unix.SYS_MUNMAP, m[0], m[1]); err != nil {
			return nil, nil, fmt.Errorf("empty the template stub: %w", err)
		}
	}
	r.Rsp, r.FsBase, r.GsBase = 0, 0, 0
	return t, r, nil
}
