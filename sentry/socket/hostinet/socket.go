package hostinet

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/host"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Sizes of socket addresses in bytes.
const (
	minAddr = 2
	maxAddr = 28 // struct sockaddr_in6
)

// Socket is a socket of the host.
type Socket struct {
	socket.Base
	vfs.FileBase
	ns    *netns.Namespace
	file  *os.File
	fd    int
	queue wait.Queue
	// peer is the address of a connection under way, nil for none.
	peer atomic.Pointer[[]byte]
}

var _ socket.Socket = (*Socket)(nil)

// New returns a socket of the host's network. family is AF_INET or AF_INET6. Errors are those of socket(2); raw sockets
// are for nobody.
func New(ns *netns.Namespace, family, typ, protocol int) (*Socket, error) {
	switch {
	case typ == unix.SOCK_RAW:
		return nil, unix.EPERM
	case typ != unix.SOCK_STREAM && typ != unix.SOCK_DGRAM:
		return nil, unix.ESOCKTNOSUPPORT
	case protocol < 0 || protocol > 262: // IPPROTO_MAX
		return nil, unix.EINVAL
	case typ == unix.SOCK_STREAM && (protocol == 0 || protocol == unix.IPPROTO_TCP):
		protocol = unix.IPPROTO_TCP
	case typ == unix.SOCK_DGRAM && (protocol == 0 || protocol == unix.IPPROTO_UDP):
		protocol = unix.IPPROTO_UDP
	case typ == unix.SOCK_DGRAM && (family == unix.AF_INET && protocol == unix.IPPROTO_ICMP || family == unix.AF_INET6 && protocol == unix.IPPROTO_ICMPV6):
	default:
		return nil, unix.EPROTONOSUPPORT
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	return newSocket(ns, fd, family, typ, protocol)
}

func newSocket(ns *netns.Namespace, fd, family, typ, protocol int) (*Socket, error) {
	s := &Socket{ns: ns, file: os.NewFile(uintptr(fd), "socket"), fd: fd}
	s.Init(family, typ, protocol)
	if err := host.Watch(fd, &s.queue); err != nil {
		s.file.Close()
		return nil, unix.ENOMEM
	}
	ns.IncRef()
	return s, nil
}

func (s *Socket) stream() bool { return s.Type() == unix.SOCK_STREAM }

// Queue is notified of readiness changes.
func (s *Socket) Queue() *wait.Queue { return &s.queue }

// Poll asks the host.
func (s *Socket) Poll(mask wait.Events) wait.Events {
	p := []unix.PollFd{{Fd: int32(s.fd), Events: int16(mask & 0x7fff)}}
	if n, err := unix.Poll(p, 0); err != nil || n == 0 {
		return 0
	}
	return wait.Events(uint16(p[0].Revents)) & (mask | wait.Err | wait.HUp)
}

// check looks at an address that goes to the host: one of the socket's own family, or of IPv4 or none where Linux takes
// these.
func (s *Socket) check(addr []byte) error {
	if len(addr) < minAddr || len(addr) > 128 {
		return unix.EINVAL
	}
	switch fam := int(binary.NativeEndian.Uint16(addr)); {
	case fam == s.Family(), fam == unix.AF_UNSPEC, fam == unix.AF_INET && s.Family() == unix.AF_INET6:
		return nil
	}
	return unix.EAFNOSUPPORT
}

// withAddr makes a call that takes an address.
func (s *Socket) withAddr(nr uintptr, addr []byte) error {
	if err := s.check(addr); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(nr, uintptr(s.fd), uintptr(unsafe.Pointer(&addr[0])), uintptr(len(addr)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Bind is bind(2). Ports below ip_unprivileged_port_start of the host are not for the Sentry, which has no capability
// there, whatever the application has in its own namespace.
func (s *Socket) Bind(_ vfs.Caller, addr []byte) error { return s.withAddr(unix.SYS_BIND, addr) }

// Connect is connect(2).
func (s *Socket) Connect(_ vfs.Caller, addr []byte) error {
	err := s.withAddr(unix.SYS_CONNECT, addr)
	switch err {
	case unix.EINPROGRESS:
		a := append([]byte(nil), addr...)
		s.peer.Store(&a)
	case unix.EINTR:
		return unix.EALREADY
	}
	return err
}

// Connected tells how a connection ended. To connect once more is how the host tells, and what makes its socket ready for
// another attempt after a failure.
func (s *Socket) Connected() error {
	peer := s.peer.Load()
	if peer == nil {
		return nil
	}
	if s.Poll(wait.Writable) == 0 {
		return unix.EAGAIN
	}
	switch err := s.withAddr(unix.SYS_CONNECT, *peer); err {
	case unix.EALREADY, unix.EINPROGRESS, unix.EINTR:
		return unix.EAGAIN
	case unix.EISCONN:
		s.peer.Store(nil)
		return nil
	default:
		s.peer.Store(nil)
		return err
	}
}

// Listen is listen(2).
func (s *Socket) Listen(_ vfs.Caller, backlog int) error { return unix.Listen(s.fd, backlog) }

// Accept is accept(2).
func (s *Socket) Accept(vfs.Caller) (socket.Socket, []byte, error) {
	var addr [maxAddr]byte
	n := uint32(len(addr))
	fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(s.fd), uintptr(unsafe.Pointer(&addr[0])), uintptr(unsafe.Pointer(&n)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno == unix.EINTR {
		errno = unix.EAGAIN
	}
	if errno != 0 {
		return nil, nil, errno
	}
	c, err := newSocket(s.ns, int(fd), s.Family(), s.Type(), s.Protocol())
	if err != nil {
		return nil, nil, err
	}
	return c, addr[:min(n, maxAddr)], nil
}

// Shutdown is shutdown(2).
func (s *Socket) Shutdown(_ vfs.Caller, how int) error {
	if how < unix.SHUT_RD || how > unix.SHUT_RDWR {
		return unix.EINVAL
	}
	err := unix.Shutdown(s.fd, how)
	s.queue.Notify(wait.Readable | wait.Writable | wait.HUp | wait.RdHUp)
	return err
}

// Name is getsockname(2) or getpeername(2).
func (s *Socket) Name(_ vfs.Caller, peer bool) ([]byte, error) {
	nr := uintptr(unix.SYS_GETSOCKNAME)
	if peer {
		nr = unix.SYS_GETPEERNAME
	}
	var addr [maxAddr]byte
	n := uint32(len(addr))
	_, _, errno := unix.Syscall(nr, uintptr(s.fd), uintptr(unsafe.Pointer(&addr[0])), uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return nil, errno
	}
	return addr[:min(n, maxAddr)], nil
}

// Release closes the host's socket. With SO_LINGER set the host may wait, where no signal of ours would end the wait: a
// goroutine waits for the host, and the caller for that, until a signal or its own end.
func (s *Socket) Release(c vfs.Caller) {
	host.Unwatch(s.fd)
	if l, err := unix.GetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER); s.stream() && err == nil && l.Onoff != 0 && l.Linger > 0 {
		done := make(chan struct{})
		go func() {
			s.file.Close()
			close(done)
		}()
		linger(c, done)
	} else {
		s.file.Close()
	}
	s.ns.DecRef()
}

// linger waits for done.
func linger(c vfs.Caller, done chan struct{}) {
	clock, ok := c.(interface{ Monotonic() int64 })
	if !ok {
		return // the kernel itself does not wait
	}
	const maxStep = 20 * time.Millisecond
	for step := time.Millisecond; ; step = min(2*step, maxStep) {
		select {
		case <-done:
			return
		default:
		}
		if err := c.Block(clock.Monotonic() + int64(step)); err != nil && err != unix.ETIMEDOUT {
			return
		}
	}
}
