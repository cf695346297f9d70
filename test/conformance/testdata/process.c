// Processes: fork, clone, exit, wait, sessions, groups, limits, prctl.
#include "case.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/sysinfo.h>
#include <sys/auxv.h>

CASE(fork_returns_child_pid) { pid_t p = fork(); if (!p) _exit(5); CHECK(p > 0); CHECK(wait_code(p) == 5); }
CASE(child_ppid_is_parent) { pid_t me = getpid(), p = fork(); if (!p) _exit(getppid() == me ? 0 : 1); CHECK(wait_code(p) == 0); }
CASE(exit_code_is_low_byte) { pid_t p = fork(); if (!p) _exit(0x1ff); CHECK(wait_code(p) == 0xff); }
CASE(wait_no_children) { FAILS(waitpid(-1, 0, 0), ECHILD); }
CASE(wait_wrong_child) { FAILS(waitpid(getpid(), 0, 0), ECHILD); }
CASE(wait_nohang_running) {
	pid_t p = fork(); if (!p) { pause(); _exit(0); }
	CHECK(waitpid(p, 0, WNOHANG) == 0); kill(p, SIGKILL); int st; CHECK(waitpid(p, &st, 0) == p); CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
}
CASE(wait_bad_options) { FAILS(waitpid(-1, 0, 0x1000000), EINVAL); }
CASE(wait_any_in_order) { pid_t a = fork(); if (!a) _exit(1); pid_t b = fork(); if (!b) _exit(2); int n = 0, st; while (wait(&st) > 0) n += WEXITSTATUS(st); CHECK(n == 3); }
CASE(wait_by_group) { pid_t a = fork(); if (!a) { setpgid(0, 0); msleep(20); _exit(4); } setpgid(a, a); int st; CHECK(waitpid(-a, &st, 0) == a); CHECK(WEXITSTATUS(st) == 4); }
CASE(waitid_exited) { pid_t p = fork(); if (!p) _exit(9); siginfo_t i = {0}; CHECK(waitid(P_PID, p, &i, WEXITED) == 0); CHECK(i.si_pid == p && i.si_status == 9 && i.si_code == CLD_EXITED && i.si_signo == SIGCHLD); }
CASE(waitid_nowait_keeps) { pid_t p = fork(); if (!p) _exit(9); siginfo_t i; CHECK(waitid(P_PID, p, &i, WEXITED | WNOWAIT) == 0); CHECK(wait_code(p) == 9); }
CASE(waitid_needs_event) { FAILS(waitid(P_ALL, 0, 0, 0), EINVAL); }
CASE(waitid_nohang_zeroes) { pid_t p = fork(); if (!p) { pause(); } siginfo_t i; memset(&i, 7, sizeof i); CHECK(waitid(P_PID, p, &i, WEXITED | WNOHANG) == 0); CHECK(i.si_pid == 0 && i.si_signo == 0); kill(p, 9); wait(0); }
CASE(wait_stopped_continued) {
	pid_t p = fork(); if (!p) { for (;;) pause(); }
	int st; kill(p, SIGSTOP); CHECK(waitpid(p, &st, WUNTRACED) == p); CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	kill(p, SIGCONT); CHECK(waitpid(p, &st, WCONTINUED) == p); CHECK(WIFCONTINUED(st)); kill(p, SIGKILL); waitpid(p, &st, 0);
}
CASE(zombie_can_be_signalled) { pid_t p = fork(); if (!p) _exit(0); siginfo_t i; waitid(P_PID, p, &i, WEXITED | WNOWAIT); CHECK(kill(p, 0) == 0); wait(0); FAILS(kill(p, 0), ESRCH); }
CASE(orphan_goes_to_init) {
	int fd[2]; CHECK(pipe(fd) == 0); pid_t p = fork();
	if (!p) { if (!fork()) { while (getppid() != 1) msleep(1); write(fd[1], "x", 1); _exit(0); } _exit(0); }
	wait_code(p); close(fd[1]); char c; CHECK(read(fd[0], &c, 1) == 1);
}
CASE(subreaper_adopts) {
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); int v = 0; prctl(PR_GET_CHILD_SUBREAPER, &v); CHECK(v == 1);
	pid_t me = getpid(), p = fork(); if (!p) { if (!fork()) { while (getppid() != me) msleep(1); _exit(6); } _exit(0); }
	CHECK(wait_code(p) == 0); int st; CHECK(wait(&st) > 0 && WEXITSTATUS(st) == 6);
}
CASE(sigchld_ignored_reaps) { signal(SIGCHLD, SIG_IGN); pid_t p = fork(); if (!p) _exit(0); FAILS(waitpid(p, 0, 0), ECHILD); }
CASE(pdeathsig) {
	int fd[2]; pipe(fd); pid_t p = fork();
	if (!p) { pid_t c = fork(); if (!c) { prctl(PR_SET_PDEATHSIG, SIGKILL); write(fd[1], "r", 1); pause(); _exit(0); } char b; read(fd[0], &b, 1); _exit(0); }
	wait_code(p); close(fd[1]); char b; CHECK(read(fd[0], &b, 1) == 0);
}
CASE(vfork_shares_and_waits) { static volatile int x; pid_t p = vfork(); if (!p) { x = 42; _exit(3); } CHECK(x == 42); CHECK(wait_code(p) == 3); }
CASE(fork_copies_memory) { int x = 1; pid_t p = fork(); if (!p) { x = 2; _exit(x); } wait_code(p); CHECK(x == 1); }
CASE(fork_shares_file_offset) { int fd = open("f", O_RDWR | O_CREAT, 0600); write(fd, "abcdef", 6); lseek(fd, 0, SEEK_SET); pid_t p = fork(); char b[3]; if (!p) { read(fd, b, 3); _exit(0); } wait_code(p); CHECK(read(fd, b, 1) == 1 && b[0] == 'd'); }
static int clone_fn(void *a) { *(int *)a = 7; return 11; }
CASE(clone_vm_shares_memory) { char *st = malloc(65536); int v = 0; pid_t p = clone(clone_fn, st + 65536, CLONE_VM | SIGCHLD, &v); CHECK(p > 0); CHECK(wait_code(p) == 11); CHECK(v == 7); }
CASE(clone_sighand_needs_vm) { char *st = malloc(65536); FAILS(clone(clone_fn, st + 65536, CLONE_SIGHAND | SIGCHLD, 0), EINVAL); }
CASE(clone_thread_needs_sighand) { char *st = malloc(65536); FAILS(clone(clone_fn, st + 65536, CLONE_VM | CLONE_THREAD, 0), EINVAL); }
CASE(clone_parent_settid) { int tid = 0; long p = syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &tid, 0, 0); if (!p) _exit(0); CHECK(tid == p); wait(0); }
CASE(clone_child_settid) { static int *tid; tid = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); long p = syscall(SYS_clone, CLONE_CHILD_SETTID | SIGCHLD, 0, 0, tid, 0); if (!p) _exit(*tid == getpid() ? 0 : 1); CHECK(wait_code(p) == 0); CHECK(*tid == p); }
CASE(clone_without_exit_signal_needs_wclone) { long p = syscall(SYS_clone, 0, 0, 0, 0, 0); if (!p) _exit(0); FAILS(waitpid(p, 0, 0), ECHILD); CHECK(waitpid(p, 0, __WCLONE) == p); }
CASE(clone3_plain) { struct { uint64_t a[11]; } c = {{0}}; c.a[4] = SIGCHLD; long p = syscall(SYS_clone3, &c, sizeof c); if (!p) _exit(8); CHECK(p > 0); CHECK(wait_code(p) == 8); }
CASE(clone3_small_size) { uint64_t c[11] = {0}; FAILS(syscall(SYS_clone3, c, 56), EINVAL); }
CASE(clone3_pidfd) { uint64_t c[11] = {0}; int fd = -1; c[0] = CLONE_PIDFD; c[1] = (uint64_t)&fd; c[4] = SIGCHLD; long p = syscall(SYS_clone3, c, sizeof c); if (!p) _exit(0); CHECK(fd >= 0); CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC); CHECK(wait_code(p) == 0); }
CASE(pidfd_open_and_signal) { pid_t p = fork(); if (!p) pause(); int fd = syscall(SYS_pidfd_open, p, 0); CHECK(fd >= 0); CHECK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, 0, 0) == 0); CHECK(wait_code(p) == 128 + SIGTERM); FAILS(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0), ESRCH); }
CASE(pidfd_open_bad) { FAILS(syscall(SYS_pidfd_open, 0, 0), EINVAL); FAILS(syscall(SYS_pidfd_open, 99999999, 0), ESRCH); }
CASE(waitid_pidfd) { pid_t p = fork(); if (!p) _exit(2); int fd = syscall(SYS_pidfd_open, p, 0); siginfo_t i; CHECK(waitid(P_PIDFD, fd, &i, WEXITED) == 0); CHECK(i.si_status == 2); }
CASE(setsid_makes_leader) { pid_t p = fork(); if (!p) { pid_t s = setsid(); _exit(s == getpid() && getpgrp() == s && getsid(0) == s ? 0 : 1); } CHECK(wait_code(p) == 0); }
CASE(setsid_leader_eperm) { pid_t p = fork(); if (!p) { setsid(); errno = 0; _exit(setsid() == -1 && errno == EPERM ? 0 : 1); } CHECK(wait_code(p) == 0); }
CASE(setpgid_child) { pid_t p = fork(); if (!p) { pause(); _exit(0); } CHECK(setpgid(p, 0) == 0); CHECK(getpgid(p) == p); kill(-p, SIGKILL); wait(0); }
CASE(setpgid_bad) { FAILS(setpgid(0, -1), EINVAL); FAILS(setpgid(1, 0), ESRCH); FAILS(setpgid(0, 99999), EPERM); }
CASE(setpgid_after_exec) { int fd[2]; pipe(fd); pid_t p = fork(); if (!p) { dup2(fd[1], 1); execl("/bin/busybox", "sh", "-c", "echo x; sleep 5", (char *)0); _exit(1); } char b; read(fd[0], &b, 1); FAILS(setpgid(p, 0), EACCES); kill(p, 9); wait(0); }
CASE(getpgid_bad) { FAILS(getpgid(999999), ESRCH); FAILS(getsid(999999), ESRCH); }
static void *thr(void *a) { return (void *)(long)syscall(SYS_gettid); }
CASE(thread_tid_differs) { pthread_t t; void *r; CHECK(pthread_create(&t, 0, thr, 0) == 0); pthread_join(t, &r); CHECK((long)r != getpid()); CHECK(syscall(SYS_gettid) == getpid()); }
static void *exit_thr(void *a) { syscall(SYS_exit, 0); return 0; }
CASE(thread_exit_leaves_process) { pthread_t t; pthread_create(&t, 0, exit_thr, 0); msleep(20); }
static void *exit_grp(void *a) { syscall(SYS_exit_group, 12); return 0; }
CASE(exit_group_from_thread) { pid_t p = fork(); if (!p) { pthread_t t; pthread_create(&t, 0, exit_grp, 0); for (;;) pause(); } CHECK(wait_code(p) == 12); }
static void *late(void *a) { msleep(30); _exit(21); }
CASE(leader_exit_waits_for_threads) { pid_t p = fork(); if (!p) { pthread_t t; pthread_create(&t, 0, late, 0); syscall(SYS_exit, 1); } CHECK(wait_code(p) == 21); }
CASE(many_threads) { pthread_t t[40]; for (int i = 0; i < 40; i++) CHECK(pthread_create(&t[i], 0, thr, 0) == 0); for (int i = 0; i < 40; i++) pthread_join(t[i], 0); }
CASE(many_forks) { for (int i = 0; i < 60; i++) { pid_t p = fork(); if (!p) _exit(i); CHECK(wait_code(p) == i); } }
CASE(rlimit_get_set) { struct rlimit r; CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0); r.rlim_cur = 50; CHECK(setrlimit(RLIMIT_NOFILE, &r) == 0); CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur == 50); }
CASE(rlimit_bad) { struct rlimit r = {10, 5}; FAILS(setrlimit(RLIMIT_NOFILE, &r), EINVAL); FAILS(getrlimit(99, &r), EINVAL); }
CASE(rlimit_nofile_enforced) { struct rlimit r = {10, 10}; setrlimit(RLIMIT_NOFILE, &r); int n = 0; while (open("/dev/null", O_RDONLY) >= 0) n++; CHECK(errno == EMFILE); CHECK(n < 10); }
CASE(prlimit_other) { pid_t p = fork(); if (!p) { pause(); _exit(0); } struct rlimit r; CHECK(prlimit(p, RLIMIT_CORE, 0, &r) == 0); kill(p, 9); wait(0); FAILS(prlimit(p, RLIMIT_CORE, 0, &r), ESRCH); }
CASE(rusage_self) { struct rusage r; volatile long x = 0; for (long i = 0; i < 30000000; i++) x += i; CHECK(getrusage(RUSAGE_SELF, &r) == 0); CHECK(r.ru_utime.tv_sec * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec > 0); FAILS(getrusage(77, &r), EINVAL); }
CASE(rusage_children) { pid_t p = fork(); if (!p) { volatile long x = 0; for (long i = 0; i < 60000000; i++) x += i; _exit(0); } struct rusage r; CHECK(wait4(p, 0, 0, &r) == p); CHECK(r.ru_utime.tv_sec * 1000000 + r.ru_utime.tv_usec > 0); CHECK(getrusage(RUSAGE_CHILDREN, &r) == 0 && r.ru_utime.tv_sec * 1000000 + r.ru_utime.tv_usec > 0); }
CASE(prctl_name) { char b[32] = {0}; CHECK(prctl(PR_SET_NAME, "a-name-that-is-too-long") == 0); CHECK(prctl(PR_GET_NAME, b) == 0); CHECK(!strcmp(b, "a-name-that-is-")); }
CASE(prctl_dumpable) { CHECK(prctl(PR_GET_DUMPABLE) == 1); CHECK(prctl(PR_SET_DUMPABLE, 0) == 0); CHECK(prctl(PR_GET_DUMPABLE) == 0); FAILS(prctl(PR_SET_DUMPABLE, 2), EINVAL); }
CASE(prctl_no_new_privs) { CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0); CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0); CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1); FAILS(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL); }
CASE(prctl_unknown) { FAILS(prctl(123456, 0, 0, 0, 0), EINVAL); }
CASE(uname_linux) { struct utsname u; CHECK(uname(&u) == 0); CHECK(!strcmp(u.sysname, "Linux") && !strcmp(u.machine, "x86_64") && !strcmp(u.nodename, "ringfort")); }
CASE(sysinfo_sane) { struct sysinfo s; CHECK(sysinfo(&s) == 0); CHECK(s.totalram > 0 && s.freeram <= s.totalram && s.procs > 0); }
CASE(affinity) { cpu_set_t s; CHECK(sched_getaffinity(0, sizeof s, &s) == 0); CHECK(CPU_COUNT(&s) >= 1); CHECK(sched_setaffinity(0, sizeof s, &s) == 0); CPU_ZERO(&s); FAILS(sched_setaffinity(0, sizeof s, &s), EINVAL); FAILS(sched_getaffinity(-1, sizeof s, &s), ESRCH); FAILS(sched_setaffinity(-1, sizeof s, &s), ESRCH); FAILS(sched_getaffinity(99999, sizeof s, &s), ESRCH); }
CASE(scheduler_other) { CHECK(sched_getscheduler(0) == SCHED_OTHER); CHECK(sched_get_priority_max(SCHED_FIFO) == 99); CHECK(sched_get_priority_min(SCHED_RR) == 1); FAILS(sched_getscheduler(-1), EINVAL); }
CASE(nice_value) { errno = 0; CHECK(getpriority(PRIO_PROCESS, 0) == 0); CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0); CHECK(getpriority(PRIO_PROCESS, 0) == 5); FAILS(getpriority(9, 0), EINVAL); }
CASE(auxv_pagesz) { CHECK(getauxval(AT_PAGESZ) == 4096); CHECK(getauxval(AT_RANDOM) != 0); CHECK(getauxval(AT_SECURE) == 0); }
CASE(getrandom_bytes) { unsigned char b[64] = {0}; CHECK(syscall(SYS_getrandom, b, 64, 0) == 64); int n = 0; for (int i = 0; i < 64; i++) n |= b[i]; CHECK(n); FAILS(syscall(SYS_getrandom, b, 1, 0x100), EINVAL); }
CASE(personality_get) { CHECK(syscall(SYS_personality, 0xffffffff) == 0); }
CASE(unknown_syscall) { FAILS(syscall(500000), ENOSYS); }
CASE(membarrier_query) { CHECK(syscall(SYS_membarrier, 0, 0, 0) > 0); FAILS(syscall(SYS_membarrier, 999, 0, 0), EINVAL); }
CASE(set_tid_address_returns_tid) { int x; CHECK(syscall(SYS_set_tid_address, &x) == getpid()); }
CASE(times_ticks) { struct tms t; CHECK(times(&t) != (clock_t)-1); }
static void *parked(void *a) { for (;;) pause(); }
CASE(thread_flood_is_survived) {
	pid_t p = fork();
	if (!p) {
		pthread_attr_t a;
		pthread_attr_init(&a);
		pthread_attr_setstacksize(&a, 16384);
		pthread_t t;
		int n = 0;
		while (n < 4500 && !pthread_create(&t, &a, parked, 0)) n++;
		_exit(n > 1000 ? 0 : 1);
	}
	CHECK(wait_code(p) == 0);
	p = fork();
	if (!p) _exit(3);
	CHECK(wait_code(p) == 3);
}
// A shell prints "core dumped" only if one could be: of a page at least, and of a process that may be dumped.
#include <sys/prctl.h>
static int core_bit(rlim_t limit, int dumpable, int sig) { pid_t p = fork(); if (!p) { struct rlimit r; getrlimit(RLIMIT_CORE, &r); r.rlim_cur = limit < r.rlim_max ? limit : r.rlim_max; setrlimit(RLIMIT_CORE, &r); prctl(PR_SET_DUMPABLE, dumpable); kill(getpid(), sig); _exit(1); } int s; CHECK(waitpid(p, &s, 0) == p && WIFSIGNALED(s) && WTERMSIG(s) == sig); return !!WCOREDUMP(s); }
CASE(core_bit_of_the_status) { CHECK(!core_bit(0, 1, SIGSEGV)); CHECK(!core_bit(100, 1, SIGSEGV)); CHECK(!core_bit(1 << 30, 0, SIGABRT)); CHECK(!core_bit(1 << 30, 1, SIGTERM)); struct rlimit r; getrlimit(RLIMIT_CORE, &r); if (r.rlim_max > 1 << 24) CHECK(core_bit(1 << 24, 1, SIGSEGV)); }

// A barrier interrupts threads before their first instruction.
static volatile int barriers_stop;
static __thread long barriers_passed = 41;
static void *passes_barriers(void *v) {
	CHECK(barriers_passed++ == 41);
	for (;;) {
		for (int i = 1; i <= 64; i *= 2) syscall(SYS_membarrier, i, 0, 0);
		if (barriers_stop) return 0;
	}
}
CASE(threads_begin_under_barriers) {
	for (int n = 0; n < 30; n++) {
		pthread_t t[4];
		barriers_stop = 0;
		for (int i = 0; i < 4; i++) CHECK(pthread_create(t + i, 0, passes_barriers, 0) == 0);
		barriers_stop = 1;
		for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
	}
}
