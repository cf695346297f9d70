#include "textflag.h"

// The stub's code. It is copied to codeAddr in every stub process and runs
// beside the application, in its address space; so it trusts nothing that can
// be written there, and it holds no secrets. It uses no stack. GS is the base of
// the thread's area. The numbers are those of layout.go. Jumps that close a
// circle go through a register: the linker's stack check knows no end of them.

#define CODE 0x7fffe0000000
#define CODESIZE 0x2000
#define FILTER 0x7fffe0002000
#define CTL 0x7fffe0010000
#define SCRATCH 0x7fffe0014000
#define CLOCK 0x7fffe0018000
#define WINDOW 0x7fffe00c0000

#define SYS_write 1
#define SYS_lseek 8
#define SYS_mmap 9
#define SYS_rt_sigreturn 15
#define SYS_exit 60
#define SYS_ioctl 16
#define SYS_sigaltstack 131
#define SYS_getpid 39
#define SYS_futex 202
#define SYS_seccomp 317
#define SYS_sched_yield 24

// KEEP stores the registers of a call, where the Sentry finds them if what is done then faults; RESTORE loads all but AX.
#define KEEP \
	MOVQ	AX, 0x108(GS); \
	MOVQ	DI, 0x110(GS); \
	MOVQ	SI, 0x118(GS); \
	MOVQ	DX, 0x120(GS); \
	MOVQ	R10, 0x128(GS); \
	MOVQ	R8, 0x130(GS); \
	MOVQ	R9, 0x138(GS); \
	MOVQ	BX, 40(GS)
#define RESTORE \
	MOVQ	0x110(GS), DI; \
	MOVQ	0x118(GS), SI; \
	MOVQ	0x120(GS), DX; \
	MOVQ	0x128(GS), R10; \
	MOVQ	0x130(GS), R8; \
	MOVQ	0x138(GS), R9; \
	MOVQ	40(GS), BX

// HOLDS compares the generation that one of the slots has in the clock page, R8, with what the area, CX, says it is to be.
#define HOLDS(slot, gen) \
	MOVL	slot(CX), R9; \
	ANDL	$127, R9; \
	MOVQ	0x400(R8)(R9*8), R10; \
	CMPQ	R10, gen(CX)

// Beginning of the copied code: one system call for the template's maker.
TEXT ·stubCall(SB),NOSPLIT|NOFRAME,$0
	SYSCALL
	INT	$3

// stubMapper is what the first thread of a stub does all its life: it waits for
// the next request in the control block and carries out its entries. Its state is
// in registers alone: R12 control block, R15 number of the last request.
TEXT ·stubMapper(SB),NOSPLIT|NOFRAME,$0
	MOVQ	$CTL, R12
	XORL	R15, R15
wait:
	MOVL	(R12), AX
	CMPL	AX, R15
	JNE	work
	MOVQ	R12, DI // futex(seq, FUTEX_WAIT, last, NULL)
	XORL	SI, SI
	MOVL	R15, DX
	XORL	R10, R10
	MOVL	$SYS_futex, AX
	SYSCALL
	JMP	wait
work:
	MOVL	AX, R15
	MOVL	0x04(R12), BX
	LEAQ	0x100(R12), BP
	LEAQ	0x18(R12), R14 // the good result
next:
	TESTL	BX, BX
	JZ	done
	MOVQ	0(BP), AX
	MOVQ	8(BP), DI
	MOVQ	16(BP), SI
	MOVQ	24(BP), DX
	MOVQ	32(BP), R10
	MOVQ	40(BP), R8
	MOVQ	48(BP), R9
	MOVQ	56(BP), R13
	SYSCALL
	TESTQ	R13, R13 // a clone?
	JZ	check
	TESTQ	AX, AX
	JZ	child
	JLT	check
	TESTL	$0x100, DI // CLONE_VM: a thread
	JZ	check
confined:
	// The request is done when the thread has its filter.
	CMPL	0x1e8(R13), $0
	JNE	check
	MOVL	$SYS_sched_yield, AX
	SYSCALL
	JMP	confined
child:
	TESTL	$0x100, DI
	JNZ	thread
	JMP	·stubProcess(SB)
thread:
	JMP	·stubThread(SB)
check:
	CMPQ	AX, $-4096
	JLS	good
	LEAQ	0x20(R12), CX
	CMPQ	CX, R14
	JEQ	good // not the first
	MOVQ	CX, R14
	MOVQ	$SCRATCH, CX
	NEGQ	AX
	MOVQ	AX, (CX)
good:
	ADDQ	$64, BP
	DECL	BX
	JMP	next
done:
	// Only we may write to the descriptor: nobody in this address space can tell
	// the Sentry that a page is gone while it is not.
	MOVQ	0x08(R12), DI
	MOVQ	R14, SI
	MOVL	$8, DX
	MOVL	$SYS_write, AX
	SYSCALL
	JMP	wait

// stubProcess begins a stub that the template was told to fork: R13 is where its
// control block is in their file.
TEXT ·stubProcess(SB),NOSPLIT|NOFRAME,$0
	MOVQ	$CTL, DI
	MOVQ	0x10(DI), R8
	MOVL	$0x4000, SI
	MOVL	$1, DX    // PROT_READ
	MOVL	$0x11, R10 // MAP_SHARED|MAP_FIXED
	MOVQ	R13, R9
	MOVL	$SYS_mmap, AX
	SYSCALL
	MOVQ	$SCRATCH, DI
	MOVL	$0x1000, SI
	MOVL	$3, DX
	ADDQ	$0x4000, R9
	MOVL	$SYS_mmap, AX
	SYSCALL
	LEAQ	·stubMapper(SB), AX
	JMP	AX

// stubThread begins an application thread: R13 is its area. What it gives up
// here it can never have again.
TEXT ·stubThread(SB),NOSPLIT|NOFRAME,$0
	WRGSBASEQ	R13
	LEAQ	0x180(R13), DI
	XORL	SI, SI
	MOVL	$SYS_sigaltstack, AX
	SYSCALL
	MOVL	$1, DI // SECCOMP_SET_MODE_FILTER
	MOVL	$0x28, SI // NEW_LISTENER|WAIT_KILLABLE_RECV
	MOVQ	$FILTER, DX
	MOVL	$SYS_seccomp, AX
	SYSCALL
	TESTQ	AX, AX
	JLT	fail
	MOVL	AX, 0x1e8(GS)
	JMP	·stubSleep(SB)
fail:
	MOVL	$-1, 0x1e8(GS)
	XORL	DI, DI
	MOVL	$SYS_exit, AX
	SYSCALL
	INT	$3

// stubEnter is where patched call sites come to: AX is the number, CX the
// address behind the site, the rest is the application's. R11 and CX are what a
// SYSCALL changes.
TEXT ·stubEnter(SB),NOSPLIT|NOFRAME,$0
	MOVQ	SP, 152(GS)
	MOVQ	CX, 128(GS)
	MOVQ	0x198(GS), SP
	PUSHFQ
	CMPL	AX, $255
	JHI	slow
	MOVL	AX, R11
	MOVQ	0x1b8(GS), CX
	MOVQ	0x800(CX)(R11*8), R11
	CMPQ	R11, $-4096
	JEQ	slow
	CMPQ	R11, $-4095
	JEQ	itself
	CMPQ	R11, $-4094
	JEQ	clock
	CMPQ	R11, $-4093
	JEQ	echo
	CMPQ	R11, $-4092
	JEQ	stat
	CMPQ	R11, $-4091
	JEQ	shut
	MOVQ	R11, AX
	JMP	·stubAnswer(SB)
itself:
	SYSCALL
	JMP	·stubAnswer(SB)
clock:
	JMP	·stubClock(SB)
echo:
	JMP	·stubEcho(SB)
stat:
	JMP	·stubStat(SB)
shut:
	JMP	·stubShut(SB)
slow:
	CMPL	AX, $262 // newfstatat
	JEQ	stat
	CMPQ	0x160(GS), $0
	JNE	names
	MOVL	$1, R11
	JMP	·stubSave(SB)
names:
	JMP	·stubNames(SB)

// stubEcho answers a call about a descriptor as it was answered before, if the area has
// an echo of it and the generations that it names in the clock page are what they were.
TEXT ·stubEcho(SB),NOSPLIT|NOFRAME,$0
	MOVL	DI, R11
	SHLQ	$32, R11
	MOVL	AX, CX // the upper half is not of the number
	ORQ	CX, R11
	MOVL	DI, CX
	ANDL	$15, CX
	SHLL	$6, CX
	ADDQ	0x1b8(GS), CX
	CMPQ	R11, 0x400(CX)
	JNE	ask
	CMPL	AX, $SYS_write
	JEQ	discard
	CMPQ	DX, 0x410(CX)
	JNE	ask
	TESTL	AX, AX // read
	JZ	into
	CMPL	AX, $SYS_lseek
	JEQ	seek
	TESTQ	R8, R8
	JNZ	ask
	CMPL	R10, 0x418(CX)
	JNE	ask
into:
	MOVQ	SI, R11 // into memory that the application can have: below CODE
	ADDQ	DX, R11
	JCS	ask
	SHRQ	$29, R11
	CMPQ	R11, $0x3ffff
	JCC	ask
	JMP	held
discard:
	LEAQ	-1(DX), R11 // of 1 to MAX_RW_COUNT bytes: all of them
	CMPQ	R11, $0x7ffff000
	JCC	ask
	MOVQ	DX, 0x420(CX)
	JMP	into
seek:
	CMPQ	SI, 0x408(CX)
	JNE	ask
held:
	MOVQ	DI, 0x110(GS)
	MOVQ	$CLOCK, DI
	MOVWLZX	0x41c(CX), R11
	ANDL	$127, R11
	MOVQ	0x400(DI)(R11*8), R11
	CMPQ	R11, 0x428(CX)
	JNE	stale
	MOVWLZX	0x41e(CX), R11
	ANDL	$127, R11
	MOVQ	0x400(DI)(R11*8), R11
	CMPQ	R11, 0x430(CX)
	JNE	stale
	MOVQ	0x110(GS), DI
	MOVQ	0x420(CX), AX
	JMP	·stubAnswer(SB)
stale:
	MOVQ	0x110(GS), DI
ask:
	TESTL	AX, AX
	JZ	read
	CMPL	AX, $SYS_lseek
	JEQ	where
	MOVL	$1, R11
	JMP	·stubSave(SB)
read:
	JMP	·stubRead(SB)
where:
	JMP	·stubStat(SB)

// stubShut closes a descriptor if it may: the bit that it clears tells the Sentry. Nothing is answered of it any more.
TEXT ·stubShut(SB),NOSPLIT|NOFRAME,$0
	CMPL	DI, $63
	JHI	ask
	MOVL	DI, R11
	BTRQ	R11, 0x168(GS)
	JCC	ask
	MOVQ	0x1b8(GS), CX
	INCQ	R11
	CMPQ	R11, 0x3c00(CX)
	JNE	echo
	MOVQ	$0, 0x3c00(CX)
echo:
	CMPQ	R11, 0x3d00(CX)
	JNE	slot
	MOVQ	$0, 0x3d00(CX)
slot:
	MOVL	DI, R11
	ANDL	$15, R11
	SHLL	$6, R11
	ADDQ	R11, CX
	CMPL	DI, 0x404(CX) // the upper half of the key
	JNE	done
	MOVQ	$-4096, 0x400(CX)
done:
	XORL	AX, AX
	JMP	·stubAnswer(SB)
ask:
	MOVL	$1, R11
	JMP	·stubSave(SB)

// stubNames finds path and argument of the calls that are looked up in the table of
// names: CX and R11.
TEXT ·stubNames(SB),NOSPLIT|NOFRAME,$0
	CMPL	AX, $262 // newfstatat
	JEQ	fourth
	CMPL	AX, $257 // openat
	JEQ	third
	CMPL	AX, $89 // readlink
	JEQ	second
	CMPL	AX, $21 // access
	JEQ	first
	CMPL	AX, $83 // mkdir
	JEQ	first
	CMPL	AX, $4 // stat
	JEQ	only
	CMPL	AX, $6 // lstat
	JEQ	only
	CMPL	AX, $2 // open
	JEQ	first
	CMPL	AX, $267 // readlinkat
	JEQ	fourth
	CMPL	AX, $269 // faccessat
	JEQ	third
	MOVL	$1, R11
	JMP	·stubSave(SB)
only:
	MOVQ	DI, CX
	XORL	R11, R11
	JMP	·stubLook(SB)
first:
	MOVQ	DI, CX
	MOVL	SI, R11
	JMP	·stubLook(SB)
second:
	MOVQ	DI, CX
	MOVL	DX, R11
	JMP	·stubLook(SB)
third:
	MOVQ	SI, CX
	MOVL	DX, R11
	JMP	·stubLook(SB)
fourth:
	MOVQ	SI, CX
	MOVL	R10, R11
	JMP	·stubLook(SB)

// stubLook looks a call up in the table of names, whose reading package names of
// the Sentry describes. It makes the call where the table does not know, and the
// Sentry makes it if the path faults.
TEXT ·stubLook(SB),NOSPLIT|NOFRAME,$0
	KEEP
	MOVL	AX, R10
	SHLQ	$32, R11
	ORQ	R11, R10 // the key
	MOVQ	$0x9e3779b97f4a7c15, R9 // mix
	MOVQ	R10, BX
	IMULQ	R9, BX // the hash
	MOVQ	0x1b8(GS), DI
	ADDQ	$0x300, DI
	MOVQ	$0x0101010101010101, SI
	MOVQ	$0x8080808080808080, R8
	CMPB	(CX), $0x2f // '/'
	JNE	ask
word:
	MOVL	CX, AX
	ANDL	$0xfff, AX
	CMPL	AX, $0xff8
	JHI	ask // may reach into a page that is not there
	MOVQ	(CX), DX
	MOVQ	DX, R11
	SUBQ	SI, R11
	MOVQ	DX, AX
	NOTQ	AX
	ANDQ	AX, R11
	ANDQ	R8, R11 // the lowest bit that is set belongs to the first zero byte
	JNZ	last
	MOVQ	DX, (DI)
	XORQ	DX, BX
	IMULQ	R9, BX
	ROLQ	$31, BX
	ADDQ	$8, CX
	ADDQ	$8, DI
	MOVQ	0x1b8(GS), AX
	ADDQ	$0x3d8, AX
	CMPQ	DI, AX
	JCS	word
	JMP	ask
last:
	BSFQ	R11, CX
	SUBL	$7, CX
	MOVL	$1, AX
	SHLQ	CX, AX
	DECQ	AX
	ANDQ	AX, DX
	MOVQ	DX, (DI)
	XORQ	DX, BX
	IMULQ	R9, BX
	ROLQ	$31, BX
	IMULQ	R9, BX
	SHRQ	$55, BX
	SHLQ	$9, BX
	ADDQ	0x160(GS), BX
	MOVL	$2, R9
entry:
	MOVL	(BX), R8
	TESTL	$1, R8
	JNZ	another
	CMPQ	R10, 16(BX)
	JNE	another
	MOVQ	0x1b8(GS), SI
	ADDQ	$0x300, SI
	LEAQ	40(BX), CX
same:
	MOVQ	(SI), AX
	CMPQ	AX, (CX)
	JNE	another
	ADDQ	$8, SI
	ADDQ	$8, CX
	CMPQ	SI, DI
	JLS	same
	MOVQ	$CLOCK, CX
	MOVL	0x800(CX), AX // the world's generation
	CMPL	AX, 4(BX)
	JNE	ask
	MOVL	8(BX), AX
	ANDL	$511, AX
	MOVL	0x800(CX)(AX*4), AX
	CMPL	AX, 12(BX)
	JNE	ask
	MOVQ	24(BX), R11
	CMPL	R8, (BX)
	JNE	ask
	RESTORE
	MOVQ	R11, AX
	JMP	·stubAnswer(SB)
another:
	ADDQ	$256, BX
	DECL	R9
	JNZ	entry
ask:
	MOVQ	0x108(GS), AX
	RESTORE
	MOVL	$1, R11
	JMP	·stubSave(SB)

// stubStat answers an fstat, or an fstatat of a descriptor itself, if the area has what it returns and the
// generations that it names in the clock page are what they were; also whether that is a terminal, and where its
// offset is. It makes the call if path or result fault, as stubLook.
TEXT ·stubStat(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0x1b8(GS), CX
	MOVL	DI, R11
	INCQ	R11
	CMPQ	R11, 0x3c00(CX)
	JNE	other
	KEEP
	CMPL	AX, $262
	JEQ	at
	CMPL	AX, $SYS_ioctl
	JEQ	terminal
	CMPL	AX, $SYS_lseek
	JEQ	offset
	MOVQ	SI, DX
	JMP	held
terminal:
	CMPL	SI, $0x5401 // TCGETS
	JNE	ask
	MOVQ	$-25, BX // ENOTTY
	JMP	known
offset:
	TESTQ	SI, SI
	JNZ	ask
	CMPL	DX, $1 // SEEK_CUR
	JNE	ask
	MOVQ	0x3c28(CX), BX
known:
	MOVQ	$CLOCK, R8
	HOLDS(0x3c08, 0x3c10)
	JNE	ask
	MOVQ	BX, CX
	RESTORE
	MOVQ	CX, AX
	JMP	·stubAnswer(SB)
at:
	CMPL	R10, $0x1000 // AT_EMPTY_PATH
	JNE	ask
	CMPB	(SI), $0
	JNE	ask
held:
	MOVQ	$CLOCK, R8
	HOLDS(0x3c08, 0x3c10)
	JNE	ask
	HOLDS(0x3c0c, 0x3c18)
	JNE	ask
	XORL	BX, BX
word:
	MOVQ	0x3c40(CX)(BX*1), R11
	MOVQ	R11, (DX)(BX*1)
	ADDQ	$8, BX
	CMPQ	BX, $144
	JCS	word
	MOVL	$1, 0x3c20(CX)
	RESTORE
	XORL	AX, AX
	JMP	·stubAnswer(SB)
ask:
	RESTORE
other:
	CMPQ	0x160(GS), $0
	JNE	names
	MOVL	$1, R11
	JMP	·stubSave(SB)
names:
	JMP	·stubNames(SB)

// stubRead hands out what a file has that was just opened, from where it has been read so far, if the window shows it and the
// generations that the area names are what they were. It makes the call if the buffer faults, as stubLook.
TEXT ·stubRead(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0x1b8(GS), CX
	MOVL	DI, R11
	INCQ	R11
	CMPQ	R11, 0x3d00(CX)
	JNE	other
	KEEP
	MOVQ	$CLOCK, R8
	HOLDS(0x3d10, 0x3d18)
	JNE	ask
	HOLDS(0x3d14, 0x3d20)
	JNE	ask
	MOVL	0x3d0c(CX), R9
	MOVL	0x3d08(CX), R10
	SUBQ	R9, R10
	JCS	ask
	CMPQ	DX, R10
	JCC	all
	MOVQ	DX, R10
all:
	MOVQ	SI, R11 // into memory that the application can have: below CODE
	ADDQ	R10, R11
	JCS	ask
	SHRQ	$29, R11
	CMPQ	R11, $0x3ffff
	JCC	ask
	// What was said of the descriptor's offset and of the access time is so no more.
	MOVL	DI, R11
	INCQ	R11
	CMPQ	R11, 0x3c00(CX)
	JNE	offset
	MOVQ	$0, 0x3c00(CX)
offset:
	MOVL	DI, R11
	ANDL	$15, R11
	SHLL	$6, R11
	ADDQ	CX, R11
	CMPL	DI, 0x404(R11)
	JNE	copy
	MOVQ	$-4096, 0x400(R11)
copy:
	MOVQ	SI, DI
	MOVQ	$WINDOW, SI
	ADDQ	R9, SI
	MOVQ	R10, CX
	CLD
	REP; MOVSB
	MOVQ	0x1b8(GS), CX
	ADDL	R10, 0x3d0c(CX)
	MOVQ	R10, CX
	RESTORE
	MOVQ	CX, AX
	JMP	·stubAnswer(SB)
ask:
	RESTORE
	XORL	AX, AX
other:
	MOVL	$1, R11
	JMP	·stubSave(SB)

// stubClock answers clock_gettime by the parameters in the clock page, whose
// reading package ktime of the Sentry describes. It makes the call where it
// cannot.
TEXT ·stubClock(SB),NOSPLIT|NOFRAME,$0
	MOVQ	DX, 0x120(GS)
	MOVQ	R8, 0x130(GS)
	MOVQ	R9, 0x138(GS)
	MOVQ	BX, 40(GS)
	MOVQ	$CLOCK, R8
	CMPL	DI, $12 // NumClocks
	JCC	call
	MOVL	(R8), R9 // OffSeq
	TESTL	$1, R9
	JNZ	call
	MOVL	4(R8), CX // OffClocks
	BTL	DI, CX
	JCC	call
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	8(R8), AX // OffBase
	CMPQ	AX, 16(R8) // OffLimit
	JHI	call
	IMULQ	24(R8), AX // OffMult
	SHRQ	$32, AX // Shift
	MOVL	DI, BX
	SHLL	$4, BX // StartSize
	MOVQ	32(R8)(BX*1), CX // OffStart
	ADDQ	40(R8)(BX*1), AX
	CMPL	R9, (R8)
	JNE	call
carry:
	CMPQ	AX, $1000000000
	JCS	store
	SUBQ	$1000000000, AX
	INCQ	CX
	JMP	carry
store:
	JMP	·stubStore(SB)
call:
	MOVQ	0x120(GS), DX
	MOVQ	0x130(GS), R8
	MOVQ	0x138(GS), R9
	MOVQ	40(GS), BX
	MOVL	$228, AX // clock_gettime
	MOVL	$1, R11
	JMP	·stubSave(SB)

// stubStore writes the time where the application wants it. If that faults, the
// Sentry makes the call.
TEXT ·stubStore(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CX, (SI)
	MOVQ	AX, 8(SI)
	JMP	·stubStored(SB)

TEXT ·stubStored(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0x120(GS), DX
	MOVQ	0x130(GS), R8
	MOVQ	0x138(GS), R9
	MOVQ	40(GS), BX
	XORL	AX, AX
	JMP	·stubAnswer(SB)

// stubAnswer returns to the application with the result in AX. A signal that
// finds us in it begins it again, so that an interrupt is always seen.
TEXT ·stubAnswer(SB),NOSPLIT|NOFRAME,$0
	CMPL	0x148(GS), $0
	JNE	interrupted
	MOVQ	144(GS), R11
	MOVQ	0x1a0(GS), SP
	POPFQ
	MOVQ	152(GS), SP
	MOVQ	128(GS), CX
	JMP	CX
interrupted:
	MOVL	$3, R11
	JMP	·stubSave(SB)

// stubSave stores the application's registers and gives the context to the
// Sentry. R11 is the kind, AX the number or the result. SP, flags and RIP are stored already.
TEXT ·stubSave(SB),NOSPLIT|NOFRAME,$0
	MOVL	R11, 0x104(GS)
	MOVQ	R15, 0(GS)
	MOVQ	R14, 8(GS)
	MOVQ	R13, 16(GS)
	MOVQ	R12, 24(GS)
	MOVQ	BP, 32(GS)
	MOVQ	BX, 40(GS)
	MOVQ	144(GS), R11
	MOVQ	R11, 48(GS)
	MOVQ	R10, 0x128(GS)
	MOVQ	R9, 0x138(GS)
	MOVQ	R8, 0x130(GS)
	MOVQ	AX, 0x108(GS)
	MOVQ	128(GS), CX
	MOVQ	CX, 56(GS)
	MOVQ	DX, 0x120(GS)
	MOVQ	SI, 0x118(GS)
	MOVQ	DI, 0x110(GS)
	JMP	·stubPost(SB)

// stubPost gives the context to the Sentry.
TEXT ·stubPost(SB),NOSPLIT|NOFRAME,$0
	MOVL	$2, AX // stateSentry
	XCHGL	AX, 0x100(GS)
	CMPL	AX, $1 // stateAppAlone
	JEQ	wake
	JMP	·stubWait(SB)
wake:
	MOVL	$3, 0x100(GS) // stateSentryAlone
	JMP	·stubSleep(SB)

// stubWait waits until the Sentry gives the context back: it looks for it for as
// many ticks as the Sentry says, and then sleeps. Where others wait for the core it
// lets them have it in between, and at once where offOthers says that one can go on.
TEXT ·stubWait(SB),NOSPLIT|NOFRAME,$0
	XORL	R8, R8 // since when it waits, in ticks: taken after the first round
	MOVL	0x1ec(GS), R9
round:
	MOVL	$8, CX
look:
	CMPL	0x100(GS), $2
	JCS	resume
	CMPL	R9, 0x15c(GS)
	JNE	yield
	PAUSE
	DECL	CX
	JNZ	look
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	TESTQ	R8, R8
	JNZ	since
	MOVQ	AX, R8
since:
	SUBQ	R8, AX
	MOVL	0x144(GS), CX
	CMPQ	AX, CX
	JCC	sleep
	CMPL	AX, 0x140(GS)
	JCS	round
yield:
	MOVL	$SYS_sched_yield, AX
	SYSCALL
	MOVL	0x15c(GS), R9
	MOVL	R9, 0x1ec(GS)
	JMP	round
sleep:
	MOVL	$2, AX
	MOVL	$3, CX
	LOCK
	CMPXCHGL	CX, 0x100(GS)
	JNE	resume
	JMP	·stubSleep(SB)
resume:
	JMP	·stubGo(SB)

// stubSleep sleeps until the Sentry gives the context back. The call is one
// that the filter turns into a notification: it wakes the Sentry if that waits
// for one, and returns when it answers.
TEXT ·stubSleep(SB),NOSPLIT|NOFRAME,$0
	MOVL	$SYS_getpid, AX
	SYSCALL
	JMP	·stubAwake(SB)

// stubAwake is behind the call of stubSleep.
TEXT ·stubAwake(SB),NOSPLIT|NOFRAME,$0
	CMPL	0x100(GS), $2
	JCC	again
	JMP	·stubGo(SB)
again:
	LEAQ	·stubSleep(SB), AX
	JMP	AX

// stubGo carries out what the Sentry wants done before the application goes on.
TEXT ·stubGo(SB),NOSPLIT|NOFRAME,$0
	MOVL	0x14c(GS), BX
	TESTL	BX, BX
	JNZ	commands
	JMP	·stubResume(SB)
commands:
	TESTL	$16, BX
	JZ	save
	MOVL	0x158(GS), BP
	MOVQ	0x1b8(GS), R12
	ADDQ	$0x200, R12
next:
	// Each of these calls is a notification: the Sentry compares it with what it
	// has asked for before it lets it happen.
	MOVQ	0(R12), AX
	MOVQ	8(R12), DI
	MOVQ	16(R12), SI
	MOVQ	24(R12), DX
	MOVQ	32(R12), R10
	MOVQ	40(R12), R8
	MOVQ	48(R12), R9
	SYSCALL
	CMPQ	AX, $-4 // EINTR
	JEQ	next
	CMPQ	AX, $-4096
	JLS	mapped
	MOVQ	AX, 0x1f0(GS)
mapped:
	ADDQ	$56, R12
	DECL	BP
	JNZ	next
save:
	TESTL	$1, BX
	JZ	load
	MOVQ	0x1b0(GS), DI
	MOVL	$-1, AX
	MOVL	$-1, DX
	XSAVE64	(DI)
	MOVL	$4, 0x104(GS)
	LEAQ	·stubPost(SB), AX
	JMP	AX
load:
	TESTL	$2, BX
	JZ	fs
	MOVQ	0x150(GS), DI
	MOVL	$-1, AX
	MOVL	$-1, DX
	XRSTOR64	(DI)
fs:
	TESTL	$4, BX
	JZ	full
	MOVQ	168(GS), AX
	WRFSBASEQ	AX
full:
	TESTL	$8, BX
	JNZ	byframe
	JMP	·stubResume(SB)
byframe:
	JMP	·stubResumeFull(SB)

// stubResume loads the registers of the area and goes on with the application.
// A signal that finds us in it begins it again.
TEXT ·stubResume(SB),NOSPLIT|NOFRAME,$0
	CMPL	0x148(GS), $0
	JEQ	load
	MOVL	$3, 0x104(GS)
	LEAQ	·stubPost(SB), AX
	JMP	AX
load:
	MOVQ	0(GS), R15
	MOVQ	8(GS), R14
	MOVQ	16(GS), R13
	MOVQ	24(GS), R12
	MOVQ	32(GS), BP
	MOVQ	40(GS), BX
	MOVQ	48(GS), R11
	MOVQ	0x128(GS), R10
	MOVQ	0x138(GS), R9
	MOVQ	0x130(GS), R8
	MOVQ	0x108(GS), AX
	MOVQ	56(GS), CX
	MOVQ	0x120(GS), DX
	MOVQ	0x118(GS), SI
	MOVQ	0x110(GS), DI
	MOVQ	0x1a0(GS), SP
	POPFQ
	MOVQ	152(GS), SP
	JMP	128(GS)

// stubResumeFull is stubResume for what it cannot do: flags with the trap flag
// take effect behind the first instruction, and GS may be the application's.
TEXT ·stubResumeFull(SB),NOSPLIT|NOFRAME,$0
	CMPL	0x148(GS), $0
	JEQ	load
	MOVL	$3, 0x104(GS)
	LEAQ	·stubPost(SB), AX
	JMP	AX
load:
	MOVQ	0x1a8(GS), SP
	MOVQ	48(SP), AX
	WRGSBASEQ	AX
	MOVQ	-128(SP), R15
	MOVQ	-120(SP), R14
	MOVQ	-112(SP), R13
	MOVQ	-104(SP), R12
	MOVQ	-96(SP), BP
	MOVQ	-88(SP), BX
	MOVQ	-80(SP), R11
	MOVQ	168(SP), R10
	MOVQ	184(SP), R9
	MOVQ	176(SP), R8
	MOVQ	136(SP), AX
	MOVQ	-72(SP), CX
	MOVQ	160(SP), DX
	MOVQ	152(SP), SI
	MOVQ	144(SP), DI
	IRETQ

// stubResumeEnd marks the end of what is begun again.
TEXT ·stubResumeEnd(SB),NOSPLIT|NOFRAME,$0
	INT	$3

// stubSignal is the handler of all signals: DI number, SI siginfo, DX ucontext.
// It runs on the signal stack in the thread's area, and finds the area by that.
TEXT ·stubSignal(SB),NOSPLIT|NOFRAME,$0
	MOVQ	SP, CX
	ANDQ	$~0x7fff, CX
	RDGSBASEQ	R8
	WRGSBASEQ	CX
	MOVQ	168(DX), AX // RIP
	MOVQ	$CODE, BX
	MOVQ	AX, CX
	SUBQ	BX, CX
	CMPQ	CX, $CODESIZE
	JCS	instub
	MOVQ	R8, 0x1c0(GS)
	MOVL	DI, 0x1e0(GS)
	MOVQ	DX, 0x1d0(GS)
	MOVQ	SI, 0x1d8(GS)
	MOVL	$2, 0x104(GS)
	JMP	·stubPost(SB)
instub:
	CMPL	DI, $23 // SIGURG
	JNE	broken
	MOVQ	DX, 0x1c8(GS)
	LEAQ	·stubAnswer(SB), BX
	CMPQ	AX, BX
	JCS	return
	LEAQ	·stubSave(SB), CX
	CMPQ	AX, CX
	JCS	again
	LEAQ	·stubResume(SB), BX
	CMPQ	AX, BX
	JCS	return
	LEAQ	·stubResumeFull(SB), CX
	CMPQ	AX, CX
	JCS	again
	MOVQ	CX, BX
	LEAQ	·stubResumeEnd(SB), CX
	CMPQ	AX, CX
	JCC	return
again:
	MOVQ	BX, 168(DX)
return:
	RET
broken:
	MOVL	DI, 0x1e0(GS)
	MOVQ	DX, 0x1d0(GS)
	MOVQ	SI, 0x1d8(GS)
	MOVL	$5, 0x104(GS)
	JMP	·stubPost(SB)

// stubReturn is where the handler returns to.
TEXT ·stubReturn(SB),NOSPLIT|NOFRAME,$0
	MOVL	$SYS_rt_sigreturn, AX
	SYSCALL
	INT	$3

// End of the copied code.
TEXT ·stubEnd(SB),NOSPLIT|NOFRAME,$0
	INT	$3

// func stubSymbols() (s symbols)
TEXT ·stubSymbols(SB),NOSPLIT,$0-104
	LEAQ	·stubCall(SB), AX
	MOVQ	AX, s_begin+0(FP)
	LEAQ	·stubEnd(SB), AX
	MOVQ	AX, s_end+8(FP)
	LEAQ	·stubMapper(SB), AX
	MOVQ	AX, s_mapper+16(FP)
	LEAQ	·stubEnter(SB), AX
	MOVQ	AX, s_enter+24(FP)
	LEAQ	·stubSignal(SB), AX
	MOVQ	AX, s_signal+32(FP)
	LEAQ	·stubReturn(SB), AX
	MOVQ	AX, s_sigreturn+40(FP)
	LEAQ	·stubResume(SB), AX
	MOVQ	AX, s_resume+48(FP)
	LEAQ	·stubResumeEnd(SB), AX
	MOVQ	AX, s_resumeEnd+56(FP)
	LEAQ	·stubStore(SB), AX
	MOVQ	AX, s_store+64(FP)
	LEAQ	·stubStored(SB), AX
	MOVQ	AX, s_stored+72(FP)
	LEAQ	·stubLook(SB), AX
	MOVQ	AX, s_names+80(FP)
	LEAQ	·stubClock(SB), AX
	MOVQ	AX, s_named+88(FP)
	LEAQ	·stubSleep(SB), AX
	MOVQ	AX, s_asleep+96(FP)
	RET

// func tsc() uint64
TEXT ·tsc(SB),NOSPLIT,$0-8
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET

// func core() uint32
//
// Linux keeps the number of the processor in the low 12 bits of TSC_AUX.
TEXT ·core(SB),NOSPLIT,$0-4
	RDTSCP
	ANDL	$0xfff, CX
	MOVL	CX, ret+0(FP)
	RET

// func spin(state *uint32, n uint32) bool
//
// Looks n times whether the Sentry has the context.
TEXT ·spin(SB),NOSPLIT,$0-17
	MOVQ	state+0(FP), AX
	MOVL	n+8(FP), CX
look:
	CMPL	(AX), $2
	JCC	found
	PAUSE
	DECL	CX
	JNZ	look
	MOVB	$0, ret+16(FP)
	RET
found:
	MOVB	$1, ret+16(FP)
	RET
