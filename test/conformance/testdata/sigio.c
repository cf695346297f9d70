// Signal-driven I/O: O_ASYNC, F_SETOWN, F_SETSIG (fcntl(2), signal(7)).
#include "case.h"
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

static volatile int count;
static siginfo_t last;
static void handler(int sig, siginfo_t *i, void *c) { last = *i, count++; }
static void catch(int sig) {
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	CHECK(sigaction(sig, &sa, 0) == 0);
}
static void async(int fd) {
	CHECK(fcntl(fd, F_SETOWN, getpid()) == 0);
	CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) == 0);
}
// came waits for at least one signal more than before.
static int came(int before) {
	for (int i = 0; i < 1000 && count == before; i++) msleep(2);
	return count > before;
}

CASE(socket_pair) {
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	catch(SIGIO);
	async(s[0]);
	CHECK(write(s[1], "x", 1) == 1 && came(0));
	CHECK(last.si_signo == SIGIO);
	CHECK(fcntl(s[0], F_SETFL, fcntl(s[0], F_GETFL) & ~O_ASYNC) == 0);
	msleep(20);
	int n = count;
	CHECK(write(s[1], "x", 1) == 1);
	msleep(50);
	CHECK(count == n);
}
CASE(pipe_with_details) {
	int p[2];
	CHECK(pipe(p) == 0);
	int sig = SIGRTMIN + 3;
	catch(sig);
	CHECK(fcntl(p[0], F_SETSIG, sig) == 0 && fcntl(p[0], F_GETSIG) == sig);
	async(p[0]);
	CHECK(write(p[1], "x", 1) == 1 && came(0));
	CHECK(last.si_signo == sig && last.si_code == POLL_IN && last.si_band == (POLLIN | POLLRDNORM) && last.si_fd == p[0]);
}
CASE(pipe_has_room) {
	int p[2];
	CHECK(pipe(p) == 0);
	int sig = SIGRTMIN + 3;
	catch(sig);
	CHECK(fcntl(p[1], F_SETSIG, sig) == 0 && fcntl(p[1], F_SETFL, O_NONBLOCK) == 0);
	static char big[65536];
	CHECK(write(p[1], big, sizeof big) == sizeof big);
	async(p[1]);
	CHECK(read(p[0], big, sizeof big) == sizeof big && came(0));
	CHECK(last.si_code == POLL_OUT && last.si_fd == p[1]);
}
CASE(udp) {
	struct sockaddr_in { unsigned short f, p; unsigned a; char z[8]; } a = {AF_INET, 0, 0x0100007f}, b;
	int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t n = sizeof b;
	CHECK(bind(s, (void *)&a, sizeof a) == 0 && getsockname(s, (void *)&b, &n) == 0);
	catch(SIGIO);
	async(s);
	CHECK(sendto(c, "x", 1, 0, (void *)&b, sizeof b) == 1 && came(0));
}
CASE(terminal) {
	int m = open("/dev/ptmx", O_RDWR | O_NOCTTY), z = 0, n;
	CHECK(ioctl(m, TIOCSPTLCK, &z) == 0 && ioctl(m, TIOCGPTN, &n) == 0);
	char name[32];
	sprintf(name, "/dev/pts/%d", n);
	int s = open(name, O_RDWR | O_NOCTTY);
	catch(SIGIO);
	async(s);
	CHECK(write(m, "x\n", 2) == 2 && came(0));
}
CASE(inotify) {
	int n = inotify_init();
	CHECK(inotify_add_watch(n, ".", IN_CREATE) == 1);
	catch(SIGIO);
	async(n);
	CHECK(close(open("f", O_CREAT | O_WRONLY, 0600)) == 0 && came(0));
}
CASE(by_ioctl) {
	int p[2], on = 1;
	CHECK(pipe(p) == 0);
	catch(SIGIO);
	CHECK(fcntl(p[0], F_SETOWN, getpid()) == 0 && ioctl(p[0], FIOASYNC, &on) == 0 && fcntl(p[0], F_GETFL) & O_ASYNC);
	CHECK(write(p[1], "x", 1) == 1 && came(0));
}
CASE(without_owner) {
	int p[2];
	CHECK(pipe(p) == 0 && fcntl(p[0], F_GETOWN) == 0);
	catch(SIGIO);
	CHECK(fcntl(p[0], F_SETFL, O_ASYNC) == 0 && write(p[1], "x", 1) == 1);
	msleep(50);
	CHECK(count == 0);
}
CASE(group) {
	int p[2];
	CHECK(pipe(p) == 0 && setpgid(0, 0) == 0);
	catch(SIGIO);
	pid_t pid;
	CHILD(pid) CHECK(came(0));
	msleep(30);
	CHECK(fcntl(p[0], F_SETOWN, -getpgrp()) == 0 && fcntl(p[0], F_GETOWN) == -getpgrp() && fcntl(p[0], F_SETFL, O_ASYNC) == 0);
	CHECK(write(p[1], "x", 1) == 1 && came(0) && wait_code(pid) == 0);
}
CASE(rights) {
	// One without rights cannot signal another by way of a descriptor.
	int p[2];
	CHECK(pipe(p) == 0);
	catch(SIGUSR1);
	pid_t me = getpid(), pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		CHECK(fcntl(p[0], F_SETOWN, me) == 0 && fcntl(p[0], F_SETSIG, SIGUSR1) == 0 && fcntl(p[0], F_SETFL, O_ASYNC) == 0);
		CHECK(write(p[1], "x", 1) == 1);
		msleep(30);
		CHECK(fcntl(p[0], F_SETOWN, -getpgrp()) == 0 && write(p[1], "x", 1) == 1);
		msleep(30);
	}
	CHECK(wait_code(pid) == 0 && count == 0);
}
