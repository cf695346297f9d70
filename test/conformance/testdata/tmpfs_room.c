// How much a tmpfs of a limited size holds: pages count, whoever makes them, and come back.
#include "case.h"
#include <sched.h>
#include <setjmp.h>
#include <sys/mount.h>
#include <sys/statfs.h>

enum { P = 4096, ROOM = 256 };

// room mounts a tmpfs of ROOM pages at m.
static void room(void) {
	CHECK(unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0);
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", 0, "size=1m") == 0);
}
static long left(void) {
	struct statfs s;
	CHECK(statfs("m", &s) == 0 && s.f_blocks == ROOM && s.f_bavail == s.f_bfree);
	return s.f_bfree;
}
// sized makes a file of so many pages without any of them.
static int sized(const char *name, long pages) {
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0 && ftruncate(fd, pages * P) == 0);
	return fd;
}
static char *mapped(int fd, long pages) {
	char *p = mmap(0, pages * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static sigjmp_buf back;
static void bus(int sig) { siglongjmp(back, sig); }

// touched writes to each step-th page of p until that is a bus error, and returns how many it wrote to.
static long touched(char *p, long pages, long step) {
	static volatile long n;
	n = 0;
	signal(SIGBUS, bus);
	if (!sigsetjmp(back, 1))
		for (long i = 0; i < pages; i += step, n++) p[i * P] = 1;
	return n;
}

CASE(touching_ends_in_sigbus) {
	room();
	int fd = sized("m/f", 16 * ROOM);
	CHECK(touched(mapped(fd, 16 * ROOM), 16 * ROOM, 1) == ROOM && left() == 0);
	char b[P] = {0};
	int other = open("m/g", O_RDWR | O_CREAT, 0600);
	FAILS(write(other, b, sizeof b), ENOSPC);
	CHECK(pwrite(fd, b, sizeof b, 0) == sizeof b); // that page is there
	FAILS(pwrite(fd, b, sizeof b, 15L * ROOM * P), ENOSPC);
	CHECK(ftruncate(fd, 0) == 0 && left() == ROOM && write(other, b, sizeof b) == sizeof b && left() == ROOM - 1);
}
CASE(backwards_and_apart) {
	room();
	int fd = sized("m/f", 16 * ROOM);
	CHECK(touched(mapped(fd, 16 * ROOM), 16 * ROOM, 17) >= 16 * ROOM / 17 * 7 / 8);
	CHECK(ftruncate(fd, 0) == 0 && left() == ROOM && ftruncate(fd, 16L * ROOM * P) == 0);
	char *p = mapped(fd, 16 * ROOM);
	long n = 0;
	signal(SIGBUS, bus);
	if (!sigsetjmp(back, 1))
		for (long i = 16 * ROOM - 1; i >= 0; i--, n++) p[i * P] = 1;
	CHECK(left() == 0);
}
CASE(two_files_share_the_room) {
	room();
	int a = sized("m/a", ROOM), b = sized("m/b", ROOM);
	char *p = mapped(a, ROOM), *q = mapped(b, ROOM);
	for (int i = 0; i < 100; i++) p[i * P] = 1;
	CHECK(touched(q, ROOM, 1) >= ROOM - 100 - ROOM / 8 && left() == 0);
	CHECK(munmap(p, ROOM * P) == 0 && unlink("m/a") == 0 && left() == 0); // a is still open
	CHECK(close(a) == 0 && left() > 90);
	CHECK(touched(q, ROOM, 1) == ROOM);
}
CASE(punched) {
	room();
	int fd = sized("m/f", ROOM);
	char *p = mapped(fd, ROOM);
	CHECK(touched(p, ROOM, 1) == ROOM && left() == 0);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16 * P, 32 * P) == 0 && left() == 32);
	int g = sized("m/g", ROOM);
	CHECK(touched(mapped(g, ROOM), ROOM, 1) == 32 && left() == 0 && touched(p + 16 * P, 32, 1) == 0 && touched(p, 16, 1) == 16);
}
CASE(a_write_stops_where_the_room_ends) {
	room();
	static char b[300 * P];
	int fd = open("m/f", O_RDWR | O_CREAT, 0600);
	CHECK(pwrite(fd, b, sizeof b, 100) == ROOM * P - 100 && left() == 0);
	FAILS(pwrite(fd, b, sizeof b, ROOM * P), ENOSPC);
	CHECK(ftruncate(fd, 10 * P) == 0 && left() == ROOM - 10);
	// Over pages that are there and on into a hole.
	CHECK(pwrite(fd, b, sizeof b, 5 * P + 1) == (ROOM - 5) * P - 1 && left() == 0);
	struct stat st;
	CHECK(fstat(fd, &st) == 0 && st.st_size == ROOM * P && st.st_blocks == ROOM * P / 512);
	memset(b, 7, P);
	CHECK(pwrite(fd, b, P, 3 * P) == P && left() == 0 && pread(fd, b + P, P, 3 * P) == P && b[P] == 7);
}
CASE(allocated_pages_count) {
	room();
	int fd = sized("m/f", 0), g = sized("m/g", ROOM);
	CHECK(fallocate(fd, 0, 0, 200 * P) == 0 && left() == ROOM - 200);
	CHECK(touched(mapped(g, ROOM), ROOM, 1) == ROOM - 200);
	FAILS(fallocate(fd, 0, 200 * P, P), ENOSPC);
	CHECK(ftruncate(g, 0) == 0 && left() == ROOM - 200);
	// What there is no room for whole is not allocated in part.
	FAILS(fallocate(g, 0, 0, 57 * P), ENOSPC);
	CHECK(left() == ROOM - 200);
	struct stat st;
	CHECK(fstat(g, &st) == 0 && st.st_size == 0 && st.st_blocks == 0);
	CHECK(fallocate(fd, 0, 100 * P, 156 * P) == 0 && left() == 0); // a hundred of them are there
}
CASE(size_in_bytes) {
	CHECK(unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0);
	CHECK(mkdir("m", 0755) == 0 && mount("x", "m", "tmpfs", 0, "size=5000") == 0);
	struct statfs s;
	CHECK(statfs("m", &s) == 0 && s.f_blocks == 2);
	static char b[3 * P];
	CHECK(write(open("m/f", O_RDWR | O_CREAT, 0600), b, sizeof b) == 2 * P);
}
