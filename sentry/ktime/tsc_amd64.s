#include "textflag.h"

// func Cycles() uint64
TEXT ·Cycles(SB),NOSPLIT,$0-8
	LFENCE // RDTSC waits for nothing by itself
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET

// func unordered() uint64
TEXT ·unordered(SB),NOSPLIT,$0-8
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET
