// The floating point and vector registers across calls, signals, threads and
// fork: whatever a platform does to save itself the copying.
#include "case.h"
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>

static int avx512;

__attribute__((constructor)) static void features(void) { avx512 = __builtin_cpu_supports("avx512f"); }

// spin_call loads all vector registers, MXCSR, x87 control and a mask register from seed, makes
// a call n times and stores them again; the program uses none in between.
static long calls(long nr, long a, long b, long c, long n, const uint64_t *in, uint64_t *out) {
	long r = 0;
	if (avx512) {
		__asm__ volatile(
			"vmovdqu64 (%[in]), %%zmm0; vmovdqu64 64(%[in]), %%zmm7; vmovdqu64 128(%[in]), %%zmm15\n"
			"vmovdqu64 192(%[in]), %%zmm16; vmovdqu64 256(%[in]), %%zmm31; kmovw (%[in]), %%k3\n"
			"1: mov %[nr], %%rax; syscall\n"
			"sub $1, %[n]; jnz 1b\n"
			"vmovdqu64 %%zmm0, (%[out]); vmovdqu64 %%zmm7, 64(%[out]); vmovdqu64 %%zmm15, 128(%[out])\n"
			"vmovdqu64 %%zmm16, 192(%[out]); vmovdqu64 %%zmm31, 256(%[out]); kmovw %%k3, %%ecx; mov %%ecx, 320(%[out])\n"
			: "=&a"(r), [n] "+r"(n)
			: [nr] "r"(nr), [in] "r"(in), [out] "r"(out), "D"(a), "S"(b), "d"(c)
			: "rcx", "r11", "memory", "cc", "xmm0", "xmm7", "xmm15");
		CHECK((uint16_t)out[40] == (uint16_t)in[0]);
		CHECK(!memcmp(in, out, 320));
		return r;
	}
	__asm__ volatile(
		"movdqu (%[in]), %%xmm0; movdqu 64(%[in]), %%xmm7; movdqu 128(%[in]), %%xmm15\n"
		"1: mov %[nr], %%rax; syscall\n"
		"sub $1, %[n]; jnz 1b\n"
		"movdqu %%xmm0, (%[out]); movdqu %%xmm7, 64(%[out]); movdqu %%xmm15, 128(%[out])\n"
		: "=&a"(r), [n] "+r"(n)
		: [nr] "r"(nr), [in] "r"(in), [out] "r"(out), "D"(a), "S"(b), "d"(c)
		: "rcx", "r11", "memory", "cc", "xmm0", "xmm7", "xmm15");
	CHECK(!memcmp(in, out, 16) && !memcmp(in + 8, out + 8, 16) && !memcmp(in + 16, out + 16, 16));
	return r;
}

static void fill(uint64_t *in, uint64_t seed) {
	for (int i = 0; i < 40; i++) in[i] = seed = seed * 6364136223846793005ull + 1442695040888963407ull;
}

static void check_all(uint64_t seed, int rounds) {
	uint64_t in[40], out[41];
	struct timespec t = {0, 1000};
	int p[2];
	CHECK(!pipe(p));
	for (int i = 0; i < rounds; i++) {
		fill(in, seed + i);
		CHECK(calls(SYS_getppid, 0, 0, 0, 50, in, out) == getppid());
		CHECK(calls(SYS_dup2, 1, 1, 0, 50, in, out) == 1);
		CHECK(calls(SYS_write, p[1], (long)in, 8, 1, in, out) == 8);
		CHECK(calls(SYS_read, p[0], (long)(out + 40), 8, 1, in, out) == 8);
		calls(SYS_sched_yield, 0, 0, 0, 3, in, out);
		if (i % 16 == 0) calls(SYS_nanosleep, (long)&t, 0, 0, 1, in, out);
	}
	close(p[0]), close(p[1]);
}

CASE(across_calls) { check_all(1, 300); }

static void *worker(void *seed) {
	check_all((uint64_t)seed, 150);
	return 0;
}

CASE(beside_other_threads) {
	pthread_t t[6];
	for (long i = 0; i < 6; i++) CHECK(!pthread_create(&t[i], 0, worker, (void *)(i * 1000)));
	for (int i = 0; i < 6; i++) pthread_join(t[i], 0);
}

static volatile int ticks;
static void disturb(int sig) {
	uint64_t in[40], out[41];
	fill(in, 99 + ticks++);
	calls(SYS_getppid, 0, 0, 0, 2, in, out);
	_mm_setcsr(0x1f80 | (ticks & 3) << 13);
}

static void every(int us) {
	struct sigaction sa = {.sa_handler = disturb, .sa_flags = SA_RESTART};
	CHECK(!sigaction(SIGALRM, &sa, 0));
	struct itimerval it = {{0, us}, {0, us}};
	CHECK(!setitimer(ITIMER_REAL, &it, 0));
}

CASE(under_signals) {
	every(300);
	for (int i = 0; i < 20; i++) {
		_mm_setcsr(0x1f80 | 2 << 13);
		check_all(i * 77, 20);
		CHECK((_mm_getcsr() & 0xffc0) == (0x1f80 | 2 << 13));
	}
	CHECK(ticks > 3);
}

CASE(under_signals_without_calls) {
	every(300);
	double sum = 0;
	struct timespec t0, t;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		double x = 1;
		for (int i = 0; i < 100000; i++) x = x * 1.0000001 + 1e-9;
		CHECK(sum == 0 || x == sum);
		sum = x;
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (t.tv_sec - t0.tv_sec < 2);
	CHECK(ticks > 3);
}

CASE(inherited_by_fork) {
	uint64_t in[40], out[41];
	for (int i = 0; i < 40; i++) {
		fill(in, i);
		_mm_setcsr(0x1f80 | (i & 3) << 13);
		long r = calls(SYS_fork, 0, 0, 0, 1, in, out);
		CHECK(r >= 0);
		CHECK((_mm_getcsr() & 0xffc0) == (uint32_t)(0x1f80 | (i & 3) << 13));
		if (r == 0) {
			check_all(i, 5);
			_exit(0);
		}
		CHECK(wait_code(r) == 0);
	}
}

CASE(in_a_hurry_with_faults) {
	uint64_t in[40], out[41];
	char *m = mmap(0, 1 << 22, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 500; i++) {
		fill(in, i);
		if (i % 64 == 0) {
			pid_t pid;
			CHILD(pid) memset(m, 1, 1 << 14);
			CHECK(wait_code(pid) == 0);
		}
		long r = calls(SYS_getrandom, (long)(m + i * 4096), 8, 0, 1, in, out);
		CHECK(r == 8);
	}
}
