// micro [-c MS] [-k CHUNKS] OPERATION…: what an operation costs, in
// nanoseconds, as the median of chunks of about MS milliseconds each; a line
// "result OPERATION NANOSECONDS" for each. The time is taken in here, so that
// the start of the program is no part of it.
#include "micro.h"
#include <string.h>
#include <unistd.h>

static const struct op *const tables[] = {calls, memory, process, talk, net};

static run *find(const char *name) {
	for (unsigned t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct op *o = tables[t]; o->name; o++)
			if (!strcmp(o->name, name)) return o->run;
	fprintf(stderr, "no operation %s\n", name);
	exit(2);
}

static int less(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

// measure finds how many rounds fill a chunk, which warms up as well, and
// returns the median cost of a round.
static double measure(run *f, double chunk, int chunks) {
	long n = 1;
	for (;;) {
		double t = f(n);
		if (t >= chunk / 2) {
			n = n * chunk / t;
			if (n < 1) n = 1;
			break;
		}
		n = t < chunk / 100 ? n * 10 : n * chunk / t + 1;
	}
	double v[chunks];
	for (int i = 0; i < chunks; i++) v[i] = f(n) / n;
	qsort(v, chunks, sizeof *v, less);
	return v[chunks / 2];
}

int main(int argc, char **argv) {
	double chunk = 15e6;
	int chunks = 9, o;
	while ((o = getopt(argc, argv, "c:k:")) > 0) {
		if (o == 'c') chunk = atof(optarg) * 1e6;
		else if (o == 'k') chunks = atoi(optarg);
		else return 2;
	}
	for (; optind < argc; optind++) {
		printf("result %s %.1f\n", argv[optind], measure(find(argv[optind]), chunk, chunks));
		fflush(stdout);
	}
	return 0;
}
