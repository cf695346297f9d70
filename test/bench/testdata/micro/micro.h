// What the operations of the micro benchmark share.
#ifndef MICRO_H
#define MICRO_H
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// An operation does its work n times and returns the nanoseconds it took;
// whatever it prepares is outside the time.
typedef double run(long n);
struct op {
	const char *name;
	run *run;
};

// The tables of operations, ended by a null name.
extern const struct op calls[], memory[], process[], talk[], net[];

static inline double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

#define CHECK(x)                                                      \
	do {                                                          \
		if (!(x)) {                                           \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #x); \
			perror(0);                                    \
			exit(1);                                      \
		}                                                     \
	} while (0)

// LOOP times n rounds of a statement.
#define LOOP(n, what)                                         \
	({                                                    \
		double start_ = now();                        \
		for (long i_ = 0; i_ < (n); i_++) { what; }   \
		now() - start_;                               \
	})
#endif
