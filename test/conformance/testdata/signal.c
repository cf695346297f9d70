// Signals: actions, masks, queues, stacks, restarts, waits.
#include "case.h"
#include <sys/resource.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <setjmp.h>

static volatile int hits, last_sig, last_code, last_pid, last_val;
static void *volatile last_addr;
static void on(int s) { hits++; last_sig = s; }
static void on_info(int s, siginfo_t *i, void *u) { hits++; last_sig = s; last_code = i->si_code; last_pid = i->si_pid; last_val = i->si_value.sival_int; last_addr = i->si_addr; }
static void act(int sig, void (*h)(int), int flags) { struct sigaction a = {0}; a.sa_handler = h; a.sa_flags = flags; sigaction(sig, &a, 0); }
static void act_info(int sig, int flags) { struct sigaction a = {0}; a.sa_sigaction = on_info; a.sa_flags = flags | SA_SIGINFO; sigaction(sig, &a, 0); }
static void block(int sig) { sigset_t s; sigemptyset(&s); sigaddset(&s, sig); sigprocmask(SIG_BLOCK, &s, 0); }
static void unblock(int sig) { sigset_t s; sigemptyset(&s); sigaddset(&s, sig); sigprocmask(SIG_UNBLOCK, &s, 0); }
static void later(int ms) { struct itimerval v = {{0}, {ms / 1000, ms % 1000 * 1000}}; setitimer(ITIMER_REAL, &v, 0); }

CASE(handler_runs) { act(SIGUSR1, on, 0); raise(SIGUSR1); CHECK(hits == 1 && last_sig == SIGUSR1); }
CASE(siginfo_of_kill) { act_info(SIGUSR1, 0); kill(getpid(), SIGUSR1); CHECK(last_code == SI_USER && last_pid == getpid()); }
CASE(siginfo_of_tgkill) { act_info(SIGUSR1, 0); syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1); CHECK(last_code == SI_TKILL); }
CASE(siginfo_of_sigqueue) { act_info(SIGUSR1, 0); union sigval v = {.sival_int = 77}; CHECK(sigqueue(getpid(), SIGUSR1, v) == 0); CHECK(last_code == SI_QUEUE && last_val == 77); }
CASE(ignored) { act(SIGUSR1, SIG_IGN, 0); raise(SIGUSR1); }
CASE(default_kills) { pid_t p = fork(); if (!p) { raise(SIGTERM); _exit(0); } CHECK(wait_code(p) == 128 + SIGTERM); }
CASE(default_ignores_chld) { raise(SIGCHLD); raise(SIGURG); raise(SIGWINCH); raise(SIGCONT); }
CASE(blocked_stays_pending) { act(SIGUSR1, on, 0); block(SIGUSR1); raise(SIGUSR1); CHECK(hits == 0); sigset_t s; sigpending(&s); CHECK(sigismember(&s, SIGUSR1)); unblock(SIGUSR1); CHECK(hits == 1); }
CASE(standard_does_not_queue) { act(SIGUSR1, on, 0); block(SIGUSR1); for (int i = 0; i < 5; i++) kill(getpid(), SIGUSR1); unblock(SIGUSR1); CHECK(hits == 1); }
CASE(realtime_queues) { act(SIGRTMIN, on, 0); block(SIGRTMIN); for (int i = 0; i < 5; i++) kill(getpid(), SIGRTMIN); unblock(SIGRTMIN); CHECK(hits == 5); }
static int order[8], norder;
static void on_order(int s, siginfo_t *i, void *u) { order[norder++] = i->si_value.sival_int; }
CASE(realtime_order) { struct sigaction a = {0}; a.sa_sigaction = on_order; a.sa_flags = SA_SIGINFO; sigfillset(&a.sa_mask); sigaction(SIGRTMIN + 1, &a, 0); block(SIGRTMIN + 1); for (int i = 0; i < 4; i++) { union sigval v = {.sival_int = i}; sigqueue(getpid(), SIGRTMIN + 1, v); } unblock(SIGRTMIN + 1); for (int i = 0; i < 4; i++) CHECK(order[i] == i); }
CASE(kill_and_stop_cannot_be_caught) { struct sigaction a = {0}; FAILS(sigaction(SIGKILL, &a, 0), EINVAL); FAILS(sigaction(SIGSTOP, &a, 0), EINVAL); FAILS(syscall(SYS_rt_sigaction, 65, &a, 0, 8), EINVAL); }
CASE(kill_and_stop_cannot_be_blocked) { sigset_t s, o; sigfillset(&s); sigprocmask(SIG_SETMASK, &s, 0); sigprocmask(SIG_SETMASK, 0, &o); CHECK(!sigismember(&o, SIGKILL) && !sigismember(&o, SIGSTOP) && sigismember(&o, SIGUSR1)); }
CASE(procmask_bad_how) { sigset_t s; sigemptyset(&s); FAILS(sigprocmask(99, &s, 0), EINVAL); }
CASE(procmask_bad_size) { FAILS(syscall(SYS_rt_sigprocmask, 0, 0, 0, 4), EINVAL); }
CASE(resethand) { act(SIGUSR1, on, SA_RESETHAND); raise(SIGUSR1); struct sigaction a; sigaction(SIGUSR1, 0, &a); CHECK(a.sa_handler == SIG_DFL); }
static volatile int depth, maxdepth, calls;
static void nest(int s) { depth++; if (depth > maxdepth) maxdepth = depth; if (++calls < 3) raise(s); depth--; }
CASE(nodefer_nests) { act(SIGUSR1, nest, SA_NODEFER); raise(SIGUSR1); CHECK(maxdepth == 3); }
CASE(defer_does_not_nest) { act(SIGUSR1, nest, 0); raise(SIGUSR1); CHECK(maxdepth == 1); }
static volatile int in_usr2;
static void on2(int s) { in_usr2 = hits; }
static void on1(int s) { raise(SIGUSR2); hits++; }
CASE(sa_mask_blocks) { struct sigaction a = {0}; a.sa_handler = on1; sigaddset(&a.sa_mask, SIGUSR2); sigaction(SIGUSR1, &a, 0); act(SIGUSR2, on2, 0); raise(SIGUSR1); CHECK(hits == 1 && in_usr2 == 1); }
CASE(altstack_used) { stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536}; CHECK(sigaltstack(&st, 0) == 0); act_info(SIGUSR1, SA_ONSTACK); raise(SIGUSR1); CHECK(hits == 1); stack_t o; sigaltstack(0, &o); CHECK(o.ss_sp == st.ss_sp && o.ss_size == 65536 && o.ss_flags == 0); }
static char *stack_lo; static volatile int on_stack, flags_on_stack, eperm_on_stack;
static void where(int s) { char c; on_stack = &c >= stack_lo && &c < stack_lo + 65536; stack_t o; sigaltstack(0, &o); flags_on_stack = o.ss_flags; stack_t n = {.ss_flags = SS_DISABLE}; eperm_on_stack = sigaltstack(&n, 0) == -1 && errno == EPERM; }
CASE(altstack_address) { stack_lo = malloc(65536); stack_t st = {.ss_sp = stack_lo, .ss_size = 65536}; sigaltstack(&st, 0); act(SIGUSR1, where, SA_ONSTACK); raise(SIGUSR1); CHECK(on_stack && flags_on_stack == SS_ONSTACK && eperm_on_stack); }
CASE(altstack_too_small) { char b[100]; stack_t st = {.ss_sp = b, .ss_size = 100}; FAILS(sigaltstack(&st, 0), ENOMEM); }
CASE(altstack_bad_flags) { char b[8192]; stack_t st = {.ss_sp = b, .ss_size = 8192, .ss_flags = 77}; FAILS(sigaltstack(&st, 0), EINVAL); }
CASE(altstack_not_inherited_by_thread) { stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536}; sigaltstack(&st, 0); pid_t p = fork(); if (!p) { stack_t o; sigaltstack(0, &o); _exit(o.ss_sp == st.ss_sp ? 0 : 1); } CHECK(wait_code(p) == 0); }
CASE(read_eintr) { act(SIGALRM, on, 0); int fd[2]; pipe(fd); later(30); char c; FAILS(read(fd[0], &c, 1), EINTR); }
static int wfd; static void put(int s) { hits++; write(wfd, "x", 1); }
CASE(read_restarts) { act(SIGALRM, put, SA_RESTART); int fd[2]; pipe(fd); wfd = fd[1]; later(30); char c; CHECK(read(fd[0], &c, 1) == 1 && hits == 1); }
CASE(wait_restarts) { act(SIGALRM, on, SA_RESTART); pid_t p = fork(); if (!p) { msleep(80); _exit(4); } later(20); CHECK(wait_code(p) == 4); CHECK(hits == 1); }
CASE(wait_eintr) { act(SIGALRM, on, 0); pid_t p = fork(); if (!p) { pause(); _exit(4); } later(20); FAILS(waitpid(p, 0, 0), EINTR); kill(p, 9); }
CASE(nanosleep_eintr_remaining) { act(SIGALRM, on, SA_RESTART); later(20); struct timespec t = {1, 0}, r = {0}; FAILS(nanosleep(&t, &r), EINTR); CHECK(r.tv_sec == 0 && r.tv_nsec > 500000000); }
CASE(pause_eintr) { act(SIGALRM, on, SA_RESTART); later(20); FAILS(pause(), EINTR); }
CASE(sigsuspend_swaps_mask) { act(SIGUSR1, on, 0); block(SIGUSR1); raise(SIGUSR1); sigset_t s; sigemptyset(&s); FAILS(sigsuspend(&s), EINTR); CHECK(hits == 1); sigprocmask(0, 0, &s); CHECK(sigismember(&s, SIGUSR1)); }
CASE(sigtimedwait_takes) { block(SIGUSR1); raise(SIGUSR1); sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); siginfo_t i; CHECK(sigtimedwait(&s, &i, 0) == SIGUSR1 && i.si_pid == getpid()); }
CASE(sigtimedwait_times_out) { block(SIGUSR1); sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); struct timespec t = {0, 20000000}; FAILS(sigtimedwait(&s, 0, &t), EAGAIN); }
CASE(sigtimedwait_bad) { sigset_t s; sigemptyset(&s); struct timespec t = {0, -1}; FAILS(sigtimedwait(&s, 0, &t), EINVAL); }
CASE(sigwait_wakes_for_ignored) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGCHLD); sigprocmask(SIG_BLOCK, &s, 0); pid_t p = fork(); if (!p) _exit(0); int sig; CHECK(sigwait(&s, &sig) == 0 && sig == SIGCHLD); wait(0); }
CASE(chld_siginfo) { act_info(SIGCHLD, SA_RESTART); pid_t p = fork(); if (!p) _exit(3); wait(0); CHECK(last_code == CLD_EXITED && last_pid == p); }
CASE(nocldstop) { act(SIGCHLD, on, SA_NOCLDSTOP | SA_RESTART); pid_t p = fork(); if (!p) for (;;) pause(); kill(p, SIGSTOP); int st; waitpid(p, &st, WUNTRACED); CHECK(hits == 0); kill(p, SIGKILL); waitpid(p, &st, 0); CHECK(hits == 1); }
CASE(kill_bad) { FAILS(kill(getpid(), 65), EINVAL); FAILS(kill(getpid(), -1), EINVAL); FAILS(kill(999999, 0), ESRCH); FAILS(kill(-999999, SIGTERM), ESRCH); }
CASE(tgkill_bad) { FAILS(syscall(SYS_tgkill, 0, 1, 0), EINVAL); FAILS(syscall(SYS_tgkill, getpid(), 999999, 0), ESRCH); }
CASE(kill_group) { pid_t p = fork(); if (!p) { setpgid(0, 0); if (!fork()) { pause(); } pause(); } setpgid(p, p); msleep(30); CHECK(kill(-p, SIGKILL) == 0); CHECK(wait_code(p) == 128 + 9); }
static sigjmp_buf jb;
static void seg(int s, siginfo_t *i, void *u) { last_addr = i->si_addr; last_code = i->si_code; siglongjmp(jb, 1); }
static void act_seg(int sig) { struct sigaction a = {0}; a.sa_sigaction = seg; a.sa_flags = SA_SIGINFO; sigaction(sig, &a, 0); }
CASE(segv_maperr) { act_seg(SIGSEGV); if (!sigsetjmp(jb, 1)) { *(volatile int *)0x1234 = 1; CHECK(0); } CHECK(last_addr == (void *)0x1234 && last_code == SEGV_MAPERR); }
CASE(segv_accerr) { act_seg(SIGSEGV); char *p = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (!sigsetjmp(jb, 1)) { p[8] = 1; CHECK(0); } CHECK(last_addr == p + 8 && last_code == SEGV_ACCERR); }
CASE(segv_exec_nx) { act_seg(SIGSEGV); char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); p[0] = 0xc3; if (!sigsetjmp(jb, 1)) { ((void (*)(void))p)(); CHECK(0); } CHECK(last_addr == p && last_code == SEGV_ACCERR); }
CASE(segv_noncanonical) { act_seg(SIGSEGV); if (!sigsetjmp(jb, 1)) { *(volatile int *)0x1234567812345678 = 1; CHECK(0); } CHECK(last_code == SI_KERNEL); }
CASE(bus_beyond_eof) { act_seg(SIGBUS); int fd = open("f", O_RDWR | O_CREAT, 0600); ftruncate(fd, 4096); char *p = mmap(0, 8192, 3, MAP_SHARED, fd, 0); p[0] = 1; if (!sigsetjmp(jb, 1)) { p[4096] = 1; CHECK(0); } CHECK(last_addr == p + 4096 && last_code == BUS_ADRERR); }
CASE(fpe_divide) { act_seg(SIGFPE); volatile int z = 0; if (!sigsetjmp(jb, 1)) { __asm__ volatile("xor %%edx,%%edx; mov $1,%%eax; idivl %0" ::"m"(z) : "eax", "edx"); CHECK(0); } CHECK(last_code == FPE_INTDIV); }
CASE(ill_ud2) { act_seg(SIGILL); if (!sigsetjmp(jb, 1)) { __asm__ volatile("ud2"); CHECK(0); } CHECK(last_code == ILL_ILLOPN); }
CASE(trap_int3) { act(SIGTRAP, on, 0); __asm__ volatile("int3"); CHECK(hits == 1); }
CASE(segv_blocked_kills) { pid_t p = fork(); if (!p) { act(SIGSEGV, on, 0); block(SIGSEGV); *(volatile int *)8 = 1; _exit(0); } CHECK(wait_code(p) == 128 + SIGSEGV); }
static void fix(int s, siginfo_t *i, void *u) { hits++; mprotect((void *)((uintptr_t)i->si_addr & ~4095ul), 4096, 3); }
CASE(segv_handler_repairs) { struct sigaction a = {0}; a.sa_sigaction = fix; a.sa_flags = SA_SIGINFO; sigaction(SIGSEGV, &a, 0); volatile char *p = mmap(0, 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); p[5] = 9; CHECK(p[5] == 9 && hits == 1); }
static void setreg(int s, siginfo_t *i, void *u) { ((ucontext_t *)u)->uc_mcontext.gregs[REG_RBX] = 0x1122334455667788; }
CASE(ucontext_change_applies) { struct sigaction a = {0}; a.sa_sigaction = setreg; a.sa_flags = SA_SIGINFO; sigaction(SIGUSR1, &a, 0); unsigned long v; long pid = getpid(); __asm__ volatile("xor %%ebx,%%ebx; mov $62,%%eax; syscall; mov %%rbx,%0" : "=r"(v) : "D"(pid), "S"((long)SIGUSR1) : "rax", "rbx", "rcx", "r11", "memory"); CHECK(v == 0x1122334455667788); }
static void usefp(int s) { volatile double d = 1.5; d = d * 3.7; hits++; __asm__ volatile("pxor %%xmm7,%%xmm7" ::: "xmm7"); }
CASE(fpu_preserved) { act(SIGUSR1, usefp, 0); double in = 123.456, out; long pid = getpid(); __asm__ volatile("movsd %1,%%xmm7; mov $62,%%eax; syscall; movsd %%xmm7,%0" : "=m"(out) : "m"(in), "D"(pid), "S"((long)SIGUSR1) : "rax", "rcx", "r11", "xmm7", "memory"); CHECK(hits == 1 && out == in); }
CASE(registers_preserved_by_syscall) { unsigned long a = 0x1111, b = 0x2222, c; __asm__ volatile("mov %1,%%r12; mov %2,%%r8; mov $39,%%eax; syscall; lea (%%r12,%%r8),%0" : "=r"(c) : "r"(a), "r"(b) : "rax", "rcx", "r11", "r12", "r8", "memory"); CHECK(c == 0x3333); }
static void *blocked_thr(void *a) { msleep(60); return 0; }
CASE(process_signal_goes_to_unblocked_thread) { act(SIGUSR1, on, 0); pthread_t t; pthread_create(&t, 0, blocked_thr, 0); block(SIGUSR1); kill(getpid(), SIGUSR1); pthread_join(t, 0); CHECK(hits == 1); }
CASE(exec_resets_handlers) { act(SIGUSR1, on, 0); act(SIGUSR2, SIG_IGN, 0); int fd[2]; pipe(fd); pid_t p = fork(); if (!p) { dup2(fd[1], 1); execl("/bin/busybox", "sh", "-c", "/bin/busybox grep -E 'SigIgn|SigCgt' /proc/self/status", (char *)0); } close(fd[1]); char b[300] = {0}; int n = 0, r; while ((r = read(fd[0], b + n, 299 - n)) > 0) n += r; char *i = strstr(b, "SigIgn:\t"), *c = strstr(b, "SigCgt:\t"); CHECK(i && c); CHECK(strtoul(i + 8, 0, 16) & 0x800); CHECK(!(strtoul(c + 8, 0, 16) & 0x200)); wait(0); }
CASE(sigpending_after_fork_empty) { block(SIGUSR1); raise(SIGUSR1); pid_t p = fork(); if (!p) { sigset_t s; sigpending(&s); _exit(sigismember(&s, SIGUSR1)); } CHECK(wait_code(p) == 0); }
CASE(itimer_real_repeats) { act(SIGALRM, on, SA_RESTART); struct itimerval v = {{0, 10000}, {0, 10000}}, o; CHECK(setitimer(ITIMER_REAL, &v, 0) == 0); while (hits < 3) pause(); struct itimerval z = {{0}}; CHECK(setitimer(ITIMER_REAL, &z, &o) == 0); CHECK(o.it_interval.tv_usec == 10000); }
CASE(alarm_returns_left) { alarm(100); CHECK(alarm(0) >= 99); unsigned l = alarm(50); CHECK(l == 0); CHECK(alarm(0) >= 49); }
CASE(itimer_bad) { struct itimerval v = {{0}, {0, 2000000}}; FAILS(setitimer(ITIMER_REAL, &v, 0), EINVAL); FAILS(getitimer(7, &v), EINVAL); }
CASE(stop_by_tstp_default) { pid_t p = fork(); if (!p) { setpgid(0, 0); for (;;) pause(); } setpgid(p, p); int st; kill(p, SIGTSTP); CHECK(waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st) && WSTOPSIG(st) == SIGTSTP); kill(p, SIGKILL); waitpid(p, 0, 0); }
CASE(queue_is_limited) { struct rlimit l = {10, 10}; CHECK(setrlimit(RLIMIT_SIGPENDING, &l) == 0); sigset_t s; sigemptyset(&s); sigaddset(&s, SIGRTMIN); sigprocmask(SIG_BLOCK, &s, 0); union sigval v = {0}; int n = 0; while (n < 50 && sigqueue(getpid(), SIGRTMIN, v) == 0) n++; CHECK(n <= 10 && errno == EAGAIN); CHECK(kill(getpid(), SIGRTMIN) == 0); n = 0; while (n < 50 && syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGRTMIN) == 0) n++; CHECK(n <= 10 && errno == EAGAIN); }
