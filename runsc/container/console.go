package container

import (
	"fmt"
	"net"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newConsole makes a pseudo-terminal of the host. The replica is raw: line discipline and job control are those of the
// Sentry's own terminal, between which and the replica it carries bytes.
func newConsole(size *specs.Box) (master, replica *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("console: %w", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("console: unlock: %w", err)
	}
	// ioctl_tty(2): the peer by descriptor, whatever is mounted at /dev/pts.
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, nil, fmt.Errorf("console: open its other end: %w", errno)
	}
	replica = os.NewFile(r, "console")
	if err = makeRaw(int(r)); err == nil && size != nil && (size.Height|size.Width) != 0 {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)})
	}
	if err != nil {
		master.Close()
		replica.Close()
		return nil, nil, fmt.Errorf("console: %w", err)
	}
	return master, replica, nil
}

// makeRaw does what cfmakeraw(3) does.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// sendConsole gives a terminal's master to whoever listens on the console socket, as runc does: one message with its
// name and the descriptor.
func sendConsole(socket string, master *os.File) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	defer conn.Close()
	u := conn.(*net.UnixConn)
	if _, _, err := u.WriteMsgUnix([]byte(master.Name()), unix.UnixRights(int(master.Fd())), nil); err != nil {
		return fmt.Errorf("console socket %s: %w", socket, err)
	}
	return nil
}

// IsTerminal tells whether a descriptor is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// A relay carries bytes and window sizes between the user's terminal and the master of a console.
type relay struct {
	master *os.File
	saved  *unix.Termios
	done   chan struct{} // closed when the console's output has ended
}

// startRelay puts the user's terminal, if standard input is one, in raw mode and starts to carry.
func startRelay(master *os.File) *relay {
	r := &relay{master: master, done: make(chan struct{})}
	if IsTerminal(os.Stdin) {
		if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil && makeRaw(0) == nil {
			r.saved = t
		}
		r.resize()
	}
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := os.Stdin.Read(buf)
			if n > 0 {
				if _, err := master.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(r.done)
		buf := make([]byte, 32<<10)
		for {
			n, err := master.Read(buf) // EIO when the last replica has been closed (pty(7))
			if n > 0 {
				if _, err := os.Stdout.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return r
}

// resize copies the size of the user's terminal.
func (r *relay) resize() (rows, cols uint16) {
	ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	unix.IoctlSetWinsize(int(r.master.Fd()), unix.TIOCSWINSZ, ws)
	return ws.Row, ws.Col
}

// finish carries what is left of the output and gives the user's terminal back.
func (r *relay) finish() {
	<-r.done
	if r.saved != nil {
		unix.IoctlSetTermios(0, unix.TCSETS, r.saved)
	}
	r.master.Close()
}
