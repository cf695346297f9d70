package shim

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// pauseCode is the first process of a pod that has no image for it: it leaves the children that it inherits in a shared
// PID namespace to the kernel (SIGCHLD ignored, wait(2)), and waits for ever. A signal without a handler does not end
// process 1 of a PID namespace but for SIGKILL from outside (pid_namespaces(7)).
var pauseCode = []byte{
	0xb8, 13, 0, 0, 0, // mov $SYS_rt_sigaction, %eax
	0xbf, 17, 0, 0, 0, // mov $SIGCHLD, %edi
	0x48, 0x8d, 0x35, 23, 0, 0, 0, // lea action(%rip), %rsi
	0x31, 0xd2, // xor %edx, %edx
	0x41, 0xba, 8, 0, 0, 0, // mov $8, %r10d
	0x0f, 0x05, // syscall
	0xb8, 34, 0, 0, 0, // again: mov $SYS_pause, %eax
	0x0f, 0x05, // syscall
	0xeb, 0xf7, // jmp again
	0xcc, 0xcc, 0xcc, 0xcc, // to align
	1, 0, 0, 0, 0, 0, 0, 0, // action: sa_handler = SIG_IGN
	2, 0, 0, 0, 0, 0, 0, 0, // sa_flags = SA_NOCLDWAIT
	0, 0, 0, 0, 0, 0, 0, 0, // sa_restorer
	0, 0, 0, 0, 0, 0, 0, 0, // sa_mask
}

// pauseProgram returns pauseCode as a static executable (elf(5)).
func pauseProgram() []byte {
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(pauseCode))
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	p := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 4096,
	}
	var b bytes.Buffer
	for _, part := range []any{h, p, pauseCode} {
		binary.Write(&b, binary.LittleEndian, part) // to memory, of what has a size: it cannot fail
	}
	return b.Bytes()
}
