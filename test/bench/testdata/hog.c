// hog CPU: keeps one core busy until it is killed.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

int main(int argc, char **argv) {
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(atoi(argv[1]), &one);
	sched_setaffinity(0, sizeof one, &one);
	for (volatile unsigned long i = 0;; i++) {}
}
