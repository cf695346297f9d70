// epoll sets.
#include "case.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
static int e, p[2];
static struct epoll_event ev[8];
static char buf[100];
static void open_all(void) {
	e = epoll_create1(EPOLL_CLOEXEC);
	CHECK(e >= 0 && pipe(p) == 0);
}
static int ctl(int op, int fd, unsigned events, unsigned data) {
	struct epoll_event x = {events, {.u64 = data}};
	return epoll_ctl(e, op, fd, &x);
}
static int ready(void) {
	return epoll_wait(e, ev, 8, 0);
}
static volatile sig_atomic_t got;
static void on_signal(int s) {
	got = s;
}
static void *writer(void *x) {
	msleep(50);
	write(p[1], "x", 1);
	return x;
}
CASE(create) {
	FAILS(epoll_create(0), EINVAL);
	FAILS(epoll_create1(1), EINVAL);
	open_all();
	CHECK(fcntl(e, F_GETFD) == FD_CLOEXEC);
}
CASE(control_errors) {
	open_all();
	FAILS(ctl(EPOLL_CTL_ADD, 999, EPOLLIN, 0), EBADF);
	FAILS(ctl(EPOLL_CTL_ADD, e, EPOLLIN, 0), EINVAL);
	FAILS(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN, 0), ENOENT);
	FAILS(ctl(EPOLL_CTL_DEL, p[0], 0, 0), ENOENT);
	FAILS(ctl(9, p[0], 0, 0), EINVAL);
	CHECK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 0) == 0);
	FAILS(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 0), EEXIST);
	FAILS(epoll_ctl(e, EPOLL_CTL_ADD, p[1], (void *)8), EFAULT);
	FAILS(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], ev), EINVAL);
}
CASE(regular_file) {
	open_all();
	int f = open("f", O_CREAT | O_RDWR, 0600);
	FAILS(ctl(EPOLL_CTL_ADD, f, EPOLLIN, 0), EPERM);
}
CASE(level) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 7);
	CHECK(ready() == 0);
	write(p[1], "a", 1);
	CHECK(ready() == 1 && ev[0].events == EPOLLIN && ev[0].data.u64 == 7);
	CHECK(ready() == 1);
	read(p[0], buf, 9);
	CHECK(ready() == 0);
}
CASE(edge) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 7);
	write(p[1], "a", 1);
	CHECK(ready() == 1);
	CHECK(ready() == 0);
	write(p[1], "a", 1);
	CHECK(ready() == 1);
}
CASE(edge_for_writing) {
	open_all();
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	ctl(EPOLL_CTL_ADD, p[1], EPOLLOUT | EPOLLET, 7);
	CHECK(ready() == 1);
	CHECK(ready() == 0);
	while (write(p[1], buf, sizeof buf) > 0)
		;
	while (write(p[1], buf, 1) > 0)
		;
	for (int i = 0; i < 60; i++)
		read(p[0], buf, sizeof buf);
	CHECK(ready() == 1);
}
CASE(one_shot) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLONESHOT, 7);
	write(p[1], "a", 1);
	CHECK(ready() == 1);
	write(p[1], "a", 1);
	CHECK(ready() == 0);
	CHECK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 8) == 0);
	CHECK(ready() == 1 && ev[0].data.u64 == 8);
}
CASE(modify) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], 0, 7);
	write(p[1], "a", 1);
	CHECK(ready() == 0);
	ctl(EPOLL_CTL_MOD, p[0], EPOLLIN, 9);
	CHECK(ready() == 1 && ev[0].data.u64 == 9);
}
CASE(delete) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 7);
	write(p[1], "a", 1);
	CHECK(epoll_ctl(e, EPOLL_CTL_DEL, p[0], 0) == 0);
	CHECK(ready() == 0);
}
CASE(exclusive) {
	open_all();
	CHECK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLEXCLUSIVE, 1) == 0);
	FAILS(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN, 1), EINVAL);
	FAILS(ctl(EPOLL_CTL_ADD, p[1], EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1), EINVAL);
	write(p[1], "a", 1);
	CHECK(ready() == 1);
}
CASE(errors_unasked) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[1], 0, 3);
	CHECK(ready() == 0);
	close(p[0]);
	CHECK(ready() == 1 && ev[0].events == EPOLLERR);
}
CASE(closed_leaves) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 3);
	write(p[1], "a", 1);
	close(p[0]);
	CHECK(ready() == 0);
}
CASE(duplicate_stays) {
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 3);
	int d = dup(p[0]);
	close(p[0]);
	write(p[1], "a", 1);
	CHECK(ready() == 1);
	close(d);
	CHECK(ready() == 0);
}
CASE(two_descriptors_of_one) {
	open_all();
	int d = dup(p[0]);
	CHECK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1) == 0 && ctl(EPOLL_CTL_ADD, d, EPOLLIN, 2) == 0);
	write(p[1], "a", 1);
	CHECK(ready() == 2);
}
CASE(nested) {
	open_all();
	int outer = epoll_create1(0);
	struct epoll_event x = {EPOLLIN, {.u64 = 4}};
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 3);
	CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, e, &x) == 0);
	FAILS(epoll_ctl(e, EPOLL_CTL_ADD, outer, &x), ELOOP);
	CHECK(epoll_wait(outer, ev, 8, 0) == 0);
	write(p[1], "a", 1);
	CHECK(epoll_wait(outer, ev, 8, 0) == 1 && ev[0].data.u64 == 4);
	read(p[0], buf, 1);
	CHECK(epoll_wait(outer, ev, 8, 0) == 0);
}
CASE(too_deep) {
	int s[8];
	struct epoll_event x = {EPOLLIN, {0}};
	for (int i = 0; i < 8; i++)
		s[i] = epoll_create1(0);
	int i = 1;
	for (; i < 8; i++)
		if (epoll_ctl(s[i], EPOLL_CTL_ADD, s[i - 1], &x))
			break;
	CHECK(i < 8 && errno == ELOOP);
}
CASE(woken) {
	pthread_t t;
	open_all();
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 3);
	pthread_create(&t, 0, writer, 0);
	CHECK(epoll_wait(e, ev, 8, 5000) == 1);
	pthread_join(t, 0);
}
static void *adder(void *x) {
	msleep(50);
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 3);
	return x;
}
CASE(woken_by_add) {
	pthread_t t;
	open_all();
	write(p[1], "a", 1);
	pthread_create(&t, 0, adder, 0);
	CHECK(epoll_wait(e, ev, 8, 5000) == 1);
	pthread_join(t, 0);
}
static int taken;
static void *taker(void *x) {
	struct epoll_event v;
	for (;;) {
		int n = epoll_wait(e, &v, 1, 10000);
		if (n != 1 || v.data.u32 == 99)
			return x;
		uint64_t c;
		if (read(v.data.u32, &c, 8) == 8)
			__atomic_add_fetch(&taken, (int)c, __ATOMIC_SEQ_CST);
	}
}
CASE(no_event_is_lost) {
	pthread_t t[4];
	int f[8], stop = eventfd(1, 0);
	open_all();
	for (int i = 0; i < 8; i++) {
		f[i] = eventfd(0, EFD_NONBLOCK);
		ctl(EPOLL_CTL_ADD, f[i], EPOLLIN | EPOLLET, f[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], 0, taker, 0);
	uint64_t one = 1;
	for (int i = 0; i < 4000; i++)
		write(f[i % 8], &one, 8);
	for (int i = 0; i < 500 && __atomic_load_n(&taken, __ATOMIC_SEQ_CST) < 4000; i++)
		msleep(10);
	CHECK(taken == 4000);
	ctl(EPOLL_CTL_ADD, stop, EPOLLIN, 99);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], 0);
}
CASE(turns) {
	open_all();
	int f[3], seen[3] = {0};
	for (int i = 0; i < 3; i++) {
		f[i] = eventfd(1, 0);
		ctl(EPOLL_CTL_ADD, f[i], EPOLLIN, i);
	}
	for (int i = 0; i < 6; i++) {
		CHECK(epoll_wait(e, ev, 1, 0) == 1);
		seen[ev[0].data.u32]++;
	}
	CHECK(seen[0] == 2 && seen[1] == 2 && seen[2] == 2);
}
CASE(times_out) {
	open_all();
	CHECK(epoll_wait(e, ev, 8, 30) == 0);
}
CASE(wait_errors) {
	open_all();
	FAILS(epoll_wait(e, ev, 0, 0), EINVAL);
	FAILS(epoll_wait(e, ev, -1, 0), EINVAL);
	FAILS(epoll_wait(999, ev, 1, 0), EBADF);
	FAILS(epoll_wait(p[0], ev, 1, 0), EINVAL);
	ctl(EPOLL_CTL_ADD, p[1], EPOLLOUT, 0);
	FAILS(epoll_wait(e, (void *)8, 1, 0), EFAULT);
}
CASE(interrupted) {
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	open_all();
	sigaction(SIGALRM, &a, 0);
	ualarm(30000, 0);
	FAILS(epoll_wait(e, ev, 8, 5000), EINTR);
	CHECK(got == SIGALRM);
}
CASE(masked) {
	struct sigaction a = {.sa_handler = on_signal};
	sigset_t s, none;
	sigemptyset(&none);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	open_all();
	sigprocmask(SIG_BLOCK, &s, 0);
	sigaction(SIGUSR1, &a, 0);
	raise(SIGUSR1);
	FAILS(epoll_pwait(e, ev, 8, 5000, &none), EINTR);
	CHECK(got == SIGUSR1);
}
CASE(pwait2) {
	struct timespec t = {0, 20000000};
	open_all();
	CHECK(syscall(SYS_epoll_pwait2, e, ev, 8, &t, 0, 8) == 0);
	t.tv_nsec = -1;
	FAILS(syscall(SYS_epoll_pwait2, e, ev, 8, &t, 0, 8), EINVAL);
}

// One call reports as many as it has room for.
CASE(a_thousand_at_once) {
	static struct epoll_event ev[900];
	int ep = epoll_create1(0), p[2];
	CHECK(!pipe(p) && write(p[1], "x", 1) == 1);
	for (int i = 0; i < 900; i++) {
		char path[40];
		snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
		int fd = open(path, O_RDONLY);
		CHECK(fd >= 0);
		ev[0].events = EPOLLIN, ev[0].data.u32 = fd;
		CHECK(!epoll_ctl(ep, EPOLL_CTL_ADD, fd, ev));
	}
	CHECK(epoll_wait(ep, ev, 900, 0) == 900);
	static char seen[1024];
	for (int i = 0; i < 900; i++) CHECK(!seen[ev[i].data.u32]++);
	CHECK(epoll_wait(ep, ev, 300, 0) == 300);
}
