package systrap

import (
	"bytes"
	"encoding/hex"
	"testing"

	"ringfort/platform"
	"ringfort/sentry/arch"
)

// What is before a SYSCALL is taken for what it looks like only if the registers agree.
func TestPlan(t *testing.T) {
	const at = 0x400000 // of the first byte
	for _, c := range []struct {
		what, code string
		regs       arch.Registers
		kind       siteKind
		ok         bool
	}{
		{"mov $110, %eax", "90 90 90 b86e000000 0f05", arch.Registers{Rax: 110}, movSyscall, true},
		{"the same with another number", "90 90 90 b86e000000 0f05", arch.Registers{Rax: 111}, 0, false},
		{"mov $110, %r8d", "90 90 41 b86e000000 0f05", arch.Registers{Rax: 39, R8: 110}, 0, false},
		{"mov $110, %r8d with the number of the call", "90 90 41 b86e000000 0f05", arch.Registers{Rax: 110, R8: 110}, 0, false},
		{"…41; mov $110, %eax", "90 90 41 b86e000000 0f05", arch.Registers{Rax: 110, R8: 7}, movSyscall, true},
		{"gs mov $110, %eax", "90 90 65 b86e000000 0f05", arch.Registers{Rax: 110}, 0, false},
		{"lea 0x10(%rip), %rsi", "90 488d3510000000 0f05", arch.Registers{Rsi: at + 8 + 0x10}, leaSyscall, true},
		{"the same with another result", "90 488d3510000000 0f05", arch.Registers{Rsi: at}, 0, false},
		{"lea -0x10(%rbx), %r10", "90 4c8d93f0ffffff 0f05", arch.Registers{R10: 0x1ff0, Rbx: 0x2000}, leaSyscall, true},
		{"lea 8(%rsi), %rsi", "90 488db608000000 0f05", arch.Registers{Rsi: 8}, 0, false},
		{"lea 8(%rcx), %rsi", "90 488db108000000 0f05", arch.Registers{Rsi: 8}, 0, false},
		{"lea 8(%r12), %rsi", "49 8db42408000000 0f05", arch.Registers{Rsi: 8}, 0, false},
		{"addr32 lea 0x10(%rip), %rsi", "67 488d3510000000 0f05", arch.Registers{Rsi: at + 8 + 0x10}, 0, false},
		{"xor %edi, %edi", "90 90 90 90 90 90 31ff 0f05", arch.Registers{}, 0, false},
	} {
		code, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.code), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		s, ok := plan(&platform.CallSite{Addr: at, Code: code, End: at + uintptr(len(code)), Regs: &c.regs})
		if ok != c.ok || ok && s.kind != c.kind {
			t.Errorf("%s: %v, %+v", c.what, ok, s)
		}
		if ok && (s.syscall() != at+uintptr(len(code))-2 || !bytes.Equal(s.before[:s.len()], code[s.addr-at:][:s.len()])) {
			t.Errorf("%s: the site is %+v", c.what, s)
		}
	}
}
