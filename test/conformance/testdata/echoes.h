// What programs about calls on descriptors share: calls made again and again, and then once more after something has changed.
#pragma once
#include "names.h"
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

// All calls that are made often are made at one place, that of syscall(3), which any platform knows then.
static long seek(int fd, long off, long whence) { return syscall(SYS_lseek, fd, off, whence); }

// hot_ seeks often: it gives want, or -errno.
static void hot_(int line, int fd, long off, long whence, long want) {
	for (int i = 0; i < OFTEN; i++) {
		long r = seek(fd, off, whence);
		if (r < 0) r = -errno;
		if (r == want) continue;
		dprintf(1, "FAIL %s: line %d: round %d: seek(%ld, %ld) gives %ld, not %ld\n", now_running, line, i, off, whence, r, want);
		_exit(99);
	}
}
#define HOT(fd, off, whence, want) hot_(__LINE__, fd, off, whence, want)

// Who does something: the caller, another thread, a child, one with the caller's descriptors.
enum { SELF, THREAD, FORK, SHARER, DOERS };
struct deed {
	void (*f)(int);
	int a;
};
static void *by_thread(void *v) { return ((struct deed *)v)->f(((struct deed *)v)->a), v; }
static int by_sharer(void *v) { return by_thread(v), 0; }
static void by(int who, void (*f)(int), int a) {
	static char stack[65536] __attribute__((aligned(16)));
	struct deed d = {f, a};
	pthread_t t;
	pid_t pid;
	switch (who) {
	case SELF: f(a); break;
	case THREAD: CHECK(pthread_create(&t, 0, by_thread, &d) == 0 && pthread_join(t, 0) == 0); break;
	case FORK:
		CHILD(pid) f(a);
		CHECK(wait_code(pid) == 0);
		break;
	case SHARER:
		CHECK((pid = clone(by_sharer, stack + sizeof stack, CLONE_FILES | SIGCHLD, &d)) > 0);
		CHECK(wait_code(pid) == 0);
		break;
	}
}

// passed returns a descriptor that a message has brought.
static int passed(int fd) {
	int s[2], got = -1;
	char c[CMSG_SPACE(4)] __attribute__((aligned(8))) = {0}, b = 'x';
	struct iovec v = {&b, 1};
	struct msghdr m = {0, 0, &v, 1, c, sizeof c, 0};
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, 4);
	CHECK(sendmsg(s[0], &m, 0) == 1 && recvmsg(s[1], &m, 0) == 1);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), 4);
	CHECK(got >= 0 && close(s[0]) == 0 && close(s[1]) == 0);
	return got;
}

static void forbid_(int line, const int *nrs, int n, int flags) {
	struct sock_filter f[16] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
	int k = 1;
	for (int i = 0; i < n; i++) f[k] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nrs[i], n - i, 0), k++;
	f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV);
	struct sock_fprog p = {k, f};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p)) fail("", line, "a filter");
}

static volatile sig_atomic_t caught;
static void on_signal(int s) { caught++; }
static void catch (int s, int restart) {
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
	CHECK(sigaction(s, &a, 0) == 0);
}

static uint64_t rnd_state = 0x9e3779b97f4a7c15ull;
static uint64_t rnd(void) { return rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17; }
static void spin(int n) {
	for (volatile int i = 0; i < n; i++) {
	}
}
