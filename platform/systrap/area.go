package systrap

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
)

// area is the Sentry's view of a thread area. The application can write all of
// it at any time: what is read here is read once, and checked.
type area struct {
	mem  unsafe.Pointer
	addr uintptr // in the stub
}

func (a area) u32(off uintptr) *uint32 { return (*uint32)(unsafe.Add(a.mem, off)) }
func (a area) u64(off uintptr) *uint64 { return (*uint64)(unsafe.Add(a.mem, off)) }

func (a area) call() *callWords { return (*callWords)(unsafe.Add(a.mem, offCall)) }
func (a area) rest() *restWords { return (*restWords)(a.mem) }

func (a area) handed() *readEcho { return (*readEcho)(unsafe.Add(a.mem, offRead)) }

func (a area) bytes() []byte { return unsafe.Slice((*byte)(a.mem), areaSize) }

// reset prepares the area for another thread.
func (a area) reset() {
	clear(a.bytes())
	a.prepare()
}

// prepare prepares an area that is clear for a new thread.
func (a area) prepare() {
	*a.u32(offState) = stateSentryAlone
	*a.u64(offStack) = uint64(a.addr + sigStack)
	*a.u64(offStack + 16) = sigStackSize
	*a.u64(offAfterFlag) = uint64(a.addr + 152)
	*a.u64(offFlags) = uint64(a.addr + 144)
	*a.u64(offFrameRIP) = uint64(a.addr + 128)
	*a.u64(offXSave) = uint64(a.addr + xsaveBuf)
	*a.u64(offSelf) = uint64(a.addr)
	for i := range uintptr(answers) {
		*a.u64(offAnswers + 8*i) = noAnswer
	}
	a.noEchoes()
}

// at returns n bytes at an address of the stub if they lie in the signal stack.
func (a area) at(addr uint64, n uintptr) unsafe.Pointer {
	off := uintptr(addr) - a.addr
	if off < sigStack || off > areaSize || areaSize-off < n || off%8 != 0 {
		return nil
	}
	return unsafe.Add(a.mem, off)
}

// futexWake wakes whoever sleeps on a word of shared memory.
func futexWake(word *uint32) {
	const all = 1<<31 - 1
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 1, all, 0, 0, 0)
}

// frame is the part of struct ucontext that the kernel's signal frame has
// (asm/ucontext.h, asm/sigcontext.h).
type frame struct {
	flags, link uint64
	stack       [3]uint64
	r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx,
	rsp, rip, eflags uint64
	cs, gs, fs, ss            uint16
	err, trapno, oldmask, cr2 uint64
	fpstate                   uint64
}

// siginfo is the part of siginfo_t that matters here (sigaction(2)).
type siginfo struct {
	signo, errno, code int32
	_                  int32
	addr               uint64
	_                  int32
	arch               uint32 // SIGSYS: si_arch
}

// load sets r from f; what a frame does not hold stays.
func (f *frame) load(r *arch.Registers) {
	r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15 = f.r8, f.r9, f.r10, f.r11, f.r12, f.r13, f.r14, f.r15
	r.Rdi, r.Rsi, r.Rbp, r.Rbx, r.Rdx, r.Rax, r.Rcx = f.rdi, f.rsi, f.rbp, f.rbx, f.rdx, f.rax, f.rcx
	r.Rsp, r.Rip, r.Eflags = f.rsp, f.rip, f.eflags
}
