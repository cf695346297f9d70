// POSIX message queues.
#include "case.h"
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <dirent.h>

static char buf[10000];

static mqd_t make(const char *name, int flags, long maxmsg, long size) {
	struct mq_attr a = {.mq_maxmsg = maxmsg, .mq_msgsize = size};
	mq_unlink(name);
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &a);
	CHECK(q >= 0);
	return q;
}
static int got(mqd_t q, const char *want, unsigned prio) {
	unsigned p = 99999;
	ssize_t n = mq_receive(q, buf, sizeof buf, &p);
	return n == (ssize_t)strlen(want) && !memcmp(buf, want, n) && p == prio;
}
static int put(mqd_t q, const char *s, unsigned prio) { return mq_send(q, s, strlen(s), prio); }
static long count(mqd_t q) {
	struct mq_attr a;
	CHECK(mq_getattr(q, &a) == 0);
	return a.mq_curmsgs;
}
static struct timespec in_ms(int ms) {
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ms * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}
static int raw_open(const char *name, int flags) { return syscall(SYS_mq_open, name, flags, 0600, 0); }

CASE(open) {
	mq_unlink("/q");
	FAILS(mq_open("/q", O_RDWR), ENOENT);
	mqd_t q = mq_open("/q", O_RDWR | O_CREAT | O_EXCL, 0644, 0);
	CHECK(q >= 0);
	FAILS(mq_open("/q", O_RDWR | O_CREAT | O_EXCL, 0644, 0), EEXIST);
	mqd_t r = mq_open("/q", O_RDONLY), w = mq_open("/q", O_WRONLY | O_CREAT, 0644, 0);
	CHECK(r >= 0 && w >= 0 && r != q);
	CHECK(fcntl(q, F_GETFD) == FD_CLOEXEC);
	struct mq_attr a;
	CHECK(mq_getattr(q, &a) == 0 && a.mq_maxmsg == 10 && a.mq_msgsize == 8192 && a.mq_curmsgs == 0 && a.mq_flags == 0);
	FAILS(mq_send(r, "x", 1, 0), EBADF);
	FAILS(mq_receive(w, buf, sizeof buf, 0), EBADF);
	FAILS(mq_send(1000, "x", 1, 0), EBADF);
	FAILS(mq_send(1, "x", 1, 0), EBADF);
	CHECK(mq_send(w, "x", 1, 0) == 0 && got(r, "x", 0));
	CHECK(mq_unlink("/q") == 0);
	FAILS(mq_unlink("/q"), ENOENT);
	FAILS(mq_open("/q", O_RDWR), ENOENT);
	CHECK(mq_send(w, "y", 1, 0) == 0 && got(q, "y", 0)); // open ones go on
	CHECK(mq_close(q) == 0 && mq_close(r) == 0 && mq_close(w) == 0);
}

CASE(names) {
	FAILS(raw_open("", O_RDWR | O_CREAT), ENOENT);
	FAILS(raw_open("a/b", O_RDWR | O_CREAT), EACCES);
	FAILS(raw_open("/a", O_RDWR | O_CREAT), EACCES);
	FAILS(raw_open(".", O_RDWR), EACCES);
	FAILS(raw_open("..", O_RDWR), EACCES);
	char name[300];
	memset(name, 'n', sizeof name);
	name[256] = 0;
	FAILS(raw_open(name, O_RDWR | O_CREAT), ENAMETOOLONG);
	name[255] = 0;
	int q = raw_open(name, O_RDWR | O_CREAT);
	CHECK(q >= 0 && syscall(SYS_mq_unlink, name) == 0);
	FAILS(syscall(SYS_mq_unlink, ""), ENOENT);
	FAILS(syscall(SYS_mq_unlink, "a/b"), EACCES);
	FAILS(raw_open((char *)8, O_RDWR), EFAULT);
	FAILS(raw_open("none", O_RDWR | O_WRONLY), ENOENT);
}

CASE(priorities) {
	mqd_t q = make("/q", 0, 10, 100);
	CHECK(put(q, "low", 1) == 0 && put(q, "high", 30) == 0 && put(q, "low2", 1) == 0 && put(q, "top", 32767) == 0 && put(q, "high2", 30) == 0);
	FAILS(put(q, "x", 32768), EINVAL);
	CHECK(count(q) == 5);
	CHECK(got(q, "top", 32767) && got(q, "high", 30) && got(q, "high2", 30) && got(q, "low", 1) && got(q, "low2", 1));
	CHECK(count(q) == 0);
	mq_unlink("/q");
}

CASE(sizes) {
	mqd_t q = make("/q", O_NONBLOCK, 2, 8);
	FAILS(mq_send(q, "123456789", 9, 0), EMSGSIZE);
	CHECK(mq_send(q, "12345678", 8, 0) == 0 && mq_send(q, "", 0, 3) == 0);
	FAILS(mq_send(q, "x", 1, 0), EAGAIN);
	FAILS(mq_receive(q, buf, 7, 0), EMSGSIZE);
	CHECK(mq_receive(q, buf, 8, 0) == 0 && mq_receive(q, buf, 8, 0) == 8);
	FAILS(mq_receive(q, buf, 8, 0), EAGAIN);
	FAILS(mq_send(q, (void *)8, 3, 0), EFAULT);
	mq_unlink("/q");
}

CASE(attributes) {
	mqd_t q = make("/q", 0, 3, 100);
	struct mq_attr set = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 77, .mq_msgsize = 7}, old;
	CHECK(mq_setattr(q, &set, &old) == 0 && old.mq_flags == 0 && old.mq_maxmsg == 3 && old.mq_msgsize == 100);
	CHECK(mq_getattr(q, &old) == 0 && old.mq_flags == O_NONBLOCK && old.mq_maxmsg == 3);
	FAILS(mq_receive(q, buf, 100, 0), EAGAIN);
	CHECK(fcntl(q, F_GETFL) & O_NONBLOCK);
	set.mq_flags = O_NONBLOCK | 1;
	FAILS(mq_setattr(q, &set, 0), EINVAL);
	FAILS(syscall(SYS_mq_getsetattr, 1, 0, &old), EBADF);
	mq_unlink("/q");
}

CASE(limits) {
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		struct mq_attr bad[] = {{.mq_maxmsg = 0, .mq_msgsize = 1}, {.mq_maxmsg = 1, .mq_msgsize = 0}, {.mq_maxmsg = -1, .mq_msgsize = 1},
		                        {.mq_maxmsg = 11, .mq_msgsize = 1}, {.mq_maxmsg = 1, .mq_msgsize = 8193}};
		for (int i = 0; i < 5; i++) FAILS(mq_open("/bad", O_RDWR | O_CREAT, 0600, bad + i), EINVAL);
		struct rlimit lim = {20000, 20000};
		CHECK(setrlimit(RLIMIT_MSGQUEUE, &lim) == 0);
		struct mq_attr big = {.mq_maxmsg = 10, .mq_msgsize = 2000}, fits = {.mq_maxmsg = 10, .mq_msgsize = 1904};
		FAILS(mq_open("/big", O_RDWR | O_CREAT, 0600, &big), EMFILE);
		mqd_t q = mq_open("/fits", O_RDWR | O_CREAT, 0600, &fits);
		CHECK(q >= 0);
		struct mq_attr tiny = {.mq_maxmsg = 1, .mq_msgsize = 1};
		FAILS(mq_open("/tiny", O_RDWR | O_CREAT, 0600, &tiny), EMFILE);
		CHECK(mq_unlink("/fits") == 0 && mq_close(q) == 0); // given back with the last use
		q = mq_open("/tiny", O_RDWR | O_CREAT, 0600, &tiny);
		CHECK(q >= 0 && mq_unlink("/tiny") == 0);
	}
	CHECK(wait_code(pid) == 0);
	struct mq_attr a = {.mq_maxmsg = 65537, .mq_msgsize = 1};
	FAILS(mq_open("/x", O_RDWR | O_CREAT, 0600, &a), EINVAL);
	a = (struct mq_attr){.mq_maxmsg = 1, .mq_msgsize = (16 << 20) + 1};
	FAILS(mq_open("/x", O_RDWR | O_CREAT, 0600, &a), EINVAL);
}

CASE(sysctls) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	const char *name[] = {"queues_max", "msg_max", "msgsize_max", "msg_default", "msgsize_default"}, *was[] = {"256\n", "10\n", "8192\n", "10\n", "8192\n"};
	const char *now[] = {"1", "5", "200", "4", "150"};
	for (int i = 0; i < 5; i++) {
		char path[100], text[100] = "";
		snprintf(path, sizeof path, "/proc/sys/fs/mqueue/%s", name[i]);
		int fd = open(path, O_RDWR);
		CHECK(fd >= 0 && read(fd, text, sizeof text) > 0 && !strcmp(text, was[i]));
		CHECK(pwrite(fd, now[i], strlen(now[i]), 0) == (ssize_t)strlen(now[i]));
		if (i) FAILS(pwrite(fd, "0", 1, 0), EINVAL);
	}
	mqd_t q = mq_open("/q", O_RDWR | O_CREAT, 0600, 0);
	struct mq_attr a;
	CHECK(mq_getattr(q, &a) == 0 && a.mq_maxmsg == 4 && a.mq_msgsize == 150);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		FAILS(mq_open("/second", O_RDWR | O_CREAT, 0600, 0), ENOSPC);
	}
	CHECK(wait_code(pid) == 0);
}

CASE(permissions) {
	mqd_t q = make("/q", 0, 3, 100);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		FAILS(mq_open("/q", O_RDONLY), EACCES);
		FAILS(mq_open("/q", O_WRONLY | O_CREAT, 0600, 0), EACCES);
		FAILS(syscall(SYS_mq_unlink, "q"), EPERM); // the directory is sticky
		CHECK(put(q, "x", 0) == 0);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(fchmod(q, 0604) == 0);
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		CHECK(mq_open("/q", O_RDONLY) >= 0);
		FAILS(mq_open("/q", O_RDWR), EACCES);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(fchown(q, 1000, 1000) == 0);
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		CHECK(mq_open("/q", O_RDWR) >= 0 && mq_unlink("/q") == 0);
	}
	CHECK(wait_code(pid) == 0);
	umask(077);
	q = make("/masked", 0, 1, 1);
	struct stat st;
	CHECK(fstat(q, &st) == 0 && st.st_mode == (S_IFREG | 0600) && st.st_size == 80);
	mq_unlink("/masked");
}

CASE(blocking) {
	mqd_t q = make("/q", 0, 1, 100);
	pid_t pid;
	CHILD(pid) {
		CHECK(got(q, "first", 2));
		msleep(30);
		CHECK(got(q, "second", 1) && got(q, "third", 1));
	}
	msleep(30);
	CHECK(put(q, "first", 2) == 0 && put(q, "second", 1) == 0);
	CHECK(put(q, "third", 1) == 0); // waits for room
	CHECK(wait_code(pid) == 0);
	mq_unlink("/q");
}

CASE(waiting_receivers_first) {
	mqd_t q = make("/q", 0, 4, 100);
	pid_t pid;
	CHILD(pid) CHECK(got(q, "x", 0));
	msleep(50);
	CHECK(put(q, "x", 0) == 0 && count(q) == 0); // handed over, never in the queue
	CHECK(wait_code(pid) == 0);
	mq_unlink("/q");
}

CASE(timeouts) {
	mqd_t q = make("/q", 0, 1, 100);
	struct timespec t = in_ms(50), past = {1, 0}, bad = {1, 1000000000}, neg = {-1, 0};
	FAILS(mq_timedreceive(q, buf, 100, 0, &t), ETIMEDOUT);
	FAILS(mq_timedreceive(q, buf, 100, 0, &past), ETIMEDOUT);
	FAILS(mq_timedreceive(q, buf, 100, 0, &bad), EINVAL);
	FAILS(mq_timedreceive(q, buf, 100, 0, &neg), EINVAL);
	CHECK(mq_timedsend(q, "x", 1, 0, &past) == 0); // there is room: the time does not matter
	t = in_ms(50);
	FAILS(mq_timedsend(q, "x", 1, 0, &t), ETIMEDOUT);
	CHECK(count(q) == 1 && mq_timedreceive(q, buf, 100, 0, &past) == 1);
	mq_unlink("/q");
}

static volatile int handled;
static void handler(int sig) { handled++; }

CASE(interrupted) {
	mqd_t q = make("/q", 0, 1, 100);
	struct sigaction sa = {.sa_handler = handler};
	sigaction(SIGUSR1, &sa, 0);
	pid_t me = getpid(), pid;
	CHILD(pid) msleep(30), kill(me, SIGUSR1);
	FAILS(mq_receive(q, buf, 100, 0), EINTR);
	CHECK(wait_code(pid) == 0);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, 0);
	CHILD(pid) {
		msleep(30), kill(me, SIGUSR1);
		msleep(30);
		CHECK(put(q, "late", 0) == 0);
	}
	CHECK(got(q, "late", 0) && handled == 2 && wait_code(pid) == 0);
	mq_unlink("/q");
}

CASE(polling) {
	mqd_t q = make("/q", 0, 1, 100);
	struct pollfd p = {q, POLLIN | POLLOUT, 0};
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLOUT);
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN}, out;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, q, &e) == 0 && epoll_wait(ep, &out, 1, 0) == 0);
	pid_t pid;
	CHILD(pid) CHECK((msleep(30), put(q, "x", 0)) == 0);
	CHECK(epoll_wait(ep, &out, 1, 5000) == 1 && out.events == EPOLLIN);
	CHECK(wait_code(pid) == 0);
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
	CHILD(pid) CHECK((msleep(30), got(q, "x", 0)));
	p.events = POLLOUT;
	CHECK(poll(&p, 1, 5000) == 1 && p.revents == POLLOUT && wait_code(pid) == 0);
	mq_unlink("/q");
}

static siginfo_t last_info;
static void info_handler(int sig, siginfo_t *i, void *c) { last_info = *i, handled++; }

CASE(notify_by_signal) {
	mqd_t q = make("/q", 0, 4, 100);
	struct sigaction sa = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 4711};
	CHECK(mq_notify(q, &ev) == 0);
	FAILS(mq_notify(q, &ev), EBUSY);
	pid_t pid;
	CHILD(pid) {
		FAILS(mq_notify(q, &ev), EBUSY);
		CHECK(mq_notify(q, 0) == 0); // not ours: nothing happens
		CHECK(put(q, "x", 0) == 0);
	}
	CHECK(wait_code(pid) == 0 && handled == 1);
	CHECK(last_info.si_code == SI_MESGQ && last_info.si_pid == pid && last_info.si_uid == 0 && last_info.si_value.sival_int == 4711);
	CHECK(put(q, "y", 0) == 0 && handled == 1); // once only
	CHECK(mq_notify(q, &ev) == 0);
	CHECK(put(q, "z", 0) == 0 && handled == 1); // the queue was not empty
	CHECK(got(q, "x", 0) && got(q, "y", 0) && got(q, "z", 0));
	CHECK(put(q, "w", 0) == 0 && handled == 2);
	CHECK(mq_notify(q, &ev) == 0 && mq_notify(q, 0) == 0 && got(q, "w", 0) && put(q, "v", 0) == 0 && handled == 2);
	ev.sigev_notify = 77;
	FAILS(mq_notify(q, &ev), EINVAL);
	ev.sigev_notify = SIGEV_SIGNAL, ev.sigev_signo = 65;
	FAILS(mq_notify(q, &ev), EINVAL);
	FAILS(mq_notify(1, 0), EBADF);
	mq_unlink("/q");
}

CASE(notify_goes_with_the_process) {
	mqd_t q = make("/q", 0, 4, 100);
	struct sigevent ev = {.sigev_notify = SIGEV_NONE};
	pid_t pid;
	CHILD(pid) CHECK(mq_notify(q, &ev) == 0);
	CHECK(wait_code(pid) == 0 && mq_notify(q, &ev) == 0);
	mqd_t r = mq_open("/q", O_RDONLY);
	CHECK(mq_close(r) == 0); // any descriptor of the queue
	CHECK(mq_notify(q, &ev) == 0);
	mq_unlink("/q");
}

CASE(notify_waits_behind_a_receiver) {
	mqd_t q = make("/q", 0, 4, 100);
	struct sigaction sa = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	CHECK(mq_notify(q, &ev) == 0);
	pid_t pid;
	CHILD(pid) CHECK(got(q, "x", 0));
	msleep(50);
	CHECK(put(q, "x", 0) == 0 && wait_code(pid) == 0 && handled == 0);
	CHECK(put(q, "y", 0) == 0 && handled == 1);
	mq_unlink("/q");
}

static volatile int thread_value;
static void on_thread(union sigval v) { thread_value = v.sival_int; }

CASE(notify_by_thread) {
	mqd_t q = make("/q", 0, 4, 100);
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread, .sigev_value.sival_int = 42};
	for (int i = 0; i < 3; i++) {
		ev.sigev_value.sival_int = 42 + i;
		CHECK(mq_notify(q, &ev) == 0);
		CHECK(put(q, "x", 0) == 0);
		for (int k = 0; k < 2000 && thread_value != 42 + i; k++) msleep(1);
		CHECK(thread_value == 42 + i && got(q, "x", 0));
	}
	CHECK(mq_notify(q, &ev) == 0 && mq_notify(q, 0) == 0);
	mq_unlink("/q");
}

CASE(file_system) {
	CHECK(unshare(CLONE_NEWIPC | CLONE_NEWNS) == 0);
	CHECK(mkdir("m", 0755) == 0 && mount("mqueue", "m", "mqueue", 0, 0) == 0);
	struct statfs fs;
	struct stat st;
	CHECK(statfs("m", &fs) == 0 && fs.f_type == 0x19800202);
	CHECK(stat("m", &st) == 0 && (st.st_mode & 07777) == 01777);
	mqd_t q = make("/queue", 0, 5, 100);
	CHECK(stat("m/queue", &st) == 0 && st.st_mode == (S_IFREG | 0600) && st.st_size == 80);
	CHECK(put(q, "12345", 0) == 0 && put(q, "678", 0) == 0);
	int fd = open("m/queue", O_RDWR);
	char line[200];
	CHECK(fd >= 0 && read(fd, line, sizeof line) > 0 && !strncmp(line, "QSIZE:8          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n", 60));
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	CHECK(mq_notify(q, &ev) == 0 && lseek(fd, 0, SEEK_SET) == 0 && read(fd, line, sizeof line) > 0);
	char want[200];
	snprintf(want, sizeof want, "QSIZE:8          NOTIFY:0     SIGNO:%-5d NOTIFY_PID:%-6d\n", SIGUSR1, getpid());
	CHECK(!strncmp(line, want, strlen(want)));
	FAILS(write(fd, "x", 1), EINVAL);
	CHECK(got(fd, "12345", 0)); // a descriptor as good as any
	DIR *d = opendir("m");
	struct dirent *e;
	int n = 0;
	while ((e = readdir(d))) n += !strcmp(e->d_name, "queue");
	CHECK(n == 1);
	close(fd);
	fd = open("m/by_open", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && mq_open("/by_open", O_RDWR) >= 0);
	CHECK(unlink("m/queue") == 0);
	FAILS(mq_open("/queue", O_RDWR), ENOENT);
	FAILS(mkdir("m/dir", 0700), EPERM);
	FAILS(symlink("a", "m/link"), EPERM);
	FAILS(rename("m/by_open", "m/other"), EPERM);
	FAILS(link("m/by_open", "m/other"), EPERM);
	closedir(d), close(fd), mq_close(q);
	CHECK(umount2("m", MNT_DETACH) == 0);
	CHECK(mq_open("/by_open", O_RDWR) >= 0); // still there
}

CASE(namespace) {
	mqd_t q = make("/q", 0, 5, 100);
	pid_t pid;
	CHILD(pid) {
		CHECK(unshare(CLONE_NEWIPC) == 0);
		FAILS(mq_open("/q", O_RDWR), ENOENT);
		CHECK(mq_open("/q", O_RDWR | O_CREAT, 0600, 0) >= 0);
		CHECK(put(q, "outer", 0) == 0); // an open one stays what it is
	}
	CHECK(wait_code(pid) == 0 && got(q, "outer", 0));
	mq_unlink("/q");
}

static mqd_t crowd;
static void *receiver(void *n) {
	for (int i = 0; i < 500; i++) {
		char b[100];
		CHECK(mq_receive(crowd, b, sizeof b, 0) == 1);
		__atomic_add_fetch((int *)n, 1, __ATOMIC_SEQ_CST);
	}
	return 0;
}

CASE(crowd) {
	crowd = make("/q", 0, 3, 100);
	int n = 0;
	pthread_t th[4];
	for (int i = 0; i < 4; i++) pthread_create(th + i, 0, receiver, &n);
	for (int i = 0; i < 2000; i++) CHECK(put(crowd, "x", i % 5) == 0);
	for (int i = 0; i < 4; i++) pthread_join(th[i], 0);
	CHECK(n == 2000 && count(crowd) == 0);
	mq_unlink("/q");
}

// A clone that fails has had the descriptors copied, and closes them again.
CASE(clone_that_fails) {
	mqd_t q = make("/q", 0, 3, 100);
	int one = 1;
	struct clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup; } a = {
		.exit_signal = SIGCHLD, .set_tid = (uint64_t)&one, .set_tid_size = 1};
	for (int i = 0; i < 20; i++) FAILS(syscall(SYS_clone3, &a, sizeof a), EEXIST);
	CHECK(put(q, "a", 1) == 0 && got(q, "a", 1));
	mq_unlink("/q");
}
