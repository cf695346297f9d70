// A bare tracer: what one system call costs under PTRACE_SYSEMU with nothing
// else, tracer and tracee pinned to one core. Prints "result sysemu NANOSECONDS".
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define PTRACE_SYSEMU_ 31

int main(void) {
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof one, &one);
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(19);
		for (;;) syscall(SYS_getpid);
	}
	int st;
	waitpid(p, &st, 0);
	struct user_regs_struct r;
	struct timespec a, b;
	enum { N = 20000 };
	for (int i = -1000; i < N; i++) {
		if (i == 0) clock_gettime(CLOCK_MONOTONIC, &a);
		ptrace(PTRACE_SYSEMU_, p, 0, 0);
		waitpid(p, &st, 0);
		ptrace(PTRACE_GETREGS, p, 0, &r);
		r.rax = 42;
		ptrace(PTRACE_SETREGS, p, 0, &r);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("result sysemu %.0f\n", ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / N);
	kill(p, 9);
	return 0;
}
