// A stub process serves one address space after another. What an application leaves
// behind in the host process it ran in must not reach the next one.
#include "../../conformance/testdata/case.h"
#include <immintrin.h>
#include <ucontext.h>

#define STUB 0x7fffe0000000ul
#define CODE_SIZE 0x2000ul
#define TITLE (STUB + 0x19000)
#define FAKE 0x20000000000ul

// code returns where the stub has the bytes of a call: mov $nr, %eax; syscall.
static uint64_t code(int nr) {
	unsigned char want[7] = {0xb8, nr, 0, 0, 0, 0x0f, 0x05};
	for (uint64_t a = STUB; a < STUB + CODE_SIZE - sizeof want; a++)
		if (!memcmp((void *)a, want, sizeof want)) return a;
	fail(__FILE__, __LINE__, "the stub has no such call");
	return 0;
}

// heat makes the call site of syscall(2) one that does not trap.
static void heat(void) {
	for (int i = 0; i < 100; i++) syscall(SYS_getppid);
}

// next makes n processes, one after another, which run f.
static void next(int n, void (*f)(void)) {
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			f();
			_exit(0);
		}
		CHECK(wait_code(pid) == 0);
	}
}

static volatile uint64_t mask = 0x5a5a5a5a5a5a5a5a, secret = 0x0123456789abcdef;

static void each(void (*f)(volatile uint64_t *)) {
	uint64_t area = _readgsbase_u64();
	for (uint64_t a = TITLE + 0x800; a < TITLE + 0xff0; a += 8) f((void *)a);
	if (area < STUB) return; // no call site is patched yet
	for (uint64_t a = area + 0x3800; a < area + 0x4800; a += 8) f((void *)a);
}
static void hide(volatile uint64_t *w) { *w = secret ^ mask; }
static void seek(volatile uint64_t *w) {
	if ((*w ^ mask) == secret) {
		dprintf(1, "BREACH: %p has what another process left\n", w);
		_exit(7);
	}
}
static void seek_and_hide(void) {
	heat();
	each(seek);
	each(hide);
}
CASE(secrets_left_in_the_stub) { next(60, seek_and_hide); }

static void ended(int sig) { _exit(42); }

// stoppable checks that a process that computes can be interrupted.
static void stoppable(int n) {
	volatile int *ready = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < n; i++) {
		*ready = 0;
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			signal(SIGTERM, ended);
			*ready = 1;
			for (;;);
		}
		while (!*ready) msleep(1);
		CHECK(!kill(pid, SIGTERM));
		CHECK(wait_code(pid) == 42);
	}
}

// deaf has the host block all signals of its thread, by a signal frame of its own
// that it hands to the stub's rt_sigreturn, and moves the signal stack.
static void deaf(void) {
	heat();
	static struct {
		uint64_t restorer;
		ucontext_t uc;
	} frame;
	uint64_t sigreturn = code(SYS_rt_sigreturn);
	memset(&frame, 0, sizeof frame);
	frame.uc.uc_stack.ss_sp = (void *)FAKE;
	frame.uc.uc_stack.ss_size = 1 << 16;
	memset(&frame.uc.uc_sigmask, 0xff, 8);
	greg_t *g = frame.uc.uc_mcontext.gregs;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = 0x2b000000000033; // the segments of 64-bit code
	void *uc = &frame.uc;
	__asm__ volatile(
		"lea 1f(%%rip), %%rbx\n"
		"mov %%rbx, 16*8(%0)\n" // REG_RIP
		"mov %%rsp, 15*8(%0)\n" // REG_RSP
		"mov %%rbp, 10*8(%0)\n" // REG_RBP
		"mov %1, %%rsp\n"
		"jmp *%2\n"
		"1:\n"
		: "+a"(g), "+d"(uc), "+c"(sigreturn)
		:
		: "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
	syscall(SYS_exit_group, 0);
}
CASE(signals_blocked_behind_the_stubs_back) {
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) deaf();
		int st;
		CHECK(waitpid(pid, &st, 0) == pid); // it may end as it likes
		if (st) dprintf(1, "note status %#x\n", st);
		stoppable(3 + i % 4);
	}
}

static char taunt[] = "BREACH: a predecessor's register is in use\n";
static void breach(void) {
	syscall(SYS_write, 1, taunt, sizeof taunt - 1);
	_exit(9);
}

// Words of an area, from the layout of the platform.
enum { state = 0x100, command = 0x14c, kind = 0x104, rip = 128, number = 0x108, rdi = 0x110, rsp = 152, flags = 144, flags_at = 0x1a0 };

// astray ends its process with a call that it only writes to its area, and sleeps
// with a GS base that leads the next process to breach.
static void astray(void) {
	heat();
	uint64_t area = _readgsbase_u64(), sleep = code(SYS_getpid);
	if (area < STUB) _exit(3);
	*(volatile uint64_t *)(area + number) = SYS_exit_group;
	*(volatile uint64_t *)(area + rdi) = 0;
	*(volatile uint32_t *)(area + kind) = 1;
	_writegsbase_u64(FAKE);
	__asm__ volatile("movl $3, %c1(%0)\njmp *%2" ::"r"(area), "i"(state), "r"(sleep) : "memory");
}
CASE(registers_left_in_a_thread) {
	char *fake = mmap((void *)FAKE, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(fake == (char *)FAKE);
	*(uint32_t *)(fake + state) = 0;
	*(uint32_t *)(fake + command) = 0;
	*(uint64_t *)(fake + rip) = (uint64_t)breach;
	*(uint64_t *)(fake + rsp) = FAKE + 0xff08;
	*(uint64_t *)(fake + flags) = 0x202;
	*(uint64_t *)(fake + flags_at) = FAKE + flags;
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) astray();
		int st;
		CHECK(waitpid(pid, &st, 0) == pid);
		if (st) dprintf(1, "note status %#x\n", st);
		stoppable(3 + i % 4);
		next(3, heat);
	}
}
