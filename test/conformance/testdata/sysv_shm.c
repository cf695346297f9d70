// System V shared memory.
#include "case.h"
#include <limits.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>

#define PAGE 4096
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

static int made(size_t n) {
	int id = shmget(IPC_PRIVATE, n, IPC_CREAT | 0600);
	CHECK(id >= 0);
	return id;
}
static struct shmid_ds stat_of(int id) {
	struct shmid_ds d;
	memset(&d, 0xff, sizeof d);
	CHECK(shmctl(id, IPC_STAT, &d) == 0);
	return d;
}
static void slurp(const char *path, char *buf, size_t n) {
	int fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	size_t at = 0;
	ssize_t r;
	while (at < n - 1 && (r = read(fd, buf + at, n - 1 - at)) > 0) at += r;
	buf[at] = 0;
	close(fd);
}
static void put(const char *path, const char *s) {
	int fd = open(path, O_WRONLY);
	CHECK(fd >= 0 && write(fd, s, strlen(s)) == (ssize_t)strlen(s));
	close(fd);
}

CASE(get) {
	int id = shmget(0x1234, 5000, IPC_CREAT | IPC_EXCL | 0640);
	CHECK(id >= 0);
	FAILS(shmget(0x1234, 5000, IPC_CREAT | IPC_EXCL | 0640), EEXIST);
	CHECK(shmget(0x1234, 0, 0) == id);
	CHECK(shmget(0x1234, 5000, IPC_CREAT | 0600) == id);
	FAILS(shmget(0x1234, 5001, 0), EINVAL);
	FAILS(shmget(0x4321, 100, 0600), ENOENT);
	FAILS(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
	FAILS(shmget(0x4321, (size_t)-1, IPC_CREAT | 0600), EINVAL);
	FAILS(shmget(IPC_PRIVATE, 4096, SHM_HUGETLB | 0600), ENOMEM);
	struct shmid_ds d = stat_of(id);
	CHECK(d.shm_segsz == 5000 && d.shm_nattch == 0 && d.shm_cpid == getpid() && d.shm_lpid == 0);
	CHECK(d.shm_perm.__key == 0x1234 && (d.shm_perm.mode & 07777) == 0640 && d.shm_perm.uid == 0 && d.shm_perm.cuid == 0);
	CHECK(d.shm_atime == 0 && d.shm_dtime == 0 && d.shm_ctime > 0 && time(0) - d.shm_ctime < 5);
	CHECK(shmctl(id, IPC_RMID, 0) == 0);
	FAILS(shmctl(id, IPC_RMID, 0), EINVAL);
	FAILS(shmget(0x1234, 0, 0), ENOENT);
	FAILS(shmctl(-1, IPC_STAT, &d), EINVAL);
	FAILS(shmctl(0, 77, &d), EINVAL);
}

CASE(identifiers) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	int a = made(1), b = made(1), c = made(1);
	CHECK(a == 0 && b == 1 && c == 2);
	CHECK(shmctl(b, IPC_RMID, 0) == 0);
	for (int i = 3; i < 64; i++) { // indexes come in turn
		CHECK(made(1) == i);
		if (i > 4) CHECK(shmctl(i, IPC_RMID, 0) == 0);
	}
	CHECK(made(1) == 32768 + 1); // the second time round, under a new number
	CHECK(made(1) == 32768 + 5);
	struct shmid_ds ds = stat_of(32768 + 1);
	CHECK(ds.shm_perm.__seq == 1);
	FAILS(shmctl(b, IPC_STAT, &ds), EINVAL);
	CHECK(shmctl(1, SHM_STAT, &ds) == 32768 + 1);
}

CASE(attach) {
	int id = made(3 * PAGE);
	char *p = shmat(id, 0, 0);
	CHECK(p != (void *)-1 && ((uintptr_t)p & 4095) == 0);
	for (int i = 0; i < 3 * PAGE; i++) CHECK(p[i] == 0);
	strcpy(p + PAGE, "hello");
	char *q = shmat(id, 0, SHM_RDONLY);
	CHECK(q != (void *)-1 && q != p && !strcmp(q + PAGE, "hello"));
	FAILS(mprotect(q, PAGE, PROT_READ | PROT_WRITE), EACCES);
	struct shmid_ds d = stat_of(id);
	CHECK(d.shm_nattch == 2 && d.shm_lpid == getpid() && d.shm_atime > 0);
	CHECK(shmdt(p) == 0);
	FAILS(shmdt(p), EINVAL);
	FAILS(shmdt(q + PAGE), EINVAL);
	FAILS(shmdt(q + 1), EINVAL);
	d = stat_of(id);
	CHECK(d.shm_nattch == 1 && d.shm_dtime > 0);
	CHECK(!strcmp(q + PAGE, "hello"));
	CHECK(shmdt(q) == 0);
	p = shmat(id, 0, 0); // it is still there
	CHECK(!strcmp(p + PAGE, "hello"));
	FAILS(shmat(id + 1, 0, 0), EINVAL);
	FAILS(shmat(-1, 0, 0), EINVAL);
	CHECK(shmctl(id, IPC_RMID, 0) == 0);
}

CASE(attach_address) {
	int id = made(2 * PAGE);
	char *hole = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(munmap(hole, 8 * PAGE) == 0);
	CHECK(shmat(id, hole, 0) == hole);
	FAILS(shmat(id, hole + 4 * PAGE + 1, 0), EINVAL);
	CHECK(shmat(id, hole + 4 * PAGE + 1, SHM_RND) == hole + 4 * PAGE);
	FAILS(shmat(id, hole + PAGE, 0), EINVAL);
	FAILS(shmat(id, 0, SHM_REMAP), EINVAL);
	hole[0] = 7;
	CHECK(hole[4 * PAGE] == 7);
	CHECK(shmat(id, hole, SHM_REMAP) == hole && hole[0] == 7);
	CHECK(stat_of(id).shm_nattch == 2);
	CHECK(shmdt(hole) == 0 && stat_of(id).shm_nattch == 1);
	int exec = (int)syscall(SYS_shmat, id, hole, SHM_EXEC) == -1 ? errno : 0;
	CHECK(exec == 0 || exec == EACCES);
	shmctl(id, IPC_RMID, 0);
}

CASE(exec_attachment) {
	int id = shmget(IPC_PRIVATE, PAGE, 0700);
	unsigned char *p = shmat(id, 0, SHM_EXEC);
	CHECK(p != (void *)-1);
	memcpy(p, "\xb8\x2a\0\0\0\xc3", 6); // mov $42, %eax; ret
	CHECK(((int (*)(void))p)() == 42);
	shmctl(id, IPC_RMID, 0);
}

CASE(remove_with_last_detachment) {
	int id = shmget(0x77, PAGE, IPC_CREAT | 0600);
	char *p = shmat(id, 0, 0);
	CHECK(shmctl(id, IPC_RMID, 0) == 0);
	struct shmid_ds d = stat_of(id);
	CHECK(d.shm_perm.mode & SHM_DEST && d.shm_perm.__key == IPC_PRIVATE && d.shm_nattch == 1);
	FAILS(shmget(0x77, 0, 0), ENOENT);
	p[0] = 5;
	char *q = shmat(id, 0, 0); // as Linux: a doomed segment can be attached
	CHECK(q != (void *)-1 && q[0] == 5);
	CHECK(shmdt(p) == 0 && shmctl(id, IPC_STAT, &d) == 0);
	CHECK(shmdt(q) == 0);
	FAILS(shmctl(id, IPC_STAT, &d), EINVAL);
}

CASE(fork_exec_exit) {
	int id = made(PAGE), ready[2], go[2];
	int *p = shmat(id, 0, 0);
	CHECK(pipe(ready) == 0 && pipe(go) == 0);
	pid_t pid = fork();
	if (!pid) {
		char c;
		*p = 99;
		write(ready[1], "x", 1);
		read(go[0], &c, 1);
		_exit(0);
	}
	char c;
	CHECK(read(ready[0], &c, 1) == 1 && *p == 99);
	struct shmid_ds d = stat_of(id);
	CHECK(d.shm_nattch == 2 && d.shm_lpid == getpid());
	write(go[1], "x", 1);
	CHECK(wait_code(pid) == 0);
	d = stat_of(id);
	CHECK(d.shm_nattch == 1 && d.shm_lpid == pid);
	if (!(pid = vfork())) {
		execl("/bin/true", "true", NULL);
		_exit(9);
	}
	CHECK(wait_code(pid) == 0 && stat_of(id).shm_nattch == 1);
	pid = fork();
	if (!pid) {
		write(ready[1], "x", 1);
		read(go[0], &c, 1);
		execl("/bin/cat", "cat", "/dev/null", NULL);
		_exit(9);
	}
	CHECK(read(ready[0], &c, 1) == 1 && stat_of(id).shm_nattch == 2);
	write(go[1], "x", 1);
	CHECK(wait_code(pid) == 0 && stat_of(id).shm_nattch == 1 && stat_of(id).shm_lpid == pid);
	shmctl(id, IPC_RMID, 0);
}

CASE(killed_process_detaches) {
	int id = made(PAGE);
	pid_t pid = fork();
	if (!pid) {
		shmat(id, 0, 0);
		pause();
		_exit(0);
	}
	while (stat_of(id).shm_nattch != 1) msleep(1);
	CHECK(shmctl(id, IPC_RMID, 0) == 0);
	kill(pid, SIGKILL);
	CHECK(wait_code(pid) == 128 + SIGKILL);
	struct shmid_ds d;
	FAILS(shmctl(id, IPC_STAT, &d), EINVAL);
}

CASE(partial_unmap) {
	int id = made(4 * PAGE);
	char *p = shmat(id, 0, 0);
	p[3 * PAGE] = 3;
	CHECK(munmap(p + PAGE, PAGE) == 0);
	CHECK(stat_of(id).shm_nattch == 2);
	CHECK(p[3 * PAGE] == 3);
	CHECK(shmdt(p) == 0); // takes both pieces
	CHECK(stat_of(id).shm_nattch == 0);
	CHECK(msync(p + 3 * PAGE, PAGE, MS_ASYNC) == -1 && errno == ENOMEM);
	shmctl(id, IPC_RMID, 0);
}

CASE(protect_part_keeps_contents) {
	// A segment split into mappings of several protections is still one segment.
	int id = made(4 * PAGE);
	char *p = shmat(id, 0, 0);
	CHECK(mprotect(p + PAGE, PAGE, PROT_READ) == 0);
	p[2 * PAGE] = 8;
	char *q = shmat(id, 0, 0);
	q[3 * PAGE] = 9, q[PAGE] = 7;
	CHECK(p[3 * PAGE] == 9 && p[PAGE] == 7 && q[2 * PAGE] == 8);
	CHECK(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	p[PAGE] = 6;
	CHECK(q[PAGE] == 6);
	CHECK(shmdt(p) == 0 && shmdt(q) == 0 && stat_of(id).shm_nattch == 0);
	shmctl(id, IPC_RMID, 0);
}

CASE(shared_anonymous_split) {
	// The same for memory without a name: nothing may be lost or forgotten.
	char *p = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p[0] = 1;
	CHECK(mprotect(p + 2 * PAGE, PAGE, PROT_READ) == 0);
	pid_t pid;
	CHILD(pid) {
		p[3 * PAGE] = 42;
		CHECK(p[2 * PAGE] == 0 && p[0] == 1);
	}
	CHECK(wait_code(pid) == 0 && p[3 * PAGE] == 42);
	CHECK(mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
	CHILD(pid) p[2 * PAGE] = 43;
	CHECK(wait_code(pid) == 0 && p[2 * PAGE] == 43);
	CHECK(munmap(p + PAGE, PAGE) == 0 && p[3 * PAGE] == 42);
}

CASE(permissions) {
	int id = shmget(IPC_PRIVATE, PAGE, 0640);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		struct shmid_ds d;
		FAILS(shmat(id, 0, 0), EACCES);
		FAILS(shmat(id, 0, SHM_RDONLY), EACCES);
		FAILS(shmctl(id, IPC_STAT, &d), EACCES);
		FAILS(shmctl(id, IPC_RMID, 0), EPERM);
	}
	CHECK(wait_code(pid) == 0);
	struct shmid_ds d = stat_of(id);
	d.shm_perm.gid = 1000, d.shm_perm.mode = 0641;
	CHECK(shmctl(id, IPC_SET, &d) == 0);
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		struct shmid_ds d;
		FAILS(shmat(id, 0, 0), EACCES);
		CHECK(shmat(id, 0, SHM_RDONLY) != (void *)-1);
		CHECK(shmctl(id, IPC_STAT, &d) == 0 && d.shm_perm.gid == 1000 && (d.shm_perm.mode & 0777) == 0641);
		FAILS(shmctl(id, IPC_SET, &d), EPERM);
	}
	CHECK(wait_code(pid) == 0);
	d.shm_perm.uid = 1000, d.shm_perm.mode = 0600;
	CHECK(shmctl(id, IPC_SET, &d) == 0);
	CHILD(pid) {
		CHECK(setgid(1001) == 0 && setuid(1000) == 0);
		CHECK(shmat(id, 0, 0) != (void *)-1);
		CHECK(shmctl(id, IPC_RMID, 0) == 0);
	}
	CHECK(wait_code(pid) == 0);
}

CASE(key_permissions) {
	int id = shmget(0x99, PAGE, IPC_CREAT | 0600);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		CHECK(shmget(0x99, 0, 0) == id); // nothing asked, nothing denied
		FAILS(shmget(0x99, 0, 0400), EACCES);
	}
	CHECK(wait_code(pid) == 0);
	shmctl(id, IPC_RMID, 0);
}

CASE(locking) {
	int id = made(PAGE);
	CHECK(shmctl(id, SHM_LOCK, 0) == 0 && stat_of(id).shm_perm.mode & SHM_LOCKED);
	CHECK(shmctl(id, SHM_UNLOCK, 0) == 0 && !(stat_of(id).shm_perm.mode & SHM_LOCKED));
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		FAILS(shmctl(id, SHM_LOCK, 0), EPERM);
		int mine = made(PAGE);
		CHECK(shmctl(mine, SHM_LOCK, 0) == 0);
		struct rlimit none = {0, 0};
		CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
		FAILS(shmctl(mine, SHM_LOCK, 0), EPERM);
		shmctl(mine, IPC_RMID, 0);
	}
	CHECK(wait_code(pid) == 0);
	shmctl(id, IPC_RMID, 0);
}

CASE(info) {
	struct shminfo lim;
	CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&lim) >= 0);
	CHECK(lim.shmmin == 1 && lim.shmmni == 4096 && lim.shmseg == 4096 && lim.shmmax == ULONG_MAX - (1UL << 24) && lim.shmall == lim.shmmax);
	struct shm_info before, after;
	shmctl(0, SHM_INFO, (struct shmid_ds *)&before);
	int id = made(3 * PAGE + 1);
	char *p = shmat(id, 0, 0);
	p[0] = 1;
	int top = shmctl(0, SHM_INFO, (struct shmid_ds *)&after);
	CHECK(top >= (id & 32767));
	CHECK(after.used_ids == before.used_ids + 1 && after.shm_tot == before.shm_tot + 4 && after.shm_rss >= before.shm_rss + 1);
	struct shmid_ds d;
	CHECK(shmctl(id & 32767, SHM_STAT, &d) == id && d.shm_segsz == 3 * PAGE + 1);
	CHECK(shmctl(id & 32767, SHM_STAT_ANY, &d) == id);
	shmctl(id, IPC_RMID, 0);
}

CASE(proc_table) {
	int id = shmget(0xabc, 5000, IPC_CREAT | 0604);
	char *p = shmat(id, 0, 0), buf[8192], want[100];
	p[0] = 1;
	slurp("/proc/sysvipc/shm", buf, sizeof buf);
	snprintf(want, sizeof want, "\n%10d %10d   604 %21d %5d %5d  %5d     0     0     0     0 ", 0xabc, id, 5000, getpid(), getpid(), 1);
	CHECK(!strncmp(buf, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n", 160));
	CHECK(strstr(buf, want));
	slurp("/proc/self/maps", buf, sizeof buf);
	snprintf(want, sizeof want, " 00:01 %d ", id);
	CHECK(strstr(buf, want) && strstr(buf, "/SYSV00000abc (deleted)"));
	shmctl(id, IPC_RMID, 0);
}

CASE(limits) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	char buf[100];
	slurp("/proc/sys/kernel/shmmni", buf, sizeof buf);
	CHECK(!strcmp(buf, "4096\n"));
	slurp("/proc/sys/kernel/shmmax", buf, sizeof buf);
	CHECK(!strcmp(buf, "18446744073692774399\n"));
	put("/proc/sys/kernel/shmmni", "2");
	int a = made(PAGE), b = made(PAGE);
	CHECK(a == 0 && b == 1);
	FAILS(shmget(IPC_PRIVATE, PAGE, 0600), ENOSPC);
	put("/proc/sys/kernel/shmmni", "4096");
	put("/proc/sys/kernel/shmmax", "8192");
	FAILS(shmget(IPC_PRIVATE, 8193, 0600), EINVAL);
	put("/proc/sys/kernel/shmall", "4");
	made(2 * PAGE);
	FAILS(shmget(IPC_PRIVATE, PAGE, 0600), ENOSPC);
	shmctl(a, IPC_RMID, 0);
	made(PAGE);
}

CASE(namespace) {
	int id = shmget(0x55, PAGE, IPC_CREAT | 0600), sync[2];
	char *p = shmat(id, 0, 0);
	strcpy(p, "outer");
	CHECK(pipe(sync) == 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(unshare(CLONE_NEWIPC) == 0);
		FAILS(shmget(0x55, 0, 0), ENOENT);
		CHECK(!strcmp(p, "outer")); // what is attached stays
		int mine = shmget(0x55, 2 * PAGE, IPC_CREAT | 0600);
		CHECK(mine == 0 && stat_of(mine).shm_segsz == 2 * PAGE);
		CHECK(shmdt(p) == 0);
	}
	CHECK(wait_code(pid) == 0);
	CHECK(stat_of(id).shm_segsz == PAGE && stat_of(id).shm_nattch == 1);
	shmctl(id, IPC_RMID, 0);
}

CASE(setns_back) {
	int id = shmget(0x56, PAGE, IPC_CREAT | 0600);
	int fd = open("/proc/self/ns/ipc", O_RDONLY);
	CHECK(fd >= 0 && unshare(CLONE_NEWIPC) == 0);
	FAILS(shmget(0x56, 0, 0), ENOENT);
	CHECK(setns(fd, CLONE_NEWIPC) == 0);
	CHECK(shmget(0x56, 0, 0) == id);
	shmctl(id, IPC_RMID, 0);
}

CASE(namespace_kept_by_file) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	int id = shmget(0x57, PAGE, IPC_CREAT | 0600);
	char *p = shmat(id, 0, 0);
	strcpy(p, "kept");
	shmdt(p);
	int fd = open("/proc/self/ns/ipc", O_RDONLY);
	CHECK(unshare(CLONE_NEWIPC) == 0);
	FAILS(shmget(0x57, 0, 0), ENOENT);
	CHECK(setns(fd, 0) == 0 && close(fd) == 0);
	CHECK(shmget(0x57, 0, 0) == id && !strcmp(shmat(id, 0, 0), "kept"));
}

CASE(rmid_forced) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	int sync[2];
	CHECK(pipe(sync) == 0);
	pid_t pid;
	CHILD(pid) {
		int id = made(PAGE);
		write(sync[1], &id, sizeof id);
	}
	CHECK(wait_code(pid) == 0);
	int old, id = made(PAGE);
	struct shmid_ds d;
	CHECK(read(sync[0], &old, sizeof old) == sizeof old && shmctl(old, IPC_STAT, &d) == 0);
	put("/proc/sys/kernel/shm_rmid_forced", "1");
	FAILS(shmctl(old, IPC_STAT, &d), EINVAL); // its maker has gone
	CHECK(shmctl(id, IPC_STAT, &d) == 0);
	CHILD(pid) {
		int id = made(PAGE);
		write(sync[1], &id, sizeof id);
	}
	CHECK(wait_code(pid) == 0 && read(sync[0], &old, sizeof old) == sizeof old);
	FAILS(shmctl(old, IPC_STAT, &d), EINVAL);
}

CASE(futex_across_attachments) {
	int id = made(PAGE);
	int *p = shmat(id, 0, 0), *q = shmat(id, 0, 0);
	pid_t pid;
	CHILD(pid) {
		while (__atomic_load_n(q, __ATOMIC_SEQ_CST) == 0) syscall(SYS_futex, q, 0 /* FUTEX_WAIT */, 0, 0, 0, 0);
	}
	msleep(20);
	__atomic_store_n(p, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, p, 1 /* FUTEX_WAKE */, 1, 0, 0, 0);
	CHECK(wait_code(pid) == 0);
	shmctl(id, IPC_RMID, 0);
}

CASE(pid_namespace) {
	int id = made(PAGE);
	pid_t pid;
	CHILD(pid) {
		CHECK(unshare(CLONE_NEWPID) == 0);
		pid_t inner;
		CHILD(inner) {
			CHECK(shmat(id, 0, 0) != (void *)-1);
			struct shmid_ds d = stat_of(id);
			CHECK(d.shm_cpid == 0 && d.shm_lpid == 1); // the maker is not visible here
		}
		CHECK(wait_code(inner) == 0);
		CHECK(stat_of(id).shm_lpid == inner);
	}
	CHECK(wait_code(pid) == 0);
	shmctl(id, IPC_RMID, 0);
}
