// System V semaphores.
#include "case.h"
#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

static int made(int n) {
	int id = semget(IPC_PRIVATE, n, IPC_CREAT | 0600);
	CHECK(id >= 0);
	return id;
}
static int op(int id, int num, int by, int flags) {
	struct sembuf b = {num, by, flags};
	return semop(id, &b, 1);
}
static int val(int id, int num) { return semctl(id, num, GETVAL); }
static int set(int id, int num, int v) { return semctl(id, num, SETVAL, (union semun){.val = v}); }
static struct semid_ds stat_of(int id) {
	struct semid_ds d;
	memset(&d, 0xff, sizeof d);
	CHECK(semctl(id, 0, IPC_STAT, (union semun){.buf = &d}) == 0);
	return d;
}
static int timed(int id, struct sembuf *b, int n, int ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	return semtimedop(id, b, n, &t);
}
static void gone(int id) { semctl(id, 0, IPC_RMID); }

CASE(get) {
	int id = semget(0x1234, 3, IPC_CREAT | IPC_EXCL | 0640);
	CHECK(id >= 0);
	FAILS(semget(0x1234, 3, IPC_CREAT | IPC_EXCL | 0640), EEXIST);
	CHECK(semget(0x1234, 0, 0) == id && semget(0x1234, 2, 0600) == id);
	FAILS(semget(0x1234, 4, 0), EINVAL);
	FAILS(semget(0x4321, 1, 0600), ENOENT);
	FAILS(semget(IPC_PRIVATE, 0, 0600), EINVAL);
	FAILS(semget(IPC_PRIVATE, -1, 0600), EINVAL);
	FAILS(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
	struct semid_ds d = stat_of(id);
	CHECK(d.sem_nsems == 3 && d.sem_otime == 0 && d.sem_ctime > 0 && (d.sem_perm.mode & 07777) == 0640);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	FAILS(semctl(id, 0, IPC_RMID), EINVAL);
	FAILS(semctl(-1, 0, GETVAL), EINVAL);
	FAILS(semctl(0, 0, 99), EINVAL);
}

CASE(values) {
	int id = made(3);
	for (int i = 0; i < 3; i++) CHECK(val(id, i) == 0 && semctl(id, i, GETPID) == 0);
	unsigned short a[3] = {5, 0, 32767}, b[3];
	CHECK(semctl(id, 0, SETALL, (union semun){.array = a}) == 0);
	CHECK(semctl(id, 0, GETALL, (union semun){.array = b}) == 0 && !memcmp(a, b, sizeof a));
	CHECK(set(id, 1, 9) == 0 && val(id, 1) == 9 && semctl(id, 1, GETPID) == getpid());
	FAILS(set(id, 1, 32768), ERANGE);
	FAILS(set(id, 1, -1), ERANGE);
	FAILS(set(id, 3, 1), EINVAL);
	FAILS(val(id, 3), EINVAL);
	FAILS(val(id, -1), EINVAL);
	a[0] = 32768;
	FAILS(semctl(id, 0, SETALL, (union semun){.array = a}), ERANGE);
	FAILS(semctl(id, 0, GETALL, (union semun){.array = (void *)8}), EFAULT);
	gone(id);
}

CASE(operations) {
	int id = made(2);
	CHECK(op(id, 0, 3, 0) == 0 && val(id, 0) == 3);
	CHECK(stat_of(id).sem_otime > 0);
	CHECK(op(id, 0, -2, 0) == 0 && val(id, 0) == 1);
	FAILS(op(id, 0, -2, IPC_NOWAIT), EAGAIN);
	FAILS(op(id, 0, 0, IPC_NOWAIT), EAGAIN);
	CHECK(op(id, 1, 0, 0) == 0);
	FAILS(op(id, 0, 32767, 0), ERANGE);
	FAILS(op(id, 2, 1, 0), EFBIG);
	FAILS(op(-1, 0, 1, 0), EINVAL);
	struct sembuf b;
	FAILS(semop(id, &b, 0), EINVAL);
	FAILS(semop(id, (void *)8, 1), EFAULT);
	static struct sembuf many[501];
	FAILS(semop(id, many, 501), E2BIG);
	CHECK(set(id, 0, 0) == 0 && semop(id, many, 500) == 0); // five hundred times nothing
	gone(id);
}

CASE(all_or_nothing) {
	int id = made(3);
	set(id, 0, 1);
	struct sembuf b[3] = {{0, -1, 0}, {1, 5, 0}, {2, -1, IPC_NOWAIT}};
	FAILS(semop(id, b, 3), EAGAIN);
	CHECK(val(id, 0) == 1 && val(id, 1) == 0);
	struct sembuf c[3] = {{0, -1, 0}, {0, 0, 0}, {0, 2, 0}}; // in order, on one semaphore
	CHECK(semop(id, c, 3) == 0 && val(id, 0) == 2);
	struct sembuf d[2] = {{0, 1, 0}, {0, 0, IPC_NOWAIT}};
	FAILS(semop(id, d, 2), EAGAIN);
	CHECK(val(id, 0) == 2);
	gone(id);
}

CASE(blocking) {
	int id = made(2);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, -2, 0) == 0);
		CHECK(op(id, 1, 1, 0) == 0);
	}
	while (semctl(id, 0, GETNCNT) != 1) msleep(1);
	CHECK(semctl(id, 0, GETZCNT) == 0);
	CHECK(op(id, 0, 1, 0) == 0);
	msleep(30);
	CHECK(val(id, 0) == 1 && semctl(id, 0, GETNCNT) == 1);
	CHECK(op(id, 0, 1, 0) == 0);
	CHECK(op(id, 1, -1, 0) == 0 && val(id, 0) == 0);
	CHECK(wait_code(pid) == 0 && semctl(id, 1, GETPID) == getpid());
	CHECK(semctl(id, 0, GETPID) == pid); // also after its end
	gone(id);
}

CASE(wait_for_zero) {
	int id = made(1);
	set(id, 0, 2);
	pid_t pid;
	CHILD(pid) CHECK(op(id, 0, 0, 0) == 0);
	while (semctl(id, 0, GETZCNT) != 1) msleep(1);
	CHECK(semctl(id, 0, GETNCNT) == 0);
	CHECK(op(id, 0, -1, 0) == 0);
	msleep(20);
	CHECK(semctl(id, 0, GETZCNT) == 1 && op(id, 0, -1, 0) == 0);
	CHECK(wait_code(pid) == 0);
	gone(id);
}

CASE(waiter_gets_it_first) {
	// Who waited has the unit before the one who gave it can take it back.
	int id = made(1);
	pid_t pid;
	CHILD(pid) CHECK(op(id, 0, -1, 0) == 0);
	while (semctl(id, 0, GETNCNT) != 1) msleep(1);
	CHECK(op(id, 0, 1, 0) == 0);
	FAILS(op(id, 0, -1, IPC_NOWAIT), EAGAIN);
	CHECK(wait_code(pid) == 0);
	gone(id);
}

CASE(first_come_first_served) {
	int id = made(2), order[2];
	CHECK(pipe(order) == 0);
	pid_t pid[4];
	for (int i = 0; i < 4; i++) {
		CHILD(pid[i]) {
			char c = i;
			CHECK(op(id, 0, -1, 0) == 0);
			write(order[1], &c, 1);
			CHECK(op(id, 1, 1, 0) == 0);
		}
		while (semctl(id, 0, GETNCNT) != i + 1) msleep(1);
	}
	for (int i = 0; i < 4; i++) {
		char c = 9;
		CHECK(op(id, 0, 1, 0) == 0 && op(id, 1, -1, 0) == 0);
		CHECK(read(order[0], &c, 1) == 1 && c == i);
	}
	for (int i = 0; i < 4; i++) CHECK(wait_code(pid[i]) == 0);
	gone(id);
}

CASE(smaller_demand_passes) {
	int id = made(1);
	pid_t big, small;
	CHILD(big) CHECK(op(id, 0, -5, 0) == 0);
	while (semctl(id, 0, GETNCNT) != 1) msleep(1);
	CHILD(small) CHECK(op(id, 0, -1, 0) == 0);
	while (semctl(id, 0, GETNCNT) != 2) msleep(1);
	CHECK(op(id, 0, 2, 0) == 0);
	CHECK(wait_code(small) == 0 && val(id, 0) == 1);
	CHECK(op(id, 0, 4, 0) == 0 && wait_code(big) == 0 && val(id, 0) == 0);
	gone(id);
}

CASE(chain_of_waiters) {
	// What one waiter gives when it is served lets the next one go.
	int id = made(3);
	pid_t a, b;
	CHILD(b) {
		struct sembuf o[2] = {{1, -1, 0}, {2, 1, 0}};
		CHECK(semop(id, o, 2) == 0);
	}
	while (semctl(id, 1, GETNCNT) != 1) msleep(1);
	CHILD(a) {
		struct sembuf o[2] = {{0, -1, 0}, {1, 1, 0}};
		CHECK(semop(id, o, 2) == 0);
	}
	while (semctl(id, 0, GETNCNT) != 1) msleep(1);
	CHECK(op(id, 0, 1, 0) == 0 && val(id, 2) == 1 && val(id, 1) == 0 && val(id, 0) == 0);
	CHECK(wait_code(a) == 0 && wait_code(b) == 0);
	gone(id);
}

CASE(timeout) {
	int id = made(1);
	struct sembuf b = {0, -1, 0};
	struct timespec t0, t1;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	FAILS(timed(id, &b, 1, 50), EAGAIN);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	CHECK((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 >= 49);
	CHECK(semctl(id, 0, GETNCNT) == 0);
	FAILS(timed(id, &b, 1, 0), EAGAIN);
	struct timespec bad = {0, 1000000000};
	FAILS(semtimedop(id, &b, 1, &bad), EINVAL);
	FAILS(semtimedop(id, &b, 1, (void *)8), EFAULT);
	set(id, 0, 1);
	CHECK(timed(id, &b, 1, 0) == 0);
	gone(id);
}

static void nothing(int sig) {}

CASE(interrupted) {
	int id = made(1);
	struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	pid_t me = getpid(), pid;
	CHILD(pid) {
		while (semctl(id, 0, GETNCNT) != 1) msleep(1);
		kill(me, SIGUSR1);
	}
	FAILS(op(id, 0, -1, 0), EINTR); // never restarted
	CHECK(wait_code(pid) == 0 && semctl(id, 0, GETNCNT) == 0);
	gone(id);
}

CASE(removed_while_waiting) {
	int id = made(1);
	pid_t pid[3];
	for (int i = 0; i < 3; i++) CHILD(pid[i]) FAILS(op(id, 0, -1, SEM_UNDO), EIDRM);
	while (semctl(id, 0, GETNCNT) != 3) msleep(1);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	for (int i = 0; i < 3; i++) CHECK(wait_code(pid[i]) == 0);
	FAILS(op(id, 0, 1, 0), EINVAL);
}

CASE(setval_wakes) {
	int id = made(2);
	pid_t pid[2];
	for (int i = 0; i < 2; i++) CHILD(pid[i]) CHECK(op(id, i, -2, 0) == 0);
	while (semctl(id, 0, GETNCNT) + semctl(id, 1, GETNCNT) != 2) msleep(1);
	CHECK(set(id, 0, 3) == 0 && wait_code(pid[0]) == 0 && val(id, 0) == 1);
	unsigned short a[2] = {7, 7};
	CHECK(semctl(id, 0, SETALL, (union semun){.array = a}) == 0 && wait_code(pid[1]) == 0);
	CHECK(val(id, 0) == 7 && val(id, 1) == 5);
	gone(id);
}

CASE(undo) {
	int id = made(3);
	set(id, 0, 10), set(id, 1, 1);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, -3, SEM_UNDO) == 0 && op(id, 0, -1, 0) == 0 && op(id, 0, 1, SEM_UNDO) == 0);
		CHECK(op(id, 1, -1, SEM_UNDO) == 0 && op(id, 2, 4, SEM_UNDO) == 0);
		CHECK(val(id, 0) == 7 && val(id, 1) == 0 && val(id, 2) == 4);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(val(id, 0) == 9 && val(id, 1) == 1 && val(id, 2) == 0);
	CHECK(semctl(id, 1, GETPID) == pid);
	gone(id);
}

CASE(undo_of_killed_holder) {
	int id = made(1);
	set(id, 0, 1);
	pid_t holder;
	CHILD(holder) {
		CHECK(op(id, 0, -1, SEM_UNDO) == 0);
		pause();
	}
	while (val(id, 0) != 0) msleep(1);
	pid_t waiter;
	CHILD(waiter) CHECK(op(id, 0, -1, SEM_UNDO) == 0);
	while (semctl(id, 0, GETNCNT) != 1) msleep(1);
	kill(holder, SIGKILL);
	CHECK(wait_code(holder) == 128 + SIGKILL && wait_code(waiter) == 0 && val(id, 0) == 1);
	gone(id);
}

CASE(undo_bounds) {
	int id = made(1);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, 5, SEM_UNDO) == 0);
		CHECK(op(id, 0, -4, 0) == 0);
	}
	CHECK(wait_code(pid) == 0 && val(id, 0) == 0); // not below zero
	CHILD(pid) {
		CHECK(op(id, 0, 32767, SEM_UNDO) == 0 && op(id, 0, -32767, 0) == 0);
		CHECK(op(id, 0, 1, SEM_UNDO) == 0 && op(id, 0, -1, 0) == 0);
		FAILS(op(id, 0, 1, SEM_UNDO), ERANGE);
	}
	CHECK(wait_code(pid) == 0);
	gone(id);
}

CASE(undo_forgotten_by_setval) {
	int id = made(2);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, 5, SEM_UNDO) == 0 && op(id, 1, 5, SEM_UNDO) == 0);
		CHECK(set(id, 0, 3) == 0);
	}
	CHECK(wait_code(pid) == 0 && val(id, 0) == 3 && val(id, 1) == 0);
	CHILD(pid) {
		unsigned short a[2] = {8, 8};
		CHECK(op(id, 0, 1, SEM_UNDO) == 0);
		CHECK(semctl(id, 0, SETALL, (union semun){.array = a}) == 0);
	}
	CHECK(wait_code(pid) == 0 && val(id, 0) == 8);
	gone(id);
}

CASE(undo_not_inherited_but_kept_by_exec) {
	int id = made(1);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, 5, SEM_UNDO) == 0);
		pid_t inner;
		CHILD(inner) {}
		CHECK(wait_code(inner) == 0 && val(id, 0) == 5);
		execl("/bin/sh", "sh", "-c", "exit 0", NULL);
	}
	CHECK(wait_code(pid) == 0 && val(id, 0) == 0);
	gone(id);
}

static int shared_id;
static void *thread_op(void *a) {
	CHECK(op(shared_id, 0, 3, SEM_UNDO) == 0);
	return 0;
}

CASE(undo_shared_by_threads) {
	int id = shared_id = made(1);
	pid_t pid;
	CHILD(pid) {
		pthread_t th;
		CHECK(pthread_create(&th, 0, thread_op, 0) == 0);
		pthread_join(th, 0);
		msleep(20);
		CHECK(val(id, 0) == 3); // until the process ends
	}
	CHECK(wait_code(pid) == 0 && val(id, 0) == 0);
	gone(id);
}

CASE(unshare_undo) {
	int id = made(1);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, 3, SEM_UNDO) == 0);
		CHECK(unshare(CLONE_SYSVSEM) == 0 && val(id, 0) == 0);
	}
	CHECK(wait_code(pid) == 0);
	gone(id);
}

CASE(permissions) {
	int id = semget(IPC_PRIVATE, 1, 0644);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		CHECK(val(id, 0) == 0 && op(id, 0, 0, 0) == 0);
		FAILS(op(id, 0, 1, 0), EACCES);
		FAILS(set(id, 0, 1), EACCES);
		FAILS(semctl(id, 0, IPC_RMID), EPERM);
		struct semid_ds d = stat_of(id);
		FAILS(semctl(id, 0, IPC_SET, (union semun){.buf = &d}), EPERM);
	}
	CHECK(wait_code(pid) == 0);
	struct semid_ds d = stat_of(id);
	d.sem_perm.mode = 0600, d.sem_perm.uid = 1000;
	CHECK(semctl(id, 0, IPC_SET, (union semun){.buf = &d}) == 0);
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1001) == 0);
		FAILS(val(id, 0), EACCES);
		FAILS(semctl(id, 0, IPC_STAT, (union semun){.buf = &d}), EACCES);
	}
	CHECK(wait_code(pid) == 0);
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		CHECK(op(id, 0, 1, 0) == 0 && semctl(id, 0, IPC_RMID) == 0);
	}
	CHECK(wait_code(pid) == 0);
}

CASE(info) {
	struct seminfo i;
	CHECK(semctl(0, 0, IPC_INFO, (union semun){.info = &i}) >= 0);
	CHECK(i.semmni == 32000 && i.semmns == 1024000000 && i.semmsl == 32000 && i.semopm == 500 && i.semvmx == 32767 && i.semaem == 32767 && i.semusz == 20);
	CHECK(i.semmap == 1024000000 && i.semmnu == 1024000000 && i.semume == 500);
	struct seminfo a, b;
	CHECK(semctl(0, 0, SEM_INFO, (union semun){.info = &a}) >= 0);
	int id = made(7);
	CHECK(semctl(0, 0, SEM_INFO, (union semun){.info = &b}) >= (id & 32767));
	CHECK(b.semusz == a.semusz + 1 && b.semaem == a.semaem + 7);
	struct semid_ds d;
	CHECK(semctl(id & 32767, 0, SEM_STAT, (union semun){.buf = &d}) == id && d.sem_nsems == 7);
	CHECK(semctl(id & 32767, 0, SEM_STAT_ANY, (union semun){.buf = &d}) == id);
	gone(id);
}

CASE(proc_table) {
	int id = semget(0xabc, 3, IPC_CREAT | 0604);
	char buf[8192], want[100];
	FILE *f = fopen("/proc/sysvipc/sem", "r");
	buf[fread(buf, 1, sizeof buf - 1, f)] = 0;
	snprintf(want, sizeof want, "\n%10d %10d   604 %10d     0     0     0     0          0 ", 0xabc, id, 3);
	CHECK(strstr(buf, want));
	gone(id);
}

CASE(limits) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	char buf[100];
	int fd = open("/proc/sys/kernel/sem", O_RDWR);
	CHECK(fd >= 0 && read(fd, buf, sizeof buf) > 0 && !strncmp(buf, "32000\t1024000000\t500\t32000\n", 27));
	CHECK(pwrite(fd, "10 15 2 2", 9, 0) == 9);
	FAILS(semget(IPC_PRIVATE, 11, 0600), EINVAL);
	int a = made(10);
	FAILS(semget(IPC_PRIVATE, 6, 0600), ENOSPC);
	made(5);
	semctl(a, 0, IPC_RMID);
	a = made(1);
	FAILS(semget(IPC_PRIVATE, 1, 0600), ENOSPC);
	struct sembuf b[3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
	FAILS(semop(a, b, 3), E2BIG);
}

CASE(namespace) {
	int id = semget(0x55, 1, IPC_CREAT | 0600);
	pid_t pid;
	CHILD(pid) {
		CHECK(op(id, 0, 1, SEM_UNDO) == 0);
		CHECK(unshare(CLONE_NEWIPC) == 0); // which ends the undo list
		FAILS(semget(0x55, 0, 0), ENOENT);
		msleep(100);
	}
	msleep(50);
	CHECK(val(id, 0) == 0 && wait_code(pid) == 0);
	gone(id);
}

CASE(mutual_exclusion) {
	// Four processes count to 4000 together.
	int id = made(1);
	int *n = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	set(id, 0, 1);
	pid_t pid[4];
	for (int i = 0; i < 4; i++)
		CHILD(pid[i]) for (int k = 0; k < 1000; k++) {
			CHECK(op(id, 0, -1, SEM_UNDO) == 0);
			int v = *(volatile int *)n;
			*(volatile int *)n = v + 1;
			CHECK(op(id, 0, 1, SEM_UNDO) == 0);
		}
	for (int i = 0; i < 4; i++) CHECK(wait_code(pid[i]) == 0);
	CHECK(*n == 4000 && val(id, 0) == 1);
	gone(id);
}
