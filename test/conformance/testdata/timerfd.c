// Timers that are read.
#include "case.h"
#include <poll.h>
#include <sys/timerfd.h>
static uint64_t v;
static int ready(int fd) {
	struct pollfd f = {fd, POLLIN, 0};
	return poll(&f, 1, 0);
}
CASE(bad_clock_and_flags) {
	FAILS(timerfd_create(99, 0), EINVAL);
	FAILS(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
}
CASE(disarmed) {
	struct itimerspec o;
	int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	FAILS(read(t, &v, 8), EAGAIN);
	CHECK(ready(t) == 0);
	CHECK(timerfd_gettime(t, &o) == 0 && o.it_value.tv_sec == 0 && o.it_value.tv_nsec == 0);
}
CASE(one_shot) {
	struct itimerspec n = {{0, 0}, {0, 20000000}};
	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	CHECK(timerfd_settime(t, 0, &n, 0) == 0);
	CHECK(read(t, &v, 8) == 8 && v == 1);
	CHECK(ready(t) == 0);
}
CASE(periodic_counts) {
	struct itimerspec n = {{0, 10000000}, {0, 10000000}};
	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	CHECK(timerfd_settime(t, 0, &n, 0) == 0);
	msleep(55);
	CHECK(read(t, &v, 8) == 8 && v >= 5);
	CHECK(read(t, &v, 8) == 8 && v >= 1);
}
CASE(old_setting) {
	struct itimerspec n = {{7, 0}, {100, 0}}, o;
	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	CHECK(timerfd_settime(t, 0, &n, 0) == 0);
	memset(&n, 0, sizeof n);
	CHECK(timerfd_settime(t, 0, &n, &o) == 0);
	CHECK(o.it_interval.tv_sec == 7 && (o.it_value.tv_sec == 99 || o.it_value.tv_sec == 100));
	CHECK(timerfd_gettime(t, &o) == 0 && o.it_value.tv_sec == 0);
}
CASE(absolute_past) {
	struct itimerspec n = {{0, 0}, {1, 0}};
	int t = timerfd_create(CLOCK_REALTIME, 0);
	CHECK(timerfd_settime(t, TFD_TIMER_ABSTIME, &n, 0) == 0);
	CHECK(read(t, &v, 8) == 8 && v == 1);
}
CASE(bad_times) {
	struct itimerspec n = {{0, 0}, {0, 2000000000}};
	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	FAILS(timerfd_settime(t, 0, &n, 0), EINVAL);
	n.it_value.tv_nsec = 0;
	n.it_value.tv_sec = -1;
	FAILS(timerfd_settime(t, 0, &n, 0), EINVAL);
	FAILS(timerfd_settime(t, 8, &n, 0), EINVAL);
	FAILS(timerfd_settime(t, 0, (void *)8, 0), EFAULT);
}
CASE(not_a_timer) {
	struct itimerspec n = {{0, 0}, {1, 0}};
	int f = open("f", O_CREAT | O_RDWR, 0600);
	FAILS(timerfd_settime(f, 0, &n, 0), EINVAL);
	FAILS(timerfd_gettime(999, &n), EBADF);
}
CASE(short_read) {
	int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	FAILS(read(t, &v, 7), EINVAL);
}
