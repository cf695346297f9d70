package systrap

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A stubCall is a host system call that a stub may make from its own code.
// Application code makes none: all of its calls trap.
type stubCall struct {
	nr     uint32
	arg0   [2]uint64 // if not zero: the bounds [0], [1]) of the first argument
	notify bool      // notify the Sentry instead
	reason string
}

// Flags with which the mapper makes stubs and threads.
const (
	processFlags = unix.CLONE_PARENT | unix.CLONE_FILES | unix.CLONE_PARENT_SETTID
	threadFlags  = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD |
		unix.CLONE_SYSVSEM | unix.CLONE_PARENT_SETTID
)

// mapperCalls are those of the first thread of a stub, which never runs
// application code and whose memory the application cannot write.
var mapperCalls = []stubCall{
	{nr: unix.SYS_FUTEX, reason: "wait for the next request"},
	{nr: notifyCall, reason: "of threads, whose own filter makes a notification of it"},
	{nr: unix.SYS_MMAP, reason: "map pages of the memory file or a donated descriptor for the Sentry"},
	{nr: unix.SYS_MUNMAP, reason: "unmap them"},
	{nr: unix.SYS_MPROTECT, reason: "change their protection"},
	{nr: unix.SYS_PREAD64, reason: "copy a title from the file of control blocks"},
	{nr: unix.SYS_WRITE, reason: "tell the Sentry that a request is done"},
	{nr: unix.SYS_CLONE, arg0: [2]uint64{threadFlags, threadFlags + 1}, reason: "make an application thread"},
	{nr: unix.SYS_CLONE, arg0: [2]uint64{processFlags, processFlags + 1}, reason: "the template makes a stub"},
	{nr: unix.SYS_SIGALTSTACK, reason: "the signal stack of a new thread"},
	{nr: unix.SYS_SECCOMP, reason: "a new thread gives up all but the calls below"},
	{nr: unix.SYS_RT_SIGRETURN, reason: "an interrupted thread goes on in the stub's code"},
	{nr: unix.SYS_SCHED_YIELD, reason: "the application's sched_yield"},
	{nr: unix.SYS_EXIT, reason: "a thread that could not be confined"},
}

// notifyCall is the number of the call that hands a context over.
const notifyCall = unix.SYS_GETPID

// threadCalls are those of threads that run application code. Whoever jumps
// into the stub's code gets these and no more: sleep, and set one's own
// registers.
var threadCalls = []stubCall{
	{nr: notifyCall, notify: true, reason: "hand a context over: the call is never made"},
	{nr: unix.SYS_MMAP, notify: true, reason: "a mapping the Sentry has asked for: it compares the arguments"},
	{nr: unix.SYS_MUNMAP, notify: true, reason: "the same"},
	{nr: unix.SYS_MPROTECT, notify: true, reason: "the same"},
	{nr: unix.SYS_RT_SIGRETURN, reason: "an interrupted thread goes on in the stub's code"},
	{nr: unix.SYS_SCHED_YIELD, reason: "the application's sched_yield"},
}

// program is a seccomp program (seccomp(2)).
type program []unix.SockFilter

const (
	ld      = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jeq     = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jge     = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	ret     = unix.BPF_RET | unix.BPF_K
	trap    = unix.SECCOMP_RET_TRAP
	allow   = unix.SECCOMP_RET_ALLOW
	kill    = unix.SECCOMP_RET_KILL_PROCESS
	dataNr  = 0 // offsets in struct seccomp_data
	dataABI = 4
	dataIP  = 8
	dataArg = 16
)

// filterOf returns the program that traps whatever comes from outside the
// stub's code, and from inside allows calls and kills for all others.
func filterOf(calls []stubCall) program {
	const lo, hi = codeAddr & 0xffffffff, codeAddr >> 32
	p := program{
		{Code: ld, K: dataABI}, {Code: jeq, K: unix.AUDIT_ARCH_X86_64, Jt: 1}, {Code: ret, K: trap},
		{Code: ld, K: dataIP + 4}, {Code: jeq, K: hi, Jt: 1}, {Code: ret, K: trap},
		{Code: ld, K: dataIP}, {Code: jge, K: lo, Jt: 1}, {Code: ret, K: trap},
		{Code: jge, K: lo + codeSize, Jf: 1}, {Code: ret, K: trap},
		{Code: ld, K: dataNr},
	}
	for _, c := range calls {
		if c.arg0 == [2]uint64{} {
			verdict := uint32(allow)
			if c.notify {
				verdict = unix.SECCOMP_RET_USER_NOTIF
			}
			p = append(p, unix.SockFilter{Code: jeq, K: c.nr, Jf: 1}, unix.SockFilter{Code: ret, K: verdict})
			continue
		}
		// Both bounds have the same upper half.
		p = append(p, unix.SockFilter{Code: jeq, K: c.nr, Jf: 7},
			unix.SockFilter{Code: ld, K: dataArg + 4}, unix.SockFilter{Code: jeq, K: uint32(c.arg0[0] >> 32), Jf: 4},
			unix.SockFilter{Code: ld, K: dataArg}, unix.SockFilter{Code: jge, K: uint32(c.arg0[0]), Jf: 2},
			unix.SockFilter{Code: jge, K: uint32(c.arg0[1]), Jt: 1}, unix.SockFilter{Code: ret, K: allow},
			unix.SockFilter{Code: ld, K: dataNr})
	}
	return append(p, unix.SockFilter{Code: ret, K: kill})
}

func mapperFilter() program { return filterOf(mapperCalls) }
func threadFilter() program { return filterOf(threadCalls) }

// encode returns the program behind its struct sock_fprog, for memory at addr.
func (p program) encode(addr uint64) []byte {
	const header = 16
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(p)))
	b = binary.LittleEndian.AppendUint64(b, addr+header)
	for _, f := range p {
		b = binary.LittleEndian.AppendUint16(b, f.Code)
		b = append(b, f.Jt, f.Jf)
		b = binary.LittleEndian.AppendUint32(b, f.K)
	}
	return b
}
