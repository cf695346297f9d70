package ptrace

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/platform/tracee"
)

// stubCalls is all a stub may ever ask of the host kernel, and only from its
// code page. Under SYSEMU application code asks nothing at all; this is the
// second wall.
var stubCalls = []struct {
	nr     uint32
	reason string
}{
	{unix.SYS_MMAP, "map pages of the memory file or a donated descriptor for the Sentry"},
	{unix.SYS_MUNMAP, "unmap them"},
	{unix.SYS_MPROTECT, "change their protection"},
	{unix.SYS_CLONE, "make stubs and their threads"},
	{unix.SYS_PAUSE, "a new thread waits here for its tracer"},
	{unix.SYS_RESTART_SYSCALL, "pause interrupted by the tracer"},
	{unix.SYS_EXIT, "end a thread"},
}

// confine installs the stub's seccomp filter in the template; forks inherit it.
func (k *keeper) confine(t *tracee.Tracee) error {
	const (
		ld, jeq, jge, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		archX86_64 = 0xc000003e // AUDIT_ARCH_X86_64
		kill       = 0x80000000 // SECCOMP_RET_KILL_PROCESS
		allow      = 0x7fff0000 // SECCOMP_RET_ALLOW
	)
	// struct seccomp_data: nr 0, arch 4, instruction_pointer 8 (low), 12 (high).
	// Every check that fails falls to the "kill" behind it.
	prog := []unix.SockFilter{
		{Code: ld, K: 4}, {Code: jeq, K: archX86_64, Jt: 1}, {Code: ret, K: kill},
		{Code: ld, K: 12}, {Code: jeq, K: stubCode >> 32, Jt: 1}, {Code: ret, K: kill},
		{Code: ld, K: 8}, {Code: jge, K: stubCode & 0xffffffff, Jt: 1}, {Code: ret, K: kill},
		{Code: jge, K: (stubCode + 0x1000) & 0xffffffff, Jf: 1}, {Code: ret, K: kill},
		{Code: ld, K: 0},
	}
	for _, c := range stubCalls {
		prog = append(prog, unix.SockFilter{Code: jeq, K: c.nr, Jf: 1}, unix.SockFilter{Code: ret, K: allow})
	}
	prog = append(prog, unix.SockFilter{Code: ret, K: kill})

	// The program and its header go into the batch pages for the stub to read.
	type header struct {
		count uint16
		_     [6]byte
		at    uint64
	}
	h := (*header)(k.mem)
	h.count, h.at = uint16(len(prog)), stubBatch+uint64(unsafe.Sizeof(*h))
	copy(unsafe.Slice((*unix.SockFilter)(unsafe.Add(k.mem, unsafe.Sizeof(*h))), len(prog)), prog)

	if _, err := t.Call(stubCode+codeCall, &k.regs, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs in the template stub: %w", err)
	}
	if _, err := t.Call(stubCode+codeCall, &k.regs, unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, stubBatch); err != nil {
		return fmt.Errorf("install the stub's seccomp filter: %w", err)
	}
	return nil
}
