// pty(7), termios(3), tty_ioctl(4): pseudoterminals and the line discipline.
#include "case.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
struct termios2 { unsigned iflag, oflag, cflag, lflag; unsigned char line, cc[19]; unsigned ispeed, ospeed; };
struct old_termio { unsigned short iflag, oflag, cflag, lflag; unsigned char line, cc[8]; };
#define GETS2 _IOR(0x54, 0x2a, struct termios2)
#define SETS2 _IOW(0x54, 0x2b, struct termios2)
static int m, s;
static char b[10000];
static void pair(void) { m = open("/dev/ptmx", O_RDWR | O_NOCTTY); CHECK(m >= 0); int z = 0, n; CHECK(ioctl(m, TIOCSPTLCK, &z) == 0 && ioctl(m, TIOCGPTN, &n) == 0); char p[32]; sprintf(p, "/dev/pts/%d", n); s = open(p, O_RDWR | O_NOCTTY); CHECK(s >= 0); }
static void local(unsigned off, unsigned on_) { struct termios t; CHECK(tcgetattr(s, &t) == 0); t.c_lflag = (t.c_lflag & ~off) | on_; CHECK(tcsetattr(s, TCSANOW, &t) == 0); }
static void raw(void) { struct termios t; CHECK(tcgetattr(s, &t) == 0); cfmakeraw(&t); CHECK(tcsetattr(s, TCSANOW, &t) == 0); }
// reads tells whether w is what comes next, maybe in pieces: input and output pass through a work queue natively.
static int reads(int fd, const char *w) { long n = 0, r; do { r = read(fd, b + n, sizeof b - 1 - n); if (r <= 0) return 0; n += r; } while (n < (long)strlen(w)); b[n] = 0; return !strcmp(b, w); }
static int ready(int fd) { struct pollfd p = {fd, POLLIN}; return poll(&p, 1, 200) == 1 && (p.revents & POLLIN); }
static void type(const char *t) { CHECK(write(m, t, strlen(t)) == (long)strlen(t)); }

CASE(locked_at_first) { m = open("/dev/ptmx", O_RDWR | O_NOCTTY); int n; CHECK(ioctl(m, TIOCGPTN, &n) == 0); char p[32]; sprintf(p, "/dev/pts/%d", n); FAILS(open(p, O_RDWR | O_NOCTTY), EIO); }
CASE(canonical_line) { pair(); local(ECHO, 0); type("ab"); CHECK(!ready(s)); type("c\n"); CHECK(ready(s)); CHECK(reads(s, "abc\n")); }
CASE(one_line_a_read) { pair(); local(ECHO, 0); type("a\nb\n"); CHECK(reads(s, "a\n")); CHECK(reads(s, "b\n")); }
CASE(short_reads_of_line) { pair(); local(ECHO, 0); type("abcd\n"); CHECK(read(s, b, 2) == 2 && !memcmp(b, "ab", 2)); CHECK(reads(s, "cd\n")); }
CASE(echo) { pair(); type("hi\n"); CHECK(reads(m, "hi\r\n")); }
CASE(output_newline) { pair(); CHECK(write(s, "x\ny", 3) == 3); CHECK(reads(m, "x\r\ny")); }
CASE(raw_passes_all) { pair(); raw(); type("\003\004a\r"); CHECK(reads(s, "\003\004a\r")); write(s, "x\n", 2); CHECK(reads(m, "x\n")); }
CASE(erase) { pair(); local(ECHO, 0); type("abx\177c\n"); CHECK(reads(s, "abc\n")); }
CASE(kill_line) { pair(); local(ECHO, 0); type("junk\025ok\n"); CHECK(reads(s, "ok\n")); }
CASE(word_erase) { pair(); local(ECHO, 0); type("one two\027x\n"); CHECK(reads(s, "one x\n")); }
CASE(echo_erase) { pair(); type("a\177"); CHECK(reads(m, "a\b \b")); }
CASE(end_of_file) { pair(); local(ECHO, 0); type("\004"); CHECK(read(s, b, 10) == 0); type("ab\004"); CHECK(reads(s, "ab")); }
CASE(carriage_return_to_newline) { pair(); local(ECHO, 0); type("a\r"); CHECK(reads(s, "a\n")); }
CASE(literal_next) { pair(); local(ECHO, 0); type("\026\003\n"); CHECK(reads(s, "\003\n")); }
CASE(vmin_zero_polls) { pair(); raw(); struct termios t; tcgetattr(s, &t); t.c_cc[VMIN] = 0; t.c_cc[VTIME] = 0; tcsetattr(s, TCSANOW, &t); CHECK(read(s, b, 10) == 0); type("x"); CHECK(ready(s)); CHECK(read(s, b, 10) == 1); }
CASE(vtime_ends_read) { pair(); raw(); struct termios t; tcgetattr(s, &t); t.c_cc[VMIN] = 0; t.c_cc[VTIME] = 1; tcsetattr(s, TCSANOW, &t); CHECK(read(s, b, 10) == 0); }
CASE(window_size) { pair(); struct winsize w = {40, 100, 1, 2}, r; CHECK(ioctl(m, TIOCSWINSZ, &w) == 0); CHECK(ioctl(s, TIOCGWINSZ, &r) == 0 && r.ws_row == 40 && r.ws_col == 100 && r.ws_xpixel == 1 && r.ws_ypixel == 2); }
CASE(defaults) { pair(); struct termios t; CHECK(tcgetattr(s, &t) == 0); CHECK((t.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG) && (t.c_iflag & ICRNL) && (t.c_oflag & OPOST) && t.c_cc[VINTR] == 3 && t.c_cc[VEOF] == 4); CHECK(cfgetospeed(&t) == B38400); }
CASE(hangup_of_slave) { pair(); close(s); FAILS(read(m, b, 10), EIO); struct pollfd p = {m, POLLIN}; CHECK(poll(&p, 1, 0) == 1 && (p.revents & POLLHUP)); }
CASE(hangup_of_master) { pair(); close(m); CHECK(read(s, b, 10) == 0); FAILS(write(s, "x", 1), EIO); }
CASE(data_before_hangup) { pair(); write(s, "bye", 3); close(s); CHECK(reads(m, "bye")); FAILS(read(m, b, 10), EIO); }
CASE(controlling_terminal) { pair(); pid_t p; CHILD(p) { setsid(); CHECK(ioctl(s, TIOCSCTTY, 0) == 0); CHECK(tcgetpgrp(s) == getpid() && tcgetsid(s) == getpid()); CHECK(open("/dev/tty", O_RDWR) >= 0); } CHECK(wait_code(p) == 0); }
CASE(no_controlling_terminal) { pid_t p; CHILD(p) { setsid(); FAILS(open("/dev/tty", O_RDWR), ENXIO); pair(); FAILS(tcgetpgrp(s), ENOTTY); } CHECK(wait_code(p) == 0); }
CASE(opening_makes_controlling) { pair(); int n; ioctl(m, TIOCGPTN, &n); pid_t p; CHILD(p) { setsid(); char f[32]; sprintf(f, "/dev/pts/%d", n); int t = open(f, O_RDWR); CHECK(tcgetpgrp(t) == getpid()); } CHECK(wait_code(p) == 0); }

static void signal_by(const char *key, int sig) { pair(); local(ECHO, 0); int fd[2]; CHECK(pipe(fd) == 0); pid_t p; CHILD(p) { setsid(); ioctl(s, TIOCSCTTY, 0); write(fd[1], "x", 1); for (;;) pause(); } read(fd[0], b, 1); type(key); int st; CHECK(waitpid(p, &st, 0) == p && WIFSIGNALED(st) && WTERMSIG(st) == sig); }
CASE(interrupt_key) { signal_by("\003", SIGINT); }
CASE(quit_key) { signal_by("\034", SIGQUIT); }
CASE(background_read_stops) { pair(); pid_t p; CHILD(p) { setsid(); ioctl(s, TIOCSCTTY, 0); pid_t c = fork(); if (!c) { setpgid(0, 0); read(s, b, 1); _exit(0); } setpgid(c, c); int st; CHECK(waitpid(c, &st, WUNTRACED) == c && WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTIN); kill(c, 9); } CHECK(wait_code(p) == 0); }
CASE(fionread) { pair(); raw(); type("abc"); CHECK(ready(s)); int n = 0; CHECK(ioctl(s, FIONREAD, &n) == 0 && n == 3); }
CASE(flush_input) { pair(); raw(); type("abc"); CHECK(ready(s)); CHECK(tcflush(s, TCIFLUSH) == 0); CHECK(!ready(s)); }
CASE(isatty_and_name) { pair(); int n; ioctl(m, TIOCGPTN, &n); char w[32], p[32]; CHECK(isatty(s) && isatty(m)); sprintf(w, "/dev/pts/%d", n); sprintf(p, "/proc/self/fd/%d", s); long k = readlink(p, b, 100); CHECK(k > 0); b[k] = 0; CHECK(!strcmp(b, w)); struct stat st; CHECK(fstat(s, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev >> 8 == 136 && (st.st_mode & 0777) == 0620); }
CASE(not_a_terminal) { int fd = open("f", O_CREAT | O_RDWR, 0600); CHECK(!isatty(fd)); struct winsize w; FAILS(ioctl(fd, TIOCGWINSZ, &w), ENOTTY); }
static void packets(void) { pair(); int on = 1; CHECK(ioctl(m, TIOCPKT, &on) == 0); on = 0; CHECK(ioctl(m, TIOCGPKT, &on) == 0 && on == 1); }
static int status_is(int want) { struct pollfd p = {m, POLLIN | POLLPRI}; CHECK(poll(&p, 1, 1000) == 1 && (p.revents & (POLLIN | POLLPRI)) == (POLLIN | POLLPRI)); return read(m, b, 100) == 1 && (unsigned char)b[0] == want; }
CASE(packet_data) { packets(); CHECK(write(s, "abc", 3) == 3); msleep(20); CHECK(read(m, b, 100) == 4 && !memcmp(b, "\0abc", 4)); CHECK(!ready(m)); CHECK(write(s, "de", 2) == 2); msleep(20); CHECK(read(m, b, 2) == 2 && !memcmp(b, "\0d", 2) && read(m, b, 10) == 2 && !memcmp(b, "\0e", 2)); }
CASE(packet_flush) { packets(); CHECK(tcflush(s, TCIFLUSH) == 0 && status_is(TIOCPKT_FLUSHREAD)); CHECK(tcflush(s, TCOFLUSH) == 0 && status_is(TIOCPKT_FLUSHWRITE)); CHECK(tcflush(s, TCIOFLUSH) == 0 && status_is(TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE)); CHECK(!ready(m)); }
CASE(packet_stop_start) { packets(); local(ECHO, 0); type("\023"); CHECK(status_is(TIOCPKT_STOP)); type("\021"); CHECK(status_is(TIOCPKT_START)); CHECK(tcflow(s, TCOOFF) == 0 && tcflow(s, TCOON) == 0 && status_is(TIOCPKT_START)); }
CASE(packet_flow_control) { packets(); struct termios t; tcgetattr(s, &t); t.c_iflag &= ~IXON; CHECK(tcsetattr(s, TCSANOW, &t) == 0 && status_is(TIOCPKT_NOSTOP)); t.c_iflag |= IXON; CHECK(tcsetattr(s, TCSANOW, &t) == 0 && status_is(TIOCPKT_DOSTOP)); t.c_cc[VSTOP] = 'x'; CHECK(tcsetattr(s, TCSANOW, &t) == 0 && status_is(TIOCPKT_NOSTOP)); }
CASE(packet_mode_off) { packets(); CHECK(tcflush(s, TCIFLUSH) == 0); int off = 0; CHECK(ioctl(m, TIOCPKT, &off) == 0 && write(s, "ab", 2) == 2 && reads(m, "ab")); FAILS(ioctl(s, TIOCPKT, &off), ENOTTY); }
CASE(termios2_tells_speeds) {
	pair();
	struct termios2 t;
	CHECK(ioctl(s, GETS2, &t) == 0 && t.ispeed == 38400 && t.ospeed == 38400 && (t.cflag & CBAUD) == B38400 && t.lflag & ICANON && t.cc[VINTR] == 3);
	CHECK(ioctl(m, GETS2, &t) == 0 && t.ospeed == 38400);
	FAILS(ioctl(s, GETS2, 8), EFAULT);
}
CASE(termios2_of_any_speed) {
	pair();
	struct termios2 t;
	CHECK(ioctl(s, GETS2, &t) == 0);
	t.cflag = (t.cflag & ~CBAUD) | 010000, t.ispeed = 1, t.ospeed = 12345, t.lflag &= ~ECHO; // BOTHER
	CHECK(ioctl(s, SETS2, &t) == 0);
	memset(&t, 0, sizeof t);
	CHECK(ioctl(s, GETS2, &t) == 0 && t.ospeed == 12345 && t.ispeed == 12345 && !(t.lflag & ECHO));
	struct termios u;
	CHECK(tcgetattr(s, &u) == 0 && !(u.c_lflag & ECHO));
	cfsetspeed(&u, B9600);
	CHECK(tcsetattr(s, TCSANOW, &u) == 0 && ioctl(s, GETS2, &t) == 0 && t.ospeed == 9600 && t.ispeed == 9600);
	t.cflag = (t.cflag & ~CBAUD) | B115200, t.ospeed = 77;
	CHECK(ioctl(s, SETS2 + 2, &t) == 0 && ioctl(s, GETS2, &t) == 0 && t.ospeed == 115200);
}
CASE(termio_of_system_v) {
	pair();
	struct old_termio t;
	struct termios u;
	CHECK(ioctl(s, TCGETA, &t) == 0 && t.lflag & ICANON && t.cc[VINTR] == 3 && t.cc[VEOF] == 4);
	t.lflag &= ~(ICANON | ECHO), t.cc[VINTR] = 'x';
	CHECK(ioctl(s, TCSETA, &t) == 0 && tcgetattr(s, &u) == 0);
	CHECK(!(u.c_lflag & (ICANON | ECHO)) && u.c_lflag & ECHOKE && u.c_cc[VINTR] == 'x' && u.c_cc[VSUSP] == 26);
	CHECK(ioctl(s, TCSETAW, &t) == 0 && ioctl(s, TCSETAF, &t) == 0);
}
