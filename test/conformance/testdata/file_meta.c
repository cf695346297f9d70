// Attributes: chmod, chown, utimes, stat, statx, statfs, access, extended attributes.
#include "case.h"
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <grp.h>
#include <sys/xattr.h>

static struct stat st;
static void touch(const char *name) {
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0 && close(fd) == 0);
}
static int mode(const char *name) { return stat(name, &st) ? -1 : (int)(st.st_mode & 07777); }
#define AS_USER(pid) CHILD(pid) if (setgid(4321) == 0 && setuid(4321) == 0)

CASE(chmod_bits) {
	touch("f");
	CHECK(chmod("f", 07777) == 0 && mode("f") == 07777 && chmod("f", 0170000 | 0600) == 0 && mode("f") == 0600);
	CHECK(fchmod(open("f", O_RDONLY), 0640) == 0 && mode("f") == 0640 && fchmodat(AT_FDCWD, "f", 0604, 0) == 0 && mode("f") == 0604);
	FAILS(chmod("x", 0600), ENOENT);
	FAILS(fchmod(999, 0600), EBADF);
}
CASE(chmod_others_file) {
	touch("f");
	CHECK(chmod(".", 0777) == 0);
	pid_t pid;
	AS_USER(pid) {
		FAILS(chmod("f", 0777), EPERM);
		touch("mine");
		CHECK(chmod("mine", 0600) == 0);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(chown_clears_setid) {
	touch("f");
	CHECK(chmod("f", 06755) == 0 && chown("f", 1, 2) == 0 && mode("f") == 0755 && st.st_uid == 1 && st.st_gid == 2);
	CHECK(chmod("f", 06755) == 0 && chown("f", -1, -1) == 0 && mode("f") == 0755);
	CHECK(chmod("f", 02644) == 0 && chown("f", -1, 3) == 0 && mode("f") == 02644 && st.st_uid == 1 && st.st_gid == 3);
	CHECK(mkdir("d", 0755) == 0 && chmod("d", 06755) == 0 && chown("d", 1, 1) == 0 && mode("d") == 06755);
}
CASE(chown_rights) {
	touch("f");
	CHECK(chmod(".", 0777) == 0);
	pid_t pid;
	AS_USER(pid) {
		FAILS(chown("f", 4321, -1), EPERM);
		touch("mine");
		FAILS(chown("mine", 1, -1), EPERM);
		FAILS(chown("mine", -1, 1), EPERM);
		CHECK(chown("mine", 4321, 4321) == 0);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(lchown) {
	touch("f");
	CHECK(symlink("f", "l") == 0 && lchown("l", 5, 6) == 0 && lstat("l", &st) == 0 && st.st_uid == 5 && stat("l", &st) == 0 && st.st_uid == 0);
	CHECK(fchownat(AT_FDCWD, "l", 7, 8, AT_SYMLINK_NOFOLLOW) == 0 && lstat("l", &st) == 0 && st.st_gid == 8);
	FAILS(fchownat(AT_FDCWD, "l", 7, 8, 1), EINVAL);
	CHECK(fchownat(open("f", O_RDONLY), "", 9, 9, AT_EMPTY_PATH) == 0 && stat("f", &st) == 0 && st.st_uid == 9);
}
CASE(setgid_needs_group) {
	CHECK(chmod(".", 0777) == 0);
	touch("f");
	CHECK(chown("f", 4321, 1) == 0);
	pid_t pid;
	AS_USER(pid) CHECK(setgroups(0, 0) || chmod("f", 02755) == 0);
	CHECK(wait_code(pid) == 0);
}
CASE(write_clears_setuid) {
	touch("f");
	CHECK(chmod("f", 06777) == 0 && chmod(".", 0755) == 0);
	pid_t pid;
	AS_USER(pid) CHECK(write(open("f", O_WRONLY), "x", 1) == 1);
	CHECK(wait_code(pid) == 0 && mode("f") == 0777);
}
CASE(utimes) {
	touch("f");
	struct timespec t[2] = {{100, 1}, {200, 2}};
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec == 100 && st.st_mtim.tv_nsec == 2);
	t[0].tv_nsec = UTIME_OMIT, t[1].tv_sec = -5;
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec == 100 && st.st_mtim.tv_sec == -5);
	t[1].tv_nsec = UTIME_NOW;
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0 && stat("f", &st) == 0 && st.st_mtim.tv_sec > 1000000000);
	t[1].tv_nsec = 1000000000;
	FAILS(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
	FAILS(utimensat(AT_FDCWD, "x", 0, 0), ENOENT);
	FAILS(utimensat(AT_FDCWD, "f", 0, 1), EINVAL);
	CHECK(futimens(open("f", O_RDONLY), 0) == 0);
}
CASE(utimes_of_link) {
	touch("f");
	struct timespec t[2] = {{100, 0}, {100, 0}};
	CHECK(symlink("f", "l") == 0 && utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW) == 0 && lstat("l", &st) == 0 && st.st_mtim.tv_sec == 100);
	CHECK(stat("l", &st) == 0 && st.st_mtim.tv_sec != 100);
}
CASE(utimes_rights) {
	touch("f");
	CHECK(chmod("f", 0666) == 0 && chmod(".", 0755) == 0);
	struct timespec t[2] = {{1, 0}, {1, 0}};
	pid_t pid;
	AS_USER(pid) {
		CHECK(utimensat(AT_FDCWD, "f", 0, 0) == 0);
		FAILS(utimensat(AT_FDCWD, "f", t, 0), EPERM);
	}
	CHECK(wait_code(pid) == 0 && chmod("f", 0644) == 0);
	AS_USER(pid) FAILS(utimensat(AT_FDCWD, "f", 0, 0), EACCES);
	CHECK(wait_code(pid) == 0);
}
CASE(times_move) {
	touch("f");
	CHECK(stat("f", &st) == 0);
	struct timespec m = st.st_mtim, c = st.st_ctim;
	msleep(20);
	CHECK(chmod("f", 0600) == 0 && stat("f", &st) == 0 && memcmp(&m, &st.st_mtim, sizeof m) == 0 && memcmp(&c, &st.st_ctim, sizeof c) != 0);
	msleep(20);
	CHECK(write(open("f", O_WRONLY), "x", 1) == 1 && stat("f", &st) == 0 && memcmp(&m, &st.st_mtim, sizeof m) != 0);
	CHECK(stat(".", &st) == 0);
	m = st.st_mtim;
	msleep(20);
	touch("g");
	CHECK(stat(".", &st) == 0 && memcmp(&m, &st.st_mtim, sizeof m) != 0);
}
CASE(stat_kinds) {
	touch("f");
	CHECK(stat("f", &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_blksize >= 512 && stat(".", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
	int p[2];
	CHECK(pipe(p) == 0 && fstat(p[0], &st) == 0 && S_ISFIFO(st.st_mode));
	FAILS(stat("x", &st), ENOENT);
	FAILS(stat("f/x", &st), ENOTDIR);
	FAILS(fstat(999, &st), EBADF);
	FAILS(stat("", &st), ENOENT);
	FAILS(syscall(SYS_stat, "f", 1), EFAULT);
}
CASE(fstatat_flags) {
	touch("f");
	CHECK(symlink("f", "l") == 0 && fstatat(AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
	int fd = open("f", O_RDONLY);
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode) && fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode));
	FAILS(fstatat(fd, "", &st, 0), ENOENT);
	FAILS(fstatat(fd, "x", &st, 0), ENOTDIR);
	FAILS(syscall(SYS_newfstatat, AT_FDCWD, "f", &st, 4), EINVAL);
}
CASE(statx_fields) {
	struct statx x;
	touch("f");
	CHECK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x) == 0 && (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	CHECK(stat("f", &st) == 0 && x.stx_ino == st.st_ino && x.stx_mode == st.st_mode && x.stx_dev_minor == minor(st.st_dev));
	CHECK(statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &x) == 0 && (x.stx_attributes & STATX_ATTR_MOUNT_ROOT));
	FAILS(statx(AT_FDCWD, "f", 0x6000, 0, &x), EINVAL);
	FAILS(statx(AT_FDCWD, "f", 0, 0x80000000, &x), EINVAL);
}
CASE(statfs) {
	struct statfs s;
	CHECK(statfs("/proc", &s) == 0 && s.f_type == 0x9fa0 && statfs(".", &s) == 0 && s.f_namelen == 255 && s.f_bsize > 0);
	CHECK(fstatfs(open(".", O_RDONLY), &s) == 0);
	FAILS(statfs("x", &s), ENOENT);
	FAILS(fstatfs(999, &s), EBADF);
}
CASE(access_checks) {
	touch("f");
	CHECK(access("f", R_OK | W_OK) == 0 && chmod(".", 0755) == 0);
	FAILS(access("f", X_OK), EACCES);
	FAILS(access("x", F_OK), ENOENT);
	FAILS(access("f", 8), EINVAL);
	pid_t pid;
	AS_USER(pid) {
		CHECK(access("f", R_OK) == 0);
		FAILS(access("f", W_OK), EACCES);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(access_is_about_real_user) {
	touch("f");
	CHECK(chmod("f", 0600) == 0 && chmod(".", 0755) == 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(setresuid(4321, 0, 0) == 0);
		FAILS(access("f", R_OK), EACCES);
		CHECK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS) == 0 && open("f", O_RDONLY) >= 0);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(xattr_round) {
	char b[100];
	touch("f");
	if (setxattr("f", "user.a", "value", 5, 0) && errno == EOPNOTSUPP) return;
	CHECK(getxattr("f", "user.a", b, 100) == 5 && !memcmp(b, "value", 5) && getxattr("f", "user.a", 0, 0) == 5);
	FAILS(getxattr("f", "user.a", b, 2), ERANGE);
	FAILS(getxattr("f", "user.b", b, 2), ENODATA);
	CHECK(listxattr("f", b, 100) >= 7);
	FAILS(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST);
	FAILS(setxattr("f", "user.b", "x", 1, XATTR_REPLACE), ENODATA);
	CHECK(removexattr("f", "user.a") == 0);
	FAILS(removexattr("f", "user.a"), ENODATA);
	int fd = open("f", O_RDONLY);
	CHECK(fsetxattr(fd, "user.c", "", 0, 0) == 0 && fgetxattr(fd, "user.c", b, 100) == 0 && fremovexattr(fd, "user.c") == 0);
}
CASE(xattr_names) {
	touch("f");
	char n[400] = "user.";
	memset(n + 5, 'a', 300);
	FAILS(setxattr("f", n, "x", 1, 0), ERANGE);
	FAILS(setxattr("f", "", "x", 1, 0), ERANGE);
	FAILS(setxattr("f", "nonsense", "x", 1, 0), EOPNOTSUPP);
	FAILS(setxattr("f", "user.", "x", 1, 0), EINVAL);
	FAILS(setxattr("f", "user.a", "x", 1, 8), EINVAL);
	FAILS(setxattr("x", "user.a", "x", 1, 0), ENOENT);
	FAILS(setxattr("f", "user.big", n, 1 << 20, 0), E2BIG);
	CHECK(symlink("f", "l") == 0);
	FAILS(lsetxattr("l", "user.a", "x", 1, 0), EPERM);
}
CASE(dac_order) {
	// The owner's bits count for the owner even if others have more.
	CHECK(chmod(".", 0777) == 0);
	pid_t pid;
	AS_USER(pid) {
		touch("f");
		CHECK(chmod("f", 0077) == 0);
		FAILS(open("f", O_RDONLY), EACCES);
		CHECK(mkdir("d", 0666) == 0);
		FAILS(open("d/x", O_CREAT | O_RDWR, 0600), EACCES);
	}
	CHECK(wait_code(pid) == 0);
}
