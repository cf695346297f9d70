// AF_UNIX sockets.
#include "case.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)
#define READABLE (POLLIN | POLLRDNORM)
static int s[2];
static char buf[300000];
static int ready(int fd) {
	struct pollfd f = {fd, ALL, 0};
	poll(&f, 1, 0);
	return f.revents;
}
static void pair(int type) {
	CHECK(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s) == 0);
	signal(SIGPIPE, SIG_IGN);
}
static struct sockaddr_un at;
static socklen_t len;
static void path(const char *n) {
	memset(&at, 0, sizeof at);
	at.sun_family = AF_UNIX;
	strcpy(at.sun_path, n);
	len = sizeof at;
}
static void abstract(const char *n) {
	memset(&at, 0, sizeof at);
	at.sun_family = AF_UNIX;
	sprintf(at.sun_path + 1, "%s%d", n, getpid());
	len = 3 + strlen(at.sun_path + 1);
}
static int sock(int type) {
	int f = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
	CHECK(f >= 0);
	return f;
}
static int server(void) {
	int l = sock(SOCK_STREAM);
	path("sock");
	CHECK(bind(l, (void *)&at, len) == 0 && listen(l, 5) == 0);
	return l;
}
static int send_fd(int to, int fd) {
	char c[CMSG_SPACE(4)] = {0};
	struct iovec v = {"F", 1};
	struct msghdr m = {0, 0, &v, 1, c, sizeof c, 0};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(4);
	memcpy(CMSG_DATA(h), &fd, 4);
	return sendmsg(to, &m, 0);
}
static struct msghdr got;
static char ctl[300];
static int receive(int from, int room, int flags) {
	static struct iovec v = {buf, 100};
	got = (struct msghdr){0, 0, &v, 1, room ? ctl : 0, room, 0};
	return recvmsg(from, &got, flags);
}
static int got_fd(void) {
	struct cmsghdr *h = CMSG_FIRSTHDR(&got);
	int fd = -1;
	if (h && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), 4);
	return fd;
}
CASE(bad_arguments) {
	FAILS(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(socket(AF_UNIX, 9, 0), ESOCKTNOSUPPORT);
	FAILS(socket(AF_UNIX, SOCK_STREAM, 6), EPROTONOSUPPORT);
	FAILS(socket(AF_UNIX, SOCK_STREAM | 0x1000000, 0), EINVAL);
	FAILS(socketpair(AF_INET, SOCK_STREAM, 0, s), EOPNOTSUPP);
	FAILS(bind(0, (void *)&at, 3), ENOTSOCK);
	FAILS(bind(999, (void *)&at, 3), EBADF);
}
CASE(stream) {
	pair(SOCK_STREAM);
	CHECK(ready(s[0]) == WRITABLE);
	FAILS(read(s[0], buf, 1), EAGAIN);
	CHECK(write(s[0], "hello", 5) == 5 && write(s[0], "there", 5) == 5);
	int n;
	CHECK(ioctl(s[1], FIONREAD, &n) == 0 && n == 10);
	CHECK(recv(s[1], buf, 3, MSG_PEEK) == 3);
	CHECK(recv(s[1], buf, 100, 0) == 10 && !memcmp(buf, "hellothere", 10));
}
CASE(datagrams) {
	pair(SOCK_DGRAM);
	CHECK(write(s[0], "hello", 5) == 5 && write(s[0], "", 0) == 0 && write(s[0], "x", 1) == 1);
	CHECK(recv(s[1], buf, 2, MSG_PEEK | MSG_TRUNC) == 5);
	CHECK(receive(s[1], 0, 0) == 5);
	CHECK(recv(s[1], buf, 9, 0) == 0);
	CHECK(recv(s[1], buf, 9, 0) == 1);
	FAILS(recv(s[1], buf, 9, 0), EAGAIN);
}
CASE(packets) {
	pair(SOCK_SEQPACKET);
	CHECK(write(s[0], "hello", 5) == 5 && write(s[0], "x", 1) == 1);
	CHECK(read(s[1], buf, 3) == 3);
	CHECK(read(s[1], buf, 3) == 1);
	close(s[0]);
	CHECK(read(s[1], buf, 3) == 0);
}
CASE(truncation_is_told) {
	pair(SOCK_DGRAM);
	struct iovec v = {buf, 2};
	struct msghdr m = {0, 0, &v, 1, 0, 0, 0};
	write(s[0], "abc", 3);
	CHECK(recvmsg(s[1], &m, 0) == 2 && m.msg_flags == MSG_TRUNC);
}
CASE(too_long) {
	pair(SOCK_DGRAM);
	FAILS(send(s[0], buf, 300000, 0), EMSGSIZE);
}
CASE(full) {
	pair(SOCK_STREAM);
	while (write(s[0], buf, 4096) > 0)
		;
	CHECK(errno == EAGAIN && ready(s[0]) == 0);
	while (recv(s[1], buf, 4096, 0) > 0)
		;
	CHECK(ready(s[0]) == WRITABLE);
}
CASE(shutdown_writing) {
	pair(SOCK_STREAM);
	CHECK(shutdown(s[0], SHUT_WR) == 0);
	FAILS(write(s[0], "x", 1), EPIPE);
	CHECK(ready(s[0]) == WRITABLE);
	CHECK(ready(s[1]) == (READABLE | WRITABLE | POLLRDHUP));
	CHECK(read(s[1], buf, 1) == 0);
	CHECK(write(s[1], "bk", 2) == 2 && read(s[0], buf, 9) == 2);
	FAILS(shutdown(s[0], 7), EINVAL);
}
CASE(pipe_signal) {
	pid_t c;
	CHILD(c) {
		pair(SOCK_STREAM);
		signal(SIGPIPE, SIG_DFL);
		close(s[1]);
		send(s[0], "x", 1, MSG_NOSIGNAL);
		if (errno != EPIPE)
			_exit(1);
		write(s[0], "x", 1);
	}
	CHECK(wait_code(c) == 128 + SIGPIPE);
}
CASE(peer_gone) {
	pair(SOCK_STREAM);
	write(s[1], "left", 4);
	close(s[1]);
	CHECK(ready(s[0]) == (READABLE | WRITABLE | POLLRDHUP | POLLHUP));
	CHECK(read(s[0], buf, 9) == 4);
	CHECK(read(s[0], buf, 9) == 0);
}
CASE(peer_gone_with_data_unread) {
	pair(SOCK_STREAM);
	write(s[0], "unread", 6);
	close(s[1]);
	CHECK(ready(s[0]) & POLLERR);
	FAILS(read(s[0], buf, 9), ECONNRESET);
	CHECK(read(s[0], buf, 9) == 0);
	FAILS(write(s[0], "x", 1), EPIPE);
}
CASE(datagram_peer_gone) {
	pair(SOCK_DGRAM);
	close(s[1]);
	FAILS(write(s[0], "x", 1), ECONNREFUSED);
	FAILS(write(s[0], "x", 1), ENOTCONN);
}
CASE(descriptor_passed) {
	int p[2], fd;
	pair(SOCK_STREAM);
	CHECK(pipe(p) == 0 && send_fd(s[0], p[1]) == 1);
	close(p[1]);
	CHECK(receive(s[1], sizeof ctl, MSG_CMSG_CLOEXEC) == 1);
	fd = got_fd();
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(write(fd, "via", 3) == 3 && read(p[0], buf, 9) == 3);
	close(fd);
	CHECK(read(p[0], buf, 9) == 0);
}
CASE(descriptor_not_wanted) {
	int p[2];
	pair(SOCK_DGRAM);
	CHECK(pipe(p) == 0 && send_fd(s[0], p[1]) == 1);
	close(p[1]);
	CHECK(receive(s[1], 0, 0) == 1 && got.msg_flags == MSG_CTRUNC);
	CHECK(read(p[0], buf, 1) == 0);
}
CASE(descriptor_in_flight_when_closed) {
	int p[2];
	pair(SOCK_STREAM);
	CHECK(pipe(p) == 0 && send_fd(s[0], p[1]) == 1);
	close(p[1]);
	close(s[0]);
	close(s[1]);
	CHECK(read(p[0], buf, 1) == 0);
}
CASE(bad_descriptor) {
	pair(SOCK_STREAM);
	FAILS(send_fd(s[0], 999), EBADF);
}
CASE(descriptor_limit) {
	int p[2];
	pair(SOCK_STREAM);
	pipe(p);
	send_fd(s[0], p[0]);
	struct rlimit {
		unsigned long a, b;
	} l = {(unsigned long)p[1] + 1, 4096};
	CHECK(syscall(SYS_setrlimit, 7, &l) == 0);
	CHECK(receive(s[1], sizeof ctl, 0) == 1 && (got.msg_flags & MSG_CTRUNC));
}
CASE(boundaries_of_descriptors) {
	pair(SOCK_STREAM);
	write(s[0], "aa", 2);
	send_fd(s[0], 0);
	write(s[0], "cc", 2);
	CHECK(receive(s[1], sizeof ctl, 0) == 3 && got_fd() >= 0);
	CHECK(receive(s[1], sizeof ctl, 0) == 2 && got_fd() == -1);
}
CASE(credentials) {
	int one = 1;
	pair(SOCK_STREAM);
	CHECK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, 4) == 0);
	write(s[0], "x", 1);
	CHECK(receive(s[1], sizeof ctl, 0) == 1);
	struct cmsghdr *h = CMSG_FIRSTHDR(&got);
	CHECK(h && h->cmsg_type == SCM_CREDENTIALS);
	struct ucred *u = (void *)CMSG_DATA(h);
	CHECK(u->pid == getpid() && u->uid == getuid() && u->gid == getgid());
}
CASE(peer_credentials) {
	struct ucred u;
	socklen_t n = sizeof u;
	pair(SOCK_STREAM);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &n) == 0 && u.pid == getpid() && u.uid == getuid());
}
CASE(sent_over_itself) {
	pair(SOCK_STREAM);
	CHECK(send_fd(s[0], s[0]) == 1);
	CHECK(receive(s[1], sizeof ctl, 0) == 1);
	CHECK(write(got_fd(), "via", 3) == 3 && read(s[1], buf, 9) == 3);
}
CASE(fresh) {
	int f = sock(SOCK_STREAM);
	CHECK(ready(f) == (WRITABLE | POLLHUP));
	FAILS(read(f, buf, 1), EINVAL);
	FAILS(write(f, "x", 1), ENOTCONN);
	FAILS(listen(f, 1), EINVAL);
	FAILS(accept(f, 0, 0), EINVAL);
	CHECK(shutdown(f, SHUT_RD) == 0);
	FAILS(getpeername(f, (void *)&at, &len), ENOTCONN);
}
CASE(named) {
	int l = sock(SOCK_STREAM), c = sock(SOCK_STREAM);
	struct stat st;
	path("sock");
	FAILS(connect(c, (void *)&at, len), ENOENT);
	CHECK(bind(l, (void *)&at, len) == 0);
	CHECK(stat("sock", &st) == 0 && st.st_mode == (S_IFSOCK | 0755));
	FAILS(connect(c, (void *)&at, len), ECONNREFUSED);
	FAILS(bind(c, (void *)&at, len), EADDRINUSE);
	FAILS(open("sock", O_RDWR), ENXIO);
	path("other");
	FAILS(bind(l, (void *)&at, len), EINVAL);
}
CASE(accepted) {
	int l = server(), c = sock(SOCK_STREAM);
	FAILS(accept(l, 0, 0), EAGAIN);
	CHECK(connect(c, (void *)&at, len) == 0);
	FAILS(connect(c, (void *)&at, len), EISCONN);
	CHECK(ready(l) == READABLE);
	write(c, "early", 5);
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	int v = accept4(l, (void *)&a, &n, SOCK_CLOEXEC);
	CHECK(v >= 0 && n == 2 && a.sun_family == AF_UNIX && fcntl(v, F_GETFD) == FD_CLOEXEC);
	CHECK(read(v, buf, 9) == 5);
	n = sizeof a;
	CHECK(getsockname(v, (void *)&a, &n) == 0 && n == 7 && !strcmp(a.sun_path, "sock"));
	n = sizeof a;
	CHECK(getpeername(c, (void *)&a, &n) == 0 && !strcmp(a.sun_path, "sock"));
}
CASE(backlog) {
	int l = sock(SOCK_STREAM);
	path("sock");
	bind(l, (void *)&at, len);
	listen(l, 1);
	int n = 0;
	while (connect(sock(SOCK_STREAM), (void *)&at, len) == 0)
		n++;
	CHECK(n == 2 && errno == EAGAIN);
	CHECK(accept(l, 0, 0) >= 0);
	CHECK(connect(sock(SOCK_STREAM), (void *)&at, len) == 0);
}
CASE(backlog_waits) {
	int l = sock(SOCK_STREAM);
	pid_t c;
	path("sock");
	bind(l, (void *)&at, len);
	listen(l, 0);
	CHECK(connect(sock(SOCK_STREAM), (void *)&at, len) == 0);
	CHILD(c) {
		int f = socket(AF_UNIX, SOCK_STREAM, 0);
		_exit(connect(f, (void *)&at, len) != 0);
	}
	msleep(50);
	CHECK(accept(l, 0, 0) >= 0);
	CHECK(wait_code(c) == 0);
}
CASE(listener_closed) {
	int l = server(), c = sock(SOCK_STREAM);
	connect(c, (void *)&at, len);
	close(l);
	CHECK(ready(c) & POLLHUP);
	FAILS(read(c, buf, 1), ECONNRESET);
	FAILS(connect(sock(SOCK_STREAM), (void *)&at, len), ECONNREFUSED);
}
CASE(permission) {
	int l = server();
	pid_t c;
	(void)l;
	chmod("/tmp/case", 0777);
	CHILD(c) {
		int f = sock(SOCK_STREAM);
		if (setresuid(1000, 1000, 1000))
			_exit(2);
		chmod("sock", 0600);
		_exit(connect(f, (void *)&at, len) == -1 && errno == EACCES ? 0 : 1);
	}
	chmod("sock", 0600);
	CHECK(wait_code(c) == 0);
}
CASE(abstract_names) {
	int l = sock(SOCK_STREAM), c = sock(SOCK_STREAM);
	abstract("abs");
	FAILS(connect(c, (void *)&at, len), ECONNREFUSED);
	CHECK(bind(l, (void *)&at, len) == 0 && listen(l, 1) == 0);
	CHECK(connect(c, (void *)&at, len) == 0);
	FAILS(bind(sock(SOCK_STREAM), (void *)&at, len), EADDRINUSE);
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	CHECK(getpeername(c, (void *)&a, &n) == 0 && n == len && !memcmp(&a, &at, n));
	close(l);
	CHECK(bind(sock(SOCK_STREAM), (void *)&at, len) == 0);
}
CASE(autobind) {
	int f = sock(SOCK_DGRAM);
	struct sockaddr_un a = {AF_UNIX};
	CHECK(bind(f, (void *)&a, 2) == 0);
	socklen_t n = sizeof a;
	CHECK(getsockname(f, (void *)&a, &n) == 0 && n == 8 && a.sun_path[0] == 0);
}
CASE(datagrams_to_a_name) {
	int r = sock(SOCK_DGRAM), f = sock(SOCK_DGRAM);
	abstract("dg");
	CHECK(bind(r, (void *)&at, len) == 0);
	FAILS(send(f, "x", 1, 0), ENOTCONN);
	CHECK(sendto(f, "x", 1, 0, (void *)&at, len) == 1);
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	CHECK(recvfrom(r, buf, 9, 0, (void *)&a, &n) == 1 && n == 0);
	CHECK(connect(f, (void *)&at, len) == 0);
	int k = 0;
	while (send(f, "m", 1, 0) == 1)
		k++;
	CHECK(k == 11 && errno == EAGAIN && ready(f) == 0);
	CHECK(recv(r, buf, 9, 0) == 1 && ready(f) == WRITABLE);
	FAILS(connect(sock(SOCK_STREAM), (void *)&at, len), ECONNREFUSED);
}
CASE(bad_addresses) {
	int f = sock(SOCK_STREAM);
	path("x");
	FAILS(bind(f, (void *)&at, 1), EINVAL);
	FAILS(bind(f, (void *)&at, 500), EINVAL);
	at.sun_family = AF_INET;
	FAILS(bind(f, (void *)&at, len), EINVAL);
	FAILS(bind(f, (void *)8, len), EFAULT);
}
CASE(receive_timeout) {
	struct timeval t = {0, 30000};
	pair(SOCK_STREAM);
	fcntl(s[0], F_SETFL, 0);
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
	FAILS(recv(s[0], buf, 1, 0), EAGAIN);
	FAILS(read(s[0], buf, 1), EAGAIN);
}
CASE(wait_for_all) {
	pid_t c;
	pair(SOCK_STREAM);
	fcntl(s[0], F_SETFL, 0);
	CHILD(c) {
		for (int i = 0; i < 5; i++) {
			msleep(10);
			write(s[1], "12345", 5);
		}
	}
	CHECK(recv(s[0], buf, 25, MSG_WAITALL) == 25);
	CHECK(wait_code(c) == 0);
}
CASE(large_write_waits) {
	pid_t c;
	long t = 0;
	int n;
	pair(SOCK_STREAM);
	fcntl(s[0], F_SETFL, 0);
	fcntl(s[1], F_SETFL, 0);
	CHILD(c) {
		close(s[0]);
		_exit(write(s[1], buf, 300000) != 300000);
	}
	close(s[1]);
	while ((n = read(s[0], buf, 10000)) > 0)
		t += n;
	CHECK(t == 300000 && wait_code(c) == 0);
}
CASE(many_messages) {
	struct mmsghdr m[3];
	struct iovec v[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
	memset(m, 0, sizeof m);
	for (int i = 0; i < 3; i++)
		m[i].msg_hdr.msg_iov = &v[i], m[i].msg_hdr.msg_iovlen = 1;
	pair(SOCK_DGRAM);
	CHECK(sendmmsg(s[0], m, 3, 0) == 3);
	for (int i = 0; i < 3; i++)
		v[i] = (struct iovec){buf + 10 * i, 10};
	CHECK(recvmmsg(s[1], m, 3, 0, 0) == 3 && m[0].msg_len == 1 && m[2].msg_len == 3);
}
CASE(options) {
	int v = 0;
	socklen_t n = 4;
	pair(SOCK_SEQPACKET);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, &n) == 0 && v == SOCK_SEQPACKET);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_DOMAIN, &v, &n) == 0 && v == AF_UNIX);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_ACCEPTCONN, &v, &n) == 0 && v == 0);
	FAILS(getsockopt(s[0], SOL_SOCKET, 9999, &v, &n), ENOPROTOOPT);
	v = 20000;
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, 4) == 0);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, &n) == 0 && v == 40000);
	n = -1;
	FAILS(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, &n), EINVAL);
}
CASE(lengths_beyond_a_signed_one) {
	pair(SOCK_STREAM);
	CHECK(write(s[1], "hello", 5) == 5);
	CHECK(syscall(SYS_recvfrom, s[0], buf, -1L, MSG_DONTWAIT, 0, 0) == 5 && !memcmp(buf, "hello", 5));
	FAILS(syscall(SYS_recvfrom, s[0], buf, 1UL << 48, MSG_DONTWAIT, 0, 0), EAGAIN);
	FAILS(syscall(SYS_recvfrom, s[0], (char *)-4096L, -1L, MSG_DONTWAIT, 0, 0), EFAULT);
	FAILS(syscall(SYS_read, s[0], buf, -1L), EFAULT);
}
