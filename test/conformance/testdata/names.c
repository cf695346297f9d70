// Calls that fail again and again for a path: a sandbox may answer them from a table. The
// first one after a change, by whomever, must be right.
#include "names.h"

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
