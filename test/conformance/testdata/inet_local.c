// TCP connections whose both ends are here: what a wire with nothing lost looks like.
#include "case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#define ALL (POLLIN | POLLOUT | POLLRDHUP)
static struct sockaddr_in at;
static socklen_t len = sizeof at;
static char buf[1 << 17];
static int ready(int fd) {
	struct pollfd f = {fd, ALL, 0};
	poll(&f, 1, 0);
	return f.revents;
}
static int wait_for(int fd, int ev) {
	struct pollfd f = {fd, ev, 0};
	poll(&f, 1, 5000);
	return ready(fd);
}
static int server(int backlog, const char *ip) {
	int l = socket(AF_INET, SOCK_STREAM, 0);
	memset(&at, 0, sizeof at);
	at.sin_family = AF_INET;
	inet_pton(AF_INET, ip, &at.sin_addr);
	CHECK(bind(l, (void *)&at, sizeof at) == 0 && listen(l, backlog) == 0);
	len = sizeof at;
	CHECK(getsockname(l, (void *)&at, &len) == 0);
	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	signal(SIGPIPE, SIG_IGN);
	return l;
}
static int client(int flags) { return socket(AF_INET, SOCK_STREAM | flags, 0); }
static int to(int f) { return connect(f, (void *)&at, sizeof at); }
static int pair(int *other) {
	int l = server(1, "127.0.0.1"), f = client(0);
	CHECK(to(f) == 0 && (*other = accept(l, 0, 0)) >= 0 && close(l) == 0);
	return f;
}
CASE(written_and_closed_before_accept) {
	int l = server(5, "127.0.0.1"), f = client(0);
	CHECK(to(f) == 0 && write(f, "early", 5) == 5 && close(f) == 0);
	int v = accept(l, 0, 0);
	CHECK(v >= 0 && read(v, buf, 9) == 5 && read(v, buf, 9) == 0);
	CHECK(wait_for(v, POLLRDHUP) == (POLLIN | POLLOUT | POLLRDHUP));
}
CASE(listener_closed_resets_unaccepted) {
	int l = server(5, "127.0.0.1"), f = client(0);
	CHECK(to(f) == 0 && close(l) == 0);
	CHECK(wait_for(f, POLLRDHUP) & POLLERR);
	FAILS(read(f, buf, 1), ECONNRESET);
	CHECK(read(f, buf, 1) == 0);
	int g = client(0);
	FAILS(to(g), ECONNREFUSED);
}
CASE(backlog_full) {
	int l = server(1, "127.0.0.1"), f[5];
	for (int i = 0; i < 5; i++) {
		f[i] = client(SOCK_NONBLOCK);
		FAILS(to(f[i]), EINPROGRESS);
	}
	msleep(50);
	CHECK(ready(f[0]) == POLLOUT && ready(f[1]) == POLLOUT && ready(f[4]) == 0);
	FAILS(to(f[4]), EALREADY);
	FAILS(read(f[4], buf, 1), EAGAIN);
	FAILS(write(f[4], buf, 1), EAGAIN);
	struct sockaddr_in a;
	FAILS(getpeername(f[4], (void *)&a, &len), ENOTCONN);
	CHECK(getsockname(f[4], (void *)&a, &len) == 0 && a.sin_port != 0);
	close(f[4]);
	for (int i = 0; i < 4; i++) { // the last when they try again, after a second
		int v = accept(l, 0, 0);
		CHECK(v >= 0 && write(v, "in", 2) == 2);
	}
	for (int i = 0; i < 4; i++)
		CHECK(wait_for(f[i], POLLIN) == (POLLIN | POLLOUT) && read(f[i], buf, 9) == 2);
}
CASE(listens_everywhere) {
	static const char *where[] = {"127.0.0.1", "0.0.0.0"};
	for (int i = 0; i < 2; i++) {
		int l = server(5, where[i]), f = client(0), v;
		struct sockaddr_in a, b;
		CHECK(to(f) == 0 && (v = accept(l, (void *)&a, &len)) >= 0);
		CHECK(getsockname(v, (void *)&b, &len) == 0 && b.sin_port == at.sin_port && b.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
		CHECK(getpeername(v, (void *)&b, &len) == 0 && !memcmp(&a, &b, sizeof a));
		CHECK(getsockname(f, (void *)&b, &len) == 0 && !memcmp(&a, &b, sizeof a));
		CHECK(getpeername(f, (void *)&b, &len) == 0 && b.sin_port == at.sin_port);
		close(l), close(f), close(v);
	}
}
CASE(any_loopback_address) {
	int l = server(5, "0.0.0.0"), f = client(0), v;
	struct sockaddr_in a;
	inet_pton(AF_INET, "127.0.0.9", &at.sin_addr);
	CHECK(to(f) == 0 && (v = accept(l, (void *)&a, &len)) >= 0 && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK(getsockname(v, (void *)&a, &len) == 0 && a.sin_addr.s_addr == at.sin_addr.s_addr);
}
CASE(six_takes_four) {
	int l = socket(AF_INET6, SOCK_STREAM, 0), v, f = client(0);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6}, b;
	socklen_t n = sizeof a;
	CHECK(bind(l, (void *)&a, n) == 0 && listen(l, 5) == 0 && getsockname(l, (void *)&a, &n) == 0);
	at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = a.sin6_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(to(f) == 0 && (v = accept(l, (void *)&b, &n)) >= 0);
	CHECK(n == sizeof b && IN6_IS_ADDR_V4MAPPED(&b.sin6_addr) && b.sin6_addr.s6_addr[12] == 127);
	CHECK(write(f, "four", 4) == 4 && read(v, buf, 9) == 4);
	int g = socket(AF_INET6, SOCK_STREAM, 0);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr);
	CHECK(connect(g, (void *)&a, sizeof a) == 0 && (v = accept(l, 0, 0)) >= 0);
	CHECK(getpeername(g, (void *)&b, &n) == 0 && IN6_IS_ADDR_V4MAPPED(&b.sin6_addr));
	CHECK(write(v, "six", 3) == 3 && read(g, buf, 9) == 3);
}
CASE(only_six_refuses_four) {
	int l = socket(AF_INET6, SOCK_STREAM, 0), on = 1, f = client(0);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	socklen_t n = sizeof a;
	CHECK(setsockopt(l, SOL_IPV6, IPV6_V6ONLY, &on, 4) == 0);
	CHECK(bind(l, (void *)&a, n) == 0 && listen(l, 5) == 0 && getsockname(l, (void *)&a, &n) == 0);
	at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = a.sin6_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	FAILS(to(f), ECONNREFUSED);
}
CASE(ports_shared) {
	int l[2], on = 1, v = 0;
	server(1, "127.0.0.1");
	at.sin_port = 0;
	for (int i = 0; i < 2; i++) {
		l[i] = client(SOCK_NONBLOCK);
		CHECK(setsockopt(l[i], SOL_SOCKET, SO_REUSEPORT, &on, 4) == 0);
		CHECK(bind(l[i], (void *)&at, sizeof at) == 0 && listen(l[i], 64) == 0 && getsockname(l[i], (void *)&at, &len) == 0);
	}
	for (int i = 0; i < 40; i++) {
		int f = client(0);
		CHECK(to(f) == 0);
	}
	int got[2] = {0, 0};
	for (int i = 0; i < 2; i++)
		while ((v = accept(l[i], 0, 0)) >= 0)
			got[i]++;
	CHECK(got[0] + got[1] == 40 && got[0] > 0 && got[1] > 0);
}
static void *both(void *x) {
	int f = *(int *)x;
	long in = 0, out = 0;
	static __thread char b[70001];
	fcntl(f, F_SETFL, O_NONBLOCK);
	for (int n, end = 0; !end || out < 8 << 20;) { /* the peer may be done first */
		struct pollfd p = {f, (end ? 0 : POLLIN) | (out < 8 << 20 ? POLLOUT : 0), 0};
		CHECK(poll(&p, 1, 10000) == 1);
		if (p.revents & POLLIN) {
			if ((n = read(f, b, sizeof b)) == 0)
				end = 1;
			for (int i = 0; i < n; i += 997)
				CHECK(b[i] == (char)((in + i) * 7));
			in += n;
		}
		if (p.revents & POLLOUT && out < 8 << 20) {
			for (int i = 0; i < (int)sizeof b; i++)
				b[i] = (out + i) * 7;
			long left = (8 << 20) - out;
			if ((n = write(f, b, left < (long)sizeof b ? left : (long)sizeof b)) > 0)
				out += n;
			if (out == 8 << 20)
				CHECK(shutdown(f, SHUT_WR) == 0);
		}
	}
	CHECK(in == 8 << 20 && out == in);
	return x;
}
CASE(both_ways_at_once) {
	int v, f = pair(&v);
	pthread_t t;
	pthread_create(&t, 0, both, &v);
	both(&f);
	pthread_join(t, 0);
}
CASE(half_close_and_answer) {
	int v, f = pair(&v), n;
	CHECK(write(f, "question", 8) == 8 && shutdown(f, SHUT_WR) == 0);
	CHECK(read(v, buf, 99) == 8 && read(v, buf, 99) == 0);
	CHECK(write(v, "answer", 6) == 6 && ioctl(f, FIONREAD, &n) == 0 && n == 6 && close(v) == 0);
	CHECK(read(f, buf, 99) == 6 && read(f, buf, 99) == 0);
	struct sockaddr_in a;
	FAILS(getpeername(f, (void *)&a, &len), ENOTCONN);
	FAILS(shutdown(f, SHUT_RD), ENOTCONN);
}
CASE(shut_for_reading_takes_still) {
	int v, f = pair(&v);
	CHECK(shutdown(v, SHUT_RD) == 0 && read(v, buf, 1) == 0 && write(f, "more", 4) == 4);
	msleep(10);
	CHECK(read(v, buf, 9) == 4 && read(v, buf, 9) == 0 && (ready(v) & POLLHUP) == 0);
}
CASE(data_before_reset_is_read) {
	int v, f = pair(&v);
	struct linger l = {1, 0};
	CHECK(write(v, "last", 4) == 4 && setsockopt(v, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0 && close(v) == 0);
	CHECK(read(f, buf, 9) == 4);
	FAILS(read(f, buf, 9), ECONNRESET);
	CHECK(read(f, buf, 9) == 0);
}
CASE(disconnects) {
	int v, f = pair(&v);
	struct sockaddr none = {AF_UNSPEC};
	CHECK(connect(f, &none, sizeof none) == 0);
	FAILS(read(v, buf, 1), ECONNRESET);
	FAILS(write(f, "x", 1), ECONNRESET);
	FAILS(write(f, "x", 1), EPIPE);
	server(1, "127.0.0.1");
	CHECK(to(f) == 0);
}
CASE(roles_are_kept) {
	int v, f = pair(&v);
	FAILS(bind(v, (void *)&at, sizeof at), EINVAL);
	FAILS(listen(f, 1), EINVAL);
	FAILS(accept(f, 0, 0), EINVAL);
	FAILS(to(f), EISCONN);
	FAILS(to(v), EISCONN);
}
CASE(edges) {
	int v, f = pair(&v), e = epoll_create1(0);
	struct epoll_event ev = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = f}}, got;
	CHECK(epoll_ctl(e, EPOLL_CTL_ADD, f, &ev) == 0);
	CHECK(epoll_wait(e, &got, 1, 0) == 1 && got.events == EPOLLOUT && epoll_wait(e, &got, 1, 0) == 0);
	for (int i = 0; i < 3; i++) { // each arrival is an edge, read or not
		CHECK(write(v, "x", 1) == 1);
		CHECK(epoll_wait(e, &got, 1, 1000) == 1 && (got.events & EPOLLIN) && epoll_wait(e, &got, 1, 0) == 0);
	}
	fcntl(f, F_SETFL, O_NONBLOCK);
	while (write(f, buf, sizeof buf) > 0) {
	}
	epoll_wait(e, &got, 1, 0);
	CHECK(epoll_wait(e, &got, 1, 50) == 0);
	fcntl(v, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 200; i++, msleep(1))
		while (read(v, buf, sizeof buf) > 0) {
		}
	CHECK(epoll_wait(e, &got, 1, 1000) == 1 && (got.events & EPOLLOUT));
	CHECK(shutdown(v, SHUT_WR) == 0);
	CHECK(epoll_wait(e, &got, 1, 1000) == 1 && (got.events & EPOLLRDHUP) && epoll_wait(e, &got, 1, 0) == 0);
}
CASE(state_is_told) {
	int v, f = pair(&v);
	struct tcp_info i;
	socklen_t n = sizeof i;
	shutdown(f, SHUT_WR);
	msleep(10);
	CHECK(getsockopt(f, SOL_TCP, TCP_INFO, &i, &n) == 0 && i.tcpi_state == TCP_FIN_WAIT2);
	CHECK(getsockopt(v, SOL_TCP, TCP_INFO, &i, &n) == 0 && i.tcpi_state == TCP_CLOSE_WAIT);
}
CASE(many_at_once) {
	enum { N = 200 };
	int l = server(N, "127.0.0.1"), f[N], v[N];
	for (int i = 0; i < N; i++)
		CHECK((f[i] = client(0)) >= 0 && to(f[i]) == 0 && write(f[i], &i, sizeof i) == sizeof i);
	for (int i = 0; i < N; i++)
		CHECK((v[i] = accept(l, 0, 0)) >= 0);
	for (int i = 0, n; i < N; i++)
		CHECK(read(v[i], &n, sizeof n) == sizeof n && n == i && write(v[i], "ok", 2) == 2);
	for (int i = 0; i < N; i++)
		CHECK(read(f[i], buf, 9) == 2 && close(v[i]) == 0 && read(f[i], buf, 9) == 0);
}
CASE(keeps_its_port) {
	int l = server(5, "127.0.0.1"), f = client(0), g = client(0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(to(f) == 0 && getsockname(f, (void *)&a, &len) == 0);
	FAILS(bind(g, (void *)&a, sizeof a), EADDRINUSE);
	FAILS(bind(g, (void *)&at, sizeof at), EADDRINUSE);
	CHECK(close(f) == 0 && accept(l, 0, 0) >= 0);
}
CASE(much_for_a_closed_peer) {
	int v, f = pair(&v);
	static char much[8 << 20];
	CHECK(close(v) == 0);
	ssize_t n = write(f, much, sizeof much);
	CHECK(n > 0 && n < (ssize_t)sizeof much);
	FAILS(write(f, much, 1), EPIPE);
}
CASE(nothing_for_a_closed_peer) {
	int v, f = pair(&v);
	CHECK(write(v, "last", 4) == 4 && close(v) == 0);
	CHECK(send(f, "", 0, 0) == 0 && send(f, "", 0, 0) == 0);
	CHECK(read(f, buf, 9) == 4 && read(f, buf, 9) == 0);
	CHECK(send(f, "", 0, 0) == 0 && send(f, "x", 1, 0) == 1);
	FAILS(send(f, "", 0, 0), EPIPE);
}
