// splice, tee and vmsplice.
#include "case.h"
#include <sys/socket.h>
#include <sys/uio.h>
static char buf[100000];
static int p[2], q[2], f;
static void open_all(void) {
	CHECK(pipe(p) == 0 && pipe(q) == 0);
	f = open("file", O_RDWR | O_CREAT, 0600);
	CHECK(f >= 0);
}
CASE(pipe_to_pipe) {
	open_all();
	CHECK(write(p[1], "splice me", 9) == 9);
	CHECK(splice(p[0], 0, q[1], 0, 4, 0) == 4);
	CHECK(splice(p[0], 0, q[1], 0, 100, 0) == 5);
	CHECK(read(q[0], buf, 99) == 9 && !memcmp(buf, "splice me", 9));
}
CASE(tee_keeps) {
	open_all();
	CHECK(write(p[1], "abc", 3) == 3);
	CHECK(tee(p[0], q[1], 100, 0) == 3);
	CHECK(read(p[0], buf, 99) == 3);
	CHECK(read(q[0], buf, 99) == 3);
}
CASE(pipe_to_file) {
	open_all();
	CHECK(write(p[1], "to file", 7) == 7);
	CHECK(splice(p[0], 0, f, 0, 100, 0) == 7);
	CHECK(lseek(f, 0, SEEK_CUR) == 7);
	CHECK(pread(f, buf, 99, 0) == 7 && !memcmp(buf, "to file", 7));
}
CASE(file_to_pipe_at_offset) {
	open_all();
	loff_t o = 3;
	CHECK(write(f, "0123456", 7) == 7);
	CHECK(splice(f, &o, p[1], 0, 100, 0) == 4);
	CHECK(o == 7 && lseek(f, 0, SEEK_CUR) == 7);
	CHECK(read(p[0], buf, 99) == 4 && !memcmp(buf, "3456", 4));
	CHECK(splice(f, &o, p[1], 0, 100, 0) == 0);
}
CASE(pipe_to_file_at_offset) {
	open_all();
	loff_t o = 5;
	CHECK(write(p[1], "xy", 2) == 2);
	CHECK(splice(p[0], 0, f, &o, 9, 0) == 2);
	CHECK(o == 7 && lseek(f, 0, SEEK_CUR) == 0);
	CHECK(pread(f, buf, 9, 0) == 7 && buf[0] == 0 && buf[5] == 'x');
}
CASE(no_pipe) {
	open_all();
	FAILS(splice(f, 0, f, 0, 1, 0), EINVAL);
	FAILS(tee(p[0], f, 1, 0), EINVAL);
	FAILS(tee(p[0], p[1], 1, 0), EINVAL);
}
CASE(offset_of_pipe) {
	open_all();
	loff_t o = 0;
	FAILS(splice(p[0], &o, f, 0, 1, 0), ESPIPE);
}
CASE(bad_arguments) {
	open_all();
	FAILS(splice(p[0], 0, f, 0, 1, 0x100), EINVAL);
	FAILS(splice(p[0], 0, 999, 0, 1, 0), EBADF);
	FAILS(splice(p[1], 0, f, 0, 1, 0), EBADF);
	CHECK(splice(p[0], 0, f, 0, 0, 0) == 0);
}
CASE(appending_file) {
	open_all();
	int a = open("file", O_WRONLY | O_APPEND);
	CHECK(write(p[1], "x", 1) == 1);
	FAILS(splice(p[0], 0, a, 0, 1, 0), EINVAL);
}
CASE(nonblocking) {
	open_all();
	FAILS(splice(p[0], 0, f, 0, 1, SPLICE_F_NONBLOCK), EAGAIN);
	FAILS(tee(p[0], q[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
}
CASE(end_of_pipe) {
	open_all();
	close(p[1]);
	CHECK(splice(p[0], 0, f, 0, 9, 0) == 0);
	CHECK(tee(p[0], q[1], 9, 0) == 0);
}
CASE(waits_for_data) {
	pid_t c;
	open_all();
	CHILD(c) {
		msleep(50);
		write(p[1], "late", 4);
	}
	CHECK(splice(p[0], 0, f, 0, 99, 0) == 4);
	CHECK(wait_code(c) == 0);
}
CASE(with_sockets) {
	int s[2];
	open_all();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(write(s[0], "socket", 6) == 6);
	CHECK(splice(s[1], 0, p[1], 0, 99, 0) == 6);
	CHECK(splice(p[0], 0, s[1], 0, 99, 0) == 6);
	CHECK(read(s[0], buf, 99) == 6 && !memcmp(buf, "socket", 6));
}
CASE(vectors) {
	struct iovec v[2] = {{"vm", 2}, {"splice", 6}};
	open_all();
	CHECK(vmsplice(p[1], v, 2, 0) == 8);
	CHECK(read(p[0], buf, 99) == 8 && !memcmp(buf, "vmsplice", 8));
	FAILS(vmsplice(f, v, 2, 0), EBADF);
}
CASE(vectors_from_pipe) {
	char a[3];
	struct iovec v[1] = {{a, 3}};
	open_all();
	CHECK(write(p[1], "abcd", 4) == 4);
	CHECK(vmsplice(p[0], v, 1, 0) == 3 && !memcmp(a, "abc", 3));
}
CASE(broken_pipe) {
	open_all();
	signal(SIGPIPE, SIG_IGN);
	close(q[0]);
	CHECK(write(p[1], "x", 1) == 1);
	FAILS(splice(p[0], 0, q[1], 0, 1, 0), EPIPE);
}
