// seccomp(2): strict mode and filters.
#include "case.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, v)
static int install(struct sock_filter *f, int n, int flags) { struct sock_fprog p = {n, f}; return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p); }
// on makes a filter that gives an action for one call and allows the others.
static int on(int nr, unsigned action) { struct sock_filter f[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), RET(action), RET(SECCOMP_RET_ALLOW)}; return install(f, 4, 0); }

CASE(strict_allows_write_and_exit) { pid_t p; CHILD(p) { CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0); write(1, "", 0); syscall(SYS_exit, 4); } CHECK(wait_code(p) == 4); }
CASE(strict_kills_others) { pid_t p; CHILD(p) { prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); syscall(SYS_getpid); syscall(SYS_exit, 4); } CHECK(wait_code(p) == 128 + SIGKILL); }
CASE(strict_by_call) { pid_t p; CHILD(p) { CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0) == 0); syscall(SYS_exit, 4); } CHECK(wait_code(p) == 4); FAILS(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0), EINVAL); }
CASE(mode_told) { CHECK(prctl(PR_GET_SECCOMP) == 0); CHECK(on(SYS_getppid, SECCOMP_RET_ALLOW) == 0); CHECK(prctl(PR_GET_SECCOMP) == 2); }
CASE(errno_action) { CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0); FAILS(syscall(SYS_getppid), EXDEV); CHECK(getpid() > 0); }
CASE(errno_zero) { CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO) == 0); CHECK(syscall(SYS_getppid) == 0); }
CASE(errno_capped) { CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff) == 0); FAILS(syscall(SYS_getppid), 4095); }
CASE(kill_process_action) { pid_t p; CHILD(p) { on(SYS_getppid, SECCOMP_RET_KILL_PROCESS); syscall(SYS_getppid); } CHECK(wait_code(p) == 128 + SIGSYS); }
static void *call(void *a) { syscall(SYS_getppid); return 0; }
CASE(kill_thread_action) { pid_t p; CHILD(p) { on(SYS_getppid, SECCOMP_RET_KILL_THREAD); pthread_t t; pthread_create(&t, 0, call, 0); msleep(50); _exit(6); } CHECK(wait_code(p) == 6); }
static siginfo_t got; static void on_sys(int s, siginfo_t *i, void *u) { got = *i; }
CASE(trap_action) { struct sigaction s = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO}; sigaction(SIGSYS, &s, 0); CHECK(on(SYS_getppid, SECCOMP_RET_TRAP | 77) == 0); syscall(SYS_getppid); CHECK(got.si_signo == SIGSYS && got.si_code == 1 && got.si_errno == 77 && got.si_syscall == SYS_getppid && got.si_arch == AUDIT_ARCH_X86_64); CHECK(got.si_call_addr != 0); }
CASE(trap_without_handler) { pid_t p; CHILD(p) { on(SYS_getppid, SECCOMP_RET_TRAP); syscall(SYS_getppid); } CHECK(wait_code(p) == 128 + SIGSYS); }
CASE(trace_without_tracer) { CHECK(on(SYS_getppid, SECCOMP_RET_TRACE) == 0); FAILS(syscall(SYS_getppid), ENOSYS); }
CASE(log_action_runs) { CHECK(on(SYS_getppid, SECCOMP_RET_LOG) == 0); CHECK(syscall(SYS_getppid) >= 0); }
CASE(arguments_seen) { struct sock_filter f[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 0, 3), LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), RET(SECCOMP_RET_ERRNO | EXDEV), RET(SECCOMP_RET_ALLOW)}; CHECK(install(f, 6, 0) == 0); FAILS(dup(1), EXDEV); CHECK(dup(0) >= 0); }
CASE(arch_seen) { struct sock_filter f[] = {LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0), RET(SECCOMP_RET_KILL_PROCESS), RET(SECCOMP_RET_ALLOW)}; CHECK(install(f, 4, 0) == 0); }
CASE(strictest_filter_wins) { CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0); CHECK(on(SYS_getppid, SECCOMP_RET_ALLOW) == 0); FAILS(syscall(SYS_getppid), EXDEV); }
CASE(newest_errno_wins) { CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0); CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO | EBUSY) == 0); FAILS(syscall(SYS_getppid), EBUSY); }
CASE(inherited_by_fork) { on(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV); pid_t p; CHILD(p) { FAILS(syscall(SYS_getppid), EXDEV); } CHECK(wait_code(p) == 0); }
CASE(kept_over_exec) { on(SYS_chdir, SECCOMP_RET_ERRNO | EXDEV); pid_t p; CHILD(p) { close(2); execl("/bin/busybox", "sh", "-c", "cd /proc && exit 5; exit 6", (char *)0); } CHECK(wait_code(p) != 5); }
CASE(thread_own_filter) { pthread_t t; pthread_create(&t, 0, call, 0); pthread_join(t, 0); CHECK(on(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0); FAILS(syscall(SYS_getppid), EXDEV); }
static int go[2]; static void *later(void *a) { char c; read(go[0], &c, 1); return (void *)syscall(SYS_getppid); }
CASE(tsync_reaches_all) { CHECK(pipe(go) == 0); pthread_t t; pthread_create(&t, 0, later, 0); struct sock_filter f[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1), RET(SECCOMP_RET_ERRNO | EXDEV), RET(SECCOMP_RET_ALLOW)}; CHECK(install(f, 4, SECCOMP_FILTER_FLAG_TSYNC) == 0); write(go[1], "x", 1); void *r; pthread_join(t, &r); CHECK((long)r == -1); }
CASE(needs_no_new_privs) { pid_t p; CHILD(p) { setuid(1000); struct sock_filter f[] = {RET(SECCOMP_RET_ALLOW)}; FAILS(install(f, 1, 0), EACCES); CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0); CHECK(install(f, 1, 0) == 0); } CHECK(wait_code(p) == 0); }
CASE(bad_programs) { struct sock_filter none[] = {LOAD(nr)}, far[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4096), RET(0)}, odd[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0)}, jump[] = {BPF_JUMP(BPF_JMP | BPF_JA, 9, 0, 0), RET(0)}, half[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(0)}; FAILS(install(none, 1, 0), EINVAL); FAILS(install(far, 2, 0), EINVAL); FAILS(install(odd, 2, 0), EINVAL); FAILS(install(jump, 2, 0), EINVAL); FAILS(install(half, 2, 0), EINVAL); FAILS(install(none, 0, 0), EINVAL); FAILS(install((void *)8, 1, 0), EFAULT); }
CASE(bad_arguments) { FAILS(syscall(SYS_seccomp, 99, 0, 0), EINVAL); struct sock_filter f[] = {RET(SECCOMP_RET_ALLOW)}; FAILS(install(f, 1, 0x8000), EINVAL); FAILS(prctl(PR_SET_SECCOMP, 9, 0), EINVAL); }
CASE(action_avail) { unsigned a = SECCOMP_RET_ERRNO; CHECK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a) == 0); a = 0x12340000; FAILS(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a), EOPNOTSUPP); }
CASE(status_file) { on(SYS_getppid, SECCOMP_RET_ALLOW); char b[8192] = {0}; int fd = open("/proc/self/status", O_RDONLY); read(fd, b, sizeof b - 1); CHECK(strstr(b, "\nSeccomp:\t2\nSeccomp_filters:\t1\n")); }
