package host

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// chunk is the most one write to a pipe or terminal takes: after poll(2) has
// said that it is writable this much does not wait (PIPE_BUF, pipe(7)).
const chunk = 4096

// stream is an inherited pipe, socket, terminal or other device.
type stream struct {
	vfs.FileBase
	host  *os.File
	fd    int
	queue wait.Queue
	polls bool
}

// regular is an inherited regular file. Its offset is shared with the host
// and kept up to date there.
type regular struct{ stream }

// New returns a description of an inherited descriptor, which it owns from then on.
func New(f *os.File) (*vfs.Description, error) {
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat inherited descriptor: %w", err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("flags of inherited descriptor: %w", err)
	}
	keep := uint32(flags) & (unix.O_ACCMODE | unix.O_APPEND)
	name := fmt.Sprintf("host:[%d]", st.Ino)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		r := &regular{stream{host: f, fd: fd}}
		return vfs.NewAnonDescription(r, name, st.Mode, keep), nil
	}
	s := &stream{host: f, fd: fd}
	if s.polls, err = hostPoller.add(fd, &s.queue); err != nil {
		return nil, err
	}
	return vfs.NewAnonDescription(s, name, st.Mode, keep), nil
}

// Release implements vfs.File.
func (s *stream) Release(vfs.Caller) {
	if s.polls {
		hostPoller.remove(s.fd)
	}
	s.host.Close()
}

// Queue implements vfs.File.
func (s *stream) Queue() *wait.Queue {
	if !s.polls {
		return nil
	}
	return &s.queue
}

// Poll implements vfs.File.
func (s *stream) Poll(mask wait.Events) wait.Events {
	if !s.polls {
		return mask & (wait.Readable | wait.Writable)
	}
	p := []unix.PollFd{{Fd: int32(s.fd), Events: int16(mask & 0x7fff)}}
	if n, err := unix.Poll(p, 0); err != nil || n == 0 {
		return 0
	}
	return wait.Events(uint16(p[0].Revents)) & (mask | wait.Err | wait.HUp)
}

// Read implements vfs.File.
func (s *stream) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	if s.polls && s.Poll(wait.In|wait.RdNorm) == 0 {
		return 0, unix.EAGAIN
	}
	buf := make([]byte, min(dst.Len(), 64<<10))
	n, err := unix.Read(s.fd, buf)
	if err != nil {
		return 0, again(err)
	}
	m, err := dst.CopyOut(buf[:n])
	return int64(m), err
}

// again makes a host interruption something to try once more.
func again(err error) error {
	if err == unix.EINTR {
		return unix.EAGAIN
	}
	return err
}

// Write implements vfs.File.
func (s *stream) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	var done int64
	buf := make([]byte, min(src.Len(), chunk))
	for total := int64(src.Len()); done < total; {
		if s.polls {
			got := s.Poll(wait.Out | wait.WrNorm)
			if got&(wait.Out|wait.WrNorm|wait.Err|wait.HUp) == 0 {
				return done, off, unix.EAGAIN
			}
		}
		n, err := src.Drop(int(done)).CopyIn(buf)
		if n == 0 {
			return done, off, err
		}
		n, err = unix.Write(s.fd, buf[:n])
		if err != nil {
			if err == unix.EPIPE && done == 0 {
				c.SendSignal(int32(unix.SIGPIPE))
			}
			return done, off, again(err)
		}
		done += int64(n)
	}
	return done, off, nil
}

// Ioctl implements vfs.File: what tells of a terminal and sets its mode, and
// how much there is to read.
func (s *stream) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	var buf [64]byte // struct termios is 36 bytes, termios2 44, winsize 8
	size, in := 0, false
	switch cmd {
	case unix.TCGETS:
		size = 36
	case unix.TCSETS, unix.TCSETSW, unix.TCSETSF:
		size, in = 36, true
	case unix.TCGETS2:
		size = 44
	case unix.TCSETS2, unix.TCSETSW2, unix.TCSETSF2:
		size, in = 44, true
	case unix.TIOCGWINSZ:
		size = 8
	case unix.TIOCSWINSZ:
		size, in = 8, true
	case unix.TIOCINQ, unix.TIOCOUTQ:
		size = 4
	default:
		return 0, unix.ENOTTY
	}
	user := usermem.Addr(arg.Pointer())
	if in {
		if _, err := c.Memory().CopyIn(user, buf[:size]); err != nil {
			return 0, err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.fd), uintptr(cmd), uintptr(unsafe.Pointer(&buf))); errno != 0 {
		return 0, errno
	}
	if in {
		return 0, nil
	}
	_, err := c.Memory().CopyOut(user, buf[:size])
	return 0, err
}

// Read implements vfs.File.
func (r *regular) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, off int64) (int64, error) {
	buf := make([]byte, min(dst.Len(), 256<<10))
	n, err := unix.Pread(r.fd, buf, off)
	if err != nil {
		return 0, err
	}
	m, err := dst.CopyOut(buf[:n])
	unix.Seek(r.fd, off+int64(m), unix.SEEK_SET) // a regular file seeks
	return int64(m), err
}

// Write implements vfs.File.
func (r *regular) Write(_ vfs.Caller, d *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	var done int64
	buf := make([]byte, min(src.Len(), 64<<10))
	for total := int64(src.Len()); done < total; {
		n, err := src.Drop(int(done)).CopyIn(buf)
		if n == 0 {
			return done, off, err
		}
		if d.Flags()&unix.O_APPEND == 0 {
			unix.Seek(r.fd, off, unix.SEEK_SET) // a regular file seeks
		}
		n, err = unix.Write(r.fd, buf[:n])
		if err != nil {
			return done, off, err
		}
		done += int64(n)
		if off, err = unix.Seek(r.fd, 0, unix.SEEK_CUR); err != nil {
			return done, off, err
		}
	}
	return done, off, nil
}

// SharedOffset implements vfs.OffsetSharer: the host's file description has it,
// which standard output and standard error often share.
func (r *regular) SharedOffset() int64 {
	off, err := unix.Seek(r.fd, 0, unix.SEEK_CUR)
	if err != nil {
		return 0 // a regular file seeks
	}
	return off
}

// Seek implements vfs.Seeker.
func (r *regular) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, _ int64) (int64, error) {
	return unix.Seek(r.fd, off, int(whence))
}

// Sync implements vfs.Syncer.
func (r *regular) Sync(vfs.Caller, bool) error { return unix.Fsync(r.fd) }
