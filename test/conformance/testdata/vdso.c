// The vDSO: its symbols, its clocks beside those of the system calls, its mappings.
#include "case.h"
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <ucontext.h>

typedef int gettime_fn(clockid_t, struct timespec *);
typedef int getday_fn(struct timeval *, struct timezone *);
typedef time_t time_fn(time_t *);
typedef int getcpu_fn(unsigned *, unsigned *, void *);
static gettime_fn *v_gettime, *v_getres; static getday_fn *v_getday; static time_fn *v_time; static getcpu_fn *v_getcpu;

// image is what the dynamic section of the vDSO tells.
static struct image { const char *base; const ElfW(Sym) *sym; const char *str, *soname; const uint32_t *hash, *gnu; const uint16_t *versym; const ElfW(Verdef) *verdef; } im;

static void parse(void) {
	const ElfW(Ehdr) *e = (void *)getauxval(AT_SYSINFO_EHDR);
	CHECK(e);
	CHECK(memcmp(e->e_ident, ELFMAG, SELFMAG) == 0 && e->e_type == ET_DYN && e->e_machine == EM_X86_64);
	const ElfW(Phdr) *p = (void *)((char *)e + e->e_phoff);
	const ElfW(Dyn) *d = 0;
	int loads = 0;
	for (int i = 0; i < e->e_phnum; i++) {
		if (p[i].p_type == PT_LOAD && !loads++) im.base = (char *)e + p[i].p_offset - p[i].p_vaddr;
		if (p[i].p_type == PT_DYNAMIC) d = (void *)((char *)e + p[i].p_offset);
	}
	CHECK(loads == 1 && d);
	const char *so = 0;
	for (; d->d_tag; d++) {
		const void *at = im.base + d->d_un.d_ptr;
		switch (d->d_tag) {
		case DT_STRTAB: im.str = at; break;
		case DT_SYMTAB: im.sym = at; break;
		case DT_HASH: im.hash = at; break;
		case DT_GNU_HASH: im.gnu = at; break;
		case DT_VERSYM: im.versym = at; break;
		case DT_VERDEF: im.verdef = at; break;
		case DT_SONAME: so = (char *)d->d_un.d_val; break;
		}
	}
	CHECK(im.str && im.sym && (im.hash || im.gnu) && im.versym && im.verdef);
	im.soname = im.str + (uintptr_t)so;
}

static uint32_t gnu_hash(const char *s) { uint32_t h = 5381; while (*s) h = h * 33 + (unsigned char)*s++; return h; }
static const char *version_of(int i) { for (const ElfW(Verdef) *v = im.verdef;; v = (void *)((char *)v + v->vd_next)) { if ((v->vd_ndx & 0x7fff) == (im.versym[i] & 0x7fff)) return im.str + ((ElfW(Verdaux) *)((char *)v + v->vd_aux))->vda_name; if (!v->vd_next) return ""; } }
static void *symbol(int i) { return im.sym[i].st_shndx ? (void *)(im.base + im.sym[i].st_value) : 0; }

static void *by_gnu_hash(const char *name) {
	uint32_t h = gnu_hash(name), buckets = im.gnu[0], first = im.gnu[1], bloom = im.gnu[2];
	const uint32_t *bucket = im.gnu + 4 + bloom * 2, *chain = bucket + buckets;
	for (uint32_t i = bucket[h % buckets]; i; i++) {
		if ((chain[i - first] | 1) == (h | 1) && !strcmp(im.str + im.sym[i].st_name, name)) return strcmp(version_of(i), "LINUX_2.6") ? 0 : symbol(i);
		if (chain[i - first] & 1) break;
	}
	return 0;
}

static void *find(const char *name) {
	if (!im.base) parse();
	if (im.gnu) return by_gnu_hash(name);
	for (uint32_t i = 1; i < im.hash[1]; i++) if (!strcmp(im.str + im.sym[i].st_name, name)) return symbol(i);
	return 0;
}

static void load(void) {
	v_gettime = find("__vdso_clock_gettime"); v_getres = find("__vdso_clock_getres"); v_getday = find("__vdso_gettimeofday"); v_time = find("__vdso_time"); v_getcpu = find("__vdso_getcpu");
	CHECK(v_gettime && v_getres && v_getday && v_time && v_getcpu);
}

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }
static int64_t v(clockid_t c) { struct timespec t; CHECK(v_gettime(c, &t) == 0); CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000); return ns(t); }
static int64_t s(clockid_t c) { struct timespec t; CHECK(syscall(SYS_clock_gettime, c, &t) == 0); return ns(t); }

CASE(symbols_are_found) { load(); CHECK(!strcmp(im.soname, "linux-vdso.so.1")); CHECK(!find("__vdso_nothing")); }

static const clockid_t fine[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_TAI};
// Between two system calls the vDSO tells a time in between: neither is ever behind the other.
CASE(agrees_with_system_calls) { load(); for (int c = 0; c < 5; c++) for (int i = 0; i < 2000; i++) { int64_t a = s(fine[c]), b = v(fine[c]), d = s(fine[c]); CHECK(a <= b && b <= d); } }
CASE(agrees_for_seconds) { load(); for (int64_t end = v(CLOCK_MONOTONIC) + 2500000000ll, last = 0; last < end;) { int64_t a = s(CLOCK_MONOTONIC), b = v(CLOCK_MONOTONIC), d = s(CLOCK_MONOTONIC); CHECK(last <= a && a <= b && b <= d); last = d; for (volatile int i = 0; i < 3000; i++); } }
CASE(coarse_is_not_ahead) { load(); for (int i = 0; i < 1000; i++) { CHECK(v(CLOCK_MONOTONIC_COARSE) <= v(CLOCK_MONOTONIC)); CHECK(v(CLOCK_REALTIME_COARSE) <= v(CLOCK_REALTIME)); CHECK(v(CLOCK_MONOTONIC) - v(CLOCK_MONOTONIC_COARSE) < 200000000); } }
CASE(after_a_sleep) { load(); int64_t a = v(CLOCK_MONOTONIC), r = v(CLOCK_REALTIME); msleep(1700); int64_t b = v(CLOCK_MONOTONIC), q = v(CLOCK_REALTIME); CHECK(b - a >= 1700000000ll && b - a < 5000000000ll); CHECK(llabs((b - a) - (q - r)) < 50000000); CHECK(s(CLOCK_MONOTONIC) - v(CLOCK_MONOTONIC) < 50000000); }
CASE(sleep_is_never_short) { load(); for (int i = 0; i < 40; i++) { struct timespec t = {0, 1000000 + i * 1000}; int64_t a = v(CLOCK_MONOTONIC); nanosleep(&t, 0); CHECK(v(CLOCK_MONOTONIC) - a >= t.tv_nsec); } }
CASE(cpu_clocks_by_system_call) { load(); struct timespec t; CHECK(v_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0); CHECK(v_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0); CHECK(ns(t) <= s(CLOCK_THREAD_CPUTIME_ID)); }
CASE(bad_clock) { load(); struct timespec t; CHECK(v_gettime(77, &t) == -EINVAL); CHECK(v_gettime(12, &t) == -EINVAL); CHECK(v_gettime(10, &t) == -EINVAL); CHECK(v_getres(77, &t) == -EINVAL); }
CASE(getres) { load(); for (int i = 0; i < 12; i++) { if (i >= 8 && i <= 10) continue; struct timespec a = {-1, -1}, b = {-2, -2}; CHECK(syscall(SYS_clock_getres, i, &b) == 0); CHECK(v_getres(i, &a) == 0); CHECK(a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec); CHECK(v_getres(i, 0) == 0); } }
CASE(gettimeofday_and_time) { load(); for (int i = 0; i < 500; i++) { struct timeval t; int64_t a = v(CLOCK_REALTIME); CHECK(v_getday(&t, 0) == 0); int64_t b = v(CLOCK_REALTIME); int64_t us = t.tv_sec * 1000000ll + t.tv_usec; CHECK(t.tv_usec >= 0 && t.tv_usec < 1000000 && a / 1000 <= us && us <= b / 1000); } time_t x = 1, y = v_time(&x); CHECK(x == y && llabs(v(CLOCK_REALTIME) / 1000000000 - x) <= 1); CHECK(v_time(0) >= x); struct timezone z = {7, 7}; struct timeval t; CHECK(v_getday(&t, &z) == 0 && z.tz_minuteswest == 0); CHECK(v_getday(0, 0) == 0); }
CASE(getcpu) { load(); cpu_set_t m; unsigned char bits[1024] = {0}; long n = syscall(SYS_sched_getaffinity, 0, sizeof bits, bits); CHECK(n > 0); (void)m; for (int i = 0; i < 100; i++) { unsigned cpu = -1, node = -1; CHECK(v_getcpu(&cpu, &node, 0) == 0); CHECK(cpu < n * 8 && bits[cpu / 8] >> cpu % 8 & 1); CHECK(node < 1024); } CHECK(v_getcpu(0, 0, 0) == 0); }

// Threads hand a reading to each other under a lock: it never goes back.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static int64_t latest;
static void *hand(void *a) { for (int i = 0; i < 20000; i++) { pthread_mutex_lock(&lock); int64_t t = i % 64 ? v(CLOCK_MONOTONIC) : s(CLOCK_MONOTONIC); CHECK(t >= latest); latest = t; pthread_mutex_unlock(&lock); } return 0; }
CASE(monotonic_across_threads) { load(); pthread_t t[4]; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, hand, 0); for (int i = 0; i < 4; i++) pthread_join(t[i], 0); }
CASE(monotonic_across_fork) { load(); int64_t *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); for (int i = 0; i < 20; i++) { *p = v(CLOCK_MONOTONIC); pid_t c; CHILD(c) { int64_t t = v(CLOCK_MONOTONIC); CHECK(t >= *p); CHECK(t - *p < 5000000000ll); *p = t; } CHECK(wait_code(c) == 0); CHECK(v(CLOCK_MONOTONIC) >= *p); } }
static void read_maps(char *buf, int n) { int fd = open("/proc/self/maps", O_RDONLY), got = 0, k; while ((k = read(fd, buf + got, n - 1 - got)) > 0) got += k; buf[got] = 0; close(fd); }
static char *line_of(char *maps, const char *name, unsigned long *start, unsigned long *end, char prot[5]) { char *at = strstr(maps, name); if (!at) return 0; while (at > maps && at[-1] != '\n') at--; CHECK(sscanf(at, "%lx-%lx %4s", start, end, prot) == 3); return at; }
CASE(mapped_as_vdso) { static char maps[65536]; read_maps(maps, sizeof maps); unsigned long a, b; char prot[5]; CHECK(line_of(maps, "[vdso]", &a, &b, prot)); CHECK(a == getauxval(AT_SYSINFO_EHDR)); CHECK(!strcmp(prot, "r-xp")); CHECK(line_of(maps, "[vvar]", &a, &b, prot)); CHECK(!strcmp(prot, "r--p")); CHECK(!strstr(strstr(maps, "[vdso]") + 1, "[vdso]")); }
CASE(vvar_is_read_only) { static char maps[65536]; read_maps(maps, sizeof maps); unsigned long a, b; char prot[5]; CHECK(line_of(maps, "[vvar]", &a, &b, prot)); FAILS(mprotect((void *)a, 4096, PROT_READ | PROT_WRITE), EACCES); pid_t c = fork(); if (!c) { *(volatile int *)a = 1; _exit(0); } CHECK(wait_code(c) == 128 + SIGSEGV); }
CASE(exec_has_one_of_its_own) { int p[2]; CHECK(pipe(p) == 0); pid_t c = fork(); if (!c) { dup2(p[1], 1); execl("/bin/cat", "cat", "/proc/self/maps", NULL); _exit(9); } close(p[1]); static char maps[65536]; int got = 0, k; while ((k = read(p[0], maps + got, sizeof maps - 1 - got)) > 0) got += k; CHECK(wait_code(c) == 0); unsigned long a, b; char prot[5]; CHECK(line_of(maps, "[vdso]", &a, &b, prot)); CHECK(!strstr(strstr(maps, "[vdso]") + 1, "[vdso]")); }

// A signal that comes while the vDSO runs returns into it.
static volatile int ticks, inside; static unsigned long lo, hi;
static void tick(int sig, siginfo_t *i, void *u) { unsigned long ip = ((ucontext_t *)u)->uc_mcontext.gregs[REG_RIP]; ticks++; inside += ip >= lo && ip < hi; }
CASE(interrupted_by_signals) { load(); static char maps[65536]; read_maps(maps, sizeof maps); char prot[5]; CHECK(line_of(maps, "[vdso]", &lo, &hi, prot)); struct sigaction a = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART}; sigaction(SIGALRM, &a, 0); struct itimerval t = {{0, 2000}, {0, 2000}}; setitimer(ITIMER_REAL, &t, 0); int64_t last = 0; while (ticks < 50) for (int i = 0; i < 1000; i++) { int64_t x = v(CLOCK_MONOTONIC); CHECK(x >= last); last = x; } CHECK(inside > 0); }
CASE(getcpu_where_it_may_run) { load(); unsigned long mask = 0, one; CHECK(syscall(SYS_sched_getaffinity, 0, sizeof mask, &mask) > 0); for (unsigned i = 0; i < 64; i++) { if (!(mask >> i & 1)) continue; one = 1ul << i; CHECK(syscall(SYS_sched_setaffinity, 0, sizeof one, &one) == 0); unsigned a = -1, b = -1; CHECK(v_getcpu(&a, 0, 0) == 0 && syscall(SYS_getcpu, &b, 0, 0) == 0); CHECK(a == i && b == i); } }
