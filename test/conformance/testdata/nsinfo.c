// What /proc tells of namespaces, processes and files that are gone, and the files of namespaces (namespaces(7), ioctl_ns(2)).
#include "case.h"
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703
#define NS_GET_OWNER_UID 0xb704

static char text[1 << 17], path[256];
static char *slurp(const char *p) { int fd = open(p, O_RDONLY); CHECK(fd >= 0); long n = 0, k; while ((k = read(fd, text + n, sizeof text - 1 - n)) > 0) n += k; CHECK(k == 0); text[n] = 0; close(fd); return text; }
static char *line(const char *file, const char *key) { static char out[300]; char *s = slurp(file), *at = strstr(s, key); CHECK(at); sprintf(out, "%.*s", (int)strcspn(at, "\n"), at); return out; }
static char *link_of(const char *p) { static char out[300]; long n = readlink(p, out, 299); CHECK(n > 0); out[n] = 0; return out; }
static ino_t ino(const char *p) { struct stat s; CHECK(stat(p, &s) == 0); return s.st_ino; }
static ino_t fino(int fd) { struct stat s; CHECK(fstat(fd, &s) == 0); return s.st_ino; }
static int in_status(pid_t p, const char *fmt, int a, int b) { char want[100], file[60]; sprintf(want, fmt, a, b); sprintf(file, "/proc/%d/status", p); char *s = slurp(file); return strstr(s, want) != 0; }
static pid_t nested(int *fd, int session) { int p[2], q[2]; CHECK(pipe(p) == 0 && pipe(q) == 0); pid_t c = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); if (!c) { close(p[0]); close(q[1]); if (session) setsid(); write(p[1], "x", 1); char x; read(q[0], &x, 1); _exit(0); } CHECK(c > 0); close(p[1]); close(q[0]); char x; CHECK(read(p[0], &x, 1) == 1); *fd = q[1]; return c; }

CASE(status_shows_ids_of_all_levels) { int fd; pid_t c = nested(&fd, 0); CHECK(in_status(c, "\nNStgid:\t%d\t%d\n", c, 1)); CHECK(in_status(c, "\nNSpid:\t%d\t%d\n", c, 1)); CHECK(in_status(c, "\nNSpgid:\t%d\t%d\n", getpgrp(), 0)); CHECK(in_status(c, "\nNSsid:\t%d\t%d\n", getsid(0), 0)); CHECK(in_status(getpid(), "\nNSpid:\t%d\n", getpid(), 0)); close(fd); CHECK(wait_code(c) == 0); }
CASE(status_of_a_nested_session) { int fd; pid_t c = nested(&fd, 1); CHECK(in_status(c, "\nNSpgid:\t%d\t%d\n", c, 1)); CHECK(in_status(c, "\nNSsid:\t%d\t%d\n", c, 1)); close(fd); wait_code(c); }

CASE(children_of_a_thread) { pid_t a = fork(); if (!a) for (;;) pause(); pid_t b = fork(); if (!b) for (;;) pause(); char want[60]; sprintf(want, "%d %d ", a, b); sprintf(path, "/proc/self/task/%ld/children", syscall(SYS_gettid)); CHECK(!strcmp(slurp(path), want)); kill(a, SIGKILL); kill(b, SIGKILL); wait_code(a); sprintf(want, "%d ", b); CHECK(!strcmp(slurp(path), want)); wait_code(b); CHECK(!*slurp(path)); FAILS(open("/proc/self/children", O_RDONLY), ENOENT); }
static pid_t of_thread; static void *forks(void *a) { of_thread = fork(); if (!of_thread) for (;;) pause(); sprintf(path, "/proc/self/task/%ld/children", syscall(SYS_gettid)); char want[30]; sprintf(want, "%d ", of_thread); CHECK(!strcmp(slurp(path), want)); sprintf(path, "/proc/self/task/%d/children", getpid()); CHECK(!*slurp(path)); return 0; }
// A thread has been joined before its children are handed on.
CASE(children_belong_to_threads) { pthread_t t; pthread_create(&t, 0, forks, 0); pthread_join(t, 0); sprintf(path, "/proc/self/task/%d/children", getpid()); char want[30]; sprintf(want, "%d ", of_thread); for (int i = 0; i < 500 && strcmp(slurp(path), want); i++) msleep(10); CHECK(!strcmp(slurp(path), want)); kill(of_thread, SIGKILL); }

CASE(deleted_descriptor) { int fd = open("gone", O_CREAT | O_RDWR, 0600); sprintf(path, "/proc/self/fd/%d", fd); CHECK(strstr(link_of(path), "/deleted_descriptor/gone") && !strstr(link_of(path), "(deleted)")); CHECK(unlink("gone") == 0); char *l = link_of(path); CHECK(strlen(l) > 15 && !strcmp(l + strlen(l) - 15, "gone (deleted)") == 0); CHECK(strstr(l, "/gone (deleted)")); int g = open(path, O_RDONLY); CHECK(g >= 0 && fino(g) == fino(fd)); }
CASE(deleted_mapping) { int fd = open("gone", O_CREAT | O_RDWR, 0600); CHECK(ftruncate(fd, 4096) == 0); CHECK(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED); close(fd); CHECK(strstr(slurp("/proc/self/maps"), "/deleted_mapping/gone\n")); CHECK(rename("gone", "moved") == 0); CHECK(strstr(slurp("/proc/self/maps"), "/deleted_mapping/moved\n")); CHECK(unlink("moved") == 0); CHECK(strstr(slurp("/proc/self/maps"), "/deleted_mapping/moved (deleted)\n")); CHECK(strstr(slurp("/proc/self/smaps"), "/deleted_mapping/moved (deleted)\n")); }
CASE(deleted_directory) { mkdir("d", 0755); CHECK(chdir("d") == 0 && rmdir("../d") == 0); CHECK(strstr(link_of("/proc/self/cwd"), "/deleted_directory/d (deleted)")); char b[300]; FAILS(syscall(SYS_getcwd, b, 300), ENOENT); }
CASE(deleted_program) { int in = open("/bin/busybox", O_RDONLY), out = open("prog", O_CREAT | O_WRONLY, 0755); long n; while ((n = read(in, text, sizeof text)) > 0) CHECK(write(out, text, n) == n); close(out); pid_t c = fork(); if (!c) { execl("prog", "sleep", "100", NULL); _exit(9); } sprintf(path, "/proc/%d/exe", c); for (int i = 0; i < 500 && !strstr(link_of(path), "/prog"); i++) msleep(10); CHECK(unlink("prog") == 0); CHECK(strstr(link_of(path), "/deleted_program/prog (deleted)")); sprintf(path, "/proc/%d/maps", c); CHECK(strstr(slurp(path), "/deleted_program/prog (deleted)\n")); kill(c, SIGKILL); }

static void *idle(void *a) { pause(); return 0; }
CASE(task_directory_counts_threads) { struct stat s; CHECK(stat("/proc/self/task", &s) == 0); int n = s.st_nlink; pthread_t t; pthread_create(&t, 0, idle, 0); pthread_create(&t, 0, idle, 0); CHECK(stat("/proc/self/task", &s) == 0 && s.st_nlink == n + 2); CHECK(n == 3); }

CASE(ns_bound_to_a_name) { char h[65], g[65]; gethostname(h, 65); CHECK(unshare(CLONE_NEWNS) == 0 && mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == 0); close(open("name", O_CREAT | O_RDWR, 0600)); CHECK(mount("/proc/self/ns/uts", "name", 0, MS_BIND, 0) == 0); CHECK(ino("name") == ino("/proc/self/ns/uts")); CHECK(unshare(CLONE_NEWUTS) == 0 && sethostname("other", 5) == 0); CHECK(ino("name") != ino("/proc/self/ns/uts")); char *m = slurp("/proc/self/mountinfo"); CHECK(strstr(m, " - nsfs nsfs ") && strstr(m, "/ns_bound_to_a_name/name ")); int fd = open("name", O_RDONLY); CHECK(fd >= 0 && setns(fd, CLONE_NEWUTS) == 0); gethostname(g, 65); CHECK(!strcmp(g, h)); close(fd); CHECK(umount("name") == 0); struct stat s; CHECK(stat("name", &s) == 0 && s.st_size == 0); }
CASE(ns_kept_by_its_mount) { CHECK(unshare(CLONE_NEWNS) == 0 && mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == 0); close(open("name", O_CREAT | O_RDWR, 0600)); pid_t c; CHILD(c) { CHECK(unshare(CLONE_NEWUTS) == 0 && sethostname("inner", 5) == 0); CHECK(mount("/proc/self/ns/uts", "name", 0, MS_BIND, 0) == 0); } CHECK(wait_code(c) == 0); int fd = open("name", O_RDONLY); CHECK(fd >= 0 && setns(fd, 0) == 0); char h[65]; gethostname(h, 65); CHECK(!strcmp(h, "inner")); }
CASE(ns_type) { const struct { const char *n; int t; } k[] = {{"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC}, {"mnt", CLONE_NEWNS}, {"net", CLONE_NEWNET}, {"pid", CLONE_NEWPID}, {"user", CLONE_NEWUSER}, {"cgroup", CLONE_NEWCGROUP}}; for (int i = 0; i < 7; i++) { sprintf(path, "/proc/self/ns/%s", k[i].n); int fd = open(path, O_RDONLY); CHECK(fd >= 0 && ioctl(fd, NS_GET_NSTYPE) == k[i].t); } }
CASE(ns_owner) { int fd = open("/proc/self/ns/uts", O_RDONLY), u = ioctl(fd, NS_GET_USERNS); CHECK(u >= 0); CHECK(fino(u) == ino("/proc/self/ns/user")); CHECK(fcntl(u, F_GETFD) == FD_CLOEXEC); CHECK(ioctl(u, NS_GET_NSTYPE) == CLONE_NEWUSER); uid_t id = 77; CHECK(ioctl(u, NS_GET_OWNER_UID, &id) == 0 && id == 0); FAILS(ioctl(fd, NS_GET_OWNER_UID, &id), EINVAL); FAILS(ioctl(fd, NS_GET_PARENT), EINVAL); FAILS(ioctl(fd, 0xb7ff), ENOTTY); }
CASE(ns_parent_of_pid) { int fd; pid_t c = nested(&fd, 0); sprintf(path, "/proc/%d/ns/pid", c); int n = open(path, O_RDONLY), p = ioctl(n, NS_GET_PARENT); CHECK(p >= 0 && fino(p) == ino("/proc/self/ns/pid")); int own = open("/proc/self/ns/pid", O_RDONLY); FAILS(ioctl(own, NS_GET_PARENT), EPERM); close(fd); wait_code(c); }
CASE(user_namespace_not_from_a_chroot) { mkdir("r", 0755); CHECK(chroot("r") == 0); FAILS(unshare(CLONE_NEWUSER), EPERM); }
CASE(cgroup_namespace) { ino_t a = ino("/proc/self/ns/cgroup"); int fd = open("/proc/self/ns/cgroup", O_RDONLY); CHECK(unshare(CLONE_NEWCGROUP) == 0); CHECK(ino("/proc/self/ns/cgroup") != a); CHECK(strstr(slurp("/proc/self/cgroup"), "0::/\n")); pid_t c; CHILD(c) CHECK(ino("/proc/self/ns/cgroup") != a); CHECK(wait_code(c) == 0); CHECK(setns(fd, CLONE_NEWCGROUP) == 0); CHECK(ino("/proc/self/ns/cgroup") == a); }
CASE(cgroup_namespace_by_clone) { ino_t a = ino("/proc/self/ns/cgroup"); pid_t c = syscall(SYS_clone, CLONE_NEWCGROUP | SIGCHLD, 0, 0, 0, 0); if (!c) { CHECK(ino("/proc/self/ns/cgroup") != a); _exit(0); } CHECK(wait_code(c) == 0); CHECK(ino("/proc/self/ns/cgroup") == a); }
CASE(loopback_of_a_new_namespace_is_down) { struct ifreq r = {0}; strcpy(r.ifr_name, "lo"); int s = socket(AF_INET, SOCK_DGRAM, 0); CHECK(ioctl(s, SIOCGIFFLAGS, &r) == 0 && r.ifr_flags & IFF_UP); CHECK(unshare(CLONE_NEWNET) == 0); s = socket(AF_INET, SOCK_DGRAM, 0); CHECK(ioctl(s, SIOCGIFFLAGS, &r) == 0 && !(r.ifr_flags & IFF_UP) && r.ifr_flags & IFF_LOOPBACK); struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}; FAILS(connect(s, (void *)&a, sizeof a), ENETUNREACH); r.ifr_flags |= IFF_UP; CHECK(ioctl(s, SIOCSIFFLAGS, &r) == 0); CHECK(connect(s, (void *)&a, sizeof a) == 0); }
