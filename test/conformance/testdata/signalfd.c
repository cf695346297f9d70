// Signals that are read.
#include "case.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
static struct signalfd_siginfo si[3];
static sigset_t set;
static int ready(int fd) {
	struct pollfd f = {fd, POLLIN, 0};
	return poll(&f, 1, 0);
}
static int block(int a, int b) {
	sigemptyset(&set);
	sigaddset(&set, a);
	sigaddset(&set, b);
	sigprocmask(SIG_BLOCK, &set, 0);
	return signalfd(-1, &set, SFD_NONBLOCK);
}
CASE(empty) {
	int f = block(SIGUSR1, SIGUSR2);
	FAILS(read(f, si, sizeof si), EAGAIN);
	CHECK(ready(f) == 0);
}
CASE(who_sent_it) {
	int f = block(SIGUSR1, SIGUSR2);
	kill(getpid(), SIGUSR1);
	CHECK(ready(f) == 1);
	CHECK(read(f, si, sizeof si) == 128);
	CHECK(si[0].ssi_signo == SIGUSR1 && si[0].ssi_code == SI_USER && (int)si[0].ssi_pid == getpid() &&
	      si[0].ssi_uid == getuid());
	CHECK(ready(f) == 0);
}
CASE(value) {
	int f = block(SIGRTMIN, SIGRTMIN + 1);
	sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 42});
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7});
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 8});
	CHECK(read(f, si, sizeof si) == 3 * 128);
	CHECK(si[0].ssi_int == 7 && si[1].ssi_int == 8 && si[2].ssi_int == 42 && si[2].ssi_code == SI_QUEUE);
}
CASE(child) {
	int f = block(SIGCHLD, SIGUSR1);
	fcntl(f, F_SETFL, 0);
	pid_t c;
	CHILD(c) {
		_exit(5);
	}
	CHECK(read(f, si, sizeof si) == 128);
	CHECK(si[0].ssi_signo == SIGCHLD && (int)si[0].ssi_pid == c && si[0].ssi_status == 5 &&
	      si[0].ssi_code == CLD_EXITED);
}
CASE(waits) {
	int f = block(SIGALRM, SIGUSR1);
	fcntl(f, F_SETFL, 0);
	ualarm(30000, 0);
	CHECK(read(f, si, sizeof si) == 128 && si[0].ssi_signo == SIGALRM);
}
CASE(in_an_epoll_set) {
	int f = block(SIGALRM, SIGUSR1), e = epoll_create1(0);
	struct epoll_event ev = {EPOLLIN, {.u32 = 3}};
	CHECK(epoll_ctl(e, EPOLL_CTL_ADD, f, &ev) == 0);
	CHECK(epoll_wait(e, &ev, 1, 0) == 0);
	ualarm(30000, 0);
	CHECK(epoll_wait(e, &ev, 1, 5000) == 1 && ev.data.u32 == 3);
	CHECK(read(f, si, sizeof si) == 128);
	CHECK(epoll_wait(e, &ev, 1, 0) == 0);
}
CASE(other_mask) {
	int f = block(SIGUSR1, SIGUSR2);
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	CHECK(signalfd(f, &one, 0) == f);
	raise(SIGUSR2);
	CHECK(ready(f) == 0);
	raise(SIGUSR1);
	CHECK(ready(f) == 1);
}
CASE(errors) {
	int f = block(SIGUSR1, SIGUSR2);
	FAILS(read(f, si, 100), EINVAL);
	FAILS(signalfd(-1, &set, 1), EINVAL);
	FAILS(signalfd(0, &set, 0), EINVAL);
	FAILS(signalfd(999, &set, 0), EBADF);
}
