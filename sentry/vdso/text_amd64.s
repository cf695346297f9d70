#include "textflag.h"
#include "go_asm.h"

// The code of the vDSO, in the C calling convention of x86-64. It is copied into
// the page behind that of ktime.Params and never runs where it stands here.
// Every function is a leaf without a frame, which is what unwind.go tells
// debuggers. The functions start at multiples of 16 bytes, where image.go expects
// them, with a jump to their body.
TEXT text<>(SB),NOSPLIT|NOFRAME,$0-0
	JMP	gettime
	PCALIGN	$16
	JMP	gettimeofday
	PCALIGN	$16
	JMP	time
	PCALIGN	$16
	JMP	getres
	PCALIGN	$16
	JMP	getcpu
	PCALIGN	$16

// int clock_gettime(clockid_t DI, struct timespec *SI)
gettime:
	MOVQ	SI, R10
	XORL	R11, R11

// now reads clock DI by the algorithm of ktime.Params. R10 is where the result
// goes; R11 says to which function it belongs: 0, 1 and 2 for clock_gettime,
// gettimeofday and time.
now:
	MOVL	DI, R9
	CMPL	R9, $const_numClocks
	JAE	slow
	BYTE	$0x4c; BYTE $0x8d; BYTE $0x05; LONG $0 // LEAQ 0(PC), R8
	ANDQ	$~4095, R8             // this page
	SUBQ	$4096, R8              // the one before it
	MOVL	const_offSeq(R8), SI
	TESTL	$1, SI
	JNZ	slow
	MOVL	const_offClocks(R8), CX
	BTL	R9, CX
	JCC	slow
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	const_offBase(R8), AX
	CMPQ	AX, const_offLimit(R8)
	JHI	slow
	IMULQ	const_offMult(R8), AX
	SHRQ	$const_shift, AX
	SHLL	$4, R9                 // StartSize
	MOVQ	const_offSec(R8)(R9*1), CX
	ADDQ	const_offNsec(R8)(R9*1), AX
	CMPL	SI, const_offSeq(R8)
	JNE	slow
carry:
	CMPQ	AX, $1000000000
	JB	done
	SUBQ	$1000000000, AX
	INCQ	CX
	JMP	carry
done:
	TESTL	R11, R11
	JNZ	notspec
	MOVQ	CX, (R10)
	MOVQ	AX, 8(R10)
	XORL	AX, AX
	RET
notspec:
	CMPL	R11, $1
	JNE	seconds
	MOVL	$274877907, DX         // n*274877907>>38 is n/1000 for n < 1e9
	IMULQ	DX, AX
	SHRQ	$38, AX
	MOVQ	CX, (R10)
	MOVQ	AX, 8(R10)
	XORL	AX, AX
	RET
seconds:
	MOVQ	CX, AX
	TESTQ	R10, R10
	JZ	return
	MOVQ	AX, (R10)
return:
	RET

// slow makes the system call of the function R11 names.
slow:
	MOVQ	R10, SI
	MOVL	$228, AX               // clock_gettime
	TESTL	R11, R11
	JZ	call
	MOVQ	R10, DI
	XORL	SI, SI
	MOVL	$96, AX                // gettimeofday
	CMPL	R11, $1
	JE	call
	MOVL	$201, AX               // time
call:
	SYSCALL
	RET

// int gettimeofday(struct timeval *DI, struct timezone *SI)
gettimeofday:
	TESTQ	SI, SI                 // nobody wants a time zone
	JNZ	dayslow
	TESTQ	DI, DI
	JZ	dayslow
	MOVQ	DI, R10
	XORL	DI, DI                 // CLOCK_REALTIME
	MOVL	$1, R11
	JMP	now
dayslow:
	MOVL	$96, AX
	SYSCALL
	RET

// time_t time(time_t *DI)
time:
	MOVQ	DI, R10
	XORL	DI, DI                 // CLOCK_REALTIME
	MOVL	$2, R11
	JMP	now

// int clock_getres(clockid_t DI, struct timespec *SI)
getres:
	CMPL	DI, $const_numClocks
	JAE	resslow
	MOVL	$1, AX
	MOVL	$const_fineClocks, CX
	BTL	DI, CX
	JCS	resolution
	MOVL	$const_tick, AX
	MOVL	$const_coarseClocks, CX
	BTL	DI, CX
	JCC	resslow
resolution:
	TESTQ	SI, SI
	JZ	resdone
	MOVQ	$0, (SI)
	MOVQ	AX, 8(SI)
resdone:
	XORL	AX, AX
	RET
resslow:
	MOVL	$229, AX
	SYSCALL
	RET

// int getcpu(unsigned *DI, unsigned *SI, void *DX): which processor a thread is
// said to run on is for the Sentry to say, not for the host's.
getcpu:
	MOVL	$309, AX
	SYSCALL
	RET

TEXT end<>(SB),NOSPLIT|NOFRAME,$0-0
	RET

// func textRange() (start, end uintptr)
TEXT ·textRange(SB),NOSPLIT,$0-16
	LEAQ	text<>(SB), AX
	MOVQ	AX, start+0(FP)
	LEAQ	end<>(SB), AX
	MOVQ	AX, end+8(FP)
	RET
