// read, write and their kin on regular files; seeking, truncation, allocation, copying, mapping.
#include "case.h"
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/resource.h>
#include <linux/falloc.h>

static int make(const char *text) {
	int fd = open("f", O_CREAT | O_RDWR | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}
static int is(int fd, const char *text) {
	char b[300];
	ssize_t n = pread(fd, b, sizeof b, 0);
	return n == (ssize_t)strlen(text) && !memcmp(b, text, n);
}
static off_t size(int fd) {
	struct stat st;
	return fstat(fd, &st) ? -1 : st.st_size;
}

CASE(offsets) {
	int fd = make("0123456789");
	char b[4];
	CHECK(lseek(fd, 0, SEEK_CUR) == 10 && lseek(fd, 3, SEEK_SET) == 3 && read(fd, b, 4) == 4 && !memcmp(b, "3456", 4));
	CHECK(lseek(fd, 0, SEEK_CUR) == 7 && lseek(fd, -2, SEEK_END) == 8 && lseek(fd, -1, SEEK_CUR) == 7);
	FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
	FAILS(lseek(fd, -100, SEEK_CUR), EINVAL);
	FAILS(lseek(fd, 0, 99), EINVAL);
	FAILS(lseek(999, 0, SEEK_SET), EBADF);
	int p[2];
	CHECK(pipe(p) == 0);
	FAILS(lseek(p[0], 0, SEEK_SET), ESPIPE);
}
CASE(shared_offset) {
	int fd = make("abcdef"), d = dup(fd);
	char b;
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && read(d, &b, 1) == 1 && b == 'a' && read(fd, &b, 1) == 1 && b == 'b');
	pid_t pid;
	CHILD(pid) CHECK(read(fd, &b, 1) == 1);
	CHECK(wait_code(pid) == 0 && read(fd, &b, 1) == 1 && b == 'd');
}
CASE(positional) {
	int fd = make("abcdef");
	char b[3];
	CHECK(pread(fd, b, 3, 2) == 3 && !memcmp(b, "cde", 3) && pwrite(fd, "XY", 2, 1) == 2 && is(fd, "aXYdef") && lseek(fd, 0, SEEK_CUR) == 6);
	FAILS(pread(fd, b, 1, -1), EINVAL);
	FAILS(pwrite(fd, b, 1, -1), EINVAL);
	CHECK(pread(fd, b, 3, 100) == 0);
}
CASE(access_modes) {
	close(make("x"));
	char b;
	int r = open("f", O_RDONLY), w = open("f", O_WRONLY);
	FAILS(write(r, "x", 1), EBADF);
	FAILS(read(w, &b, 1), EBADF);
	FAILS(ftruncate(r, 0), EINVAL);
	FAILS(read(999, &b, 1), EBADF);
	FAILS(read(r, (char *)1, 1), EFAULT);
}
CASE(append) {
	int fd = make("abc"), a = open("f", O_WRONLY | O_APPEND);
	CHECK(write(a, "d", 1) == 1 && pwrite(a, "e", 1, 0) == 1 && is(fd, "abcde") && lseek(a, 0, SEEK_CUR) == 4);
	CHECK(write(fd, "X", 1) == 1 && write(a, "f", 1) == 1 && is(fd, "abcXef"));
}
CASE(vectors) {
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	char a[3], b[4];
	struct iovec w[2] = {{"abc", 3}, {"defg", 4}}, r[2] = {{a, 3}, {b, 4}};
	CHECK(writev(fd, w, 2) == 7 && lseek(fd, 0, SEEK_SET) == 0 && readv(fd, r, 2) == 7 && !memcmp(a, "abc", 3) && !memcmp(b, "defg", 4));
	CHECK(preadv(fd, r, 2, 5) == 2 && pwritev(fd, w, 1, 7) == 3 && size(fd) == 10);
	FAILS(readv(fd, r, -1), EINVAL);
	FAILS(readv(fd, r, 1025), EINVAL);
	CHECK(readv(fd, r, 0) == 0);
	struct iovec bad[1] = {{a, -1}};
	FAILS(readv(fd, bad, 1), EINVAL);
}
CASE(vectors2) {
	int fd = make("abc");
	struct iovec w = {"Z", 1};
	CHECK(pwritev2(fd, &w, 1, 0, RWF_APPEND) == 1 && is(fd, "abcZ") && lseek(fd, 0, SEEK_CUR) == 3);
	CHECK(pwritev2(fd, &w, 1, -1, 0) == 1 && lseek(fd, 0, SEEK_CUR) == 4 && pwritev2(fd, &w, 1, 0, RWF_DSYNC) == 1);
	FAILS(pwritev2(fd, &w, 1, 0, 1 << 20), EOPNOTSUPP);
}
CASE(holes) {
	int fd = make("a");
	char b[10] = "xxxxxxxxx";
	CHECK(pwrite(fd, "z", 1, 1 << 20) == 1 && size(fd) == (1 << 20) + 1 && pread(fd, b, 9, 100) == 9 && !memcmp(b, "\0\0\0\0\0\0\0\0\0", 9));
	struct stat st;
	CHECK(fstat(fd, &st) == 0 && st.st_blocks * 512 < 1 << 20);
}
CASE(seek_hole) {
	int fd = make("a");
	CHECK(ftruncate(fd, 1 << 20) == 0 && lseek(fd, 0, SEEK_DATA) == 0 && lseek(fd, 0, SEEK_HOLE) == 4096);
	FAILS(lseek(fd, 1 << 20, SEEK_DATA), ENXIO);
	FAILS(lseek(fd, 8192, SEEK_DATA), ENXIO);
	CHECK(lseek(fd, 8192, SEEK_HOLE) == 8192);
}
CASE(truncate_sizes) {
	int fd = make("abcdef");
	CHECK(ftruncate(fd, 3) == 0 && is(fd, "abc") && ftruncate(fd, 5) == 0 && size(fd) == 5);
	char b[5];
	CHECK(pread(fd, b, 5, 0) == 5 && !memcmp(b, "abc\0\0", 5) && truncate("f", 1) == 0 && size(fd) == 1);
	FAILS(ftruncate(fd, -1), EINVAL);
	FAILS(truncate("x", 1), ENOENT);
	FAILS(truncate(".", 1), EISDIR);
	CHECK(mkfifo("p", 0600) == 0);
	FAILS(truncate("p", 1), EINVAL);
}
CASE(allocate) {
	int fd = make("abcdef");
	CHECK(fallocate(fd, 0, 0, 100) == 0 && size(fd) == 100 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000) == 0 && size(fd) == 100);
	FAILS(fallocate(fd, 0, -1, 10), EINVAL);
	FAILS(fallocate(fd, 0, 0, 0), EINVAL);
	FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
	FAILS(fallocate(open("f", O_RDONLY), 0, 0, 10), EBADF);
}
CASE(punch) {
	int fd = make("abcdef");
	char b[6];
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 3) == 0 && size(fd) == 6);
	CHECK(pread(fd, b, 6, 0) == 6 && !memcmp(b, "a\0\0\0ef", 6));
}
CASE(size_limit) {
	signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4, 4}) == 0);
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	CHECK(write(fd, "abcdef", 6) == 4);
	FAILS(write(fd, "g", 1), EFBIG);
	FAILS(ftruncate(fd, 5), EFBIG);
	CHECK(ftruncate(fd, 2) == 0);
}
CASE(size_signal) {
	pid_t pid;
	CHILD(pid) {
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
		write(open("f", O_CREAT | O_RDWR, 0644), "a", 1);
	}
	CHECK(wait_code(pid) == 128 + SIGXFSZ);
}
CASE(sendfile) {
	int fd = make("abcdef"), out = open("g", O_CREAT | O_RDWR, 0644);
	off_t off = 2;
	CHECK(sendfile(out, fd, &off, 3) == 3 && off == 5 && is(out, "cde") && lseek(fd, 0, SEEK_CUR) == 6);
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && sendfile(out, fd, NULL, 100) == 6 && lseek(fd, 0, SEEK_CUR) == 6 && size(out) == 9);
	off = -1;
	FAILS(sendfile(out, fd, &off, 1), EINVAL);
	FAILS(sendfile(open("g", O_WRONLY | O_APPEND), fd, NULL, 1), EINVAL);
	FAILS(sendfile(out, 999, NULL, 1), EBADF);
}
CASE(sendfile_to_pipe) {
	int fd = make("abcdef"), p[2];
	char b[6];
	off_t off = 0;
	CHECK(pipe(p) == 0 && sendfile(p[1], fd, &off, 6) == 6 && read(p[0], b, 6) == 6 && !memcmp(b, "abcdef", 6));
}
CASE(copy_range) {
	int fd = make("abcdef"), out = open("g", O_CREAT | O_RDWR, 0644);
	off_t a = 1, b = 2;
	CHECK(copy_file_range(fd, &a, out, &b, 3, 0) == 3 && a == 4 && b == 5 && size(out) == 5);
	FAILS(copy_file_range(fd, &a, out, &b, 3, 1), EINVAL);
	FAILS(copy_file_range(open(".", O_RDONLY), NULL, out, NULL, 3, 0), EISDIR);
	a = 0, b = 1;
	FAILS(copy_file_range(fd, &a, fd, &b, 3, 0), EINVAL);
	a = 100;
	CHECK(copy_file_range(fd, &a, out, NULL, 3, 0) == 0);
}
CASE(advice) {
	int fd = make("a"), p[2];
	CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0 && posix_fadvise(fd, 0, 0, 99) == EINVAL && pipe(p) == 0);
	CHECK(posix_fadvise(p[0], 0, 0, 0) == ESPIPE && readahead(fd, 0, 10) == 0);
	FAILS(readahead(p[0], 0, 10), EINVAL);
}
CASE(syncing) {
	int fd = make("a"), p[2];
	CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 && syncfs(fd) == 0 && sync_file_range(fd, 0, 0, 7) == 0 && fsync(open(".", O_RDONLY)) == 0 && pipe(p) == 0);
	FAILS(fsync(p[0]), EINVAL);
	FAILS(fsync(999), EBADF);
	FAILS(sync_file_range(fd, -1, 0, 0), EINVAL);
	sync();
}
CASE(map_shared) {
	int fd = make("abcdef");
	char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(m != MAP_FAILED && !memcmp(m, "abcdef\0", 7));
	m[0] = 'X';
	CHECK(is(fd, "Xbcdef") && pwrite(fd, "Y", 1, 1) == 1 && m[1] == 'Y' && msync(m, 4096, MS_SYNC) == 0);
	CHECK(close(fd) == 0 && m[2] == 'c' && munmap(m, 4096) == 0);
}
CASE(map_private) {
	int fd = make("abcdef");
	char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	m[0] = 'X';
	CHECK(is(fd, "abcdef") && m[0] == 'X' && m[1] == 'b');
}
CASE(map_rights) {
	close(make("abc"));
	int r = open("f", O_RDONLY), w = open("f", O_WRONLY);
	FAILS(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0), EACCES);
	FAILS(mmap(0, 4096, PROT_READ, MAP_SHARED, w, 0), EACCES);
	CHECK(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, r, 0) != MAP_FAILED);
	FAILS(mmap(0, 4096, PROT_READ, MAP_SHARED, r, 1), EINVAL);
	FAILS(mmap(0, 4096, PROT_READ, MAP_SHARED, open(".", O_RDONLY), 0), ENODEV);
}
CASE(map_beyond_end) {
	int fd = make("abc");
	pid_t pid;
	CHILD(pid) {
		volatile char *m = mmap(0, 8192, PROT_READ, MAP_SHARED, fd, 0);
		if (m[4000] == 0 && m[5000] == 0) _exit(1);
	}
	CHECK(wait_code(pid) == 128 + SIGBUS);
}
CASE(map_truncated) {
	int fd = make("abc");
	CHECK(ftruncate(fd, 8192) == 0);
	pid_t pid;
	CHILD(pid) {
		volatile char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		m[5000] = 1;
		if (ftruncate(fd, 4096)) _exit(1);
		_exit(m[5000] ? 2 : 3);
	}
	CHECK(wait_code(pid) == 128 + SIGBUS);
}
CASE(memfd_link) {
	int fd = memfd_create("name", 0);
	char b[100], p[40];
	sprintf(p, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(p, b, 100);
	CHECK(n == 21 && !memcmp(b, "/memfd:name (deleted)", 21) && open(p, O_RDWR) >= 0);
	CHECK(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
}
CASE(memfd_seals) {
	int fd = memfd_create("s", MFD_ALLOW_SEALING);
	CHECK(ftruncate(fd, 100) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	FAILS(ftruncate(fd, 50), EPERM);
	FAILS(ftruncate(fd, 150), EPERM);
	FAILS(pwrite(fd, "a", 1, 100), EPERM);
	CHECK(pwrite(fd, "a", 1, 0) == 1);
	void *m = mmap(0, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(m != MAP_FAILED);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK(munmap(m, 100) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	FAILS(pwrite(fd, "a", 1, 0), EPERM);
	FAILS(mmap(0, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
}
CASE(devices) {
	char b[16];
	int n = open("/dev/null", O_RDWR), z = open("/dev/zero", O_RDWR), f = open("/dev/full", O_RDWR), u = open("/dev/urandom", O_RDONLY);
	CHECK(read(n, b, 16) == 0 && write(n, b, 16) == 16 && read(z, b, 16) == 16 && !b[0] && !b[15] && read(u, b, 16) == 16);
	FAILS(write(f, b, 16), ENOSPC);
	char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, z, 0);
	CHECK(m != MAP_FAILED && m[0] == 0);
}
static void again(int fd, const char *want, long n) {
	static char b[20000];
	for (int i = 0; i < 12; i++) {
		memset(b, '?', sizeof b);
		CHECK(pread(fd, b, n, 0) == n && !memcmp(b, want, n));
		CHECK(b[n] == '?');
	}
}
CASE(read_again_after_changes) {
	static char a[20000], big[20000];
	memset(a, 'a', sizeof a);
	int r = open("f", O_RDONLY | O_CREAT, 0600), w = open("f", O_WRONLY);
	CHECK(r >= 0 && w >= 0 && write(w, a, 10000) == 10000);
	again(r, a, 10000);
	CHECK(pwrite(w, "b", 1, 5000) == 1);
	a[5000] = 'b';
	again(r, a, 10000);
	char *m = mmap(0, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, open("f", O_RDWR), 0);
	CHECK(m != MAP_FAILED);
	a[9999] = m[9999] = 'c';
	again(r, a, 10000);
	CHECK(pread(r, big, 20000, 0) == 10000 && pread(r, big, 100, 9999) == 1 && pread(r, big, 1, 10000) == 0);
	CHECK(!ftruncate(w, 6000) && pread(r, big, 10000, 0) == 6000 && pread(r, big, 10, 6000) == 0);
	CHECK(!ftruncate(w, 10000));
	memset(a + 6000, 0, 4000);
	again(r, a, 10000);
	CHECK(pwrite(w, "end", 3, 10000) == 3);
	memcpy(a + 10000, "end", 3);
	again(r, a, 10003);
	int n = open("g", O_RDWR | O_CREAT, 0600);
	CHECK(n >= 0 && write(n, "new", 3) == 3 && !rename("g", "f"));
	again(r, a, 10003);
	again(open("f", O_RDONLY), "new", 3);
}
CASE(read_again_before_the_first_write) {
	// What was opened for reading first, and often read, is then written to through another descriptor.
	close(make("old contents"));
	int r = open("f", O_RDONLY);
	again(r, "old contents", 12);
	int w = open("f", O_WRONLY);
	CHECK(pwrite(w, "new", 3, 0) == 3);
	again(r, "new contents", 12);
	struct stat before, after;
	CHECK(!fstat(r, &before) && pwrite(w, "N", 1, 0) == 1);
	msleep(20);
	CHECK(pread(r, (char[1]){0}, 1, 0) == 1 && !fstat(r, &after));
	CHECK(after.st_atim.tv_sec > before.st_atim.tv_sec ||
	      after.st_atim.tv_sec == before.st_atim.tv_sec && after.st_atim.tv_nsec >= before.st_atim.tv_nsec);
}
CASE(read_again_into_no_memory) {
	int r = make("contents");
	again(r, "contents", 8);
	char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED && !munmap(m + 4096, 4096));
	CHECK(pread(r, m + 4092, 8, 0) == 4 && !memcmp(m + 4092, "cont", 4));
	FAILS(pread(r, m + 4096, 8, 0), EFAULT);
	CHECK(!mprotect(m, 4096, PROT_READ));
	FAILS(pread(r, m, 8, 0), EFAULT);
}
