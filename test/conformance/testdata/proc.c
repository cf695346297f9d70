// /proc: what it tells about the reader itself, which native and sandbox must agree on.
#include "case.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char text[1 << 20];
static const char *slurp(const char *name) {
	int fd = open(name, O_RDONLY);
	ssize_t n = 0, k;
	if (fd < 0) return 0;
	while ((k = read(fd, text + n, sizeof text - 1 - n)) > 0) n += k;
	close(fd);
	text[n] = 0;
	return k < 0 ? 0 : text;
}
static int field(const char *file, const char *key, char *out) {
	const char *s = slurp(file);
	size_t k = strlen(key);
	for (; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : 0)
		if (!strncmp(s, key, k) && s[k] == ':') {
			s += k + 1;
			while (*s == ' ' || *s == '\t') s++;
			size_t n = strcspn(s, "\n");
			memcpy(out, s, n), out[n] = 0;
			return 0;
		}
	return -1;
}

CASE(self) {
	char b[100], want[20];
	ssize_t n = readlink("/proc/self", b, 100);
	sprintf(want, "%d", getpid());
	CHECK(n == (ssize_t)strlen(want) && !memcmp(b, want, n));
	n = readlink("/proc/thread-self", b, 100);
	CHECK(n > 0 && (b[n] = 0, strstr(b, "/task/")));
}
CASE(cmdline_and_environ) {
	const char *s = slurp("/proc/self/cmdline");
	CHECK(s && strlen(s) > 0 && slurp("/proc/self/environ"));
}
CASE(comm) {
	CHECK(prctl(PR_SET_NAME, "a name) of 20 chars") == 0 && !strcmp(slurp("/proc/self/comm"), "a name) of 20 c\n"));
	int fd = open("/proc/self/comm", O_WRONLY);
	char b[20];
	CHECK(write(fd, "other", 5) == 5 && prctl(PR_GET_NAME, b) == 0 && !strcmp(b, "other"));
}
CASE(links) {
	char a[300], b[300];
	ssize_t n = readlink("/proc/self/cwd", a, 300);
	CHECK(getcwd(b, 300) && n == (ssize_t)strlen(b) && !memcmp(a, b, n) && readlink("/proc/self/root", a, 300) == 1 && a[0] == '/');
	CHECK(readlink("/proc/self/exe", a, 300) > 1 && a[0] == '/' && open("/proc/self/exe", O_RDONLY) >= 0);
	struct stat x, y;
	CHECK(stat("/proc/self/cwd", &x) == 0 && stat(".", &y) == 0 && x.st_ino == y.st_ino);
}
CASE(descriptors) {
	char p[60], b[300];
	int fd = open("f", O_CREAT | O_RDWR | O_APPEND, 0600), q[2];
	CHECK(write(fd, "abc", 3) == 3 && dup2(fd, 77) == 77 && pipe(q) == 0);
	CHECK(readlink("/proc/self/fd/77", b, 300) > 2);
	sprintf(p, "/proc/self/fd/%d", q[0]);
	ssize_t n = readlink(p, b, 300);
	CHECK(n > 6 && !memcmp(b, "pipe:[", 6));
	CHECK(strstr(slurp("/proc/self/fdinfo/77"), "pos:\t3\nflags:\t0102002\n"));
	CHECK(close(77) == 0);
	FAILS(readlink("/proc/self/fd/77", b, 300), ENOENT);
	CHECK(unlink("f") == 0);
	sprintf(p, "/proc/self/fd/%d", fd);
	n = readlink(p, b, 300);
	b[n] = 0;
	CHECK(strstr(b, " (deleted)"));
}
CASE(descriptor_listing) {
	int n = 0, found = 0;
	DIR *d = opendir("/proc/self/fd");
	dup2(0, 42);
	for (struct dirent *e; (e = readdir(d));) n++, found += !strcmp(e->d_name, "42");
	CHECK(found == 1 && n >= 4);
}
CASE(status_ids) {
	char v[300], want[100];
	sprintf(want, "%d", getpid());
	CHECK(field("/proc/self/status", "Pid", v) == 0 && !strcmp(v, want) && field("/proc/self/status", "Tgid", v) == 0 && !strcmp(v, want));
	sprintf(want, "%d", getppid());
	CHECK(field("/proc/self/status", "PPid", v) == 0 && !strcmp(v, want) && field("/proc/self/status", "State", v) == 0 && !strcmp(v, "R (running)"));
	CHECK(setresgid(5, 6, 7) == 0 && setresuid(1, 2, 3) == 0 && field("/proc/self/status", "Uid", v) == 0 && !strcmp(v, "1\t2\t3\t2") && field("/proc/self/status", "Gid", v) == 0 && !strcmp(v, "5\t6\t7\t6"));
}
CASE(status_signals) {
	char v[100];
	sigset_t s;
	sigemptyset(&s), sigaddset(&s, SIGUSR1), sigprocmask(SIG_BLOCK, &s, 0);
	signal(SIGUSR2, SIG_IGN);
	raise(SIGUSR1);
	CHECK(field("/proc/self/status", "SigBlk", v) == 0 && !strcmp(v, "0000000000000200") && field("/proc/self/status", "SigPnd", v) == 0 && !strcmp(v, "0000000000000200"));
	CHECK(field("/proc/self/status", "SigIgn", v) == 0 && (strtoull(v, 0, 16) & 0x800) && field("/proc/self/status", "Umask", v) == 0 && !strcmp(v, "0022"));
}
static void *sleeper(void *p) { return msleep(2000), p; }
CASE(threads) {
	pthread_t t;
	char v[100];
	int n = 0;
	CHECK(pthread_create(&t, 0, sleeper, 0) == 0 && field("/proc/self/status", "Threads", v) == 0 && !strcmp(v, "2"));
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
	CHECK(n == 2);
}
CASE(stat_fields) {
	int pid, ppid, pgrp, session;
	char name[50], state;
	prctl(PR_SET_NAME, "odd) name");
	const char *s = slurp("/proc/self/stat");
	CHECK(s && sscanf(s, "%d (odd) name) %c %d %d %d", &pid, &state, &ppid, &pgrp, &session) == 5);
	CHECK(pid == getpid() && state == 'R' && ppid == getppid() && pgrp == getpgrp() && session == getsid(0));
	int fields = 0;
	for (s = strrchr(s, ')'); *s; s++) fields += *s == ' ';
	CHECK(fields == 50);
	(void)name;
}
CASE(statm) {
	long v[7];
	CHECK(sscanf(slurp("/proc/self/statm"), "%ld %ld %ld %ld %ld %ld %ld", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6) == 7 && v[0] > 0 && v[1] > 0 && v[0] >= v[1]);
}
CASE(maps) {
	char want[40];
	void *m = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mprotect(m, 4096, PROT_NONE) == 0);
	sprintf(want, "%lx-%lx ---p 00000000 00:00 0", (long)m, (long)m + 4096);
	CHECK(strstr(slurp("/proc/self/maps"), want) && strstr(text, "[stack]"));
	int fd = open("f", O_CREAT | O_RDWR, 0600);
	CHECK(ftruncate(fd, 8192) == 0);
	m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	sprintf(want, "%lx-%lx rw-s 00001000", (long)m, (long)m + 4096);
	CHECK(strstr(slurp("/proc/self/maps"), want) && strstr(slurp("/proc/self/smaps"), want) && strstr(text, "VmFlags:"));
}
CASE(limits) {
	CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 200}) == 0);
	CHECK(strstr(slurp("/proc/self/limits"), "Max open files            100                  200                  files     \n"));
	CHECK(!strncmp(text, "Limit                     Soft Limit           Hard Limit           Units     \n", 78));
}
CASE(memory_file) {
	int x = 42, y = 0, fd = open("/proc/self/mem", O_RDWR);
	CHECK(pread(fd, &y, sizeof y, (off_t)&x) == sizeof y && y == 42);
	y = 43;
	CHECK(pwrite(fd, &y, sizeof y, (off_t)&x) == sizeof y && x == 43);
	FAILS(pread(fd, &y, 1, 8), EIO);
}
CASE(namespaces) {
	char a[100], b[100];
	ssize_t n = readlink("/proc/self/ns/mnt", a, 100);
	CHECK(n > 5 && !memcmp(a, "mnt:[", 5));
	int fd = open("/proc/self/ns/uts", O_RDONLY);
	CHECK(fd >= 0 && unshare(CLONE_NEWUTS) == 0 && sethostname("other", 5) == 0 && setns(fd, CLONE_NEWUTS) == 0);
	FAILS(setns(fd, CLONE_NEWNET), EINVAL);
	FAILS(setns(open(".", O_RDONLY), 0), EINVAL);
}
CASE(oom_adjust) {
	int fd = open("/proc/self/oom_score_adj", O_RDWR);
	CHECK(write(fd, "500", 3) == 3 && !strcmp(slurp("/proc/self/oom_score_adj"), "500\n"));
	FAILS(write(fd, "1001", 4), EINVAL);
	FAILS(write(fd, "x", 1), EINVAL);
}
CASE(others_are_protected) {
	pid_t pid;
	char p[60];
	sprintf(p, "/proc/%d/environ", getpid());
	CHILD(pid) {
		CHECK(setgid(4321) == 0 && setuid(4321) == 0);
		FAILS(open(p, O_RDONLY), EACCES);
		sprintf(p, "/proc/%d/cwd", getppid());
		FAILS(readlink(p, p, 60), EACCES);
		sprintf(p, "/proc/%d/stat", getppid());
		CHECK(open(p, O_RDONLY) >= 0);
		sprintf(p, "/proc/%d/fd", getppid());
		CHECK(opendir(p) == 0 && errno == EACCES);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(zombie) {
	char p[60], v[60];
	pid_t pid = fork();
	if (pid == 0) _exit(0);
	msleep(50);
	sprintf(p, "/proc/%d/status", pid);
	CHECK(field(p, "State", v) == 0 && !strcmp(v, "Z (zombie)"));
	sprintf(p, "/proc/%d/cmdline", pid);
	CHECK(!strcmp(slurp(p), "") && waitpid(pid, 0, 0) == pid);
	FAILS(open(p, O_RDONLY), ENOENT);
}
CASE(gone_while_open) {
	char p[60], b[10];
	int q[2];
	CHECK(pipe(q) == 0);
	pid_t pid = fork();
	if (pid == 0) _exit(read(q[0], b, 1));
	sprintf(p, "/proc/%d/stat", pid);
	int fd = open(p, O_RDONLY);
	CHECK(fd >= 0 && write(q[1], "x", 1) == 1 && waitpid(pid, 0, 0) == pid);
	FAILS(read(fd, b, 10), ESRCH);
}
CASE(global_files) {
	const char *names[] = {"cpuinfo", "filesystems", "loadavg", "meminfo", "mounts", "stat", "uptime", "version", "cmdline", "swaps", "devices", "partitions", "vmstat"};
	char p[60];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		sprintf(p, "/proc/%s", names[i]);
		CHECK(slurp(p) != 0);
	}
	CHECK(strstr(slurp("/proc/meminfo"), "MemTotal:") && strstr(text, "MemAvailable:") && strstr(slurp("/proc/stat"), "\nbtime "));
	double a, b;
	CHECK(sscanf(slurp("/proc/uptime"), "%lf %lf", &a, &b) == 2 && sscanf(slurp("/proc/loadavg"), "%lf %lf", &a, &b) == 2);
	CHECK(strstr(slurp("/proc/filesystems"), "nodev\ttmpfs\n") && !strncmp(slurp("/proc/version"), "Linux version ", 14));
}
CASE(sysctls) {
	char b[100];
	CHECK(!strcmp(slurp("/proc/sys/kernel/ostype"), "Linux\n") && slurp("/proc/sys/kernel/pid_max") && atoi(slurp("/proc/sys/fs/pipe-max-size")) >= 4096);
	CHECK(gethostname(b, 100) == 0 && (strcat(b, "\n"), !strcmp(slurp("/proc/sys/kernel/hostname"), b)));
	CHECK(strlen(slurp("/proc/sys/kernel/random/uuid")) == 37 && atoi(slurp("/proc/sys/vm/overcommit_memory")) >= 0);
	strcpy(b, slurp("/proc/sys/kernel/random/uuid"));
	CHECK(strcmp(b, slurp("/proc/sys/kernel/random/uuid")) && slurp("/proc/sys/net/core/somaxconn"));
	FAILS(open("/proc/sys/kernel/nothing", O_RDONLY), ENOENT);
}
CASE(own_descriptors_after_setuid) { int fd = open("/dev/null", O_RDONLY); pid_t p = fork(); if (!p) { if (setgid(1000) || setuid(1000)) _exit(1); char f[40]; snprintf(f, 40, "/proc/self/fd/%d", fd); int d = open("/proc/self/fd", O_RDONLY | O_DIRECTORY); if (d < 0) _exit(2); if (open(f, O_RDONLY) < 0) _exit(3); if (access("/proc/self/fdinfo", R_OK)) _exit(4); if (open("/proc/self/environ", O_RDONLY) >= 0) _exit(5); _exit(7); } CHECK(wait_code(p) == 7); }
