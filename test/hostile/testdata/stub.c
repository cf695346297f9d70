// Attacks on the systrap stub in the attacker's own address space. Every attack
// runs in a process of its own, which may end as it likes. What must not happen:
// a mapping or output nobody asked the sandbox's kernel for, a process that
// cannot be killed, harm to the bystander, the end of the sandbox.
#include "../../conformance/testdata/case.h"
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define STUB 0x7fffe0000000ul
#define CODE_SIZE 0x2000ul
#define AREA_SIZE 0x8000ul
#define LOOT 0x10000000000ul // where forged mappings are to appear

static struct shared {
	volatile int breached, stop;
	volatile long bystander_rounds;
	volatile long ended, killed;
} *shared;

static void setup(void) {
	shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
}

// The bystander shares nothing with the attackers and must not notice them.
static pid_t bystander(void) {
	pid_t pid = fork();
	if (pid) return pid;
	alarm(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	uint64_t *mem = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t x = 88172645463325252ull;
	while (!shared->stop) {
		uint64_t seed = x;
		for (int i = 0; i < (1 << 17); i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17, mem[i] = x;
		int p[2];
		CHECK(!pipe(p) && write(p[1], "abc", 3) == 3);
		char b[3];
		CHECK(read(p[0], b, 3) == 3 && !memcmp(b, "abc", 3));
		close(p[0]), close(p[1]);
		msleep(1);
		CHECK(getpid() == syscall(SYS_getpid));
		x = seed;
		for (int i = 0; i < (1 << 17); i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17, ({ CHECK(mem[i] == x); });
		shared->bystander_rounds++;
	}
	_exit(0);
}

// reap waits until pid has ended, with a limit; killing must work.
static void reap(pid_t pid, int ms) {
	int st;
	for (int i = 0; i < ms; i += 2) {
		if (waitpid(pid, &st, WNOHANG) == pid) goto done;
		msleep(2);
	}
	CHECK(!kill(pid, SIGKILL));
	for (int i = 0; i < 8000; i += 2) {
		if (waitpid(pid, &st, WNOHANG) == pid) goto done;
		msleep(2);
	}
	errno = 0;
	fail(__FILE__, __LINE__, "an attacker cannot be killed");
done:
	shared->ended++;
	if (WIFSIGNALED(st)) shared->killed++;
}

static sigjmp_buf probe_env;
static __thread int probing;
static void on_fault(int sig) {
	if (probing) siglongjmp(probe_env, 1);
	for (;;) pause();
}

static void probe(void) {
	probing = 1;
	if (!sigsetjmp(probe_env, 1)) {
		volatile char c = *(volatile char *)LOOT;
		unsigned char in;
		(void)c;
		// Some ways into the stub's code are those of honest calls.
		if (mincore((void *)LOOT, 4096, &in) && errno == ENOMEM) shared->breached++;
	}
	probing = 0;
}

struct jump {
	uint64_t target, rax, rdi, rsi, rdx, r10, r8, r9, rbp, rbx, r12, r13, r14, gs;
	int set_gs;
};

static char taunt[] = "BREACH\n";
static uint64_t forged[8192] __attribute__((aligned(4096)));

static void *leap(void *v) {
	struct jump *j = v;
	if (j->set_gs) _writegsbase_u64(j->gs);
	__asm__ volatile(
		"mov %0, %%r15\n"
		"mov 8(%%r15), %%rax; mov 16(%%r15), %%rdi; mov 24(%%r15), %%rsi; mov 32(%%r15), %%rdx; mov 40(%%r15), %%r10\n"
		"mov 48(%%r15), %%r8; mov 56(%%r15), %%r9; mov 64(%%r15), %%rbp; mov 72(%%r15), %%rbx; mov 80(%%r15), %%r12\n"
		"mov 88(%%r15), %%r13; mov 96(%%r15), %%r14\n"
		"jmp *(%%r15)\n"
		:
		: "r"(j)
		: "memory");
	return 0;
}

static struct jump plain_jump(uint64_t at, int what) {
	struct jump j = {.target = at, .rbx = 1, .rbp = (uint64_t)(forged + 32), .r12 = (uint64_t)forged, .r14 = (uint64_t)taunt};
	uint64_t call[3][7] = {
		{SYS_mmap, LOOT, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0},
		{SYS_write, 2, (uint64_t)taunt, 7, 0, 0, 0},
		{SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0, 0},
	};
	uint64_t *c = call[what];
	j.rax = c[0], j.rdi = c[1], j.rsi = c[2], j.rdx = c[3], j.r10 = c[4], j.r8 = c[5], j.r9 = c[6];
	memcpy(forged + 32, c, 7 * 8); // the entry of a forged request
	return j;
}

static pid_t attack(struct jump j) {
	pid_t pid = fork();
	if (pid) return pid;
	alarm(2);
	close(2); // what is written there now is written by the host
	for (int s = 1; s < 12; s++)
		if (s != SIGKILL && s != SIGALRM) signal(s, on_fault);
	signal(SIGTRAP, on_fault), signal(SIGSYS, on_fault), signal(SIGBUS, on_fault);
	pthread_t t;
	((uint32_t *)forged)[0] = 1, ((uint32_t *)forged)[1] = 1;
	forged[1] = 2; // a descriptor to tell of the end
	if (pthread_create(&t, 0, leap, &j)) _exit(1);
	for (int i = 0; i < 10; i++) probe(), msleep(1);
	_exit(0);
}

// Every byte is tried in four runs, with step 4 and first from 0 to 3.
static void sweep(int what, int set_gs, uint64_t first, uint64_t step) {
	enum { many = 24 };
	pid_t pids[many];
	int n = 0;
	unsigned char *code = (unsigned char *)STUB;
	uint64_t end = CODE_SIZE;
	while (end && (code[end - 1] == 0 || code[end - 1] == 0xcc)) end--;
	for (uint64_t off = first; off < CODE_SIZE; off += off < end ? step : 97) {
		struct jump j = plain_jump(STUB + off, what);
		j.set_gs = set_gs, j.gs = (uint64_t)forged;
		pids[n++] = attack(j);
		CHECK(pids[n - 1] > 0);
		if (n == many)
			while (n) reap(pids[--n], 4000);
	}
	while (n) reap(pids[--n], 4000);
}

static void attacked(void (*f)(void)) {
	setup();
	alarm(110);
	pid_t by = bystander();
	f();
	long before = shared->bystander_rounds;
	for (int i = 0; i < 500 && shared->bystander_rounds < before + 2; i++) msleep(10);
	CHECK(shared->bystander_rounds >= before + 2);
	shared->stop = 1;
	CHECK(wait_code(by) == 0);
	CHECK(shared->breached == 0);
	CHECK(shared->ended > 0);
}

#define SWEEP(name, what, gs, first)                              \
	static void sweep_##name(void) { sweep(what, gs, first, 4); } \
	CASE(jump_##name) { attacked(sweep_##name); }
SWEEP(for_a_mapping_0, 0, 0, 0)
SWEEP(for_a_mapping_1, 0, 0, 1)
SWEEP(for_a_mapping_2, 0, 0, 2)
SWEEP(for_a_mapping_3, 0, 0, 3)
SWEEP(for_a_write_0, 1, 0, 0)
SWEEP(for_a_write_1, 1, 0, 1)
SWEEP(for_a_write_2, 1, 0, 2)
SWEEP(for_a_write_3, 1, 0, 3)
SWEEP(for_a_thread_0, 2, 0, 0)
SWEEP(for_a_thread_1, 2, 0, 1)
SWEEP(for_a_thread_2, 2, 0, 2)
SWEEP(for_a_thread_3, 2, 0, 3)
SWEEP(with_ones_own_area_0, 0, 1, 0)
SWEEP(with_ones_own_area_1, 0, 1, 1)
SWEEP(with_ones_own_area_2, 0, 1, 2)
SWEEP(with_ones_own_area_3, 0, 1, 3)

// One's own thread area.
static volatile uint64_t victim_area;
static volatile int go_on = 1;
static void *victim(void *v) {
	int p[2];
	char b[8];
	if (pipe(p)) return 0;
	victim_area = _readgsbase_u64() & ~(AREA_SIZE - 1);
	for (;;) {
		if (write(p[1], "xy", 2) != 2 || read(p[0], b, 2) != 2) continue;
		getppid();
		sched_yield();
		void *m = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m != MAP_FAILED) *(volatile char *)m = 1, munmap(m, 4096);
	}
}

static uint64_t rnd_state = 1;
static uint64_t rnd(void) { return rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17; }

static const uint64_t values[] = {0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 31, ~0ul, ~0ul - 4095, 1ul << 47, STUB, STUB + 0x10000, LOOT, 1ul << 63};

static uint64_t value(void) {
	uint64_t r = rnd();
	switch (r % 4) {
	case 0: return rnd();
	case 1: return victim_area + rnd() % AREA_SIZE;
	case 2: return rnd() % 512;
	}
	return values[rnd() % (sizeof values / sizeof *values)];
}

// How an attacker scribbles.
static void one_word(uint64_t seed) {
	volatile uint32_t *w = (uint32_t *)(victim_area + seed * 4 % 0x280);
	for (;;) *w = value();
}
static void all_words(uint64_t seed) {
	volatile uint64_t *w = (uint64_t *)victim_area;
	for (;;) {
		w[rnd() % (seed & 1 ? AREA_SIZE / 8 : 0x240 / 8)] = value();
		for (volatile uint64_t i = rnd() % 2000; i; i--) {
		}
	}
}
static void hand_over_words(uint64_t seed) {
	static const unsigned off[] = {0x100, 0x104, 0x108, 0x140, 0x144, 0x148, 0x14c, 0x150, 0x158, 0x1d0, 0x1d8, 0x1e0, 0x1e4, 0x1e8, 0x1f0};
	for (;;) {
		*(volatile uint32_t *)(victim_area + off[rnd() % (sizeof off / sizeof *off)]) = seed & 1 ? rnd() % 8 : value();
		if (rnd() % 4 == 0) sched_yield();
	}
}
static void state_only(uint64_t seed) {
	for (;;) {
		*(volatile uint32_t *)(victim_area + 0x100) = rnd() % 4;
		for (volatile uint64_t i = rnd() % 500; i; i--) {
		}
	}
}
static void frames(uint64_t seed) {
	for (;;) *(volatile uint64_t *)(victim_area + 0x4000 + rnd() % 0x800 * 8) = value();
}

// A new thread's area is where the last one's was, or behind it.
static void *nothing(void *v) { return 0; }
static void new_threads(uint64_t seed) {
	for (;;) {
		pthread_t t;
		if (!pthread_create(&t, 0, nothing, 0)) pthread_detach(t);
	}
}
static void *new_area(void *v) {
	for (;;)
		for (uint64_t a = victim_area - 8 * AREA_SIZE; a < victim_area + 8 * AREA_SIZE; a += AREA_SIZE) {
			probing = 1;
			if (!sigsetjmp(probe_env, 1)) {
				*(volatile uint32_t *)(a + 0x1e8) = rnd() % 64;
				*(volatile uint32_t *)(a + 0x1e4) = rnd() % 64;
			}
			probing = 0;
		}
	return v;
}
static void birth(uint64_t seed) {
	pthread_t t;
	pthread_create(&t, 0, new_area, 0);
	new_threads(seed);
}

static void scribble(void (*how)(uint64_t), int rounds, int ms) {
	for (int i = 0; i < rounds; i += 2) {
		pid_t pids[2];
		for (int n = 0; n < 2; n++) {
			pids[n] = fork();
			CHECK(pids[n] >= 0);
			if (pids[n]) continue;
			signal(SIGSEGV, on_fault);
			alarm(2);
			rnd_state = 0x9e3779b97f4a7c15ull * (i + n + 1);
			pthread_t t;
			if (pthread_create(&t, 0, victim, 0)) _exit(1);
			while (!victim_area) sched_yield();
			how(i + n);
		}
		for (int n = 0; n < 2; n++) reap(pids[n], ms);
	}
}

static void words_one(void) { scribble(one_word, 40, 60); }
static void words_all(void) { scribble(all_words, 20, 150); }
static void words_hand(void) { scribble(hand_over_words, 8, 150); }
static void words_state(void) { scribble(state_only, 6, 300); }
static void words_frames(void) { scribble(frames, 30, 150); }
static void words_birth(void) { scribble(birth, 30, 200); }
CASE(scribble_over_each_word) { attacked(words_one); }
CASE(scribble_over_the_area) { attacked(words_all); }
CASE(scribble_over_the_hand_over) { attacked(words_hand); }
CASE(scribble_over_the_state) { attacked(words_state); }
CASE(scribble_over_signal_frames) { attacked(words_frames); }
CASE(scribble_over_new_threads) { attacked(words_birth); }

CASE(system_calls_on_the_stub) {
	for (uint64_t off = 0; off < 0x200000; off += off < 0x20000 ? 0x1000 : 0x8000) {
		char *p = (char *)(STUB + off);
		FAILS(munmap(p, 4096), EINVAL);
		FAILS(mprotect(p, 4096, PROT_READ | PROT_WRITE), ENOMEM);
		FAILS(mmap(p, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
		CHECK(mmap(p, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
		CHECK(mmap(p, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != p);
		CHECK(mremap(p, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
		CHECK(madvise(p, 4096, MADV_DONTNEED) == -1);
		int fd[2];
		CHECK(!pipe(fd));
		FAILS(write(fd[1], p, 8), EFAULT);
		CHECK(write(fd[1], "12345678", 8) == 8);
		FAILS(read(fd[0], p, 8), EFAULT);
		close(fd[0]), close(fd[1]);
		char b[8];
		struct iovec l = {b, 8}, r = {p, 8};
		FAILS(process_vm_readv(getpid(), &l, 1, &r, 1, 0), EFAULT);
		FAILS(process_vm_writev(getpid(), &l, 1, &r, 1, 0), EFAULT);
	}
	void *m = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mremap(m, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(STUB + 0x10000)) == MAP_FAILED);
	// What is written to where the stub writes is refused by the processor.
	for (uint64_t a = STUB; a < STUB + 0x14000; a += a < STUB + 0x2000 ? 0x1000 : 0xe000) {
		pid_t pid;
		CHILD(pid) *(volatile char *)a = 1;
		CHECK(wait_code(pid) == 128 + SIGSEGV);
	}
}

static void wild_gs(uint64_t v) {
	for (int i = 0; i < 100; i++) {
		long r;
		_writegsbase_u64(v);
		__asm__ volatile("mov $110, %%eax; syscall" : "=a"(r)::"rcx", "r11", "memory");
		if (r != getppid()) _exit(3);
		int p[2];
		if (pipe(p)) _exit(4);
		close(p[0]), close(p[1]);
	}
	_exit(0);
}

static const uint64_t wild[] = {0, 1, 4096, STUB, STUB + 0x10000, STUB + 0x14000, 0x7ffffffff000, ~0ul - 4095, LOOT};
static void wilds(void) {
	for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++)
		for (int hot = 0; hot < 2; hot++) {
			pid_t pid = fork();
			if (pid == 0) {
				alarm(3);
				if (hot)
					for (int j = 0; j < 200; j++) getppid(), getuid();
				wild_gs(wild[i]);
			}
			int st;
			CHECK(waitpid(pid, &st, 0) == pid);
			shared->ended++;
			if (st) dprintf(1, "note gs %#lx hot %d: status %#x\n", wild[i], hot, st);
		}
}
CASE(wild_gs_base) { attacked(wilds); }

// The table of names, and what the stub knows of it.
#define NAMES (STUB + 0x80000)
#define NAMES_SIZE 0x40000ul
#define CLOCK (STUB + 0x18000)

static int can(const volatile char *p, int store) {
	int faulted = 1;
	probing = 1;
	if (!sigsetjmp(probe_env, 1)) {
		char c = *p;
		if (store) *(volatile char *)p = c;
		faulted = 0;
	}
	probing = 0;
	return !faulted;
}

// asks has a table shown, if there are any.
static void asks(void) {
	char b[8];
	struct stat st;
	for (int i = 0; i < 60; i++) {
		if (access("/nothing", F_OK) == 0 || errno != ENOENT) _exit(10);
		if (stat("/nothing/at/all", &st) == 0 || errno != ENOENT) _exit(11);
		if (readlink("/proc", b, 8) != -1 || errno != EINVAL) _exit(12);
		if (open("/nothing", O_RDONLY) != -1 || errno != ENOENT) _exit(13);
	}
}

CASE(table_of_names_is_read_only) {
	signal(SIGSEGV, on_fault);
	for (int i = 0; i < 2; i++) {
		for (uint64_t a = NAMES; a < NAMES + NAMES_SIZE; a += 0x1000) CHECK(!can((char *)a, 1));
		for (uint64_t a = CLOCK; a < CLOCK + 0x1000; a += 64) CHECK(!can((char *)a, 1));
		asks();
	}
	CHECK(can((char *)NAMES, 0));
}

// What root has asked for is not for those who come into its stub after it.
CASE(table_of_names_goes_away) {
	signal(SIGSEGV, on_fault);
	for (int i = 0; i < 40; i++) {
		pid_t pid;
		CHILD(pid) {
			CHECK(!can((char *)NAMES, 0));
			asks();
			CHECK(can((char *)NAMES, 0));
			if (i & 1) {
				CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
				for (uint64_t a = NAMES; a < NAMES + NAMES_SIZE; a += 0x8000) CHECK(!can((char *)a, 0));
				asks();
			}
		}
		CHECK(wait_code(pid) == 0);
	}
}

// One's own table: it says what one likes, to nobody else.
static char own_table[NAMES_SIZE] __attribute__((aligned(4096)));
static void forge(const char *path, uint64_t key, uint64_t result) {
	for (unsigned i = 0; i < NAMES_SIZE / 256; i++) {
		char *e = own_table + 256 * i;
		memcpy(e + 4, (void *)(CLOCK + 0x800), 4), memset(e + 8, 0, 4), memcpy(e + 12, (void *)(CLOCK + 0x800), 4);
		memcpy(e + 16, &key, 8), memcpy(e + 24, &result, 8), strcpy(e + 40, path);
	}
}
static void own_tables(void) {
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(3);
			asks();
			volatile uint64_t *at = (uint64_t *)((_readgsbase_u64() & ~(AREA_SIZE - 1)) + 0x160);
			forge("/nothing", (uint64_t)F_OK << 32 | SYS_access, i & 1 ? 0 : -4095ul);
			int deceived = 0;
			for (int j = 0; j < 300; j++) {
				*at = (uint64_t)own_table;
				long r = syscall(SYS_access, "/nothing", F_OK);
				if (r == 0 || errno == 4095) deceived++;
				if (syscall(SYS_access, "/proc", F_OK)) _exit(2);
				if (j % 50 == 0 && open("/nothing", O_RDONLY) >= 0) _exit(3);
			}
			forge("/nothing", 0, 0);
			*at = NAMES;
			asks();
			_exit(deceived ? 77 : 0);
		}
		int code = wait_code(pid);
		shared->ended++;
		errno = code;
		CHECK(code == 0 || code == 77);
		asks(); // nobody else's answers have changed
	}
}
CASE(table_of_names_of_ones_own) { attacked(own_tables); }

// Addresses that are no table's, and of an area that is not one.
static void wild_tables(void) {
	static const uint64_t words[] = {0x160, 0x1b8};
	const uint64_t to[] = {
		1, 8, 4096, STUB, STUB + 0x1ff8, STUB + 0x10000, STUB + 0x14000, CLOCK, NAMES, NAMES + NAMES_SIZE - 8, NAMES - 8, LOOT, 1ul << 47,
		1ul << 63, ~0ul, ~0ul - 4095, (uint64_t)own_table, (uint64_t)own_table + NAMES_SIZE - 256, 0x7ffffffff000};
	for (unsigned w = 0; w < 2; w++)
		for (unsigned i = 0; i < sizeof to / sizeof *to; i++) {
			pid_t pid = fork();
			if (pid == 0) {
				alarm(2);
				close(2);
				memset(own_table, w ? 0x41 : 0, sizeof own_table);
				asks();
				uint64_t area = _readgsbase_u64() & ~(AREA_SIZE - 1);
				struct stat st;
				char b[8];
				for (int j = 0; j < 100; j++) {
					*(volatile uint64_t *)(area + words[w]) = to[i];
					stat("/nothing", &st);
					readlink("/proc/a/long/path/of/many/words/that/the/stub/copies/somewhere", b, 8);
				}
				_exit(0);
			}
			reap(pid, 4000);
			asks();
		}
}
CASE(wild_table_of_names) { attacked(wild_tables); }

// The words of a look-up change in the midst of it.
static void *asking(void *v) {
	char b[8];
	struct stat st;
	asks();
	victim_area = _readgsbase_u64() & ~(AREA_SIZE - 1);
	for (;;) {
		stat("/nothing/at/all", &st);
		access("/nothing", F_OK);
		readlink("/proc", b, 8);
		stat((char *)(1ul << 63), &st);
		stat((char *)LOOT, &st);
		mkdir("/proc", 0);
	}
	return v;
}
static void look_ups(void) {
	for (int i = 0; i < 16; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			alarm(2);
			rnd_state = 0x9e3779b97f4a7c15ull * (i + 1);
			for (unsigned j = 0; j < sizeof forged / 8; j++) forged[j] = rnd();
			pthread_t t;
			if (pthread_create(&t, 0, asking, 0)) _exit(1);
			while (!victim_area) sched_yield();
			for (;;) {
				uint64_t v = rnd() % 4 ? rnd() % 2 ? NAMES : (uint64_t)forged : value();
				switch (i % 4) {
				case 0: *(volatile uint64_t *)(victim_area + 0x160) = v; break;
				case 1: *(volatile uint64_t *)(victim_area + 0x300 + rnd() % 28 * 8) = value(); break;
				case 2: *(volatile uint64_t *)(victim_area + (rnd() % 2 ? 0x160 : 0x108 + rnd() % 7 * 8)) = v; break;
				case 3: *(volatile uint64_t *)(victim_area + (rnd() % 4 ? 0x160 : 0x1b8)) = rnd() % 3 ? v : victim_area; break;
				}
				for (volatile uint64_t k = rnd() % 300; k; k--) {
				}
			}
		}
		reap(pid, 150);
		asks();
	}
}
CASE(scribble_over_a_look_up) { attacked(look_ups); }

// Echoes of calls about descriptors: a thread's own are in its area, and who forges them deceives itself.
#define ECHOES 0x400
#define ANSWERS 0x800
#define GENERATIONS (CLOCK + 0x400)
#define FIND_ECHO (~0xffcul)

struct echo {
	uint64_t key, rsi, rdx;
	uint32_t r10;
	uint16_t slots[2];
	uint64_t result, gens[2], unused;
};
static uint64_t own_area(void) { return _readgsbase_u64() & ~(AREA_SIZE - 1); }
static volatile struct echo *echo_of(uint64_t area, int fd) { return (volatile struct echo *)(area + ECHOES) + fd % 16; }
static long seek(int fd, long off, long whence) { return syscall(SYS_lseek, fd, off, whence); }
static void seeks(int fd, long is) {
	for (int i = 0; i < 60; i++)
		if (seek(fd, 0, SEEK_CUR) != is) _exit(20);
}
// forge_echo has a call give what is forged, for ever: slot 0 is never disturbed.
static void forge_echo(uint64_t area, int nr, int fd, uint64_t rsi, uint64_t rdx, uint64_t result) {
	volatile struct echo *e = echo_of(area, fd);
	uint64_t gen = *(volatile uint64_t *)GENERATIONS;
	e->key = (uint64_t)fd << 32 | nr, e->rsi = rsi, e->rdx = rdx, e->r10 = 0, e->slots[0] = e->slots[1] = 0, e->result = result, e->gens[0] = e->gens[1] = gen;
	((volatile uint64_t *)(area + ANSWERS))[nr] = FIND_ECHO;
}

static int sought;
static void own_echoes(void) {
	sought = open("/tmp/sought", O_RDWR | O_CREAT, 0600);
	CHECK(sought >= 0 && ftruncate(sought, 100) == 0 && lseek(sought, 10, SEEK_SET) == 10);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(3);
			seeks(sought, 10);
			uint64_t area = own_area();
			int deceived = 0, p[2], parent = getppid();
			if (pipe(p)) _exit(3);
			// A result that is none, and a number that is not one of those with echoes; nobody else is deceived.
			forge_echo(area, SYS_lseek, sought, 0, SEEK_CUR, i & 1 ? 77777 : ~0ul - 4);
			if (seek(sought, 0, SEEK_CUR) != 10) deceived = 1;
			forge_echo(area, SYS_getppid, 0, 0, 0, 1 << 20), forge_echo(area, SYS_write, p[1], 0, 3, 3);
			syscall(SYS_getppid, 0, 0, 0, 0, 0, 0);
			char b[8];
			if (syscall(SYS_write, p[1], "abc", 3l, 0l, 0l, 0l) != 3) _exit(4);
			forge_echo(area, SYS_read, p[0], 0, 8, i & 1 ? 8 : 1ul << 62);
			if (fcntl(p[0], F_SETFL, O_NONBLOCK)) _exit(5);
			if (syscall(SYS_read, p[0], b, 8l) != 3) deceived = 1;
			// What is true is so still.
			for (int n = 0; n < 16; n++) echo_of(area, n)->key = ~0xffful;
			seeks(sought, 10);
			if (syscall(SYS_getppid) != parent || syscall(SYS_write, p[1], "abc", 3l) != 3 || syscall(SYS_read, p[0], b, 8l) < 3) _exit(6);
			_exit(deceived ? 77 : 0);
		}
		seeks(sought, 10);
		int code = wait_code(pid);
		shared->ended++;
		errno = code;
		CHECK(code == 77);
		seeks(sought, 10);
	}
}
CASE(echoes_of_ones_own) { attacked(own_echoes); }

// What one leaves in its area is not for those who come after it: the program it executes, and who gets its process.
static void all_forged(void) {
	uint64_t area = own_area();
	for (int fd = 3; fd < 19; fd++) forge_echo(area, SYS_lseek, fd, 0, SEEK_CUR, 55555);
	for (int nr = 0; nr < 256; nr++) ((volatile uint64_t *)(area + ANSWERS))[nr] = FIND_ECHO;
}
static void clean(void) {
	uint64_t area = own_area();
	for (int i = 0; i < 16; i++)
		if (echo_of(area, i)->result == 55555) _exit(30);
	for (int nr = 0; nr < 256; nr++)
		if (((volatile uint64_t *)(area + ANSWERS))[nr] == FIND_ECHO) _exit(31);
}
__attribute__((constructor)) static void executed(int argc, char **argv) {
	if (argc < 3 || strcmp(argv[1], "executed")) return;
	clean();
	seeks(atoi(argv[2]), 10);
	_exit(0);
}
static void left_echoes(void) {
	sought = open("/tmp/sought", O_RDWR | O_CREAT, 0600);
	CHECK(sought >= 0 && ftruncate(sought, 100) == 0 && lseek(sought, 10, SEEK_SET) == 10);
	char number[16];
	sprintf(number, "%d", sought);
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			clean();
			seeks(sought, 10);
			all_forged();
			if (i & 1) execl("/proc/self/exe", "program", "executed", number, (char *)0);
			_exit(0);
		}
		int code = wait_code(pid);
		shared->ended++;
		errno = code;
		CHECK(code == 0);
	}
}
CASE(echoes_that_are_left) { attacked(left_echoes); }

// Entries, slots, answers and the area's own address change while calls are looked up in them.
static void *seeking(void *v) {
	int s[2], fd = open("/tmp/mine", O_RDWR | O_CREAT, 0600);
	char b[8];
	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, s)) _exit(1);
	for (int i = 0; i < 60; i++) seek(fd, 0, SEEK_CUR), recv(s[0], b, 8, MSG_DONTWAIT);
	victim_area = own_area();
	for (;;) {
		seek(fd, 0, SEEK_CUR), seek(fd, 3, SEEK_SET), seek(fd, 0, SEEK_END);
		if (recv(s[0], b, 8, MSG_DONTWAIT) < 0) send(s[1], "abc", 3, MSG_DONTWAIT);
		recv(s[0], (char *)(1ul << 63), 8, MSG_DONTWAIT), recv(s[0], (char *)LOOT, 8, MSG_DONTWAIT);
		syscall(SYS_read, 0, b, 0), getppid();
	}
	return v;
}
static void echoes_change(void) {
	for (int i = 0; i < 16; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			alarm(2);
			rnd_state = 0x9e3779b97f4a7c15ull * (i + 1);
			for (unsigned j = 0; j < sizeof forged / 8; j++) forged[j] = rnd();
			pthread_t t;
			if (pthread_create(&t, 0, seeking, 0)) _exit(1);
			while (!victim_area) sched_yield();
			for (;;) {
				switch (i % 4) {
				case 0: *(volatile uint64_t *)(victim_area + ECHOES + rnd() % 128 * 8) = value(); break;
				case 1: *(volatile uint16_t *)(victim_area + ECHOES + rnd() % 16 * 64 + 28 + rnd() % 2 * 2) = rnd(); break;
				case 2: *(volatile uint64_t *)(victim_area + ANSWERS + rnd() % 256 * 8) = rnd() % 4 ? ~0xff9ul - rnd() % 8 : value(); break;
				case 3: *(volatile uint64_t *)(victim_area + 0x1b8) = rnd() % 8 ? victim_area : rnd() % 2 ? (uint64_t)forged : value(); break;
				}
				for (volatile uint64_t k = rnd() % 300; k; k--) {
				}
			}
		}
		reap(pid, 150);
		seeks(sought, 10);
	}
}
static void changing_echoes(void) {
	sought = open("/tmp/sought", O_RDWR | O_CREAT, 0600);
	CHECK(sought >= 0 && ftruncate(sought, 100) == 0 && lseek(sought, 10, SEEK_SET) == 10);
	echoes_change();
}
CASE(scribble_over_echoes) { attacked(changing_echoes); }
