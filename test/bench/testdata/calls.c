// Costs of system calls, in nanoseconds: "name value" a line.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}
#define BENCH(name, n, what)                                      \
	do {                                                      \
		for (int i = 0; i < n / 10; i++) { what; }        \
		double a = now();                                 \
		for (int i = 0; i < n; i++) { what; }             \
		printf("%s %.0f\n", name, (now() - a) / n);       \
	} while (0)

int main(void) {
	char b[4096];
	int zero = open("/dev/zero", O_RDONLY), tmp = open("/tmp/f", O_RDWR | O_CREAT, 0600);
	unlink("/tmp/f");
	write(tmp, b, sizeof b);
	BENCH("getpid", 20000, syscall(SYS_getpid));
	BENCH("read1", 10000, read(zero, b, 1));
	BENCH("pread4k", 10000, pread(tmp, b, 4096, 0));
	struct stat st;
	BENCH("stat", 10000, stat("/bin/calls", &st));
	BENCH("openclose", 5000, close(open("/bin/calls", O_RDONLY)));
	BENCH("mmap4k", 3000, munmap(mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096));
	BENCH("mmap1m", 200, {
		char *p = mmap(0, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int j = 0; j < 1 << 20; j += 4096) p[j] = 1;
		munmap(p, 1 << 20);
	});
	BENCH("fork", 200, { pid_t p = fork(); if (!p) _exit(0); waitpid(p, 0, 0); });
	return 0;
}
