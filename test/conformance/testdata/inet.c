// AF_INET and AF_INET6 sockets over loopback.
#include "case.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)
#define READABLE (POLLIN | POLLRDNORM)
static char buf[70000];
static struct sockaddr_in at;
static socklen_t len;
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
static void addr(const char *ip, int port) {
	memset(&at, 0, sizeof at);
	at.sin_family = AF_INET;
	at.sin_port = htons(port);
	inet_pton(AF_INET, ip, &at.sin_addr);
	len = sizeof at;
}
static int sock(int type) {
	int f = socket(AF_INET, type, 0);
	CHECK(f >= 0);
	return f;
}
static int bound(int type) {
	int f = sock(type);
	addr("127.0.0.1", 0);
	CHECK(bind(f, (void *)&at, len) == 0);
	CHECK(getsockname(f, (void *)&at, &len) == 0);
	return f;
}
static int server(void) {
	int l = bound(SOCK_STREAM);
	CHECK(listen(l, 5) == 0);
	return l;
}
static int c, v;
static void connected(void) {
	int l = server();
	c = sock(SOCK_STREAM);
	signal(SIGPIPE, SIG_IGN);
	CHECK(connect(c, (void *)&at, len) == 0);
	v = accept(l, 0, 0);
	CHECK(v >= 0);
	close(l);
}
static int unused_port(void) {
	int f = bound(SOCK_STREAM), p = ntohs(at.sin_port);
	close(f);
	return p;
}
static int option(int f, int level, int name, int set) {
	int g = -1;
	socklen_t n = 4;
	if (setsockopt(f, level, name, &set, 4))
		return -errno;
	if (getsockopt(f, level, name, &g, &n))
		return -errno;
	return g;
}
CASE(bad_arguments) {
	FAILS(socket(AF_INET, 7, 0), ESOCKTNOSUPPORT);
	FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	FAILS(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
	FAILS(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
}
CASE(fresh) {
	int f = sock(SOCK_STREAM);
	signal(SIGPIPE, SIG_IGN);
	CHECK(ready(f) == (WRITABLE | POLLHUP));
	FAILS(recv(f, buf, 1, 0), ENOTCONN);
	FAILS(send(f, "x", 1, 0), EPIPE);
	FAILS(getpeername(f, (void *)&at, &len), ENOTCONN);
	FAILS(shutdown(f, SHUT_RDWR), ENOTCONN);
	FAILS(accept(f, 0, 0), EINVAL);
}
CASE(refused) {
	addr("127.0.0.1", unused_port());
	int f = sock(SOCK_STREAM), e;
	FAILS(connect(f, (void *)&at, len), ECONNREFUSED);
	socklen_t n = 4;
	CHECK(getsockopt(f, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == 0);
	CHECK(ready(f) == (WRITABLE | POLLHUP));
}
CASE(refused_later) {
	addr("127.0.0.1", unused_port());
	int f = sock(SOCK_STREAM | SOCK_NONBLOCK), e;
	FAILS(connect(f, (void *)&at, len), EINPROGRESS);
	CHECK(wait_for(f, POLLOUT) == (READABLE | WRITABLE | POLLRDHUP | POLLHUP | POLLERR));
	socklen_t n = 4;
	CHECK(getsockopt(f, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == ECONNREFUSED);
	CHECK(getsockopt(f, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == 0);
}
CASE(connects_later) {
	int l = server(), f = sock(SOCK_STREAM | SOCK_NONBLOCK), e = 1;
	socklen_t n = 4;
	FAILS(connect(f, (void *)&at, len), EINPROGRESS);
	CHECK(wait_for(f, POLLOUT) == WRITABLE);
	CHECK(getsockopt(f, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == 0);
	CHECK(accept(l, 0, 0) >= 0);
}
CASE(bind_errors) {
	int f = sock(SOCK_STREAM);
	addr("192.0.2.1", 80);
	FAILS(bind(f, (void *)&at, len), EADDRNOTAVAIL);
	FAILS(bind(f, (void *)&at, 8), EINVAL);
	at.sin_family = AF_INET6;
	FAILS(bind(f, (void *)&at, len), EAFNOSUPPORT);
	FAILS(connect(f, (void *)&at, len), EAFNOSUPPORT);
	int l = server();
	(void)l;
	FAILS(bind(f, (void *)&at, len), EADDRINUSE);
}
CASE(listener) {
	int l = server();
	fcntl(l, F_SETFL, O_NONBLOCK);
	CHECK(ready(l) == 0);
	FAILS(accept(l, 0, 0), EAGAIN);
	FAILS(read(l, buf, 1), ENOTCONN);
	FAILS(connect(l, (void *)&at, len), EISCONN);
	int on = 0;
	socklen_t n = 4;
	CHECK(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on == 1);
}
CASE(listen_binds) {
	int l = sock(SOCK_STREAM);
	CHECK(listen(l, 1) == 0);
	len = sizeof at;
	CHECK(getsockname(l, (void *)&at, &len) == 0 && at.sin_port != 0);
}
CASE(accepted) {
	int l = server();
	struct sockaddr_in a, b;
	socklen_t n = sizeof a;
	c = sock(SOCK_STREAM);
	CHECK(connect(c, (void *)&at, len) == 0);
	FAILS(connect(c, (void *)&at, len), EISCONN);
	CHECK(wait_for(l, POLLIN) == READABLE);
	v = accept4(l, (void *)&a, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(v >= 0 && n == 16 && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK(getsockname(c, (void *)&b, &n) == 0 && a.sin_port == b.sin_port);
	CHECK(fcntl(v, F_GETFD) == FD_CLOEXEC && (fcntl(v, F_GETFL) & O_NONBLOCK));
	CHECK(ready(v) == WRITABLE);
}
CASE(to_any_is_here) {
	int l = server();
	(void)l;
	close(l);
	l = sock(SOCK_STREAM);
	listen(l, 1);
	len = sizeof at;
	getsockname(l, (void *)&at, &len);
	c = sock(SOCK_STREAM);
	CHECK(connect(c, (void *)&at, len) == 0);
}
CASE(data) {
	int n;
	connected();
	CHECK(send(c, "hello", 5, 0) == 5);
	CHECK(wait_for(v, POLLIN) == (READABLE | WRITABLE));
	CHECK(ioctl(v, FIONREAD, &n) == 0 && n == 5);
	CHECK(recv(v, buf, 3, MSG_PEEK) == 3);
	CHECK(recv(v, buf, 2, MSG_TRUNC) == 2);
	CHECK(recv(v, buf, 9, 0) == 3 && !memcmp(buf, "llo", 3));
	FAILS(recv(v, buf, 1, MSG_DONTWAIT), EAGAIN);
	FAILS(recv(v, buf, 1, MSG_OOB), EINVAL);
}
CASE(half_closed) {
	connected();
	CHECK(shutdown(c, SHUT_WR) == 0);
	CHECK(wait_for(v, POLLIN) == (READABLE | WRITABLE | POLLRDHUP));
	CHECK(read(v, buf, 1) == 0);
	FAILS(write(c, "x", 1), EPIPE);
	CHECK(write(v, "back", 4) == 4 && read(c, buf, 9) == 4);
	shutdown(v, SHUT_WR);
	CHECK(wait_for(c, POLLHUP) == (READABLE | WRITABLE | POLLRDHUP | POLLHUP));
}
CASE(reset) {
	struct linger l = {1, 0};
	connected();
	CHECK(setsockopt(v, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
	close(v);
	CHECK(wait_for(c, POLLERR) & POLLERR);
	FAILS(read(c, buf, 1), ECONNRESET);
	CHECK(read(c, buf, 1) == 0);
	FAILS(write(c, "x", 1), EPIPE);
}
CASE(closed_with_data_unread) {
	connected();
	write(c, "unread", 6);
	wait_for(v, POLLIN);
	close(v);
	CHECK(wait_for(c, POLLERR) & POLLERR);
	FAILS(write(c, "x", 1), ECONNRESET);
	FAILS(write(c, "x", 1), EPIPE);
}
CASE(written_after_close) {
	connected();
	close(v);
	CHECK(wait_for(c, POLLRDHUP) & POLLRDHUP);
	CHECK(read(c, buf, 1) == 0);
	CHECK(write(c, "x", 1) == 1);
	wait_for(c, POLLHUP);
	FAILS(write(c, "x", 1), EPIPE);
}
CASE(bulk) {
	pid_t p;
	connected();
	CHILD(p) {
		long t = 0;
		int n;
		close(c);
		while ((n = read(v, buf, sizeof buf)) > 0)
			t += n;
		_exit(t != 7000000);
	}
	close(v);
	for (int i = 0; i < 100; i++)
		CHECK(write(c, buf, 70000) == 70000);
	close(c);
	CHECK(wait_code(p) == 0);
}
static void *closer(void *x) {
	msleep(50);
	shutdown(*(int *)x, SHUT_RDWR);
	return x;
}
CASE(shutdown_wakes_reader) {
	pthread_t t;
	connected();
	pthread_create(&t, 0, closer, &c);
	CHECK(read(c, buf, 1) == 0);
	pthread_join(t, 0);
}
CASE(shutdown_wakes_accept) {
	pthread_t t;
	int l = server();
	pthread_create(&t, 0, closer, &l);
	FAILS(accept(l, 0, 0), EINVAL);
	pthread_join(t, 0);
}
CASE(accept_timeout) {
	struct timeval t = {0, 30000};
	int l = server();
	setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	FAILS(accept(l, 0, 0), EAGAIN);
}
CASE(many_connections) {
	int l = server();
	for (int i = 0; i < 200; i++) {
		int a = sock(SOCK_STREAM);
		CHECK(connect(a, (void *)&at, len) == 0);
		int b = accept(l, 0, 0);
		CHECK(write(a, "ping", 4) == 4 && read(b, buf, 9) == 4);
		close(a);
		CHECK(read(b, buf, 1) == 0);
		close(b);
	}
}
CASE(rebind_after_close) {
	int l = sock(SOCK_STREAM), on = 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, 4);
	addr("127.0.0.1", 0);
	CHECK(bind(l, (void *)&at, len) == 0 && listen(l, 5) == 0 && getsockname(l, (void *)&at, &len) == 0);
	struct sockaddr_in a = at;
	c = sock(SOCK_STREAM);
	connect(c, (void *)&at, len);
	v = accept(l, 0, 0);
	close(v);
	close(l);
	l = sock(SOCK_STREAM);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, 4);
	CHECK(bind(l, (void *)&a, sizeof a) == 0 && listen(l, 1) == 0);
}
CASE(socket_options) {
	int f = sock(SOCK_STREAM);
	CHECK(option(f, SOL_SOCKET, SO_REUSEADDR, 5) == 1);
	CHECK(option(f, SOL_SOCKET, SO_REUSEPORT, 1) == 1);
	CHECK(option(f, SOL_SOCKET, SO_KEEPALIVE, 1) == 1);
	CHECK(option(f, SOL_SOCKET, SO_SNDBUF, 20000) == 40000);
	CHECK(option(f, SOL_SOCKET, SO_RCVBUF, 20000) == 40000);
	CHECK(option(f, SOL_SOCKET, SO_RCVBUF, 1) == 2304);
	CHECK(option(f, SOL_SOCKET, SO_SNDBUF, 1) == 4608);
	CHECK(option(f, SOL_SOCKET, SO_PRIORITY, 3) == 3);
	CHECK(option(f, SOL_SOCKET, SO_RCVLOWAT, 10) == 10);
	CHECK(option(f, SOL_SOCKET, SO_TYPE, 1) == -ENOPROTOOPT);
	CHECK(option(f, SOL_SOCKET, 9999, 1) == -ENOPROTOOPT);
}
CASE(tcp_options) {
	int f = sock(SOCK_STREAM);
	CHECK(option(f, SOL_TCP, TCP_NODELAY, 1) == 1);
	CHECK(option(f, SOL_TCP, TCP_CORK, 1) == 1);
	CHECK(option(f, SOL_TCP, TCP_KEEPIDLE, 10) == 10);
	CHECK(option(f, SOL_TCP, TCP_KEEPIDLE, 0) == -EINVAL);
	CHECK(option(f, SOL_TCP, TCP_KEEPINTVL, 40000) == -EINVAL);
	CHECK(option(f, SOL_TCP, TCP_KEEPCNT, 4) == 4);
	CHECK(option(f, SOL_TCP, TCP_KEEPCNT, 128) == -EINVAL);
	CHECK(option(f, SOL_TCP, TCP_USER_TIMEOUT, 100) == 100);
	CHECK(option(f, SOL_TCP, 9999, 1) == -ENOPROTOOPT);
	FAILS(setsockopt(f, SOL_TCP, TCP_CONGESTION, "zzz", 3), ENOENT);
}
CASE(tcp_state) {
	struct tcp_info i;
	socklen_t n = sizeof i;
	connected();
	CHECK(getsockopt(c, SOL_TCP, TCP_INFO, &i, &n) == 0 && i.tcpi_state == TCP_ESTABLISHED && i.tcpi_snd_mss > 0);
}
CASE(ip_options) {
	int f = sock(SOCK_STREAM);
	CHECK(option(f, SOL_IP, IP_TOS, 0x10) == 0x10);
	CHECK(option(f, SOL_IP, IP_TTL, 33) == 33);
	CHECK(option(f, SOL_IP, IP_TTL, 0) == -EINVAL);
	CHECK(option(f, SOL_IP, IP_TTL, 256) == -EINVAL);
	CHECK(option(f, SOL_IP, IP_MTU_DISCOVER, 17) == -EINVAL);
	CHECK(option(f, SOL_IP, IP_PKTINFO, 1) == 1);
	CHECK(option(f, SOL_IP, 9999, 1) == -ENOPROTOOPT);
}
CASE(option_lengths) {
	int f = sock(SOCK_STREAM), x = 0;
	socklen_t n = 2;
	FAILS(setsockopt(f, SOL_SOCKET, SO_REUSEADDR, &x, 2), EINVAL);
	FAILS(setsockopt(f, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4), EFAULT);
	CHECK(getsockopt(f, SOL_SOCKET, SO_TYPE, &x, &n) == 0 && n == 2 && x == SOCK_STREAM);
	n = -1;
	FAILS(getsockopt(f, SOL_SOCKET, SO_TYPE, &x, &n), EINVAL);
	struct timeval t = {1, 2000000};
	FAILS(setsockopt(f, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), EDOM);
}
CASE(bind_to_device) {
	int f = sock(SOCK_STREAM);
	FAILS(setsockopt(f, SOL_SOCKET, SO_BINDTODEVICE, "nope", 5), ENODEV);
}
CASE(datagrams) {
	int r = bound(SOCK_DGRAM), f = sock(SOCK_DGRAM), n;
	CHECK(ready(r) == WRITABLE);
	FAILS(send(f, "x", 1, 0), EDESTADDRREQ);
	CHECK(sendto(f, "datagram", 8, 0, (void *)&at, len) == 8);
	CHECK(wait_for(r, POLLIN) == (READABLE | WRITABLE));
	CHECK(ioctl(r, FIONREAD, &n) == 0 && n == 8);
	CHECK(recv(r, buf, 3, MSG_PEEK | MSG_TRUNC) == 8);
	struct sockaddr_in a;
	socklen_t k = sizeof a;
	CHECK(recvfrom(r, buf, 99, 0, (void *)&a, &k) == 8 && k == 16);
	FAILS(recv(r, buf, 9, MSG_DONTWAIT), EAGAIN);
	CHECK(sendto(r, "", 0, 0, (void *)&a, k) == 0);
	CHECK(recv(f, buf, 9, 0) == 0);
}
CASE(datagram_sizes) {
	int r = bound(SOCK_DGRAM), f = sock(SOCK_DGRAM);
	FAILS(sendto(f, buf, 65508, 0, (void *)&at, len), EMSGSIZE);
	CHECK(sendto(f, buf, 65507, 0, (void *)&at, len) == 65507);
	CHECK(recv(r, buf, sizeof buf, 0) == 65507);
}
CASE(datagram_calls_not_for_it) {
	int f = sock(SOCK_DGRAM);
	FAILS(listen(f, 1), EOPNOTSUPP);
	FAILS(accept(f, 0, 0), EOPNOTSUPP);
	addr("127.0.0.1", 0);
	FAILS(sendto(f, "x", 1, 0, (void *)&at, 4), EINVAL);
	addr("127.0.0.1", 0);
	FAILS(sendto(f, "x", 1, 0, (void *)&at, len), EINVAL);
}
CASE(datagram_peer) {
	int r = bound(SOCK_DGRAM), f = sock(SOCK_DGRAM);
	CHECK(connect(f, (void *)&at, len) == 0);
	CHECK(getpeername(f, (void *)&at, &len) == 0);
	CHECK(send(f, "x", 1, 0) == 1 && recv(r, buf, 9, 0) == 1);
	close(r);
	CHECK(send(f, "x", 1, 0) == 1);
	wait_for(f, POLLERR);
	FAILS(recv(f, buf, 1, MSG_DONTWAIT), ECONNREFUSED);
	struct sockaddr u = {AF_UNSPEC};
	CHECK(connect(f, &u, sizeof u) == 0);
	FAILS(send(f, "x", 1, 0), EDESTADDRREQ);
}
CASE(datagram_strangers) {
	int f = bound(SOCK_DGRAM), x = sock(SOCK_DGRAM), r;
	struct sockaddr_in mine = at;
	r = bound(SOCK_DGRAM);
	CHECK(connect(f, (void *)&at, len) == 0);
	CHECK(sendto(x, "x", 1, 0, (void *)&mine, sizeof mine) == 1);
	msleep(20);
	FAILS(recv(f, buf, 9, MSG_DONTWAIT), EAGAIN);
	CHECK(sendto(r, "x", 1, 0, (void *)&mine, sizeof mine) == 1);
	CHECK(recv(f, buf, 9, 0) == 1);
}
CASE(control_messages) {
	int f = bound(SOCK_DGRAM), seen = 0;
	CHECK(option(f, SOL_IP, IP_PKTINFO, 1) == 1 && option(f, SOL_IP, IP_RECVTTL, 1) == 1 &&
	      option(f, SOL_SOCKET, SO_TIMESTAMP, 1) == 1);
	CHECK(sendto(f, "ctl", 3, 0, (void *)&at, len) == 3);
	char x[300];
	struct iovec io = {buf, 99};
	struct msghdr m = {0, 0, &io, 1, x, sizeof x, 0};
	CHECK(recvmsg(f, &m, 0) == 3);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level == SOL_IP && h->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *i = (void *)CMSG_DATA(h);
			seen |= i->ipi_ifindex == 1 && i->ipi_addr.s_addr == htonl(INADDR_LOOPBACK);
		}
		if (h->cmsg_level == SOL_IP && h->cmsg_type == IP_TTL)
			seen |= *CMSG_DATA(h) == 64 ? 2 : 0;
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SO_TIMESTAMP)
			seen |= 4;
	}
	CHECK(seen == 7);
}
CASE(broadcast_forbidden) {
	int f = sock(SOCK_DGRAM);
	addr("127.255.255.255", 9);
	FAILS(sendto(f, "x", 1, 0, (void *)&at, len), EACCES);
}
static struct sockaddr_in6 at6;
static int server6(const char *ip) {
	int l = socket(AF_INET6, SOCK_STREAM, 0);
	memset(&at6, 0, sizeof at6);
	at6.sin6_family = AF_INET6;
	inet_pton(AF_INET6, ip, &at6.sin6_addr);
	len = sizeof at6;
	CHECK(bind(l, (void *)&at6, len) == 0 && listen(l, 5) == 0 && getsockname(l, (void *)&at6, &len) == 0);
	return l;
}
CASE(both_families) {
	int l = server6("::");
	addr("127.0.0.1", ntohs(at6.sin6_port));
	c = sock(SOCK_STREAM);
	CHECK(connect(c, (void *)&at, len) == 0);
	struct sockaddr_in6 p;
	socklen_t n = sizeof p;
	v = accept(l, (void *)&p, &n);
	CHECK(v >= 0 && n == 28 && IN6_IS_ADDR_V4MAPPED(&p.sin6_addr));
	CHECK(write(v, "six", 3) == 3 && read(c, buf, 9) == 3);
}
CASE(only_six) {
	int on = 1, l = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &on, 4) == 0);
	memset(&at6, 0, sizeof at6);
	at6.sin6_family = AF_INET6;
	len = sizeof at6;
	CHECK(bind(l, (void *)&at6, len) == 0 && listen(l, 1) == 0 && getsockname(l, (void *)&at6, &len) == 0);
	addr("127.0.0.1", ntohs(at6.sin6_port));
	FAILS(connect(sock(SOCK_STREAM), (void *)&at, len), ECONNREFUSED);
}
CASE(six) {
	int l = server6("::1");
	c = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK(connect(c, (void *)&at6, sizeof at6) == 0);
	v = accept(l, 0, 0);
	CHECK(write(c, "six", 3) == 3 && read(v, buf, 9) == 3);
	CHECK(option(v, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9) == 9);
	CHECK(option(v, IPPROTO_IPV6, IPV6_TCLASS, 8) == 8);
	FAILS(bind(socket(AF_INET6, SOCK_STREAM, 0), (void *)&at6, 20), EINVAL);
}
CASE(interface_ioctls) {
	struct ifreq r;
	int f = sock(SOCK_DGRAM);
	memset(&r, 0, sizeof r);
	strcpy(r.ifr_name, "lo");
	CHECK(ioctl(f, SIOCGIFINDEX, &r) == 0 && r.ifr_ifindex == 1);
	CHECK(ioctl(f, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK));
	CHECK(ioctl(f, SIOCGIFMTU, &r) == 0 && r.ifr_mtu == 65536);
	CHECK(ioctl(f, SIOCGIFADDR, &r) == 0 &&
	      ((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK(ioctl(f, SIOCGIFNETMASK, &r) == 0 &&
	      ((struct sockaddr_in *)&r.ifr_netmask)->sin_addr.s_addr == htonl(0xff000000));
	strcpy(r.ifr_name, "zz");
	FAILS(ioctl(f, SIOCGIFFLAGS, &r), ENODEV);
	CHECK(if_nametoindex("lo") == 1 && !strcmp(if_indextoname(1, buf), "lo"));
	FAILS(ioctl(f, 0x1234, buf), ENOTTY);
}
CASE(interface_list) {
	struct ifconf k = {sizeof buf, {buf}};
	int f = sock(SOCK_DGRAM);
	CHECK(ioctl(f, SIOCGIFCONF, &k) == 0 && k.ifc_len >= (int)sizeof(struct ifreq) &&
	      !strcmp(k.ifc_req[0].ifr_name, "lo"));
}
CASE(connect_again) {
	int p = unused_port(), f = sock(SOCK_STREAM), on = 1, l;
	setsockopt(f, SOL_TCP, TCP_NODELAY, &on, 4);
	addr("127.0.0.1", p);
	FAILS(connect(f, (void *)&at, len), ECONNREFUSED);
	FAILS(connect(f, (void *)&at, len), ECONNREFUSED);
	l = sock(SOCK_STREAM);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, 4);
	CHECK(bind(l, (void *)&at, len) == 0 && listen(l, 1) == 0);
	CHECK(connect(f, (void *)&at, len) == 0);
	socklen_t n = 4;
	on = 0;
	CHECK(getsockopt(f, SOL_TCP, TCP_NODELAY, &on, &n) == 0 && on == 1);
	v = accept(l, 0, 0);
	CHECK(write(v, "ok", 2) == 2 && read(f, buf, 9) == 2);
}
CASE(bound_connect_again) {
	struct sockaddr_in a, b;
	socklen_t n = sizeof a;
	int p = unused_port(), q = unused_port(), f = sock(SOCK_STREAM), on = 1, l;
	addr("127.0.0.1", q);
	CHECK(bind(f, (void *)&at, len) == 0);
	a = at;
	addr("127.0.0.1", p);
	FAILS(connect(f, (void *)&at, len), ECONNREFUSED);
	l = sock(SOCK_STREAM);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, 4);
	CHECK(bind(l, (void *)&at, len) == 0 && listen(l, 1) == 0);
	CHECK(connect(f, (void *)&at, len) == 0);
	CHECK(getsockname(f, (void *)&b, &n) == 0 && a.sin_port == b.sin_port);
}

static long since(struct timespec *t) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - t->tv_sec) * 1000 + (now.tv_nsec - t->tv_nsec) / 1000000;
}
// stuck makes a connection whose sender has more to send than fits.
static void stuck(int *sender, int *receiver, int seconds) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
	CHECK(setsockopt(l, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
	CHECK(bind(l, (void *)&a, sizeof a) == 0 && listen(l, 1) == 0 && getsockname(l, (void *)&a, &n) == 0);
	*sender = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(*sender, (void *)&a, sizeof a) == 0);
	*receiver = accept(l, 0, 0);
	CHECK(*receiver >= 0 && close(l) == 0);
	struct linger how = {1, seconds};
	CHECK(setsockopt(*sender, SOL_SOCKET, SO_LINGER, &how, sizeof how) == 0);
	CHECK(fcntl(*sender, F_SETFL, O_NONBLOCK) == 0);
	static char b[65536];
	while (write(*sender, b, sizeof b) > 0) {
	}
	CHECK(errno == EAGAIN);
}
CASE(linger_until_read) {
	int s, r, closed[2];
	stuck(&s, &r, 10);
	pid_t pid;
	CHECK(pipe(closed) == 0);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	CHILD(pid) {
		close(s);
		CHECK(write(closed[1], "", 1) == 1);
		msleep(150);
		static char b[65536];
		while (read(r, b, sizeof b) > 0) {
		}
		msleep(300);
	}
	close(r);
	char c;
	CHECK(read(closed[0], &c, 1) == 1); // the child has closed its copy
	CHECK(close(s) == 0 && since(&t) >= 140 && since(&t) < 5000);
	CHECK(wait_code(pid) == 0);
}
CASE(linger_until_timeout) {
	int s, r;
	stuck(&s, &r, 1);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	CHECK(close(s) == 0 && since(&t) >= 950 && since(&t) < 3000);
}
static void nothing(int sig) {}
CASE(linger_until_signal) {
	int s, r, closed[2];
	stuck(&s, &r, 10);
	struct sigaction sa = {.sa_handler = nothing};
	sigaction(SIGUSR1, &sa, 0);
	pid_t pid, me = getpid();
	CHECK(pipe(closed) == 0);
	CHILD(pid) {
		close(s), close(r);
		CHECK(write(closed[1], "", 1) == 1);
		msleep(150);
		kill(me, SIGUSR1);
	}
	char c;
	CHECK(read(closed[0], &c, 1) == 1);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	CHECK(close(s) == 0 && since(&t) < 5000 && wait_code(pid) == 0);
}
CASE(no_linger_at_exit) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	pid_t pid;
	CHILD(pid) {
		int s, r;
		stuck(&s, &r, 10);
	}
	CHECK(wait_code(pid) == 0 && since(&t) < 5000);
}
CASE(nothing_to_linger_for) {
	int s, r;
	stuck(&s, &r, 10);
	static char b[65536];
	CHECK(fcntl(r, F_SETFL, O_NONBLOCK) == 0);
	for (int i = 0; i < 50; i++) {
		while (read(r, b, sizeof b) > 0) {
		}
		msleep(10);
	}
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	CHECK(close(s) == 0 && since(&t) < 1000);
}
CASE(v6_datagram_socket_to_any_v4) {
	int s = socket(AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(5432)};
	struct sockaddr_in6 me;
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	socklen_t n = sizeof me;
	CHECK(connect(s, (void *)&any, sizeof any) == 0 && getsockname(s, (void *)&me, &n) == 0 && n == sizeof me);
	CHECK(me.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&me.sin6_addr) && me.sin6_addr.s6_addr[12] == 127);
	CHECK(connect(s, &none, sizeof none) == 0 && connect(s, (void *)&any, sizeof any) == 0);
	CHECK(getsockname(s, (void *)&me, &n) == 0 && IN6_IS_ADDR_V4MAPPED(&me.sin6_addr));
}
