// clock_gettime by system call, often enough that a platform may answer it by
// itself.
#include "case.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
enum { often = 2000 };
static struct timespec t;
static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }
static int call(int clock, void *to) { return syscall(SYS_clock_gettime, clock, to); }
static void warm(void) {
	for (int i = 0; i < 100; i++)
		call(CLOCK_MONOTONIC, &t);
}
CASE(agrees_with_the_vdso) {
	long long last = 0;
	for (int i = 0; i < often; i++) {
		struct timespec v;
		CHECK(call(CLOCK_MONOTONIC, &t) == 0 && clock_gettime(CLOCK_MONOTONIC, &v) == 0);
		CHECK(last <= ns(t) && ns(t) <= ns(v) && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
		last = ns(v);
	}
}
CASE(realtime) {
	warm();
	CHECK(call(CLOCK_REALTIME, &t) == 0);
	CHECK(t.tv_sec - time(0) <= 1 && time(0) - t.tv_sec <= 1);
}
CASE(bad_clock) {
	warm();
	FAILS(call(99, &t), EINVAL);
	FAILS(call(12, &t), EINVAL);
}
CASE(bad_address) {
	warm();
	FAILS(call(CLOCK_MONOTONIC, (void *)8), EFAULT);
	FAILS(call(CLOCK_MONOTONIC, (void *)-8), EFAULT);
	FAILS(call(CLOCK_MONOTONIC, mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), EFAULT);
	warm();
	CHECK(call(CLOCK_MONOTONIC, &t) == 0);
}
CASE(untouched_memory) {
	warm();
	char *p = mmap(0, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (int i = 0; i < 16; i++)
		CHECK(call(CLOCK_MONOTONIC, p + (i << 20) + 4088) == 0);
}
CASE(registers_are_kept) {
	for (int i = 0; i < often; i++) {
		register long a __asm__("rbx") = i + 1, b __asm__("r12") = i + 2;
		register long r8 __asm__("r8") = i + 3, r9 __asm__("r9") = i + 4, r10 __asm__("r10") = i + 5;
		long rdx = i + 6, rdi = CLOCK_MONOTONIC, rsi = (long)&t, rax = SYS_clock_gettime;
		__asm__ volatile("syscall" : "+a"(rax), "+d"(rdx), "+D"(rdi), "+S"(rsi), "+r"(a), "+r"(b), "+r"(r8), "+r"(r9), "+r"(r10)::"rcx", "r11", "memory");
		CHECK(rax == 0 && rdx == i + 6 && rdi == CLOCK_MONOTONIC && rsi == (long)&t);
		CHECK(a == i + 1 && b == i + 2 && r8 == i + 3 && r9 == i + 4 && r10 == i + 5);
	}
}
