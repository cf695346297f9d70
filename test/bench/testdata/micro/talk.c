// One byte, or one word, to and fro between two processes or threads.
#include "micro.h"
#include <arpa/inet.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// echo answers every byte from in on out until in ends.
static void echo(int in, int out) {
	char c;
	while (read(in, &c, 1) == 1)
		if (write(out, &c, 1) != 1) _exit(1);
	_exit(0);
}

// pingpong times n bytes sent on out and answered on in by the child p, and
// ends the child.
static double pingpong(long n, int in, int out, pid_t p) {
	char c = 1;
	int status;
	double t = LOOP(n, CHECK(write(out, &c, 1) == 1 && read(in, &c, 1) == 1));
	close(out);
	if (in != out) close(in);
	CHECK(waitpid(p, &status, 0) == p && status == 0);
	return t;
}

static double op_pipe(long n) {
	int there[2], back[2];
	CHECK(!pipe(there) && !pipe(back));
	pid_t p = fork();
	if (!p) {
		close(there[1]);
		close(back[0]);
		echo(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	return pingpong(n, back[0], there[1], p);
}

// sockets answers on b in a child and asks on a.
static double sockets(long n, int a, int b) {
	pid_t p = fork();
	if (!p) {
		close(a);
		echo(b, b);
	}
	close(b);
	return pingpong(n, a, a, p);
}

static double op_unix(long n) {
	int s[2];
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	return sockets(n, s[0], s[1]);
}

static double op_tcp(long n) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(l, (void *)&a, len) && !listen(l, 1) && !getsockname(l, (void *)&a, &len));
	CHECK(!connect(c, (void *)&a, len));
	int s = accept(l, 0, 0);
	CHECK(s >= 0);
	close(l);
	CHECK(!setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) && !setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	return sockets(n, c, s);
}

// Two words: each side sleeps on its own and wakes the other's.
static int words[2];
static long rounds;

static void pass(int *w) {
	__atomic_store_n(w, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, w, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

static void take(int *w) {
	while (!__atomic_exchange_n(w, 0, __ATOMIC_SEQ_CST)) syscall(SYS_futex, w, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
}

static void *answer(void *unused) {
	for (long i = 0; i < rounds; i++) {
		take(&words[0]);
		pass(&words[1]);
	}
	return 0;
}

static double op_futex(long n) {
	pthread_t t;
	rounds = n;
	words[0] = words[1] = 0;
	CHECK(!pthread_create(&t, 0, answer, 0));
	double d = LOOP(n, {
		pass(&words[0]);
		take(&words[1]);
	});
	CHECK(!pthread_join(t, 0));
	return d;
}

const struct op talk[] = {{"pipe", op_pipe}, {"futex", op_futex}, {"unix", op_unix}, {"tcp", op_tcp}, {0}};
