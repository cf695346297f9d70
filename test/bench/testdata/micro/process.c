// Processes, threads and plain computing.
#include "micro.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(pid_t p) {
	int status;
	CHECK(p > 0 && waitpid(p, &status, 0) == p && status == 0);
}

static double op_fork(long n) {
	return LOOP(n, {
		pid_t p = fork();
		if (!p) _exit(0);
		reap(p);
	});
}

static double op_forkexec(long n) {
	return LOOP(n, {
		pid_t p = fork();
		if (!p) {
			execl("/bin/true", "true", (char *)0);
			_exit(1);
		}
		reap(p);
	});
}

static void *nothing(void *p) { return p; }

static double op_thread(long n) {
	return LOOP(n, {
		pthread_t t;
		CHECK(!pthread_create(&t, 0, nothing, 0));
		CHECK(!pthread_join(t, 0));
	});
}

// spin computes for about 20 ms from the number it is given, and makes no
// system call. It must stay a call, or the compiler leaves the work out.
static __attribute__((noinline, noclone)) void *spin(void *p) {
	unsigned long x = *(volatile unsigned long *)p;
	for (long i = 0; i < 10000000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	*(volatile unsigned long *)p = x;
	return 0;
}

static double op_cpu1(long n) {
	unsigned long x = 88172645463325252;
	return LOOP(n, spin(&x));
}

static double op_cpu4(long n) {
	pthread_t t[4];
	unsigned long x[4] = {1, 2, 3, 4};
	return LOOP(n, {
		for (int i = 0; i < 4; i++) CHECK(!pthread_create(&t[i], 0, spin, &x[i]));
		for (int i = 0; i < 4; i++) CHECK(!pthread_join(t[i], 0));
	});
}

const struct op process[] = {
	{"fork", op_fork}, {"forkexec", op_forkexec}, {"thread", op_thread}, {"cpu1", op_cpu1}, {"cpu4", op_cpu4}, {0},
};
