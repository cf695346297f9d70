#include "textflag.h"

// The signal handler of SIGSYS, called by the kernel in the C convention: DI signal, SI siginfo, DX context. It runs on
// the signal stack, where no Go code may run before the runtime's own handler has set things up.
TEXT ·sigsys(SB), NOSPLIT|NOFRAME, $0
	MOVL	24(SI), AX		// siginfo.si_syscall, sigaction(2)
	CMPL	AX, $231		// exit_group: the Go runtime has given up
	JNE	report
	MOVL	$128, DI		// CrashStatus
	SYSCALL
report:
	CMPL	AX, $511
	JLS	known
	MOVL	$511, AX
known:
	MOVQ	DI, R12
	MOVQ	SI, R13
	MOVQ	DX, R14
	SHLQ	$6, AX			// messageSize
	LEAQ	·messages(SB), SI
	ADDQ	AX, SI
	MOVBLZX	63(SI), DX
	MOVL	$2, DI			// standard error
	MOVL	$1, AX			// write
	SYSCALL
	MOVQ	R12, DI
	MOVQ	R13, SI
	MOVQ	R14, DX
	MOVQ	·goHandler(SB), AX
	JMP	AX

// func sigsysAddr() uintptr
TEXT ·sigsysAddr(SB), NOSPLIT, $0-8
	LEAQ	·sigsys(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
