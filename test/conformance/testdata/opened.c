// What fstat says of a file that was just opened, by programs that ask for it behind each open.
#include "echoes.h"
#include <sys/xattr.h>

static long ask_stat(int way, int fd, struct stat *st) {
	memset(st, 0xee, sizeof *st);
	long r = way ? syscall(SYS_fstat, fd, st) : syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
	return r < 0 ? -errno : r;
}
static int reopen(const char *p, int flags) {
	int fd = syscall(SYS_openat, AT_FDCWD, p, flags, 0644);
	CHECK(fd >= 0);
	return fd;
}
// ready opens, and reads to the end if reads.
static int reads;
static int ready(const char *p) {
	static char b[1 << 17];
	int fd = reopen(p, O_RDONLY);
	while (reads && syscall(SYS_read, fd, b, sizeof b) > 0) {
	}
	return fd;
}
// habit does so and asks often.
static void habit(int way, const char *p) {
	struct stat a, b;
	for (int i = 0; i < OFTEN; i++) {
		int fd = ready(p);
		CHECK(ask_stat(way, fd, &a) == 0 && stat(p, &b) == 0 && !memcmp(&a, &b, sizeof a) && close(fd) == 0);
	}
}

// Another process or thread changes the file while the caller makes no call.
static _Atomic int *turn;
static int change, opened;
static void *changer(void *path) {
	const char *p = path;
	struct timespec t[2] = {{1000, 1}, {2000, 2}};
	while (*turn != 1) sched_yield();
	int fd;
	switch (change) {
	case 0: CHECK(chmod(p, 0640) == 0); break;
	case 1: CHECK((fd = open(p, O_WRONLY | O_APPEND)) >= 0 && write(fd, "more", 4) == 4 && close(fd) == 0); break;
	case 2: CHECK(truncate(p, 3) == 0); break;
	case 3: CHECK(utimensat(AT_FDCWD, p, t, 0) == 0); break;
	case 4: CHECK(link(p, in("second")) == 0); break;
	case 5: CHECK(unlink(in("second")) == 0); break;
	case 6: CHECK(chown(p, 5, 6) == 0); break;
	case 7: CHECK((fd = open(p, O_WRONLY | O_TRUNC)) >= 0 && close(fd) == 0); break;
	case 8: CHECK((fd = open(p, O_WRONLY)) >= 0 && posix_fallocate(fd, 0, 100000) == 0 && close(fd) == 0); break;
	case 9: CHECK(rename(p, in("moved")) == 0 && rename(in("moved"), p) == 0); break;
	case 10: CHECK((fd = open(p, O_RDONLY)) >= 0 && fchmod(fd, 0604) == 0 && close(fd) == 0); break;
	case 11: {
		int to = open(p, O_WRONLY);
		CHECK((fd = open(in("source"), O_RDONLY)) >= 0 && to >= 0);
		CHECK(copy_file_range(fd, 0, to, 0, 50, 0) == 50 && close(fd) == 0 && close(to) == 0);
		break;
	}
	}
	*turn = 2;
	return 0;
}
enum { CHANGES = 12 };

static void changed(void) {
	char *p = strdup(in("file"));
	struct stat a, b;
	make(p), make(in("source"));
	CHECK(truncate(in("source"), 5000) == 0);
	CHECK((turn = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	for (int way = 0; way < 2; way++)
		for (int thread = 0; thread < 2; thread++)
			for (change = 0; change < CHANGES; change++) {
				pid_t pid = 0;
				pthread_t t;
				*turn = 0;
				if (thread) {
					CHECK(pthread_create(&t, 0, changer, p) == 0);
				} else {
					CHILD(pid) changer(p);
				}
				habit(way, p);
				int fd = ready(p);
				for (*turn = 1; *turn != 2;) {
				}
				CHECK(ask_stat(way, fd, &a) == 0 && stat(p, &b) == 0);
				errno = change;
				CHECK(!memcmp(&a, &b, sizeof a));
				CHECK(thread ? pthread_join(t, 0) == 0 : wait_code(pid) == 0);
				close(fd);
			}
}
CASE(what_others_change_is_seen) { both(changed); }
CASE(what_they_change_is_seen_behind_a_read) { reads = 1, both(changed); }

// A thread that shares the descriptors takes the file away from its number.
static void *taker(void *path) {
	while (*turn != 1) sched_yield();
	if (change == 0) CHECK(close(opened) == 0);
	if (change == 1) CHECK(dup2(0, opened) == opened);
	if (change == 2) {
		int fd = open(path, O_RDONLY);
		CHECK(fd >= 0 && dup2(fd, opened) == opened && close(fd) == 0);
	}
	if (change == 3) CHECK(syscall(SYS_close_range, opened, opened, 0) == 0);
	*turn = 2;
	return 0;
}
static void taken(void) {
	struct stat a, b;
	char *p = strdup(in("file")), *other = strdup(in("other"));
	make(p), make(other);
	CHECK(truncate(other, 77) == 0);
	CHECK((turn = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	for (int way = 0; way < 2; way++)
		for (change = 0; change < 4; change++) {
			pthread_t t;
			*turn = 0;
			CHECK(pthread_create(&t, 0, taker, other) == 0);
			habit(way, p);
			opened = ready(p);
			for (*turn = 1; *turn != 2;) {
			}
			long r = ask_stat(way, opened, &a);
			CHECK(pthread_join(t, 0) == 0);
			if (change == 0 || change == 3) CHECK(r == -EBADF);
			if (change == 1) CHECK(r == 0 && fstat(0, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
			if (change == 2) CHECK(r == 0 && a.st_size == 77);
			close(opened);
		}
}
CASE(a_number_taken_away) { both(taken); }
CASE(a_number_taken_away_behind_a_read) { reads = 1, both(taken); }

// What the caller itself does in between is seen, whatever it is.
static void between(void) {
	char *p = strdup(in("file")), b[8];
	struct stat a, now;
	make(p);
	for (int i = 0; i < 14; i++) {
		habit(i & 1, p);
		int fd = reopen(p, O_RDWR);
		switch (i) {
		case 0: CHECK(write(fd, "12345", 5) == 5); break;
		case 1: CHECK(ftruncate(fd, 1000) == 0); break;
		case 2: CHECK(fchmod(fd, 0600) == 0); break;
		case 3: CHECK(read(fd, b, 8) == 8); break;
		case 4: CHECK(getpid() > 0 && getuid() == 0); break;
		case 5: CHECK(lseek(fd, 3, SEEK_SET) == 3); break;
		case 6: CHECK(close(fd) == 0); break;
		case 7: CHECK(dup2(1, fd) == fd); break;
		case 8: CHECK(pwrite(fd, "x", 1, 4999) == 1); break;
		case 9: CHECK(fsync(fd) == 0); break;
		case 10: {
			char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			CHECK(m != MAP_FAILED);
			CHECK(munmap(m, 4096) == 0);
			break;
		}
		case 11: CHECK(unlink(p) == 0); break;
		case 12: CHECK(fchown(fd, 1, 2) == 0); break;
		case 13: CHECK(futimens(fd, (struct timespec[]){{5, 5}, {6, 6}}) == 0); break;
		}
		long r = ask_stat(i & 1, fd, &a);
		errno = i;
		if (i == 6) {
			CHECK(r == -EBADF);
			continue;
		}
		CHECK(r == 0);
		if (i == 7) CHECK(fstat(1, &now) == 0);
		else if (i == 11) CHECK(fstat(fd, &now) == 0 && now.st_nlink == 0);
		else CHECK(stat(p, &now) == 0);
		CHECK(!memcmp(&a, &now, sizeof a));
		CHECK(close(fd) == 0);
		if (i == 11) make(p);
	}
}
CASE(what_the_caller_does_is_seen) { both(between); }

// Bad memory, other flags and paths, and other kinds of files.
static void odd(void) {
	char *p = strdup(in("file")), *dir = strdup(in("dir"));
	struct stat a;
	make(p);
	CHECK(mkdir(dir, 0755) == 0 && symlink("file", in("link")) == 0 && mkfifo(in("fifo"), 0600) == 0);
	char *edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(edge != MAP_FAILED && mprotect(edge + 4096, 4096, PROT_NONE) == 0);
	for (int i = 0; i < 3; i++) {
		habit(0, p), habit(1, p);
		int fd = reopen(p, O_RDONLY);
		for (int way = 0; way < 2; way++) {
			CHECK(ask_stat(way, fd, &a) == 0);
			errno = 0;
			CHECK((way ? syscall(SYS_fstat, fd, 0) : syscall(SYS_newfstatat, fd, "", 0, AT_EMPTY_PATH)) == -1 && errno == EFAULT);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK((way ? syscall(SYS_fstat, fd, edge + 4000) : syscall(SYS_newfstatat, fd, "", edge + 4000, AT_EMPTY_PATH)) == -1 && errno == EFAULT);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK((way ? syscall(SYS_fstat, fd, edge + 4096 - 144) : syscall(SYS_newfstatat, fd, "", edge + 4096 - 144, AT_EMPTY_PATH)) == 0);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK(syscall(SYS_newfstatat, fd, edge + 4096, &a, AT_EMPTY_PATH) == -1 && errno == EFAULT);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK(syscall(SYS_newfstatat, fd, "file", &a, AT_EMPTY_PATH) == -1 && errno == ENOTDIR);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK(syscall(SYS_newfstatat, fd, "", &a, 0) == -1 && errno == ENOENT);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK(syscall(SYS_newfstatat, fd + 1, "", &a, AT_EMPTY_PATH) == -1 && errno == EBADF);
		}
		close(fd);
		CHECK(ask_stat(0, fd, &a) == -EBADF && ask_stat(1, fd, &a) == -EBADF);
		habit(0, p);
		CHECK((fd = reopen(dir, O_RDONLY | O_DIRECTORY)) >= 0 && ask_stat(0, fd, &a) == 0 && S_ISDIR(a.st_mode) && close(fd) == 0);
		CHECK((fd = reopen(in("link"), O_PATH | O_NOFOLLOW)) >= 0 && ask_stat(0, fd, &a) == 0 && S_ISLNK(a.st_mode) && close(fd) == 0);
		CHECK((fd = reopen(in("fifo"), O_RDONLY | O_NONBLOCK)) >= 0 && ask_stat(0, fd, &a) == 0 && S_ISFIFO(a.st_mode) && close(fd) == 0);
		CHECK((fd = reopen("/dev/null", O_RDONLY)) >= 0 && ask_stat(0, fd, &a) == 0 && S_ISCHR(a.st_mode) && close(fd) == 0);
		CHECK((fd = reopen(in("new"), O_RDWR | O_CREAT | O_EXCL)) >= 0 && ask_stat(0, fd, &a) == 0 && a.st_size == 0 && a.st_nlink == 1 && close(fd) == 0);
		CHECK(unlink(in("new")) == 0);
		CHECK((fd = reopen("/proc/self/status", O_RDONLY)) >= 0 && ask_stat(0, fd, &a) == 0 && S_ISREG(a.st_mode) && close(fd) == 0);
	}
}
CASE(odd_arguments_and_other_files) { both(odd); }

// A filter that is installed between open and fstat sees the call, also one that another thread installs for all.
static void *filter_stat(void *v) {
	while (*turn != 1) sched_yield();
	forbid_(__LINE__, (int[]){SYS_newfstatat, SYS_fstat}, 2, SECCOMP_FILTER_FLAG_TSYNC);
	*turn = 2;
	return v;
}
static void filtered(void) {
	char *p = strdup(in("file"));
	struct stat a;
	make(p);
	CHECK((turn = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	for (int way = 0; way < 2; way++)
		for (int thread = 0; thread < 2; thread++) {
			pid_t pid;
			*turn = 0;
			CHILD(pid) {
				pthread_t t;
				if (thread) CHECK(pthread_create(&t, 0, filter_stat, 0) == 0);
				habit(way, p);
				int fd = reopen(p, O_RDONLY);
				if (thread) {
					for (*turn = 1; *turn != 2;) {
					}
				} else {
					forbid_(__LINE__, (int[]){SYS_newfstatat, SYS_fstat}, 2, 0);
				}
				CHECK(ask_stat(way, fd, &a) == -EXDEV);
				close(fd), fd = reopen(p, O_RDONLY);
				CHECK(ask_stat(way, fd, &a) == -EXDEV);
			}
			CHECK(wait_code(pid) == 0);
		}
}
CASE(a_filter_sees_it) { both(filtered); }

// Whether a file just opened is a terminal, and where its offset is, is asked between two fstat.
static long ask_terminal(int fd) {
	char t[64];
	return syscall(SYS_ioctl, fd, TCGETS, t) < 0 ? -errno : 0;
}
static long ask_offset(int fd) {
	long r = syscall(SYS_lseek, fd, 0, SEEK_CUR);
	return r < 0 ? -errno : r;
}
// habit_all asks for all of it; at is where the offset is.
static void habit_all(const char *p, long at) {
	struct stat a, b;
	for (int i = 0; i < OFTEN; i++) {
		int fd = ready(p);
		CHECK(ask_stat(1, fd, &a) == 0 && ask_terminal(fd) == -ENOTTY && ask_offset(fd) == at && ask_offset(fd) == at);
		CHECK(ask_stat(1, fd, &b) == 0 && !memcmp(&a, &b, sizeof a) && close(fd) == 0);
	}
}

// A thread moves the offset, or has the descriptor mean something else, while the caller makes no call.
static int terminal;
static void *mover(void *v) {
	char b[8];
	while (*turn != 1) sched_yield();
	switch (change) {
	case 0: CHECK(lseek(opened, 3, SEEK_SET) == 3); break;
	case 1: CHECK(lseek(opened, 0, SEEK_SET) == 0 && read(opened, b, 2) == 2); break;
	case 2: CHECK(pread(opened, b, 2, 1) == 2); break;
	case 3: CHECK(dup2(terminal, opened) == opened); break;
	case 4: CHECK(close(opened) == 0); break;
	}
	*turn = 2;
	return v;
}
static void moved(void) {
	char *p = strdup(in("file"));
	long at = reads ? 5 : 0, offset[] = {3, 2, at, -ESPIPE, -EBADF}, tty[] = {-ENOTTY, -ENOTTY, -ENOTTY, 0, -EBADF};
	make(p);
	CHECK(truncate(p, 5) == 0 && (terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0);
	CHECK((turn = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	for (int first = 0; first < 2; first++)
		for (change = 0; change < 5; change++) {
			pthread_t t;
			*turn = 0;
			CHECK(pthread_create(&t, 0, mover, 0) == 0);
			habit_all(p, at);
			opened = ready(p);
			for (*turn = 1; *turn != 2;) {
			}
			errno = change;
			if (first) CHECK(ask_terminal(opened) == tty[change]);
			CHECK(ask_offset(opened) == offset[change]);
			CHECK(ask_terminal(opened) == tty[change]);
			CHECK(pthread_join(t, 0) == 0);
			close(opened);
		}
}
CASE(an_offset_moved) { both(moved); }
CASE(an_offset_moved_behind_a_read) { reads = 1, both(moved); }

// What the caller does in between is seen, and other questions are not taken for these.
static void asked(void) {
	char *p = strdup(in("file")), b[8];
	make(p);
	CHECK(truncate(p, 5) == 0);
	for (int i = 0; i < 10; i++) {
		reads = i & 1;
		long at = reads ? 5 : 0;
		habit_all(p, at);
		int fd = ready(p), n = -1;
		switch (i / 2) {
		case 0:
			CHECK(lseek(fd, 1, SEEK_SET) == 1 && ask_offset(fd) == 1 && syscall(SYS_read, fd, b, 2) == 2);
			CHECK(ask_offset(fd) == 3 && syscall(SYS_read, fd, b, 8) == 2 && ask_offset(fd) == 5 && ask_terminal(fd) == -ENOTTY);
			break;
		case 1: CHECK(syscall(SYS_lseek, fd, 2, SEEK_CUR) == at + 2 && ask_offset(fd) == at + 2); break;
		case 2: CHECK(syscall(SYS_lseek, fd, 0, SEEK_END) == 5 && syscall(SYS_lseek, fd, 0, SEEK_SET) == 0 && ask_offset(fd) == 0); break;
		case 3:
			CHECK(syscall(SYS_ioctl, fd, FIONREAD, &n) == 0 && n == 5 - at && ask_terminal(fd) == -ENOTTY);
			CHECK(syscall(SYS_ioctl, fd, TIOCGWINSZ, b) == -1 && errno == ENOTTY && ask_terminal(fd + 1) == -EBADF && ask_offset(fd + 1) == -EBADF);
			break;
		case 4:
			CHECK(close(fd) == 0 && ask_terminal(fd) == -EBADF && ask_offset(fd) == -EBADF);
			CHECK((fd = reopen(p, O_PATH)) >= 0 && ask_terminal(fd) == -EBADF && ask_offset(fd) == -EBADF);
			break;
		}
		CHECK(close(fd) == 0);
		// What is no regular file.
		CHECK((fd = reopen("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0 && ask_terminal(fd) == 0 && ask_offset(fd) == -ESPIPE && close(fd) == 0);
		CHECK((fd = reopen(base, O_RDONLY | O_DIRECTORY)) >= 0 && ask_terminal(fd) == -ENOTTY && ask_offset(fd) == 0 && close(fd) == 0);
	}
}
CASE(what_else_is_asked) { both(asked); }

static void filtered_all(void) {
	char *p = strdup(in("file"));
	make(p);
	for (int way = 0; way < 2; way++) {
		pid_t pid;
		CHILD(pid) {
			habit_all(p, 0);
			int fd = reopen(p, O_RDONLY);
			forbid_(__LINE__, (int[]){SYS_ioctl, SYS_lseek}, 2, 0);
			CHECK((way ? ask_terminal(fd) : ask_offset(fd)) == -EXDEV);
			close(fd), fd = reopen(p, O_RDONLY);
			CHECK((way ? ask_terminal(fd) : ask_offset(fd)) == -EXDEV);
		}
		CHECK(wait_code(pid) == 0);
	}
}
CASE(a_filter_sees_what_else_is_asked) { both(filtered_all); }
