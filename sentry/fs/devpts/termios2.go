package devpts

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Requests that System V had for struct termio (asm-generic/ioctls.h).
const tcgeta, tcseta, tcsetaw, tcsetaf = 0x5405, 0x5406, 0x5407, 0x5408

// speeds are the line speed in bits per second, which nothing here depends on.
type speeds struct{ ispeed, ospeed uint32 }

// termios2 is struct termios2 (asm-generic/termbits.h).
type termios2 struct {
	termios
	speeds
}

// termio is struct termio (asm-generic/termios.h): the low halves of the flags
// and the first control characters.
type termio struct {
	Iflag, Oflag, Cflag, Lflag uint16
	Line                       uint8
	CC                         [8]uint8
	_                          uint8
}

// bitrates are what the numbers of CBAUD mean; those with CBAUDEX follow.
var bitrates = [...]uint32{0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
	57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000}

// bitrate returns the speed that code, the part of c_cflag for it, stands for.
// other is the speed of BOTHER.
func bitrate(code, other uint32) uint32 {
	if code == unix.BOTHER {
		return other
	}
	i := code &^ unix.CBAUDEX
	if code&unix.CBAUDEX != 0 {
		i += 15
	}
	if int(i) >= len(bitrates) {
		return 0
	}
	return bitrates[i]
}

// settle makes the speeds agree with the flags, as tty_termios_baud_rate and
// tty_termios_input_baud_rate of Linux find them.
func (m *termios2) settle() {
	m.ospeed = bitrate(m.Cflag&unix.CBAUD, m.ospeed)
	if code := m.Cflag & unix.CIBAUD >> 16; code != 0 {
		m.ispeed = bitrate(code, m.ispeed)
	} else {
		m.ispeed = m.ospeed
	}
}

// merge puts a struct termio over m.
func (m *termios) merge(o *termio) {
	for _, f := range []struct {
		to   *uint32
		from uint16
	}{{&m.Iflag, o.Iflag}, {&m.Oflag, o.Oflag}, {&m.Cflag, o.Cflag}, {&m.Lflag, o.Lflag}} {
		*f.to = *f.to&^0xffff | uint32(f.from)
	}
	m.Line = o.Line
	copy(m.CC[:], o.CC[:])
}

// modeIoctl reads or changes the mode in whatever form cmd has it.
func (t *terminal) modeIoctl(c vfs.Caller, cmd uint32, arg arch.Argument, master bool) (uintptr, error) {
	user := usermem.Addr(arg.Pointer())
	t.mu.Lock()
	m := termios2{t.mode, t.speed}
	t.mu.Unlock()
	switch cmd {
	case unix.TCGETS:
		return 0, usermem.CopyOutVal(c.Memory(), user, &m.termios)
	case unix.TCGETS2:
		return 0, usermem.CopyOutVal(c.Memory(), user, &m)
	case tcgeta:
		o := termio{Iflag: uint16(m.Iflag), Oflag: uint16(m.Oflag), Cflag: uint16(m.Cflag), Lflag: uint16(m.Lflag), Line: m.Line}
		copy(o.CC[:], m.CC[:])
		return 0, usermem.CopyOutVal(c.Memory(), user, &o)
	}
	if err := t.changing(c, master); err != nil {
		return 0, err
	}
	var err error
	switch cmd {
	case unix.TCSETS, unix.TCSETSW, unix.TCSETSF:
		m.termios, err = usermem.CopyInVal[termios](c.Memory(), user)
	case unix.TCSETS2, unix.TCSETSW2, unix.TCSETSF2:
		m, err = usermem.CopyInVal[termios2](c.Memory(), user)
	default:
		var o termio
		if o, err = usermem.CopyInVal[termio](c.Memory(), user); err == nil {
			m.merge(&o)
		}
	}
	if err != nil {
		return 0, err
	}
	m.settle()
	t.setMode(m, cmd == unix.TCSETSF || cmd == unix.TCSETSF2 || cmd == tcsetaf)
	return 0, nil
}
