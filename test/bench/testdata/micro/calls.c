// System calls of one thread.
#include "micro.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OP(name, what) static double op_##name(long n) { return LOOP(n, what); }

OP(getpid, syscall(SYS_getpid))
OP(getuid, syscall(SYS_getuid))
OP(gettid, syscall(SYS_gettid))

static double op_clock(long n) {
	struct timespec t;
	return LOOP(n, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
}

// file opens a file of the size of two pages with nothing left to write back.
static int file(const char *path) {
	static char b[8192];
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0);
	CHECK(pwrite(fd, b, sizeof b, 0) == sizeof b);
	return fd;
}

#define TMP "/tmp/micro"
#define ROOT "/data/file"

#define WITH(name, open_, what)                     \
	static double op_##name(long n) {           \
		static char b[4096];                \
		struct stat st;                     \
		(void)b, (void)st;                  \
		int fd = open_;                     \
		CHECK(fd >= 0);                     \
		double t = LOOP(n, CHECK(what));    \
		close(fd);                          \
		return t;                           \
	}

WITH(fstat, file(TMP), !fstat(fd, &st))
WITH(lseek, file(TMP), lseek(fd, 1, SEEK_SET) == 1)
WITH(read1, open("/dev/zero", O_RDONLY), read(fd, b, 1) == 1)
WITH(pread_tmpfs, file(TMP), pread(fd, b, 4096, 0) == 4096)
WITH(pwrite_tmpfs, file(TMP), pwrite(fd, b, 4096, 0) == 4096)
WITH(pread_root, file(ROOT), pread(fd, b, 4096, 0) == 4096)
WITH(pwrite_root, file(ROOT), pwrite(fd, b, 4096, 0) == 4096)

static double op_stat(long n) {
	struct stat st;
	close(file(ROOT));
	return LOOP(n, CHECK(!stat(ROOT, &st)));
}

static double op_openclose(long n) {
	close(file(ROOT));
	return LOOP(n, CHECK(!close(open(ROOT, O_RDONLY))));
}

static double op_epoll(long n) {
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(0), ev = eventfd(1, 0);
	CHECK(ep >= 0 && ev >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e));
	double t = LOOP(n, CHECK(epoll_wait(ep, &e, 1, -1) == 1));
	close(ep);
	close(ev);
	return t;
}

static volatile long caught;
static void catch(int sig) { caught++; }

static double op_signal(long n) {
	struct sigaction a = {.sa_handler = catch};
	CHECK(!sigaction(SIGUSR1, &a, 0));
	pid_t pid = getpid();
	long before = caught;
	double t = LOOP(n, kill(pid, SIGUSR1));
	CHECK(caught - before == n);
	return t;
}

const struct op calls[] = {
	{"getpid", op_getpid}, {"getuid", op_getuid}, {"gettid", op_gettid}, {"clock_gettime", op_clock},
	{"fstat", op_fstat}, {"lseek", op_lseek}, {"read1", op_read1},
	{"pread_tmpfs", op_pread_tmpfs}, {"pwrite_tmpfs", op_pwrite_tmpfs},
	{"pread_root", op_pread_root}, {"pwrite_root", op_pwrite_root},
	{"stat", op_stat}, {"openclose", op_openclose},
	{"epoll", op_epoll}, {"signal", op_signal}, {0},
};
