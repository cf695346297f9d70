// Receiving again what is not there yet: EAGAIN, until something arrives or the descriptor means something else.
#include "echoes.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>

static int s[2]; // what receives, and its peer
enum { UNIX, TCP, KINDS_OF_STREAM, UNIX_DGRAM = KINDS_OF_STREAM, UNIX_SEQPACKET, UDP, KINDS_OF_SOCKET, TCP_ITSELF };
static int is_stream(int kind) { return kind < KINDS_OF_STREAM; }

static int inet(int type, struct sockaddr_in *a) {
	socklen_t n = sizeof *a;
	int f = socket(AF_INET, type, 0);
	*a = (struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	CHECK(f >= 0 && bind(f, (void *)a, n) == 0 && getsockname(f, (void *)a, &n) == 0);
	return f;
}
static void sockets(int kind) {
	static const int types[] = {SOCK_STREAM, 0, SOCK_DGRAM, SOCK_SEQPACKET};
	struct sockaddr_in a, b;
	if (kind == TCP) {
		int l = inet(SOCK_STREAM, &a);
		CHECK(listen(l, 1) == 0 && (s[1] = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && connect(s[1], (void *)&a, sizeof a) == 0);
		CHECK((s[0] = accept(l, 0, 0)) >= 0 && close(l) == 0);
		CHECK(setsockopt(s[1], SOL_TCP, TCP_NODELAY, &(int){1}, 4) == 0);
	} else if (kind == TCP_ITSELF) { // which takes another way than a connection to a listener
		s[0] = inet(SOCK_STREAM, &a);
		CHECK(connect(s[0], (void *)&a, sizeof a) == 0 && (s[1] = dup(s[0])) >= 0);
	} else if (kind == UDP) {
		s[0] = inet(SOCK_DGRAM, &a), s[1] = inet(SOCK_DGRAM, &b);
		CHECK(connect(s[0], (void *)&b, sizeof b) == 0 && connect(s[1], (void *)&a, sizeof a) == 0);
	} else
		CHECK(socketpair(AF_UNIX, types[kind], 0, s) == 0);
}
static void shut(void) { close(s[0]), close(s[1]); }

// Ways to ask for up to n bytes without waiting; some need O_NONBLOCK. Those before OTHERS may be answered by a platform.
enum { RECV, RECV_NOSIGNAL, RECV_PLAIN, READ, OTHERS, RECV_FROM = OTHERS, RECVMSG, READV, PEEK, PREADV2, ASKS };
static char buf[4096];
static long ask_for(int how, int fd, size_t n) {
	struct iovec v = {buf, n};
	struct msghdr m = {0, 0, &v, 1};
	struct sockaddr_storage a;
	socklen_t l = sizeof a;
	long r = -1;
	switch (how) {
	case RECV: r = syscall(SYS_recvfrom, fd, buf, n, (long)MSG_DONTWAIT, 0l, 0l); break;
	case RECV_NOSIGNAL: r = syscall(SYS_recvfrom, fd, buf, n, (long)(MSG_DONTWAIT | MSG_NOSIGNAL), 0l, &l); break;
	case RECV_PLAIN: r = syscall(SYS_recvfrom, fd, buf, n, 0l, 0l, 0l); break;
	case READ: r = syscall(SYS_read, fd, buf, n); break;
	case RECV_FROM: r = syscall(SYS_recvfrom, fd, buf, n, (long)MSG_DONTWAIT, &a, &l); break;
	case RECVMSG: r = syscall(SYS_recvmsg, fd, &m, (long)MSG_DONTWAIT); break;
	case READV: r = syscall(SYS_readv, fd, &v, 1l); break;
	case PEEK: r = syscall(SYS_recvfrom, fd, buf, n, (long)(MSG_DONTWAIT | MSG_PEEK), 0l, 0l); break;
	case PREADV2: r = syscall(SYS_preadv2, fd, &v, 1l, -1l, -1l, 0l); break;
	}
	return r < 0 ? -errno : r;
}
static int waits(int how) { return how == RECV_PLAIN || how == READ || how == READV || how == PREADV2; }
static void for_way(int how, int fd) { CHECK(fcntl(fd, F_SETFL, waits(how) ? O_RDWR | O_NONBLOCK : O_RDWR) == 0); }

static void gives_(int line, int how, int fd, size_t n, long want) {
	long r = ask_for(how, fd, n);
	if (r == want) return;
	dprintf(1, "FAIL %s: line %d: way %d of %zu bytes gives %ld, not %ld\n", now_running, line, how, n, r, want);
	_exit(99);
}
static void dry_(int line, int how, int fd, size_t n, long want) {
	for (int i = 0; i < OFTEN; i++) gives_(line, how, fd, n, want);
}
#define GIVES(how, fd, n, want) gives_(__LINE__, how, fd, n, want)
// DRY asks often: there is nothing. IS_NOW asks often as well, for what is so from now on.
#define DRY(how, fd, n) dry_(__LINE__, how, fd, n, -EAGAIN)
#define IS_NOW(how, fd, n, want) dry_(__LINE__, how, fd, n, want)

static void send5(int fd) { CHECK(send(fd, "12345", 5, 0) == 5); }
static void send_by_write(int fd) { CHECK(write(fd, "12345", 5) == 5); }
static void send_by_file(int fd) { off_t o = 0; int f = open("five", O_RDWR | O_CREAT, 0600); CHECK(write(f, "12345", 5) == 5 && sendfile(fd, f, &o, 5) == 5 && close(f) == 0); }
static void send_spliced(int fd) { int p[2]; CHECK(pipe(p) == 0 && write(p[1], "12345", 5) == 5 && splice(p[0], 0, fd, 0, 5, 0) == 5); close(p[0]), close(p[1]); }
static void send_many(int fd) { struct mmsghdr m[2] = {{{0, 0, &(struct iovec){"12", 2}, 1}}, {{0, 0, &(struct iovec){"345", 3}, 1}}}; CHECK(sendmmsg(fd, m, 2, 0) == 2); }
static void send_file(int fd) {
	char c[CMSG_SPACE(4)] __attribute__((aligned(8))) = {0};
	struct msghdr m = {0, 0, &(struct iovec){"12345", 5}, 1, c, sizeof c, 0};
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, 4);
	CHECK(sendmsg(fd, &m, 0) == 5);
}
static void (*const senders[])(int) = {send5, send_by_write, send_by_file, send_spliced, send_many, send_file};

// What came is there for whoever asks next, in whatever way.
static void arrive(int kind) {
	for (int way = 0; way < OTHERS; way++) {
		sockets(kind);
		for_way(way, s[0]);
		for (int who = 0; who < DOERS; who++)
			for (int next = 0; next < ASKS; next++)
				for (unsigned f = 0; f < sizeof senders / sizeof *senders; f++) {
					if (waits(next) && !waits(way)) continue;
					if (f == 5 && kind == TCP) continue;
					if (f > 1 && (!is_stream(kind) || next)) continue;
					DRY(way, s[0], 100);
					by(who, senders[f], s[1]);
					GIVES(next, s[0], 100, 5);
					CHECK(!memcmp(buf, "12345", 5));
					if (next == PEEK) GIVES(PEEK, s[0], 100, 5), GIVES(way, s[0], 100, 5);
					DRY(way, s[0], 100);
				}
		shut();
	}
}
static void each_stream(void (*f)(int)) { for (int k = 0; k < KINDS_OF_STREAM; k++) f(k); }
static void each_socket(void (*f)(int)) { for (int k = 0; k < KINDS_OF_SOCKET; k++) f(k); }
CASE(what_arrives_is_received) { each_socket(arrive); }

// A server: each time something, not all that it has room for, and then nothing more.
static void served(int kind) {
	for (int way = 0; way < ASKS; way++) {
		sockets(kind);
		for_way(way, s[0]);
		for (int i = 0; i < 200; i++) {
			send5(s[1]);
			if (i % 7 == 6) send5(s[1]);
			if (i % 7 == 6 && is_stream(kind)) GIVES(way, s[0], 100, 10);
			else GIVES(way, s[0], 100, 5);
			if (way == PEEK) GIVES(RECV, s[0], 100, i % 7 == 6 && is_stream(kind) ? 10 : 5);
			if (i % 7 == 6 && !is_stream(kind)) GIVES(RECV, s[0], 100, 5);
			if (i % 5 < 3) GIVES(way, s[0], 100, -EAGAIN);
			if (i % 5 == 3) GIVES(way, s[0], 200, -EAGAIN);
			if (i % 11 == 3) DRY(way, s[0], 100);
		}
		// All it has room for, and a rest.
		for (int i = 0; i < OFTEN; i++) {
			send5(s[1]), GIVES(RECV, s[0], 5, 5), GIVES(RECV, s[0], 5, -EAGAIN);
			send5(s[1]), send5(s[1]);
			GIVES(RECV, s[0], 7, is_stream(kind) ? 7 : 5), GIVES(RECV, s[0], 7, is_stream(kind) ? 3 : 5), GIVES(RECV, s[0], 7, -EAGAIN);
			send5(s[1]), GIVES(RECV, s[0], 3, 3), GIVES(RECV, s[0], 3, is_stream(kind) ? 2 : -EAGAIN), GIVES(RECV, s[0], 3, -EAGAIN);
		}
		shut();
	}
}
CASE(a_server_asks_once_more) { each_socket(served); }

// Ends, and what is received then, for ever and first if that differs.
static void e_shutdown(int u) { CHECK(shutdown(s[1], SHUT_WR) == 0); }
static void e_own(int u) { CHECK(shutdown(s[0], SHUT_RD) == 0); }
static void e_own_both(int u) { CHECK(shutdown(s[0], SHUT_RDWR) == 0); }
static void e_close(int u) { CHECK(close(s[1]) == 0); }
static void e_replace(int u) { CHECK(dup2(1, s[1]) == s[1]); }
static void e_reset(int u) { CHECK(setsockopt(s[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)) == 0 && close(s[1]) == 0); }
static void e_unread(int u) { CHECK(send(s[0], "x", 1, 0) == 1 && close(s[1]) == 0); }
static void e_own_half(int u) { CHECK(shutdown(s[0], SHUT_WR) == 0); }
static const struct {
	void (*f)(int);
	int closes, first[2], then[2];
} ends[] = {{e_shutdown, 0, {0, 0}, {0, 0}}, {e_own, 0, {0, 0}, {0, 0}}, {e_own_both, 0, {0, 0}, {0, 0}}, {e_close, 1, {0, 0}, {0, 0}}, {e_replace, 1, {0, 0}, {0, 0}},
	{e_reset, 1, {0, -ECONNRESET}, {0, 0}}, {e_unread, 1, {-ECONNRESET, -ECONNRESET}, {0, 0}}, {e_own_half, 0, {-EAGAIN, -EAGAIN}, {-EAGAIN, -EAGAIN}}};
static void end(int kind) {
	for (int way = 0; way < OTHERS; way++)
		for (int who = 0; who < DOERS; who++)
			for (unsigned e = 0; e < sizeof ends / sizeof *ends; e++) {
				if (who == FORK && ends[e].closes) continue; // we have it open as well
				sockets(kind);
				for_way(way, s[0]);
				DRY(way, s[0], 100);
				by(who, ends[e].f, 0);
				errno = 100 * who + e;
				GIVES(way, s[0], 100, ends[e].first[kind]);
				IS_NOW(way, s[0], 100, ends[e].then[kind]);
				shut();
			}
	// A peer that is killed, with data on the way and without.
	for (int data = 0; data < 2; data++) {
		pid_t pid;
		sockets(kind), pipes();
		CHILD(pid) {
			say(up), hear(down);
			if (data) send5(s[1]);
			raise(SIGKILL);
		}
		close(s[1]);
		hear(up);
		DRY(RECV, s[0], 100);
		say(down);
		CHECK(wait_code(pid) == 128 + SIGKILL);
		if (data) GIVES(RECV, s[0], 100, 5);
		IS_NOW(RECV, s[0], 100, 0);
		close(s[0]), close(up[0]), close(up[1]), close(down[0]), close(down[1]);
	}
}
CASE(ends_and_resets) { each_stream(end); }

static void disconnects(void) {
	for (int i = 0; i < 3; i++) {
		struct sockaddr_in a;
		sockets(TCP);
		DRY(RECV, s[0], 100);
		CHECK(connect(s[0], &(struct sockaddr){AF_UNSPEC}, sizeof(struct sockaddr)) == 0);
		CHECK(ask_for(RECV, s[0], 100) != -EAGAIN);
		IS_NOW(RECV, s[0], 100, -ENOTCONN);
		GIVES(RECV, s[1], 100, -ECONNRESET);
		int l = inet(SOCK_STREAM, &a);
		CHECK(listen(l, 1) == 0 && connect(s[0], (void *)&a, sizeof a) == 0);
		DRY(RECV, s[0], 100);
		int v = accept(l, 0, 0);
		send5(v);
		GIVES(RECV, s[0], 100, 5);
		DRY(RECV, s[0], 100);
		close(v), close(l);
		IS_NOW(RECV, s[0], 100, 0);
		shut();
	}
}
CASE(disconnected_and_connected_anew) { disconnects(); }

// To wait again, once O_NONBLOCK is gone.
static void b_fcntl(int fd) { CHECK(fcntl(fd, F_SETFL, O_RDWR) == 0); }
static void b_ioctl(int fd) { CHECK(ioctl(fd, FIONBIO, &(int){0}) == 0); }
static void (*const blockers[])(int) = {b_fcntl, b_ioctl};
static void block(int kind) {
	for (int i = 0; i < 2; i++)
		for (int who = 0; who < DOERS; who++)
			for (int way = RECV_PLAIN; way <= READ; way++) {
				sockets(kind);
				int d = who & 1 ? dup(s[0]) : passed(s[0]);
				pid_t pid;
				CHECK(ioctl(d, FIONBIO, &(int){1}) == 0);
				DRY(way, s[0], 100);
				by(who, blockers[i], d);
				GIVES(RECV, s[0], 100, -EAGAIN);
				CHILD(pid) msleep(2), send5(s[1]);
				GIVES(way, s[0], 100, 5);
				CHECK(wait_code(pid) == 0);
				// A time limit, and a signal.
				CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 2000}, sizeof(struct timeval)) == 0);
				GIVES(way, s[0], 100, -EAGAIN);
				CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){}, sizeof(struct timeval)) == 0);
				catch (SIGALRM, 0);
				CHECK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, 0) == 0);
				GIVES(way, s[0], 100, -EINTR);
				CHECK(setitimer(ITIMER_REAL, &(struct itimerval){}, 0) == 0);
				CHECK(fcntl(d, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
				DRY(way, s[0], 100);
				shut(), close(d);
			}
}
CASE(blocking_again) { each_stream(block); }

// Whoever is told that something is there gets it: how he waits, and who sends meanwhile.
static int ep, edge;
enum { WAYS_TO_KNOW = 8 };
static int told(int how, int fd) {
	struct pollfd p = {fd, how ? POLLIN : POLLIN | POLLRDHUP | POLLOUT, 0};
	struct epoll_event ev;
	fd_set set;
	int n = 0;
	switch (how) {
	case 0: case 1: // poll, which may be told of room to send before
		while (!(p.revents & (POLLIN | POLLRDHUP)))
			if (poll(&p, 1, 5000) != 1) return 0;
		return 1;
	case 2: FD_ZERO(&set); FD_SET(fd, &set); return select(fd + 1, &set, 0, 0, &(struct timeval){5, 0}) == 1;
	case 3: return epoll_wait(ep, &ev, 1, 5000) == 1 && ev.events & EPOLLIN;
	case 4: return epoll_wait(edge, &ev, 1, 5000) == 1 && ev.events & EPOLLIN;
	case 5: // FIONREAD, again and again
		while (n == 0)
			if (ioctl(fd, FIONREAD, &n)) return 0;
		return 1;
	case 6: // a look
		while ((n = ask_for(PEEK, fd, 1)) == -EAGAIN) {
		}
		return n == 1;
	case 7: // poll that does not wait: it may see what nobody has been told of yet
		while (poll(&p, 1, 0) == 0) {
		}
		return 1;
	}
	return 1;
}
static void rig(void) {
	CHECK((ep = epoll_create1(0)) >= 0 && (edge = epoll_create1(0)) >= 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &(struct epoll_event){EPOLLIN}) == 0);
	CHECK(epoll_ctl(edge, EPOLL_CTL_ADD, s[0], &(struct epoll_event){EPOLLIN | EPOLLRDHUP | EPOLLET}) == 0);
}
static atomic_int wanted;
static void *sends_when_wanted(void *v) {
	for (int done = 0, n; (n = wanted) >= 0;) {
		if (n == done) {
			sched_yield();
			continue;
		}
		spin(rnd() % 3000);
		send5(s[1]);
		done = n;
	}
	return v;
}
static void tell(int kind) {
	pthread_t t;
	for (int way = 0; way < OTHERS; way++) {
		sockets(kind), rig();
		for_way(way, s[0]);
		wanted = 0;
		CHECK(pthread_create(&t, 0, sends_when_wanted, 0) == 0);
		for (int how = 0; how < WAYS_TO_KNOW; how++)
			for (int i = 0; i < (how < 5 ? 15 : 60); i++) {
				if (i % 5 == 0) DRY(way, s[0], 100);
				wanted++;
				errno = how;
				CHECK(told(how, s[0]));
				if (how != 4) CHECK(told(4, s[0])); // an edge for each
				GIVES(way, s[0], 100, 5);
				GIVES(way, s[0], 100, -EAGAIN);
			}
		wanted = -1;
		CHECK(pthread_join(t, 0) == 0);
		for (int how = 0; how < WAYS_TO_KNOW; how++) { // known before, not waited for
			DRY(way, s[0], 100);
			send5(s[1]);
			CHECK(told(how, s[0]));
			if (how != 4) CHECK(told(4, s[0]));
			GIVES(way, s[0], 100, 5);
		}
		DRY(way, s[0], 100);
		close(s[1]);
		for (int how = 0; how < 5; how++) CHECK(told(how, s[0]));
		IS_NOW(way, s[0], 100, 0);
		close(ep), close(edge), close(s[0]);
	}
}
CASE(who_is_told_gets_it) { each_stream(tell); }

// The number means something else.
static int other[2];
static void r_close(int fd) { CHECK(close(fd) == 0); }
static void r_range(int fd) { CHECK(syscall(SYS_close_range, fd, fd, 0) == 0); }
static void r_socket(int fd) { CHECK(dup2(other[0], fd) == fd); }
static void r_pipe(int fd) { int p[2]; CHECK(pipe2(p, O_NONBLOCK) == 0 && write(p[1], "abc", 3) == 3 && dup2(p[0], fd) == fd); close(p[0]), close(p[1]); }
static void r_file(int fd) { int o = open("three", O_RDWR | O_CREAT, 0600); CHECK(o >= 0 && pwrite(o, "abc", 3, 0) == 3 && dup2(o, fd) == fd && close(o) == 0); }
static void r_new(int fd) { int o = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); CHECK(o >= 0 && dup2(o, fd) == fd && close(o) == 0); }
static void r_accepted(int fd) { CHECK(dup2(other[0], fd) == fd && dup2(other[1], other[0]) == other[0]); }
static const struct {
	void (*f)(int);
	int recv, read;
} replacements[] = {{r_close, -EBADF, -EBADF}, {r_range, -EBADF, -EBADF}, {r_socket, 3, 3}, {r_pipe, -ENOTSOCK, 3}, {r_file, -ENOTSOCK, 3}, {r_new, -ENOTCONN, -ENOTCONN}, {r_accepted, 3, 3}};
static void replace(int kind) {
	for (int way = 0; way < OTHERS; way++)
		for (int who = 0; who < DOERS; who++)
			for (unsigned r = 0; r < sizeof replacements / sizeof *replacements; r++) {
				if (who == FORK) continue;
				sockets(!kind);
				other[0] = s[0], other[1] = s[1];
				CHECK(send(other[1], "abc", 3, 0) == 3);
				sockets(kind);
				for_way(way, s[0]);
				DRY(way, s[0], 100);
				by(who, replacements[r].f, s[0]);
				GIVES(way, s[0], 100, way == READ ? replacements[r].read : replacements[r].recv);
				shut(), close(other[0]), close(other[1]);
			}
}
CASE(a_descriptor_means_something_else) { each_stream(replace); }

static void arguments(int kind) {
	const long high = 1l << 32;
	sockets(kind), for_way(READ, s[0]);
	for (int i = 0; i < OFTEN; i++) {
		CHECK(syscall(SYS_read, s[0], buf, 0l) == 0);
		FAILS(syscall(SYS_recvfrom, high | s[0], buf, 9l, high | MSG_DONTWAIT, 0l, 0l), EAGAIN);
		FAILS(syscall(SYS_recvfrom, s[0], 8l, 9l, (long)MSG_DONTWAIT, 0l, 0l), EAGAIN); // nobody looks at the address
		FAILS(syscall(SYS_read, s[0], 8l, 9l), EAGAIN);
		FAILS(syscall(SYS_recvfrom, s[0], buf, 9l, (long)(MSG_DONTWAIT | MSG_WAITALL), 0l, 0l), EAGAIN);
		FAILS(syscall(SYS_recvfrom, s[0], buf, 9l, (long)(MSG_DONTWAIT | MSG_TRUNC), 0l, 0l), EAGAIN);
	}
	// But where no address of ours can be.
	char *const top = (char *)0x7ffffffff000 - 99, *const no[] = {(char *)INT64_MIN, (char *)-1l, (char *)-4096l, top};
	for (int i = 0; i < 4; i++) {
		DRY(RECV, s[0], 100);
		FAILS(syscall(SYS_recvfrom, s[0], no[i], 100l, (long)MSG_DONTWAIT, 0l, 0l), EFAULT);
		DRY(READ, s[0], 100);
		FAILS(syscall(SYS_read, s[0], no[i], 100l), EFAULT);
	}
	DRY(RECV, s[0], 9), DRY(READ, s[0], 9);
	send5(s[1]);
	FAILS(syscall(SYS_recvfrom, s[0], 8l, 9l, (long)MSG_DONTWAIT, 0l, 0l), EFAULT);
	FAILS(syscall(SYS_read, s[0], 8l, 9l), EFAULT);
	CHECK(syscall(SYS_recvfrom, s[0], buf, 0l, (long)MSG_DONTWAIT, 0l, 0l) == 0);
	CHECK(syscall(SYS_read, s[0], buf, 0l) == 0);
	GIVES(RECV, s[0], 9, 5);
	// Other lengths and flags are other questions.
	for (int i = 0; i < OFTEN; i++)
		for (int n = 1; n < 9; n++) GIVES(RECV, s[0], n, -EAGAIN), GIVES(READ, s[0], n, -EAGAIN), GIVES(RECV_PLAIN, s[0], n, -EAGAIN);
	send5(s[1]);
	for (int n = 0; n < 5; n++) GIVES(n % 3 ? n % 3 == 1 ? RECV : READ : RECV_PLAIN, s[0], 1, 1), ({ CHECK(*buf == "12345"[n]); });
	DRY(RECV, s[0], 1);
	// A low-water mark is for those who wait.
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVLOWAT, &(int){50}, 4) == 0);
	for (int i = 0; i < OFTEN; i++) {
		if (i % 3 == 0) DRY(RECV, s[0], 100);
		send5(s[1]);
		GIVES(RECV, s[0], 100, 5);
		GIVES(RECV, s[0], 100, -EAGAIN);
	}
	shut();
}
CASE(arguments_of_a_receive) { each_stream(arguments); }

// Sockets from which nothing can be received at all, or not yet.
static void unconnected(void) {
	struct sockaddr_in a;
	int u = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), t = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), l = inet(SOCK_STREAM, &a), d = inet(SOCK_DGRAM, &a);
	socklen_t n = sizeof a;
	CHECK(listen(l, 1) == 0);
	IS_NOW(RECV, u, 9, -EINVAL), IS_NOW(READ, u, 9, -EINVAL);
	IS_NOW(RECV, t, 9, -ENOTCONN), IS_NOW(READ, t, 9, -ENOTCONN), IS_NOW(RECV, l, 9, -ENOTCONN);
	DRY(RECV, d, 9);
	CHECK(getsockname(d, (void *)&a, &n) == 0 && sendto(d, "", 0, 0, (void *)&a, n) == 0);
	GIVES(RECV, d, 9, 0);
	DRY(RECV, d, 9);
	// It connects, is accepted, and gets something; a refusal is told.
	CHECK(getsockname(l, (void *)&a, &n) == 0);
	CHECK(connect(t, (void *)&a, n) == 0 || errno == EINPROGRESS);
	DRY(READ, t, 9), DRY(RECV, t, 9);
	int v = accept(l, 0, 0);
	DRY(RECV, v, 9);
	send5(v);
	GIVES(READ, t, 9, 5);
	DRY(READ, t, 9);
	CHECK(send(t, "x", 1, 0) == 1);
	GIVES(RECV, v, 9, 1);
	DRY(RECV, v, 9);
	close(l), close(t);
	IS_NOW(RECV, v, 9, 0);
	t = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(connect(t, (void *)&a, n) == -1);
	if (errno == EINPROGRESS) {
		while (ask_for(READ, t, 9) == -EAGAIN) {
		}
		CHECK(poll(&(struct pollfd){t, POLLIN, 0}, 1, 5000) == 1);
	}
	close(t), close(v), close(u), close(d);
}
CASE(nothing_to_receive_from) { unconnected(); }

// Other files that have nothing at times.
static void others(void) {
	int p[2], e = eventfd(0, EFD_NONBLOCK), t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), n;
	CHECK(pipe2(p, O_NONBLOCK) == 0);
	for (int i = 0; i < 3; i++) {
		DRY(READ, p[0], 8), DRY(READ, e, 8), DRY(READ, t, 8);
		CHECK(write(p[1], "12", 2) == 2 && write(e, &(uint64_t){3}, 8) == 8);
		CHECK(timerfd_settime(t, 0, &(struct itimerspec){{}, {0, 1}}, 0) == 0);
		GIVES(READ, p[0], 8, 2), GIVES(READ, e, 8, 8);
		CHECK(poll(&(struct pollfd){t, POLLIN, 0}, 1, 5000) == 1);
		GIVES(READ, t, 8, 8);
	}
	n = open("three", O_RDWR | O_CREAT | O_NONBLOCK, 0600);
	IS_NOW(READ, n, 8, 0);
	CHECK(pwrite(n, "abc", 3, 0) == 3);
	GIVES(READ, n, 8, 3);
	IS_NOW(READ, n, 8, 0);
	DRY(READ, p[0], 8);
	close(p[1]);
	IS_NOW(READ, p[0], 8, 0);
	close(p[0]), close(e), close(t), close(n);
}
CASE(other_files_without_anything) { others(); }

static const int receives[] = {SYS_recvfrom, SYS_read};
static void filter(int kind) {
	pid_t pid, grandchild;
	sockets(kind), for_way(READ, s[0]);
	CHILD(pid) {
		DRY(RECV, s[0], 9), DRY(READ, s[0], 9);
		forbid_(__LINE__, receives, 2, 0);
		IS_NOW(READ, s[0], 9, -EXDEV), IS_NOW(RECV, s[0], 9, -EXDEV);
		CHILD(grandchild) IS_NOW(RECV, s[0], 9, -EXDEV);
		CHECK(wait_code(grandchild) == 0);
	}
	CHECK(wait_code(pid) == 0);
	DRY(RECV, s[0], 9), DRY(READ, s[0], 9);
	shut();
}
CASE(a_filter_sees_each_receive) { each_stream(filter); }

static atomic_int asked;
static void *filter_all(void *v) {
	while (asked < *(int *)v) {
	}
	return forbid_(__LINE__, receives, 1, SECCOMP_FILTER_FLAG_TSYNC), v;
}
static void filter_of_another(int kind) {
	sockets(kind);
	for (int i = 0; i < 60; i++) {
		pid_t pid;
		CHILD(pid) {
			pthread_t t;
			int n = i % 30;
			CHECK(pthread_create(&t, 0, filter_all, &n) == 0);
			for (asked = 0; asked < 40; asked++) CHECK(ask_for(RECV, s[0], 9) < 0 && (errno == EAGAIN || errno == EXDEV));
			CHECK(pthread_join(t, 0) == 0);
			IS_NOW(RECV, s[0], 9, -EXDEV);
		}
		CHECK(wait_code(pid) == 0);
	}
	shut();
}
CASE(a_filter_of_another_thread) { each_stream(filter_of_another); }

static void interrupt(int kind) {
	sockets(kind), for_way(READ, s[0]);
	for (int way = 0; way < OTHERS; way++) {
		catch (SIGALRM, way & 1);
		DRY(way, s[0], 9);
		caught = 0;
		CHECK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 3000}, {0, 3000}}, 0) == 0);
		while (caught < 3) GIVES(way, s[0], 9, -EAGAIN);
		CHECK(setitimer(ITIMER_REAL, &(struct itimerval){}, 0) == 0);
	}
	shut();
}
CASE(signals_come_between_receives) { each_stream(interrupt); }

static void on_io(int sig) { caught += ask_for(RECV, s[0], 100) > 0; }
static void signal_driven(int kind) {
	sockets(kind);
	signal(SIGIO, on_io);
	CHECK(fcntl(s[0], F_SETOWN, getpid()) == 0 && fcntl(s[0], F_SETFL, O_RDWR | O_ASYNC | O_NONBLOCK) == 0);
	pid_t pid;
	caught = 0;
	pipes();
	CHILD(pid) for (int i = 0; i < 200; i++) send5(s[1]), hear(down);
	for (int i = 1; i <= 200; i++) {
		while (caught < i) ask_for(READ, other[0], 1); // nothing of use, often
		GIVES(RECV, s[0], 100, -EAGAIN);
		say(down);
	}
	CHECK(wait_code(pid) == 0);
	shut();
}
CASE(a_signal_tells_of_data) { other[0] = -1, each_stream(signal_driven); }

// Bytes that are numbered flow at random; who drains them misses none.
enum { CHUNKS = 1200 };
static void *produces(void *v) {
	unsigned char b[64], next = 0;
	rnd_state ^= *(int *)v * 0x12345677ull + 1;
	for (int i = 0; i < CHUNKS; i++) {
		int n = 1 + rnd() % 60;
		for (int k = 0; k < n; k++) b[k] = next++;
		CHECK(send(s[1], b, n, 0) == n);
		switch (rnd() % 16) {
		case 0: nanosleep(&(struct timespec){0, rnd() % 30000}, 0); break;
		case 1: case 2: case 3: case 4: case 5: case 6: case 7: spin(rnd() % 4000); break;
		case 8: sched_yield(); break;
		}
	}
	CHECK(shutdown(s[1], SHUT_WR) == 0);
	return v;
}
static void consume(int kind, int how, int way) {
	unsigned char next = 0;
	for (;;) {
		CHECK(told(how, s[0]));
		for (;;) {
			long r = ask_for(way, s[0], 100);
			if (r == -EAGAIN) break;
			CHECK(r >= 0);
			if (r == 0) return;
			for (int i = 0; i < r; i++, next++) CHECK((unsigned char)buf[i] == next);
		}
	}
}
static void flow(int kind) {
	static const int hows[] = {4, 4, 3, 1, 7, WAYS_TO_KNOW};
	for (int i = 0; i < 6; i++) {
		pthread_t t;
		pid_t pid = -1;
		sockets(kind), rig();
		int way = i % OTHERS, seed = i + kind;
		for_way(way, s[0]);
		if (i & 1) CHILD(pid) produces(&seed);
		else CHECK(pthread_create(&t, 0, produces, &seed) == 0);
		consume(kind, hows[i], way);
		CHECK(i & 1 ? wait_code(pid) == 0 : pthread_join(t, 0) == 0);
		shut(), close(ep), close(edge);
	}
}
CASE(a_flow_of_bytes) { each_stream(flow), flow(TCP_ITSELF); }

// To and fro: either side waits for the other.
enum { FRO = 400 };
static void *answers(void *v) {
	char b[8];
	for (int i = 0; i < FRO; i++) {
		long r;
		while ((r = recv(s[1], b, sizeof b, MSG_DONTWAIT)) < 0) CHECK(errno == EAGAIN);
		CHECK(r == 1 && send(s[1], b, 1, 0) == 1);
	}
	return v;
}
static void to_and_fro(int kind) {
	for (int told_at_times = 0; told_at_times < 2; told_at_times++) {
		pthread_t t;
		sockets(kind), rig();
		CHECK(pthread_create(&t, 0, answers, 0) == 0);
		for (int i = 0; i < FRO; i++) {
			long r;
			char c = i;
			CHECK(send(s[0], &c, 1, 0) == 1);
			while ((r = ask_for(RECV, s[0], 100)) == -EAGAIN)
				if (told_at_times && i % 3 == 0) CHECK(told(4, s[0]));
			CHECK(r == 1 && *buf == c);
		}
		CHECK(pthread_join(t, 0) == 0);
		shut(), close(ep), close(edge);
	}
}
CASE(to_and_fro) { each_stream(to_and_fro); }

// A number that means a socket with nothing, and one at its end, by turns, at any moment of a receive; and one that
// blocks by turns. turn is 0 meanwhile.
static atomic_int turn, turn_seen;
static int turning[3], blocks;
enum { TURNS = 500 };
static void to(int i) {
	if (blocks) CHECK(fcntl(turning[2], F_SETFL, i & 1 ? O_RDWR : O_RDWR | O_NONBLOCK) == 0);
	else CHECK(dup2(turning[i & 1], turning[2]) == turning[2]);
}
static void *turns(void *v) {
	for (int i = 1; i <= TURNS; i++) {
		turn = 0;
		// The first has the call made anew, the second comes in the midst of that.
		to(~i);
		spin(rnd() % 1000);
		to(i);
		turn = i;
		for (int n = 0; turn_seen < i; n++) {
			if (n > 3000) sched_yield();
			if (blocks && n % 64 == 0) send(s[1], "x", 1, MSG_DONTWAIT);
		}
		spin(rnd() % 2000);
	}
	blocks = 0;
	return v;
}
static void taking_turns(int kind) {
	for (int both = 0; both < 2; both++) {
		pthread_t t;
		sockets(kind);
		turning[0] = s[0], turning[1] = s[1];
		CHECK(shutdown(s[0], SHUT_WR) == 0); // s[1] is at its end, s[0] has nothing
		CHECK((turning[2] = dup(turning[0])) >= 0);
		blocks = both, turn = turn_seen = 0;
		int way = both ? READ : RECV;
		CHECK(fcntl(turning[2], F_SETFL, O_RDWR | O_NONBLOCK) == 0);
		CHECK(pthread_create(&t, 0, turns, 0) == 0);
		while (turn_seen < TURNS) {
			int i = turn;
			for (int n = 0; n < 4; n++) {
				long r = ask_for(way, turning[2], 100);
				if (i == 0 || turn != i) continue;
				CHECK(both ? !(i & 1 && r == -EAGAIN) : r == (i & 1 ? 0 : -EAGAIN));
			}
			if (i) turn_seen = i;
		}
		CHECK(pthread_join(t, 0) == 0);
		shut(), close(turning[2]);
	}
}
CASE(a_number_that_takes_turns) { each_stream(taking_turns); }
