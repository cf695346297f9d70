package ptrace

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A mourner is told of the end of a stub that we have not ended.
type mourner struct {
	f       atomic.Pointer[func()]
	once    sync.Once
	present atomic.Bool // there is, or was, a vigil
	dead    atomic.Bool
}

// OnDeath implements platform.Mortal. Before Linux 6.9 the death of a stub whose threads are all stopped is seen when one
// is to go on.
func (s *space) OnDeath(f func()) { s.mourner.f.Store(&f) }

// tell calls what OnDeath was given.
func (m *mourner) tell() {
	m.dead.Store(true)
	if f := m.f.Load(); f != nil {
		m.once.Do(*f)
	}
}

// A vigil waits for the end of one thread: the first of a stub, which stands for it, does not count as ended as long as
// others are, which our own tracing threads must see to.
type vigil struct{ pidfd *os.File }

// keepVigil has m told when the thread ends before the vigil does.
func keepVigil(tid int, m *mourner) vigil {
	const flags = unix.O_NONBLOCK | unix.O_EXCL // PIDFD_NONBLOCK, PIDFD_THREAD
	fd, err := unix.PidfdOpen(tid, flags)
	if err != nil {
		return vigil{}
	}
	v := vigil{os.NewFile(uintptr(fd), "pidfd")}
	conn, err := v.pidfd.SyscallConn()
	if err != nil {
		return v
	}
	m.present.Store(true)
	go func() {
		err := conn.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 0)
			return n == 1 && err == nil
		})
		if err == nil {
			m.tell()
		}
	}()
	return v
}

// end is the end of a vigil.
func (v *vigil) end() {
	if v.pidfd != nil {
		v.pidfd.Close()
		v.pidfd = nil
	}
}
