package devpts

import "golang.org/x/sys/unix"

// termios is struct termios of the kernel (asm-generic/termbits.h).
type termios struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Line                       uint8
	CC                         [19]uint8
}

// disabled is _POSIX_VDISABLE: a control character that is off.
const disabled = 0

// defaultTermios is what a new terminal starts with (tty_std_termios).
func defaultTermios() termios {
	t := termios{
		Iflag: unix.ICRNL | unix.IXON, Oflag: unix.OPOST | unix.ONLCR, Cflag: unix.B38400 | unix.CS8 | unix.CREAD | unix.HUPCL,
		Lflag: unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE | unix.IEXTEN,
	}
	for i, c := range map[int]uint8{
		unix.VINTR: 3, unix.VQUIT: 28, unix.VERASE: 127, unix.VKILL: 21, unix.VEOF: 4, unix.VMIN: 1, unix.VSTART: 17, unix.VSTOP: 19,
		unix.VSUSP: 26, unix.VREPRINT: 18, unix.VDISCARD: 15, unix.VWERASE: 23, unix.VLNEXT: 22,
	} {
		t.CC[i] = c
	}
	return t
}

func (t *termios) in(f uint32) bool    { return t.Iflag&f != 0 }
func (t *termios) out(f uint32) bool   { return t.Oflag&f != 0 }
func (t *termios) local(f uint32) bool { return t.Lflag&f != 0 }

// is reports whether b is the control character at index i.
func (t *termios) is(b byte, i int) bool { return b == t.CC[i] && t.CC[i] != disabled }
