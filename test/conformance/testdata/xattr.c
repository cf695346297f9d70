// xattr(7): extended attributes on tmpfs.
#include "case.h"
#include <sys/xattr.h>
static int touch(const char *p) { int fd = open(p, O_CREAT | O_RDWR, 0644); CHECK(fd >= 0); return fd; }
static char b[70000];
static int listed(const char *p, const char *name) { long n = listxattr(p, b, sizeof b); for (char *s = b; s < b + n; s += strlen(s) + 1) if (!strcmp(s, name)) return 1; return 0; }
#define T "trusted.t"
#define U "user.u"

CASE(set_get_remove) { touch("f"); CHECK(setxattr("f", U, "value", 5, 0) == 0); CHECK(getxattr("f", U, b, sizeof b) == 5 && !memcmp(b, "value", 5)); CHECK(removexattr("f", U) == 0); FAILS(getxattr("f", U, b, sizeof b), ENODATA); FAILS(removexattr("f", U), ENODATA); }
CASE(trusted_set_get) { touch("f"); CHECK(setxattr("f", T, "v", 1, 0) == 0); CHECK(getxattr("f", T, b, 1) == 1 && b[0] == 'v'); CHECK(listed("f", T)); }
CASE(create_and_replace) { touch("f"); FAILS(setxattr("f", U, "a", 1, XATTR_REPLACE), ENODATA); CHECK(setxattr("f", U, "a", 1, XATTR_CREATE) == 0); FAILS(setxattr("f", U, "b", 1, XATTR_CREATE), EEXIST); CHECK(setxattr("f", U, "bc", 2, XATTR_REPLACE) == 0); CHECK(getxattr("f", U, b, 9) == 2); FAILS(setxattr("f", U, "b", 1, 8), EINVAL); }
CASE(sizes) { touch("f"); setxattr("f", U, "12345", 5, 0); CHECK(getxattr("f", U, 0, 0) == 5); FAILS(getxattr("f", U, b, 4), ERANGE); long n = listxattr("f", 0, 0); CHECK(n >= (long)sizeof U); FAILS(listxattr("f", b, 2), ERANGE); CHECK(listxattr("f", b, n) == n); }
CASE(empty_value) { touch("f"); CHECK(setxattr("f", U, "", 0, 0) == 0); CHECK(getxattr("f", U, b, 5) == 0); CHECK(listed("f", U)); }
CASE(list_many) { touch("f"); for (int i = 0; i < 20; i++) { char n[32]; sprintf(n, "user.name%d", i); CHECK(setxattr("f", n, n, strlen(n), 0) == 0); } for (int i = 0; i < 20; i++) { char n[32]; sprintf(n, "user.name%d", i); CHECK(listed("f", n)); CHECK(getxattr("f", n, b, 100) == strlen(n)); } }
CASE(name_checks) { touch("f"); FAILS(setxattr("f", "", "v", 1, 0), ERANGE); FAILS(setxattr("f", "nons", "v", 1, 0), EOPNOTSUPP); FAILS(setxattr("f", "foo.bar", "v", 1, 0), EOPNOTSUPP); FAILS(setxattr("f", "user.", "v", 1, 0), EINVAL); char n[300]; memset(n, 'a', 299); n[299] = 0; memcpy(n, "user.", 5); FAILS(setxattr("f", n, "v", 1, 0), ERANGE); n[255] = 0; CHECK(setxattr("f", n, "v", 1, 0) == 0); }
CASE(value_too_big) { touch("f"); FAILS(setxattr("f", U, b, 65537, 0), E2BIG); }
CASE(descriptor) { int fd = touch("f"); CHECK(fsetxattr(fd, U, "x", 1, 0) == 0); CHECK(fgetxattr(fd, U, b, 9) == 1); CHECK(flistxattr(fd, b, sizeof b) > 0); CHECK(fremovexattr(fd, U) == 0); FAILS(fgetxattr(99, U, b, 9), EBADF); int p = open("f", O_PATH); FAILS(fgetxattr(p, U, b, 9), EBADF); }
CASE(readonly_descriptor_may_set) { touch("f"); int fd = open("f", O_RDONLY); CHECK(fsetxattr(fd, U, "x", 1, 0) == 0); }
CASE(symlink_user_refused) { symlink("nowhere", "s"); FAILS(lsetxattr("s", U, "v", 1, 0), EPERM); FAILS(lgetxattr("s", U, b, 9), ENODATA); FAILS(setxattr("s", U, "v", 1, 0), ENOENT); }
CASE(symlink_trusted) { symlink("nowhere", "s"); CHECK(lsetxattr("s", T, "v", 1, 0) == 0); CHECK(lgetxattr("s", T, b, 9) == 1); CHECK(llistxattr("s", b, sizeof b) > 0); CHECK(lremovexattr("s", T) == 0); }
CASE(follows_symlink) { touch("f"); symlink("f", "s"); CHECK(setxattr("s", U, "v", 1, 0) == 0); CHECK(getxattr("f", U, b, 9) == 1); }
CASE(directory_and_hard_link) { mkdir("d", 0700); CHECK(setxattr("d", U, "v", 1, 0) == 0); CHECK(getxattr("d", U, b, 9) == 1); touch("f"); link("f", "g"); setxattr("f", U, "zz", 2, 0); CHECK(getxattr("g", U, b, 9) == 2); rename("g", "h"); CHECK(getxattr("h", U, b, 9) == 2); }
CASE(fifo_user_refused) { mkfifo("p", 0600); FAILS(setxattr("p", U, "v", 1, 0), EPERM); CHECK(setxattr("p", T, "v", 1, 0) == 0); }
CASE(permissions_by_mode) { close(touch("f")); setxattr("f", U, "v", 1, 0); chmod("f", 0600); pid_t p; CHILD(p) { setuid(1000); errno = 0; if (getxattr("f", U, b, 9) != -1 || errno != EACCES) _exit(1); errno = 0; if (setxattr("f", U, "w", 1, 0) != -1 || errno != EACCES) _exit(2); } CHECK(wait_code(p) == 0); chmod("f", 0644); CHILD(p) { setuid(1000); if (getxattr("f", U, b, 9) != 1) _exit(1); errno = 0; if (setxattr("f", U, "w", 1, 0) != -1 || errno != EACCES) _exit(2); } CHECK(wait_code(p) == 0); }
CASE(trusted_hidden_from_others) { close(touch("f")); setxattr("f", T, "v", 1, 0); chmod("f", 0666); pid_t p; CHILD(p) { setuid(1000); errno = 0; if (getxattr("f", T, b, 9) != -1 || errno != ENODATA) _exit(1); errno = 0; if (setxattr("f", T, "w", 1, 0) != -1 || errno != EPERM) _exit(2); if (listed("f", T)) _exit(3); } CHECK(wait_code(p) == 0); }
CASE(sticky_directory_owner_only) { mkdir("d", 0777); chmod("d", 01777); pid_t p; CHILD(p) { setuid(1000); errno = 0; _exit(setxattr("d", U, "v", 1, 0) == -1 && errno == EPERM ? 0 : 1); } CHECK(wait_code(p) == 0); }
CASE(changes_ctime) { touch("f"); struct stat a, c; stat("f", &a); msleep(20); setxattr("f", U, "v", 1, 0); stat("f", &c); CHECK(a.st_ctim.tv_nsec != c.st_ctim.tv_nsec && a.st_mtim.tv_nsec == c.st_mtim.tv_nsec); }
CASE(bad_pointers) { touch("f"); FAILS(setxattr("f", U, (void *)8, 5, 0), EFAULT); FAILS(setxattr("f", (void *)8, "v", 1, 0), EFAULT); setxattr("f", U, "v", 1, 0); FAILS(getxattr("f", U, (void *)8, 5), EFAULT); }
CASE(missing_file) { FAILS(setxattr("none", U, "v", 1, 0), ENOENT); FAILS(getxattr("none", U, b, 1), ENOENT); FAILS(listxattr("none", b, 1), ENOENT); }
CASE(proc_has_none) { FAILS(setxattr("/proc/self/status", U, "v", 1, 0), EOPNOTSUPP); FAILS(getxattr("/proc/self/status", U, b, 9), EOPNOTSUPP); CHECK(listxattr("/proc/self/status", b, 9) == 0); }
CASE(read_only_mount) { extern int mount(const char *, const char *, const char *, unsigned long, const void *), umount(const char *); mkdir("m", 0700); CHECK(mount("t", "m", "tmpfs", 0, 0) == 0); touch("m/f"); CHECK(mount("m", "m", 0, 4096, 0) == 0); CHECK(mount(0, "m", 0, 32 | 1 | 4096, 0) == 0); FAILS(setxattr("m/f", U, "v", 1, 0), EROFS); }
