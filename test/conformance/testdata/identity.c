// What calls for the caller's identity return right after it has changed, when
// they have been called so often that a platform may answer them by itself.
#include "case.h"
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

CASE(at_first) { heat(); agree(); }

CASE(after_setresuid) {
	heat();
	for (int i = 1; i < 50; i++) {
		CHECK(!setresgid(2000 + i, 3000 + i, 0));
		CHECK(my_gid() == 2000 + i && my_egid() == 3000 + i);
		CHECK(!setresuid(1000 + i, 0, 0));
		CHECK(my_uid() == 1000 + i && my_euid() == 0);
		CHECK(!setresuid(-1, 1500 + i, -1));
		CHECK(my_uid() == 1000 + i && my_euid() == 1500 + i);
		CHECK(!setresuid(0, 0, 0));
		CHECK(my_uid() == 0 && my_euid() == 0);
	}
	agree();
	CHECK(!setuid(77));
	CHECK(my_uid() == 77 && my_euid() == 77);
}

CASE(after_setreuid_and_setfsuid) {
	heat();
	CHECK(!setregid(5, 6) && my_gid() == 5 && my_egid() == 6);
	CHECK(!setreuid(7, 8) && my_uid() == 7 && my_euid() == 8);
	CHECK(!seteuid(7) && my_euid() == 7);
	agree();
}

CASE(after_fork) {
	heat();
	for (int i = 0; i < 60; i++) {
		long me = my_pid();
		pid_t pid = fork();
		if (pid == 0) {
			CHECK(my_pid() != me && my_parent() == me && my_tid() == my_pid());
			agree();
			_exit(0);
		}
		CHECK(my_pid() == me && my_tid() == me);
		CHECK(wait_code(pid) == 0);
	}
}

CASE(after_vfork) {
	heat();
	for (int i = 0; i < 60; i++) {
		static volatile long me, child, parent;
		me = my_pid();
		pid_t pid = vfork();
		if (pid == 0) {
			child = my_pid();
			parent = my_parent();
			_exit(0);
		}
		CHECK(child == pid && parent == me && my_pid() == me);
		CHECK(wait_code(pid) == 0);
	}
}

static void *thread(void *pid) {
	CHECK(my_pid() == (long)pid && my_tid() != (long)pid);
	agree();
	heat();
	agree();
	return (void *)my_tid();
}

CASE(in_threads) {
	heat();
	for (int i = 0; i < 60; i++) {
		pthread_t t;
		void *tid;
		CHECK(!pthread_create(&t, 0, thread, (void *)my_pid()));
		CHECK(my_tid() == my_pid());
		pthread_join(t, &tid);
		CHECK((long)tid != my_tid());
	}
}

// The raw call changes one thread only.
static void *own_uid(void *v) {
	heat();
	CHECK(!syscall(SYS_setresuid, 42, 43, 44));
	CHECK(my_uid() == 42 && my_euid() == 43);
	agree();
	return 0;
}

CASE(of_one_thread) {
	pthread_t t;
	heat();
	CHECK(!pthread_create(&t, 0, own_uid, 0));
	pthread_join(t, 0);
	CHECK(my_uid() == 0 && my_euid() == 0);
	// All threads at once, as libc does it with a signal.
	CHECK(!setuid(99) && my_uid() == 99);
}

CASE(after_the_parent_ends) {
	int p[2];
	CHECK(!pipe(p) && !prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t me = getpid(), pid = fork();
	if (pid == 0) {
		pid_t old = getpid();
		if (fork() == 0) {
			char c;
			heat();
			CHECK(read(p[0], &c, 1) == 1); // the parent is a zombie
			CHECK(my_parent() == me && me != old);
			agree();
		}
		_exit(0);
	}
	siginfo_t si;
	CHECK(!waitid(P_PID, pid, &si, WEXITED));
	CHECK(write(p[1], "x", 1) == 1);
	int st;
	CHECK(wait(&st) > 0 && st == 0);
}

// Not even one answer after the parent's end is the old one: it spins meanwhile.
CASE(while_the_parent_ends) {
	CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			pid_t old = getpid();
			if (fork() == 0) {
				time_t end = time(0) + 8;
				while (my_parent() == old && time(0) < end) {
				}
				CHECK(my_parent() == from_proc("\nPPid:", 0) && my_parent() != old);
				_exit(0);
			}
			_exit(0);
		}
		CHECK(wait_code(pid) == 0);
		while (waitpid(-1, 0, 0) > 0) {
		}
	}
}

static long reply(int nr, int err) {
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {sizeof f / sizeof *f, f};
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p);
}

CASE(under_a_filter) {
	heat();
	CHECK(!reply(SYS_getpid, 55));
	for (int i = 0; i < 60; i++) CHECK(my_pid() == -55);
	pid_t pid;
	CHILD(pid) {
		for (int i = 0; i < 60; i++) CHECK(my_pid() == -55);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(my_uid() == 0 && my_tid() > 0);
	CHECK(!setuid(5));
	CHECK(my_uid() == 5 && my_pid() == -55);
}

static volatile int started, filtered, stop;
static void *watched(void *v) {
	heat();
	started = 1;
	while (!filtered) my_pid();
	for (int i = 0; i < 60; i++) CHECK(my_pid() == -77);
	return 0;
}

CASE(under_a_filter_of_another_thread) {
	pthread_t t;
	CHECK(!pthread_create(&t, 0, watched, 0));
	while (!started) sched_yield();
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {4, f};
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &p));
	filtered = 1;
	pthread_join(t, 0);
	CHECK(my_pid() == -77);
}

CASE(after_unshare_of_pids) {
	heat();
	long me = my_pid();
	CHECK(!unshare(CLONE_NEWPID));
	CHECK(my_pid() == me);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 60; i++) CHECK(my_pid() == 1 && my_parent() == 0 && my_tid() == 1);
		pid_t p2 = fork();
		if (p2 == 0) {
			CHECK(my_pid() == 2 && my_parent() == 1);
			heat();
			CHECK(my_pid() == 2 && my_parent() == 1);
			_exit(0);
		}
		CHECK(wait_code(p2) == 0);
		_exit(0);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(my_pid() == me);
}

// A clone with CLONE_PARENT is a sibling.
CASE(of_a_sibling) {
	heat();
	pid_t pid = fork();
	if (pid == 0) {
		long parent = my_parent();
		long r = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (r == 0) {
			for (int i = 0; i < 60; i++) CHECK(my_parent() == parent);
			agree();
			_exit(0);
		}
		_exit(0);
	}
	int st;
	for (int i = 0; i < 2; i++) CHECK(wait(&st) > 0 && st == 0);
}

// A thread that is not the first calls exec: it becomes the first. The program
// run is this one, for the case that follows.
static void *exec_thread(void *v) {
	heat();
	execl("/proc/self/exe", "identity", "after_exec_checks", (char *)0);
	return (void *)1;
}

CASE(after_exec_checks) { heat(); agree(); CHECK(my_pid() == my_tid()); }

CASE(after_exec_by_a_thread) {
	heat();
	pid_t pid;
	CHILD(pid) {
		close(1);
		open("/dev/null", O_WRONLY);
		pthread_t t;
		pthread_create(&t, 0, exec_thread, 0);
		pthread_join(t, 0);
		_exit(9);
	}
	CHECK(wait_code(pid) == 0);
}

// Set-user-ID programs have another identity from their first instruction on.
CASE(after_exec_of_a_set_user_id_program) {
	char buf[1 << 16];
	int in = open("/proc/self/exe", O_RDONLY), out = open("prog", O_WRONLY | O_CREAT, 0755);
	CHECK(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, buf, sizeof buf)) > 0;) CHECK(write(out, buf, n) == n);
	close(out);
	umask(0);
	CHECK(!chmod("/tmp/case", 0777) && (mkdir("/tmp/case/as_1234", 0777) == 0 || errno == EEXIST));
	CHECK(!chmod("/tmp/case/as_1234", 0777) && !chown("prog", 1234, 1234) && !chmod("prog", 06755));
	pid_t pid;
	CHILD(pid) {
		heat();
		execl("prog", "prog", "as_1234", (char *)0);
		_exit(9);
	}
	CHECK(wait_code(pid) == 0);
}

// Run by the case above in another process; by itself it has nothing to see.
CASE(as_1234) {
	if (my_euid()) CHECK(my_euid() == 1234 && my_egid() == 1234 && my_uid() == 0);
	agree();
}
