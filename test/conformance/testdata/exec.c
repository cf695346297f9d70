// execve and what a fresh program finds.
#include "case.h"
#include <sys/auxv.h>
#include <pthread.h>
static int run(char *const argv[]) { pid_t p = fork(); if (!p) { execv(argv[0], argv); _exit(errno); } return wait_code(p); }
static void script(const char *name, const char *text, int mode) { int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700); write(fd, text, strlen(text)); fchmod(fd, mode); close(fd); }
CASE(missing) { char *a[] = {"./nothing", 0}; CHECK(run(a) == ENOENT); }
CASE(not_executable) { script("s", "#!/bin/sh\n", 0600); char *a[] = {"./s", 0}; CHECK(run(a) == EACCES); }
CASE(directory) { mkdir("d", 0755); char *a[] = {"./d", 0}; CHECK(run(a) == EACCES); }
CASE(garbage) { script("s", "garbage garbage", 0700); char *a[] = {"./s", 0}; CHECK(run(a) == ENOEXEC); }
CASE(empty_file) { script("s", "", 0700); char *a[] = {"./s", 0}; CHECK(run(a) == ENOEXEC); }
CASE(elf_cut_short) { int in = open("/bin/busybox", O_RDONLY), out = open("e", O_WRONLY | O_CREAT, 0700); char b[40]; read(in, b, 40); write(out, b, 40); close(out); char *a[] = {"./e", 0}; CHECK(run(a) == ENOEXEC); }
CASE(elf_wrong_machine) { int in = open("/bin/busybox", O_RDONLY), out = open("e", O_WRONLY | O_CREAT, 0700); static char b[4096]; read(in, b, 4096); b[18] = 40; write(out, b, 4096); close(out); char *a[] = {"./e", 0}; CHECK(run(a) == ENOEXEC); }
CASE(script_runs) { script("s", "#!/bin/busybox sh\nexit 5\n", 0700); char *a[] = {"./s", 0}; CHECK(run(a) == 5); }
CASE(script_argument) { script("s", "#!/bin/busybox sh\n[ \"$1\" = x ] && [ $# = 2 ] && exit 6\nexit 1\n", 0700); char *a[] = {"./s", "x", "y", 0}; CHECK(run(a) == 6); }
CASE(script_missing_interpreter) { script("s", "#!/no/such/thing\n", 0700); char *a[] = {"./s", 0}; CHECK(run(a) == ENOENT); }
CASE(script_nested) { script("a", "#!/bin/busybox sh\nexit 8\n", 0700); char t[300]; char d[200]; getcwd(d, 200); snprintf(t, 300, "#!%s/a\n", d); script("b", t, 0700); char *a[] = {"./b", 0}; CHECK(run(a) == 8); }
CASE(script_loop) { char t[300], d[200]; getcwd(d, 200); snprintf(t, 300, "#!%s/s\n", d); script("s", t, 0700); char *a[] = {"./s", 0}; CHECK(run(a) == ELOOP); }
CASE(cloexec_closed) { int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), k = open("/dev/null", O_RDONLY); char t[200]; snprintf(t, 200, "#!/bin/busybox sh\n[ -e /proc/self/fd/%d ] && exit 1\n[ -e /proc/self/fd/%d ] || exit 2\nexit 0\n", fd, k); script("s", t, 0700); char *a[] = {"./s", 0}; CHECK(run(a) == 0); }
CASE(environment_passed) { pid_t p = fork(); if (!p) { char *a[] = {"sh", "-c", "[ \"$FOO\" = bar ] && exit 9", 0}, *e[] = {"FOO=bar", 0}; execve("/bin/busybox", a, e); _exit(1); } CHECK(wait_code(p) == 9); }
CASE(argument_too_long) { static char big[200000]; memset(big, 'x', sizeof big - 1); char *a[] = {"/bin/busybox", big, 0}; CHECK(run(a) == E2BIG); }
CASE(many_arguments) { static char *a[20002]; a[0] = "/bin/busybox"; a[1] = "true"; for (int i = 2; i < 20000; i++) a[i] = "arg"; CHECK(run(a) == 0); }
CASE(bad_argv_pointer) { FAILS(execve("/bin/busybox", (char **)8, 0), EFAULT); }
CASE(null_argv_gets_empty) { pid_t p = fork(); if (!p) { execve("/bin/true", 0, 0); _exit(0); } CHECK(wait_code(p) != -1); }
CASE(execveat_empty_path) { int fd = open("/bin/busybox", O_PATH); pid_t p = fork(); if (!p) { char *a[] = {"true", 0}; syscall(SYS_execveat, fd, "", a, 0, AT_EMPTY_PATH); _exit(1); } CHECK(wait_code(p) == 0); }
CASE(execveat_dirfd) { int fd = open("/bin", O_RDONLY | O_DIRECTORY); pid_t p = fork(); if (!p) { char *a[] = {"true", 0}; syscall(SYS_execveat, fd, "busybox", a, 0, 0); _exit(1); } CHECK(wait_code(p) == 0); }
CASE(execveat_nofollow) { symlink("/bin/busybox", "l"); char *a[] = {"true", 0}; FAILS(syscall(SYS_execveat, AT_FDCWD, "l", a, 0, AT_SYMLINK_NOFOLLOW), ELOOP); FAILS(syscall(SYS_execveat, AT_FDCWD, "l", a, 0, 0x1), EINVAL); }
static void *ex(void *x) { char *a[] = {"sh", "-c", "exit 13", 0}; execv("/bin/busybox", a); return 0; }
CASE(exec_from_thread) { pid_t p = fork(); if (!p) { pthread_t t; pthread_create(&t, 0, ex, 0); for (;;) pause(); } CHECK(wait_code(p) == 13); }
static void *spin(void *x) { for (;;) pause(); }
CASE(exec_ends_other_threads) { pid_t p = fork(); if (!p) { pthread_t t; for (int i = 0; i < 5; i++) pthread_create(&t, 0, spin, 0); char *a[] = {"sh", "-c", "exit 14", 0}; execv("/bin/busybox", a); } CHECK(wait_code(p) == 14); }
CASE(pid_kept) { int fd[2]; pipe(fd); pid_t p = fork(); if (!p) { dup2(fd[1], 1); char *a[] = {"sh", "-c", "echo $$", 0}; execv("/bin/busybox", a); } char b[20] = {0}; wait_code(p); read(fd[0], b, 19); CHECK(atoi(b) == p); }
CASE(text_busy) { int in = open("/bin/busybox", O_RDONLY), out = open("e", O_RDWR | O_CREAT, 0700); static char b[65536]; int n; while ((n = read(in, b, sizeof b)) > 0) write(out, b, n); char *a[] = {"./e", "true", 0}; CHECK(run(a) == ETXTBSY); close(out); CHECK(run(a) != ETXTBSY); }
CASE(comm_is_basename) { char b[50] = {0}; script("longscriptname-here", "#!/bin/busybox sh\nread x < /proc/self/comm 2>/dev/null; exit 0\n", 0700); char *a[] = {"./longscriptname-here", 0}; CHECK(run(a) == 0); int fd = open("/proc/self/comm", O_RDONLY); read(fd, b, 49); CHECK(!strcmp(b, "exec\n")); }
CASE(vfork_exec) { pid_t p = vfork(); if (!p) { execl("/bin/busybox", "true", (char *)0); _exit(1); } CHECK(wait_code(p) == 0); }
CASE(exec_many) { for (int i = 0; i < 30; i++) { char *a[] = {"/bin/true", 0}; CHECK(run(a) == 0); } }
// File capabilities (capabilities(7)): a copy of busybox has CAP_SYS_CHROOT, bit 18, as those.
#include <sys/xattr.h>
#include <sys/prctl.h>
static int set_caps(const char *f, unsigned magic, unsigned permitted, unsigned inheritable) { unsigned v[5] = {magic, permitted, inheritable, 0, 0}; return setxattr(f, "security.capability", v, sizeof v, 0); }
static void capable(unsigned magic) { int in = open("/bin/busybox", O_RDONLY), out = open("caps", O_WRONLY | O_CREAT, 0755); static char b[65536]; ssize_t n; while ((n = read(in, b, sizeof b)) > 0) CHECK(write(out, b, n) == n); close(in); CHECK(fchmod(out, 0755) == 0); close(out); chmod(".", 0755); CHECK(set_caps("caps", magic, 1 << 18, 0) == 0); }
static int as_user(const char *line, int before) { int fd = open("caps", O_RDONLY); pid_t p = fork(); if (!p) { if (before == 1) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); if (before == 2) prctl(PR_CAPBSET_DROP, 18, 0, 0, 0); if (setgid(1000) || setuid(1000)) _exit(90); char f[40]; snprintf(f, 40, "/proc/self/fd/%d", fd); char *a[] = {"grep", "-q", (char *)line, "/proc/self/status", 0}; execv(f, a); _exit(80 + (errno == EPERM)); } close(fd); return wait_code(p); }
CASE(file_capabilities_raised) { capable(0x02000001); CHECK(as_user("CapEff:.0000000000040000", 0) == 0); CHECK(as_user("CapPrm:.0000000000040000", 0) == 0); }
CASE(file_capabilities_permitted_only) { capable(0x02000000); CHECK(as_user("CapEff:.0000000000000000", 0) == 0); CHECK(as_user("CapPrm:.0000000000040000", 0) == 0); }
CASE(file_capabilities_no_new_privs) { capable(0x02000001); CHECK(as_user("CapPrm:.0000000000000000", 1) == 0); }
CASE(file_capabilities_out_of_bounds) { capable(0x02000001); CHECK(as_user("x", 2) == 81); CHECK(set_caps("caps", 0x02000000, 1 << 18, 0) == 0); CHECK(as_user("CapPrm:.0000000000000000", 2) == 0); }
CASE(file_capabilities_removed) { capable(0x02000001); CHECK(removexattr("caps", "security.capability") == 0); CHECK(as_user("CapPrm:.0000000000000000", 0) == 0); CHECK(set_caps("caps", 0x02000001, 1 << 18, 0) == 0); CHECK(as_user("CapPrm:.0000000000040000", 0) == 0); }
CASE(file_capabilities_lost_by_change) { capable(0x02000001); char b[24]; CHECK(chown("caps", 0, 0) == 0); FAILS(getxattr("caps", "security.capability", b, 24), ENODATA); CHECK(set_caps("caps", 0x02000001, 1 << 18, 0) == 0); int fd = open("caps", O_WRONLY | O_APPEND); CHECK(write(fd, "x", 1) == 1); close(fd); FAILS(getxattr("caps", "security.capability", b, 24), ENODATA); }
CASE(file_capabilities_malformed) { capable(0x02000001); FAILS(setxattr("caps", "security.capability", "xyz", 3, 0), EINVAL); FAILS(set_caps("caps", 0x07000001, 1 << 18, 0), EINVAL); }
CASE(file_capabilities_secure) { capable(0x02000000); int fd = open("caps", O_RDONLY); pid_t p = fork(); if (!p) { close(2); if (setuid(1000)) _exit(90); char f[40]; snprintf(f, 40, "/proc/self/fd/%d", fd); char *a[] = {"cat", "/proc/self/auxv", 0}; execv(f, a); _exit(91); } CHECK(wait_code(p) == 1); }
