// A case of a conformance program: CASE(name) { … CHECK(condition); … }.
// Each runs in a process of its own with a time limit.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct a_case {
	const char *name;
	void (*run)(void);
	struct a_case *next;
};
static struct a_case *first_case, **last_case = &first_case;

#define CASE(id)                                                                       \
	static void case_##id(void);                                                   \
	static struct a_case entry_##id = {#id, case_##id, 0};                         \
	__attribute__((constructor)) static void add_##id(void) {                      \
		*last_case = &entry_##id;                                              \
		last_case = &entry_##id.next;                                          \
	}                                                                              \
	static void case_##id(void)

static const char *now_running;

static void fail(const char *file, int line, const char *what) {
	int e = errno;
	dprintf(1, "FAIL %s: line %d: %s (errno %d %s)\n", now_running, line, what, e, strerror(e));
	(void)file;
	_exit(99);
}

// CHECK fails the case unless the condition holds; errno is shown.
#define CHECK(c)                                              \
	do {                                                  \
		if (!(c)) fail(__FILE__, __LINE__, #c);       \
	} while (0)

// FAILS checks that a call fails with an errno.
#define FAILS(call, err)                                                                 \
	do {                                                                             \
		errno = 0;                                                               \
		long r_ = (long)(call);                                                  \
		if (r_ != -1 || errno != (err)) fail(__FILE__, __LINE__, #call " gives " #err); \
	} while (0)

// child runs a block in a forked child, whose exit code is the block's last _exit.
#define CHILD(pid) for (pid_t *p_ = &(pid); p_ && ((*p_ = fork()) == 0); p_ = 0, _exit(0))

static int wait_code(pid_t pid) {
	int st;
	if (waitpid(pid, &st, 0) != pid) return -1;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static void msleep(int ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&t, &t) && errno == EINTR) {
	}
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IONBF, 0);
	signal(SIGPIPE, SIG_DFL);
	mkdir("/tmp/case", 0777);
	if (chdir("/tmp/case")) return 2;
	for (struct a_case *c = first_case; c; c = c->next) {
		if (argc > 1 && strcmp(argv[1], c->name)) continue;
		now_running = c->name;
		pid_t pid = fork();
		if (pid == 0) {
			char dir[200];
			snprintf(dir, sizeof dir, "/tmp/case/%s", c->name);
			mkdir(dir, 0777);
			if (chdir(dir)) _exit(98);
			umask(022);
			alarm(20);
			c->run();
			_exit(0);
		}
		int st;
		if (waitpid(pid, &st, 0) != pid) return 3;
		if (WIFEXITED(st) && WEXITSTATUS(st) == 0)
			printf("ok %s\n", c->name);
		else if (!(WIFEXITED(st) && WEXITSTATUS(st) == 99))
			printf("FAIL %s: ended with status %#x\n", c->name, st);
	}
	return 0;
}
