// Pipes and FIFOs.
#include "case.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)
static char buf[200000];
static int p[2];
static int ready(int fd) {
	struct pollfd f = {fd, ALL, 0};
	poll(&f, 1, 0);
	return f.revents;
}
static volatile sig_atomic_t got;
static void on_signal(int s) {
	got = s;
}
static void catch (int sig, int flags) {
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};
	sigaction(sig, &a, 0);
}
CASE(flags) {
	FAILS(pipe2(p, 1), EINVAL);
	CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(fcntl(p[0], F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(p[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
}
CASE(bad_pointer_leaves_nothing_open) {
	int before = dup(0);
	close(before);
	FAILS(pipe((int *)8), EFAULT);
	int after = dup(0);
	CHECK(after == before);
}
CASE(one_inode) {
	struct stat a, b;
	CHECK(pipe(p) == 0);
	CHECK(fstat(p[0], &a) == 0 && fstat(p[1], &b) == 0);
	CHECK(a.st_ino == b.st_ino && S_ISFIFO(a.st_mode));
}
CASE(bytes_in_order) {
	CHECK(pipe(p) == 0);
	CHECK(write(p[1], "hello ", 6) == 6);
	CHECK(write(p[1], "world", 5) == 5);
	CHECK(read(p[0], buf, 8) == 8);
	CHECK(read(p[0], buf + 8, 8) == 3);
	CHECK(!memcmp(buf, "hello world", 11));
}
CASE(empty_and_full) {
	CHECK(pipe2(p, O_NONBLOCK) == 0);
	FAILS(read(p[0], buf, 1), EAGAIN);
	CHECK(write(p[1], buf, 100000) == 65536);
	FAILS(write(p[1], buf, 1), EAGAIN);
	CHECK(ready(p[0]) == (POLLIN | POLLRDNORM));
	CHECK(ready(p[1]) == 0);
	CHECK(read(p[0], buf, 4096) == 4096);
	CHECK(ready(p[1]) == (POLLOUT | POLLWRNORM));
}
CASE(fionread) {
	int n = -1;
	CHECK(pipe(p) == 0);
	CHECK(write(p[1], buf, 1234) == 1234);
	CHECK(ioctl(p[0], FIONREAD, &n) == 0 && n == 1234);
}
CASE(size) {
	CHECK(pipe(p) == 0);
	CHECK(fcntl(p[0], F_GETPIPE_SZ) == 65536);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 5000) == 8192);
	CHECK(fcntl(p[1], F_SETPIPE_SZ, 0) == 4096);
	CHECK(fcntl(p[1], F_GETPIPE_SZ) == 4096);
}
CASE(size_busy) {
	CHECK(pipe(p) == 0);
	CHECK(write(p[1], buf, 10000) == 10000);
	FAILS(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
}
CASE(size_of_no_pipe) {
	int fd = open("f", O_CREAT | O_RDWR, 0600);
	FAILS(fcntl(fd, F_GETPIPE_SZ), EBADF);
}
CASE(wrong_end) {
	CHECK(pipe(p) == 0);
	FAILS(write(p[0], "x", 1), EBADF);
	FAILS(read(p[1], buf, 1), EBADF);
}
CASE(no_offset) {
	CHECK(pipe(p) == 0);
	FAILS(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	FAILS(pread(p[0], buf, 1, 0), ESPIPE);
	FAILS(pwrite(p[1], buf, 1, 0), ESPIPE);
}
CASE(nothing) {
	CHECK(pipe(p) == 0);
	CHECK(read(p[0], buf, 0) == 0);
	CHECK(write(p[1], buf, 0) == 0);
	close(p[0]);
	CHECK(write(p[1], buf, 0) == 0);
}
CASE(end_of_file) {
	CHECK(pipe(p) == 0);
	CHECK(write(p[1], "last", 4) == 4);
	close(p[1]);
	CHECK(ready(p[0]) == (POLLIN | POLLRDNORM | POLLHUP));
	CHECK(read(p[0], buf, 9) == 4);
	CHECK(read(p[0], buf, 9) == 0);
	CHECK(ready(p[0]) == POLLHUP);
}
CASE(broken_pipe) {
	CHECK(pipe(p) == 0);
	catch (SIGPIPE, 0);
	close(p[0]);
	FAILS(write(p[1], "x", 1), EPIPE);
	CHECK(got == SIGPIPE);
	CHECK(ready(p[1]) == (POLLOUT | POLLWRNORM | POLLERR));
}
CASE(broken_pipe_kills) {
	pid_t c;
	CHECK(pipe(p) == 0);
	close(p[0]);
	CHILD(c) {
		write(p[1], "x", 1);
	}
	CHECK(wait_code(c) == 128 + SIGPIPE);
}
CASE(packets) {
	CHECK(pipe2(p, O_DIRECT | O_NONBLOCK) == 0);
	CHECK(write(p[1], "abc", 3) == 3);
	CHECK(write(p[1], "defgh", 5) == 5);
	CHECK(read(p[0], buf, 2) == 2);
	CHECK(read(p[0], buf, 99) == 5);
	FAILS(read(p[0], buf, 99), EAGAIN);
}
CASE(large_write_waits) {
	pid_t c;
	long t = 0;
	int n;
	CHECK(pipe(p) == 0);
	CHILD(c) {
		close(p[0]);
		_exit(write(p[1], buf, sizeof buf) != sizeof buf);
	}
	close(p[1]);
	while ((n = read(p[0], buf, 3000)) > 0)
		t += n;
	CHECK(t == sizeof buf);
	CHECK(wait_code(c) == 0);
}
CASE(atomic_writes) {
	pid_t c[4];
	CHECK(pipe(p) == 0);
	for (int i = 0; i < 4; i++) {
		CHILD(c[i]) {
			char b[1000];
			memset(b, 'a' + i, sizeof b);
			for (int k = 0; k < 200; k++)
				if (write(p[1], b, sizeof b) != sizeof b)
					_exit(1);
		}
	}
	close(p[1]);
	char b[1000];
	for (int k = 0; k < 800; k++) {
		int have = 0;
		while (have < 1000) {
			int n = read(p[0], b + have, 1000 - have);
			CHECK(n > 0);
			have += n;
		}
		for (int j = 1; j < 1000; j++)
			CHECK(b[j] == b[0]);
	}
	CHECK(read(p[0], b, 1) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(wait_code(c[i]) == 0);
}
CASE(interrupted) {
	CHECK(pipe(p) == 0);
	catch (SIGALRM, 0);
	ualarm(50000, 0);
	FAILS(read(p[0], buf, 1), EINTR);
	CHECK(got == SIGALRM);
}
CASE(restarted) {
	pid_t c;
	CHECK(pipe(p) == 0);
	catch (SIGALRM, SA_RESTART);
	CHILD(c) {
		msleep(200);
		write(p[1], "z", 1);
	}
	ualarm(50000, 0);
	CHECK(read(p[0], buf, 1) == 1);
	CHECK(got == SIGALRM);
	CHECK(wait_code(c) == 0);
}
CASE(interrupted_write_is_partial) {
	CHECK(pipe(p) == 0);
	catch (SIGALRM, 0);
	ualarm(50000, 0);
	CHECK(write(p[1], buf, 100000) == 65536);
}
CASE(vectors) {
	char a[1], b[2];
	struct iovec w[3] = {{"a", 1}, {"bc", 2}, {"", 0}}, r[2] = {{a, 1}, {b, 2}};
	CHECK(pipe(p) == 0);
	CHECK(writev(p[1], w, 3) == 3);
	CHECK(readv(p[0], r, 2) == 3);
	CHECK(a[0] == 'a' && b[1] == 'c');
	FAILS(writev(p[1], w, -1), EINVAL);
	FAILS(writev(p[1], w, 2000), EINVAL);
}
CASE(bad_memory) {
	CHECK(pipe(p) == 0);
	FAILS(write(p[1], (void *)8, 5), EFAULT);
	CHECK(write(p[1], "x", 1) == 1);
	FAILS(read(p[0], (void *)8, 5), EFAULT);
}
CASE(closed_on_last_reference) {
	CHECK(pipe(p) == 0);
	int d = dup(p[1]);
	close(p[1]);
	CHECK(ready(p[0]) == 0);
	close(d);
	CHECK(ready(p[0]) == POLLHUP);
}
CASE(fifo_nonblocking_open) {
	CHECK(mkfifo("ff", 0600) == 0);
	FAILS(mkfifo("ff", 0600), EEXIST);
	FAILS(open("ff", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = open("ff", O_RDONLY | O_NONBLOCK);
	CHECK(r >= 0 && ready(r) == 0);
	CHECK(read(r, buf, 1) == 0);
	int w = open("ff", O_WRONLY | O_NONBLOCK);
	CHECK(w >= 0);
	FAILS(read(r, buf, 1), EAGAIN);
	close(w);
	CHECK(ready(r) == POLLHUP);
}
CASE(fifo_open_waits) {
	pid_t c;
	CHECK(mkfifo("ff", 0600) == 0);
	CHILD(c) {
		msleep(50);
		int w = open("ff", O_WRONLY);
		_exit(write(w, "hello", 5) != 5);
	}
	int r = open("ff", O_RDONLY);
	CHECK(read(r, buf, 99) == 5);
	CHECK(wait_code(c) == 0);
	CHECK(read(r, buf, 99) == 0);
}
CASE(fifo_open_interrupted) {
	CHECK(mkfifo("ff", 0600) == 0);
	catch (SIGALRM, 0);
	ualarm(50000, 0);
	FAILS(open("ff", O_RDONLY), EINTR);
	FAILS(open("ff", O_WRONLY | O_NONBLOCK), ENXIO);
}
CASE(fifo_both_ways) {
	CHECK(mkfifo("ff", 0600) == 0);
	int f = open("ff", O_RDWR);
	CHECK(write(f, "xy", 2) == 2);
	CHECK(read(f, buf, 9) == 2);
}
CASE(fifo_forgets) {
	CHECK(mkfifo("ff", 0600) == 0);
	int f = open("ff", O_RDWR);
	CHECK(write(f, "xy", 2) == 2);
	close(f);
	f = open("ff", O_RDONLY | O_NONBLOCK);
	CHECK(read(f, buf, 9) == 0);
}
CASE(reopened_through_proc) {
	char n[50];
	CHECK(pipe2(p, O_NONBLOCK) == 0);
	sprintf(n, "/proc/self/fd/%d", p[1]);
	int w = open(n, O_WRONLY);
	CHECK(w >= 0);
	CHECK(write(w, "again", 5) == 5);
	CHECK(read(p[0], buf, 9) == 5);
}

// A pipe opened by its name in /proc, as /dev/stdin is, waits for nobody.
static int again(int fd, int flags) {
	char path[40];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, flags);
}
CASE(opened_again_without_writers) {
	int p[2];
	char b[8];
	CHECK(!pipe(p) && write(p[1], "abc", 3) == 3 && !close(p[1]));
	int r = again(p[0], O_RDONLY);
	CHECK(r >= 0 && read(r, b, 8) == 3 && read(r, b, 8) == 0);
	struct pollfd f = {r, POLLIN, 0};
	CHECK(poll(&f, 1, 0) == 1 && f.revents == POLLHUP);
	int w = again(p[0], O_WRONLY | O_NONBLOCK);
	CHECK(w >= 0 && write(w, "d", 1) == 1 && read(p[0], b, 8) == 1);
}
CASE(opened_again_without_readers) {
	int p[2];
	signal(SIGPIPE, SIG_IGN);
	CHECK(!pipe(p) && !close(p[0]));
	int w = again(p[1], O_WRONLY);
	CHECK(w >= 0);
	FAILS(write(w, "a", 1), EPIPE);
	int r = again(p[1], O_RDONLY);
	CHECK(r >= 0 && write(w, "a", 1) == 1);
}
