// Futexes, clocks, timers and sleeping.
#include "case.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/time.h>
#include <limits.h>
static long fx(int *p, int op, int v, void *t, int *p2, int v3) { return syscall(SYS_futex, p, op, v, t, p2, v3); }
static int word, word2; static volatile int woken;
static int64_t ms(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000 + t.tv_nsec / 1000000; }
static void *waiter(void *a) { while (fx(&word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0) == -1 && errno == EINTR); __sync_fetch_and_add(&woken, 1); return 0; }
static void spawn(pthread_t *t, int n) { for (int i = 0; i < n; i++) pthread_create(&t[i], 0, waiter, 0); msleep(150); }
static int woken_is(int n) { for (int i = 0; i < 300 && woken != n; i++) msleep(10); return woken == n; }

CASE(futex_wait_wrong_value) { FAILS(fx(&word, FUTEX_WAIT, 1, 0, 0, 0), EAGAIN); }
CASE(futex_wait_times_out) { struct timespec t = {0, 20000000}; int64_t a = ms(); FAILS(fx(&word, FUTEX_WAIT, 0, &t, 0, 0), ETIMEDOUT); CHECK(ms() - a >= 19); }
CASE(futex_unaligned) { FAILS(fx((int *)((char *)&word + 1), FUTEX_WAIT, 0, 0, 0, 0), EINVAL); }
CASE(futex_efault) { FAILS(fx((int *)4, FUTEX_WAIT, 0, 0, 0, 0), EFAULT); }
CASE(futex_bad_op) { FAILS(fx(&word, 99, 0, 0, 0, 0), ENOSYS); }
CASE(futex_bad_timeout) { struct timespec t = {0, -1}; FAILS(fx(&word, FUTEX_WAIT, 0, &t, 0, 0), EINVAL); }
CASE(futex_wake_none) { CHECK(fx(&word, FUTEX_WAKE, 1, 0, 0, 0) == 0); }
CASE(futex_wake_counts) { pthread_t t[4]; spawn(t, 4); CHECK(fx(&word, FUTEX_WAKE_PRIVATE, 3, 0, 0, 0) == 3); CHECK(woken_is(3)); CHECK(fx(&word, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0) == 1); for (int i = 0; i < 4; i++) pthread_join(t[i], 0); }
CASE(futex_requeue) { pthread_t t[3]; spawn(t, 3); CHECK(fx(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &word2, 0) == 3); CHECK(woken_is(1)); CHECK(fx(&word2, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0) == 2); for (int i = 0; i < 3; i++) pthread_join(t[i], 0); }
CASE(futex_cmp_requeue_differs) { FAILS(fx(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &word2, 5), EAGAIN); }
CASE(futex_wake_op) { word2 = 5; CHECK(fx(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)) == 0); CHECK(word2 == 8); }
CASE(futex_bitset_zero) { FAILS(fx(&word, FUTEX_WAIT_BITSET, 0, 0, 0, 0), EINVAL); FAILS(fx(&word, FUTEX_WAKE_BITSET, 1, 0, 0, 0), EINVAL); }
static void *bits(void *a) { fx(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, 0, 0, (long)a); woken |= (long)a; return 0; }
CASE(futex_bitset_selects) { pthread_t t, u; pthread_create(&t, 0, bits, (void *)1); pthread_create(&u, 0, bits, (void *)2); msleep(40); CHECK(fx(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, 0, 0, 2) == 1); pthread_join(u, 0); CHECK(woken == 2); fx(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, 0, 0, 1); pthread_join(t, 0); }
CASE(futex_absolute_deadline) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); t.tv_nsec += 20000000; if (t.tv_nsec >= 1000000000) { t.tv_nsec -= 1000000000; t.tv_sec++; } FAILS(fx(&word, FUTEX_WAIT_BITSET, 0, &t, 0, -1), ETIMEDOUT); }
CASE(futex_shared_between_processes) { int *p = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pid_t c = fork(); if (!c) { while (*p == 0) fx(p, FUTEX_WAIT, 0, 0, 0, 0); _exit(7); } msleep(30); *p = 1; CHECK(fx(p, FUTEX_WAKE, 1, 0, 0, 0) == 1); CHECK(wait_code(c) == 7); }
CASE(futex_shared_by_file) { int fd = open("f", O_RDWR | O_CREAT, 0600); ftruncate(fd, 4096); pid_t c = fork(); if (!c) { int *q = mmap(0, 4096, 3, MAP_SHARED, fd, 0); while (*q == 0) fx(q, FUTEX_WAIT, 0, 0, 0, 0); _exit(0); } int *p = mmap(0, 4096, 3, MAP_SHARED, fd, 0); msleep(30); *p = 1; CHECK(fx(p, FUTEX_WAKE, 1, 0, 0, 0) == 1); CHECK(wait_code(c) == 0); }
CASE(futex_pi_lock_unlock) { CHECK(fx(&word, FUTEX_LOCK_PI, 0, 0, 0, 0) == 0); CHECK((word & FUTEX_TID_MASK) == syscall(SYS_gettid)); FAILS(fx(&word, FUTEX_LOCK_PI, 0, 0, 0, 0), EDEADLK); CHECK(fx(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0) == 0); CHECK(word == 0); FAILS(fx(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0), EPERM); }
CASE(pi_mutex_contended) { pthread_mutexattr_t a; pthread_mutexattr_init(&a); CHECK(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT) == 0); static pthread_mutex_t m; pthread_mutex_init(&m, &a); pthread_mutex_lock(&m); pthread_t t; void *f(void *x) { pthread_mutex_lock(&m); woken = 1; pthread_mutex_unlock(&m); return 0; } pthread_create(&t, 0, f, 0); msleep(30); CHECK(woken == 0); pthread_mutex_unlock(&m); pthread_join(t, 0); CHECK(woken == 1); }
CASE(robust_mutex_owner_dies) { pthread_mutexattr_t a; pthread_mutexattr_init(&a); pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST); static pthread_mutex_t m; pthread_mutex_init(&m, &a); pthread_t t; void *f(void *x) { pthread_mutex_lock(&m); return 0; } pthread_create(&t, 0, f, 0); pthread_join(t, 0); CHECK(pthread_mutex_lock(&m) == EOWNERDEAD); CHECK(pthread_mutex_consistent(&m) == 0); pthread_mutex_unlock(&m); }
CASE(robust_shared_process_dies) { pthread_mutex_t *m = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pthread_mutexattr_t a; pthread_mutexattr_init(&a); pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST); pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED); pthread_mutex_init(m, &a); pid_t c = fork(); if (!c) { pthread_mutex_lock(m); kill(getpid(), SIGKILL); } wait_code(c); CHECK(pthread_mutex_lock(m) == EOWNERDEAD); }
CASE(mutex_condvar_stress) { static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; static pthread_cond_t c = PTHREAD_COND_INITIALIZER; static int turn; void *f(void *x) { for (int i = 0; i < 300; i++) { pthread_mutex_lock(&m); while (turn != (long)x) pthread_cond_wait(&c, &m); turn = 1 - turn; pthread_cond_broadcast(&c); pthread_mutex_unlock(&m); } return 0; } pthread_t t, u; pthread_create(&t, 0, f, 0); pthread_create(&u, 0, f, (void *)1); pthread_join(t, 0); pthread_join(u, 0); CHECK(turn == 0); }
CASE(clock_monotonic_advances) { struct timespec a, b; clock_gettime(CLOCK_MONOTONIC, &a); msleep(5); clock_gettime(CLOCK_MONOTONIC, &b); CHECK(b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec); }
CASE(clocks_exist) { int ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_TAI}; for (int i = 0; i < 8; i++) { struct timespec t; CHECK(syscall(SYS_clock_gettime, ids[i], &t) == 0); CHECK(clock_getres(ids[i], &t) == 0); } }
CASE(clock_bad) { struct timespec t; FAILS(syscall(SYS_clock_gettime, 77, &t), EINVAL); FAILS(syscall(SYS_clock_gettime, CLOCK_REALTIME, (void *)8), EFAULT); }
CASE(cpu_clock_counts) { struct timespec a, b; syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &a); volatile long x = 0; for (long i = 0; i < 60000000; i++) x += i; syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &b); CHECK((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec > 1000000); }
CASE(gettimeofday_matches_clock) { struct timeval v; struct timespec t; CHECK(syscall(SYS_gettimeofday, &v, 0) == 0); clock_gettime(CLOCK_REALTIME, &t); CHECK(t.tv_sec - v.tv_sec <= 1); CHECK(time(0) - v.tv_sec <= 1); }
CASE(nanosleep_sleeps) { int64_t a = ms(); msleep(30); CHECK(ms() - a >= 30); }
CASE(nanosleep_bad) { struct timespec t = {0, 1000000000}; FAILS(nanosleep(&t, 0), EINVAL); t.tv_sec = -1; t.tv_nsec = 0; FAILS(nanosleep(&t, 0), EINVAL); FAILS(syscall(SYS_nanosleep, (void *)8, 0), EFAULT); }
CASE(clock_nanosleep_absolute) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); int64_t a = ms(); t.tv_sec -= 5; CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0) == 0); CHECK(ms() - a < 1000); CHECK(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, 0) == EINVAL); }
static volatile int hits; static void on(int s) { hits++; }
CASE(posix_timer_signal) { signal(SIGUSR1, on); timer_t t; struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}; CHECK(timer_create(CLOCK_MONOTONIC, &e, &t) == 0); struct itimerspec v = {{0, 5000000}, {0, 5000000}}, o; CHECK(timer_settime(t, 0, &v, 0) == 0); while (hits < 3) pause(); CHECK(timer_gettime(t, &o) == 0 && o.it_interval.tv_nsec == 5000000); CHECK(timer_delete(t) == 0); }
CASE(posix_timer_overrun) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, 0); timer_t t; struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}; timer_create(CLOCK_MONOTONIC, &e, &t); struct itimerspec v = {{0, 2000000}, {0, 2000000}}; timer_settime(t, 0, &v, 0); msleep(60); siginfo_t i; CHECK(sigwaitinfo(&s, &i) == SIGUSR1 && i.si_code == SI_TIMER); CHECK(i.si_overrun > 3); }
CASE(posix_timer_bad) { timer_t t; struct itimerspec v; FAILS(syscall(SYS_timer_gettime, 12345, &v), EINVAL); FAILS(timer_create(77, 0, &t), EINVAL); struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99}; FAILS(timer_create(CLOCK_REALTIME, &e, &t), EINVAL); }
static int64_t cpu(clockid_t c) { struct timespec t; CHECK(clock_gettime(c, &t) == 0); return t.tv_sec * 1000000000ll + t.tv_nsec; }
static volatile int stop_spinning; static void *spinner(void *a) { for (volatile long i = 0; !stop_spinning; i++) if (a && i % 500 == 0) syscall(SYS_getppid); return 0; }
CASE(cpu_clock_of_process_never_goes_back) { pthread_t t[2]; for (int i = 0; i < 2; i++) pthread_create(&t[i], 0, spinner, (void *)1); int64_t last = 0; for (int i = 0; i < 20000; i++) { int64_t x = cpu(CLOCK_PROCESS_CPUTIME_ID); CHECK(x >= last); last = x; } stop_spinning = 1; for (int i = 0; i < 2; i++) pthread_join(t[i], 0); CHECK(cpu(CLOCK_PROCESS_CPUTIME_ID) >= last); }
CASE(cpu_clock_of_a_thread_that_makes_no_calls) { pthread_t t; pthread_create(&t, 0, spinner, 0); clockid_t c; CHECK(pthread_getcpuclockid(t, &c) == 0); int64_t a = cpu(c); msleep(200); CHECK(cpu(c) - a > 20000000); stop_spinning = 1; pthread_join(t, 0); }
CASE(sleep_takes_no_cpu_time) { int64_t a = cpu(CLOCK_THREAD_CPUTIME_ID), b = cpu(CLOCK_PROCESS_CPUTIME_ID); msleep(200); CHECK(cpu(CLOCK_THREAD_CPUTIME_ID) - a < 100000000); CHECK(cpu(CLOCK_PROCESS_CPUTIME_ID) - b < 100000000); }
// Who is told where it runs by restartable sequences is told the truth; a kernel without them says so.
CASE(rseq_tells_the_truth_or_nothing) { extern const unsigned __rseq_size __attribute__((weak)); extern const long __rseq_offset __attribute__((weak)); CHECK(&__rseq_size && &__rseq_offset); char *area = (char *)__builtin_thread_pointer() + __rseq_offset; cpu_set_t all, one; CHECK(sched_getaffinity(0, sizeof all, &all) == 0); for (int i = 0; i < 64; i++) { if (!CPU_ISSET(i, &all)) continue; CPU_ZERO(&one); CPU_SET(i, &one); CHECK(sched_setaffinity(0, sizeof one, &one) == 0); CHECK(sched_getcpu() == i); if (__rseq_size) CHECK(*(volatile unsigned *)(area + 4) == (unsigned)i); } if (!__rseq_size) { static char mine[32] __attribute__((aligned(32))); FAILS(syscall(334, mine, 32, 0, 0x53053053), ENOSYS); } }
