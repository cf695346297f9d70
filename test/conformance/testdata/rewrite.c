// Files that are written to at the same place again and again: contents, times, ends.
#include "case.h"
#include <sys/resource.h>
#include <sys/uio.h>

static char b[65536];

// make makes a file that was written to in one place all the time.
static int make(long n) {
	unlink("f");
	int fd = open("f", O_RDWR | O_CREAT, 0755);
	CHECK(fd >= 0);
	for (int i = 0; i < 200; i++) {
		memset(b, 'a' + i % 26, n);
		CHECK(pwrite(fd, b, n, 0) == n);
	}
	return fd;
}
static void same(int fd, char want, long off, long n) {
	static char got[65536];
	memset(got, 0, n);
	CHECK(pread(fd, got, n, off) == n);
	for (long i = 0; i < n; i++) CHECK(got[i] == want);
}
static void put(int fd, char c, long off, long n) {
	memset(b, c, n);
	CHECK(pwrite(fd, b, n, off) == n);
}
static int before(struct timespec a, struct timespec b) {
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}
static struct stat now(int fd) {
	struct stat st;
	CHECK(!fstat(fd, &st));
	return st;
}

CASE(contents) {
	int fd = make(9000), other = open("f", O_RDONLY);
	char *m = mmap(0, 9000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *p = mmap(0, 9000, PROT_READ, MAP_PRIVATE, other, 0);
	CHECK(m != MAP_FAILED && p != MAP_FAILED);
	for (int i = 0; i < 200; i++) {
		put(fd, 'A' + i % 26, 3000, 4096);
		CHECK(m[3000] == b[0] && m[7095] == b[0] && p[5000] == b[0]);
		m[8000] = i;
		same(other, b[0], 3000, 4096);
		same(other, i, 8000, 1);
	}
	struct iovec v[3] = {{"one", 3}, {"", 0}, {"three", 5}};
	CHECK(pwritev(fd, v, 3, 4094) == 8 && !memcmp(m + 4094, "onethree", 8));
	CHECK(lseek(fd, 100, SEEK_SET) == 100 && write(fd, b, 50) == 50 && lseek(fd, 0, SEEK_CUR) == 150);
	// A file is its own source.
	memset(m, 'x', 4096);
	CHECK(pwrite(fd, m, 4096, 4096) == 4096);
	same(fd, 'x', 0, 8192);
}
CASE(times) {
	int fd = make(4096);
	struct stat last = now(fd);
	for (int i = 0; i < 6; i++) {
		msleep(30);
		for (int k = 0; k < 100; k++) put(fd, 'n' + i, 0, 4096);
		struct stat st;
		if (i % 3 == 0) st = now(fd);
		if (i % 3 == 1) CHECK(!stat("f", &st));
		if (i % 3 == 2) CHECK(!fsync(fd) && !fstatat(AT_FDCWD, "f", &st, AT_SYMLINK_NOFOLLOW));
		CHECK(before(last.st_mtim, st.st_mtim) && before(last.st_ctim, st.st_ctim));
		struct stat again;
		msleep(30);
		again = now(fd);
		CHECK(!before(st.st_mtim, again.st_mtim) && !before(st.st_ctim, again.st_ctim));
		last = again;
	}
}
CASE(time_of_the_write) {
	// The time is that of the write, not that of the first look at it, up to a few ticks of the clock.
	int fd = make(4096);
	msleep(30);
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	for (int k = 0; k < 10; k++) put(fd, 't', 0, 4096);
	msleep(1500);
	struct stat st = now(fd);
	at.tv_sec++;
	CHECK(before(st.st_mtim, at));
}
CASE(time_of_access) {
	int fd = make(4096);
	for (int i = 0; i < 5; i++) {
		same(fd, b[0], 0, 4096);
		msleep(30);
		for (int k = 0; k < 100; k++) put(fd, 'r', 0, 4096);
		same(fd, 'r', 0, 4096);
		struct stat st = now(fd);
		CHECK(!before(st.st_atim, st.st_mtim));
	}
}
CASE(set_times) {
	int fd = make(4096);
	struct timespec t[2] = {{0, UTIME_OMIT}, {1000, 5}};
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 100; k++) put(fd, 'u', 0, 4096);
		CHECK(!futimens(fd, t));
		if (i % 2) msleep(30);
		struct stat st = now(fd);
		CHECK(st.st_mtim.tv_sec == 1000 && st.st_mtim.tv_nsec == 5);
		CHECK(!close(fd) && (fd = open("f", O_RDWR)) >= 0 && now(fd).st_mtim.tv_sec == 1000);
	}
	put(fd, 'v', 0, 4096);
	CHECK(now(fd).st_mtim.tv_sec > 1000);
}
CASE(truncated) {
	int fd = make(8192), w = open("f", O_WRONLY);
	for (int i = 0; i < 100; i++) put(fd, 'a', 0, 8192);
	CHECK(!ftruncate(w, 100));
	put(fd, 'b', 50, 100);
	CHECK(now(fd).st_size == 150);
	CHECK(!ftruncate(w, 8192));
	same(fd, 'b', 50, 100);
	same(fd, 0, 150, 8042);
	for (int i = 0; i < 100; i++) put(fd, 'c', 0, 8192);
	int t = open("f", O_WRONLY | O_TRUNC);
	put(fd, 'd', 4096, 10);
	CHECK(t >= 0 && now(fd).st_size == 4106);
	same(fd, 0, 0, 4096);
	for (int i = 0; i < 100; i++) put(fd, 'e', 0, 4106);
	put(fd, 'f', 4000, 8192);
	CHECK(now(fd).st_size == 12192);
	same(fd, 'f', 4000, 8192);
}
CASE(appended) {
	int fd = make(4096), a = open("f", O_WRONLY | O_APPEND);
	CHECK(write(a, "x", 1) == 1 && pwrite(a, "y", 1, 0) == 1 && now(fd).st_size == 4098);
	same(fd, 'x', 4096, 1);
	same(fd, 'y', 4097, 1);
	CHECK(!fcntl(fd, F_SETFL, O_APPEND) && pwrite(fd, "z", 1, 0) == 1 && now(fd).st_size == 4099);
}
CASE(forked) {
	int fd = make(4096);
	for (int i = 0; i < 20; i++) {
		pid_t pid;
		CHILD(pid) {
			for (int k = 0; k < 100; k++) put(fd, 'k', 0, 2048);
		}
		for (int k = 0; k < 100; k++) put(fd, 'p', 2048, 2048);
		CHECK(!wait_code(pid));
		same(fd, 'k', 0, 2048);
		same(fd, 'p', 2048, 2048);
		put(fd, '-', 0, 4096);
	}
}
CASE(whole) {
	// Two that write the same place: the one or the other.
	int fd = make(16384);
	pid_t pid;
	CHILD(pid) {
		for (int k = 0; k < 3000; k++) put(fd, 'k', 0, 16384);
	}
	for (int k = 0; k < 3000; k++) put(fd, 'p', 0, 16384);
	CHECK(!wait_code(pid) && pread(fd, b, 16384, 0) == 16384 && (b[0] == 'k' || b[0] == 'p'));
	same(fd, b[0], 0, 16384);
}
CASE(set_user_id) {
	int fd = make(4096);
	CHECK(!fchmod(fd, 06755));
	pid_t pid;
	CHILD(pid) {
		if (setuid(1000)) _exit(1);
		put(fd, 's', 0, 4096);
	}
	CHECK(!wait_code(pid) && (now(fd).st_mode & 07777) == 0755);
}
CASE(no_memory) {
	int fd = make(4096);
	char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED && !munmap(m + 4096, 4096));
	memset(m, 'm', 4096);
	FAILS(pwrite(fd, m + 4096, 8, 0), EFAULT);
	same(fd, b[0], 0, 8);
	CHECK(pwrite(fd, m + 4092, 8, 0) == 4);
	same(fd, 'm', 0, 4);
	same(fd, b[0], 4, 4);
}
CASE(size_limit) {
	int fd = make(8192);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit l;
	CHECK(!getrlimit(RLIMIT_FSIZE, &l));
	l.rlim_cur = 5000;
	CHECK(!setrlimit(RLIMIT_FSIZE, &l) && pwrite(fd, b, 8192, 0) == 5000);
	FAILS(pwrite(fd, b, 10, 5000), EFBIG);
}
