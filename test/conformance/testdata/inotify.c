// inotify(7).
#include "case.h"
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

static int n;
static void start(void) { CHECK((n = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0); }
static void touch(const char *name) {
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0 && close(fd) == 0);
}
static char buf[8192];
static size_t have, at;
// next returns the next event, 0 if there is none.
static struct inotify_event *next(void) {
	if (at >= have) {
		ssize_t k = read(n, buf, sizeof buf);
		if (k <= 0) return 0;
		have = k, at = 0;
	}
	struct inotify_event *e = (void *)(buf + at);
	at += sizeof *e + e->len;
	return e;
}
#define EXPECT(m, nm)                                                                           \
	do {                                                                                    \
		struct inotify_event *e_ = next();                                              \
		CHECK(e_ && e_->mask == (uint32_t)(m) && !strcmp(e_->len ? e_->name : "", nm)); \
	} while (0)

CASE(file_life) {
	start();
	CHECK(inotify_add_watch(n, ".", IN_ALL_EVENTS) == 1);
	touch("f");
	EXPECT(IN_CREATE, "f");
	EXPECT(IN_OPEN, "f");
	EXPECT(IN_CLOSE_WRITE, "f");
	int fd = open("f", O_RDWR);
	char c;
	CHECK(write(fd, "x", 1) == 1 && pread(fd, &c, 1, 0) == 1 && close(fd) == 0 && chmod("f", 0600) == 0 && unlink("f") == 0);
	EXPECT(IN_OPEN, "f");
	EXPECT(IN_MODIFY, "f");
	EXPECT(IN_ACCESS, "f");
	EXPECT(IN_CLOSE_WRITE, "f");
	EXPECT(IN_ATTRIB, "f");
	EXPECT(IN_DELETE, "f");
	CHECK(!next());
}
CASE(directories) {
	start();
	CHECK(inotify_add_watch(n, ".", IN_CREATE | IN_DELETE) == 1 && mkdir("d", 0755) == 0 && rmdir("d") == 0);
	EXPECT(IN_CREATE | IN_ISDIR, "d");
	EXPECT(IN_DELETE | IN_ISDIR, "d");
}
CASE(moves) {
	start();
	touch("a");
	CHECK(mkdir("d", 0755) == 0 && inotify_add_watch(n, ".", IN_MOVE) == 1 && inotify_add_watch(n, "d", IN_MOVE) == 2 && rename("a", "d/b") == 0);
	struct inotify_event *e = next();
	CHECK(e && e->wd == 1 && e->mask == IN_MOVED_FROM && e->cookie != 0);
	uint32_t cookie = e->cookie;
	e = next();
	CHECK(e && e->wd == 2 && e->mask == IN_MOVED_TO && e->cookie == cookie && !strcmp(e->name, "b"));
}
CASE(self) {
	start();
	touch("f");
	CHECK(inotify_add_watch(n, "f", IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB) == 1 && rename("f", "g") == 0 && unlink("g") == 0);
	EXPECT(IN_MOVE_SELF, "");
	EXPECT(IN_ATTRIB, "");
	EXPECT(IN_DELETE_SELF, "");
	EXPECT(IN_IGNORED, "");
	FAILS(inotify_rm_watch(n, 1), EINVAL);
}
CASE(deleted_while_open) {
	start();
	touch("f");
	int fd = open("f", O_RDWR), other = open("f", O_RDONLY);
	CHECK(inotify_add_watch(n, "f", IN_DELETE_SELF | IN_ATTRIB | IN_CLOSE | IN_MODIFY) == 1 && inotify_add_watch(n, ".", IN_DELETE) == 2);
	CHECK(unlink("f") == 0);
	EXPECT(IN_ATTRIB, "");
	EXPECT(IN_DELETE, "f");
	CHECK(!next() && write(fd, "x", 1) == 1);
	EXPECT(IN_MODIFY, "");
	CHECK(close(other) == 0);
	EXPECT(IN_CLOSE_NOWRITE, "");
	CHECK(!next() && close(fd) == 0);
	EXPECT(IN_CLOSE_WRITE, "");
	EXPECT(IN_DELETE_SELF, ""); // with the last use
	EXPECT(IN_IGNORED, "");
}
CASE(deleted_with_watch_on_parent) {
	start();
	touch("f");
	CHECK(mkdir("d", 0755) == 0 && inotify_add_watch(n, "f", IN_DELETE_SELF) == 1 && inotify_add_watch(n, ".", IN_DELETE) == 2 && inotify_add_watch(n, "d", IN_DELETE_SELF) == 3);
	CHECK(unlink("f") == 0 && rmdir("d") == 0);
	EXPECT(IN_DELETE_SELF, "");
	EXPECT(IN_IGNORED, "");
	EXPECT(IN_DELETE, "f");
	EXPECT(IN_DELETE_SELF, "");
	EXPECT(IN_IGNORED, "");
	EXPECT(IN_DELETE | IN_ISDIR, "d");
}
CASE(replaced_while_open) {
	start();
	touch("a"), touch("b");
	int fd = open("b", O_RDONLY);
	CHECK(inotify_add_watch(n, "b", IN_DELETE_SELF | IN_ATTRIB) == 1 && rename("a", "b") == 0);
	EXPECT(IN_ATTRIB, "");
	CHECK(!next() && close(fd) == 0);
	EXPECT(IN_DELETE_SELF, "");
	EXPECT(IN_IGNORED, "");
}
CASE(mapped_file_is_in_use) {
	start();
	touch("f");
	int fd = open("f", O_RDWR);
	CHECK(ftruncate(fd, 4096) == 0);
	char *p = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && inotify_add_watch(n, "f", IN_DELETE_SELF) == 1 && close(fd) == 0 && unlink("f") == 0 && !next());
	CHECK(munmap(p, 4096) == 0);
	EXPECT(IN_DELETE_SELF, "");
	EXPECT(IN_IGNORED, "");
}
CASE(truncating_open) {
	start();
	touch("f");
	CHECK(truncate("f", 100) == 0 && inotify_add_watch(n, ".", IN_OPEN | IN_MODIFY | IN_CREATE) == 1);
	int fd = open("f", O_WRONLY | O_TRUNC);
	EXPECT(IN_OPEN, "f");
	EXPECT(IN_MODIFY, "f");
	CHECK(close(fd) == 0 && (fd = open("new", O_CREAT | O_TRUNC | O_WRONLY, 0644)) >= 0);
	EXPECT(IN_CREATE, "new");
	EXPECT(IN_OPEN, "new");
	CHECK(!next());
}
CASE(masks) {
	start();
	touch("f");
	CHECK(inotify_add_watch(n, "f", IN_OPEN) == 1 && inotify_add_watch(n, "f", IN_MODIFY) == 1 && inotify_add_watch(n, "f", IN_CLOSE_WRITE | IN_MASK_ADD) == 1);
	int fd = open("f", O_WRONLY);
	CHECK(write(fd, "x", 1) == 1 && close(fd) == 0);
	EXPECT(IN_MODIFY, "");
	EXPECT(IN_CLOSE_WRITE, "");
	CHECK(!next());
	FAILS(inotify_add_watch(n, "f", IN_OPEN | IN_MASK_CREATE), EEXIST);
}
CASE(oneshot) {
	start();
	CHECK(inotify_add_watch(n, ".", IN_CREATE | IN_ONESHOT) == 1);
	touch("a"), touch("b");
	EXPECT(IN_CREATE, "a");
	EXPECT(IN_IGNORED, "");
	CHECK(!next());
}
CASE(remove_watch) {
	start();
	CHECK(inotify_add_watch(n, ".", IN_CREATE) == 1 && inotify_rm_watch(n, 1) == 0);
	touch("a");
	EXPECT(IN_IGNORED, "");
	CHECK(!next());
	FAILS(inotify_rm_watch(n, 1), EINVAL);
	CHECK(inotify_add_watch(n, ".", IN_CREATE) == 2);
}
CASE(repeated_events_are_one) {
	start();
	int fd = open("f", O_CREAT | O_RDWR, 0600);
	CHECK(inotify_add_watch(n, "f", IN_MODIFY) == 1 && write(fd, "a", 1) == 1 && write(fd, "b", 1) == 1);
	EXPECT(IN_MODIFY, "");
	CHECK(!next());
}
CASE(readiness) {
	start();
	struct pollfd p = {n, POLLIN, 0};
	int left;
	CHECK(inotify_add_watch(n, ".", IN_CREATE) == 1 && poll(&p, 1, 0) == 0);
	FAILS(read(n, buf, sizeof buf), EAGAIN);
	touch("abc");
	CHECK(poll(&p, 1, 1000) == 1 && ioctl(n, FIONREAD, &left) == 0 && left == 32);
	FAILS(read(n, buf, 8), EINVAL);
	EXPECT(IN_CREATE, "abc");
}
CASE(blocking_read) {
	CHECK((n = inotify_init()) >= 0 && inotify_add_watch(n, ".", IN_CREATE) == 1);
	pid_t pid;
	CHILD(pid) {
		msleep(30);
		touch("later");
	}
	EXPECT(IN_CREATE, "later");
	CHECK(wait_code(pid) == 0);
}
CASE(arguments) {
	start();
	touch("f");
	FAILS(inotify_init1(1), EINVAL);
	FAILS(inotify_add_watch(n, "f", 0), EINVAL);
	FAILS(inotify_add_watch(n, "x", IN_OPEN), ENOENT);
	FAILS(inotify_add_watch(n, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
	FAILS(inotify_add_watch(999, "f", IN_OPEN), EBADF);
	FAILS(inotify_add_watch(open("f", O_RDONLY), "f", IN_OPEN), EINVAL);
	FAILS(write(n, "x", 1), EBADF);
}
