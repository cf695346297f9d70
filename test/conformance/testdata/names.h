// What programs about names share: calls for a path, made once or until any table knows the answer.
#pragma once
#include "case.h"
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define OFTEN 60 // calls that have any table know the answer

enum { STAT, LSTAT, FSTATAT, LFSTATAT, OPEN, OPENAT, ACCESS, FACCESSAT, READLINK, READLINKAT, KINDS };

// ask makes a call that asks for a path; it returns -errno.
static long ask(int kind, const char *p) {
	struct stat st;
	char b[64];
	long r = -1;
	switch (kind) {
	case STAT: r = syscall(SYS_stat, p, &st); break;
	case LSTAT: r = syscall(SYS_lstat, p, &st); break;
	case FSTATAT: r = syscall(SYS_newfstatat, AT_FDCWD, p, &st, 0); break;
	case LFSTATAT: r = syscall(SYS_newfstatat, AT_FDCWD, p, &st, AT_SYMLINK_NOFOLLOW); break;
	case OPEN: r = syscall(SYS_open, p, O_RDONLY | O_NONBLOCK, 0); break;
	case OPENAT: r = syscall(SYS_openat, AT_FDCWD, p, O_PATH | O_CLOEXEC, 0); break;
	case ACCESS: r = syscall(SYS_access, p, F_OK); break;
	case FACCESSAT: r = syscall(SYS_faccessat, AT_FDCWD, p, R_OK); break;
	case READLINK: r = syscall(SYS_readlink, p, b, sizeof b); break;
	case READLINKAT: r = syscall(SYS_readlinkat, AT_FDCWD, p, b, sizeof b); break;
	}
	if (r < 0) return -errno;
	if (kind == OPEN || kind == OPENAT) close(r);
	return r;
}
static int reads_link(int kind) { return kind == READLINK || kind == READLINKAT; }
static int follows(int kind) { return kind != LSTAT && kind != LFSTATAT && !reads_link(kind); }

static void is_(int line, int kind, const char *p, long want) {
	long r = ask(kind, p);
	if (want == 0 ? r < 0 : r != want) {
		dprintf(1, "FAIL %s: line %d: call %d of %.200s gives %ld, not %ld\n", now_running, line, kind, p, r, want);
		_exit(99);
	}
}
// all checks what every call that follows a last link, and what every one that does not, gives.
static void all_(int line, const char *p, long followed, long itself, long link) {
	for (int k = 0; k < KINDS; k++) is_(line, k, p, reads_link(k) ? link : follows(k) ? followed : itself);
}
static void heat_(int line, const char *p, long followed, long itself, long link) {
	for (int i = 0; i < OFTEN; i++) all_(line, p, followed, itself, link);
}
#define IS(kind, p, want) is_(__LINE__, kind, p, want)
// FAIL_ALL asks once with every call, FAIL_HOT often: all give -err.
#define FAIL_ALL(p, err) all_(__LINE__, p, -(err), -(err), -(err))
#define FAIL_HOT(p, err) heat_(__LINE__, p, -(err), -(err), -(err))
// THERE says that there is something that is no symbolic link.
#define THERE(p) all_(__LINE__, p, 0, 0, -EINVAL)
#define THERE_HOT(p) heat_(__LINE__, p, 0, 0, -EINVAL)
#define LINK_TO_NOTHING(p) all_(__LINE__, p, -ENOENT, 0, 0)

// refuse has a filter fail one system call, with EXDEV.
static void refuse(unsigned nr) {
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog p = {4, f};
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) == 0);
}

static char base[300];
// in returns a path below the base.
static char *in(const char *name) {
	static char b[16][5000];
	static int n;
	char *p = b[n++ % 16];
	snprintf(p, sizeof b[0], "%s/%s", base, name);
	return p;
}
// both has a case done in the directory of the case, and in the root file system.
static void both(void (*f)(void)) {
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	f();
	static int n;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(base, sizeof base, "/%s.%ld.%ld.%d", now_running, (long)t.tv_sec, t.tv_nsec, n++);
	CHECK(mkdir(base, 0755) == 0);
	f();
}
static void make(const char *p) {
	int fd = open(p, O_CREAT | O_EXCL | O_WRONLY, 0644);
	CHECK(fd >= 0 && close(fd) == 0);
}
static int exchange(const char *a, const char *b) { return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2); }

// The ways to make a name.
static void make_by(int way, const char *p) {
	int fd;
	struct sockaddr_un a = {AF_UNIX};
	char b[64];
	switch (way) {
	case 0: make(p); break;
	case 1: CHECK(mkdir(p, 0755) == 0); break;
	case 2: CHECK(mknod(p, S_IFIFO | 0644, 0) == 0); break;
	case 3: CHECK(link(in("file"), p) == 0); break;
	case 4: make(in("other")); CHECK(rename(in("other"), p) == 0); break;
	case 5: make(in("other")); CHECK(syscall(SYS_renameat2, AT_FDCWD, in("other"), AT_FDCWD, p, 1) == 0); break;
	case 6: CHECK(mkdir(in("other"), 0755) == 0 && rename(in("other"), p) == 0); break;
	case 7: CHECK(symlink("file", p) == 0); break;
	case 8:
		CHECK((fd = open(base, O_TMPFILE | O_RDWR, 0644)) >= 0);
		sprintf(b, "/proc/self/fd/%d", fd);
		CHECK(linkat(AT_FDCWD, b, AT_FDCWD, p, AT_SYMLINK_FOLLOW) == 0 && close(fd) == 0);
		break;
	case 9:
		strcpy(a.sun_path, p);
		CHECK((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0 && bind(fd, (void *)&a, sizeof a) == 0);
		close(fd);
		break;
	case 10: CHECK((fd = creat(p, 0600)) >= 0 && close(fd) == 0); break;
	case 11: CHECK(mknod(p, S_IFREG | 0644, 0) == 0); break;
	case 12: CHECK(link(in("link"), p) == 0); break;
	}
}

static void as(int uid) { CHECK(syscall(SYS_setgroups, 0, 0) == 0 && syscall(SYS_setresgid, uid, uid, uid) == 0 && syscall(SYS_setresuid, uid, uid, uid) == 0); }

// The child says when it is ready, and goes on when it is told to.
static int up[2], down[2];
static void pipes(void) { CHECK(pipe(up) == 0 && pipe(down) == 0); }
static void say(int *p) { CHECK(write(p[1], "x", 1) == 1); }
static void hear(int *p) { char c; CHECK(read(p[0], &c, 1) == 1); }

static void alone(void) { CHECK(unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0); }
