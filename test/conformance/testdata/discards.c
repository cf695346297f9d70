// write(2) to the null device, made again: it gives its length, until the descriptor means something else or somebody watches.
#include "turns.h"
#include <sys/inotify.h>
#include <sys/resource.h>

enum { MOST = 0x7ffff000 }; // MAX_RW_COUNT
static char text[4096];
// put writes: it gives -errno.
static long put(int fd, const void *p, unsigned long n) {
	long r = syscall(SYS_write, fd, p, n);
	return r < 0 ? -errno : r;
}
static void put_(int line, int fd, const void *p, unsigned long n, long want, int times) {
	for (int i = 0; i < times; i++) {
		long r = put(fd, p, n);
		if (r == want) continue;
		dprintf(1, "FAIL %s: line %d: round %d: write(%p, %#lx) gives %ld, not %ld\n", now_running, line, i, p, n, r, want);
		_exit(99);
	}
}
#define GIVES(fd, p, n, want) put_(__LINE__, fd, p, n, want, 1)
#define GONE(fd) put_(__LINE__, fd, text, 77, 77, OFTEN) // until any platform knows
// null opens the device, which is made where nobody else watches it.
static int null(int flags) {
	if (mknod("null", S_IFCHR | 0666, 1 << 8 | 3)) CHECK(errno == EEXIST);
	int fd = open("null", flags);
	CHECK(fd >= 0);
	return fd;
}
// size is that of a file of the case.
static long size(const char *name) {
	struct stat st;
	CHECK(stat(name, &st) == 0);
	return st.st_size;
}

CASE(many_writes) {
	static const int flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_WRONLY | O_NONBLOCK, O_WRONLY | O_TRUNC, O_WRONLY | O_SYNC};
	for (unsigned k = 0; k < sizeof flags / sizeof *flags; k++) {
		int fd = null(flags[k]), other = dup(fd), sent = passed(fd), high = fcntl(fd, F_DUPFD, 200);
		GONE(fd);
		for (unsigned long n = 0; n <= sizeof text; n++) GIVES(fd, text, n, n);
		int same[] = {fd, other, sent, high};
		for (int i = 0; i < 4 * OFTEN; i++) GIVES(same[i % 4], text, i, i);
		CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0);
		GONE(fd);
		CHECK(lseek(fd, 0, SEEK_CUR) == 0 && lseek(fd, 100, SEEK_SET) == 0);
		GONE(other);
		CHECK(lseek(fd, 0, SEEK_CUR) == 0 && size("null") == 0);
		pid_t pid;
		CHILD(pid) {
			GONE(fd);
			GONE(sent);
		}
		GONE(fd);
		CHECK(wait_code(pid) == 0);
		close(fd);
		GIVES(fd, text, 5, -EBADF);
		GONE(other);
		close(other), close(sent);
		GONE(high);
		close(high);
	}
}

CASE(buffers) {
	int fd = null(O_WRONLY);
	char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *const top = (char *)(1ul << 47);
	CHECK(page != MAP_FAILED);
	for (int hot = 0; hot < 2; hot++) {
		GIVES(fd, page, 4096, 4096);
		GIVES(fd, page, 5000, 5000);
		CHECK(mprotect(page, 4096, hot ? PROT_READ : PROT_NONE) == 0);
		GIVES(fd, page, 4096, 4096);
		if (hot) CHECK(munmap(page, 4096) == 0);
		GIVES(fd, page, 4096, 4096);
		GIVES(fd, 0, 5, 5);
		GIVES(fd, (void *)8, 1, 1);
		GIVES(fd, 0, 0, 0);
		GIVES(fd, text, 0, 0);
		GIVES(fd, 0, MOST - 1, MOST - 1);
		GIVES(fd, 0, MOST, MOST);
		GIVES(fd, 0, MOST + 1ul, MOST);
		GIVES(fd, 0, 1ul << 32, MOST);
		GIVES(fd, text, 1ul << 32 | 5, MOST);
		GIVES(fd, 0, 1ul << 46, MOST);
		GIVES(fd, 0, 1ul << 47, -EFAULT);
		GIVES(fd, top - 8, 16, -EFAULT);
		GIVES(fd, top, 1, -EFAULT);
		GIVES(fd, top, 0, -EFAULT);
		GIVES(fd, (void *)(1ul << 63), 1, -EFAULT);
		GIVES(fd, (void *)(1ul << 63), 0, -EFAULT);
		GIVES(fd, (void *)-1l, 1, -EFAULT);
		GIVES(fd, (void *)-5l, 10, -EFAULT);
		GIVES(fd, (void *)-4096l, MOST, -EFAULT);
		GIVES(fd, text, -1ul, -EFAULT);
		GIVES(fd, 0, -1ul, -EFAULT);
		GIVES(fd, 0, 1ul << 63, -EFAULT);
		put_(__LINE__, fd, 0, MOST, MOST, OFTEN);
		put_(__LINE__, fd, top, 1, -EFAULT, OFTEN);
		GONE(fd);
	}
	close(fd);
}

CASE(not_for_writing) {
	int ro = null(O_RDONLY), path = open("null", O_PATH), fd = null(O_WRONLY);
	for (int i = 0; i < 2; i++) {
		put_(__LINE__, ro, text, 5, -EBADF, OFTEN);
		put_(__LINE__, ro, 0, 0, -EBADF, OFTEN);
		put_(__LINE__, ro, (void *)(1ul << 63), 5, -EBADF, OFTEN);
		put_(__LINE__, ro, text, -1ul, -EBADF, OFTEN);
		put_(__LINE__, path, text, 5, -EBADF, OFTEN);
		GONE(fd);
		CHECK(dup2(i ? path : ro, fd) == fd);
		put_(__LINE__, fd, text, 5, -EBADF, OFTEN);
		fd = null(O_WRONLY);
	}
	int full = open("/dev/full", O_WRONLY), zero = open("/dev/zero", O_WRONLY);
	put_(__LINE__, full, text, 5, -ENOSPC, OFTEN);
	put_(__LINE__, zero, text, 5, 5, OFTEN);
	GONE(fd);
	CHECK(dup2(full, fd) == fd);
	GIVES(fd, text, 5, -ENOSPC);
}

// Ways to have the number of the device mean something else; what a write of 5 bytes gives then, and whether "file" has them.
static int pip[2], file;
static void c_close(int fd) { CHECK(close(fd) == 0); }
static void c_range(int fd) { CHECK(syscall(SYS_close_range, fd, fd, 0) == 0); }
static void c_file(int fd) { CHECK(dup2(file, fd) == fd); }
static void c_dup3(int fd) { CHECK(dup3(file, fd, O_CLOEXEC) == fd); }
static void c_open(int fd) { CHECK(close(fd) == 0 && open("file", O_WRONLY) == fd); } // the lowest that is free
static void c_pipe(int fd) { CHECK(dup2(pip[1], fd) == fd); }
static void c_read(int fd) { CHECK(dup2(pip[0], fd) == fd); }
static void c_again(int fd) { CHECK(close(fd) == 0 && open("null", O_WRONLY) == fd); }
static const struct {
	void (*f)(int);
	int gives, has;
} changes[] = {{c_close, -EBADF}, {c_range, -EBADF}, {c_file, 5, 5}, {c_dup3, 5, 5}, {c_open, 5, 5}, {c_pipe, 5}, {c_read, -EBADF}, {c_again, 5}};

CASE(a_descriptor_means_something_else) {
	for (int who = 0; who < DOERS; who++)
		for (unsigned m = 0; m < sizeof changes / sizeof *changes; m++) {
			CHECK((file = open("file", O_WRONLY | O_CREAT | O_TRUNC, 0644)) >= 0 && pipe2(pip, O_NONBLOCK) == 0);
			int fd = null(O_WRONLY), keep = dup(fd), forked = who == FORK; // a child has a table of its own
			GONE(fd);
			by(who, changes[m].f, fd);
			errno = 100 * who + m; // for the message
			long r = syscall(SYS_write, fd, "hello", 5l);
			CHECK((r < 0 ? -errno : r) == (forked ? 5 : changes[m].gives));
			char b[8];
			CHECK(size("file") == (forked ? 0 : changes[m].has));
			CHECK(read(pip[0], b, 8) == (changes[m].f == c_pipe && !forked ? 5 : -1));
			GONE(keep);
			if (!forked && changes[m].has) {
				for (int i = 2; i < OFTEN; i++) CHECK(syscall(SYS_write, fd, "hello", 5l) == 5 && size("file") == 5 * i);
				CHECK(dup2(keep, fd) == fd);
				GONE(fd);
				CHECK(size("file") == 5 * (OFTEN - 1));
			}
			close(fd), close(keep), close(file), close(pip[0]), close(pip[1]);
		}
}

// Descriptors 16 apart; another file, and one that is read, between the writes.
CASE(numbers_alike) {
	int fd = null(O_WRONLY);
	char b[8];
	CHECK((file = open("file", O_WRONLY | O_CREAT | O_TRUNC, 0644)) >= 0 && pipe2(pip, O_NONBLOCK) == 0);
	CHECK(dup2(file, fd + 16) == fd + 16 && dup2(pip[0], fd + 32) == fd + 32);
	for (int i = 1; i <= OFTEN; i++) {
		GIVES(fd, text, i, i);
		GIVES(fd + 16, text, 10, 10);
		CHECK(syscall(SYS_read, fd + 32, b, 8l) == -1 && errno == EAGAIN && size("file") == 10 * i);
		CHECK(syscall(SYS_read, fd + 32, b, 8l) == -1 && errno == EAGAIN);
		CHECK(syscall(SYS_write, 1l << 32 | fd, text, 3l) == 3); // the upper half does not count
	}
	GONE(fd);
	GIVES(fd + 16, text, 10, 10);
	GIVES(fd + 48, text, 10, -EBADF);
	CHECK(syscall(SYS_read, fd, b, 8l) == -1 && errno == EBADF && syscall(SYS_write, pip[1], "x", 1l) == 1);
	CHECK(syscall(SYS_read, fd + 32, b, 8l) == 1 && size("file") == 10 * (OFTEN + 1));
	// Nor is the upper half of a number of a call a descriptor.
	CHECK(dup2(fd, 1 << 4) == 1 << 4);
	GONE(1 << 4);
	CHECK(syscall(16l << 32 | SYS_write, 99, text, 3l) == -1);
}

// A thread with a table of its own.
static int parted;
static void *parts(void *v) {
	CHECK(unshare(CLONE_FILES) == 0);
	GONE(parted);
	say(up), hear(down);
	GONE(parted);
	CHECK(dup2(file, parted) == parted);
	GIVES(parted, text, 9, 9);
	return v;
}
CASE(tables_part) {
	pthread_t t;
	pipes();
	parted = null(O_WRONLY);
	CHECK((file = open("file", O_WRONLY | O_CREAT | O_TRUNC, 0644)) >= 0);
	GONE(parted);
	CHECK(pthread_create(&t, 0, parts, 0) == 0);
	hear(up);
	GONE(parted);
	CHECK(close(parted) == 0);
	GIVES(parted, text, 5, -EBADF);
	say(down);
	CHECK(pthread_join(t, 0) == 0 && size("file") == 9);
	GIVES(parted, text, 5, -EBADF);
}

// What a program that is executed does: with the number of the device, and of a file.
__attribute__((constructor)) static void executed(int argc, char **argv) {
	if (argc < 5 || strcmp(argv[1], "executed")) return;
	now_running = argv[1];
	int fd = atoi(argv[2]), o = atoi(argv[3]);
	put_(__LINE__, fd, text, 7, atoi(argv[4]), OFTEN);
	if (fcntl(fd, F_GETFD) < 0) CHECK(dup2(o, fd) == fd && write(fd, text, 7) == 7);
	_exit(0);
}
CASE(exec_and_the_number) {
	CHECK((file = open("file", O_WRONLY | O_CREAT | O_TRUNC, 0644)) >= 0);
	for (int i = 0; i < 4; i++) {
		int fd = null(O_WRONLY | (i & 1 ? O_CLOEXEC : 0));
		char n[16], o[16];
		sprintf(n, "%d", fd), sprintf(o, "%d", file);
		GONE(fd);
		pid_t pid = i & 2 ? vfork() : fork();
		if (pid == 0) {
			for (int k = 0; k < OFTEN; k++)
				if (put(fd, text, k) != k) _exit(1);
			execl("/proc/self/exe", "discards", "executed", n, o, i & 1 ? "-9" : "7", (char *)0);
			_exit(1);
		}
		CHECK(wait_code(pid) == 0 && size("file") == (i + 1) / 2 * 7);
		GONE(fd);
		close(fd);
	}
}

// Watches: those of the device see each write, those of its directory none.
static int note;
static void seen_(int line, int wd, uint32_t mask) {
	struct inotify_event e[9] = {0};
	long r = read(note, e, sizeof e);
	if (mask == 0 ? r >= 0 : r != sizeof *e || e->wd != wd || e->mask != mask) {
		dprintf(1, "FAIL %s: line %d: %ld bytes of events, the first for watch %d: %#x\n", now_running, line, r, e->wd, e->mask);
		_exit(99);
	}
}
#define SEEN(wd, mask) seen_(__LINE__, wd, mask)
static int wd;
static void watch(int mask) { CHECK((wd = inotify_add_watch(note, "null", mask)) > 0); }

CASE(a_watch) {
	CHECK((note = inotify_init1(IN_NONBLOCK)) >= 0);
	int fd = null(O_WRONLY), other = dup(fd);
	for (int who = 0; who < DOERS; who++) {
		GONE(fd);
		by(who, watch, IN_MODIFY);
		if (who == FORK || who == SHARER) watch(IN_MODIFY); // to know the number
		for (int i = 0; i < OFTEN; i++) {
			GIVES(i & 1 ? other : fd, text, 5, 5);
			SEEN(wd, IN_MODIFY);
			GIVES(fd, text, 0, 0);
			SEEN(0, 0);
		}
		CHECK(inotify_rm_watch(note, wd) == 0);
		SEEN(wd, IN_IGNORED);
		GONE(fd);
		SEEN(0, 0);
		// One that becomes interested only later.
		watch(IN_OPEN);
		GONE(fd);
		SEEN(0, 0);
		watch(IN_MODIFY | IN_MASK_ADD);
		GIVES(fd, text, 5, 5);
		SEEN(wd, IN_MODIFY);
		CHECK(inotify_rm_watch(note, wd) == 0);
		SEEN(wd, IN_IGNORED);
		GONE(fd);
		watch(IN_MODIFY | IN_ONESHOT);
		GIVES(fd, text, 5, 5);
		struct inotify_event e[2];
		CHECK(read(note, e, sizeof e) == sizeof e && e[0].mask == IN_MODIFY && e[1].mask == IN_IGNORED);
		GONE(fd);
		SEEN(0, 0);
	}
	// By another name, after a rename.
	GONE(fd);
	CHECK(rename("null", "zilch") == 0 && (wd = inotify_add_watch(note, "zilch", IN_MODIFY)) > 0);
	GIVES(fd, text, 5, 5);
	SEEN(wd, IN_MODIFY);
}

CASE(signals_come_between_writes) {
	static const int timers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}, sigs[] = {SIGALRM, SIGVTALRM, SIGPROF};
	int fd = null(O_WRONLY);
	for (int i = 0; i < 9; i++) {
		catch (sigs[i % 3], i & 1);
		GONE(fd);
		caught = 0;
		CHECK(setitimer(timers[i % 3], &(struct itimerval){{0, 3000}, {0, 3000}}, 0) == 0);
		while (caught < 3) GIVES(fd, text, 100, 100);
		CHECK(setitimer(timers[i % 3], &(struct itimerval){}, 0) == 0);
	}
	// From a child that also stops us for a while.
	catch (SIGUSR1, 1);
	pid_t pid, me = getpid();
	caught = 0;
	CHILD(pid) {
		for (int i = 0; i < 20; i++) {
			CHECK(kill(me, SIGUSR1) == 0);
			msleep(1);
			if (i % 5 == 0) CHECK(kill(me, SIGSTOP) == 0 && kill(me, SIGCONT) == 0);
		}
	}
	while (caught < 3) GIVES(fd, text, 100, 100);
	CHECK(wait_code(pid) == 0);
	// A child that does nothing else can be stopped, and killed.
	CHILD(pid) for (;;) put(fd, text, 100);
	msleep(5);
	int st;
	CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st));
	CHECK(kill(pid, SIGCONT) == 0 && kill(pid, SIGKILL) == 0 && wait_code(pid) == 128 + SIGKILL);
	// A timer's default action, and a limit of processor time.
	signal(SIGALRM, SIG_DFL);
	CHILD(pid) for (alarm(1);;) put(fd, text, 100);
	CHECK(wait_code(pid) == 128 + SIGALRM);
	CHILD(pid) {
		CHECK(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 2}) == 0);
		for (;;) put(fd, text, 100);
	}
	CHECK(wait_code(pid) == 128 + SIGXCPU);
}

static void *exits(void *v) { return msleep(20), exit(7), v; }
CASE(an_exit_of_another_thread) {
	pid_t pid;
	int fd = null(O_WRONLY);
	CHILD(pid) {
		pthread_t t;
		CHECK(pthread_create(&t, 0, exits, 0) == 0);
		for (;;) GIVES(fd, text, 10, 10);
	}
	CHECK(wait_code(pid) == 7);
}

static const int nrs[] = {SYS_write};
CASE(a_filter_sees_each_write) {
	pid_t pid;
	int fd = null(O_WRONLY);
	CHILD(pid) {
		GONE(fd);
		forbid_(__LINE__, nrs, 1, 0);
		if (put(fd, text, 77) != -EXDEV) _exit(1); // it cannot say so
		pid_t grandchild;
		CHILD(grandchild) _exit(put(fd, text, 77) == -EXDEV ? 3 : 4);
		if (wait_code(grandchild) != 3) _exit(2);
	}
	CHECK(wait_code(pid) == 0);
	CHILD(pid) {
		GONE(fd);
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
		put(fd, text, 77); // which is allowed
		syscall(SYS_getpid);
	}
	CHECK(wait_code(pid) == 128 + SIGKILL);
	GONE(fd);
}
static atomic_int asked;
static void *filter_all(void *v) {
	while (asked < *(int *)v) {
	}
	return forbid_(__LINE__, nrs, 1, SECCOMP_FILTER_FLAG_TSYNC), v;
}
CASE(a_filter_of_another_thread) {
	int fd = null(O_WRONLY);
	for (int i = 0; i < 60; i++) {
		pid_t pid;
		CHILD(pid) {
			pthread_t t;
			int n = i % 30;
			CHECK(pthread_create(&t, 0, filter_all, &n) == 0);
			// It comes at any time, also when an answer is just being noted.
			for (asked = 0; asked < 40; asked++) {
				long r = put(fd, text, 77);
				if (r != 77 && r != -EXDEV) _exit(1);
			}
			pthread_join(t, 0);
			if (put(fd, text, 77) != -EXDEV) _exit(2);
		}
		CHECK(wait_code(pid) == 0);
	}
}

CASE(a_number_that_takes_turns) {
	pthread_t t;
	CHECK((turning[0] = open("/dev/full", O_WRONLY)) >= 0);
	turning[1] = null(O_WRONLY);
	CHECK((turning[2] = dup(turning[0])) >= 0 && pthread_create(&t, 0, turns, 0) == 0);
	while (turn_seen < 2000) {
		int i = turn;
		for (int n = 0; n < 4; n++) {
			long r = put(turning[2], "x", 1);
			CHECK(i == 0 || turn != i || r == (i & 1 ? 1 : -ENOSPC));
		}
		if (i) turn_seen = i;
	}
	CHECK(pthread_join(t, 0) == 0);
}
