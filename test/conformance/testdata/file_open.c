// open(2), openat2(2), O_PATH, O_TMPFILE, path walk.
#include "case.h"
#include <linux/openat2.h>
#include <sys/uio.h>

static int put(const char *name, const char *text) {
	int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) return -1;
	return close(fd);
}
static int openat2_(int dir, const char *name, unsigned long flags, unsigned long mode, unsigned long resolve) {
	struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
	return syscall(SYS_openat2, dir, name, &how, sizeof how);
}

CASE(create_and_read) {
	CHECK(put("f", "hello") == 0);
	char b[10];
	int fd = open("f", O_RDONLY);
	CHECK(fd >= 0 && read(fd, b, 10) == 5 && memcmp(b, "hello", 5) == 0 && read(fd, b, 10) == 0);
}
CASE(lowest_descriptor) {
	int a = open(".", O_RDONLY), b = open(".", O_RDONLY);
	CHECK(b == a + 1);
	close(a);
	CHECK(open(".", O_RDONLY) == a);
}
CASE(exclusive) {
	CHECK(put("f", "") == 0);
	FAILS(open("f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK(symlink("nowhere", "l") == 0);
	FAILS(open("l", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
}
CASE(create_through_dangling_link) {
	CHECK(symlink("made", "l") == 0);
	CHECK(open("l", O_CREAT | O_RDWR, 0600) >= 0 && access("made", F_OK) == 0);
}
CASE(nofollow) {
	CHECK(put("f", "") == 0 && symlink("f", "l") == 0);
	FAILS(open("l", O_NOFOLLOW | O_RDONLY), ELOOP);
	CHECK(open("f", O_NOFOLLOW | O_RDONLY) >= 0);
}
CASE(directory_flags) {
	CHECK(mkdir("d", 0755) == 0 && put("f", "") == 0);
	FAILS(open("f", O_DIRECTORY), ENOTDIR);
	FAILS(open("d", O_WRONLY), EISDIR);
	FAILS(open("d", O_RDWR), EISDIR);
	FAILS(open("d", O_CREAT, 0600), EISDIR);
	CHECK(open("d", O_DIRECTORY) >= 0);
}
CASE(missing) {
	FAILS(open("x", O_RDONLY), ENOENT);
	FAILS(open("x/y", O_CREAT | O_RDWR, 0600), ENOENT);
	FAILS(open("", O_RDONLY), ENOENT);
	FAILS(open((char *)1, O_RDONLY), EFAULT);
}
CASE(trailing_slash) {
	CHECK(put("f", "") == 0 && mkdir("d", 0755) == 0);
	FAILS(open("f/", O_RDONLY), ENOTDIR);
	FAILS(open("f/.", O_RDONLY), ENOTDIR);
	FAILS(open("n/", O_CREAT | O_RDWR, 0600), EISDIR);
	CHECK(open("d/", O_RDONLY) >= 0 && open("d//.//", O_RDONLY) >= 0);
}
CASE(name_lengths) {
	char n[5000];
	memset(n, 'a', sizeof n);
	n[256] = 0;
	FAILS(open(n, O_RDONLY), ENAMETOOLONG);
	n[255] = 0;
	CHECK(open(n, O_CREAT | O_RDWR, 0600) >= 0);
	n[255] = 'a', n[4999] = 0;
	FAILS(open(n, O_RDONLY), ENAMETOOLONG);
	for (int i = 0; i < 4096; i++) n[i] = i % 2 ? '/' : '.';
	n[4095] = 0;
	CHECK(open(n, O_RDONLY) >= 0);
	n[4095] = '/', n[4096] = 0;
	FAILS(open(n, O_RDONLY), ENAMETOOLONG);
}
CASE(link_loops) {
	CHECK(symlink("b", "a") == 0 && symlink("a", "b") == 0);
	FAILS(open("a", O_RDONLY), ELOOP);
	char from[20], to[20];
	CHECK(put("0", "end") == 0);
	for (int i = 1; i <= 41; i++) {
		sprintf(from, "%d", i), sprintf(to, "%d", i - 1);
		CHECK(symlink(to, from) == 0);
	}
	CHECK(open("40", O_RDONLY) >= 0);
	FAILS(open("41", O_RDONLY), ELOOP);
}
CASE(dot_dot) {
	CHECK(mkdir("d", 0755) == 0 && put("f", "") == 0);
	CHECK(open("d/../f", O_RDONLY) >= 0);
	FAILS(open("f/../f", O_RDONLY), ENOTDIR);
	FAILS(open("x/../f", O_RDONLY), ENOENT);
	CHECK(open("/../../../", O_RDONLY) >= 0);
}
CASE(umask) {
	struct stat st;
	umask(027);
	CHECK(close(open("f", O_CREAT | O_RDWR, 0666)) == 0 && stat("f", &st) == 0 && (st.st_mode & 07777) == 0640);
	CHECK(mkdir("d", 0777) == 0 && stat("d", &st) == 0 && (st.st_mode & 07777) == 0750);
	CHECK(umask(0) == 027);
}
CASE(truncate_flag) {
	struct stat st;
	CHECK(put("f", "hello") == 0);
	CHECK(open("f", O_WRONLY | O_TRUNC) >= 0 && stat("f", &st) == 0 && st.st_size == 0);
}
CASE(openat_directories) {
	CHECK(mkdir("d", 0755) == 0 && put("d/f", "") == 0 && put("g", "") == 0);
	int d = open("d", O_RDONLY), f = open("g", O_RDONLY);
	CHECK(openat(d, "f", O_RDONLY) >= 0);
	FAILS(openat(d, "g", O_RDONLY), ENOENT);
	FAILS(openat(f, "g", O_RDONLY), ENOTDIR);
	FAILS(openat(999, "g", O_RDONLY), EBADF);
	CHECK(openat(999, "/", O_RDONLY) >= 0);
}
CASE(path_descriptor) {
	CHECK(put("f", "x") == 0);
	char b;
	int fd = open("f", O_PATH);
	struct stat st;
	FAILS(read(fd, &b, 1), EBADF);
	FAILS(write(fd, &b, 1), EBADF);
	FAILS(fchmod(fd, 0600), EBADF);
	FAILS(lseek(fd, 0, SEEK_SET), EBADF);
	FAILS(fcntl(fd, F_SETFL, 0), EBADF);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 1);
	CHECK((fcntl(fd, F_GETFL) & O_PATH) != 0 && fcntl(fd, F_GETFD) == 0);
	CHECK(dup(fd) >= 0);
}
CASE(path_descriptor_of_link) {
	struct stat st;
	char b[10];
	CHECK(symlink("target", "l") == 0);
	int fd = open("l", O_PATH | O_NOFOLLOW);
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(readlinkat(fd, "", b, 10) == 6);
}
CASE(tmpfile) {
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	struct stat st;
	char p[40];
	if (fd < 0 && errno == EOPNOTSUPP) return;
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && write(fd, "x", 1) == 1);
	FAILS(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	sprintf(p, "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, p, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0 && stat("named", &st) == 0 && st.st_size == 1);
}
CASE(status_flags) {
	int fd = open("f", O_CREAT | O_RDWR | O_APPEND | O_NONBLOCK, 0600);
	int fl = fcntl(fd, F_GETFL);
	CHECK((fl & O_ACCMODE) == O_RDWR && (fl & O_APPEND) && (fl & O_NONBLOCK) && !(fl & O_CREAT));
	CHECK(fcntl(fd, F_SETFL, 0) == 0 && (fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE)) == O_RDWR);
}
CASE(close_on_exec) {
	int fd = open(".", O_RDONLY | O_CLOEXEC);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(dup(fd), F_GETFD) == 0);
	CHECK(fcntl(fcntl(fd, F_DUPFD_CLOEXEC, 100), F_GETFD) == FD_CLOEXEC);
}
CASE(reopen_by_proc) {
	CHECK(put("f", "data") == 0);
	char p[40], b[4];
	int fd = open("f", O_RDONLY);
	CHECK(unlink("f") == 0);
	sprintf(p, "/proc/self/fd/%d", fd);
	int g = open(p, O_RDWR);
	CHECK(g >= 0 && read(g, b, 4) == 4 && !memcmp(b, "data", 4));
}
CASE(beneath) {
	CHECK(mkdir("d", 0755) == 0 && put("f", "") == 0 && put("d/g", "") == 0 && symlink("../f", "d/l") == 0 && symlink("/", "d/abs") == 0);
	int d = open("d", O_RDONLY);
	CHECK(openat2_(d, "g", 0, 0, RESOLVE_BENEATH) >= 0);
	FAILS(openat2_(d, "../f", 0, 0, RESOLVE_BENEATH), EXDEV);
	FAILS(openat2_(d, "/etc", 0, 0, RESOLVE_BENEATH), EXDEV);
	FAILS(openat2_(d, "l", 0, 0, RESOLVE_BENEATH), EXDEV);
	FAILS(openat2_(d, "abs", 0, 0, RESOLVE_BENEATH), EXDEV);
	CHECK(openat2_(AT_FDCWD, "d/../f", 0, 0, RESOLVE_BENEATH) >= 0);
}
CASE(in_root) {
	CHECK(mkdir("d", 0755) == 0 && put("d/f", "x") == 0 && symlink("/f", "d/l") == 0);
	int d = open("d", O_RDONLY);
	CHECK(openat2_(d, "/f", 0, 0, RESOLVE_IN_ROOT) >= 0);
	CHECK(openat2_(d, "../../f", 0, 0, RESOLVE_IN_ROOT) >= 0);
	CHECK(openat2_(d, "l", 0, 0, RESOLVE_IN_ROOT) >= 0);
}
CASE(no_symlinks) {
	CHECK(mkdir("d", 0755) == 0 && put("d/f", "") == 0 && symlink("d", "l") == 0);
	FAILS(openat2_(AT_FDCWD, "l/f", 0, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK(openat2_(AT_FDCWD, "l", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS) >= 0);
	FAILS(openat2_(AT_FDCWD, "/proc/self/exe", 0, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
	FAILS(openat2_(AT_FDCWD, "/proc/self/stat", 0, 0, RESOLVE_NO_XDEV), EXDEV);
}
CASE(openat2_arguments) {
	struct open_how how = {0};
	FAILS(openat2_(AT_FDCWD, ".", 1UL << 40, 0, 0), EINVAL);
	FAILS(openat2_(AT_FDCWD, ".", 0, 0644, 0), EINVAL);
	FAILS(openat2_(AT_FDCWD, ".", 0, 0, 1UL << 30), EINVAL);
	FAILS(openat2_(AT_FDCWD, ".", 0, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
	FAILS(syscall(SYS_openat2, AT_FDCWD, ".", &how, 8), EINVAL);
	FAILS(openat2_(AT_FDCWD, "f", O_CREAT | O_RDWR, 010000, 0), EINVAL);
	char big[64] = {0};
	CHECK(syscall(SYS_openat2, AT_FDCWD, ".", big, 64) >= 0);
	big[60] = 1;
	FAILS(syscall(SYS_openat2, AT_FDCWD, ".", big, 64), E2BIG);
}
CASE(permissions) {
	CHECK(put("f", "") == 0 && chmod("f", 0640) == 0 && mkdir("d", 0700) == 0 && put("d/x", "") == 0 && chmod(".", 0755) == 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(4321) == 0 && setuid(4321) == 0);
		FAILS(open("f", O_RDONLY), EACCES);
		FAILS(open("f", O_WRONLY), EACCES);
		FAILS(open("d/x", O_RDONLY), EACCES);
		FAILS(open("new", O_CREAT | O_RDWR, 0600), EACCES);
		CHECK(open("f", O_PATH) >= 0);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(noatime_owner) {
	CHECK(put("f", "") == 0);
	CHECK(open("f", O_RDONLY | O_NOATIME) >= 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(setuid(4321) == 0);
		FAILS(open("f", O_RDONLY | O_NOATIME), EPERM);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(text_busy) {
	CHECK(put("s", "") == 0);
	int in = open("/proc/self/exe", O_RDONLY), out = open("s", O_WRONLY | O_TRUNC);
	char b[65536];
	for (ssize_t n; (n = read(in, b, sizeof b)) > 0;) CHECK(write(out, b, n) == n);
	CHECK(chmod("s", 0755) == 0);
	FAILS(execl("./s", "s", "none", NULL), ETXTBSY);
	close(out);
}
CASE(descriptor_limit) {
	CHECK(syscall(SYS_prlimit64, 0, 7, (unsigned long[]){10, 10}, NULL) == 0);
	int fd;
	while ((fd = open(".", O_RDONLY)) >= 0) CHECK(fd < 10);
	CHECK(errno == EMFILE);
	FAILS(fcntl(0, F_DUPFD, 10), EINVAL);
	FAILS(dup2(0, 10), EBADF);
}
CASE(dup_family) {
	int fd = open(".", O_RDONLY);
	CHECK(dup2(fd, fd) == fd && dup2(fd, 50) == 50 && dup3(fd, 51, O_CLOEXEC) == 51 && fcntl(51, F_GETFD) == FD_CLOEXEC);
	FAILS(dup3(fd, fd, 0), EINVAL);
	FAILS(dup3(fd, 52, 1), EINVAL);
	FAILS(dup2(999, 50), EBADF);
	FAILS(dup(999), EBADF);
	CHECK(fcntl(50, F_GETFD) == 0);
}
CASE(close_range) {
	int fd = open(".", O_RDONLY);
	CHECK(dup2(fd, 60) == 60 && dup2(fd, 61) == 61 && dup2(fd, 62) == 62);
	CHECK(syscall(SYS_close_range, 60, 61, 0) == 0 && fcntl(60, F_GETFD) < 0 && fcntl(62, F_GETFD) == 0);
	CHECK(syscall(SYS_close_range, 62, ~0U, 4) == 0 && fcntl(62, F_GETFD) == FD_CLOEXEC);
	FAILS(syscall(SYS_close_range, 5, 4, 0), EINVAL);
}
