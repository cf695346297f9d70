package ptrace

// The stub pages lie at the very top of the user half, out of the reach of
// applications (UserAddresses ends below).
const (
	userMin   = 0x10000
	stubBase  = 0x7fffffff0000 // everything from here on is the stub's
	stubCode  = stubBase
	stubBatch = stubBase + 0x1000
	batchLen  = 0x4000
)

// Offsets of the routines in the code page.
const (
	codeBatch = 0x00 // r12: first request, r13: count. Stops by int3, r14: first error.
	codeCall  = 0x80 // one system call from the registers, then int3.
	codeClone = 0xa0 // clone from the registers; the parent stops, the child parks.
	codeExit  = 0xc0 // exit(0) of the calling thread.
)

// requestWords is the length of one request of the batch: number and arguments.
const requestWords = 7

// batchMax is how many requests fit the batch pages.
const batchMax = batchLen / (requestWords * 8)

// stubText returns the stub's code page. It is assembled by hand because it
// must be position independent and free of the Go runtime.
func stubText() []byte {
	page := make([]byte, 0x1000)
	for i := range page {
		page[i] = 0xcc // int3
	}
	copy(page[codeBatch:], []byte{
		0x49, 0x8b, 0x04, 0x24, // 00 mov rax, [r12]
		0x49, 0x8b, 0x7c, 0x24, 0x08, // 04 mov rdi, [r12+8]
		0x49, 0x8b, 0x74, 0x24, 0x10, // 09 mov rsi, [r12+16]
		0x49, 0x8b, 0x54, 0x24, 0x18, // 0e mov rdx, [r12+24]
		0x4d, 0x8b, 0x54, 0x24, 0x20, // 13 mov r10, [r12+32]
		0x4d, 0x8b, 0x44, 0x24, 0x28, // 18 mov r8, [r12+40]
		0x4d, 0x8b, 0x4c, 0x24, 0x30, // 1d mov r9, [r12+48]
		0x0f, 0x05, // 22 syscall
		0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, // 24 cmp rax, -4095
		0x72, 0x08, // 2a jb +8 (34)
		0x4d, 0x85, 0xf6, // 2c test r14, r14
		0x75, 0x03, // 2f jnz +3 (34)
		0x49, 0x89, 0xc6, // 31 mov r14, rax
		0x49, 0x83, 0xc4, 0x38, // 34 add r12, 56
		0x49, 0xff, 0xcd, // 38 dec r13
		0x75, 0xc3, // 3b jnz -61 (00)
		0xcc, // 3d int3
	})
	copy(page[codeCall:], []byte{0x0f, 0x05, 0xcc})
	copy(page[codeClone:], []byte{
		0x0f, 0x05, // a0 syscall
		0x48, 0x85, 0xc0, // a2 test rax, rax
		0x74, 0x01, // a5 jz +1 (a8)
		0xcc,                         // a7 int3
		0xb8, 0x22, 0x00, 0x00, 0x00, // a8 mov eax, 34 (pause)
		0x0f, 0x05, // ad syscall
		0xeb, 0xf7, // af jmp -9 (a8)
	})
	copy(page[codeExit:], []byte{
		0x31, 0xff, // xor edi, edi
		0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60
		0x0f, 0x05, // syscall
		0xcc,
	})
	return page
}
