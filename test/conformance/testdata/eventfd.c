// Event counters.
#include "case.h"
#include <poll.h>
#include <sys/eventfd.h>
static uint64_t v;
static int ready(int fd) {
	struct pollfd f = {fd, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0};
	poll(&f, 1, 0);
	return f.revents;
}
CASE(bad_flags) {
	FAILS(eventfd(0, 8), EINVAL);
}
CASE(flags) {
	int e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(fcntl(e, F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(e, F_GETFL) == (O_RDWR | O_NONBLOCK));
}
CASE(counts) {
	int e = eventfd(5, EFD_NONBLOCK);
	v = 3;
	CHECK(write(e, &v, 8) == 8);
	CHECK(read(e, &v, 8) == 8 && v == 8);
	FAILS(read(e, &v, 8), EAGAIN);
}
CASE(semaphore) {
	int e = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	CHECK(read(e, &v, 8) == 8 && v == 1);
	CHECK(read(e, &v, 8) == 8 && v == 1);
	FAILS(read(e, &v, 8), EAGAIN);
}
CASE(short_buffers) {
	int e = eventfd(1, 0);
	FAILS(read(e, &v, 7), EINVAL);
	FAILS(write(e, &v, 7), EINVAL);
	char b[16];
	CHECK(read(e, b, 16) == 8);
}
CASE(maximum) {
	int e = eventfd(0, EFD_NONBLOCK);
	v = -1;
	FAILS(write(e, &v, 8), EINVAL);
	v = -2;
	CHECK(write(e, &v, 8) == 8);
	CHECK(ready(e) == POLLIN);
	v = 1;
	FAILS(write(e, &v, 8), EAGAIN);
	CHECK(read(e, &v, 8) == 8 && v == (uint64_t)-2);
	CHECK(ready(e) == POLLOUT);
}
CASE(wakes_reader) {
	pid_t c;
	int e = eventfd(0, 0);
	CHILD(c) {
		msleep(50);
		v = 7;
		write(e, &v, 8);
	}
	CHECK(read(e, &v, 8) == 8 && v == 7);
	CHECK(wait_code(c) == 0);
}
CASE(wakes_writer) {
	pid_t c;
	int e = eventfd(0, 0);
	v = -2;
	CHECK(write(e, &v, 8) == 8);
	CHILD(c) {
		msleep(50);
		read(e, &v, 8);
	}
	v = 9;
	CHECK(write(e, &v, 8) == 8);
	CHECK(wait_code(c) == 0);
	CHECK(read(e, &v, 8) == 8 && v == 9);
}
CASE(bad_memory) {
	int e = eventfd(1, EFD_NONBLOCK);
	FAILS(write(e, (void *)8, 8), EFAULT);
	FAILS(read(e, (void *)8, 8), EFAULT);
}
