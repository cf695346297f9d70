package arch

import "encoding/binary"

// SignalContext is struct sigcontext of x86-64 (asm/sigcontext.h).
type SignalContext struct {
	R8, R9, R10, R11, R12, R13, R14, R15 uint64
	Rdi, Rsi, Rbp, Rbx, Rdx, Rax, Rcx    uint64
	Rsp, Rip, Eflags                     uint64
	Cs, Gs, Fs, Ss                       uint16
	Err, Trapno, Oldmask, Cr2            uint64
	FPState                              uint64 // address of the XSAVE area
	_                                    [8]uint64
}

// UContext is struct ucontext of the kernel (asm-generic/ucontext.h).
type UContext struct {
	Flags     uint64
	Link      uint64
	StackSP   uint64
	StackFlag uint32
	_         uint32
	StackSize uint64
	Context   SignalContext
	Mask      uint64
}

// Flags of UContext (asm/ucontext.h).
const (
	UCFPXState        = 1
	UCSigcontextSS    = 2
	UCStrictRestoreSS = 4
)

// Sizes of the parts of a signal frame, from the stack pointer up.
const (
	UContextSize = 304
	SigInfoSize  = 128
	// RedZone is the area below the stack pointer that belongs to the function
	// running (System V ABI, x86-64 supplement, 3.2.2).
	RedZone = 128
)

// Marks of an XSAVE area in a signal frame (asm/sigcontext.h, struct _fpx_sw_bytes).
const (
	fpMagic1     = 0x46505853
	fpMagic2     = 0x46505845
	swReserved   = 464
	fpMagic2Size = 4
)

// Flags of EFLAGS that an application may set; others keep their value.
const (
	userFlags   = 0x1<<0 | 1<<2 | 1<<4 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11 | 1<<16 | 1<<18 // CF PF AF ZF SF TF DF OF RF AC
	handlerOff  = 1<<8 | 1<<10 | 1<<16                                                      // TF DF RF
	defaultFlag = 0x202
)

// Context returns r as a signal frame stores it.
func (r *Registers) Context() SignalContext {
	return SignalContext{
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		Rdi: r.Rdi, Rsi: r.Rsi, Rbp: r.Rbp, Rbx: r.Rbx, Rdx: r.Rdx, Rax: r.Rax, Rcx: r.Rcx,
		Rsp: r.Rsp, Rip: r.Rip, Eflags: r.Eflags, Cs: UserCS, Ss: UserSS,
	}
}

// Restore sets r from a signal frame, which the application may have changed:
// segments stay and flags are limited to those of user mode.
func (r *Registers) Restore(c *SignalContext) {
	r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15 = c.R8, c.R9, c.R10, c.R11, c.R12, c.R13, c.R14, c.R15
	r.Rdi, r.Rsi, r.Rbp, r.Rbx, r.Rdx, r.Rax, r.Rcx = c.Rdi, c.Rsi, c.Rbp, c.Rbx, c.Rdx, c.Rax, c.Rcx
	r.Rsp, r.Rip = c.Rsp, c.Rip
	r.Eflags = r.Eflags&^userFlags | c.Eflags&userFlags | defaultFlag
}

// EnterHandler prepares r's flags for a signal handler.
func (r *Registers) EnterHandler() { r.Eflags &^= handlerOff }

// FrameBytes returns f as it stands in a signal frame, with its marks.
func (f *FPState) FrameBytes() []byte {
	n := len(f.Data)
	b := make([]byte, n+fpMagic2Size)
	copy(b, f.Data)
	// XCR0, as PTRACE_GETREGSET leaves it in the same software bytes.
	xfeatures := uint64(0)
	if n >= swReserved+8 {
		xfeatures = binary.LittleEndian.Uint64(f.Data[swReserved:])
	}
	if xfeatures == 0 {
		xfeatures = 3
	}
	clear(b[swReserved : swReserved+48])
	binary.LittleEndian.PutUint32(b[swReserved:], fpMagic1)
	binary.LittleEndian.PutUint32(b[swReserved+4:], uint32(n+fpMagic2Size))
	binary.LittleEndian.PutUint64(b[swReserved+8:], xfeatures)
	binary.LittleEndian.PutUint32(b[swReserved+16:], uint32(n))
	binary.LittleEndian.PutUint32(b[n:], fpMagic2)
	return b
}

// FromFrame sets f from the bytes of a signal frame, which are the
// application's: what the processor would refuse is mended.
func (f *FPState) FromFrame(b []byte) {
	ours := XFeatures(f.Data)
	n := copy(f.Data, b)
	clear(f.Data[n:])
	if len(f.Data) < fxsaveSize+xsaveHeader {
		return
	}
	// MXCSR's reserved bits must be zero; so must the header but for XSTATE_BV,
	// which names features of the machine only.
	binary.LittleEndian.PutUint32(f.Data[mxcsrOffset:], uint32(binary.LittleEndian.Uint64(f.Data[mxcsrOffset:]))&0xffff)
	have := binary.LittleEndian.Uint64(f.Data[swReserved+8:])
	if have == 0 || uint32(binary.LittleEndian.Uint64(f.Data[swReserved:])) != fpMagic1 {
		have = 3
		binary.LittleEndian.PutUint64(f.Data[xfeatOffset:], 3)
	}
	binary.LittleEndian.PutUint64(f.Data[xfeatOffset:], binary.LittleEndian.Uint64(f.Data[xfeatOffset:])&have&max(ours, 3))
	// The marks are the frame's; the next one, if it is made before the state is
	// loaded, needs to know what there is.
	clear(f.Data[swReserved : swReserved+48])
	SetXFeatures(f.Data, ours)
	clear(f.Data[xfeatOffset+8 : xfeatOffset+xsaveHeader])
	f.Dirty = true
}
