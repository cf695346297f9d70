// lseek(2) made again: it gives what it gave, until the offset moves, the size changes or the descriptor means something else.
#include "turns.h"

enum { SIZE = 100 };
static char content[4096];
// file makes a file of SIZE bytes and opens it.
static int file(const char *name) {
	for (int i = 0; i < (int)sizeof content; i++) content[i] = 'a' + i % 23;
	int fd = open(in(name), O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, content, SIZE) == SIZE);
	return fd;
}
// in_f opens it once more.
static int in_f(int flags) {
	int fd = open(in("f"), O_RDWR | flags, 0644);
	CHECK(fd >= 0);
	return fd;
}
// at checks where an offset is, by what is read there, and leaves it there.
static void at(int fd, long off) {
	char c;
	CHECK(read(fd, &c, 1) == 1 && c == content[off]);
	CHECK(seek(fd, off, SEEK_SET) == off);
}

static int pip[2], other; // a pipe with 5 bytes, and a file at 3
static char five[8];
static struct iovec two[2] = {{five, 2}, {five + 2, 3}};

// Ways to move an offset from 10 to 15.
static void m_read(int fd) { CHECK(read(fd, five, 5) == 5); }
static void m_write(int fd) { CHECK(write(fd, content + 10, 5) == 5); }
static void m_readv(int fd) { CHECK(readv(fd, two, 2) == 5); }
static void m_writev(int fd) { memcpy(five, content + 10, 5), ({ CHECK(writev(fd, two, 2) == 5); }); }
static void m_preadv2(int fd) { CHECK(preadv2(fd, two, 2, -1, 0) == 5); }
static void m_pwritev2(int fd) { memcpy(five, content + 10, 5), ({ CHECK(pwritev2(fd, two, 2, -1, 0) == 5); }); }
static void m_seek(int fd) { CHECK(lseek(fd, 15, SEEK_SET) == 15); }
static void m_seek_on(int fd) { CHECK(seek(fd, 5, SEEK_CUR) == 15); }
static void m_seek_back(int fd) { CHECK(seek(fd, -(SIZE - 15), SEEK_END) == 15); }
static void m_data(int fd) { CHECK(seek(fd, 15, SEEK_DATA) == 15); }
static void m_sendfile(int fd) { CHECK(sendfile(pip[1], fd, 0, 5) == 5); }
static void m_sendfile_in(int fd) { CHECK(lseek(other, 10, SEEK_SET) == 10 && sendfile(fd, other, 0, 5) == 5); }
static void m_copy(int fd) { CHECK(copy_file_range(fd, 0, other, 0, 5, 0) == 5); }
static void m_copy_in(int fd) { CHECK(lseek(other, 10, SEEK_SET) == 10 && copy_file_range(other, 0, fd, 0, 5, 0) == 5); }
static void m_splice(int fd) { CHECK(splice(fd, 0, pip[1], 0, 5, 0) == 5); }
static void m_splice_in(int fd) { CHECK(write(pip[1], content + 10, 5) == 5 && splice(pip[0], 0, fd, 0, 5, 0) == 5); }
static void (*const movers[])(int) = {m_read, m_write, m_readv, m_writev, m_preadv2, m_pwritev2, m_seek, m_seek_on, m_seek_back, m_data,
	m_sendfile, m_sendfile_in, m_copy, m_copy_in, m_splice, m_splice_in};

static void moved(void) {
	int fd = file("f"), via[3] = {fd, dup(fd), passed(fd)};
	other = file("other");
	for (int who = 0; who < DOERS; who++)
		for (int v = 0; v < 3; v++)
			for (unsigned m = 0; m < sizeof movers / sizeof *movers; m++) {
				CHECK(pipe(pip) == 0);
				HOT(fd, 10, SEEK_SET, 10);
				by(who, movers[m], via[v]);
				CHECK(seek(fd, 10, SEEK_SET) == 10);
				at(fd, 10);
				HOT(fd, 0, SEEK_CUR, 10);
				by(who, movers[m], via[v]);
				errno = 1000 * who + 100 * v + m; // for the message
				CHECK(seek(fd, 0, SEEK_CUR) == 15);
				at(fd, 15);
				HOT(fd, 0, SEEK_CUR, 15);
				close(pip[0]), close(pip[1]);
			}
	for (int v = 0; v < 3; v++) close(via[v]);
	close(other);
}
CASE(an_offset_moves) { both(moved); }

// What does not move an offset, or another one.
static void n_pread(int fd) { CHECK(pread(fd, five, 5, 30) == 5); }
static void n_pwrite(int fd) { CHECK(pwrite(fd, content + 30, 5, 30) == 5); }
static void n_nothing(int fd) { CHECK(read(fd, five, 0) == 0 && write(fd, five, 0) == 0); }
static void n_fault(int fd) { FAILS(syscall(SYS_read, fd, 8l, 5l), EFAULT); FAILS(syscall(SYS_write, fd, 8l, 5l), EFAULT); }
static void n_invalid(int fd) { FAILS(seek(fd, -1, SEEK_SET), EINVAL); FAILS(seek(fd, -11, SEEK_CUR), EINVAL); FAILS(seek(fd, -SIZE - 1, SEEK_END), EINVAL); FAILS(seek(fd, 0, 9), EINVAL); }
static void n_beyond(int fd) { FAILS(seek(fd, SIZE, SEEK_DATA), ENXIO); }
static void n_sendfile(int fd) { off_t o = 50; CHECK(sendfile(pip[1], fd, &o, 5) == 5 && o == 55); }
static void n_shorter(int fd) { CHECK(ftruncate(fd, 5) == 0 && pwrite(fd, content, SIZE, 0) == SIZE); }
static void n_opened(int fd) {
	int o = open(in("f"), O_RDWR);
	CHECK(o >= 0 && seek(o, 0, SEEK_CUR) == 0 && seek(o, 33, SEEK_SET) == 33 && read(o, five, 5) == 5 && close(o) == 0);
}
static void (*const stills[])(int) = {n_pread, n_pwrite, n_nothing, n_fault, n_invalid, n_beyond, n_sendfile, n_shorter, n_opened};

static void unmoved(void) {
	int fd = file("f");
	for (int who = 0; who < DOERS; who++)
		for (unsigned m = 0; m < sizeof stills / sizeof *stills; m++) {
			CHECK(pipe(pip) == 0);
			HOT(fd, 10, SEEK_SET, 10);
			HOT(fd, 0, SEEK_CUR, 10);
			by(who, stills[m], fd);
			HOT(fd, 0, SEEK_CUR, 10);
			HOT(fd, 10, SEEK_SET, 10);
			close(pip[0]), close(pip[1]);
		}
	close(fd);
}
CASE(an_offset_stays) { both(unmoved); }

static void arguments(void) {
	int fd = file("f");
	const long high = 1l << 32;
	for (int i = 1; i <= OFTEN; i++) CHECK(seek(fd, 5, SEEK_CUR) == SIZE + 5 * i);
	for (int i = OFTEN - 1; i >= 0; i--) CHECK(seek(fd, -5, SEEK_CUR) == SIZE + 5 * i);
	HOT(fd, 7, SEEK_SET, 7);
	HOT(fd, 7, high | SEEK_SET, 7);
	HOT(fd, high | 7, SEEK_SET, high | 7);
	HOT(fd, 0, high | SEEK_CUR, high | 7);
	HOT(fd, 7, SEEK_SET, 7);
	HOT(fd, -1, SEEK_SET, -EINVAL);
	HOT(fd, INT64_MIN, SEEK_SET, -EINVAL);
	HOT(fd, 7, 5, -EINVAL);
	HOT(fd, 7, -1, -EINVAL);
	HOT(fd, 7, high | 5, -EINVAL);
	HOT(fd, 0, SEEK_CUR, 7);
	HOT(fd, -SIZE, SEEK_END, 0);
	HOT(fd, -SIZE - 1, SEEK_END, -EINVAL);
	HOT(fd, 20, SEEK_END, SIZE + 20);
	for (int i = 0; i < OFTEN; i++) { // by turns: none may be taken for another
		CHECK(seek(fd, 3, SEEK_SET) == 3 && seek(fd, 0, SEEK_CUR) == 3 && seek(fd, 3, SEEK_END) == SIZE + 3);
		CHECK(seek(fd, 0, SEEK_CUR) == SIZE + 3 && seek(fd, 0, SEEK_END) == SIZE && seek(fd, 4, SEEK_SET) == 4);
		CHECK(seek(fd, 4, SEEK_SET) == 4 && seek(fd, 4, SEEK_DATA) == 4 && seek(fd, 4, SEEK_HOLE) == SIZE);
	}
	// The descriptor's upper half does not count; descriptors 16 apart, 65536 apart in number.
	HOT(fd, 9, SEEK_SET, 9);
	for (int i = 0; i < OFTEN; i++) CHECK(syscall(SYS_lseek, high | fd, 9l, (long)SEEK_SET) == 9);
	int far[3] = {fd, fd + 16, fd + 256};
	for (int i = 1; i < 3; i++) {
		int o = open(in("f"), O_RDWR);
		CHECK(o >= 0 && dup2(o, far[i]) == far[i] && (o == far[i] || close(o) == 0));
		HOT(far[i], 20 + i, SEEK_SET, 20 + i);
	}
	for (int i = 0; i < OFTEN; i++) CHECK(seek(far[i % 3], 0, SEEK_CUR) == (i % 3 ? 20 + i % 3 : 9));
	for (int i = 0; i < 3; i++) HOT(far[i], 0, SEEK_CUR, i ? 20 + i : 9);
	// Nor is the upper half of the number a descriptor.
	int z = in_f(0);
	CHECK(dup2(z, 16) == 16 && seek(z, 77, SEEK_SET) == 77);
	HOT(16, 0, SEEK_CUR, 77);
	for (int i = 0; i < OFTEN; i++) CHECK(syscall(16l << 32 | SYS_lseek, 0, 0l, (long)SEEK_CUR) != 77);
	close(16), close(z);
	for (int i = 0; i < 3; i++) close(far[i]);
	for (int i = 0; i < 3; i++) HOT(far[i], 0, SEEK_CUR, -EBADF);
}
CASE(arguments_of_a_seek) { both(arguments); }

// Ways to change the size of "f", which is SIZE: what it is then.
static void s_append(int u) { int o = in_f(O_APPEND); CHECK(write(o, content, 7) == 7 && close(o) == 0); }
static void s_write(int u) { int o = in_f(0); CHECK(lseek(o, SIZE - 2, SEEK_SET) > 0 && write(o, content, 9) == 9 && close(o) == 0); }
static void s_pwrite(int u) { int o = in_f(0); CHECK(pwrite(o, content, 7, SIZE) == 7 && close(o) == 0); }
static void s_pwritev2(int u) { int o = in_f(0); CHECK(pwritev2(o, &(struct iovec){content, 7}, 1, 0, RWF_APPEND) == 7 && close(o) == 0); }
static void s_longer(int u) { int o = in_f(0); CHECK(ftruncate(o, SIZE + 7) == 0 && close(o) == 0); }
static void s_path(int u) { CHECK(truncate(in("f"), SIZE + 7) == 0); }
static void s_allocate(int u) { int o = in_f(0); CHECK(fallocate(o, 0, 0, SIZE + 7) == 0 && close(o) == 0); }
static void s_link(int u) { int o = open(in("link"), O_WRONLY | O_APPEND); CHECK(o >= 0 && write(o, content, 7) == 7 && close(o) == 0); }
static void s_copy(int u) { int o = in_f(0); off_t a = 0, b = SIZE; CHECK(copy_file_range(other, &a, o, &b, 7, 0) == 7 && close(o) == 0); }
static void s_sendfile(int u) { int o = in_f(0); off_t a = 0; CHECK(lseek(o, 0, SEEK_END) == SIZE && sendfile(o, other, &a, 7) == 7 && close(o) == 0); }
static void s_splice(int u) {
	int o = in_f(0);
	off_t b = SIZE;
	CHECK(write(pip[1], content, 7) == 7 && splice(pip[0], 0, o, &b, 7, 0) == 7 && close(o) == 0);
}
static void s_itself(int fd) { CHECK(pwrite(fd, content, 7, SIZE) == 7); }
static void s_shorter(int u) { int o = in_f(0); CHECK(ftruncate(o, 41) == 0 && close(o) == 0); }
static void s_shorter_itself(int fd) { CHECK(ftruncate(fd, 41) == 0); }
static void s_path_shorter(int u) { CHECK(truncate(in("link"), 41) == 0); }
static void s_both(int u) { s_shorter(u), s_longer(u); }
static void s_emptied(int u) { CHECK(close(in_f(O_TRUNC)) == 0); }
static void s_created(int u) { CHECK(close(creat(in("link"), 0644)) == 0); }
static void s_same(int u) { int o = in_f(0); CHECK(pwrite(o, content, 7, 0) == 7 && ftruncate(o, SIZE) == 0 && close(o) == 0); }
static void s_kept(int u) { int o = in_f(0); CHECK(fallocate(o, FALLOC_FL_KEEP_SIZE, 0, SIZE + 7) == 0 && close(o) == 0); }
static void s_unlinked(int u) { int o = in_f(O_APPEND); CHECK(unlink(in("f")) == 0 && write(o, content, 7) == 7 && close(o) == 0); }
static const struct {
	void (*f)(int);
	int size;
} sizes[] = {{s_append, SIZE + 7}, {s_write, SIZE + 7}, {s_pwrite, SIZE + 7}, {s_pwritev2, SIZE + 7}, {s_longer, SIZE + 7}, {s_path, SIZE + 7},
	{s_allocate, SIZE + 7}, {s_link, SIZE + 7}, {s_copy, SIZE + 7}, {s_sendfile, SIZE + 7}, {s_splice, SIZE + 7}, {s_itself, SIZE + 7},
	{s_shorter, 41}, {s_shorter_itself, 41}, {s_path_shorter, 41}, {s_both, SIZE + 7}, {s_emptied, 0}, {s_created, 0}, {s_same, SIZE}, {s_kept, SIZE}, {s_unlinked, SIZE + 7}};

static void sized(void) {
	other = file("other");
	for (int who = 0; who < DOERS; who++)
		for (unsigned m = 0; m < sizeof sizes / sizeof *sizes; m++) {
			unlink(in("f")), unlink(in("link"));
			int fd = file("f"), second = in_f(O_APPEND), reader = open(in("f"), O_RDONLY);
			CHECK(link(in("f"), in("link")) == 0 && pipe(pip) == 0 && reader >= 0);
			HOT(fd, 0, SEEK_END, SIZE);
			HOT(reader, 0, SEEK_END, SIZE);
			HOT(second, -1, SEEK_END, SIZE - 1);
			by(who, sizes[m].f, fd);
			errno = 100 * who + m; // for the message
			CHECK(seek(fd, 0, SEEK_END) == sizes[m].size);
			CHECK(seek(reader, 0, SEEK_END) == sizes[m].size);
			if (sizes[m].size) CHECK(seek(second, -1, SEEK_END) == sizes[m].size - 1);
			HOT(fd, 0, SEEK_END, sizes[m].size);
			HOT(second, 3, SEEK_END, sizes[m].size + 3);
			CHECK(write(second, content, 3) == 3); // which moves its offset as well
			CHECK(seek(second, 0, SEEK_CUR) == sizes[m].size + 3 && seek(fd, 0, SEEK_END) == sizes[m].size + 3);
			CHECK(seek(fd, 0, SEEK_CUR) == sizes[m].size + 3);
			close(fd), close(second), close(reader), close(pip[0]), close(pip[1]);
		}
	close(other);
}
CASE(a_size_changes) { both(sized); }

// A database: each round asks for the end and adds a block there.
static void grows(void) {
	int fd = file("f"), o = in_f(0);
	for (int i = 0; i < 300; i++) {
		CHECK(seek(fd, 0, SEEK_END) == SIZE + i * 10 && seek(fd, 0, SEEK_END) == SIZE + i * 10 && seek(fd, 0, SEEK_END) == SIZE + i * 10);
		CHECK(pwrite(i & 1 ? fd : o, content, 10, SIZE + i * 10) == 10);
	}
	close(fd), close(o);
}
CASE(a_file_grows) { both(grows); }

// Ways to have the number of "f", at 10, mean something else; what seeks give then: SEEK_CUR and SEEK_SET 10.
static void c_close(int fd) { CHECK(close(fd) == 0); }
static void c_range(int fd) { CHECK(syscall(SYS_close_range, fd, fd, 0) == 0); }
static void c_pipe(int fd) { CHECK(dup2(pip[0], fd) == fd); }
static void c_file(int fd) { CHECK(lseek(other, 3, SEEK_SET) == 3 && dup2(other, fd) == fd); }
static void c_dup3(int fd) { CHECK(lseek(other, 3, SEEK_SET) == 3 && dup3(other, fd, O_CLOEXEC) == fd); }
static void c_path(int fd) { int o = open(in("f"), O_PATH); CHECK(o >= 0 && dup2(o, fd) == fd && close(o) == 0); }
static void c_open(int fd) { // the number is the lowest that is free
	CHECK(close(fd) == 0 && open(in("other"), O_RDWR) == fd && lseek(fd, 3, SEEK_SET) == 3);
}
static void c_both(int fd) { int d = dup(fd); CHECK(close(fd) == 0 && dup2(d, fd) == fd && close(d) == 0); }
static const struct {
	void (*f)(int);
	int cur, set;
} changes[] = {{c_close, -EBADF, -EBADF}, {c_range, -EBADF, -EBADF}, {c_pipe, -ESPIPE, -ESPIPE}, {c_file, 3, 10}, {c_dup3, 3, 10}, {c_path, -EBADF, -EBADF}, {c_open, 3, 10}, {c_both, 10, 10}};

static void replaced(void) {
	other = file("other");
	CHECK(pipe(pip) == 0);
	for (int who = 0; who < DOERS; who++)
		for (unsigned m = 0; m < sizeof changes / sizeof *changes; m++)
			for (int set = 0; set < 2; set++) {
				int fd = file("f"), keep = dup(fd), is = who == FORK ? 10 : set ? changes[m].set : changes[m].cur;
				HOT(fd, 10, SEEK_SET, 10);
				if (!set) HOT(fd, 0, SEEK_CUR, 10);
				by(who, changes[m].f, fd); // a child has a table of its own
				long r = seek(fd, set ? 10 : 0, set ? SEEK_SET : SEEK_CUR);
				if (r < 0) r = -errno;
				errno = 100 * who + m;
				CHECK(r == is);
				if (is >= 0) at(fd, is);
				HOT(fd, set ? 10 : 0, set ? SEEK_SET : SEEK_CUR, is);
				HOT(keep, 0, SEEK_CUR, 10);
				close(fd), close(keep);
			}
	close(other), close(pip[0]), close(pip[1]);
}
CASE(a_descriptor_means_something_else) { both(replaced); }

// Threads whose tables part.
static int parted, step;
static void *parts(void *v) {
	CHECK(unshare(CLONE_FILES) == 0);
	HOT(parted, 0, SEEK_CUR, 10);
	if (step) CHECK(syscall(SYS_close_range, parted, parted, 0) == 0);
	say(up), hear(down);
	HOT(parted, 0, SEEK_CUR, step ? -EBADF : 10);
	if (!step) CHECK(seek(parted, 4, SEEK_CUR) == 14);
	return v;
}
static void part(void) {
	pipes();
	for (step = 0; step < 2; step++) {
		pthread_t t;
		parted = file("f");
		HOT(parted, 10, SEEK_SET, 10);
		HOT(parted, 0, SEEK_CUR, 10);
		int d = dup(parted);
		CHECK(pthread_create(&t, 0, parts, 0) == 0);
		hear(up);
		HOT(parted, 0, SEEK_CUR, 10);
		if (!step) CHECK(close(parted) == 0);
		HOT(parted, 0, SEEK_CUR, step ? 10 : -EBADF);
		say(down);
		CHECK(pthread_join(t, 0) == 0);
		CHECK(seek(d, 0, SEEK_CUR) == (step ? 10 : 14));
		close(d), close(parted);
	}
	// close_range with a table of its own closes here only.
	parted = file("f");
	pid_t pid;
	HOT(parted, 10, SEEK_SET, 10);
	static char stack[65536] __attribute__((aligned(16)));
	CHECK((pid = clone((int (*)(void *))parts, stack + sizeof stack, CLONE_FILES | SIGCHLD, 0)) > 0);
	hear(up);
	HOT(parted, 10, SEEK_SET, 10);
	say(down);
	wait_code(pid); // it returns what it was given
	HOT(parted, 0, SEEK_CUR, 10);
	CHECK(syscall(SYS_close_range, parted, parted, 2 /* CLOSE_RANGE_UNSHARE */) == 0);
	HOT(parted, 0, SEEK_CUR, -EBADF);
}
CASE(tables_part) { both(part); }

// What a program that is executed does: descriptor, what is there, and a file it opens.
__attribute__((constructor)) static void executed(int argc, char **argv) {
	if (argc < 5 || strcmp(argv[1], "executed")) return;
	now_running = argv[1];
	int fd = atoi(argv[2]), is = atoi(argv[3]);
	HOT(fd, 0, SEEK_CUR, is);
	if (is < 0) {
		int o = open(argv[4], O_RDWR);
		CHECK(o >= 0 && dup2(o, fd) == fd);
		HOT(fd, 0, SEEK_CUR, 0);
		HOT(fd, 0, SEEK_END, SIZE);
		HOT(fd, 10, SEEK_SET, 10);
	}
	CHECK(read(fd, five, 1) == 1);
	HOT(fd, 0, SEEK_CUR, 11);
	_exit(0);
}
static void execs(void) {
	other = file("other");
	for (int i = 0; i < 4; i++) {
		int fd = file("f");
		char n[16], p[400];
		sprintf(n, "%d", fd), strcpy(p, in("other"));
		CHECK(fcntl(fd, F_SETFD, i & 1 ? FD_CLOEXEC : 0) == 0);
		HOT(fd, 10, SEEK_SET, 10);
		HOT(fd, 0, SEEK_CUR, 10);
		pid_t pid = i & 2 ? vfork() : fork();
		if (pid == 0) {
			for (int j = 0; j < OFTEN; j++)
				if (seek(fd, 0, SEEK_CUR) != 10) _exit(1);
			execl("/proc/self/exe", "echoes", "executed", n, i & 1 ? "-9" : "10", p, (char *)0);
			_exit(1);
		}
		CHECK(wait_code(pid) == 0);
		HOT(fd, 0, SEEK_CUR, i & 1 ? 10 : 11);
		close(fd);
	}
	close(other);
}
CASE(exec_and_the_number) { both(execs); }

// A process that has just one descriptor to speak of: nothing is known of the others.
static void lone(void) {
	int fd = file("f"), out = dup(1), bad = 0;
	char b[8];
	CHECK(out < 16 && dup2(fd, 37) == 37);
	HOT(37, 10, SEEK_SET, 10);
	for (int n = 0; n < 16; n++) {
		if (n == out) continue;
		close(n);
		for (int i = 0; i < OFTEN; i++)
			if (seek(n, 0, SEEK_SET) != -1 || syscall(SYS_read, n, b, 0l) != -1 || syscall(SYS_recvfrom, n, b, 0l, 0l, 0l, 0l) != -1) bad++;
	}
	CHECK(dup2(out, 1) == 1 && bad == 0);
	HOT(37, 0, SEEK_CUR, 10);
}
CASE(nothing_is_known_of_others) { both(lone); }

static void filters(void) {
	static const int nrs[] = {SYS_lseek};
	pid_t pid;
	int fd = file("f");
	CHILD(pid) {
		HOT(fd, 10, SEEK_SET, 10);
		HOT(fd, 0, SEEK_END, SIZE);
		forbid_(__LINE__, nrs, 1, 0);
		HOT(fd, 0, SEEK_END, -EXDEV);
		HOT(fd, 10, SEEK_SET, -EXDEV);
		pid_t grandchild;
		CHILD(grandchild) HOT(fd, 10, SEEK_SET, -EXDEV);
		CHECK(wait_code(grandchild) == 0);
	}
	CHECK(wait_code(pid) == 0);
	CHILD(pid) {
		HOT(fd, 10, SEEK_SET, 10);
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
		seek(fd, 10, SEEK_SET);
		syscall(SYS_exit, 4);
	}
	CHECK(wait_code(pid) == 128 + SIGKILL);
	HOT(fd, 0, SEEK_END, SIZE);
	close(fd);
}
CASE(a_filter_sees_each_seek) { both(filters); }

static atomic_int asked;
static void *filter_all(void *v) {
	static const int nrs[] = {SYS_lseek};
	while (asked < *(int *)v) {
	}
	return forbid_(__LINE__, nrs, 1, SECCOMP_FILTER_FLAG_TSYNC), v;
}
static void filter_of_another(void) {
	int fd = file("f");
	for (int i = 0; i < 60; i++) {
		pid_t pid;
		CHILD(pid) {
			pthread_t t;
			int n = i % 30;
			CHECK(pthread_create(&t, 0, filter_all, &n) == 0);
			// It comes at any time, also when an answer is just being noted.
			for (asked = 0; asked < 40; asked++) CHECK(seek(fd, 10, SEEK_SET) == 10 || errno == EXDEV);
			CHECK(pthread_join(t, 0) == 0);
			HOT(fd, 10, SEEK_SET, -EXDEV);
		}
		CHECK(wait_code(pid) == 0);
	}
	close(fd);
}
CASE(a_filter_of_another_thread) { both(filter_of_another); }

static void signals(void) {
	static const int timers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}, sigs[] = {SIGALRM, SIGVTALRM, SIGPROF};
	int fd = file("f");
	for (int i = 0; i < 9; i++) {
		catch (sigs[i % 3], i & 1);
		HOT(fd, 10, SEEK_SET, 10);
		caught = 0;
		CHECK(setitimer(timers[i % 3], &(struct itimerval){{0, 3000}, {0, 3000}}, 0) == 0);
		while (caught < 3) CHECK(seek(fd, 10, SEEK_SET) == 10);
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
	while (caught < 3) CHECK(seek(fd, 10, SEEK_SET) == 10);
	CHECK(wait_code(pid) == 0);
	// A child that does nothing else can be killed.
	CHILD(pid) for (;;) seek(fd, 10, SEEK_SET);
	msleep(5);
	CHECK(kill(pid, SIGKILL) == 0 && wait_code(pid) == 128 + SIGKILL);
	close(fd);
}
CASE(signals_come_between_seeks) { both(signals); }

// A thread works while another one asks: what has been done before a question is in its answer.
static atomic_long done;
static int worked, work;
static void *works(void *v) {
	for (int i = 0; i < 4000; i++) {
		if (work == 0) CHECK(write(worked, content, 1) == 1); // the end
		if (work == 1) CHECK(read(worked, five, 1) == 1); // the offset
		if (work == 2) CHECK(seek(worked, 1, SEEK_CUR) == i + 1);
		done = i + 1;
		spin(rnd() % 400);
	}
	return v;
}
static void steps(void) {
	for (work = 0; work < 3; work++) {
		int fd = open(in("steps"), O_RDWR | O_CREAT | O_TRUNC, 0644);
		CHECK(fd >= 0 && (work == 0 || ftruncate(fd, 5000) == 0));
		worked = work == 0 ? open(in("steps"), O_WRONLY | O_APPEND) : dup(fd);
		done = 0;
		pthread_t t;
		CHECK(worked >= 0 && pthread_create(&t, 0, works, 0) == 0);
		for (long before = 0; before < 4000;) {
			before = done;
			long r = seek(fd, 0, work == 0 ? SEEK_END : SEEK_CUR);
			CHECK(r >= before && r <= done + 1);
		}
		CHECK(pthread_join(t, 0) == 0);
		close(fd), close(worked);
	}
}
CASE(what_was_done_is_seen) { both(steps); }

// Who sees that a call has begun to do something waits for its end to learn the offset.
enum { LONG = 4 << 20 };
static char *long_buf;
static int moving;
static void *moves_long(void *v) {
	for (int i = 1; i <= 20; i++) {
		while (done < i) sched_yield();
		if (work) CHECK(write(moving, long_buf, LONG) == LONG);
		else CHECK(read(moving, long_buf, LONG) == LONG);
	}
	return v;
}
static void under_way(void) {
	long_buf = mmap(0, LONG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (work = 0; work < 2; work++) {
		int fd = open(in("long"), O_RDWR | O_CREAT | O_TRUNC, 0644);
		CHECK(fd >= 0 && (moving = dup(fd)) >= 0);
		memset(long_buf, 'x', LONG);
		CHECK(write(fd, long_buf, LONG) == LONG);
		volatile char *seen = work ? mmap(0, LONG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : long_buf;
		pthread_t t;
		done = 0;
		CHECK(seen != MAP_FAILED && pthread_create(&t, 0, moves_long, 0) == 0);
		for (int i = 1; i <= 20; i++) {
			seen[0] = 'y';
			if (work == 0) CHECK(pwrite(fd, "x", 1, 0) == 1);
			CHECK(seek(fd, 0, SEEK_SET) == 0);
			HOT(fd, 0, SEEK_CUR, 0);
			done = i;
			while (seen[0] == 'y') {
			}
			CHECK(seek(fd, 0, SEEK_CUR) == LONG);
		}
		CHECK(pthread_join(t, 0) == 0);
		close(fd), close(moving);
		if (work) munmap((char *)seen, LONG);
	}
	munmap(long_buf, LONG);
}
CASE(what_is_under_way_is_waited_for) { both(under_way); }

static void taking_turns(void) {
	pthread_t t;
	for (int i = 0; i < 2; i++) CHECK((turning[i] = file(i ? "f" : "g")) >= 0 && seek(turning[i], i + 1, SEEK_SET) == i + 1);
	CHECK((turning[2] = dup(turning[0])) >= 0);
	turn = turn_seen = 0;
	CHECK(pthread_create(&t, 0, turns, 0) == 0);
	while (turn_seen < 2000) {
		int i = turn;
		for (int n = 0; n < 4; n++) {
			long r = seek(turning[2], 0, SEEK_CUR);
			CHECK(i == 0 || turn != i || r == (i & 1) + 1);
		}
		if (i) turn_seen = i;
	}
	CHECK(pthread_join(t, 0) == 0);
	for (int i = 0; i < 3; i++) close(turning[i]);
}
CASE(a_number_that_takes_turns) { both(taking_turns); }
