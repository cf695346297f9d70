// Closing files that were read, as programs do that open many: who looks at once, and by what.
#include "names.h"
#include <poll.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>

static atomic_int *flag; // 1: the file is closed, and who has done so makes no call until it is 2
static char *file;

static int reopen(void) {
	int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY);
	CHECK(fd >= 0);
	return fd;
}
static long shut(int fd) { return syscall(SYS_close, fd) < 0 ? -errno : 0; }

// habit has whatever answers closes by itself begin to.
static void habit(void) {
	char b[100];
	struct stat st;
	for (int i = 0; i < OFTEN; i++) {
		int fd = reopen();
		CHECK(syscall(SYS_fstat, fd, &st) == 0 && syscall(SYS_read, fd, b, sizeof b) == 9 && syscall(SYS_read, fd, b, sizeof b) == 0);
		CHECK(syscall(SYS_lseek, fd, 0, SEEK_CUR) == 9 && shut(fd) == 0);
	}
}
static void begin(void) {
	file = strdup(in("file"));
	int fd = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	CHECK(fd >= 0 && write(fd, "some text", 9) == 9 && close(fd) == 0);
	CHECK((flag = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	*flag = 0;
	habit();
}
// closes closes fd and makes no call until somebody has looked.
static void closes(int fd) {
	CHECK(shut(fd) == 0);
	*flag = 1;
	while (*flag != 2) {
	}
}
static void await(void) {
	while (*flag != 1) sched_yield();
}

static void again(void) {
	begin();
	char b[10];
	struct stat st;
	for (int i = 0; i < 8; i++) {
		int fd = reopen(), other = reopen();
		CHECK(fstat(other, &st) == 0 && shut(other) == 0);
		if (i & 1) CHECK(syscall(SYS_fstat, fd, &st) == 0 && syscall(SYS_lseek, fd, 0, SEEK_CUR) == 0 && syscall(SYS_lseek, fd, 0, SEEK_CUR) == 0);
		if (i & 2) CHECK(syscall(SYS_read, fd, b, 10) == 9 && syscall(SYS_read, fd, b, 10) == 0 && syscall(SYS_read, fd, b, 10) == 0);
		CHECK(shut(fd) == 0);
		switch (i) {
		case 0: CHECK(shut(fd) == -EBADF); break;
		case 1: FAILS(syscall(SYS_lseek, fd, 0, SEEK_CUR), EBADF); break;
		case 2: FAILS(syscall(SYS_read, fd, b, 10), EBADF); break;
		case 3: FAILS(syscall(SYS_fstat, fd, &st), EBADF); break;
		case 4: FAILS(fcntl(fd, F_GETFD), EBADF); break;
		case 5: FAILS(syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH), EBADF); break;
		case 6: FAILS(mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EBADF); break;
		case 7: FAILS(dup(fd), EBADF); break;
		}
	}
}
CASE(a_closed_descriptor_is_gone) { both(again); }

static void numbers(void) {
	begin();
	int a = reopen(), b = reopen(), c = reopen();
	CHECK(b == a + 1 && c == b + 1);
	CHECK(shut(b) == 0 && reopen() == b);
	CHECK(shut(a) == 0 && shut(c) == 0 && reopen() == a && reopen() == c);
	CHECK(shut(a) == 0 && dup2(b, a) == a && shut(b) == 0 && reopen() == b);
	char p[60];
	snprintf(p, sizeof p, "/proc/self/fd/%d", c);
	CHECK(access(p, F_OK) == 0 && shut(c) == 0);
	FAILS(access(p, F_OK), ENOENT);
	struct rlimit all, few;
	CHECK(shut(a) == 0 && shut(b) == 0 && getrlimit(RLIMIT_NOFILE, &all) == 0);
	few = all, few.rlim_cur = a + 2;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int i = 0; i < 200; i++) CHECK((a = reopen()) >= 0 && (b = reopen()) >= 0 && shut(a) == 0 && shut(b) == 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &all) == 0);
}
CASE(numbers_are_used_again) { both(numbers); }

static void *looks(void *v) {
	int fd = *(int *)v;
	await();
	FAILS(fcntl(fd, F_GETFD), EBADF);
	*flag = 2;
	return 0;
}
static void of_threads(void) {
	begin();
	pthread_t t;
	int before = reopen(), fd = before;
	CHECK(pthread_create(&t, 0, looks, &fd) == 0);
	closes(before);
	CHECK(pthread_join(t, 0) == 0);
	*flag = 0;
	CHECK(pthread_create(&t, 0, looks, &fd) == 0);
	fd = reopen();
	closes(fd);
	CHECK(pthread_join(t, 0) == 0);
	habit();
}
CASE(threads_see_it) { both(of_threads); }

static void replaced(void) {
	begin();
	int p[2], fd = reopen();
	char b;
	pid_t pid;
	CHECK(pipe(p) == 0 && dup2(p[1], fd) == fd && shut(p[1]) == 0);
	CHILD(pid) {
		shut(fd);
		await();
		CHECK(read(p[0], &b, 1) == 0);
		*flag = 2;
	}
	closes(fd);
	CHECK(wait_code(pid) == 0);
}
CASE(another_file_at_its_number) { both(replaced); }

static void unlocked(void) {
	begin();
	struct flock l = {.l_type = F_WRLCK};
	for (int way = 0; way < 3; way++) {
		int fd = open(file, O_RDWR), other = reopen();
		pid_t pid;
		*flag = 0;
		CHECK(fd >= 0);
		if (way == 0) CHECK(fcntl(fd, F_SETLK, &l) == 0);
		if (way == 1) CHECK(flock(other, LOCK_EX) == 0);
		CHILD(pid) {
			shut(fd), shut(other);
			int mine = open(file, O_RDWR);
			if (way == 0) FAILS(fcntl(mine, F_SETLK, &l), EAGAIN);
			if (way == 1) FAILS(flock(mine, LOCK_EX | LOCK_NB), EWOULDBLOCK);
			if (way == 2) {
				other = dup(mine); // the parent's, which it has not locked itself
				CHECK(flock(mine, LOCK_SH) == 0 && flock(mine, LOCK_UN) == 0);
			}
			*flag = 3;
			await();
			CHECK(way == 0 ? fcntl(mine, F_SETLK, &l) == 0 : flock(mine, LOCK_EX | LOCK_NB) == 0);
			*flag = 2;
		}
		while (*flag != 3) sched_yield();
		closes(other);
		CHECK(wait_code(pid) == 0 && shut(fd) == 0);
	}
}
CASE(locks_go_with_it) { both(unlocked); }

// A child locks what it has inherited; the lock is there until the parent closes it as well.
static void inherited(void) {
	begin();
	int fd = reopen();
	pid_t pid;
	CHILD(pid) CHECK(flock(fd, LOCK_EX) == 0);
	CHECK(wait_code(pid) == 0);
	CHILD(pid) {
		shut(fd);
		int mine = reopen();
		FAILS(flock(mine, LOCK_EX | LOCK_NB), EWOULDBLOCK);
		*flag = 3;
		await();
		CHECK(flock(mine, LOCK_EX | LOCK_NB) == 0);
		*flag = 2;
	}
	while (*flag != 3) sched_yield();
	closes(fd);
	CHECK(wait_code(pid) == 0);
}
CASE(locks_of_a_child_go_with_it) { both(inherited); }

// Whoever was sent a descriptor locks what it means.
static void sent(void) {
	begin();
	int fd = reopen(), s[2], got;
	char c[CMSG_SPACE(4)] __attribute__((aligned(8))) = {0}, b = 'x';
	struct iovec v = {&b, 1};
	struct msghdr m = {0, 0, &v, 1, c, sizeof c, 0};
	pid_t pid;
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	CHILD(pid) {
		shut(fd);
		CHECK(recvmsg(s[0], &m, 0) == 1);
		memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), 4);
		CHECK(flock(got, LOCK_EX) == 0);
		int mine = reopen();
		CHECK(shut(got) == 0);
		FAILS(flock(mine, LOCK_EX | LOCK_NB), EWOULDBLOCK);
		*flag = 3;
		await();
		CHECK(flock(mine, LOCK_EX | LOCK_NB) == 0);
		*flag = 2;
	}
	shut(fd), fd = reopen();
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, 4);
	CHECK(sendmsg(s[1], &m, 0) == 1);
	while (*flag != 3) sched_yield();
	closes(fd);
	CHECK(wait_code(pid) == 0);
}
CASE(locks_of_a_receiver_go_with_it) { both(sent); }

static void watched(void) {
	begin();
	for (int dir = 0; dir < 2; dir++) {
		int n = inotify_init1(IN_NONBLOCK), fd;
		CHECK(inotify_add_watch(n, dir ? base : file, IN_CLOSE_NOWRITE) >= 0);
		*flag = 0;
		pid_t pid;
		CHILD(pid) {
			struct pollfd p = {n, POLLIN};
			char b[1000];
			await();
			CHECK(poll(&p, 1, 2000) == 1 && read(n, b, sizeof b) > 0);
			*flag = 2;
		}
		fd = reopen();
		closes(fd);
		CHECK(wait_code(pid) == 0 && shut(n) == 0);
	}
}
CASE(watchers_hear_of_it) { both(watched); }

static void forks(void) {
	begin();
	char b[10];
	pid_t pid;
	int fd = reopen(), gone = reopen();
	shut(gone);
	CHILD(pid) {
		FAILS(fcntl(gone, F_GETFD), EBADF);
		await();
		CHECK(read(fd, b, 10) == 9 && shut(fd) == 0 && shut(fd) == -EBADF);
		*flag = 2;
	}
	closes(fd);
	CHECK(wait_code(pid) == 0 && shut(fd) == -EBADF);
	CHILD(pid) {
		fd = reopen();
		CHECK(dup2(fd, 9) == 9 && shut(fd) == 0 && shut(9) == 0);
		execl("/bin/sh", "sh", "-c", "test ! -e /proc/$$/fd/9", NULL);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(after_a_fork) { both(forks); }

static void filtered(void) {
	begin();
	pid_t pid;
	CHILD(pid) {
		int fd = reopen();
		refuse(SYS_close);
		CHECK(shut(fd) == -EXDEV);
		for (int i = 0; i < OFTEN; i++) CHECK(shut(reopen()) == -EXDEV);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(a_filter_sees_it) { both(filtered); }
