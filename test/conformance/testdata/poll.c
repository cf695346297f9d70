// poll, ppoll, select and pselect.
#include "case.h"
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
static int p[2];
static volatile sig_atomic_t got;
static void on_signal(int s) {
	got = s;
}
static void catch (int sig, int flags) {
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};
	sigaction(sig, &a, 0);
}
static long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static void *writer(void *x) {
	msleep(50);
	write(p[1], "x", 1);
	return x;
}
CASE(mixed) {
	pipe(p);
	struct pollfd f[3] = {{-1, POLLIN, 99}, {999, POLLIN, 0}, {p[1], POLLOUT, 0}};
	CHECK(poll(f, 3, -1) == 2);
	CHECK(f[0].revents == 0 && f[1].revents == POLLNVAL && f[2].revents == POLLOUT);
	CHECK(f[0].events == POLLIN);
}
CASE(regular_file) {
	int f = open("f", O_CREAT | O_RDWR, 0600);
	struct pollfd q = {f, POLLIN | POLLOUT | POLLPRI, 0};
	CHECK(poll(&q, 1, 0) == 1 && q.revents == (POLLIN | POLLOUT));
}
CASE(path_descriptor) {
	int f = open(".", O_PATH);
	struct pollfd q = {f, POLLIN, 0};
	CHECK(poll(&q, 1, 0) == 1 && q.revents == POLLNVAL);
}
CASE(times_out) {
	long a = now();
	CHECK(poll(0, 0, 50) == 0);
	CHECK(now() - a >= 49);
}
CASE(woken) {
	pthread_t t;
	pipe(p);
	pthread_create(&t, 0, writer, 0);
	struct pollfd q = {p[0], POLLIN, 0};
	CHECK(poll(&q, 1, 5000) == 1 && q.revents == POLLIN);
	pthread_join(t, 0);
}
CASE(same_twice) {
	pipe(p);
	write(p[1], "x", 1);
	struct pollfd q[2] = {{p[0], POLLIN, 0}, {p[0], POLLIN, 0}};
	CHECK(poll(q, 2, 0) == 2);
}
CASE(hang_up_unasked) {
	pipe(p);
	close(p[1]);
	struct pollfd q = {p[0], 0, 0};
	CHECK(poll(&q, 1, -1) == 1 && q.revents == POLLHUP);
}
CASE(errors) {
	struct pollfd q = {0};
	FAILS(poll(&q, 1 << 20, 0), EINVAL);
	FAILS(poll((void *)8, 1, 0), EFAULT);
}
CASE(interrupted) {
	catch (SIGALRM, SA_RESTART);
	ualarm(30000, 0);
	FAILS(poll(0, 0, 5000), EINTR);
	CHECK(got == SIGALRM);
}
CASE(ppoll_mask) {
	sigset_t s, none;
	sigemptyset(&none);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, 0);
	catch (SIGUSR1, 0);
	raise(SIGUSR1);
	CHECK(!got);
	struct timespec t = {5, 0};
	FAILS(ppoll(0, 0, &t, &none), EINTR);
	CHECK(got == SIGUSR1);
	sigset_t cur;
	sigprocmask(SIG_SETMASK, 0, &cur);
	CHECK(sigismember(&cur, SIGUSR1));
}
CASE(ppoll_times) {
	struct timespec t = {0, 20000000};
	CHECK(ppoll(0, 0, &t, 0) == 0);
	t.tv_nsec = 2000000000;
	FAILS(ppoll(0, 0, &t, 0), EINVAL);
}
CASE(select_sets) {
	fd_set r, w, x;
	struct timeval t = {0, 0};
	pipe(p);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	FD_SET(p[0], &x);
	CHECK(select(p[1] + 1, &r, &w, &x, &t) == 1);
	CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &x));
}
CASE(select_closed) {
	fd_set r;
	struct timeval t = {0, 0};
	FD_ZERO(&r);
	FD_SET(20, &r);
	FAILS(select(21, &r, 0, 0, &t), EBADF);
	FAILS(select(-1, 0, 0, 0, &t), EINVAL);
	t.tv_sec = -1;
	FAILS(select(0, 0, 0, 0, &t), EINVAL);
}
CASE(select_time_left) {
	struct timeval t = {0, 20000};
	CHECK(select(0, 0, 0, 0, &t) == 0 && t.tv_sec == 0 && t.tv_usec == 0);
}
CASE(select_hang_up) {
	fd_set r, w;
	struct timeval t = {0, 0};
	pipe(p);
	close(p[1]);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK(select(p[0] + 1, &r, 0, 0, &t) == 1);
	FD_ZERO(&w);
	FD_SET(p[0], &w);
	CHECK(select(p[0] + 1, 0, &w, 0, &t) == 0);
}
CASE(select_woken) {
	pthread_t th;
	fd_set r;
	pipe(p);
	pthread_create(&th, 0, writer, 0);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK(select(p[0] + 1, &r, 0, 0, 0) == 1);
	pthread_join(th, 0);
}
CASE(pselect_mask) {
	sigset_t s, none;
	sigemptyset(&none);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, 0);
	catch (SIGUSR1, 0);
	raise(SIGUSR1);
	struct timespec t = {5, 0};
	FAILS(pselect(0, 0, 0, 0, &t, &none), EINTR);
	CHECK(got == SIGUSR1);
}
