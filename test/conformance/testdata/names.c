// Calls that fail again and again for a path: a sandbox may answer them from a table. The
// first one after a change, by whomever, must be right.
#include "case.h"
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define OFTEN 60 // calls that have any table know the answer

enum { STAT, LSTAT, FSTATAT, LFSTATAT, OPEN, OPENAT, ACCESS, FACCESSAT, READLINK, READLINKAT, KINDS };

// ask makes a call that asks for a path; it returns -errno.
static long ask(int kind, const char *p) {
	struct stat st;
	char b[64];
	long r = -1;
	switch (kind) {
	case STAT: r = syscall(SYS_stat, p, &st); break;
	case LSTAT: r = syscall(SYS_lstat, p, &st); break;
	case FSTATAT: r = syscall(SYS_newfstatat, AT_FDCWD, p, &st, 0); break;
	case LFSTATAT: r = syscall(SYS_newfstatat, AT_FDCWD, p, &st, AT_SYMLINK_NOFOLLOW); break;
	case OPEN: r = syscall(SYS_open, p, O_RDONLY | O_NONBLOCK, 0); break;
	case OPENAT: r = syscall(SYS_openat, AT_FDCWD, p, O_PATH | O_CLOEXEC, 0); break;
	case ACCESS: r = syscall(SYS_access, p, F_OK); break;
	case FACCESSAT: r = syscall(SYS_faccessat, AT_FDCWD, p, R_OK); break;
	case READLINK: r = syscall(SYS_readlink, p, b, sizeof b); break;
	case READLINKAT: r = syscall(SYS_readlinkat, AT_FDCWD, p, b, sizeof b); break;
	}
	if (r < 0) return -errno;
	if (kind == OPEN || kind == OPENAT) close(r);
	return r;
}
static int reads_link(int kind) { return kind == READLINK || kind == READLINKAT; }
static int follows(int kind) { return kind != LSTAT && kind != LFSTATAT && !reads_link(kind); }

static void is_(int line, int kind, const char *p, long want) {
	long r = ask(kind, p);
	if (want == 0 ? r < 0 : r != want) {
		dprintf(1, "FAIL %s: line %d: call %d of %.200s gives %ld, not %ld\n", now_running, line, kind, p, r, want);
		_exit(99);
	}
}
// all checks what every call that follows a last link, and what every one that does not, gives.
static void all_(int line, const char *p, long followed, long itself, long link) {
	for (int k = 0; k < KINDS; k++) is_(line, k, p, reads_link(k) ? link : follows(k) ? followed : itself);
}
static void heat_(int line, const char *p, long followed, long itself, long link) {
	for (int i = 0; i < OFTEN; i++) all_(line, p, followed, itself, link);
}
#define IS(kind, p, want) is_(__LINE__, kind, p, want)
// FAIL_ALL asks once with every call, FAIL_HOT often: all give -err.
#define FAIL_ALL(p, err) all_(__LINE__, p, -(err), -(err), -(err))
#define FAIL_HOT(p, err) heat_(__LINE__, p, -(err), -(err), -(err))
// THERE says that there is something that is no symbolic link.
#define THERE(p) all_(__LINE__, p, 0, 0, -EINVAL)
#define THERE_HOT(p) heat_(__LINE__, p, 0, 0, -EINVAL)
#define LINK_TO_NOTHING(p) all_(__LINE__, p, -ENOENT, 0, 0)

static char base[300];
// in returns a path below the base.
static char *in(const char *name) {
	static char b[16][5000];
	static int n;
	char *p = b[n++ % 16];
	snprintf(p, sizeof b[0], "%s/%s", base, name);
	return p;
}
// both has a case done in the directory of the case, and in the root file system.
static void both(void (*f)(void)) {
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	f();
	static int n;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(base, sizeof base, "/%s.%ld.%ld.%d", now_running, (long)t.tv_sec, t.tv_nsec, n++);
	CHECK(mkdir(base, 0755) == 0);
	f();
}
static void make(const char *p) {
	int fd = open(p, O_CREAT | O_EXCL | O_WRONLY, 0644);
	CHECK(fd >= 0 && close(fd) == 0);
}
static int exchange(const char *a, const char *b) { return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2); }

// The ways to make a name.
static void make_by(int way, const char *p) {
	int fd;
	struct sockaddr_un a = {AF_UNIX};
	char b[64];
	switch (way) {
	case 0: make(p); break;
	case 1: CHECK(mkdir(p, 0755) == 0); break;
	case 2: CHECK(mknod(p, S_IFIFO | 0644, 0) == 0); break;
	case 3: CHECK(link(in("file"), p) == 0); break;
	case 4: make(in("other")); CHECK(rename(in("other"), p) == 0); break;
	case 5: make(in("other")); CHECK(syscall(SYS_renameat2, AT_FDCWD, in("other"), AT_FDCWD, p, 1) == 0); break;
	case 6: CHECK(mkdir(in("other"), 0755) == 0 && rename(in("other"), p) == 0); break;
	case 7: CHECK(symlink("file", p) == 0); break;
	case 8:
		CHECK((fd = open(base, O_TMPFILE | O_RDWR, 0644)) >= 0);
		sprintf(b, "/proc/self/fd/%d", fd);
		CHECK(linkat(AT_FDCWD, b, AT_FDCWD, p, AT_SYMLINK_FOLLOW) == 0 && close(fd) == 0);
		break;
	case 9:
		strcpy(a.sun_path, p);
		CHECK((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0 && bind(fd, (void *)&a, sizeof a) == 0);
		close(fd);
		break;
	case 10: CHECK((fd = creat(p, 0600)) >= 0 && close(fd) == 0); break;
	case 11: CHECK(mknod(p, S_IFREG | 0644, 0) == 0); break;
	case 12: CHECK(link(in("link"), p) == 0); break;
	}
}
static void creation(void) {
	make(in("file"));
	CHECK(symlink("file", in("link")) == 0);
	for (int way = 0; way < 13; way++) {
		if (way == 8 && strncmp(base, "/tmp/", 5)) continue; // files without names are not everywhere
		for (int k = 0; k < KINDS; k++) {
			char name[20];
			sprintf(name, "%c%d.%d", "np"[k & 1], way, k);
			char *p = strcpy((char[400]){0}, in(name));
			for (int i = 0; i < OFTEN; i++) IS(k, p, -ENOENT);
			make_by(way, p);
			if (way == 9 && k == OPEN) IS(k, p, -ENXIO);
			else IS(k, p, reads_link(k) && way != 7 && way != 12 ? -EINVAL : 0);
		}
	}
	FAIL_HOT(in("last"), ENOENT);
	CHECK(symlink("nothing", in("last")) == 0);
	LINK_TO_NOTHING(in("last"));
	heat_(__LINE__, in("last"), -ENOENT, 0, 0);
	make(in("nothing"));
	all_(__LINE__, in("last"), 0, 0, 0);
	FAIL_HOT(in("created"), ENOENT);
	CHECK(symlink("created", in("to")) == 0);
	int fd = open(in("to"), O_CREAT | O_RDWR, 0600); // through a link
	CHECK(fd >= 0 && close(fd) == 0);
	THERE(in("created"));
}
CASE(creation_is_seen) { both(creation); }

static void removal(void) {
	make(in("f"));
	for (int i = 0; i < OFTEN; i++) {
		IS(READLINK, in("f"), -EINVAL);
		FAILS(mkdir(in("f"), 0755), EEXIST);
		FAIL_ALL(in("f/x"), ENOTDIR);
		FAIL_ALL(in("f/"), ENOTDIR);
	}
	CHECK(unlink(in("f")) == 0);
	IS(READLINK, in("f"), -ENOENT);
	FAIL_ALL(in("f/x"), ENOENT);
	FAIL_ALL(in("f/"), ENOENT);
	CHECK(mkdir(in("f"), 0755) == 0);
	FAIL_HOT(in("f/x"), ENOENT);
	FAIL_HOT(in("f/x/y"), ENOENT);
	CHECK(rmdir(in("f")) == 0);
	FAIL_HOT(in("f/x"), ENOENT);
	make(in("f"));
	FAIL_ALL(in("f/x"), ENOTDIR);
	CHECK(unlinkat(AT_FDCWD, in("f"), 0) == 0);
	FAIL_HOT(in("f"), ENOENT);
}
CASE(removal_is_seen) { both(removal); }

static void mkdirs(void) {
	for (int i = 0; i < 20; i++) {
		CHECK(mkdir(in("d"), 0755) == 0);
		for (int j = 0; j < OFTEN; j++) {
			FAILS(mkdir(in("d"), 0755), EEXIST);
			FAILS(mkdir(in("d/"), 0700), EEXIST);
		}
		CHECK(rmdir(in("d")) == 0);
	}
	CHECK(symlink("nothing", in("l")) == 0);
	for (int j = 0; j < OFTEN; j++) FAILS(mkdir(in("l"), 0755), EEXIST);
	CHECK(unlink(in("l")) == 0 && mkdir(in("l"), 0755) == 0);
	for (int j = 0; j < OFTEN; j++) { FAILS(mkdir(in("l/."), 0755), EEXIST); FAILS(mkdir(in("l/.."), 0755), EEXIST); FAILS(mkdir("/", 0755), EEXIST); }
	CHECK(rename(in("l"), in("m")) == 0);
	FAILS(mkdir(in("l/."), 0755), ENOENT);
	for (int j = 0; j < OFTEN; j++) { FAILS(mkdir(in("m"), 0755), EEXIST); FAILS(mkdir(in("no/d"), 0755), ENOENT); }
	CHECK(mkdir(in("no"), 0755) == 0 && mkdir(in("no/d"), 0755) == 0);
}
CASE(mkdir_after_it_was_there) { both(mkdirs); }

static void renames(void) {
	make(in("a")), make(in("b"));
	FAIL_HOT(in("c"), ENOENT);
	CHECK(rename(in("a"), in("c")) == 0);
	FAIL_ALL(in("a"), ENOENT);
	THERE_HOT(in("c"));
	CHECK(rename(in("b"), in("c")) == 0); // over another
	FAIL_HOT(in("b"), ENOENT);
	THERE(in("c"));
	CHECK(symlink("zzz", in("l")) == 0);
	THERE_HOT(in("c"));
	CHECK(rename(in("l"), in("c")) == 0); // a link over a file
	LINK_TO_NOTHING(in("c"));
	FAIL_HOT(in("l"), ENOENT);
	// A directory on the way.
	CHECK(mkdir(in("d"), 0755) == 0 && mkdir(in("e"), 0755) == 0);
	make(in("e/x"));
	FAIL_HOT(in("d/x"), ENOENT);
	THERE_HOT(in("e/x"));
	CHECK(exchange(in("d"), in("e")) == 0);
	THERE(in("d/x"));
	FAIL_HOT(in("e/x"), ENOENT);
	CHECK(rmdir(in("e")) == 0 && rename(in("d"), in("e")) == 0);
	THERE(in("e/x"));
	FAIL_HOT(in("d/x"), ENOENT);
	CHECK(mkdir(in("d"), 0755) == 0 && rename(in("e"), in("d")) == 0); // over an empty one
	THERE(in("d/x"));
	FAIL_HOT(in("e/x"), ENOENT);
	// A file and a directory.
	make(in("f"));
	FAIL_HOT(in("f/x"), ENOTDIR);
	CHECK(exchange(in("f"), in("d")) == 0);
	THERE(in("f/x"));
	FAIL_HOT(in("d/x"), ENOTDIR);
	CHECK(exchange(in("d"), in("f")) == 0);
	THERE(in("d/x"));
	FAIL_ALL(in("f/x"), ENOTDIR);
}
CASE(renames_are_seen) { both(renames); }

static void links(void) {
	CHECK(mkdir(in("one"), 0755) == 0 && mkdir(in("two"), 0755) == 0 && symlink("one", in("l")) == 0);
	make(in("two/x"));
	FAIL_HOT(in("l/x"), ENOENT);
	CHECK(symlink("two", in("m")) == 0 && rename(in("m"), in("l")) == 0);
	THERE(in("l/x"));
	CHECK(unlink(in("l")) == 0);
	FAIL_HOT(in("l/x"), ENOENT);
	CHECK(symlink(in("two"), in("l")) == 0);
	THERE(in("l/x"));
	THERE_HOT(in("l/../two/x"));
	FAIL_HOT(in("l/../two/y"), ENOENT);
	CHECK(rename(in("two/x"), in("two/y")) == 0);
	THERE(in("l/../two/y"));
	FAIL_ALL(in("l/x"), ENOENT);
	// Of two links the second changes.
	CHECK(symlink("l2", in("l1")) == 0 && symlink("one", in("l2")) == 0);
	FAIL_HOT(in("l1/y"), ENOENT);
	CHECK(unlink(in("l2")) == 0);
	FAIL_HOT(in("l1/y"), ENOENT);
	CHECK(symlink("two", in("l2")) == 0);
	THERE(in("l1/y"));
	// A link to itself becomes one to nothing.
	CHECK(symlink("loop", in("loop")) == 0);
	heat_(__LINE__, in("loop"), -ELOOP, 0, 0);
	IS(OPENAT, in("loop/"), -ELOOP);
	CHECK(unlink(in("loop")) == 0);
	FAIL_ALL(in("loop"), ENOENT);
}
CASE(links_on_the_way) { both(links); }

static void relative(void) {
	CHECK(mkdir(in("a"), 0755) == 0 && mkdir(in("b"), 0755) == 0);
	make(in("b/x"));
	CHECK(chdir(in("a")) == 0);
	FAIL_HOT("x", ENOENT);
	FAIL_HOT("./x", ENOENT);
	FAIL_HOT(in("a/x"), ENOENT);
	CHECK(chdir(in("b")) == 0);
	THERE("x");
	THERE("./x");
	FAIL_ALL(in("a/x"), ENOENT);
	int a = open(in("a"), O_PATH), b = open(in("b"), O_PATH);
	struct stat st;
	for (int i = 0; i < OFTEN; i++) {
		FAILS(syscall(SYS_newfstatat, a, "x", &st, 0), ENOENT);
		CHECK(syscall(SYS_newfstatat, b, "x", &st, 0) == 0);
		FAILS(syscall(SYS_openat, a, "x", O_RDONLY), ENOENT);
		FAILS(syscall(SYS_openat, -1, "x", O_RDONLY), EBADF);
		FAILS(syscall(SYS_openat, -1, in("a/x"), O_RDONLY), ENOENT); // absolute: no matter
		FAILS(syscall(SYS_faccessat, -1, in("a/x"), F_OK), ENOENT);
		FAILS(syscall(SYS_readlinkat, b, "x", &st, 9), EINVAL);
		FAILS(syscall(SYS_readlinkat, -1, in("b/x"), &st, 9), EINVAL);
		FAILS(syscall(SYS_readlinkat, a, "x", &st, 9), ENOENT);
		FAILS(syscall(SYS_newfstatat, -1, in("a/x"), &st, 0), ENOENT);
		FAILS(syscall(SYS_newfstatat, -1, in("a/x"), &st, 0x10000000), EINVAL);
		FAILS(syscall(SYS_access, in("a/x"), 0x40), EINVAL);
		FAILS(syscall(SYS_stat, "", &st), ENOENT);
		CHECK(syscall(SYS_newfstatat, b, "", &st, AT_EMPTY_PATH) == 0);
	}
	CHECK(syscall(SYS_openat, -1, in("b/x"), O_RDONLY) >= 0);
	CHECK(chdir("/") == 0);
}
CASE(relative_and_descriptors) { both(relative); }

static void as(int uid) { CHECK(syscall(SYS_setgroups, 0, 0) == 0 && syscall(SYS_setresgid, uid, uid, uid) == 0 && syscall(SYS_setresuid, uid, uid, uid) == 0); }

// The child says when it is ready, and goes on when it is told to.
static int up[2], down[2];
static void pipes(void) { CHECK(pipe(up) == 0 && pipe(down) == 0); }
static void say(int *p) { CHECK(write(p[1], "x", 1) == 1); }
static void hear(int *p) { char c; CHECK(read(p[0], &c, 1) == 1); }

static void alone(void) { CHECK(unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0); }

static void others(void) {
	pipes();
	pid_t pid;
	CHILD(pid) for (int i = 0;; i++) {
		hear(down);
		if (i == 60) break;
		if (i % 3 == 0) make(in("f"));
		if (i % 3 == 1) CHECK(rename(in("f"), in("g")) == 0);
		if (i % 3 == 2) CHECK(unlink(in("g")) == 0);
		say(up);
	}
	for (int i = 0; i < 20; i++) {
		FAIL_HOT(in("f"), ENOENT);
		say(down), hear(up);
		THERE_HOT(in("f"));
		FAIL_HOT(in("g"), ENOENT);
		say(down), hear(up);
		FAIL_ALL(in("f"), ENOENT);
		THERE_HOT(in("g"));
		say(down), hear(up);
		FAIL_ALL(in("g"), ENOENT);
	}
	say(down);
	CHECK(wait_code(pid) == 0);
	for (int i = 0; i < 2; i++) close(up[i]), close(down[i]);
}
CASE(changes_by_another_process) { both(others); }

// Hand-over by a futex.
static volatile int turn;
static void wait_turn(int n) {
	while (turn != n) syscall(SYS_futex, &turn, FUTEX_WAIT, turn == n ? -1 : turn, 0, 0, 0);
}
static void give_turn(int n) { turn = n, syscall(SYS_futex, &turn, FUTEX_WAKE, 9, 0, 0, 0); }
static void *other_thread(void *v) {
	for (int i = 0; i < 30; i++) {
		wait_turn(2 * i + 1);
		if (i & 1) CHECK(unlink(v) == 0);
		else make(v);
		give_turn(2 * i + 2);
	}
	return 0;
}
static void others_too(void) {
	char p[400];
	strcpy(p, in("f"));
	turn = 0;
	pthread_t t;
	CHECK(pthread_create(&t, 0, other_thread, p) == 0);
	for (int i = 0; i < 30; i++) {
		if (i & 1) THERE_HOT(p);
		else FAIL_HOT(p, ENOENT);
		give_turn(2 * i + 1), wait_turn(2 * i + 2);
		if (i & 1) FAIL_ALL(p, ENOENT);
		else THERE(p);
	}
	pthread_join(t, 0);
}
CASE(changes_by_another_thread) { both(others_too); }

// A writer counts when it begins a change and when it has made it. Whoever looks, and knows
// that nothing was begun meanwhile, knows what is there.
static struct race {
	_Atomic unsigned begun, made, stop, looks[3];
} *race;
static void writer(const char *p) {
	for (int i = 0; i < 600; i++) {
		unsigned n[3];
		for (int k = 0; k < 3; k++) n[k] = race->looks[k];
		race->begun++;
		if (i & 1) CHECK(i & 2 ? unlink(p) == 0 : rename(p, in("away")) == 0);
		else make(p);
		race->made++;
		for (int j = 0; j < 200; j++) {
			int all = 1;
			for (int k = 0; k < 3; k++) all &= race->looks[k] - n[k] > 30;
			if (all) break;
			sched_yield();
		}
	}
	race->stop = 1;
}
static void reader(const char *p, int n) {
	char inside[500];
	sprintf(inside, "%s/x", p);
	static const int kinds[] = {STAT, OPENAT, ACCESS, READLINK};
	while (!race->stop) {
		int kind = kinds[race->looks[n]++ % 4];
		unsigned made = race->made;
		long r = ask(kind, p), in = ask(STAT, inside);
		if (race->begun != made) continue;
		long want = made & 1 ? kind == READLINK ? -EINVAL : 0 : -ENOENT;
		errno = -r;
		CHECK(want == 0 ? r >= 0 : r == want);
		errno = -in;
		CHECK(in == (made & 1 ? -ENOTDIR : -ENOENT));
	}
}
static void *reading(void *v) { return reader(v, 2), v; }
static void racing(void) {
	char p[400];
	strcpy(p, in("raced"));
	race = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(race != MAP_FAILED);
	pid_t one, two;
	CHILD(one) reader(p, 0);
	CHILD(two) reader(p, 1);
	pthread_t t;
	CHECK(pthread_create(&t, 0, reading, p) == 0);
	writer(p);
	CHECK(pthread_join(t, 0) == 0 && wait_code(one) == 0 && wait_code(two) == 0);
	munmap(race, 4096);
}
CASE(readers_and_a_writer) { both(racing); }

static void many(void) {
	enum { paths = 2600 };
	char b[40];
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < paths; i++) {
			sprintf(b, "name%d", i);
			for (int j = 0; j < 3; j++) IS(STAT, in(b), -ENOENT);
		}
	for (int i = 0; i < paths; i += 7) {
		sprintf(b, "name%d", i);
		make(in(b));
		THERE(in(b));
	}
	for (int i = 0; i < paths; i++) {
		sprintf(b, "name%d", i);
		for (int j = 0; j < 3; j++) {
			IS(STAT, in(b), i % 7 ? -ENOENT : 0);
			IS(READLINK, in(b), i % 7 ? -ENOENT : -EINVAL);
		}
	}
	for (int i = 0; i < paths; i += 7) {
		sprintf(b, "name%d", i);
		CHECK(unlink(in(b)) == 0);
		FAIL_ALL(in(b), ENOENT);
	}
}
CASE(many_paths) { both(many); }

static void lengths(void) {
	static char p[PATH_MAX + 10], q[PATH_MAX + 10];
	int len = strlen(base);
	// Slashes and dots are of any length and change nothing.
	for (int n = len + 2; n <= 310; n++) {
		memset(p, '/', sizeof p), memcpy(p, base, len);
		strcpy(p + n - 1, "x");
		for (int i = 0; i < 30; i++) IS(STAT, p, -ENOENT), IS(READLINK, p, -ENOENT);
		strcpy(p + n - 1, "xy"); // one is not the beginning of another
		IS(STAT, p, -ENOENT);
	}
	make(in("x"));
	for (int n = len + 2; n <= 310; n++) {
		memset(p, '/', sizeof p), memcpy(p, base, len);
		strcpy(p + n - 1, "x");
		IS(STAT, p, 0), IS(READLINK, p, -EINVAL);
		strcpy(p + n - 1, "xy");
		IS(STAT, p, -ENOENT);
	}
	CHECK(unlink(in("x")) == 0);
	// Long names, which differ in the last byte.
	for (int n = 150; n <= 256; n++) {
		sprintf(p, "%s/", base);
		memset(p + len + 1, 'n', n), p[len + 1 + n] = 0;
		strcpy(q, p), q[len + n] = 'm';
		if (n == 256) {
			FAIL_HOT(p, ENAMETOOLONG);
			break;
		}
		for (int i = 0; i < 20; i++) IS(STAT, p, -ENOENT), IS(STAT, q, -ENOENT);
		make(q);
		IS(STAT, p, -ENOENT), IS(STAT, q, 0);
		CHECK(unlink(q) == 0);
		IS(STAT, q, -ENOENT);
	}
	for (int n = PATH_MAX - 2; n <= PATH_MAX + 1; n++) {
		memset(p, '/', sizeof p), memcpy(p, base, len);
		strcpy(p + n - 1, "x");
		FAIL_HOT(p, n < PATH_MAX ? ENOENT : ENAMETOOLONG);
	}
}
CASE(lengths_of_paths) { both(lengths); }

CASE(bad_pointers) {
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	char *hole = mmap(0, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FAIL_HOT("/no", ENOENT);
	const char *bad[] = {0, (char *)8, hole, hole + 4095, (char *)(1ul << 47) - 1, (char *)(1ul << 47), (char *)(1ul << 63), (char *)-1, (char *)-4096, (char *)0x7ffffffff000};
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		for (int j = 0; j < 2 * OFTEN; j++) {
			for (int k = 0; k < KINDS; k++) {
				long r = ask(k, bad[i]);
				errno = -r;
				CHECK(r == -EFAULT);
			}
			FAILS(syscall(SYS_mkdir, bad[i], 0755), EFAULT);
		}
	FAIL_HOT("/no", ENOENT);
	// A path that goes away, and comes back with other rights and as another one.
	char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 5; i++) {
		strcpy(p, "/no");
		FAIL_HOT(p, ENOENT);
		CHECK(mprotect(p, 4096, PROT_NONE) == 0);
		for (int j = 0; j < OFTEN; j++) FAILS(access(p, F_OK), EFAULT);
		CHECK(mprotect(p, 4096, PROT_READ) == 0);
		FAIL_HOT(p, ENOENT);
		CHECK(munmap(p, 4096) == 0);
		FAILS(access(p, F_OK), EFAULT);
		CHECK(mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
		FAILS(access(p, F_OK), ENOENT); // ""
		strcpy(p, "/proc");
		THERE(p);
	}
	// Behind the end of a file.
	int fd = open("f", O_CREAT | O_RDWR, 0600);
	CHECK(ftruncate(fd, 4096) == 0 && pwrite(fd, "/no", 3, 0) == 3);
	char *f = mmap(0, 8192, PROT_READ, MAP_SHARED, fd, 0);
	FAIL_HOT(f, ENOENT);
	for (int j = 0; j < OFTEN; j++) FAILS(access(f + 4096, F_OK), EFAULT);
	CHECK(ftruncate(fd, 0) == 0);
	FAILS(access(f, F_OK), EFAULT);
	CHECK(pwrite(fd, "/no", 3, 0) == 3);
	FAIL_HOT(f, ENOENT);
	CHECK(pwrite(fd, "/proc\0", 6, 0) == 6); // by another name
	THERE(f);
}

CASE(edges_of_pages) {
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	enum { page = 4096 };
	char *m = mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(munmap(m + 2 * page, page) == 0);
	char missing[400], there[400];
	snprintf(missing, sizeof missing, "%s/%s", base, "a.name.that.is.not.there.and.has.some.length");
	snprintf(there, sizeof there, "%s/%s", base, "a.name.that.is.....there.and.has.some.length");
	make(there);
	int len = strlen(missing);
	for (int end = 0; end < 2; end++)
		for (int off = 0; off < (end ? 20 : len + 20); off++) {
			// The path ends off bytes before the last that is mapped, or crosses into the second page.
			char *p = end ? m + 2 * page - 1 - len - off : m + page - off;
			strcpy(p, missing);
			for (int i = 0; i < 20; i++) IS(STAT, p, -ENOENT), IS(READLINK, p, -ENOENT);
			strcpy(p, there);
			IS(STAT, p, 0), IS(READLINK, p, -EINVAL);
			p[1] = 0;
			IS(STAT, p, 0);
			FAILS(mkdir(p, 0755), EEXIST);
		}
	for (int off = 1; off < 40; off++) { // no end
		char *p = memset(m + 2 * page - off, '/', off);
		for (int i = 0; i < 20; i++) IS(STAT, p, -EFAULT), IS(READLINK, p, -EFAULT);
		strcpy(m + page - off, "/no");
		CHECK(mprotect(m + page, page, PROT_NONE) == 0);
		for (int i = 0; i < 20; i++) IS(STAT, m + page - off, off >= 4 ? -ENOENT : -EFAULT);
		CHECK(mprotect(m + page, page, PROT_READ | PROT_WRITE) == 0);
	}
}

static void one_buffer(void) {
	char p[400], *q = p + strlen(base) + 1;
	sprintf(p, "%s/%c", base, 'a');
	make(in("b")), make(in("d"));
	for (int i = 0; i < 20 * OFTEN; i++) {
		*q = "abcdefgh"[i % 8];
		IS(STAT, p, *q == 'b' || *q == 'd' ? 0 : -ENOENT);
		IS(READLINK, p, *q == 'b' || *q == 'd' ? -EINVAL : -ENOENT);
	}
}
CASE(one_buffer_for_many_paths) { both(one_buffer); }

CASE(rest_behind_the_end) {
	char a[64], b[64];
	for (int n = 1; n < 40; n++)
		for (int i = 0; i < 20; i++) {
			memset(a, 'x', sizeof a), memset(b, 'y' + i, sizeof b);
			a[0] = b[0] = '/', memset(b + 1, 'x', n), a[n + 1] = b[n + 1] = 0;
			IS(STAT, a, -ENOENT), IS(STAT, b, -ENOENT);
		}
	THERE_HOT("/proc\0x");
	FAIL_HOT("/pro\0c", ENOENT);
}

static void sizes(void) {
	char b[64];
	make(in("f"));
	CHECK(symlink("target", in("l")) == 0);
	const char *f = strdup(in("f")), *l = strdup(in("l")), *no = strdup(in("no"));
	for (int i = 0; i < OFTEN; i++) {
		static const int size[] = {0, -1, 1, 64, INT_MIN, INT_MAX};
		for (int k = 0; k < 6; k++) {
			FAILS(syscall(SYS_readlink, f, b, size[k]), EINVAL);
			FAILS(syscall(SYS_readlink, no, b, size[k]), size[k] > 0 ? ENOENT : EINVAL);
			FAILS(syscall(SYS_readlinkat, AT_FDCWD, f, b, size[k]), EINVAL);
			FAILS(syscall(SYS_readlinkat, AT_FDCWD, no, b, size[k]), size[k] > 0 ? ENOENT : EINVAL);
			if (size[k] <= 0) FAILS(syscall(SYS_readlink, l, b, size[k]), EINVAL);
		}
		CHECK(syscall(SYS_readlink, l, b, 1) == 1 && *b == 't');
		FAILS(syscall(SYS_readlink, l, (char *)8, 9), EFAULT);
		FAILS(syscall(SYS_readlink, f, (char *)8, 9), EINVAL);
		FAILS(syscall(SYS_stat, no, (char *)8), ENOENT);
		FAILS(syscall(SYS_stat, f, (char *)8), EFAULT);
		FAILS(syscall(SYS_readlink, f, b, 0x100000040), EINVAL); // an int
	}
	CHECK(unlink(f) == 0 && symlink("x", f) == 0);
	FAILS(syscall(SYS_readlink, f, b, 0), EINVAL);
	FAILS(syscall(SYS_readlink, f, b, -1), EINVAL);
	CHECK(syscall(SYS_readlink, f, b, 64) == 1 && syscall(SYS_readlinkat, AT_FDCWD, f, b, 1) == 1);
}
CASE(sizes_of_readlink) { both(sizes); }

static void flags(void) {
	make(in("f"));
	CHECK(symlink("nothing", in("l")) == 0 && symlink("f", in("lf")) == 0 && mkdir(in("d"), 0755) == 0);
	const char *f = strdup(in("f")), *l = strdup(in("l")), *lf = strdup(in("lf")), *no = strdup(in("no")), *d = strdup(in("d"));
	for (int i = 0; i < OFTEN; i++)
		for (int at = 0; at < 2; at++) {
#define OPENS(p, flags) (at ? syscall(SYS_openat, AT_FDCWD, p, flags, 0600) : syscall(SYS_open, p, flags, 0600))
			FAILS(OPENS(no, O_RDWR), ENOENT);
			FAILS(OPENS(no, O_NOFOLLOW), ENOENT);
			FAILS(OPENS(no, O_DIRECTORY), ENOENT);
			FAILS(OPENS(no, O_PATH), ENOENT);
			FAILS(OPENS(no, O_TRUNC | O_WRONLY), ENOENT);
			FAILS(OPENS(no, O_TMPFILE | O_RDWR), ENOENT);
			FAILS(OPENS(f, O_DIRECTORY), ENOTDIR);
			FAILS(OPENS(f, O_DIRECTORY | O_PATH), ENOTDIR);
			FAILS(OPENS(lf, O_DIRECTORY), ENOTDIR);
			FAILS(OPENS(lf, O_DIRECTORY | O_NOFOLLOW | O_PATH), ENOTDIR);
			FAILS(OPENS(lf, O_NOFOLLOW), ELOOP);
			FAILS(OPENS(l, O_RDONLY), ENOENT);
			FAILS(OPENS(l, O_NOFOLLOW), ELOOP);
			FAILS(OPENS(l, O_CREAT | O_EXCL | O_RDWR), EEXIST);
			FAILS(OPENS(f, O_CREAT | O_EXCL | O_RDWR), EEXIST);
			FAILS(OPENS(d, O_RDWR), EISDIR);
		}
	for (int at = 0; at < 2; at++) {
		int fd = OPENS(no, O_CREAT | O_RDWR | O_EXCL);
		CHECK(fd >= 0 && close(fd) == 0 && unlink(no) == 0);
		FAILS(OPENS(no, O_RDWR), ENOENT);
		CHECK((fd = OPENS(no, O_CREAT | O_RDWR)) >= 0 && close(fd) == 0);
		THERE(no);
		CHECK(unlink(no) == 0);
		CHECK((fd = OPENS(d, O_TMPFILE | O_RDWR)) >= 0 || errno == EOPNOTSUPP);
		if (fd >= 0) close(fd);
	}
	CHECK(unlink(f) == 0 && mkdir(f, 0755) == 0);
	for (int at = 0; at < 2; at++) {
		int fd = OPENS(f, O_DIRECTORY), g = OPENS(lf, O_DIRECTORY);
		CHECK(fd >= 0 && g >= 0 && close(fd) == 0 && close(g) == 0);
		FAILS(OPENS(f, O_RDWR), EISDIR);
		FAILS(OPENS(lf, O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
	}
	THERE(strcat(strcpy((char[400]){0}, f), "/"));
	CHECK(symlink("d", in("x")) == 0 && rename(in("x"), lf) == 0 && rename(in("d"), in("nothing")) == 0);
	IS(OPEN, l, 0);
	IS(OPEN, lf, -ENOENT);
}
CASE(flags_of_open) { both(flags); }

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
static void forbid(int flags) {
	struct sock_filter f[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_stat, 3, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_readlink, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV)};
	struct sock_fprog p = {sizeof f / sizeof *f, f};
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p) == 0);
}
static void filtered(void) {
	for (int i = 0; i < OFTEN; i++) {
		IS(STAT, in("no"), -EXDEV), IS(READLINK, in("no"), -EXDEV), IS(LSTAT, in("no"), -ENOENT);
		FAILS(mkdir(base, 0755), EXDEV);
	}
}
static void heat_all(void) {
	FAIL_HOT(in("no"), ENOENT);
	for (int i = 0; i < OFTEN; i++) FAILS(mkdir(base, 0755), EEXIST);
}
static void filters(void) {
	pid_t pid, grandchild;
	CHILD(pid) {
		heat_all();
		forbid(0);
		filtered();
		CHILD(grandchild) filtered();
		CHECK(wait_code(grandchild) == 0);
	}
	CHECK(wait_code(pid) == 0);
	heat_all();
}
CASE(a_filter_sees_each_call) { both(filters); }

static volatile int asked;
static void *filter_all(void *v) {
	while (asked < *(int *)v) {
	}
	return forbid(SECCOMP_FILTER_FLAG_TSYNC), v;
}
static void filter_of_another(void) {
	for (int i = 0; i < 120; i++) {
		pid_t pid;
		CHILD(pid) {
			pthread_t t;
			char no[400];
			strcpy(no, in("no"));
			int n = i % 30;
			CHECK(pthread_create(&t, 0, filter_all, &n) == 0);
			// It comes at any time, also when a table is just being shown.
			for (asked = 0; asked < 40; asked++) CHECK(ask(STAT, no) < 0);
			CHECK(pthread_join(t, 0) == 0);
			for (int j = 0; j < OFTEN; j++) IS(STAT, no, -EXDEV);
		}
		errno = wait_code(pid);
		CHECK(errno == 0);
	}
}
CASE(a_filter_of_another_thread) { both(filter_of_another); }

// What a program that is executed does.
__attribute__((constructor)) static void executed(int argc, char **argv) {
	if (argc < 4 || strcmp(argv[1], "executed")) return;
	now_running = argv[1];
	FAIL_HOT(argv[2], atoi(argv[3]));
	if (argc > 4) {
		make(argv[2]);
		THERE(argv[2]);
	}
	_exit(0);
}
static void execs(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	char *shut = strdup(in("shut/no")), *no = strdup(in("no"));
	for (int i = 0; i < 8; i++) {
		FAIL_HOT(shut, ENOENT), FAIL_HOT(no, ENOENT);
		pid_t pid;
		CHILD(pid) {
			FAIL_ALL(shut, ENOENT);
			if (i & 1) as(1000);
			FAIL_ALL(shut, i & 1 ? EACCES : ENOENT);
			execl("/proc/self/exe", "names", "executed", shut, i & 1 ? "13" : "2", (char *)0);
			_exit(1);
		}
		CHECK(wait_code(pid) == 0);
		CHILD(pid) execl("/proc/self/exe", "names", "executed", no, "2", "make", (char *)0);
		CHECK(wait_code(pid) == 0);
		THERE(no);
		CHILD(pid) {
			THERE(no);
			CHECK(unlink(no) == 0);
			FAIL_HOT(no, ENOENT);
		}
		CHECK(wait_code(pid) == 0);
		FAIL_ALL(no, ENOENT);
	}
}
CASE(fork_and_exec) { both(execs); }

// What a call leaves: all but RAX, RCX and R11, and the flags.
static void check_registers(int nr, const char *path, int want) {
	struct {
		uint64_t in[4], out[13], flags, rsp[2];
		long rax;
	} s = {.in = {nr, (uint64_t)path}};
	static char area[256];
	char *rdx = area;
	__asm__ volatile(
		"push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15; sub $128, %%rsp; push %%rcx\n"
		"mov %%rsp, 144(%%rcx); mov (%%rcx), %%rax; mov 8(%%rcx), %%rdi; mov %%rdx, %%rsi\n"
		"mov $0x1003, %%ebx; mov $0x1004, %%ebp; mov $0x1008, %%r8d; mov $0x1009, %%r9d; mov $0x100a, %%r10d\n"
		"mov $0x100c, %%r12d; mov $0x100d, %%r13d; mov $0x100e, %%r14d; mov $0x100f, %%r15d; mov $64, %%edx\n"
		"movabs $0x1122334455667788, %%r11; movq %%r11, %%xmm7\n"
		"stc; std\n"
		"syscall\n"
		"pushfq; cld; pop %%r11; mov (%%rsp), %%rcx\n"
		"mov %%rsp, 152(%%rcx); mov %%r11, 136(%%rcx); mov %%rax, 160(%%rcx)\n"
		"mov %%rbx, 32(%%rcx); mov %%rbp, 40(%%rcx); mov %%r8, 48(%%rcx); mov %%r9, 56(%%rcx); mov %%r10, 64(%%rcx)\n"
		"mov %%r12, 72(%%rcx); mov %%r13, 80(%%rcx); mov %%r14, 88(%%rcx); mov %%r15, 96(%%rcx)\n"
		"mov %%rdi, 104(%%rcx); mov %%rsi, 112(%%rcx); mov %%rdx, 120(%%rcx); movq %%xmm7, 128(%%rcx)\n"
		"pop %%rcx; add $128, %%rsp; pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp\n"
		: "+d"(rdx)
		: "c"(&s)
		: "rax", "rdi", "rsi", "r8", "r9", "r10", "r11", "xmm7", "memory", "cc");
	uint64_t want_out[13] = {0x1003, 0x1004, 0x1008, 0x1009, 0x100a, 0x100c, 0x100d, 0x100e, 0x100f, (uint64_t)path, (uint64_t)area, 64, 0x1122334455667788};
	errno = -s.rax;
	CHECK(s.rax == want);
	CHECK(!memcmp(s.out, want_out, sizeof s.out));
	CHECK((s.flags & 0x401) == 0x401);
	CHECK(s.rsp[0] == s.rsp[1]);
}
CASE(registers_survive) {
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	make("f");
	for (int i = 0; i < 600; i++) {
		check_registers(SYS_readlink, in("f"), -EINVAL);
		check_registers(SYS_readlink, in("no"), -ENOENT);
		check_registers(SYS_stat, in("no"), -ENOENT);
		check_registers(SYS_lstat, in("a.name.of.some.length.that.takes.many.words"), -ENOENT);
		check_registers(SYS_stat, "no", -ENOENT);
		check_registers(SYS_readlink, (char *)8, -EFAULT);
		check_registers(SYS_readlink, (char *)(1ul << 63), -EFAULT);
		if (i % 100 == 99) make("no"), unlink("no");
	}
}

// Flags that anyone may set: direction, nested task, alignment check.
CASE(odd_flags) {
	static const char paths[] = "0/not.there.and.not.aligned";
	struct stat st;
	for (int i = 0; i < 900; i++) {
		static const uint64_t set[] = {0, 0x400, 0x4000, 0x40000, 0x8d5};
		uint64_t want = 0x202 | set[i % 5], got;
		long r;
		__asm__ volatile("sub $128, %%rsp; push %[w]; popfq; mov $4, %%eax; syscall; pushfq; pop %[g]; push $0x202; popfq; add $128, %%rsp\n"
				 : "=a"(r), [g] "=&r"(got)
				 : [w] "r"(want), "D"(paths + 1), "S"(&st)
				 : "rcx", "r11", "memory", "cc");
		CHECK(r == -ENOENT);
		CHECK((got & 0x44cd5) == (want & 0x44cd5));
	}
}

static volatile int alarms;
static void on_alarm(int sig) {
	int e = errno;
	alarms++;
	CHECK(ask(STAT, "/nothing.in.a.handler") == -ENOENT);
	errno = e;
}
CASE(signals_come_while_it_asks) {
	signal(SIGALRM, on_alarm);
	struct itimerval t = {{0, 2000}, {0, 2000}};
	CHECK(setitimer(ITIMER_REAL, &t, 0) == 0);
	while (alarms < 100) {
		IS(STAT, "/nothing", -ENOENT);
		IS(READLINK, "/proc", -EINVAL);
	}
	memset(&t, 0, sizeof t);
	CHECK(setitimer(ITIMER_REAL, &t, 0) == 0);
	pid_t pid;
	CHILD(pid) for (;;) ask(STAT, "/nothing");
	msleep(50);
	int st;
	CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st));
	CHECK(kill(pid, SIGCONT) == 0 && kill(pid, SIGKILL) == 0 && wait_code(pid) == 128 + SIGKILL);
}

// From here on each case has names seen by others than root in the root directory it was
// started in. A sandbox may have a limit to those it has tables for.
static void chmods(void) {
	CHECK(mkdir(in("d"), 0755) == 0 && mkdir(in("d/e"), 0755) == 0);
	make(in("d/e/f"));
	pipes();
	pid_t pid;
	CHILD(pid) {
		as(1000);
		FAIL_HOT(in("d/e/x"), ENOENT);
		for (int i = 0; i < OFTEN; i++) { FAILS(mkdir(in("d/e"), 0755), EEXIST); IS(READLINK, in("d/e/f"), -EINVAL); }
		say(up), hear(down);
		FAIL_ALL(in("d/e/x"), EACCES);
		FAILS(mkdir(in("d/e"), 0755), EACCES);
		IS(READLINK, in("d/e/f"), -EACCES);
		FAIL_HOT(in("d/e/x"), EACCES);
		say(up), hear(down);
		FAIL_HOT(in("d/e/x"), ENOENT);
		say(up), hear(down);
		FAIL_ALL(in("d/e/x"), EACCES);
		say(up), hear(down);
		FAIL_HOT(in("d/e/x"), ENOENT);
		say(up), hear(down);
		FAIL_ALL(in("d/e/x"), EACCES);
		say(up), hear(down);
		FAIL_HOT(in("d/e/x"), ENOENT);
		say(up), hear(down);
		THERE(in("d/e/x"));
	}
	hear(up); CHECK(chmod(in("d"), 0700) == 0);
	say(down), hear(up); CHECK(chmod(in("d"), 0755) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0600) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0711) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0070) == 0 && chown(in("d/e"), 0, 7) == 0);
	say(down), hear(up); CHECK(chmod(in("d/e"), 0710) == 0 && chown(in("d/e"), -1, 1000) == 0);
	say(down), hear(up), make(in("d/e/x"));
	say(down);
	CHECK(wait_code(pid) == 0);
	for (int i = 0; i < 2; i++) close(up[i]), close(down[i]);
}
CASE(chmod_of_a_directory_is_seen) { both(chmods); }

// Threads of one process with credentials of their own, and a borrowed address space.
static void *unprivileged(void *v) {
	CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
	for (int i = 0; i < OFTEN; i++) FAIL_ALL(in("shut/x"), EACCES), sched_yield();
	return v;
}
static void *unprivileged_hot(void *v) {
	CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
	char shut[400], open[400]; // in is not for threads
	strcpy(shut, ((char **)v)[0]), strcpy(open, ((char **)v)[1]);
	for (int i = 0; i < 200; i++) FAIL_ALL(shut, EACCES), FAIL_ALL(open, ENOENT);
	return v;
}
static void threads(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	char *p[] = {strdup(in("shut/x")), strdup(in("open"))};
	FAIL_HOT(p[0], ENOENT), FAIL_HOT(p[1], ENOENT);
	pthread_t t;
	CHECK(pthread_create(&t, 0, unprivileged, 0) == 0 && pthread_join(t, 0) == 0);
	FAIL_HOT(p[0], ENOENT);
	for (int i = 0; i < 10; i++) {
		CHECK(pthread_create(&t, 0, unprivileged_hot, p) == 0);
		for (int j = 0; j < 200; j++) FAIL_ALL(p[0], ENOENT), FAIL_ALL(p[1], ENOENT);
		CHECK(pthread_join(t, 0) == 0);
	}
}
CASE(threads_with_other_credentials) { both(threads); }

static void vforks(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	const char *shut = strdup(in("shut/x"));
	for (int i = 0; i < 20; i++) {
		FAIL_HOT(shut, ENOENT);
		pid_t pid = vfork();
		if (pid == 0) {
			if (syscall(SYS_setresuid, 1000, 1000, 1000)) _exit(1);
			for (int k = 0; k < KINDS; k++)
				if (ask(k, shut) != -EACCES) _exit(10 + k);
			for (int j = 0; j < OFTEN; j++)
				if (ask(STAT, shut) != -EACCES) _exit(2);
			if (ask(STAT, base) != 0) _exit(3);
			_exit(0);
		}
		int code = wait_code(pid);
		errno = code;
		CHECK(code == 0);
		FAIL_ALL(shut, ENOENT);
	}
}
CASE(vfork_with_other_credentials) { both(vforks); }

static int move_root(void *v) { return chroot(v) ? errno : 0; }
static void *move_root_too(void *v) { return (void *)(long)move_root(v); }
static void roots(void) {
	pid_t pid;
	CHECK(mkdir(in("r"), 0755) == 0 && mkdir(in("r/s"), 0755) == 0);
	make(in("r/here.by.names")), make(in("r/s/there.by.names"));
	for (int how = 0; how < 3; how++) {
		CHILD(pid) {
			char r[400];
			strcpy(r, in("r"));
			FAIL_HOT("/here.by.names", ENOENT);
			FAIL_HOT("/there.by.names", ENOENT);
			THERE_HOT(r);
			if (how == 0) CHECK(chroot(r) == 0);
			if (how == 1) { // another thread
				pthread_t t;
				void *e;
				CHECK(pthread_create(&t, 0, move_root_too, r) == 0 && pthread_join(t, &e) == 0 && e == 0);
			}
			if (how == 2) { // another process
				static char stack[65536] __attribute__((aligned(16)));
				pid_t c = clone(move_root, stack + sizeof stack, CLONE_FS | SIGCHLD, r);
				CHECK(c > 0 && wait_code(c) == 0);
			}
			THERE("/here.by.names");
			FAIL_ALL("/there.by.names", ENOENT);
			FAIL_ALL(r, ENOENT);
			THERE_HOT("/here.by.names");
			FAIL_HOT("/there.by.names", ENOENT);
			CHECK(chroot("/s") == 0);
			THERE("/there.by.names");
			THERE_HOT("/../there.by.names");
			FAIL_HOT("/here.by.names", ENOENT);
			FAIL_HOT("/../here.by.names", ENOENT);
		}
		CHECK(wait_code(pid) == 0);
	}
	FAIL_ALL("/here.by.names", ENOENT);
}
CASE(chroot_is_seen) { both(roots); }

// into enters a namespace, where it has the root directory it had.
static void into(int ns, int root) { CHECK(setns(ns, CLONE_NEWNS) == 0 && fchdir(root) == 0 && chroot(".") == 0); }

static void mounts(void) {
	pid_t pid;
	CHECK(mkdir(in("m"), 0755) == 0 && mkdir(in("n"), 0755) == 0);
	make(in("m/under")), make(in("n/bound"));
	CHILD(pid) {
		FAIL_HOT(in("m/x"), ENOENT);
		THERE_HOT(in("m/under"));
		alone();
		FAIL_HOT(in("m/x"), ENOENT);
		for (int i = 0; i < 12; i++) {
			CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0);
			FAIL_ALL(in("m/under"), ENOENT);
			FAIL_HOT(in("m/under"), ENOENT);
			make(in("m/x"));
			THERE(in("m/x"));
			CHECK(umount2(in("m"), i & 1 ? MNT_DETACH : 0) == 0);
			FAIL_ALL(in("m/x"), ENOENT);
			THERE_HOT(in("m/under"));
		}
		FAIL_HOT(in("m/bound"), ENOENT);
		CHECK(mount(in("n"), in("m"), "", MS_BIND, "") == 0);
		THERE(in("m/bound"));
		FAIL_HOT(in("m/under"), ENOENT);
		FAIL_HOT(in("m/late"), ENOENT);
		make(in("n/late")); // by its other name
		THERE(in("m/late"));
		CHECK(unlink(in("m/late")) == 0);
		FAIL_HOT(in("n/late"), ENOENT);
		CHECK(rename(in("n/bound"), in("n/late")) == 0);
		THERE(in("m/late"));
		CHECK(mkdir(in("o"), 0755) == 0);
		FAIL_HOT(in("o/late"), ENOENT);
		CHECK(mount(in("m"), in("o"), "", MS_MOVE, "") == 0);
		THERE(in("o/late"));
		THERE(in("m/under"));
		CHECK(umount(in("o")) == 0 && rename(in("n/late"), in("n/bound")) == 0 && rmdir(in("o")) == 0);
		// A mount that follows no links.
		CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0 && symlink("nothing", in("m/l")) == 0);
		heat_(__LINE__, in("m/l"), -ENOENT, 0, 0);
		CHECK(mount("", in("m"), "", MS_REMOUNT | MS_BIND | 256, "") == 0); // MS_NOSYMFOLLOW
		IS(STAT, in("m/l"), -ELOOP), IS(ACCESS, in("m/l"), -ELOOP);
		CHECK(mount("", in("m"), "", MS_REMOUNT | MS_BIND, "") == 0);
		heat_(__LINE__, in("m/l"), -ENOENT, 0, 0);
	}
	CHECK(wait_code(pid) == 0);
	FAIL_ALL(in("m/x"), ENOENT);
	THERE(in("m/under"));
	// Somebody else mounts, in the same namespace and in another.
	pipes();
	alone();
	FAIL_HOT(in("m/x"), ENOENT), THERE_HOT(in("m/under"));
	CHILD(pid) {
		FAIL_HOT(in("m/x"), ENOENT), THERE_HOT(in("m/under"));
		CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0);
		make(in("m/x"));
		say(up), hear(down);
		CHECK(umount(in("m")) == 0);
		say(up), hear(down);
		alone();
		CHECK(mount("t", in("m"), "tmpfs", 0, "") == 0);
		make(in("m/x"));
		FAIL_HOT(in("m/under"), ENOENT);
		say(up), hear(down);
	}
	hear(up);
	THERE(in("m/x"));
	FAIL_HOT(in("m/under"), ENOENT);
	say(down), hear(up);
	FAIL_HOT(in("m/x"), ENOENT);
	THERE(in("m/under"));
	say(down), hear(up);
	FAIL_ALL(in("m/x"), ENOENT);
	THERE(in("m/under"));
	// Into that namespace and back.
	char b[64];
	sprintf(b, "/proc/%d/ns/mnt", pid);
	int mine = open("/proc/self/ns/mnt", O_RDONLY), other = open(b, O_RDONLY);
	sprintf(b, "/proc/%d/root", pid);
	int root = open("/", O_PATH), its = open(b, O_PATH);
	CHECK(mine >= 0 && other >= 0 && root >= 0 && its >= 0);
	for (int i = 0; i < 12; i++) {
		FAIL_HOT(in("m/x"), ENOENT);
		into(other, its);
		THERE(in("m/x"));
		FAIL_HOT(in("m/under"), ENOENT);
		into(mine, root);
		FAIL_ALL(in("m/x"), ENOENT);
		THERE(in("m/under"));
	}
	say(down);
	CHECK(wait_code(pid) == 0);
	for (int i = 0; i < 2; i++) close(up[i]), close(down[i]);
	close(mine), close(other), close(root), close(its);
}
CASE(mounts_are_seen) { both(mounts); }

CASE(pivot_root_is_seen) {
	alone();
	snprintf(base, sizeof base, "/tmp/case/%s", now_running);
	CHECK(mkdir("n", 0755) == 0 && mount("t", "n", "tmpfs", 0, 0) == 0 && mkdir("n/old", 0755) == 0);
	make("n/pivoted.by.names");
	FAIL_HOT("/pivoted.by.names", ENOENT);
	FAIL_HOT("/old/proc", ENOENT);
	THERE_HOT("/proc/version");
	pipes();
	pid_t pid;
	CHILD(pid) {
		FAIL_HOT("/pivoted.by.names", ENOENT);
		THERE_HOT("/proc/version");
		say(up), hear(down);
		THERE("/pivoted.by.names"); // all who have the old root
		FAIL_ALL("/proc/version", ENOENT);
	}
	hear(up);
	CHECK(syscall(SYS_pivot_root, "n", "n/old") == 0 && chdir("/") == 0);
	say(down);
	THERE("/pivoted.by.names");
	THERE("/old/proc");
	FAIL_ALL("/proc/version", ENOENT);
	FAIL_HOT("/proc/version", ENOENT);
	CHECK(wait_code(pid) == 0);
	CHECK(umount2("/old", MNT_DETACH) == 0);
	FAIL_ALL("/old/proc", ENOENT);
	FAIL_ALL("/old/proc/version", ENOENT);
}

// What one may see changes with one's credentials.
static void lose(int how) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};
	switch (how) {
	case 0: CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0); break;
	case 1: CHECK(syscall(SYS_setresuid, -1, 1000, -1) == 0); break;
	case 2: CHECK(syscall(SYS_setuid, 1000) == 0); break;
	case 3: CHECK(syscall(SYS_setreuid, 1000, 1000) == 0); break;
	case 4: setfsuid(1000); CHECK(setfsuid(-1) == 1000); break;
	case 5: // nobody's capabilities, but one's own directory: another owner than root
		CHECK(chown(in("shut"), 1, 1) == 0);
		CHECK(syscall(SYS_capset, &h, d) == 0);
		break;
	case 6:
		CHECK(chown(in("shut"), 1, 1) == 0);
		CHECK(syscall(SYS_capget, &h, d) == 0);
		d[0].effective &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH);
		CHECK(syscall(SYS_capset, &h, d) == 0);
		break;
	}
}
static void credentials(void) {
	CHECK(mkdir(in("shut"), 0700) == 0);
	make(in("shut/f"));
	for (int how = 0; how < 7; how++) {
		pid_t pid;
		CHILD(pid) {
			FAIL_HOT(in("shut/x"), ENOENT);
			FAIL_HOT(in("shut/f/x"), ENOTDIR);
			THERE_HOT(in("shut/f"));
			FAIL_HOT(in("open"), ENOENT);
			lose(how);
			FAIL_ALL(in("open"), ENOENT);
			for (int k = 0; k < KINDS; k++) {
				if (how >= 1 && (how == 1 || how > 3) && (k == ACCESS || k == FACCESSAT)) continue; // of the real user
				IS(k, in("shut/x"), -EACCES);
				IS(k, in("shut/f"), -EACCES);
				IS(k, in("shut/f/x"), -EACCES);
			}
			FAIL_HOT(in("open"), ENOENT);
		}
		CHECK(wait_code(pid) == 0);
		CHECK(chown(in("shut"), 0, 0) == 0);
	}
	// To and fro.
	pid_t pid;
	CHILD(pid) for (int i = 0; i < 20; i++) {
		FAIL_HOT(in("shut/x"), ENOENT);
		CHECK(syscall(SYS_setresuid, -1, 1000, -1) == 0);
		IS(STAT, in("shut/x"), -EACCES), IS(OPEN, in("shut/x"), -EACCES);
		FAIL_HOT(in("open"), ENOENT);
		CHECK(syscall(SYS_setresuid, -1, 0, -1) == 0);
	}
	CHECK(wait_code(pid) == 0);
	// Groups.
	CHECK(chown(in("shut"), 0, 77) == 0 && chmod(in("shut"), 0710) == 0);
	CHILD(pid) {
		gid_t g[] = {5, 77};
		CHECK(syscall(SYS_setgroups, 2, g) == 0);
		CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && syscall(SYS_setresgid, 1000, 1000, 1000) == 0 && syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
		struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct d[2] = {{0}};
		d[0].permitted = d[0].effective = 1 << CAP_SETGID;
		CHECK(syscall(SYS_capset, &h, d) == 0);
		for (int i = 0; i < 10; i++) {
			CHECK(syscall(SYS_setgroups, 2, g) == 0);
			FAIL_HOT(in("shut/x"), ENOENT);
			CHECK(syscall(SYS_setgroups, 1, g) == 0);
			FAIL_ALL(in("shut/x"), EACCES);
			CHECK(syscall(SYS_setresgid, -1, 77, -1) == 0);
			IS(STAT, in("shut/x"), -ENOENT), IS(OPEN, in("shut/x"), -ENOENT);
			CHECK(syscall(SYS_setresgid, -1, 1000, -1) == 0);
			FAIL_ALL(in("shut/x"), EACCES);
		}
	}
	CHECK(wait_code(pid) == 0);
}
CASE(credentials_that_are_given_up) { both(credentials); }
