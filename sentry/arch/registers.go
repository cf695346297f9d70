package arch

// Registers are the general registers in the order of the host's struct
// user_regs_struct (sys/user.h), so that ptrace fills them directly.
type Registers struct {
	R15, R14, R13, R12, Rbp, Rbx, R11, R10, R9, R8 uint64
	Rax, Rcx, Rdx, Rsi, Rdi, OrigRax               uint64
	Rip, Cs, Eflags, Rsp, Ss                       uint64
	FsBase, GsBase                                 uint64
	Ds, Es, Fs, Gs                                 uint64
}

// Selectors of 64-bit user code and data in Linux.
const (
	UserCS = 0x33
	UserSS = 0x2b
)

// Argument is one argument of a system call, a register's raw contents.
type Argument uint64

// SyscallArguments are the six arguments of a system call.
type SyscallArguments [6]Argument

// Int returns the argument as a C int: its low 32 bits, signed.
func (a Argument) Int() int32 { return int32(a) }

// Uint returns the argument as a C unsigned int.
func (a Argument) Uint() uint32 { return uint32(a) }

// Int64 returns the argument as a signed 64-bit number.
func (a Argument) Int64() int64 { return int64(a) }

// Uint64 returns the argument as an unsigned 64-bit number.
func (a Argument) Uint64() uint64 { return uint64(a) }

// Pointer returns the argument as an address (a usermem.Addr).
func (a Argument) Pointer() uintptr { return uintptr(a) }

// Size returns the argument as a size_t.
func (a Argument) Size() uint64 { return uint64(a) }

// Mode returns the argument as a mode_t.
func (a Argument) Mode() uint32 { return uint32(a) }

// SyscallNumber returns the number of the system call in r.
func (r *Registers) SyscallNumber() uintptr { return uintptr(r.OrigRax) }

// SyscallArgs sets a to the arguments of the system call in r (syscall(2),
// x86-64 row of the architecture table).
func (r *Registers) SyscallArgs(a *SyscallArguments) {
	// One by one: of an array made aside each half is waited for.
	a[0], a[1], a[2] = Argument(r.Rdi), Argument(r.Rsi), Argument(r.Rdx)
	a[3], a[4], a[5] = Argument(r.R10), Argument(r.R8), Argument(r.R9)
}
