// Mounts: mount(2), umount2(2), pivot_root(2), binding, propagation, /proc/self/mountinfo.
#include "case.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>

static void touch(const char *name) {
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0 && close(fd) == 0);
}
// alone gives the case a mount namespace of its own.
static void alone(void) { CHECK(unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0); }
static int pivot_root_(const char *a, const char *b) { return syscall(SYS_pivot_root, a, b); }
static int lines(const char *word) {
	FILE *f = fopen("/proc/self/mountinfo", "r");
	char b[4096];
	int n = 0;
	while (fgets(b, sizeof b, f)) n += strstr(b, word) != 0;
	fclose(f);
	return n;
}

CASE(tmpfs_mount) {
	alone();
	struct stat st;
	CHECK(mkdir("m", 0755) == 0);
	touch("m/under");
	CHECK(mount("src", "m", "tmpfs", 0, "mode=750,uid=3,gid=4") == 0 && stat("m", &st) == 0 && (st.st_mode & 07777) == 0750 && st.st_uid == 3 && st.st_gid == 4);
	FAILS(access("m/under", F_OK), ENOENT);
	touch("m/over");
	CHECK(umount("m") == 0 && access("m/under", F_OK) == 0);
	FAILS(access("m/over", F_OK), ENOENT);
}
CASE(stacked) {
	alone();
	CHECK(mkdir("m", 0755) == 0 && mount("a", "m", "tmpfs", 0, "") == 0);
	touch("m/one");
	CHECK(mount("b", "m", "tmpfs", 0, "") == 0);
	FAILS(access("m/one", F_OK), ENOENT);
	CHECK(umount("m") == 0 && access("m/one", F_OK) == 0 && umount("m") == 0);
	FAILS(umount("m"), EINVAL);
}
CASE(errors) {
	alone();
	CHECK(mkdir("m", 0755) == 0);
	touch("f");
	FAILS(mount("a", "x", "tmpfs", 0, ""), ENOENT);
	FAILS(mount("a", "m", "nosuchfs", 0, ""), ENODEV);
	FAILS(mount("a", "f", "tmpfs", 0, ""), ENOTDIR);
	FAILS(mount("a", "m", "tmpfs", 0, "nonsense=1"), EINVAL);
	FAILS(mount("x", "m", "", MS_BIND, ""), ENOENT);
	FAILS(umount("m"), EINVAL);
	FAILS(umount2("m", 0x100), EINVAL);
	pid_t pid;
	CHILD(pid) {
		CHECK(setuid(4321) == 0);
		FAILS(mount("a", "m", "tmpfs", 0, ""), EPERM);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(bind) {
	alone();
	struct stat a, b;
	CHECK(mkdir("s", 0755) == 0 && mkdir("t", 0755) == 0);
	touch("s/f");
	CHECK(mount("s", "t", 0, MS_BIND, 0) == 0 && access("t/f", F_OK) == 0 && stat("s", &a) == 0 && stat("t", &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	touch("t/g");
	CHECK(access("s/g", F_OK) == 0);
	FAILS(rename("t/g", "s/h"), EXDEV);
	FAILS(link("t/g", "s/h"), EXDEV);
	FAILS(rmdir("t"), EBUSY);
	FAILS(rename("t", "u"), EBUSY);
}
CASE(bind_file) {
	alone();
	touch("f"), touch("g");
	CHECK(write(open("f", O_WRONLY), "x", 1) == 1 && mount("f", "g", 0, MS_BIND, 0) == 0);
	struct stat st;
	CHECK(stat("g", &st) == 0 && st.st_size == 1);
	FAILS(unlink("g"), EBUSY);
	CHECK(mkdir("d", 0755) == 0);
	FAILS(mount("f", "d", 0, MS_BIND, 0), ENOTDIR);
	FAILS(mount("d", "f", 0, MS_BIND, 0), ENOTDIR);
	CHECK(umount("g") == 0 && unlink("g") == 0);
}
CASE(bind_recursive) {
	alone();
	CHECK(mkdir("s", 0755) == 0 && mkdir("s/m", 0755) == 0 && mkdir("t", 0755) == 0 && mkdir("u", 0755) == 0 && mount("x", "s/m", "tmpfs", 0, "") == 0);
	touch("s/m/in");
	CHECK(mount("s", "t", 0, MS_BIND, 0) == 0 && access("t/m/in", F_OK) < 0 && mount("s", "u", 0, MS_BIND | MS_REC, 0) == 0 && access("u/m/in", F_OK) == 0);
	CHECK(umount("s/m") == 0 && access("u/m/in", F_OK) == 0);
}
CASE(read_only) {
	alone();
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", 0, "") == 0);
	touch("m/f");
	CHECK(mount("", "m", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0) == 0);
	FAILS(open("m/f", O_WRONLY), EROFS);
	FAILS(open("m/new", O_CREAT | O_WRONLY, 0600), EROFS);
	FAILS(mkdir("m/d", 0755), EROFS);
	FAILS(unlink("m/f"), EROFS);
	FAILS(chmod("m/f", 0600), EROFS);
	FAILS(access("m/f", W_OK), EROFS);
	FAILS(truncate("m/f", 0), EROFS);
	FAILS(rename("m/f", "m/g"), EROFS);
	FAILS(symlink("a", "m/l"), EROFS);
	struct statfs s;
	CHECK(statfs("m", &s) == 0 && (s.f_flags & 1) && open("m/f", O_RDONLY) >= 0);
}
CASE(no_exec) {
	alone();
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", MS_NOEXEC, "") == 0);
	touch("m/f");
	CHECK(chmod("m/f", 0755) == 0);
	FAILS(execl("m/f", "f", NULL), EACCES);
	FAILS(access("m/f", X_OK), EACCES);
	int fd = open("m/f", O_RDONLY);
	FAILS(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
}
CASE(no_dev) {
	alone();
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", MS_NODEV, "") == 0 && mknod("m/null", S_IFCHR | 0666, 0x103) == 0);
	FAILS(open("m/null", O_RDWR), EACCES);
	CHECK(mount("", "m", 0, MS_REMOUNT | MS_BIND, 0) == 0 && open("m/null", O_RDWR) >= 0);
}
CASE(no_symlinks) {
	alone();
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", 256, "") == 0);
	touch("m/f");
	CHECK(symlink("f", "m/l") == 0);
	FAILS(open("m/l", O_RDONLY), ELOOP);
	char b[10];
	CHECK(readlink("m/l", b, 10) == 1);
}
CASE(busy_and_lazy) {
	alone();
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", 0, "") == 0);
	int fd = open("m/f", O_CREAT | O_RDWR, 0600);
	FAILS(umount("m"), EBUSY);
	CHECK(umount2("m", MNT_DETACH) == 0 && access("m/f", F_OK) < 0 && write(fd, "x", 1) == 1);
}
CASE(move) {
	alone();
	CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mount("x", "a", "tmpfs", 0, "") == 0);
	touch("a/f");
	CHECK(mkdir("a/in", 0755) == 0);
	FAILS(mount("a", "a/in", 0, MS_MOVE, 0), ELOOP);
	CHECK(mount("a", "b", 0, MS_MOVE, 0) == 0 && access("b/f", F_OK) == 0 && access("a/f", F_OK) < 0);
	FAILS(mount("b/in", "a", 0, MS_MOVE, 0), EINVAL);
}
CASE(namespace_private) {
	alone();
	CHECK(mkdir("m", 0755) == 0);
	pid_t pid;
	CHILD(pid) {
		alone();
		CHECK(mount("x", "m", "tmpfs", 0, "") == 0);
		touch("m/f");
	}
	CHECK(wait_code(pid) == 0 && access("m/f", F_OK) < 0);
}
CASE(shared_propagates) {
	alone();
	CHECK(mkdir("s", 0755) == 0 && mkdir("t", 0755) == 0 && mount("x", "s", "tmpfs", 0, "") == 0 && mount("", "s", 0, MS_SHARED, 0) == 0);
	CHECK(mount("s", "t", 0, MS_BIND, 0) == 0 && mkdir("s/m", 0755) == 0 && mount("y", "s/m", "tmpfs", 0, "") == 0);
	touch("s/m/f");
	CHECK(access("t/m/f", F_OK) == 0 && umount("t/m") == 0 && access("s/m/f", F_OK) < 0 && lines("shared:") >= 2);
}
CASE(slave_receives) {
	alone();
	CHECK(mkdir("s", 0755) == 0 && mkdir("t", 0755) == 0 && mount("x", "s", "tmpfs", 0, "") == 0 && mount("", "s", 0, MS_SHARED, 0) == 0);
	CHECK(mount("s", "t", 0, MS_BIND, 0) == 0 && mount("", "t", 0, MS_SLAVE, 0) == 0 && mkdir("s/m", 0755) == 0 && mkdir("s/n", 0755) == 0);
	CHECK(mount("y", "s/m", "tmpfs", 0, "") == 0);
	touch("s/m/f");
	CHECK(access("t/m/f", F_OK) == 0 && mount("z", "t/n", "tmpfs", 0, "") == 0);
	touch("t/n/g");
	CHECK(access("s/n/g", F_OK) < 0 && lines("master:") == 2);
}
CASE(unbindable) {
	alone();
	CHECK(mkdir("s", 0755) == 0 && mkdir("t", 0755) == 0 && mount("x", "s", "tmpfs", 0, "") == 0 && mount("", "s", 0, MS_UNBINDABLE, 0) == 0);
	FAILS(mount("s", "t", 0, MS_BIND, 0), EINVAL);
	FAILS(mount("", "s", 0, MS_SHARED | MS_PRIVATE, 0), EINVAL);
}
CASE(pivot) {
	alone();
	CHECK(mkdir("r", 0755) == 0 && mount("x", "r", "tmpfs", 0, "") == 0 && mkdir("r/old", 0755) == 0);
	touch("r/new");
	FAILS(pivot_root_("r", "/"), EBUSY);
	pid_t pid;
	CHILD(pid) {
		CHECK(chdir("r") == 0 && pivot_root_(".", "old") == 0 && chdir("/") == 0 && access("/new", F_OK) == 0 && access("/old/proc", F_OK) == 0);
		CHECK(umount2("/old", MNT_DETACH) == 0 && access("/old/proc", F_OK) < 0);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(mountinfo) {
	alone();
	CHECK(mkdir("with space", 0755) == 0 && mount("src", "with space", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") == 0);
	CHECK(lines("/with\\040space rw,nosuid,nodev,relatime - tmpfs src rw,size=64k") == 1);
}
CASE(size_limit) {
	alone();
	char b[4096] = {1};
	struct statfs s;
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", 0, "size=16k,nr_inodes=5") == 0 && statfs("m", &s) == 0 && s.f_blocks == 4 && s.f_bfree == 4);
	int fd = open("m/f", O_CREAT | O_RDWR, 0600);
	for (int i = 0; i < 4; i++) CHECK(write(fd, b, 4096) == 4096);
	FAILS(write(fd, b, 1), ENOSPC);
	CHECK(ftruncate(fd, 0) == 0 && write(fd, b, 4096) == 4096);
	char n[20];
	int made = 0;
	for (int i = 0; i < 10; i++) {
		sprintf(n, "m/%d", i);
		int g = open(n, O_CREAT | O_RDWR, 0600);
		if (g >= 0) made++, close(g);
		else CHECK(errno == ENOSPC);
	}
	CHECK(made == 3);
}
CASE(proc_mount) {
	alone();
	CHECK(mkdir("p", 0755) == 0 && mount("proc", "p", "proc", 0, "") == 0 && access("p/self/stat", R_OK) == 0);
	FAILS(mkdir("p/x", 0755), ENOENT);
	FAILS(open("p/x", O_CREAT | O_RDWR, 0600), ENOENT);
}
