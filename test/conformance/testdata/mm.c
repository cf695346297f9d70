// Memory: mmap and its relatives, brk, fork's copies, other processes' memory.
#include "case.h"
#include <sys/uio.h>
#include <sys/resource.h>
#define P 4096ul
static char *anon(size_t n, int prot) { return mmap(0, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static int file(const char *name, size_t n, char c) { int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600); char b[P]; memset(b, c, P); for (size_t i = 0; i < n; i += P) write(fd, b, n - i < P ? n - i : P); return fd; }
static int readable(void *p) { int fd[2]; pipe(fd); int r = write(fd[1], p, 1) == 1; close(fd[0]); close(fd[1]); return r; }

CASE(anon_zeroed) { char *p = anon(8 * P, 3); for (int i = 0; i < 8 * P; i++) CHECK(p[i] == 0); }
CASE(anon_large_sparse) { char *p = mmap(0, 8ul << 30, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); CHECK(p != MAP_FAILED); p[7ul << 30] = 1; CHECK(p[7ul << 30] == 1 && p[1ul << 30] == 0); CHECK(munmap(p, 8ul << 30) == 0); }
CASE(zero_length) { FAILS(mmap(0, 0, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL); }
CASE(no_type) { FAILS(mmap(0, P, 3, MAP_ANONYMOUS, -1, 0), EINVAL); }
CASE(bad_fd) { FAILS(mmap(0, P, 3, MAP_PRIVATE, 99, 0), EBADF); }
CASE(unaligned_offset) { int fd = file("f", P, 'a'); FAILS(mmap(0, P, 3, MAP_PRIVATE, fd, 5), EINVAL); }
CASE(fixed_unaligned) { FAILS(mmap((void *)0x10001, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL); }
CASE(fixed_replaces) { char *p = anon(3 * P, 3); p[P] = 7; CHECK(mmap(p + P, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + P); CHECK(p[P] == 0); }
CASE(fixed_noreplace) { char *p = anon(P, 3); FAILS(mmap(p, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST); munmap(p, P); CHECK(mmap(p, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p); }
CASE(hint_used_if_free) { char *p = anon(P, 3); munmap(p, P); CHECK(mmap(p, P, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p); }
CASE(private_file_does_not_write_back) { int fd = file("f", P, 'a'); char *p = mmap(0, P, 3, MAP_PRIVATE, fd, 0); p[0] = 'b'; char c; pread(fd, &c, 1, 0); CHECK(c == 'a' && p[0] == 'b' && p[1] == 'a'); }
CASE(shared_file_writes_back) { int fd = file("f", P, 'a'); char *p = mmap(0, P, 3, MAP_SHARED, fd, 0); p[0] = 'b'; char c; pread(fd, &c, 1, 0); CHECK(c == 'b'); pwrite(fd, "z", 1, 9); CHECK(p[9] == 'z'); CHECK(msync(p, P, MS_SYNC) == 0); }
CASE(shared_readonly_fd_write) { file("f", P, 'a'); int fd = open("f", O_RDONLY); FAILS(mmap(0, P, 3, MAP_SHARED, fd, 0), EACCES); char *p = mmap(0, P, 1, MAP_SHARED, fd, 0); CHECK(p != MAP_FAILED); FAILS(mprotect(p, P, 3), EACCES); }
CASE(writeonly_fd) { file("f", P, 'a'); int fd = open("f", O_WRONLY); FAILS(mmap(0, P, 1, MAP_PRIVATE, fd, 0), EACCES); }
CASE(mmap_directory) { int fd = open(".", O_RDONLY); FAILS(mmap(0, P, 1, MAP_PRIVATE, fd, 0), ENODEV); }
CASE(file_tail_zeroed) { int fd = file("f", 10, 'a'); char *p = mmap(0, P, 1, MAP_PRIVATE, fd, 0); CHECK(p[9] == 'a' && p[10] == 0 && p[4095] == 0); }
CASE(mapping_outlives_fd) { int fd = file("f", P, 'q'); char *p = mmap(0, P, 1, MAP_SHARED, fd, 0); close(fd); unlink("f"); CHECK(p[77] == 'q'); }
CASE(shared_anon_across_fork) { char *p = mmap(0, P, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pid_t c = fork(); if (!c) { p[3] = 5; _exit(0); } wait_code(c); CHECK(p[3] == 5); }
CASE(private_anon_across_fork) { char *p = anon(64 * P, 3); memset(p, 1, 64 * P); pid_t c = fork(); if (!c) { for (int i = 0; i < 64; i++) { if (p[i * P] != 1) _exit(1); p[i * P] = 2; } _exit(0); } CHECK(wait_code(c) == 0); for (int i = 0; i < 64; i++) CHECK(p[i * P] == 1); }
CASE(parent_writes_after_fork) { char *p = anon(P, 3); int fd[2]; pipe(fd); p[0] = 1; pid_t c = fork(); if (!c) { char b; read(fd[0], &b, 1); _exit(p[0]); } p[0] = 9; write(fd[1], "x", 1); CHECK(wait_code(c) == 1); CHECK(p[0] == 9); }
CASE(grandchild_copies) { char *p = anon(P, 3); p[0] = 1; pid_t c = fork(); if (!c) { p[0] = 2; pid_t g = fork(); if (!g) { p[0] = 3; _exit(0); } wait_code(g); _exit(p[0]); } CHECK(wait_code(c) == 2); CHECK(p[0] == 1); }
CASE(munmap_middle) { char *p = anon(3 * P, 3); CHECK(munmap(p + P, P) == 0); CHECK(readable(p) && !readable(p + P) && readable(p + 2 * P)); }
CASE(munmap_hole_ok) { char *p = anon(P, 3); munmap(p, P); CHECK(munmap(p, P) == 0); }
CASE(munmap_bad) { FAILS(munmap((void *)1, P), EINVAL); FAILS(munmap((void *)P, 0), EINVAL); }
CASE(mprotect_none_and_back) { char *p = anon(P, 3); p[0] = 5; CHECK(mprotect(p, P, 0) == 0); CHECK(!readable(p)); CHECK(mprotect(p, P, 3) == 0); CHECK(p[0] == 5); p[1] = 2; }
CASE(mprotect_hole) { char *p = anon(3 * P, 3); munmap(p + P, P); FAILS(mprotect(p, 3 * P, 1), ENOMEM); }
CASE(mprotect_bad) { FAILS(mprotect((void *)1, P, 1), EINVAL); char *p = anon(P, 3); FAILS(mprotect(p, P, 0x100), EINVAL); CHECK(mprotect(p, 0, 1) == 0); }
CASE(mprotect_exec_runs) { char *p = anon(P, 3); memcpy(p, "\xb8\x2a\0\0\0\xc3", 6); CHECK(mprotect(p, P, 5) == 0); CHECK(((int (*)(void))p)() == 42); }
CASE(mremap_grow_moves_data) { char *p = anon(P, 3); p[10] = 'x'; char *q = mremap(p, P, 64 * P, MREMAP_MAYMOVE); CHECK(q != MAP_FAILED && q[10] == 'x' && q[63 * P] == 0); }
CASE(mremap_shrink) { char *p = anon(4 * P, 3); CHECK(mremap(p, 4 * P, P, 0) == p); CHECK(readable(p) && !readable(p + P)); }
CASE(mremap_cannot_grow_in_place) { char *p = anon(2 * P, 3); mmap(p + P, P, 1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); FAILS(mremap(p, P, 2 * P, 0), ENOMEM); }
CASE(mremap_fixed) { char *p = anon(P, 3), *q = anon(P, 3); p[0] = 3; CHECK(mremap(p, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q); CHECK(q[0] == 3 && !readable(p)); }
CASE(mremap_bad) { char *p = anon(P, 3); FAILS(mremap(p + 1, P, P, 0), EINVAL); FAILS(mremap(p, P, 0, 0), EINVAL); FAILS(mremap(p, P, P, MREMAP_FIXED, p), EINVAL); munmap(p, P); FAILS(mremap(p, P, 2 * P, MREMAP_MAYMOVE), EFAULT); }
CASE(madvise_dontneed_zeroes) { char *p = anon(4 * P, 3); memset(p, 7, 4 * P); CHECK(madvise(p + P, P, MADV_DONTNEED) == 0); CHECK(p[0] == 7 && p[P] == 0 && p[2 * P] == 7); }
static void stack_dropped(int pages) {
	char *p = mmap(0, 64 * P, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	CHECK(p != MAP_FAILED && mprotect(p + P, 63 * P, 3) == 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < pages; i++) p[(63 - i) * P + 9] = 7;
		pid_t c = fork(); // shares them
		if (!c) {
			for (int i = 0; i < pages; i++) if (p[(63 - i) * P + 9] != 7) _exit(1);
			CHECK(madvise(p + 2 * P, 62 * P, MADV_DONTNEED) == 0);
			for (int i = 0; i < pages; i++) if (p[(63 - i) * P + 9]) _exit(2);
			_exit(0);
		}
		CHECK(wait_code(c) == 0);
		for (int i = 0; i < pages; i++) CHECK(p[(63 - i) * P + 9] == 7);
		for (int again = 0; again < 2; again++) {
			CHECK(madvise(p + 2 * P, 62 * P, MADV_DONTNEED) == 0);
			for (int i = 0; i < pages; i++) CHECK(p[(63 - i) * P + 9] == 0);
			for (int i = 0; i < pages; i++) p[(63 - i) * P + 9] = 8;
		}
	}
}
CASE(madvise_dontneed_stack) { stack_dropped(2); stack_dropped(40); }
CASE(madvise_dontneed_file) { int fd = file("f", P, 'a'); char *p = mmap(0, P, 3, MAP_PRIVATE, fd, 0); p[0] = 'z'; madvise(p, P, MADV_DONTNEED); CHECK(p[0] == 'a'); }
CASE(madvise_dontfork) { char *p = anon(P, 3); CHECK(madvise(p, P, MADV_DONTFORK) == 0); pid_t c = fork(); if (!c) _exit(readable(p)); CHECK(wait_code(c) == 0); }
CASE(madvise_wipeonfork) { char *p = anon(P, 3); p[0] = 9; CHECK(madvise(p, P, MADV_WIPEONFORK) == 0); pid_t c = fork(); if (!c) _exit(p[0]); CHECK(wait_code(c) == 0); CHECK(p[0] == 9); }
CASE(madvise_bad) { char *p = anon(P, 3); FAILS(madvise(p + 1, P, MADV_DONTNEED), EINVAL); FAILS(madvise(p, P, 12345), EINVAL); munmap(p, P); FAILS(madvise(p, P, MADV_DONTNEED), ENOMEM); }
CASE(mincore_present) { char *p = anon(2 * P, 3); p[0] = 1; unsigned char v[2]; CHECK(mincore(p, 2 * P, v) == 0); CHECK(v[0] & 1); FAILS(mincore(p + 1, P, v), EINVAL); munmap(p, 2 * P); FAILS(mincore(p, P, v), ENOMEM); }
CASE(msync_bad) { char *p = anon(P, 3); FAILS(msync(p, P, MS_SYNC | MS_ASYNC), EINVAL); FAILS(msync(p + 1, P, MS_SYNC), EINVAL); munmap(p, P); FAILS(msync(p, P, MS_SYNC), ENOMEM); }
CASE(mlock_and_unlock) { char *p = anon(P, 3); CHECK(mlock(p, P) == 0); CHECK(munlock(p, P) == 0); munmap(p, P); FAILS(mlock(p, P), ENOMEM); }
CASE(brk_grows_and_shrinks) { char *b = sbrk(0); CHECK(sbrk(3 * P) == b); b[0] = 1; b[3 * P - 1] = 2; CHECK(sbrk(-2 * (long)P) == b + 3 * P); CHECK(b[0] == 1); }
CASE(brk_zeroes_again) { char *b = (char *)(((uintptr_t)sbrk(0) + P - 1) & ~(P - 1)); brk(b + 2 * P); b[P] = 5; brk(b + P); brk(b + 2 * P); CHECK(b[P] == 0); }
CASE(growsdown_stack) { volatile char *big = __builtin_alloca(3 << 20); for (long i = (3 << 20) - 1; i >= 0; i -= P) big[i] = 1; CHECK(big[(3 << 20) - 1] == 1); }
CASE(stack_overflow_kills) { pid_t p = fork(); if (!p) { volatile char *big = __builtin_alloca(64 << 20); for (long i = (64 << 20) - 1; i >= 0; i -= P) big[i] = 1; _exit(0); } CHECK(wait_code(p) == 128 + SIGSEGV); }
CASE(rlimit_as) { struct rlimit r = {1ul << 30, 1ul << 30}; setrlimit(RLIMIT_AS, &r); FAILS(mmap(0, 2ul << 30, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM); }
CASE(efault_read) { int fd = open("/dev/zero", O_RDONLY); FAILS(read(fd, (void *)8, 10), EFAULT); char *p = anon(P, 1); FAILS(read(fd, p, 10), EFAULT); }
CASE(efault_partial) { char *p = anon(2 * P, 3); munmap(p + P, P); int fd = open("/dev/zero", O_RDONLY); CHECK(read(fd, p + P - 4, 8) == 4 || errno == EFAULT); }
CASE(write_efault) { FAILS(write(1, (void *)-4096, 1), EFAULT); }
CASE(process_vm_readv_child) { char *p = anon(P, 3); strcpy(p, "parent"); pid_t c = fork(); if (!c) { strcpy(p, "child"); raise(SIGSTOP); _exit(0); } waitpid(c, 0, WUNTRACED); char b[16] = {0}; struct iovec l = {b, 8}, r = {p, 8}; CHECK(process_vm_readv(c, &l, 1, &r, 1, 0) == 8); CHECK(!strcmp(b, "child")); strcpy(b, "poked"); CHECK(process_vm_writev(c, &l, 1, &r, 1, 0) == 8); CHECK(process_vm_readv(c, &l, 1, &r, 1, 0) == 8 && !strcmp(b, "poked")); CHECK(!strcmp(p, "parent")); kill(c, 9); FAILS(process_vm_readv(999999, &l, 1, &r, 1, 0), ESRCH); }
CASE(truncate_under_mapping) { int fd = file("f", 4 * P, 'a'); char *p = mmap(0, 4 * P, 3, MAP_SHARED, fd, 0); CHECK(p[3 * P] == 'a'); ftruncate(fd, P); CHECK(p[0] == 'a' && !readable(p + 3 * P)); ftruncate(fd, 4 * P); CHECK(p[3 * P] == 0); }
CASE(memfd_shared) { int fd = memfd_create("m", MFD_CLOEXEC); ftruncate(fd, P); char *a = mmap(0, P, 3, MAP_SHARED, fd, 0), *b = mmap(0, P, 3, MAP_SHARED, fd, 0); a[1] = 4; CHECK(b[1] == 4); }
CASE(map_32bit) { char *p = mmap(0, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0); CHECK((uintptr_t)p < (1ul << 31)); }
CASE(dev_zero_private) { int fd = open("/dev/zero", O_RDWR); char *p = mmap(0, P, 3, MAP_PRIVATE, fd, 0); CHECK(p != MAP_FAILED && p[5] == 0); p[5] = 1; }
CASE(many_mappings) { for (int i = 0; i < 500; i++) { char *p = anon(P, i & 1 ? 3 : 1); CHECK(p != MAP_FAILED); if (i & 1) p[0] = i; } }

// Signals find the caller wherever a change of mappings is under way.
static volatile int storm_hits;
static void storm_hit(int s) { storm_hits++; }
CASE(copies_in_a_storm_of_signals) {
	signal(SIGUSR1, storm_hit);
	char *m = mmap(0, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	pid_t storm, pid;
	CHILD(storm) for (;;) CHECK(kill(getppid(), SIGUSR1) == 0);
	time_t end = time(0) + 4; // where each signal costs much, less will do
	for (int i = 0; i < 400 && time(0) < end; i++) {
		CHILD(pid) _exit(3);
		CHECK(pid > 0);
		for (int j = 0; j < 16; j++) m[4096 * j] = i;
		for (int j = 0; j < 16; j++) CHECK(m[4096 * j] == (char)i);
		int st;
		while (waitpid(pid, &st, 0) != pid) CHECK(errno == EINTR);
		CHECK(WEXITSTATUS(st) == 3);
	}
	CHECK(kill(storm, SIGKILL) == 0 && storm_hits > 0);
}

// Who writes to one page after the other has more and more of them copied at once: none may be another's, or beyond the file.
static int numbered(int pages) {
	int fd = file("f", 0, 0);
	for (int i = 0; i < pages; i++) CHECK(pwrite(fd, &i, sizeof i, i * P) == sizeof i);
	CHECK(ftruncate(fd, pages * P) == 0);
	return fd;
}
CASE(private_file_written_page_by_page) {
	enum { n = 400 };
	int fd = numbered(n), st;
	int (*p)[P / sizeof(int)] = mmap(0, n * P, 3, MAP_PRIVATE, fd, 0);
	for (int i = 0; i < n; i++) { CHECK(p[i][0] == i); p[i][0] = i + n; }
	pid_t up, down;
	CHILD(up) for (int i = 0; i < n; i++) { CHECK(p[i][0] == i + n); p[i][0] = -i; }
	CHILD(down) for (int i = n - 1; i >= 0; i--) { CHECK(p[i][0] == i + n); p[i][0] = -i; }
	for (int i = 0; i < n; i += 3) { CHECK(p[i][0] == i + n); p[i][0] = 3; }
	CHECK(wait_code(up) == 0 && wait_code(down) == 0);
	for (int i = 0; i < n; i++) CHECK(p[i][0] == (i % 3 ? i + n : 3) && pread(fd, &st, sizeof st, i * P) == sizeof st && st == i);
}
CASE(private_file_beyond_its_end) {
	for (int n = 8; n <= 100; n += 23) {
		int fd = numbered(2);
		char *p = mmap(0, n * P, 3, MAP_PRIVATE, fd, 0);
		p[0] = 9;
		CHECK(readable(p + P) && !readable(p + 2 * P) && !readable(p + 7 * P));
		CHECK(ftruncate(fd, n * P) == 0);
		p[5 * P] = 1;
		CHECK(readable(p + 7 * P) && ftruncate(fd, P) == 0);
		CHECK(p[0] == 9 && !readable(p + P) && !readable(p + 5 * P));
	}
}
