// System V message queues.
#include "case.h"
#include <limits.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct text {
	long type;
	char text[20000];
};
static struct text in, out;

static int made(void) {
	int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	CHECK(id >= 0);
	return id;
}
static int send(int id, long type, const char *s, int flags) {
	out.type = type;
	strcpy(out.text, s);
	return msgsnd(id, &out, strlen(s) + 1, flags);
}
// got receives and compares type and text.
static int got(int id, long want, int flags, long type, const char *s) {
	memset(&in, 0, sizeof in);
	ssize_t n = msgrcv(id, &in, sizeof in.text, want, flags);
	return n == (ssize_t)strlen(s) + 1 && in.type == type && !strcmp(in.text, s);
}
static struct msqid_ds stat_of(int id) {
	struct msqid_ds d;
	memset(&d, 0xff, sizeof d);
	CHECK(msgctl(id, IPC_STAT, &d) == 0);
	return d;
}
static void gone(int id) { msgctl(id, IPC_RMID, 0); }

CASE(get) {
	int id = msgget(0x1234, IPC_CREAT | IPC_EXCL | 0640);
	CHECK(id >= 0);
	FAILS(msgget(0x1234, IPC_CREAT | IPC_EXCL | 0640), EEXIST);
	CHECK(msgget(0x1234, 0) == id);
	FAILS(msgget(0x4321, 0600), ENOENT);
	struct msqid_ds d = stat_of(id);
	CHECK(d.msg_qnum == 0 && d.__msg_cbytes == 0 && d.msg_qbytes == 16384 && d.msg_lspid == 0 && d.msg_lrpid == 0);
	CHECK(d.msg_stime == 0 && d.msg_rtime == 0 && d.msg_ctime > 0 && (d.msg_perm.mode & 07777) == 0640);
	CHECK(msgctl(id, IPC_RMID, 0) == 0);
	FAILS(msgctl(id, IPC_RMID, 0), EINVAL);
	FAILS(msgctl(-1, IPC_STAT, &d), EINVAL);
	FAILS(msgctl(0, 99, &d), EINVAL);
}

CASE(in_order) {
	int id = made();
	CHECK(send(id, 3, "three", 0) == 0 && send(id, 1, "one", 0) == 0 && send(id, 2, "two", 0) == 0);
	struct msqid_ds d = stat_of(id);
	CHECK(d.msg_qnum == 3 && d.__msg_cbytes == 6 + 4 + 4 && d.msg_lspid == getpid() && d.msg_stime > 0 && d.msg_rtime == 0);
	CHECK(got(id, 0, 0, 3, "three") && got(id, 0, 0, 1, "one") && got(id, 0, 0, 2, "two"));
	FAILS(msgrcv(id, &in, 100, 0, IPC_NOWAIT), ENOMSG);
	d = stat_of(id);
	CHECK(d.msg_qnum == 0 && d.__msg_cbytes == 0 && d.msg_lrpid == getpid() && d.msg_rtime > 0);
	gone(id);
}

CASE(types) {
	int id = made();
	long t[] = {5, 3, 9, 3, 7};
	for (int i = 0; i < 5; i++) CHECK(send(id, t[i], (char[]){'a' + i, 0}, 0) == 0);
	CHECK(got(id, 9, 0, 9, "c"));
	FAILS(msgrcv(id, &in, 100, 9, IPC_NOWAIT), ENOMSG);
	FAILS(msgrcv(id, &in, 100, -2, IPC_NOWAIT), ENOMSG);
	CHECK(got(id, -6, 0, 3, "b") && got(id, -6, 0, 3, "d") && got(id, -6, 0, 5, "a"));
	FAILS(msgrcv(id, &in, 100, 7, IPC_NOWAIT | MSG_EXCEPT), ENOMSG);
	CHECK(got(id, 6, MSG_EXCEPT, 7, "e"));
	CHECK(send(id, LONG_MAX, "z", 0) == 0 && got(id, LONG_MIN, 0, LONG_MAX, "z"));
	FAILS(send(id, 0, "x", 0), EINVAL);
	FAILS(send(id, -1, "x", 0), EINVAL);
	gone(id);
}

CASE(sizes) {
	int id = made();
	CHECK(send(id, 1, "0123456789", 0) == 0);
	FAILS(msgrcv(id, &in, 5, 0, 0), E2BIG);
	CHECK(stat_of(id).msg_qnum == 1);
	memset(&in, 'x', sizeof in);
	CHECK(msgrcv(id, &in, 5, 0, MSG_NOERROR) == 5 && !memcmp(in.text, "01234x", 6));
	CHECK(stat_of(id).msg_qnum == 0);
	out.type = 1;
	FAILS(msgsnd(id, &out, 8193, 0), EINVAL);
	FAILS(msgsnd(id, &out, -1, 0), EINVAL);
	FAILS(msgrcv(id, &in, -1, 0, 0), EINVAL);
	CHECK(msgsnd(id, &out, 8192, 0) == 0 && msgsnd(id, &out, 0, 0) == 0);
	CHECK(msgrcv(id, &in, 8192, 0, 0) == 8192 && msgrcv(id, &in, 0, 0, 0) == 0);
	FAILS(msgsnd(id, (void *)8, 1, 0), EFAULT);
	FAILS(msgsnd(-1, &out, 1, 0), EINVAL);
	FAILS(msgrcv(-1, &in, 1, 0, 0), EINVAL);
	gone(id);
}

CASE(full) {
	int id = made();
	out.type = 1;
	CHECK(msgsnd(id, &out, 8192, 0) == 0 && msgsnd(id, &out, 8000, 0) == 0);
	FAILS(msgsnd(id, &out, 193, IPC_NOWAIT), EAGAIN);
	CHECK(msgsnd(id, &out, 192, IPC_NOWAIT) == 0);
	FAILS(msgsnd(id, &out, 1, IPC_NOWAIT), EAGAIN);
	pid_t pid;
	CHILD(pid) CHECK(send(id, 7, "waited", 0) == 0);
	msleep(30);
	CHECK(stat_of(id).msg_qnum == 3);
	CHECK(msgrcv(id, &in, 8192, 0, 0) == 8192);
	CHECK(wait_code(pid) == 0 && stat_of(id).msg_qnum == 3 && got(id, 7, 0, 7, "waited"));
	CHECK(stat_of(id).msg_lspid == pid);
	gone(id);
}

CASE(count_is_bounded_too) {
	int id = made();
	struct msqid_ds d = stat_of(id);
	d.msg_qbytes = 3;
	CHECK(msgctl(id, IPC_SET, &d) == 0);
	out.type = 1;
	for (int i = 0; i < 3; i++) CHECK(msgsnd(id, &out, 0, IPC_NOWAIT) == 0);
	FAILS(msgsnd(id, &out, 0, IPC_NOWAIT), EAGAIN);
	gone(id);
}

CASE(blocked_receiver) {
	int id = made();
	pid_t any, nine;
	CHILD(nine) CHECK(got(id, 9, 0, 9, "nine"));
	msleep(20);
	CHILD(any) CHECK(got(id, 0, 0, 1, "one"));
	msleep(20);
	CHECK(send(id, 1, "one", 0) == 0);
	CHECK(wait_code(any) == 0 && stat_of(id).msg_lrpid == any);
	CHECK(send(id, 9, "nine", 0) == 0 && wait_code(nine) == 0);
	CHECK(stat_of(id).msg_qnum == 0);
	gone(id);
}

CASE(too_big_for_the_one_who_waits) {
	int id = made();
	pid_t small;
	CHILD(small) FAILS(msgrcv(id, &in, 2, 0, 0), E2BIG);
	msleep(30);
	CHECK(send(id, 1, "large", 0) == 0);
	CHECK(wait_code(small) == 0 && stat_of(id).msg_qnum == 1);
	gone(id);
}

CASE(removed_while_waiting) {
	int id = made();
	pid_t r, s;
	CHILD(r) FAILS(msgrcv(id, &in, 10, 5, 0), EIDRM);
	out.type = 1;
	CHECK(msgsnd(id, &out, 8192, 0) == 0 && msgsnd(id, &out, 8192, 0) == 0);
	CHILD(s) FAILS(msgsnd(id, &out, 10, 0), EIDRM);
	msleep(30);
	CHECK(msgctl(id, IPC_RMID, 0) == 0 && wait_code(r) == 0 && wait_code(s) == 0);
}

static void nothing(int sig) {}

CASE(interrupted) {
	int id = made();
	struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	pid_t me = getpid(), pid;
	CHILD(pid) {
		msleep(30);
		kill(me, SIGUSR1);
	}
	FAILS(msgrcv(id, &in, 10, 0, 0), EINTR); // never restarted
	CHECK(wait_code(pid) == 0);
	gone(id);
}

CASE(copy) {
	int id = made();
	CHECK(send(id, 4, "first", 0) == 0 && send(id, 5, "second", 0) == 0);
	CHECK(got(id, 1, MSG_COPY | IPC_NOWAIT, 5, "second") && got(id, 0, MSG_COPY | IPC_NOWAIT, 4, "first"));
	CHECK(stat_of(id).msg_qnum == 2 && stat_of(id).msg_lrpid == 0);
	FAILS(msgrcv(id, &in, 100, 2, MSG_COPY | IPC_NOWAIT), ENOMSG);
	FAILS(msgrcv(id, &in, 100, 0, MSG_COPY), EINVAL);
	FAILS(msgrcv(id, &in, 100, 0, MSG_COPY | IPC_NOWAIT | MSG_EXCEPT), EINVAL);
	FAILS(msgrcv(id, &in, 2, 0, MSG_COPY | IPC_NOWAIT), E2BIG);
	gone(id);
}

CASE(permissions) {
	int id = msgget(IPC_PRIVATE, 0644);
	CHECK(send(id, 1, "x", 0) == 0);
	pid_t pid;
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		FAILS(send(id, 1, "x", 0), EACCES);
		CHECK(got(id, 0, 0, 1, "x"));
		struct msqid_ds d = stat_of(id);
		FAILS(msgctl(id, IPC_SET, &d), EPERM);
		FAILS(msgctl(id, IPC_RMID, 0), EPERM);
	}
	CHECK(wait_code(pid) == 0);
	struct msqid_ds d = stat_of(id);
	d.msg_perm.uid = 1000, d.msg_perm.mode = 0600, d.msg_qbytes = 100;
	CHECK(msgctl(id, IPC_SET, &d) == 0 && stat_of(id).msg_qbytes == 100);
	CHILD(pid) {
		CHECK(setgid(1000) == 0 && setuid(1000) == 0);
		struct msqid_ds d = stat_of(id);
		CHECK(send(id, 1, "x", 0) == 0);
		d.msg_qbytes = 16385;
		FAILS(msgctl(id, IPC_SET, &d), EPERM);
		d.msg_qbytes = 16384;
		CHECK(msgctl(id, IPC_SET, &d) == 0 && msgctl(id, IPC_RMID, 0) == 0);
	}
	CHECK(wait_code(pid) == 0);
}

CASE(info) {
	struct msginfo i, a, b;
	CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&i) >= 0);
	CHECK(i.msgmax == 8192 && i.msgmnb == 16384 && i.msgmni == 32000 && i.msgssz == 16 && i.msgseg == 0xffff);
	CHECK(i.msgpool == 512000 && i.msgmap == 16384 && i.msgtql == 16384);
	CHECK(msgctl(0, MSG_INFO, (struct msqid_ds *)&a) >= 0);
	int id = made();
	send(id, 1, "abc", 0);
	CHECK(msgctl(0, MSG_INFO, (struct msqid_ds *)&b) >= (id & 32767));
	CHECK(b.msgpool == a.msgpool + 1 && b.msgmap == a.msgmap + 1 && b.msgtql == a.msgtql + 4);
	struct msqid_ds d;
	CHECK(msgctl(id & 32767, MSG_STAT, &d) == id && d.msg_qnum == 1);
	CHECK(msgctl(id & 32767, MSG_STAT_ANY, &d) == id);
	gone(id);
}

CASE(proc_table) {
	int id = msgget(0xabc, IPC_CREAT | 0604);
	send(id, 1, "abc", 0);
	char buf[8192], want[100];
	FILE *f = fopen("/proc/sysvipc/msg", "r");
	buf[fread(buf, 1, sizeof buf - 1, f)] = 0;
	snprintf(want, sizeof want, "\n%10d %10d   604  %10d %10d %5d %5d     0     0     0     0 ", 0xabc, id, 4, 1, getpid(), 0);
	CHECK(strstr(buf, want));
	gone(id);
}

CASE(limits) {
	CHECK(unshare(CLONE_NEWIPC) == 0);
	const char *files[] = {"msgmax", "msgmnb", "msgmni"}, *was[] = {"8192\n", "16384\n", "32000\n"}, *now[] = {"10", "20", "1"};
	for (int i = 0; i < 3; i++) {
		char path[100], buf[100] = "";
		snprintf(path, sizeof path, "/proc/sys/kernel/%s", files[i]);
		int fd = open(path, O_RDWR);
		CHECK(fd >= 0 && read(fd, buf, sizeof buf) > 0 && !strcmp(buf, was[i]));
		CHECK(pwrite(fd, now[i], strlen(now[i]), 0) == (ssize_t)strlen(now[i]));
	}
	int id = made();
	FAILS(msgget(IPC_PRIVATE, 0600), ENOSPC);
	CHECK(stat_of(id).msg_qbytes == 20);
	FAILS(msgsnd(id, &out, 11, 0), EINVAL);
}

CASE(namespace) {
	int id = msgget(0x55, IPC_CREAT | 0600);
	pid_t pid;
	CHILD(pid) {
		CHECK(unshare(CLONE_NEWIPC) == 0);
		FAILS(msgget(0x55, 0), ENOENT);
		CHECK(msgget(0x55, IPC_CREAT | 0600) == 0);
	}
	CHECK(wait_code(pid) == 0 && msgget(0x55, 0) == id);
	gone(id);
}

CASE(many_messages) {
	int id = made();
	pid_t pid;
	CHILD(pid) for (int i = 0; i < 3000; i++) {
		char s[20];
		snprintf(s, sizeof s, "%d", i);
		CHECK(send(id, 1 + i % 3, s, 0) == 0);
	}
	for (int i = 0; i < 3000; i++) {
		char s[20];
		snprintf(s, sizeof s, "%d", i);
		CHECK(got(id, 0, 0, 1 + i % 3, s));
	}
	CHECK(wait_code(pid) == 0);
	gone(id);
}
