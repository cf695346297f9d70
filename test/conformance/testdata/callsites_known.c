// The cases of callsites.c in a program that has run several times before, and so often that a platform may have its call
// sites patched from the start; and what becomes of them when its file changes.
#define main cases_main
#include "callsites.c"
#undef main
#include <sys/resource.h>
#include <sys/utsname.h>

#define RUNS 8 // that make a program known

// number is in the page of a site.
extern char number_site[], number[];
__asm__(".text; .balign 4096\n"
	"number_site: mov $110, %eax; syscall; ret\n"
	"number: mov $41, %eax; ret\n"
	".balign 4096\n");

static long call_number(void) { return enter(number, 0, 0, 0, 0); }

// warm makes calls at many places, so that the program is one that traps often.
static void warm(void) {
	struct rlimit l;
	struct utsname u;
	struct timespec t;
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(number_site, 0, 0, 0, 0) == getppid());
		CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0 && uname(&u) == 0 && getpgid(0) >= 0 && getsid(0) >= 0 && clock_getres(CLOCK_REALTIME, &t) == 0);
		CHECK(umask(022) >= 0 && access("/", F_OK) == 0 && lseek(1, 0, 7) == -1 && dup2(1, 1) == 1 && fcntl(1, F_GETFD) >= 0);
	}
	heat();
}

// runs runs a program with an argument, and returns its exit status.
static int runs(const char *path, const char *arg) {
	pid_t pid = fork();
	if (pid == 0) {
		execl(path, path, arg, (char *)0);
		_exit(97);
	}
	return wait_code(pid);
}

static void copy(const char *from, const char *to) {
	static char b[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ssize_t n;
	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, b, sizeof b)) > 0) CHECK(write(out, b, n) == n);
	CHECK(n == 0 && fchmod(out, 0755) == 0 && close(in) == 0 && close(out) == 0);
}

// change writes another number into a copy of the program.
static void change(const char *path, int to) {
	static char b[4 << 20];
	static const char code[] = "\xb8\x6e\0\0\0\x0f\x05\xc3\xb8"; // number_site, and number up to its operand
	int fd = open(path, O_RDWR);
	ssize_t n = read(fd, b, sizeof b);
	CHECK(fd >= 0 && n > 0);
	char *at = 0;
	for (char *p = b; (p = memmem(p, b + n - p, code, sizeof code - 1)); p++)
		if ((p - b) % 4096 == 0) at = p;
	CHECK(at && pwrite(fd, &to, 4, at - b + sizeof code - 1) == 4 && close(fd) == 0);
}

// A file that is changed in place is run as it is then, however often it was run before.
CASE(a_known_program_is_changed_in_place) {
	char path[] = "/usr/known.XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0 && close(fd) == 0);
	copy("/proc/self/exe", path);
	for (int i = 0; i < RUNS; i++) CHECK(runs(path, "warm") == 0);
	CHECK(runs(path, "number") == 41);
	for (int i = 50; i < 53; i++) {
		change(path, i);
		CHECK(runs(path, "number") == i);
		for (int j = 0; j < RUNS; j++) CHECK(runs(path, "warm") == 0);
		CHECK(runs(path, "number") == i);
	}
	unlink(path);
}

// The same file mapped at a second place, where its sites are others.
CASE(known_code_is_mapped_twice) {
	int fd = open("/proc/self/exe", O_RDONLY);
	struct stat st;
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	for (int times = 0; times < 3; times++) {
		char *p = mmap(0, st.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		CHECK(p != MAP_FAILED);
		static const char code[] = "\xb8\x6e\0\0\0";
		char *at = 0;
		for (long o = 0; o + 4096 <= st.st_size; o += 4096)
			if (!memcmp(p + o + 7, "\xc3\xb8\x29", 3) && p[o + 5] != 0x55 && (!memcmp(p + o, code, 5) || p[o] != code[0])) at = p + o;
		CHECK(at);
		for (int i = 0; i < HOT; i++) {
			CHECK(enter(at, 0, 0, 0, 0) == getppid());
			CHECK(enter(number_site, 0, 0, 0, 0) == getppid());
			CHECK(enter(at + 8, 0, 0, 0, 0) == 41);
		}
		CHECK(munmap(p, st.st_size) == 0);
	}
}

// Code is made writable, changed at a site that was never called, and called.
CASE(a_known_site_is_overwritten_before_it_is_called) {
	CHECK(mprotect(number_site, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	CHECK(!memcmp(number_site, "\xb8\x6e\0\0\0\x0f\x05\xc3", 8)); // what it says is not seen patched
	number_site[1] = SYS_getpid;
	CHECK(mprotect(number_site, 4096, PROT_READ | PROT_EXEC) == 0);
	for (int i = 0; i < HOT; i++) CHECK(enter(number_site, 0, 0, 0, 0) == getpid());
	pid_t pid;
	CHILD(pid) CHECK(enter(number_site, 0, 0, 0, 0) == getpid());
	CHECK(wait_code(pid) == 0);
}

// Threads run through known sites from the first call on.
static void *through(void *unused) {
	(void)unused;
	for (int i = 0; i < HOT; i++) {
		CHECK(enter(number_site, 0, 0, 0, 0) == getppid());
		CHECK(enter(cmp_site, SYS_dup2, -1, 1, 0) == -7777);
	}
	return 0;
}

CASE(threads_begin_at_known_sites) {
	pthread_t t[4];
	for (int i = 0; i < 4; i++) CHECK(pthread_create(&t[i], 0, through, 0) == 0);
	for (int i = 0; i < 4; i++) CHECK(pthread_join(t[i], 0) == 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(enter(number_site, 0, 0, 0, 0) == getppid());
		char self[] = "/proc/self/exe";
		CHECK(runs(self, "warm") == 0);
	}
	CHECK(wait_code(pid) == 0);
}

int main(int argc, char **argv) {
	now_running = "warm";
	if (argc > 1 && !strcmp(argv[1], "warm")) {
		warm();
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "number")) return call_number();
	if (!getenv("KNOWN")) {
		for (int i = 0; i < RUNS; i++)
			if (runs("/proc/self/exe", "warm")) return 4;
		setenv("KNOWN", "1", 1);
		execv("/proc/self/exe", argv);
		return 5;
	}
	return cases_main(argc, argv);
}
