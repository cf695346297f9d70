// Advisory locks: flock(2), fcntl(2) record locks of processes and of open file descriptions.
#include "case.h"
#include <sys/file.h>
#include <sys/ioctl.h>

static int make(void) { return open("f", O_CREAT | O_RDWR, 0644); }
static int lock(int fd, int cmd, int type, off_t start, off_t len) {
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	return fcntl(fd, cmd, &l);
}
static int child_lock(int type, off_t start, off_t len) {
	pid_t pid;
	CHILD(pid) _exit(lock(open("f", O_RDWR), F_SETLK, type, start, len) ? errno : 0);
	return wait_code(pid);
}

CASE(flock_excludes) {
	int a = make(), b = open("f", O_RDONLY);
	CHECK(flock(a, LOCK_EX) == 0);
	FAILS(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK(flock(a, LOCK_UN) == 0 && flock(b, LOCK_SH | LOCK_NB) == 0 && flock(a, LOCK_SH | LOCK_NB) == 0);
	FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	FAILS(flock(a, 77), EINVAL);
	FAILS(flock(999, LOCK_SH), EBADF);
}
CASE(flock_belongs_to_description) {
	int a = make(), d = dup(a), b = open("f", O_RDWR);
	CHECK(flock(a, LOCK_EX) == 0 && flock(d, LOCK_EX | LOCK_NB) == 0 && close(a) == 0);
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK(close(d) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0);
}
CASE(flock_inherited) {
	int a = make(), b = open("f", O_RDWR);
	CHECK(flock(a, LOCK_EX) == 0);
	pid_t pid;
	CHILD(pid) CHECK(flock(a, LOCK_UN) == 0);
	CHECK(wait_code(pid) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0);
}
CASE(flock_waits) {
	int a = make();
	CHECK(flock(a, LOCK_EX) == 0);
	pid_t pid;
	CHILD(pid) {
		close(a);
		int b = open("f", O_RDWR);
		CHECK(flock(b, LOCK_EX) == 0);
	}
	msleep(30);
	CHECK(waitpid(pid, 0, WNOHANG) == 0 && flock(a, LOCK_UN) == 0 && wait_code(pid) == 0);
}
CASE(record_excludes) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 10, 10) == 0);
	CHECK(child_lock(F_RDLCK, 0, 10) == 0 && child_lock(F_RDLCK, 19, 1) == EAGAIN && child_lock(F_WRLCK, 20, 5) == 0 && child_lock(F_WRLCK, 0, 0) == EAGAIN);
	CHECK(lock(fd, F_SETLK, F_RDLCK, 10, 10) == 0 && child_lock(F_RDLCK, 0, 0) == 0 && child_lock(F_WRLCK, 15, 1) == EAGAIN);
}
CASE(record_split) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 100) == 0 && lock(fd, F_SETLK, F_UNLCK, 40, 20) == 0);
	CHECK(child_lock(F_WRLCK, 40, 20) == 0 && child_lock(F_WRLCK, 39, 1) == EAGAIN && child_lock(F_WRLCK, 60, 1) == EAGAIN);
}
CASE(record_query) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 10, 20) == 0);
	pid_t me = getpid(), pid;
	CHILD(pid) {
		struct flock l = {.l_type = F_RDLCK, .l_start = 0, .l_len = 0};
		CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_start == 10 && l.l_len == 20 && l.l_pid == me && l.l_whence == SEEK_SET);
		l = (struct flock){.l_type = F_RDLCK, .l_start = 0, .l_len = 5};
		CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_UNLCK);
	}
	CHECK(wait_code(pid) == 0);
	struct flock l = {.l_type = F_WRLCK};
	CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_UNLCK);
}
CASE(record_lost_by_any_close) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0 && child_lock(F_RDLCK, 0, 1) == EAGAIN);
	close(open("f", O_RDONLY));
	CHECK(child_lock(F_RDLCK, 0, 1) == 0);
}
CASE(record_not_inherited) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
	pid_t pid;
	CHILD(pid) {
		FAILS(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
		close(fd);
	}
	CHECK(wait_code(pid) == 0 && child_lock(F_RDLCK, 0, 1) == EAGAIN);
}
CASE(record_waits) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
	pid_t pid;
	CHILD(pid) CHECK(lock(open("f", O_RDWR), F_SETLKW, F_WRLCK, 5, 5) == 0);
	msleep(30);
	CHECK(waitpid(pid, 0, WNOHANG) == 0 && lock(fd, F_SETLK, F_UNLCK, 0, 0) == 0 && wait_code(pid) == 0);
}
static void nothing(int s) { (void)s; }
CASE(record_wait_interrupted) {
	int fd = make();
	CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
	pid_t pid;
	CHILD(pid) {
		struct sigaction a = {.sa_handler = nothing};
		sigaction(SIGALRM, &a, 0);
		alarm(1);
		FAILS(lock(open("f", O_RDWR), F_SETLKW, F_WRLCK, 0, 0), EINTR);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(record_deadlock) {
	int fd = make(), p[2];
	char c;
	CHECK(pipe(p) == 0 && lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0 && write(p[1], "x", 1) == 1);
		CHECK(lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0);
	}
	CHECK(read(p[0], &c, 1) == 1);
	msleep(50);
	FAILS(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	CHECK(lock(fd, F_SETLK, F_UNLCK, 0, 1) == 0 && wait_code(pid) == 0);
}
CASE(record_arguments) {
	int fd = make();
	FAILS(lock(fd, F_SETLK, F_WRLCK, -1, 1), EINVAL);
	FAILS(lock(fd, F_SETLK, 9, 0, 1), EINVAL);
	FAILS(lock(fd, F_GETLK, F_UNLCK, 0, 1), EINVAL);
	FAILS(lock(open("f", O_RDONLY), F_SETLK, F_WRLCK, 0, 1), EBADF);
	FAILS(lock(open("f", O_WRONLY), F_SETLK, F_RDLCK, 0, 1), EBADF);
	FAILS(fcntl(fd, F_SETLK, 1), EFAULT);
	CHECK(lock(fd, F_SETLK, F_WRLCK, 10, -5) == 0 && child_lock(F_RDLCK, 5, 1) == EAGAIN && child_lock(F_RDLCK, 10, 1) == 0);
}
CASE(record_from_end) {
	int fd = make();
	CHECK(ftruncate(fd, 100) == 0);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = 0};
	CHECK(fcntl(fd, F_SETLK, &l) == 0 && child_lock(F_RDLCK, 89, 1) == 0 && child_lock(F_RDLCK, 5000, 1) == EAGAIN);
}
CASE(description_locks) {
	int a = make(), b = open("f", O_RDWR);
	CHECK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10) == 0);
	FAILS(lock(b, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN);
	FAILS(lock(b, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
	struct flock l = {.l_type = F_RDLCK};
	CHECK(fcntl(b, F_OFD_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_pid == -1);
	l = (struct flock){.l_type = F_RDLCK, .l_pid = 1};
	FAILS(fcntl(b, F_OFD_SETLK, &l), EINVAL);
	CHECK(close(a) == 0 && lock(b, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
}
CASE(description_lock_survives_other_close) {
	int a = make(), b;
	CHECK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
	close(open("f", O_RDWR));
	b = open("f", O_RDWR);
	FAILS(lock(b, F_OFD_SETLK, F_RDLCK, 0, 1), EAGAIN);
}
CASE(kinds_do_not_mix) {
	int a = make(), b = open("f", O_RDWR);
	CHECK(flock(a, LOCK_EX) == 0 && lock(b, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
}
CASE(ioctl_flags) {
	int fd = make(), on = 1, p[2];
	CHECK(pipe(p) == 0 && ioctl(p[0], FIONBIO, &on) == 0 && (fcntl(p[0], F_GETFL) & O_NONBLOCK) && ioctl(fd, FIOCLEX) == 0 && fcntl(fd, F_GETFD) == 1 && ioctl(fd, FIONCLEX) == 0 && fcntl(fd, F_GETFD) == 0);
	CHECK(write(fd, "abc", 3) == 3 && lseek(fd, 1, SEEK_SET) == 1 && ioctl(fd, FIONREAD, &on) == 0 && on == 2);
	FAILS(ioctl(fd, TCGETS, &on), ENOTTY);
	FAILS(ioctl(999, FIONBIO, &on), EBADF);
}
CASE(owner) {
	int p[2];
	CHECK(pipe(p) == 0 && fcntl(p[0], F_GETOWN) == 0 && fcntl(p[0], F_SETOWN, getpid()) == 0 && fcntl(p[0], F_GETOWN) == getpid());
	CHECK(fcntl(p[0], F_SETSIG, SIGUSR1) == 0 && fcntl(p[0], F_GETSIG) == SIGUSR1);
	FAILS(fcntl(p[0], F_SETSIG, 65), EINVAL);
	FAILS(fcntl(p[0], F_SETOWN, 999999), ESRCH);
	FAILS(fcntl(p[0], 9999), EINVAL);
}
