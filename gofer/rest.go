package gofer

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
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
	fd, err := newListener()
	s.listens = s.listens || err == nil
	return fd, err
}

// newListener makes notifications of restCall of the calling OS thread, which is locked, and returns their listener, closed
// on exec (seccomp_unotify(2)). That cannot be undone; the thread's other filters still have their say.
func newListener() (int, error) {
	prog := [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // offset 0 of struct seccomp_data is the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: restCall, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
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
