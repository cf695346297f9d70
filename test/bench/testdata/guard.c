// guard [-s] COMMAND…: runs a command and sees to it that nothing of it stays.
// Orphans among its descendants become its children, so that the tree below it
// is everything the command started, and it ends them all when the command has
// ended, or, with -s (stay), when its standard input does. Prints how long the
// command took to its own end: "result wall NANOSECONDS", and exits as the
// command did.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

// clear kills the children, whose own become ours, until there are none; it
// gives up after ten seconds on what cannot be killed.
static void clear(void) {
	for (int i = 0; i < 1000; i++) {
		pid_t p;
		char path[64];
		snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
		FILE *f = fopen(path, "r");
		while (f && fscanf(f, "%d", &p) == 1) kill(p, SIGKILL);
		if (f) fclose(f);
		while ((p = waitpid(-1, 0, WNOHANG)) > 0) {}
		if (p < 0) return;
		usleep(10000);
	}
}

int main(int argc, char **argv) {
	int stay = argc > 1 && !strcmp(argv[1], "-s"), status = 0;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigset_t s, old;
	sigemptyset(&s);
	sigaddset(&s, SIGCHLD);
	sigprocmask(SIG_BLOCK, &s, &old);
	struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN}};
	double start = now();
	pid_t child = fork();
	if (!child) {
		sigprocmask(SIG_SETMASK, &old, 0);
		dup2(open("/dev/null", O_RDONLY), 0);
		execvp(argv[1 + stay], argv + 1 + stay);
		perror(argv[1 + stay]);
		_exit(127);
	}
	for (int done = 0; !done;) {
		poll(fds, 2, -1);
		if (fds[0].revents) break; // nothing is ever written: it has ended
		struct signalfd_siginfo info;
		while (read(fds[1].fd, &info, sizeof info) > 0) {}
		pid_t p;
		int st;
		while ((p = waitpid(-1, &st, WNOHANG)) > 0) {
			if (p != child) continue;
			dprintf(1, "result wall %.0f\n", now() - start);
			status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
			done = !stay;
		}
	}
	clear();
	return status;
}
