// Mappings and page faults.
#include "micro.h"
#include <sys/mman.h>

static char *map(size_t size) {
	char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static void touch(char *p, size_t size) {
	for (size_t i = 0; i < size; i += 4096) ((volatile char *)p)[i] = 1;
}

static double op_mmap4k(long n) { return LOOP(n, CHECK(!munmap(map(4096), 4096))); }

static double op_mmap1m(long n) {
	return LOOP(n, {
		char *p = map(1 << 20);
		touch(p, 1 << 20);
		CHECK(!munmap(p, 1 << 20));
	});
}

// op_fault times the first touch of n pages of a mapping and nothing else.
// A few megabytes at a time, so that memory is bounded.
static double op_fault(long n) {
	enum { SIZE = 8 << 20 };
	double t = 0;
	for (long left = n; left > 0; left -= SIZE / 4096) {
		char *p = map(SIZE);
		madvise(p, SIZE, MADV_NOHUGEPAGE);
		size_t size = left < SIZE / 4096 ? left * 4096 : SIZE;
		double start = now();
		touch(p, size);
		t += now() - start;
		CHECK(!munmap(p, SIZE));
	}
	return t;
}

const struct op memory[] = {{"mmap4k", op_mmap4k}, {"mmap1m", op_mmap1m}, {"fault", op_fault}, {0}};
