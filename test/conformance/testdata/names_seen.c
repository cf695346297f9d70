// Failing calls for paths again: by whom they are made, and what of the names is seen there.
#include "names.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
static void forbid(int flags) {
	struct sock_filter f[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_stat, 3, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_readlink, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV)};
	struct sock_fprog p = {sizeof f / sizeof *f, f};
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p) == 0);
}
static void filtered(void) {
	for (int i = 0; i < OFTEN; i++) {
		IS(STAT, in("no"), -EXDEV), IS(READLINK, in("no"), -EXDEV), IS(LSTAT, in("no"), -ENOENT);
		FAILS(mkdir(base, 0755), EXDEV);
	}
}
static void heat_all(void) {
	FAIL_HOT(in("no"), ENOENT);
	for (int i = 0; i < OFTEN; i++) FAILS(mkdir(base, 0755), EEXIST);
}
static void filters(void) {
	pid_t pid, grandchild;
	CHILD(pid) {
		heat_all();
		forbid(0);
		filtered();
		CHILD(grandchild) filtered();
		CHECK(wait_code(grandchild) == 0);
	}
	CHECK(wait_code(pid) == 0);
	heat_all();
}
CASE(a_filter_sees_each_call) { both(filters); }

static volatile int asked;
static void *filter_all(void *v) {
	while (asked < *(int *)v) {
	}
	return forbid(SECCOMP_FILTER_FLAG_TSYNC), v;
}
static void filter_of_another(void) {
	for (int i = 0; i < 120; i++) {
		pid_t pid;
		CHILD(pid) {
			pthread_t t;
			char no[400];
			strcpy(no, in("no"));
			int n = i % 30;
			CHECK(pthread_create(&t, 0, filter_all, &n) == 0);
			// It comes at any time, also when a table is just being shown.
			for (asked = 0; asked < 40; asked++) CHECK(ask(STAT, no) < 0);
			CHECK(pthread_join(t, 0) == 0);
			for (int j = 0; j < OFTEN; j++) IS(STAT, no, -EXDEV);
		}
		errno = wait_code(pid);
		CHECK(errno == 0);
	}
}
CASE(a_filter_of_another_thread) { both(filter_of_another); }

// What a program that is executed does.
__attribute__((constructor)) static void executed(int argc, char **argv) {
	if (argc < 4 || strcmp(argv[1], "executed")) return;
	now_running = argv[1];
	FAIL_HOT(argv[2], atoi(argv[3]));
	if (argc > 4) {
		make(argv[2]);
		THERE(argv[2]);
	}
	_exit(0);
}
static void execs(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	char *shut = strdup(in("shut/no")), *no = strdup(in("no"));
	for (int i = 0; i < 8; i++) {
		FAIL_HOT(shut, ENOENT), FAIL_HOT(no, ENOENT);
		pid_t pid;
		CHILD(pid) {
			FAIL_ALL(shut, ENOENT);
			if (i & 1) as(1000);
			FAIL_ALL(shut, i & 1 ? EACCES : ENOENT);
			execl("/proc/self/exe", "names", "executed", shut, i & 1 ? "13" : "2", (char *)0);
			_exit(1);
		}
		CHECK(wait_code(pid) == 0);
		CHILD(pid) execl("/proc/self/exe", "names", "executed", no, "2", "make", (char *)0);
		CHECK(wait_code(pid) == 0);
		THERE(no);
		CHILD(pid) {
			THERE(no);
			CHECK(unlink(no) == 0);
			FAIL_HOT(no, ENOENT);
		}
		CHECK(wait_code(pid) == 0);
		FAIL_ALL(no, ENOENT);
	}
}
CASE(fork_and_exec) { both(execs); }

static void chmods(void) {
	CHECK(mkdir(in("d"), 0755) == 0 && mkdir(in("d/e"), 0755) == 0);
	make(in("d/e/f"));
	pipes();
	pid_t pid;
	CHILD(pid) {
		as(1000);
		FAIL_HOT(in("d/e/x"), ENOENT);
		for (int i = 0; i < OFTEN; i++) { FAILS(mkdir(in("d/e"), 0755), EEXIST); IS(READLINK, in("d/e/f"), -EINVAL); }
		say(up), hear(down);
		FAIL_ALL(in("d/e/x"), EACCES);
		FAILS(mkdir(in("d/e"), 0755), EACCES);
		IS(READLINK, in("d/e/f"), -EACCES);
		FAIL_HOT(in("d/e/x"), EACCES);
		say(up), hear(down);
		FAIL_HOT(in("d/e/x"), ENOENT);
		say(up), hear(down);
		FAIL_ALL(in("d/e/x"), EACCES);
		say(up), hear(down);
		FAIL_HOT(in("d/e/x"), ENOENT);
		say(up), hear(down);
		FAIL_ALL(in("d/e/x"), EACCES);
		say(up), hear(down);
		FAIL_HOT(in("d/e/x"), ENOENT);
		say(up), hear(down);
		THERE(in("d/e/x"));
	}
	hear(up); CHECK(chmod(in("d"), 0700) == 0);
	say(down), hear(up); CHECK(chmod(in("d"), 0755) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0600) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0711) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0070) == 0 && chown(in("d/e"), 0, 7) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0710) == 0 && chown(in("d/e"), -1, 1000) == 0);
	say(down), hear(up), make(in("d/e/x"));
	say(down);
	CHECK(wait_code(pid) == 0);
	for (int i = 0; i < 2; i++) close(up[i]), close(down[i]);
}
CASE(chmod_of_a_directory_is_seen) { both(chmods); }

// Threads of one process with credentials of their own, and a borrowed address space.
static void *unprivileged(void *v) {
	CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
	for (int i = 0; i < OFTEN; i++) FAIL_ALL(in("shut/x"), EACCES), sched_yield();
	return v;
}
static void *unprivileged_hot(void *v) {
	CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
	char shut[400], open[400]; // in is not for threads
	strcpy(shut, ((char **)v)[0]), strcpy(open, ((char **)v)[1]);
	for (int i = 0; i < 200; i++) FAIL_ALL(shut, EACCES), FAIL_ALL(open, ENOENT);
	return v;
}
static void threads(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	char *p[] = {strdup(in("shut/x")), strdup(in("open"))};
	FAIL_HOT(p[0], ENOENT), FAIL_HOT(p[1], ENOENT);
	pthread_t t;
	CHECK(pthread_create(&t, 0, unprivileged, 0) == 0 && pthread_join(t, 0) == 0);
	FAIL_HOT(p[0], ENOENT);
	for (int i = 0; i < 10; i++) {
		CHECK(pthread_create(&t, 0, unprivileged_hot, p) == 0);
		for (int j = 0; j < 200; j++) FAIL_ALL(p[0], ENOENT), FAIL_ALL(p[1], ENOENT);
		CHECK(pthread_join(t, 0) == 0);
	}
}
CASE(threads_with_other_credentials) { both(threads); }

static void vforks(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	const char *shut = strdup(in("shut/x"));
	for (int i = 0; i < 20; i++) {
		FAIL_HOT(shut, ENOENT);
		pid_t pid = vfork();
		if (pid == 0) {
			if (syscall(SYS_setresuid, 1000, 1000, 1000)) _exit(1);
			for (int k = 0; k < KINDS; k++)
				if (ask(k, shut) != -EACCES) _exit(10 + k);
			for (int j = 0; j < OFTEN; j++)
				if (ask(STAT, shut) != -EACCES) _exit(2);
			if (ask(STAT, base) != 0) _exit(3);
			_exit(0);
		}
		int code = wait_code(pid);
		errno = code;
		CHECK(code == 0);
		FAIL_ALL(shut, ENOENT);
	}
}
CASE(vfork_with_other_credentials) { both(vforks); }

static int move_root(void *v) { return chroot(v) ? errno : 0; }
static void *move_root_too(void *v) { return (void *)(long)move_root(v); }
static void roots(void) {
	pid_t pid;
	CHECK(mkdir(in("r"), 0755) == 0 && mkdir(in("r/s"), 0755) == 0);
	make(in("r/here.by.names")), make(in("r/s/there.by.names"));
	for (int how = 0; how < 3; how++) {
		CHILD(pid) {
			char r[400];
			strcpy(r, in("r"));
			FAIL_HOT("/here.by.names", ENOENT);
			FAIL_HOT("/there.by.names", ENOENT);
			THERE_HOT(r);
			if (how == 0) CHECK(chroot(r) == 0);
			if (how == 1) { // another thread
				pthread_t t;
				void *e;
				CHECK(pthread_create(&t, 0, move_root_too, r) == 0 && pthread_join(t, &e) == 0 && e == 0);
			}
			if (how == 2) { // another process
				static char stack[65536] __attribute__((aligned(16)));
				pid_t c = clone(move_root, stack + sizeof stack, CLONE_FS | SIGCHLD, r);
				CHECK(c > 0 && wait_code(c) == 0);
			}
			THERE("/here.by.names");
			FAIL_ALL("/there.by.names", ENOENT);
			FAIL_ALL(r, ENOENT);
			THERE_HOT("/here.by.names");
			FAIL_HOT("/there.by.names", ENOENT);
			CHECK(chroot("/s") == 0);
			THERE("/there.by.names");
			THERE_HOT("/../there.by.names");
			FAIL_HOT("/here.by.names", ENOENT);
			FAIL_HOT("/../here.by.names", ENOENT);
		}
		CHECK(wait_code(pid) == 0);
	}
	FAIL_ALL("/here.by.names", ENOENT);
}
CASE(chroot_is_seen) { both(roots); }

// into enters a namespace, where it has the root directory it had.
static void into(int ns, int root) { CHECK(setns(ns, CLONE_NEWNS) == 0 && fchdir(root) == 0 && chroot(".") == 0); }

static void mounts(void) {
	pid_t pid;
	CHECK(mkdir(in("m"), 0755) == 0 && mkdir(in("n"), 0755) == 0);
	make(in("m/under")), make(in("n/bound"));
	CHILD(pid) {
		FAIL_HOT(in("m/x"), ENOENT);
		THERE_HOT(in("m/under"));
		alone();
		FAIL_HOT(in("m/x"), ENOENT);
		for (int i = 0; i < 12; i++) {
			CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0);
			FAIL_ALL(in("m/under"), ENOENT);
			FAIL_HOT(in("m/under"), ENOENT);
			make(in("m/x"));
			THERE(in("m/x"));
			CHECK(umount2(in("m"), i & 1 ? MNT_DETACH : 0) == 0);
			FAIL_ALL(in("m/x"), ENOENT);
			THERE_HOT(in("m/under"));
		}
		FAIL_HOT(in("m/bound"), ENOENT);
		CHECK(mount(in("n"), in("m"), "", MS_BIND, "") == 0);
		THERE(in("m/bound"));
		FAIL_HOT(in("m/under"), ENOENT);
		FAIL_HOT(in("m/late"), ENOENT);
		make(in("n/late")); // by its other name
		THERE(in("m/late"));
		CHECK(unlink(in("m/late")) == 0);
		FAIL_HOT(in("n/late"), ENOENT);
		CHECK(rename(in("n/bound"), in("n/late")) == 0);
		THERE(in("m/late"));
		CHECK(mkdir(in("o"), 0755) == 0);
		FAIL_HOT(in("o/late"), ENOENT);
		CHECK(mount(in("m"), in("o"), "", MS_MOVE, "") == 0);
		THERE(in("o/late"));
		THERE(in("m/under"));
		CHECK(umount(in("o")) == 0 && rename(in("n/late"), in("n/bound")) == 0 && rmdir(in("o")) == 0);
		// A mount that follows no links.
		CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0 && symlink("nothing", in("m/l")) == 0);
		heat_(__LINE__, in("m/l"), -ENOENT, 0, 0);
		CHECK(mount("", in("m"), "", MS_REMOUNT | MS_BIND | 256, "") == 0); // MS_NOSYMFOLLOW
		IS(STAT, in("m/l"), -ELOOP), IS(ACCESS, in("m/l"), -ELOOP);
		CHECK(mount("", in("m"), "", MS_REMOUNT | MS_BIND, "") == 0);
		heat_(__LINE__, in("m/l"), -ENOENT, 0, 0);
	}
	CHECK(wait_code(pid) == 0);
	FAIL_ALL(in("m/x"), ENOENT);
	THERE(in("m/under"));
	// Somebody else mounts, in the same namespace and in another.
	pipes();
	alone();
	FAIL_HOT(in("m/x"), ENOENT), THERE_HOT(in("m/under"));
	CHILD(pid) {
		FAIL_HOT(in("m/x"), ENOENT), THERE_HOT(in("m/under"));
		CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0);
		make(in("m/x"));
		say(up), hear(down);
		CHECK(umount(in("m")) == 0);
		say(up), hear(down);
		alone();
		CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0);
		make(in("m/x"));
		FAIL_HOT(in("m/under"), ENOENT);
		say(up), hear(down);
	}
	hear(up);
	THERE(in("m/x"));
	FAIL_HOT(in("m/under"), ENOENT);
	say(down), hear(up);
	FAIL_HOT(in("m/x"), ENOENT);
	THERE(in("m/under"));
	say(down), hear(up);
	FAIL_ALL(in("m/x"), ENOENT);
	THERE(in("m/under"));
	// Into that namespace and back.
	char b[64];
	sprintf(b, "/proc/%d/ns/mnt", pid);
	int mine = open("/proc/self/ns/mnt", O_RDONLY), other = open(b, O_RDONLY);
	sprintf(b, "/proc/%d/root", pid);
	int root = open("/", O_PATH), its = open(b, O_PATH);
	CHECK(mine >= 0 && other >= 0 && root >= 0 && its >= 0);
	for (int i = 0; i < 12; i++) {
		FAIL_HOT(in("m/x"), ENOENT);
		into(other, its);
		THERE(in("m/x"));
		FAIL_HOT(in("m/under"), ENOENT);
		into(mine, root);
		FAIL_ALL(in("m/x"), ENOENT);
		THERE(in("m/under"));
	}
	say(down);
	CHECK(wait_code(pid) == 0);
	for (int i = 0; i < 2; i++) close(up[i]), close(down[i]);
	close(mine), close(other), close(root), close(its);
}
CASE(mounts_are_seen) { both(mounts); }

CASE(pivot_root_is_seen) {
	alone();
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	CHECK(mkdir("n", 0755) == 0 && mount("t", "n", "tmpfs", 0, 0) == 0 && mkdir("n/old", 0755) == 0);
	make("n/pivoted.by.names");
	FAIL_HOT("/pivoted.by.names", ENOENT);
	FAIL_HOT("/old/proc", ENOENT);
	THERE_HOT("/proc/version");
	pipes();
	pid_t pid;
	CHILD(pid) {
		FAIL_HOT("/pivoted.by.names", ENOENT);
		THERE_HOT("/proc/version");
		say(up), hear(down);
		THERE("/pivoted.by.names"); // all who have the old root
		FAIL_ALL("/proc/version", ENOENT);
	}
	hear(up);
	CHECK(syscall(SYS_pivot_root, "n", "n/old") == 0 && chdir("/") == 0);
	say(down);
	THERE("/pivoted.by.names");
	THERE("/old/proc");
	FAIL_ALL("/proc/version", ENOENT);
	FAIL_HOT("/proc/version", ENOENT);
	CHECK(wait_code(pid) == 0);
	CHECK(umount2("/old", MNT_DETACH) == 0);
	FAIL_ALL("/old/proc", ENOENT);
	FAIL_ALL("/old/proc/version", ENOENT);
}

// What one may see changes with one's credentials.
static void lose(int how) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};
	switch (how) {
	case 0: CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0); break;
	case 1: CHECK(syscall(SYS_setresuid, -1, 1000, -1) == 0); break;
	case 2: CHECK(syscall(SYS_setuid, 1000) == 0); break;
	case 3: CHECK(syscall(SYS_setreuid, 1000, 1000) == 0); break;
	case 4: setfsuid(1000); CHECK(setfsuid(-1) == 1000); break;
	case 5: // nobody's capabilities, but one's own directory: another owner than root
		CHECK(chown(in("shut"), 1, 1) == 0);
		CHECK(syscall(SYS_capset, &h, d) == 0);
		break;
	case 6:
		CHECK(chown(in("shut"), 1, 1) == 0);
		CHECK(syscall(SYS_capget, &h, d) == 0);
		d[0].effective &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH);
		CHECK(syscall(SYS_capset, &h, d) == 0);
		break;
	}
}
static void credentials(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	make(in("shut/f"));
	for (int how = 0; how < 7; how++) {
		pid_t pid;
		CHILD(pid) {
			FAIL_HOT(in("shut/x"), ENOENT);
			FAIL_HOT(in("shut/f/x"), ENOTDIR);
			THERE_HOT(in("shut/f"));
			FAIL_HOT(in("open"), ENOENT);
			lose(how);
			FAIL_ALL(in("open"), ENOENT);
			for (int k = 0; k < KINDS; k++) {
				if (how >= 1 && (how == 1 || how > 3) && (k == ACCESS || k == FACCESSAT)) continue; // of the real user
				IS(k, in("shut/x"), -EACCES);
				IS(k, in("shut/f"), -EACCES);
				IS(k, in("shut/f/x"), -EACCES);
			}
			FAIL_HOT(in("open"), ENOENT);
		}
		CHECK(wait_code(pid) == 0);
		CHECK(chown(in("shut"), 0, 0) == 0);
	}
	// To and fro.
	pid_t pid;
	CHILD(pid) for (int i = 0; i < 20; i++) {
		FAIL_HOT(in("shut/x"), ENOENT);
		CHECK(syscall(SYS_setresuid, -1, 1000, -1) == 0);
		IS(STAT, in("shut/x"), -EACCES), IS(OPEN, in("shut/x"), -EACCES);
		FAIL_HOT(in("open"), ENOENT);
		CHECK(syscall(SYS_setresuid, -1, 0, -1) == 0);
	}
	CHECK(wait_code(pid) == 0);
	// Groups.
	CHECK(chown(in("shut"), 0, 77) == 0 && chmod(in("shut"), 0710) == 0);
	CHILD(pid) {
		gid_t g[] = {5, 77};
		CHECK(syscall(SYS_setgroups, 2, g) == 0);
		CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && syscall(SYS_setresgid, 1000, 1000, 1000) == 0 && syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
		struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct d[2] = {{0}};
		d[0].permitted = d[0].effective = 1 << CAP_SETGID;
		CHECK(syscall(SYS_capset, &h, d) == 0);
		for (int i = 0; i < 10; i++) {
			CHECK(syscall(SYS_setgroups, 2, g) == 0);
			FAIL_HOT(in("shut/x"), ENOENT);
			CHECK(syscall(SYS_setgroups, 1, g) == 0);
			FAIL_ALL(in("shut/x"), EACCES);
			CHECK(syscall(SYS_setresgid, -1, 77, -1) == 0);
			IS(STAT, in("shut/x"), -ENOENT), IS(OPEN, in("shut/x"), -ENOENT);
			CHECK(syscall(SYS_setresgid, -1, 1000, -1) == 0);
			FAIL_ALL(in("shut/x"), EACCES);
		}
	}
	CHECK(wait_code(pid) == 0);
}
CASE(credentials_that_are_given_up) { both(credentials); }
