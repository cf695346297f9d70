// Identities in user namespaces; a native run in a changed root may not make any.
#include "../../conformance/testdata/case.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#define CALL(name, nr)                                                                       \
	static long name(void) {                                                             \
		long r;                                                                      \
		__asm__ volatile("mov $" #nr ", %%eax; syscall" : "=a"(r)::"rcx", "r11", "memory"); \
		return r;                                                                    \
	}
CALL(my_pid, 39)
CALL(my_uid, 102)
CALL(my_gid, 104)
CALL(my_euid, 107)
CALL(my_egid, 108)
CALL(my_parent, 110)
CALL(my_tid, 186)

static void heat(void) {
	for (int i = 0; i < 60; i++) my_pid(), my_uid(), my_gid(), my_euid(), my_egid(), my_parent(), my_tid();
}

// A second opinion that no platform answers by itself.
static long from_proc(const char *field, int nth) {
	char buf[4096], *p;
	int fd = open("/proc/thread-self/status", O_RDONLY);
	CHECK(fd >= 0);
	ssize_t n = read(fd, buf, sizeof buf - 1);
	close(fd);
	CHECK(n > 0);
	buf[n] = 0;
	p = strstr(buf, field);
	CHECK(p);
	p += strlen(field);
	long v = 0;
	for (int i = 0; i <= nth; i++) v = strtol(p, &p, 10);
	return v;
}

static void agree(void) {
	for (int i = 0; i < 3; i++) {
		CHECK(my_pid() == from_proc("\nTgid:", 0));
		CHECK(my_tid() == from_proc("\nPid:", 0));
		CHECK(my_parent() == from_proc("\nPPid:", 0));
		CHECK(my_uid() == from_proc("\nUid:", 0));
		CHECK(my_euid() == from_proc("\nUid:", 1));
		CHECK(my_gid() == from_proc("\nGid:", 0));
		CHECK(my_egid() == from_proc("\nGid:", 1));
	}
}

CASE(after_unshare_of_users) {
	heat();
	CHECK(!unshare(CLONE_NEWUSER));
	for (int i = 0; i < 60; i++) CHECK(my_uid() == 65534 && my_euid() == 65534 && my_gid() == 65534 && my_egid() == 65534);
	int fd = open("/proc/self/uid_map", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "7 0 1", 5) == 5);
	for (int i = 0; i < 60; i++) CHECK(my_uid() == 7 && my_euid() == 7);
	agree();
}

CASE(in_a_child_with_users_of_its_own) {
	heat();
	pid_t pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	CHECK(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < 60; i++) CHECK(my_uid() == 65534 && my_egid() == 65534);
		_exit(0);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(my_uid() == 0);
}

