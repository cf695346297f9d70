// Code that makes system calls in all manners: generated, rewritten, moved and
// copied while it runs, entered in the middle, and interrupted anywhere. A
// platform that patches hot call sites must never be noticed.
#include "case.h"
#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include <ucontext.h>

#define HOT 200 // calls that make any site hot

// mov_site is `mov $nr, %eax; syscall; ret`: nr is getppid's.
extern char mov_site[], mov_inside[], mov_end[], cmp_site[], cmp_inside[], cmp_end[], far_site[];
// lea_site and base_site compute their second argument right before the call: the addresses of lea_end, and of 0x1000
// behind the first. like_site only looks like lea_site.
extern char lea_site[], lea_inside[], base_site[], like_site[], lea_end[];
__asm__(".text; .balign 4096\n"
	"mov_site: mov $110, %eax\n"
	"mov_inside: syscall\n"
	"ret\n"
	"mov_end: nop; .balign 64\n"
	"cmp_site: syscall\n"
	"cmp_inside: cmp $-4095, %rax\n"
	"jae 1f\n"
	"ret\n"
	"1: mov $-7777, %rax\n"
	"ret\n"
	"cmp_end: .balign 64\n"
	"lea_site: mov $110, %eax\n"
	"lea lea_end(%rip), %rsi\n"
	"lea_inside: syscall\n"
	"mov %rsi, %rdx; ret; .balign 64\n"
	"base_site: mov $110, %eax\n"
	"lea 0x1000(%rdi), %r10\n"
	"syscall\n"
	"mov %r10, %rdx; ret; .balign 64\n"
	"like_site: mov $110, %eax\n"
	"movabs $0x12345678358d4800, %rsi\n" // 48 8d 35 disp32 is LEA disp32(%rip), %rsi
	"syscall\n"
	"mov %rsi, %rdx; ret\n"
	"lea_end: .balign 4096\n");

static long enter(const void *at, long nr, long a, long b, long c) {
	long r;
	__asm__ volatile("call *%[at]" : "=a"(r), "+S"(b), "+d"(c) : [at] "r"(at), "a"(nr), "D"(a) : "rcx", "r10", "r11", "memory", "cc");
	return r;
}

static void heat(void) {
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(mov_site, 0, 0, 0, 0) == getppid());
		CHECK(enter(cmp_site, SYS_dup2, 1, 1, 0) == 1);
		CHECK(enter(cmp_site, SYS_dup2, -1, 1, 0) == -7777);
	}
}

CASE(hot_sites_give_right_results) { heat(); }

CASE(jump_to_the_syscall_of_a_mov_site) {
	heat();
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(mov_inside, SYS_dup2, 1, 1, 0) == 1);
		CHECK(enter(mov_inside, SYS_dup2, -1, 1, 0) == -EBADF);
		CHECK(enter(mov_site, 0, 0, 0, 0) == getppid());
	}
}

CASE(jump_to_the_compare_of_a_cmp_site) {
	heat();
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(cmp_inside, 5, 0, 0, 0) == 5);
		CHECK(enter(cmp_inside, -5, 0, 0, 0) == -7777);
	}
}

// What a call leaves: all but RAX, RCX and R11, and the flags.
static void check_registers(const void *at, long nr) {
	uint64_t out[12], flags;
	__asm__ volatile(
		"push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15; sub $128, %%rsp\n"
		"push %[out]; push %[at]\n"
		"mov $0x1003, %%ebx; mov $0x1004, %%ebp; mov $0x1008, %%r8d; mov $0x1009, %%r9d; mov $0x100a, %%r10d\n"
		"mov $0x100c, %%r12d; mov $0x100d, %%r13d; mov $0x100e, %%r14d; mov $0x100f, %%r15d\n"
		"mov $1, %%edi; mov $1, %%esi; mov $0x1002, %%edx\n"
		"stc\n"
		"call *(%%rsp)\n"
		"mov 8(%%rsp), %%rcx\n"
		"mov %%rbx, (%%rcx); mov %%rbp, 8(%%rcx); mov %%r8, 16(%%rcx); mov %%r9, 24(%%rcx); mov %%r10, 32(%%rcx)\n"
		"mov %%r12, 40(%%rcx); mov %%r13, 48(%%rcx); mov %%r14, 56(%%rcx); mov %%r15, 64(%%rcx)\n"
		"mov %%rdi, 72(%%rcx); mov %%rsi, 80(%%rcx); mov %%rdx, 88(%%rcx)\n"
		"add $16, %%rsp; add $128, %%rsp; pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp\n"
		: "+a"(nr), "=m"(out), "=m"(flags)
		: [out] "c"(out), [at] "d"(at)
		: "rdi", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
	static const uint64_t want[12] = {0x1003, 0x1004, 0x1008, 0x1009, 0x100a, 0x100c, 0x100d, 0x100e, 0x100f, 1, 1, 0x1002};
	CHECK(!memcmp(out, want, sizeof want));
}

CASE(registers_survive) {
	for (int i = 0; i < HOT; i++) {
		check_registers(mov_site, 0);
		check_registers(cmp_site, SYS_dup2);
	}
}

// The end of what sets R8 looks like what sets the number of the call.
CASE(a_number_for_another_register) {
	long parent = getppid();
	for (int i = 0; i < 3 * HOT; i++) {
		long r, r8;
		__asm__ volatile("mov $-1, %%r8; mov $110, %%eax; mov $102, %%r8d; syscall; mov %%r8, %1"
				 : "=a"(r), "=r"(r8) : : "rcx", "r8", "r11", "memory");
		CHECK(r == parent && r8 == 102);
		__asm__ volatile("mov $-1, %%r8; mov $110, %%eax; mov $110, %%r8d; syscall; mov %%r8, %1"
				 : "=a"(r), "=r"(r8) : : "rcx", "r8", "r11", "memory");
		CHECK(r == parent && r8 == 110);
	}
}

// second enters a site that computes an argument, and returns that.
static long second(const void *at, long a, long *result) {
	long r, d = 0;
	__asm__ volatile("sub $128, %%rsp; call *%[at]; add $128, %%rsp"
			 : "=a"(r), "+d"(d)
			 : [at] "r"(at), "D"(a)
			 : "rcx", "rsi", "r10", "r11", "memory", "cc");
	*result = r;
	return d;
}

static void check_leas(long parent) {
	long r;
	CHECK(second(lea_site, 1, &r) == (long)lea_end && r == parent);
	for (long a = -0x2000; a <= 0x2000; a += 0x800) CHECK(second(base_site, a, &r) == a + 0x1000 && r == parent);
	CHECK(second(like_site, 1, &r) == 0x12345678358d4800 && r == parent);
	CHECK(enter(lea_inside, SYS_dup2, 1, 1, 0) == 1);
	CHECK(enter(lea_inside, SYS_dup2, -1, 1, 0) == -EBADF);
}

CASE(an_argument_is_computed_before_the_call) {
	long parent = getppid();
	for (int i = 0; i < 3 * HOT; i++) check_leas(parent);
	pid_t pid;
	CHILD(pid) {
		long self = getppid();
		for (int i = 0; i < HOT; i++) check_leas(self);
	}
	CHECK(wait_code(pid) == 0);
}

CASE(red_zone_survives) {
	for (int i = 0; i < 3 * HOT; i++) {
		long r, seen;
		__asm__ volatile("mov $0x5a5a5a, %%rcx; mov %%rcx, -8(%%rsp); mov %%rcx, -120(%%rsp)\n"
				 "mov $110, %%eax; syscall\n"
				 "mov -8(%%rsp), %%rcx; sub -120(%%rsp), %%rcx; add -8(%%rsp), %%rcx\n"
				 : "=a"(r), "=&c"(seen)
				 :
				 : "r11", "memory", "cc");
		CHECK(r == getppid() && seen == 0x5a5a5a);
	}
}

CASE(flags_survive) {
	for (int i = 0; i < 3 * HOT; i++) {
		uint64_t want = 0x202 | (i & 1 ? 0x8d5 : 0), got;
		long r;
		__asm__ volatile("sub $128, %%rsp; push %[w]; popfq; mov $110, %%eax; syscall; pushfq; pop %[g]; cld; add $128, %%rsp\n"
				 : "=a"(r), [g] "=&r"(got)
				 : [w] "r"(want)
				 : "rcx", "r11", "memory", "cc");
		CHECK(r == getppid());
		CHECK((got & 0xcd5) == (want & 0xcd5));
	}
}

// Nested task and alignment check may be set by anyone.
CASE(odd_flags_do_no_harm) {
	for (int i = 0; i < HOT; i++) {
		uint64_t want = 0x202 | (i & 1 ? 0x4000 : 0x40000), got;
		long r;
		__asm__ volatile("sub $128, %%rsp; push %[w]; popfq; mov $110, %%eax; syscall; pushfq; pop %[g]; push $0x202; popfq; add $128, %%rsp\n"
				 : "=a"(r), [g] "=&r"(got)
				 : [w] "r"(want)
				 : "rcx", "r11", "memory", "cc");
		CHECK(r == getppid());
	}
	// The same with a call that needs the kernel, and a page fault.
	for (int i = 0; i < HOT; i++) {
		char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint64_t want = 0x202 | (i & 1 ? 0x4000 : 0x40000);
		long r;
		__asm__ volatile("sub $128, %%rsp; push %[w]; popfq; movb $1, (%[p]); mov $33, %%eax; syscall; push $0x202; popfq; add $128, %%rsp\n"
				 : "=a"(r)
				 : [w] "r"(want), [p] "r"(p), "D"(1), "S"(1)
				 : "rcx", "r11", "memory", "cc");
		CHECK(r == 1);
		munmap(p, 4096);
	}
}

static void emit_mov(unsigned char *p, int nr) {
	memcpy(p, "\xb8....\x0f\x05\xc3", 8);
	memcpy(p + 1, &nr, 4);
}

CASE(generated_code_is_rewritten) {
	unsigned char *p = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	for (int round = 0; round < 50; round++) {
		emit_mov(p + round, SYS_getppid);
		for (int i = 0; i < 50; i++) CHECK(enter(p + round, 0, 0, 0, 0) == getppid());
		emit_mov(p + round, SYS_dup2);
		for (int i = 0; i < 50; i++) CHECK(enter(p + round, 0, 1, 1, 0) == 1);
	}
}

CASE(code_is_written_then_made_executable) {
	unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int round = 0; round < 50; round++) {
		int nr = round & 1 ? SYS_getppid : SYS_dup2;
		emit_mov(p, nr);
		CHECK(!mprotect(p, 4096, PROT_READ | PROT_EXEC));
		for (int i = 0; i < 50; i++) CHECK(enter(p, 0, 1, 1, 0) == (round & 1 ? getppid() : 1));
		CHECK(!mprotect(p, 4096, PROT_READ | PROT_WRITE));
		CHECK(p[0] == 0xb8 && p[5] == 0x0f && p[6] == 0x05);
	}
}

static int code_file(void) {
	int fd = open("code", O_RDWR | O_CREAT | O_TRUNC, 0755);
	CHECK(fd >= 0);
	unsigned char page[8192];
	memset(page, 0xcc, sizeof page);
	emit_mov(page, SYS_getppid);
	emit_mov(page + 4096 - 3, SYS_getppid); // across two pages
	memcpy(page + 64, "\x0f\x05\x48\x3d\x01\xf0\xff\xff\xc3", 9);
	CHECK(write(fd, page, sizeof page) == sizeof page);
	return fd;
}

CASE(file_code_is_patched_and_rewritten) {
	int fd = code_file();
	unsigned char *p = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 60; i++) {
			CHECK(enter(p, 0, 0, 0, 0) == getppid());
			CHECK(enter(p + 4093, 0, 0, 0, 0) == getppid());
			CHECK(enter(p + 64, SYS_dup2, 1, 1, 0) == 1);
		}
		CHECK(!mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
		static const unsigned char mov[] = {0xb8, 110, 0, 0, 0, 0x0f, 5, 0xc3}, cmp[] = {0x0f, 5, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0xc3};
		CHECK(!memcmp(p, mov, sizeof mov) && !memcmp(p + 4093, mov, sizeof mov) && !memcmp(p + 64, cmp, sizeof cmp));
		emit_mov(p, SYS_dup2);
		for (int i = 0; i < 60; i++) {
			CHECK(enter(p, 0, 1, 1, 0) == 1);
			CHECK(enter(p + 4093, 0, 0, 0, 0) == getppid());
		}
		emit_mov(p, SYS_getppid);
		CHECK(!mprotect(p, 4096, PROT_READ | PROT_EXEC));
	}
}

CASE(half_of_a_site_goes_away) {
	int fd = code_file();
	for (int round = 0; round < 20; round++) {
		unsigned char *p = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		for (int i = 0; i < 60; i++) CHECK(enter(p + 4093, 0, 0, 0, 0) == getppid());
		if (round & 1) {
			CHECK(!munmap(p, 4096));
			CHECK(p[4096] == 0 && p[4098] == 0x0f && p[4099] == 5);
		} else {
			CHECK(!munmap(p + 4096, 4096));
			CHECK(p[4093] == 0xb8 && p[4094] == 110);
		}
		munmap(p, 8192);
	}
}

CASE(code_is_mapped_over) {
	int fd = code_file();
	unsigned char *p = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 60; i++) CHECK(enter(p, 0, 0, 0, 0) == getppid());
		CHECK(mmap(p, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
		emit_mov(p, SYS_dup2);
		for (int i = 0; i < 60; i++) CHECK(enter(p, 0, 1, 1, 0) == 1);
		CHECK(mmap(p, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == p);
	}
}

CASE(code_is_moved_by_mremap) {
	int fd = code_file();
	for (int round = 0; round < 20; round++) {
		unsigned char *p = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		for (int i = 0; i < 60; i++) CHECK(enter(p + 64, SYS_dup2, -1, 1, 0) == -EBADF);
		unsigned char *to = mmap(0, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(mremap(p, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		for (int i = 0; i < 60; i++) {
			CHECK(enter(to + 64, SYS_dup2, -1, 1, 0) == -EBADF);
			CHECK(enter(to, 0, 0, 0, 0) == getppid());
		}
		munmap(to, 8192);
	}
}

CASE(madvise_brings_the_file_back) {
	int fd = code_file();
	unsigned char *p = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 60; i++) {
			CHECK(enter(p, 0, 0, 0, 0) == getppid());
			CHECK(enter(p + 5, SYS_dup2, 1, 1, 0) == 1);
			CHECK(enter(p + 66, -5, 0, 0, 0) == -5);
		}
		CHECK(!madvise(p, 8192, MADV_DONTNEED));
	}
}

CASE(code_is_copied_and_run) {
	heat();
	size_t n = cmp_end - mov_site;
	char *p = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, mov_site, n);
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(p, 0, 0, 0, 0) == getppid());
		CHECK(enter(p + (cmp_site - mov_site), SYS_dup2, 1, 1, 0) == 1);
		CHECK(enter(p + (cmp_site - mov_site), SYS_dup2, -1, 1, 0) == -7777);
	}
}

CASE(code_read_by_the_kernel_is_whole) {
	int fd = code_file();
	unsigned char *p = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(p, 0, 0, 0, 0) == getppid());
		CHECK(enter(p + 64, SYS_dup2, 1, 1, 0) == 1);
	}
	// The file itself is never touched.
	unsigned char back[128];
	CHECK(pread(fd, back, sizeof back, 0) == sizeof back);
	CHECK(back[0] == 0xb8 && back[5] == 0x0f && back[6] == 5 && back[64] == 0x0f && back[65] == 5);
	int other = open("code", O_RDONLY);
	unsigned char *q = mmap(0, 8192, PROT_READ, MAP_SHARED, other, 0);
	CHECK(q[0] == 0xb8 && q[5] == 0x0f && q[6] == 5 && q[64] == 0x0f && q[65] == 5);
}

static volatile sig_atomic_t ticks;
static volatile long bad_tick;
static void on_tick(int sig) {
	ticks++;
	if (enter(mov_site, 0, 0, 0, 0) != syscall(SYS_getppid)) bad_tick = 1;
	if (enter(cmp_site, SYS_dup2, -1, 1, 0) != -7777) bad_tick = 2;
}

static void tick_every(int us) {
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	CHECK(!sigaction(SIGALRM, &sa, 0));
	struct itimerval it = {{0, us}, {0, us}};
	CHECK(!setitimer(ITIMER_REAL, &it, 0));
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

CASE(signals_land_anywhere) {
	long ppid = getppid();
	tick_every(150);
	double end = now() + 3;
	while (now() < end)
		for (int i = 0; i < 500; i++) {
			CHECK(enter(mov_site, 0, 0, 0, 0) == ppid);
			CHECK(enter(mov_inside, SYS_dup2, 1, 1, 0) == 1);
			CHECK(enter(cmp_site, SYS_dup2, 1, 1, 0) == 1);
			CHECK(enter(cmp_inside, 9, 0, 0, 0) == 9);
			check_registers(mov_site, 0);
			check_registers(cmp_site, SYS_dup2);
			check_leas(ppid);
		}
	CHECK(ticks > 5 && !bad_tick);
}

// The handler sees an instruction pointer of the program's own.
static volatile uint64_t odd_rip, by_range;
static void on_where(int sig, siginfo_t *si, void *v) {
	uint64_t rip = ((ucontext_t *)v)->uc_mcontext.gregs[REG_RIP];
	ticks++;
	if (rip < 0x100000 || rip > 0x7fff00000000 ) odd_rip = rip;
	by_range = rip;
}

CASE(handlers_see_addresses_of_the_program) {
	struct sigaction sa = {.sa_sigaction = on_where, .sa_flags = SA_RESTART | SA_SIGINFO};
	CHECK(!sigaction(SIGALRM, &sa, 0));
	struct itimerval it = {{0, 200}, {0, 200}};
	CHECK(!setitimer(ITIMER_REAL, &it, 0));
	double end = now() + 2;
	while (now() < end)
		for (int i = 0; i < 1000; i++) {
			enter(mov_site, 0, 0, 0, 0);
			enter(cmp_site, SYS_dup2, 1, 1, 0);
			enter(lea_site, 0, 0, 0, 0);
			enter(base_site, 0, 0, 0, 0);
		}
	CHECK(ticks > 5 && odd_rip == 0);
}

static void *site_user(void *stop) {
	long ppid = getppid();
	while (!*(volatile int *)stop) {
		CHECK(enter(mov_site, 0, 0, 0, 0) == ppid);
		CHECK(enter(cmp_site, SYS_dup2, 1, 1, 0) == 1);
		CHECK(enter(mov_inside, SYS_dup2, -1, 1, 0) == -EBADF);
	}
	return 0;
}

CASE(threads_run_a_site_while_it_becomes_hot) {
	for (int round = 0; round < 10; round++) {
		pid_t pid;
		CHILD(pid) {
			int stop = 0;
			pthread_t th[4];
			for (int i = 0; i < 4; i++) CHECK(!pthread_create(&th[i], 0, site_user, &stop));
			msleep(100);
			stop = 1;
			for (int i = 0; i < 4; i++) pthread_join(th[i], 0);
		}
		CHECK(wait_code(pid) == 0);
	}
}

struct moving { unsigned char *code; int stop; };
static void *file_user(void *v) {
	struct moving *m = v;
	long ppid = getppid();
	while (!*(volatile int *)&m->stop) {
		CHECK(enter(m->code, 0, 0, 0, 0) == ppid);
		CHECK(enter(m->code + 64, SYS_dup2, 1, 1, 0) == 1);
		CHECK(enter(m->code + 66, -3, 0, 0, 0) == -3);
	}
	return 0;
}

// Protection goes to and fro while other threads stand in the sites.
CASE(code_becomes_writable_under_threads) {
	struct moving m = {0};
	m.code = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, code_file(), 0);
	pthread_t th[3];
	for (int i = 0; i < 3; i++) CHECK(!pthread_create(&th[i], 0, file_user, &m));
	double end = now() + 3;
	while (now() < end) {
		CHECK(!mprotect(m.code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
		CHECK(m.code[0] == 0xb8 && m.code[5] == 0x0f && m.code[6] == 5 && m.code[64] == 0x0f);
		CHECK(!mprotect(m.code, 4096, PROT_READ | PROT_EXEC));
		struct timespec t = {0, 150000}; // long enough for a site to be hot again
		nanosleep(&t, 0);
	}
	*(volatile int *)&m.stop = 1;
	for (int i = 0; i < 3; i++) pthread_join(th[i], 0);
}

CASE(forks_inherit_sites) {
	heat();
	for (int i = 0; i < 40; i++) {
		pid_t me = getpid(), pid;
		CHILD(pid) {
			for (int j = 0; j < 40; j++) {
				CHECK(enter(mov_site, 0, 0, 0, 0) == me);
				CHECK(enter(mov_inside, SYS_dup2, 1, 1, 0) == 1);
				CHECK(enter(cmp_site, SYS_dup2, -1, 1, 0) == -7777);
				CHECK(enter(cmp_inside, 7, 0, 0, 0) == 7);
			}
			if (i & 1) {
				char *page = (char *)((uintptr_t)mov_site & ~4095ul);
				CHECK(!mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
				CHECK((mov_site[0] & 255) == 0xb8 && mov_site[5] == 0x0f && mov_site[6] == 5);
				emit_mov((unsigned char *)mov_site, SYS_getpid);
				CHECK(enter(mov_site, 0, 0, 0, 0) == getpid());
			}
		}
		CHECK(wait_code(pid) == 0);
		CHECK(enter(mov_site, 0, 0, 0, 0) == getppid()); // what the child did is its own
	}
}

CASE(vfork_and_exec_from_hot_sites) {
	heat();
	for (int i = 0; i < 30; i++) {
		pid_t pid = vfork();
		if (pid == 0) {
			enter(mov_site, 0, 0, 0, 0);
			enter(cmp_site, SYS_dup2, 1, 1, 0);
			execl("/bin/true", "true", (char *)0);
			_exit(1);
		}
		CHECK(wait_code(pid) == 0);
		heat();
	}
}

CASE(fork_at_a_patched_site) {
	long me = getpid();
	for (int i = 0; i < 60; i++) {
		long r = enter(cmp_site, SYS_fork, 0, 0, 0);
		if (r == 0) _exit(enter(mov_site, 0, 0, 0, 0) == me ? 0 : 1);
		CHECK(r > 0 && wait_code(r) == 0);
	}
}

static volatile uint64_t trap_count;
static uint64_t trap_rips[64];
static void on_trap(int sig, siginfo_t *si, void *v) {
	ucontext_t *u = v;
	if (trap_count < 64) trap_rips[trap_count] = u->uc_mcontext.gregs[REG_RIP];
	trap_count++;
	if (trap_count >= 12) u->uc_mcontext.gregs[REG_EFL] &= ~0x100l;
}

CASE(trap_flag_over_a_site) {
	heat();
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	CHECK(!sigaction(SIGTRAP, &sa, 0));
	long ppid = getppid();
	for (int i = 0; i < 30; i++) {
		long r;
		trap_count = 0;
		__asm__ volatile("sub $128, %%rsp; pushfq; orl $0x100, (%%rsp); popfq\n"
				 "mov $110, %%eax; syscall; nop; nop; nop\n"
				 "pushfq; andl $~0x100, (%%rsp); popfq; add $128, %%rsp\n"
				 : "=a"(r)
				 :
				 : "rcx", "r11", "memory", "cc");
		CHECK(r == ppid);
		CHECK(trap_count >= 6);
	}
	for (int i = 0; i < 30; i++) {
		long r;
		trap_count = 0;
		__asm__ volatile("sub $128, %%rsp; pushfq; orl $0x100, (%%rsp); popfq\n"
				 "call mov_site\n"
				 "pushfq; andl $~0x100, (%%rsp); popfq; add $128, %%rsp\n"
				 : "=a"(r)
				 :
				 : "rcx", "r11", "memory", "cc");
		CHECK(r == ppid);
	}
	for (int i = 0; i < 3 * HOT; i++) check_leas(ppid);
	for (int i = 0; i < 30; i++) {
		long r;
		__asm__ volatile("sub $128, %%rsp; pushfq; orl $0x100, (%%rsp); popfq\n"
				 "call lea_site\n"
				 "pushfq; andl $~0x100, (%%rsp); popfq; add $128, %%rsp\n"
				 : "=a"(r)
				 :
				 : "rcx", "rdx", "rsi", "r11", "memory", "cc");
		CHECK(r == ppid);
	}
}

static volatile long breaks;
static void on_break(int sig, siginfo_t *si, void *v) {
	breaks++;
	CHECK(((ucontext_t *)v)->uc_mcontext.gregs[REG_RIP] == (long)mov_site + 1);
	((ucontext_t *)v)->uc_mcontext.gregs[REG_RIP] = (long)mov_end - 1; // at the RET
}

CASE(a_breakpoint_is_put_on_a_site) {
	struct sigaction sa = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO};
	CHECK(!sigaction(SIGTRAP, &sa, 0));
	char *page = (char *)((uintptr_t)mov_site & ~4095ul);
	for (int i = 0; i < 10; i++) {
		heat();
		CHECK(!mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
		CHECK((mov_site[0] & 255) == 0xb8);
		mov_site[0] = 0xcc;
		CHECK(!mprotect(page, 4096, PROT_READ | PROT_EXEC));
		breaks = 0;
		for (int j = 0; j < 20; j++) enter(mov_site, 0, 0, 0, 0);
		CHECK(breaks == 20);
		CHECK(!mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
		mov_site[0] = 0xb8;
		CHECK(!mprotect(page, 4096, PROT_READ | PROT_EXEC));
	}
}

CASE(gs_base_of_ones_own) {
	static uint64_t mine[64] = {0x1234};
	heat();
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, mine));
	for (int i = 0; i < HOT; i++) {
		uint64_t v;
		__asm__ volatile("mov %%gs:0, %0" : "=r"(v));
		CHECK(v == 0x1234);
		CHECK(enter(mov_site, 0, 0, 0, 0) == getppid());
		CHECK(enter(cmp_site, SYS_dup2, -1, 1, 0) == -7777);
	}
	for (int i = 1; i < 64; i++) CHECK(mine[i] == 0);
	uint64_t got = 0;
	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &got) && got == (uint64_t)mine);
}

