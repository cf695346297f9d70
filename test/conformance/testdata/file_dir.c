// Directories: mkdir, rmdir, unlink, link, symlink, rename, getdents, getcwd.
#include "case.h"
#include <dirent.h>

static void touch(const char *name) {
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0 && close(fd) == 0);
}
static int rename2(const char *a, const char *b, unsigned flags) {
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}
static int nlink(const char *name) {
	struct stat st;
	return lstat(name, &st) ? -1 : (int)st.st_nlink;
}
static int count(const char *name) {
	DIR *d = opendir(name);
	int n = 0;
	CHECK(d);
	while (readdir(d)) n++;
	closedir(d);
	return n;
}

CASE(mkdir_errors) {
	CHECK(mkdir("d", 0755) == 0);
	FAILS(mkdir("d", 0755), EEXIST);
	FAILS(mkdir(".", 0755), EEXIST);
	FAILS(mkdir("d/..", 0755), EEXIST);
	FAILS(mkdir("/", 0755), EEXIST);
	FAILS(mkdir("x/y", 0755), ENOENT);
	FAILS(mkdir("", 0755), ENOENT);
	touch("f");
	FAILS(mkdir("f", 0755), EEXIST);
	FAILS(mkdir("f/x", 0755), ENOTDIR);
	CHECK(mkdir("e/", 0755) == 0);
	CHECK(symlink("nowhere", "l") == 0);
	FAILS(mkdir("l", 0755), EEXIST);
}
CASE(rmdir_errors) {
	CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	FAILS(rmdir("d"), ENOTEMPTY);
	FAILS(rmdir("d/e/.."), ENOTEMPTY);
	FAILS(rmdir("d/."), EINVAL);
	FAILS(rmdir("x"), ENOENT);
	FAILS(rmdir("/"), EBUSY);
	touch("f");
	FAILS(rmdir("f"), ENOTDIR);
	CHECK(rmdir("d/e/") == 0 && rmdir("d") == 0);
}
CASE(unlink_errors) {
	CHECK(mkdir("d", 0755) == 0);
	FAILS(unlink("d"), EISDIR);
	FAILS(unlink("x"), ENOENT);
	touch("f");
	FAILS(unlink("f/"), ENOTDIR);
	FAILS(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	FAILS(unlinkat(AT_FDCWD, "f", 1), EINVAL);
	FAILS(unlink("."), EISDIR);
}
CASE(unlinked_file_lives) {
	char b[3];
	struct stat st;
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	CHECK(write(fd, "abc", 3) == 3 && unlink("f") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
	CHECK(pread(fd, b, 3, 0) == 3 && !memcmp(b, "abc", 3) && fchmod(fd, 0600) == 0 && ftruncate(fd, 1) == 0);
	touch("f");
	CHECK(stat("f", &st) == 0 && st.st_size == 0);
}
CASE(directory_links) {
	CHECK(mkdir("d", 0755) == 0 && nlink("d") == 2 && mkdir("d/e", 0755) == 0 && nlink("d") == 3 && rmdir("d/e") == 0 && nlink("d") == 2);
}
CASE(hard_links) {
	struct stat a, b;
	touch("f");
	CHECK(link("f", "g") == 0 && nlink("f") == 2 && stat("f", &a) == 0 && stat("g", &b) == 0 && a.st_ino == b.st_ino);
	FAILS(link("f", "g"), EEXIST);
	CHECK(mkdir("d", 0755) == 0);
	FAILS(link("d", "e"), EPERM);
	FAILS(link("x", "y"), ENOENT);
	FAILS(link("f", "n/"), ENOENT);
	FAILS(linkat(AT_FDCWD, "f", AT_FDCWD, "h", 1), EINVAL);
	CHECK(unlink("f") == 0 && nlink("g") == 1);
}
CASE(link_of_link) {
	struct stat st;
	touch("f");
	CHECK(symlink("f", "l") == 0 && link("l", "m") == 0 && lstat("m", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW) == 0 && lstat("n", &st) == 0 && S_ISREG(st.st_mode));
}
CASE(symlinks) {
	char b[100];
	struct stat st;
	CHECK(symlink("some/where", "l") == 0 && readlink("l", b, 100) == 10 && !memcmp(b, "some/where", 10));
	CHECK(readlink("l", b, 4) == 4 && lstat("l", &st) == 0 && st.st_size == 10 && (st.st_mode & 07777) == 0777);
	FAILS(readlink("l", b, 0), EINVAL);
	FAILS(symlink("a", "l"), EEXIST);
	FAILS(symlink("", "m"), ENOENT);
	touch("f");
	FAILS(readlink("f", b, 100), EINVAL);
	FAILS(readlink("x", b, 100), ENOENT);
}
CASE(rename_files) {
	touch("a"), touch("b");
	struct stat st, st2;
	CHECK(stat("a", &st) == 0 && rename("a", "b") == 0 && stat("b", &st2) == 0 && st.st_ino == st2.st_ino);
	FAILS(rename("a", "c"), ENOENT);
	CHECK(rename("b", "b") == 0 && link("b", "c") == 0 && rename("b", "c") == 0 && access("b", F_OK) == 0);
	FAILS(rename("b", "n/"), ENOTDIR);
	FAILS(rename("b/", "n"), ENOTDIR);
	FAILS(rename(".", "n"), EBUSY);
	FAILS(rename("b", ".."), EBUSY);
	FAILS(rename("", "n"), ENOENT);
}
CASE(rename_directories) {
	CHECK(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0 && mkdir("c", 0755) == 0);
	touch("f");
	FAILS(rename("a", "a/b/c"), EINVAL);
	FAILS(rename("a/b", "a"), ENOTEMPTY);
	FAILS(rename("c", "a"), ENOTEMPTY);
	FAILS(rename("f", "c"), EISDIR);
	FAILS(rename("c", "f"), ENOTDIR);
	CHECK(rename("a", "c") == 0 && access("c/b", F_OK) == 0 && nlink("c") == 3);
	CHECK(rename("c/b", "b/") == 0 && nlink("c") == 2);
}
CASE(rename_noreplace) {
	touch("a"), touch("b");
	FAILS(rename2("a", "b", 1), EEXIST);
	CHECK(rename2("a", "c", 1) == 0 && access("c", F_OK) == 0);
	FAILS(rename2("b", "c", 3), EINVAL);
	FAILS(rename2("b", "c", 16), EINVAL);
}
CASE(rename_exchange) {
	touch("f");
	CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && rename2("f", "d", 2) == 0);
	struct stat st;
	CHECK(stat("f", &st) == 0 && S_ISDIR(st.st_mode) && stat("d", &st) == 0 && S_ISREG(st.st_mode) && access("f/e", F_OK) == 0);
	FAILS(rename2("f", "x", 2), ENOENT);
}
CASE(rename_open_directory) {
	CHECK(mkdir("a", 0755) == 0 && chdir("a") == 0 && rename("../a", "../b") == 0);
	char b[300];
	CHECK(getcwd(b, 300) && !strcmp(b + strlen(b) - 2, "/b"));
}
CASE(cwd_removed) {
	char b[300];
	CHECK(mkdir("g", 0755) == 0 && chdir("g") == 0 && rmdir("../g") == 0);
	FAILS(syscall(SYS_getcwd, b, 300), ENOENT);
	FAILS(mkdir("x", 0755), ENOENT);
	FAILS(open("f", O_CREAT | O_RDWR, 0600), ENOENT);
	struct stat st;
	CHECK(stat(".", &st) == 0 && st.st_nlink == 0 && stat("..", &st) == 0 && count(".") == 0);
}
CASE(getcwd_sizes) {
	char b[300];
	long n = syscall(SYS_getcwd, b, 300);
	CHECK(n == (long)strlen(b) + 1);
	FAILS(syscall(SYS_getcwd, b, n - 1), ERANGE);
	CHECK(syscall(SYS_getcwd, b, n) == n);
}
CASE(chdir_errors) {
	touch("f");
	FAILS(chdir("f"), ENOTDIR);
	FAILS(chdir("x"), ENOENT);
	FAILS(fchdir(999), EBADF);
	FAILS(fchdir(open("f", O_RDONLY)), ENOTDIR);
	CHECK(mkdir("d", 0755) == 0 && fchdir(open("d", O_PATH)) == 0);
}
CASE(list_many) {
	CHECK(mkdir("d", 0755) == 0);
	char n[40];
	for (int i = 0; i < 500; i++) sprintf(n, "d/file%d", i), touch(n);
	CHECK(count("d") == 502);
	for (int i = 0; i < 500; i += 2) {
		sprintf(n, "d/file%d", i);
		CHECK(unlink(n) == 0);
	}
	CHECK(count("d") == 252);
}
CASE(remove_while_listing) {
	CHECK(mkdir("d", 0755) == 0);
	char n[300];
	for (int i = 0; i < 2000; i++) sprintf(n, "d/%d", i), touch(n);
	DIR *d = opendir("d");
	int seen = 0;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.') {
			snprintf(n, sizeof n, "d/%s", e->d_name);
			CHECK(unlink(n) == 0);
			seen++;
		}
	CHECK(seen == 2000 && rmdir("d") == 0);
}
CASE(rewind_sees_new) {
	CHECK(mkdir("d", 0755) == 0);
	DIR *d = opendir("d");
	while (readdir(d)) {
	}
	touch("d/new");
	rewinddir(d);
	int n = 0;
	while (readdir(d)) n++;
	CHECK(n == 3);
}
CASE(telldir_seekdir) {
	CHECK(mkdir("d", 0755) == 0);
	touch("d/a"), touch("d/b"), touch("d/c");
	DIR *d = opendir("d");
	readdir(d), readdir(d);
	long at = telldir(d);
	char name[256];
	strcpy(name, readdir(d)->d_name);
	readdir(d);
	seekdir(d, at);
	CHECK(!strcmp(name, readdir(d)->d_name));
}
CASE(entry_types) {
	CHECK(mkdir("t", 0755) == 0 && mkdir("t/d", 0755) == 0 && symlink("x", "t/l") == 0 && mkfifo("t/p", 0600) == 0);
	touch("t/f");
	DIR *d = opendir("t");
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		CHECK(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		CHECK(e->d_type == IFTODT(st.st_mode));
		if (strcmp(e->d_name, "..")) CHECK(e->d_ino == st.st_ino);
	}
}
CASE(getdents_errors) {
	char b[1000];
	int d = open(".", O_RDONLY);
	FAILS(syscall(SYS_getdents64, d, b, 10), EINVAL);
	touch("f");
	FAILS(syscall(SYS_getdents64, open("f", O_RDONLY), b, 1000), ENOTDIR);
	FAILS(syscall(SYS_getdents64, 999, b, 1000), EBADF);
	FAILS(read(d, b, 10), EISDIR);
	CHECK(syscall(SYS_getdents64, d, b, 1000) > 0);
	FAILS(syscall(SYS_getdents64, open(".", O_RDONLY), (char *)1, 1000), EFAULT);
}
CASE(sticky) {
	CHECK(mkdir("s", 0777) == 0 && chmod("s", 01777) == 0 && chmod(".", 0755) == 0);
	touch("s/root");
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(4321) == 0 && setuid(4321) == 0);
		FAILS(unlink("s/root"), EPERM);
		FAILS(rename("s/root", "s/mine"), EPERM);
		touch("s/own");
		CHECK(unlink("s/own") == 0);
		FAILS(mkdir("x", 0755), EACCES);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(set_group_directory) {
	struct stat st;
	CHECK(mkdir("d", 0755) == 0 && chown("d", 0, 77) == 0 && chmod("d", 02755) == 0 && mkdir("d/e", 0755) == 0);
	touch("d/f");
	CHECK(stat("d/e", &st) == 0 && st.st_gid == 77 && (st.st_mode & S_ISGID) && stat("d/f", &st) == 0 && st.st_gid == 77 && !(st.st_mode & S_ISGID));
}
CASE(chroot_confines) {
	CHECK(mkdir("r", 0755) == 0 && mkdir("r/in", 0755) == 0);
	touch("out");
	pid_t pid;
	CHILD(pid) {
		CHECK(chroot("r") == 0 && chdir("/") == 0 && access("/in", F_OK) == 0 && access("/../in", F_OK) == 0);
		FAILS(access("/../out", F_OK), ENOENT);
		char b[100];
		CHECK(getcwd(b, 100) && !strcmp(b, "/"));
	}
	CHECK(wait_code(pid) == 0);
	FAILS(chroot("out"), ENOTDIR);
}
CASE(mknod_kinds) {
	struct stat st;
	CHECK(mknod("r", S_IFREG | 0640, 0) == 0 && mknod("p", S_IFIFO | 0600, 0) == 0 && mknod("s", S_IFSOCK | 0600, 0) == 0);
	CHECK(stat("r", &st) == 0 && S_ISREG(st.st_mode) && stat("p", &st) == 0 && S_ISFIFO(st.st_mode));
	FAILS(mknod("d", S_IFDIR | 0700, 0), EPERM);
	FAILS(open("s", O_RDWR), ENXIO);
	FAILS(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
}
