// namespaces(7): unshare(2), clone(2), setns(2) of each kind.
#include "case.h"
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <net/if.h>
static char b[8192];
static ino_t ns(const char *kind) { char p[64]; struct stat s; sprintf(p, "/proc/self/ns/%s", kind); CHECK(stat(p, &s) == 0); return s.st_ino; }
static char *get(const char *p) { int fd = open(p, O_RDONLY); CHECK(fd >= 0); long n = read(fd, b, sizeof b - 1); CHECK(n >= 0); b[n] = 0; close(fd); return b; }
static char *host(void) { CHECK(gethostname(b, sizeof b) == 0); return b; }

CASE(uts_is_private) { pid_t p; CHILD(p) { CHECK(unshare(CLONE_NEWUTS) == 0); CHECK(sethostname("inner", 5) == 0); CHECK(!strcmp(host(), "inner")); } CHECK(wait_code(p) == 0); CHECK(!strcmp(host(), "ringfort")); }
CASE(uts_domainname) { CHECK(unshare(CLONE_NEWUTS) == 0); CHECK(setdomainname("dom", 3) == 0); CHECK(getdomainname(b, 64) == 0 && !strcmp(b, "dom")); CHECK(!strcmp(get("/proc/sys/kernel/domainname"), "dom\n")); }
CASE(uts_name_limits) { CHECK(unshare(CLONE_NEWUTS) == 0); memset(b, 'a', 100); FAILS(sethostname(b, 65), EINVAL); CHECK(sethostname(b, 64) == 0); FAILS(sethostname((void *)8, 5), EFAULT); FAILS(syscall(SYS_sethostname, "a", -1), EINVAL); }
CASE(uts_setns_by_file) { int fd = open("/proc/self/ns/uts", O_RDONLY); ino_t i = ns("uts"); CHECK(unshare(CLONE_NEWUTS) == 0); CHECK(ns("uts") != i); sethostname("x", 1); CHECK(setns(fd, CLONE_NEWUTS) == 0); CHECK(!strcmp(host(), "ringfort") && ns("uts") == i); }
CASE(setns_bad) { int fd = open("/proc/self/ns/uts", O_RDONLY); FAILS(setns(fd, CLONE_NEWNET), EINVAL); FAILS(setns(99, 0), EBADF); int n = open("/dev/null", O_RDONLY); FAILS(setns(n, 0), EINVAL); CHECK(setns(fd, 0) == 0); }
CASE(unshare_bad) { FAILS(unshare(0x1), EINVAL); CHECK(unshare(0) == 0); CHECK(unshare(CLONE_FS | CLONE_FILES) == 0); }
CASE(unshare_needs_capability) { pid_t p; CHILD(p) { setuid(1000); FAILS(unshare(CLONE_NEWUTS), EPERM); FAILS(unshare(CLONE_NEWNS), EPERM); FAILS(unshare(CLONE_NEWNET), EPERM); FAILS(sethostname("x", 1), EPERM); } CHECK(wait_code(p) == 0); }
CASE(mount_is_private) { mkdir("m", 0700); pid_t p; CHILD(p) { CHECK(unshare(CLONE_NEWNS) == 0); CHECK(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == 0); CHECK(mount("t", "m", "tmpfs", 0, 0) == 0); CHECK(open("m/f", O_CREAT | O_RDWR, 0600) >= 0); } CHECK(wait_code(p) == 0); FAILS(access("m/f", F_OK), ENOENT); }
CASE(mount_unshares_fs) { CHECK(unshare(CLONE_NEWNS) == 0); CHECK(chdir("/") == 0); ino_t i = ns("mnt"); CHECK(unshare(CLONE_NEWNS) == 0); CHECK(ns("mnt") != i); }
CASE(chroot_in_namespace) { CHECK(unshare(CLONE_NEWNS) == 0); mkdir("r", 0755); mkdir("r/d", 0755); CHECK(chroot("r") == 0 && chdir("/") == 0); CHECK(access("/d", F_OK) == 0); CHECK(getcwd(b, 100) && !strcmp(b, "/")); FAILS(access("/proc", F_OK), ENOENT); }
CASE(pivot_root_away) { CHECK(unshare(CLONE_NEWNS) == 0); CHECK(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == 0); mkdir("n", 0755); CHECK(mount("t", "n", "tmpfs", 0, 0) == 0); mkdir("n/old", 0755); CHECK(syscall(SYS_pivot_root, "n", "n/old") == 0); CHECK(chdir("/") == 0 && access("/old/proc/self", F_OK) == 0); CHECK(umount2("/old", MNT_DETACH) == 0); FAILS(access("/old/proc", F_OK), ENOENT); }
CASE(pid_child_is_one) { CHECK(unshare(CLONE_NEWPID) == 0); pid_t me = getpid(); CHECK(getpid() == me); pid_t p = fork(); if (!p) _exit(getpid() == 1 && getppid() == 0 ? 0 : 1); CHECK(p > 1); CHECK(wait_code(p) == 0); FAILS(fork(), ENOMEM); }
CASE(pid_clone) { pid_t p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { pid_t c = fork(); if (!c) _exit(getpid() == 2 && getppid() == 1 ? 0 : 1); _exit(c == 2 && wait_code(c) == 0 ? 0 : 1); } CHECK(wait_code(p) == 0); }
CASE(pid_init_death_kills_all) { int fd[2]; CHECK(pipe(fd) == 0); pid_t p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { for (int i = 0; i < 3; i++) if (!fork()) { write(fd[1], "x", 1); pause(); _exit(0); } for (int i = 0; i < 3; i++) read(fd[0], b, 1); _exit(0); } close(fd[1]); wait_code(p); CHECK(read(fd[0], b, 1) == 0); }
CASE(pid_init_ignores_signals) { pid_t p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { kill(1, SIGTERM); kill(1, SIGKILL); _exit(5); } CHECK(wait_code(p) == 5); }
CASE(pid_outside_invisible) { pid_t me = getpid(), p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { if (me < 3) _exit(0); FAILS(kill(me, 0), ESRCH); _exit(0); } CHECK(wait_code(p) == 0); }
CASE(pid_orphans_to_its_init) { pid_t p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { pid_t c = fork(); if (!c) { if (!fork()) { while (getppid() != 1) msleep(1); _exit(9); } _exit(0); } wait_code(c); int st; if (wait(&st) < 0) _exit(1); _exit(WEXITSTATUS(st)); } CHECK(wait_code(p) == 9); }
CASE(pid_own_proc) { CHECK(unshare(CLONE_NEWNS) == 0); CHECK(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == 0); pid_t p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { mkdir("p", 0700); CHECK(mount("proc", "p", "proc", 0, 0) == 0); CHECK(readlink("p/self", b, 10) == 1 && b[0] == '1'); CHECK(strstr(get("p/1/status"), "\nPid:\t1\n")); _exit(0); } CHECK(wait_code(p) == 0); }
CASE(pid_with_thread_refused) { FAILS(syscall(SYS_clone, CLONE_NEWPID | CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, 0, 0, 0, 0), EINVAL); FAILS(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0), EINVAL); FAILS(syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0, 0, 0, 0), EINVAL); }
CASE(pid_setns) { pid_t p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!p) { pause(); _exit(0); } char f[64]; sprintf(f, "/proc/%d/ns/pid", p); int fd = open(f, O_RDONLY); CHECK(setns(fd, CLONE_NEWPID) == 0); pid_t c = fork(); if (!c) _exit(getpid() == 2 && getppid() == 0 ? 0 : 1); CHECK(wait_code(c) == 0); kill(p, 9); wait(0); }
CASE(user_threads_refused) { FAILS(syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, 0, 0, 0, 0), EINVAL); int fd = open("/proc/self/ns/user", O_RDONLY); FAILS(setns(fd, CLONE_NEWUSER), EINVAL); }
CASE(ipc_inode_changes) { ino_t i = ns("ipc"); CHECK(unshare(CLONE_NEWIPC) == 0); CHECK(ns("ipc") != i); }
CASE(net_abstract_sockets_apart) { struct sockaddr_un_ { unsigned short f; char p[16]; } a = {AF_UNIX, "\0abstract"}; int s = socket(AF_UNIX, SOCK_STREAM, 0), t; CHECK(bind(s, (void *)&a, sizeof a) == 0 && listen(s, 1) == 0); CHECK(unshare(CLONE_NEWNET) == 0); t = socket(AF_UNIX, SOCK_STREAM, 0); FAILS(connect(t, (void *)&a, sizeof a), ECONNREFUSED); CHECK(bind(t, (void *)&a, sizeof a) == 0); }
CASE(children_share) { ino_t i = ns("uts"), j = ns("net"); pid_t p; CHILD(p) { _exit(ns("uts") == i && ns("net") == j ? 0 : 1); } CHECK(wait_code(p) == 0); }

// The init of a PID namespace (pid_namespaces(7)): it ignores what it has no handler for, unless it is SIGKILL or SIGSTOP from outside.
static pid_t new_init(int *ready) { int p[2]; if (pipe(p)) _exit(97); pid_t c = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (c) { close(p[1]); *ready = p[0]; } else { close(p[0]); *ready = p[1]; } return c; }
CASE(init_ignores_its_own_signals) { int fd; pid_t c = new_init(&fd); if (!c) { if (getpid() != 1) _exit(1); raise(SIGTERM); raise(SIGSEGV); kill(1, SIGKILL); kill(1, SIGSTOP); alarm(1); msleep(1200); _exit(7); } CHECK(c > 0 && wait_code(c) == 7); }
CASE(init_ignores_signals_of_children) { int fd; pid_t c = new_init(&fd); if (!c) { pid_t d = fork(); if (!d) { kill(1, SIGKILL); kill(1, SIGINT); union sigval v = {0}; sigqueue(1, SIGTERM, v); siginfo_t i = {.si_code = SI_QUEUE}; syscall(SYS_rt_sigqueueinfo, 1, SIGKILL, &i); _exit(0); } wait_code(d); msleep(100); _exit(7); } CHECK(wait_code(c) == 7); }
CASE(init_ignores_parent_without_handler) { int fd; pid_t c = new_init(&fd); if (!c) { msleep(600); _exit(7); } msleep(100); CHECK(kill(c, SIGTERM) == 0 && kill(c, SIGTSTP) == 0 && kill(c, SIGQUIT) == 0); CHECK(wait_code(c) == 7); }
static int from = -1; static void note(int s, siginfo_t *i, void *u) { from = i->si_pid; }
CASE(init_handles_signal_of_parent) { int fd; pid_t c = new_init(&fd); if (!c) { struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO}; sigaction(SIGTERM, &a, 0); write(fd, "x", 1); while (from < 0) msleep(5); _exit(20 + from); } char x; CHECK(read(fd, &x, 1) == 1); kill(c, SIGTERM); CHECK(wait_code(c) == 20); }
CASE(init_is_killed_by_parent) { int fd; pid_t c = new_init(&fd); if (!c) { for (;;) pause(); } kill(c, SIGKILL); CHECK(wait_code(c) == 128 + SIGKILL); }
CASE(init_is_stopped_by_parent) { int fd; pid_t c = new_init(&fd); if (!c) { for (;;) pause(); } kill(c, SIGSTOP); int st; CHECK(waitpid(c, &st, WUNTRACED) == c && WIFSTOPPED(st)); kill(c, SIGCONT); CHECK(waitpid(c, &st, WCONTINUED) == c && WIFCONTINUED(st)); kill(c, SIGKILL); CHECK(wait_code(c) == 128 + SIGKILL); }
CASE(init_dies_of_a_fault) { int fd; pid_t c = new_init(&fd); if (!c) { *(volatile int *)8 = 1; _exit(7); } CHECK(wait_code(c) == 128 + SIGSEGV); }
CASE(init_blocked_signal_stays_pending) { int fd; pid_t c = new_init(&fd); if (!c) { sigset_t s, p; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, 0); raise(SIGUSR1); sigpending(&p); if (!sigismember(&p, SIGUSR1)) _exit(1); sigprocmask(SIG_UNBLOCK, &s, 0); _exit(7); } CHECK(wait_code(c) == 7); }
