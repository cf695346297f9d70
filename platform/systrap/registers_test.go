package systrap

import (
	"testing"
	"unsafe"

	"ringfort/sentry/arch"
)

// A system call leaves all but its own registers in the area, until they are asked for.
func TestRegistersStayInArea(t *testing.T) {
	mem := make([]uint64, areaSize/8)
	th := &thread{area: area{mem: unsafe.Pointer(&mem[0]), addr: areaAddr}}
	c := &context{thread: th, space: &space{}}
	before := arch.Registers{
		R15: 1, R14: 2, R13: 3, R12: 4, Rbp: 5, Rbx: 6, R11: 7, R10: 8, R9: 9, R8: 10,
		Rax: 11, Rcx: 12, Rdx: 13, Rsi: 14, Rdi: 15, Rip: 16, Eflags: 0x202, Rsp: 18,
	}
	c.store(th, &before)
	*th.call() = callWords{rax: 39, rdi: 21, rsi: 22, rdx: 23, r10: 24, r8: 25, r9: 26} // as the stub does
	th.rest().rbx, th.rest().rip, th.rest().rcx = 31, 32, 32

	r := before
	c.loadCall(th, &r)
	want := before
	want.Rax, want.OrigRax = 39, 39
	want.Rdi, want.Rsi, want.Rdx, want.R10, want.R8, want.R9 = 21, 22, 23, 24, 25, 26
	if r != want {
		t.Errorf("after the call: %+v, want %+v", r, want)
	}

	r.Rax = 1000 // the kernel's result
	c.storeResult(th, &r)
	if got := *th.call(); got != (callWords{1000, 21, 22, 23, 24, 25, 26}) || th.rest().rbx != 31 {
		t.Errorf("area after the result: %+v, %+v", got, *th.rest())
	}

	th.call().rdi = 99 // a thread of the application that meddles after the arguments were read
	c.Load(&r)
	want.Rax, want.Rbx, want.Rip, want.Rcx = 1000, 31, 32, 32
	want.Cs, want.Ss = arch.UserCS, arch.UserSS
	if r != want {
		t.Errorf("all: %+v, want %+v", r, want)
	}
	th.rest().rbx = 98
	if c.Load(&r); r != want {
		t.Errorf("loaded twice: %+v", r)
	}
}

// Words of the area that are known to hold what is stored are not written.
func TestUpdateLeavesKnownWords(t *testing.T) {
	to, from, old := []uint64{7, 8, 9}, []uint64{1, 2, 3}, []uint64{1, 0, 3}
	if update(to, from, old, false); to[0] != 7 || to[1] != 2 || to[2] != 9 {
		t.Errorf("known: %v", to)
	}
	if update(to, from, old, true); to[0] != 1 || to[1] != 2 || to[2] != 3 {
		t.Errorf("unknown: %v", to)
	}
}
