package systrap

import (
	"unsafe"

	"ringfort/sentry/arch"
)

// callWords are the registers a system call needs, beside the state word in the area:
// RAX is its number, and then its result.
type callWords struct{ rax, rdi, rsi, rdx, r10, r8, r9 uint64 }

// restWords are the others, at the beginning of the area. The last come in the order in
// which IRETQ takes them (Intel SDM vol. 2).
type restWords struct {
	r15, r14, r13, r12, rbp, rbx, r11, rcx uint64

	_ [8]uint64

	rip, cs, eflags, rsp, ss uint64
	fsBase, gsBase           uint64
}

// stored is what is known to stand in the area. What stands there already is not written
// again: lines of memory that one side only reads do not travel between cores.
type stored struct {
	call callWords
	rest restWords
	both bool // else only call is known
}

// store writes the registers to the area.
func (c *context) store(t *thread, r *arch.Registers) {
	call, rest := callOf(r), restOf(r)
	rest.rip = c.space.enterAt(r.Rip)
	rest.cs, rest.ss = arch.UserCS, arch.UserSS
	if rest.gsBase == 0 {
		rest.gsBase = uint64(t.addr) // patched call sites find the area by it
	}
	old := &c.stored
	update(words(t.call()), words(&call), words(&old.call), !old.both)
	update(words(t.rest()), words(&rest), words(&old.rest), !old.both)
	c.stored = stored{call, rest, true}
}

// words returns a struct of 64-bit words as these.
func words[T any](p *T) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(p)), unsafe.Sizeof(*p)/8)
}

// update makes to, which holds old if that is known, equal to from.
func update(to, from, old []uint64, unknown bool) {
	for i, v := range from {
		if v != old[i] || unknown {
			to[i] = v
		}
	}
}

// storeResult is store for registers of which the kernel knows the call's only.
func (c *context) storeResult(t *thread, r *arch.Registers) {
	if r.Rax != c.stored.call.rax {
		t.call().rax = r.Rax
		c.stored.call.rax = r.Rax
	}
}

// loadCall reads the registers of a call from the area.
func (c *context) loadCall(t *thread, r *arch.Registers) {
	c.stored.call, c.stored.both = *t.call(), false
	w := &c.stored.call
	r.Rax, r.OrigRax = w.rax, w.rax
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = w.rdi, w.rsi, w.rdx, w.r10, w.r8, w.r9
	c.left = true
}

// Load implements platform.Loader.
func (c *context) Load(r *arch.Registers) {
	if !c.left || c.thread == nil {
		return
	}
	c.left = false
	c.stored.rest, c.stored.both = *c.thread.rest(), true
	w := &c.stored.rest
	r.R15, r.R14, r.R13, r.R12, r.Rbp, r.Rbx, r.R11, r.Rcx = w.r15, w.r14, w.r13, w.r12, w.rbp, w.rbx, w.r11, w.rcx
	r.Eflags, r.Rsp = w.eflags, w.rsp
	r.Rip = c.space.leftAt(w.rip)
	if r.Rcx == w.rip {
		r.Rcx = r.Rip // which SYSCALL leaves there
	}
	fixed(r)
}

// loadAll reads all registers of a thread that was interrupted in the stub's code.
func (c *context) loadAll(t *thread, r *arch.Registers) {
	c.loadCall(t, r)
	c.Load(r)
	r.OrigRax = ^uint64(0)
}

// fixed gives r the segments every application has.
func fixed(r *arch.Registers) {
	r.Cs, r.Ss = arch.UserCS, arch.UserSS
	r.Ds, r.Es, r.Fs, r.Gs = 0, 0, 0, 0
}

func callOf(r *arch.Registers) callWords {
	return callWords{r.Rax, r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}
}

func restOf(r *arch.Registers) restWords {
	return restWords{
		r15: r.R15, r14: r.R14, r13: r.R13, r12: r.R12, rbp: r.Rbp, rbx: r.Rbx, r11: r.R11, rcx: r.Rcx,
		rip: r.Rip, eflags: r.Eflags, rsp: r.Rsp, fsBase: r.FsBase, gsBase: r.GsBase,
	}
}
