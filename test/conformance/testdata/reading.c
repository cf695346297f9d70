// Files that are opened and read, by programs that do so often, while all processors are busy: what is read when, and by
// whom, if something happens between the open and the read.
#include "echoes.h"
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/sysinfo.h>

enum { SIZE = 6000 };
static atomic_int *flag;
static char *file, want[SIZE], got[SIZE + 100];

static void fill(char *b, int n, int salt) {
	for (int i = 0; i < n; i++) b[i] = 'a' + (i * 7 + i / 26 + salt) % 26;
}
static int reopen(void) {
	int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY);
	CHECK(fd >= 0);
	return fd;
}
static long get(int fd, void *b, unsigned long n) {
	long r = syscall(SYS_read, fd, b, n);
	return r < 0 ? -errno : r;
}
static void habit(void) {
	for (int i = 0; i < OFTEN; i++) {
		int fd = reopen();
		memset(got, 0, sizeof got);
		CHECK(get(fd, got, sizeof got) == SIZE && !memcmp(got, want, SIZE) && get(fd, got, 1) == 0 && syscall(SYS_close, fd) == 0);
	}
}
static void again(void) {
	file = strdup(in("file"));
	fill(want, SIZE, 0);
	int fd = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	CHECK(fd >= 0 && write(fd, want, SIZE) == SIZE && close(fd) == 0);
	habit();
}
// busily does f while nothing may wait on a processor of its own.
static void busily(void (*f)(void)) {
	int n = get_nprocs();
	pid_t hog[n];
	for (int i = 0; i < n; i++) CHILD(hog[i])
		for (;;) {
		}
	CHECK((flag = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	both(f);
	for (int i = 0; i < n; i++) CHECK(kill(hog[i], SIGKILL) == 0 && wait_code(hog[i]) == 128 + SIGKILL);
}

static void offsets(void) {
	again();
	int fd = reopen();
	CHECK(get(fd, got, 100) == 100 && get(fd, got + 100, 50) == 50 && !memcmp(got, want, 150));
	CHECK(lseek(fd, 0, SEEK_CUR) == 150 && get(fd, got, 10) == 10 && !memcmp(got, want + 150, 10));
	CHECK(lseek(fd, 0, SEEK_CUR) == 160 && lseek(fd, 0, SEEK_CUR) == 160 && lseek(fd, 0, SEEK_CUR) == 160);
	CHECK(get(fd, got, 10) == 10 && lseek(fd, 0, SEEK_CUR) == 170 && lseek(fd, 5, SEEK_SET) == 5);
	CHECK(get(fd, got, sizeof got) == SIZE - 5 && !memcmp(got, want + 5, SIZE - 5) && get(fd, got, 1) == 0 && close(fd) == 0);
	fd = reopen();
	for (int i = 0; i < OFTEN; i++) CHECK(lseek(fd, 0, SEEK_CUR) == 0);
	CHECK(get(fd, got, 3) == 3 && lseek(fd, 0, SEEK_CUR) == 3 && close(fd) == 0);
	fd = reopen();
	char b[100], info[40];
	CHECK(get(fd, got, 7) == 7 && pread(fd, got, 5, 1) == 5 && !memcmp(got, want + 1, 5));
	snprintf(info, sizeof info, "/proc/self/fdinfo/%d", fd);
	int i = open(info, O_RDONLY);
	CHECK(i >= 0 && read(i, b, sizeof b) > 0 && !strncmp(b, "pos:\t7\n", 7) && close(i) == 0 && close(fd) == 0);
	fd = reopen();
	struct iovec v[2] = {{got, 4}, {got + 4, 4}};
	CHECK(get(fd, got, 0) == 0 && get(fd, (void *)-1, 0) >= -EFAULT && readv(fd, v, 2) == 8 && get(fd, got + 8, 4) == 4 && !memcmp(got, want, 12));
}
CASE(offsets_move_on) { busily(offsets); }

static void access_time(void) {
	again();
	struct timespec t[2] = {{1000, 1}, {2000, 2}};
	struct stat a, b, c;
	int other = open(in("other"), O_CREAT | O_RDWR, 0644);
	CHECK(write(other, "x", 1) == 1 && futimens(other, t) == 0 && pread(other, got, 1, 0) == 1 && fstat(other, &a) == 0 && close(other) == 0);
	int moves = a.st_atim.tv_sec > 2000; // not where the file system is mounted with noatime
	for (int i = 0; i < OFTEN; i++) {
		int fd = reopen();
		CHECK(fstat(fd, &a) == 0 && get(fd, got, SIZE) == SIZE && close(fd) == 0);
	}
	for (int i = 0; i < 6; i++) {
		CHECK(utimensat(AT_FDCWD, file, t, 0) == 0);
		int fd = reopen();
		CHECK(fstat(fd, &a) == 0 && a.st_atim.tv_sec == 1000 && get(fd, got, i & 1 ? SIZE : SIZE + 1) == SIZE && fstat(fd, &b) == 0);
		CHECK(stat(file, &c) == 0 && b.st_atim.tv_sec == c.st_atim.tv_sec && (b.st_atim.tv_sec > 2000) == moves && b.st_atim.tv_nsec == c.st_atim.tv_nsec && close(fd) == 0);
	}
}
CASE(the_access_time_is_that_of_the_read) { busily(access_time); }

static void buffers(void) {
	again();
	char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED && mprotect(m + 4096, 4096, PROT_NONE) == 0);
	int fd = reopen();
	long r = get(fd, m, 8192);
	CHECK(r == 4096 && !memcmp(m, want, 4096) && lseek(fd, 0, SEEK_CUR) == 4096 && close(fd) == 0);
	fd = reopen();
	CHECK(get(fd, m + 4096, 10) == -EFAULT && get(fd, m, 10) == 10 && !memcmp(m, want, 10) && close(fd) == 0);
	fd = reopen();
	// Where systrap has memory of its own the stack may be otherwise: it grows to what is touched.
	const uintptr_t stub = 0x7fffe0000000, stack = (uintptr_t)__builtin_frame_address(0);
	CHECK(stack - stub < 16 << 20 || get(fd, (void *)stub, 10) == -EFAULT);
	CHECK(get(fd, (void *)0x7fffffffff00, 10) == -EFAULT && get(fd, (void *)-8, 10) == -EFAULT);
	CHECK(get(fd, m, 1 << 20) == 4096 && close(fd) == 0);
	CHECK(munmap(m, 8192) == 0);
}
CASE(buffers_that_fault) { busily(buffers); }

// The direction flag is the program's.
static void backwards(void) {
	again();
	for (int i = 0; i < 3; i++) {
		int fd = reopen();
		long r;
		unsigned long flags;
		memset(got, 0, sizeof got);
		__asm__ volatile("std; syscall; pushfq; popq %1; cld" : "=a"(r), "=r"(flags) : "0"(SYS_read), "D"(fd), "S"(got), "d"(sizeof got) : "rcx", "r11", "memory");
		CHECK(r == SIZE && !memcmp(got, want, SIZE) && flags & 1 << 10 && close(fd) == 0);
		fd = reopen();
		memset(got, 0, sizeof got);
		CHECK(get(fd, got, sizeof got) == SIZE && !memcmp(got, want, SIZE) && close(fd) == 0);
	}
}
CASE(with_the_direction_flag) { busily(backwards); }

static int way, writer;
static char *shown;
static void change(void) {
	int fd;
	char *m;
	fill(want, SIZE, way + 1);
	switch (way) {
	case 0: CHECK((fd = open(file, O_WRONLY)) >= 0 && pwrite(fd, want, SIZE, 0) == SIZE && close(fd) == 0); break;
	case 1: CHECK(pwrite(writer, want, SIZE, 0) == SIZE); break;
	case 2:
		CHECK((fd = open(file, O_RDWR)) >= 0 && (m = mmap(0, SIZE, PROT_WRITE, MAP_SHARED, fd, 0)) != MAP_FAILED && close(fd) == 0);
		memcpy(m, want, SIZE), munmap(m, SIZE);
		break;
	case 3: memcpy(shown, want, SIZE); break;
	case 4: CHECK(truncate(file, 0) == 0 && (fd = open(file, O_WRONLY)) >= 0 && write(fd, want, SIZE) == SIZE && close(fd) == 0); break;
	case 5: CHECK((fd = open(file, O_WRONLY | O_TRUNC)) >= 0 && write(fd, want, SIZE) == SIZE && close(fd) == 0); break;
	}
}
static void changed(void) {
	again();
	for (way = 0; way < 6; way++)
		for (int part = 0; part < 2; part++) {
			habit();
			writer = way == 1 ? open(file, O_WRONLY) : -1;
			if (way == 3) {
				int rw = open(file, O_RDWR);
				CHECK((shown = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, rw, 0)) != MAP_FAILED && close(rw) == 0);
			}
			pid_t pid;
			*flag = 0;
			CHILD(pid) {
				while (*flag != 1) sched_yield();
				change();
				*flag = 2;
			}
			int fd = reopen(), had = part * 10;
			CHECK(get(fd, got, had) == had);
			*flag = 1;
			while (*flag != 2) {
			}
			fill(want, SIZE, way + 1);
			CHECK(get(fd, got, sizeof got) == SIZE - had && !memcmp(got, want + had, SIZE - had) && close(fd) == 0);
			CHECK(wait_code(pid) == 0);
			if (way == 1) close(writer);
			if (way == 3) munmap(shown, SIZE);
		}
}
CASE(what_was_changed_is_read) { busily(changed); }

// Whoever else has the descriptor goes on where the other has left off.
static int shared;
static void reads_on(int from) { CHECK(get(shared, got, 10) == 10 && !memcmp(got, want + from, 10)); }
static void others(void) {
	again();
	for (int who = 0; who < DOERS; who++)
		for (int before = 0; before < 3; before++) {
			shared = reopen();
			int at = 0;
			for (; at < before * 10; at += 10) reads_on(at);
			for (int i = 0; i < 3; i++) by(who, reads_on, at), reads_on(at + 10), at += 20;
			CHECK(close(shared) == 0);
			int a = reopen(), b, at2 = before * 5;
			CHECK(get(a, got, at2) == at2 && (b = who & 1 ? dup(a) : dup2(a, 70)) >= 0);
			for (int i = 0; i < 4; i++, at2 += 5) CHECK(get(i & 1 ? a : b, got, 5) == 5 && !memcmp(got, want + at2, 5));
			CHECK(close(a) == 0 && get(b, got, 5) == 5 && !memcmp(got, want + at2, 5) && close(b) == 0);
			a = reopen(), b = passed(a);
			CHECK(get(a, got, 5) == 5 && get(b, got, 5) == 5 && !memcmp(got, want + 5, 5) && close(a) == 0 && close(b) == 0);
			a = reopen();
			CHECK(get(a, got, 9) == 9 && (b = passed(a)) >= 0 && get(b, got, 5) == 5 && !memcmp(got, want + 9, 5) && close(a) == 0 && close(b) == 0);
			habit();
		}
}
CASE(others_read_on) { busily(others); }

static void ran(void) {
	again();
	int p[2], fd = reopen();
	pid_t pid;
	CHECK(pipe(p) == 0 && get(fd, got, SIZE - 20) == SIZE - 20);
	CHILD(pid) {
		dup2(fd, 0), dup2(p[1], 1);
		execl("/bin/cat", "cat", NULL);
	}
	CHECK(wait_code(pid) == 0 && read(p[0], got, 100) == 20 && !memcmp(got, want + SIZE - 20, 20) && get(fd, got, 5) == 0);
	CHECK(close(fd) == 0 && close(p[0]) == 0 && close(p[1]) == 0);
}
CASE(a_program_reads_on) { busily(ran); }

static void watched(void) {
	again();
	int n = inotify_init1(IN_NONBLOCK);
	char b[400];
	CHECK(inotify_add_watch(n, file, IN_ACCESS) >= 0 && read(n, b, sizeof b) < 0);
	int fd = reopen();
	CHECK(get(fd, got, 10) == 10 && read(n, b, sizeof b) > 0 && close(fd) == 0 && close(n) == 0);
	pid_t pid;
	CHILD(pid) {
		fd = reopen();
		refuse(SYS_read);
		CHECK(get(fd, got, 5) == -EXDEV && close(fd) == 0);
		for (int i = 0; i < OFTEN; i++) CHECK(get(fd = reopen(), got, 5) == -EXDEV && close(fd) == 0);
	}
	CHECK(wait_code(pid) == 0);
}
CASE(who_watches_sees_it) { busily(watched); }
