package kernel

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bpf"

	"ringfort/sentry/arch"
)

// FuzzSeccomp has programs of any content installed and run: they end, with the same verdict each time.
func FuzzSeccomp(f *testing.F) {
	program := func(insns ...unix.SockFilter) (b []byte) {
		for _, i := range insns {
			b = binary.LittleEndian.AppendUint16(b, i.Code)
			b = append(b, i.Jt, i.Jf)
			b = binary.LittleEndian.AppendUint32(b, i.K)
		}
		return b
	}
	const ld, jeq, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	f.Add(program(unix.SockFilter{Code: ret, K: actAllow}), uint64(0), uint64(0))
	f.Add(program(unix.SockFilter{Code: ld, K: 0}, unix.SockFilter{Code: jeq, K: 39, Jf: 1},
		unix.SockFilter{Code: ret, K: actErrno | 1}, unix.SockFilter{Code: ret, K: actAllow}), uint64(39), uint64(7))
	f.Add(program(unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN}, unix.SockFilter{Code: unix.BPF_ST, K: 15},
		unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_MEM, K: 15}, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_DIV | unix.BPF_X},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A}), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, nr, arg uint64) {
		var insns []bpf.Instruction
		for ; len(data) >= 8 && len(insns) <= seccompMaxInsns; data = data[8:] {
			insns = append(insns, bpf.Instruction{
				OpCode: binary.LittleEndian.Uint16(data), JumpIfTrue: data[2], JumpIfFalse: data[3], K: binary.LittleEndian.Uint32(data[4:]),
			})
		}
		if !loadsAllowed(insns) {
			return
		}
		p, err := bpf.Compile(insns, true)
		if err != nil {
			return
		}
		s := &seccompState{filters: []*SeccompFilter{{Program: p}}}
		args := &arch.SyscallArguments{arch.Argument(arg), arch.Argument(arg >> 8), arch.Argument(arg << 8)}
		first := s.run(uintptr(nr), arg, args)
		if again := s.run(uintptr(nr), arg, args); again != first {
			t.Errorf("verdicts %#x and %#x", first, again)
		}
	})
}
