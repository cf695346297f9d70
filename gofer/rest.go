package gofer

import (
	"runtime"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/seccompfilters/unotify"
)

// restCall is the system call in which a server sleeps that has a listener: it is never made.
const restCall = unix.SYS_GETPPID

// listen answers TListen. The thread that serves makes notifications of restCall from now on.
func (s *server) listen(d *wire.Decoder, _ *wire.Encoder) (int, error) {
	if err := take(d); err != nil {
		return -1, err
	}
	if !s.mayListen {
		return -1, unix.ENOSYS
	}
	runtime.LockOSThread() // for good: the thread ends with its goroutine
	fd, err := unotify.Listen(restCall)
	s.listens = s.listens || err == nil
	return fd, err
}

// rest sleeps until the client has sent something, or has read something if we are stuck, or has other reasons to wake
// us. It learns how much we have read, and so whether there is more.
func (s *server) rest(stuck uintptr) {
	if _, _, errno := unix.Syscall(restCall, uintptr(s.got), stuck, 0); errno == unix.ENOSYS {
		s.listens = false // the listener is closed
	}
}

// recvRested is recv with a listener. What was read before has been handled.
func (s *server) recvRested(b []byte) (int, error) {
	for {
		if s.dry {
			s.rest(0)
		}
		if !s.listens {
			return s.recvSpinning(b)
		}
		n, _, err := unix.Recvfrom(s.conn, b, unix.MSG_DONTWAIT)
		s.dry = n < len(b)
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, err
		}
	}
}

// stuck waits for room in a socket to the client, who reads when we rest, or else all the time.
func (s *server) stuck(fd int) {
	if s.listens {
		s.rest(1)
		return
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
}
