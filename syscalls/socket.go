package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/socket"
	"ringfort/sentry/socket/hostinet"
	"ringfort/sentry/socket/inet"
	"ringfort/sentry/socket/netlink"
	"ringfort/sentry/socket/packet"
	unixsock "ringfort/sentry/socket/unix"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

var socketCalls = []Call{
	{Nr: unix.SYS_SOCKET, Name: "socket", Func: Socket, Args: []Arg{Int, Hex, Int}},
	{Nr: unix.SYS_SOCKETPAIR, Name: "socketpair", Func: Socketpair, Args: []Arg{Int, Hex, Int, Ptr}},
	{Nr: unix.SYS_BIND, Name: "bind", Func: Bind, Args: []Arg{FD, SockAddr, Size}},
	{Nr: unix.SYS_CONNECT, Name: "connect", Func: Connect, Args: []Arg{FD, SockAddr, Size}},
	{Nr: unix.SYS_LISTEN, Name: "listen", Func: Listen, Args: []Arg{FD, Int}},
	{Nr: unix.SYS_ACCEPT, Name: "accept", Func: Accept, Args: []Arg{FD, Ptr, Ptr}},
	{Nr: unix.SYS_ACCEPT4, Name: "accept4", Func: Accept4, Args: []Arg{FD, Ptr, Ptr, Hex}},
	{Nr: unix.SYS_SHUTDOWN, Name: "shutdown", Func: Shutdown, Args: []Arg{FD, Int}},
	{Nr: unix.SYS_GETSOCKNAME, Name: "getsockname", Func: Getsockname, Args: []Arg{FD, Ptr, Ptr}},
	{Nr: unix.SYS_GETPEERNAME, Name: "getpeername", Func: Getpeername, Args: []Arg{FD, Ptr, Ptr}},
	{Nr: unix.SYS_SETSOCKOPT, Name: "setsockopt", Func: Setsockopt, Args: []Arg{FD, Int, Int, Ptr, Size}},
	{Nr: unix.SYS_GETSOCKOPT, Name: "getsockopt", Func: Getsockopt, Args: []Arg{FD, Int, Int, Ptr, Ptr}},
	{Nr: unix.SYS_SENDTO, Name: "sendto", Func: Sendto, Args: []Arg{FD, Buf, Size, Hex, SockAddr, Size}},
	{Nr: unix.SYS_RECVFROM, Name: "recvfrom", Func: Recvfrom, Args: []Arg{FD, OutBuf, Size, Hex, Ptr, Ptr}},
	{Nr: unix.SYS_SENDMSG, Name: "sendmsg", Func: Sendmsg, Args: []Arg{FD, Ptr, Hex}},
	{Nr: unix.SYS_RECVMSG, Name: "recvmsg", Func: Recvmsg, Args: []Arg{FD, Ptr, Hex}},
	{Nr: unix.SYS_SENDMMSG, Name: "sendmmsg", Func: Sendmmsg, Args: []Arg{FD, Ptr, UInt, Hex}},
	{Nr: unix.SYS_RECVMMSG, Name: "recvmmsg", Func: Recvmmsg, Args: []Arg{FD, Ptr, UInt, Hex, Timespec}},
}

// typeMask separates a socket's type from SOCK_NONBLOCK and SOCK_CLOEXEC.
const typeMask = 0xf

// maxType is SOCK_MAX.
const maxType = 11

// socketType splits the type argument of socket(2).
func socketType(arg uint32) (typ int, flags uint32, err error) {
	flags = arg &^ typeMask
	if flags&^(unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) != 0 || arg&typeMask >= maxType {
		return 0, 0, unix.EINVAL
	}
	return int(arg & typeMask), flags, nil
}

// describe makes the description of a socket.
func describe(s socket.Socket, flags uint32) *vfs.Description {
	return vfs.NewAnonDescription(s, "socket:[%d]", unix.S_IFSOCK|0777, unix.O_RDWR|flags&unix.SOCK_NONBLOCK)
}

func installSocket(t *task, s socket.Socket, flags uint32) (uintptr, error) {
	d := describe(s, flags)
	defer d.DecRef(t)
	fd, err := t.NewFD(d, 0, flags&unix.SOCK_CLOEXEC != 0)
	if err != nil {
		return 0, err
	}
	return uintptr(fd), nil
}

// Socket is socket(2).
func Socket(t *task, a arguments) (uintptr, error) {
	typ, flags, err := socketType(a[1].Uint())
	if err != nil {
		return 0, err
	}
	s, err := newSocket(t, int(a[0].Int()), typ, int(a[2].Int()))
	if err != nil {
		return 0, err
	}
	return installSocket(t, s, flags)
}

func newSocket(t *task, family, typ, protocol int) (socket.Socket, error) {
	ns := t.NetNS()
	// Each family returns its own type: a nil pointer in an interface is not nil.
	switch family {
	case unix.AF_UNIX:
		s, err := unixsock.New(t, ns, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	case unix.AF_INET, unix.AF_INET6:
		if ns.Host {
			s, err := hostinet.New(ns, family, typ, protocol)
			if err != nil {
				return nil, err
			}
			return s, nil
		}
		s, err := inet.New(t, ns, family, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	case unix.AF_NETLINK:
		s, err := netlink.New(t, ns, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	case unix.AF_PACKET:
		if ns.Host {
			return nil, unix.EPERM // the host's frames are not for a sandbox
		}
		s, err := packet.New(t, ns, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, unix.EAFNOSUPPORT
}

// Socketpair is socketpair(2).
func Socketpair(t *task, a arguments) (uintptr, error) {
	typ, flags, err := socketType(a[1].Uint())
	if err != nil {
		return 0, err
	}
	switch a[0].Int() {
	case unix.AF_UNIX:
	case unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
		return 0, unix.EOPNOTSUPP
	default:
		return 0, unix.EAFNOSUPPORT
	}
	first, second, err := unixsock.NewPair(t, t.NetNS(), typ, int(a[2].Int()))
	if err != nil {
		return 0, err
	}
	d1, d2 := describe(first, flags), describe(second, flags)
	defer d1.DecRef(t)
	defer d2.DecRef(t)
	return 0, installPair(t, d1, d2, flags&unix.SOCK_CLOEXEC != 0, addr(a[3].Pointer()))
}

// getSocket returns the socket behind a descriptor and a reference on its
// description: EBADF, ENOTSOCK.
func getSocket(t *task, fd int32) (socket.Socket, *vfs.Description, error) {
	d := t.GetIOFile(fd)
	if d == nil {
		return nil, nil, unix.EBADF
	}
	s, ok := d.File().(socket.Socket)
	if !ok {
		d.DecRef(t)
		return nil, nil, unix.ENOTSOCK
	}
	return s, d, nil
}

// maxAddr is sizeof(struct sockaddr_storage).
const maxAddr = 128

// copyInAddr copies a socket address in.
func copyInAddr(t *task, p addr, n int32) ([]byte, error) {
	if n < 0 || n > maxAddr {
		return nil, unix.EINVAL
	}
	b := make([]byte, n)
	_, err := t.MM().CopyIn(p, b)
	return b, err
}

// copyOutAddr stores an address cut to the room at lenAddr, and its full
// length there. A null p asks for nothing.
func copyOutAddr(t *task, p, lenAddr addr, b []byte) error {
	if p == 0 {
		return nil
	}
	room, err := usermem.CopyInVal[int32](t.MM(), lenAddr)
	if err != nil {
		return err
	}
	if room < 0 {
		return unix.EINVAL
	}
	if _, err := t.MM().CopyOut(p, b[:min(len(b), int(room))]); err != nil {
		return err
	}
	n := int32(len(b))
	return usermem.CopyOutVal(t.MM(), lenAddr, &n)
}

// Bind is bind(2).
func Bind(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	b, err := copyInAddr(t, addr(a[1].Pointer()), a[2].Int())
	if err != nil {
		return 0, err
	}
	return 0, s.Bind(t, b)
}

// Listen is listen(2).
func Listen(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	return 0, s.Listen(t, int(a[1].Int()))
}

// Connect is connect(2).
func Connect(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	b, err := copyInAddr(t, addr(a[1].Pointer()), a[2].Int())
	if err != nil {
		return 0, err
	}
	err = s.Connect(t, b)
	if d.NonBlocking() {
		return 0, err
	}
	switch err {
	case unix.EAGAIN, unix.EINPROGRESS, unix.EALREADY:
		return 0, awaitConnect(t, s, b, err)
	}
	return 0, err
}

// awaitConnect waits for a connection under way, or, after EAGAIN, for the
// chance to begin one.
func awaitConnect(t *task, s socket.Socket, to []byte, begun error) error {
	_, timeout := s.Timeouts()
	deadline := after(t, timeout)
	w := wait.Waiter{To: t}
	s.Queue().Add(&w, wait.Writable|wait.Err|wait.HUp)
	defer w.Remove()
	for {
		var err error
		if begun == unix.EAGAIN {
			if err = s.Connect(t, to); err == unix.EINPROGRESS {
				begun = err
				continue
			}
		} else {
			err = s.Connected()
		}
		if err != unix.EAGAIN {
			return err
		}
		if err := t.Block(deadline); err != nil {
			if err == unix.ETIMEDOUT {
				err = begun
			}
			return err
		}
	}
}

// Accept is accept(2).
func Accept(t *task, a arguments) (uintptr, error) {
	return accept(t, a, 0)
}

// Accept4 is accept4(2).
func Accept4(t *task, a arguments) (uintptr, error) { return accept(t, a, a[3].Uint()) }

func accept(t *task, a arguments, flags uint32) (uintptr, error) {
	if flags&^(unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) != 0 {
		return 0, unix.EINVAL
	}
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	n, from, err := s.Accept(t)
	if err == unix.EAGAIN && !d.NonBlocking() {
		n, from, err = awaitAccept(t, s)
	}
	if err != nil {
		return 0, err
	}
	nd := describe(n, flags)
	defer nd.DecRef(t)
	if err := copyOutAddr(t, addr(a[1].Pointer()), addr(a[2].Pointer()), from); err != nil {
		return 0, err
	}
	fd, err := t.NewFD(nd, 0, flags&unix.SOCK_CLOEXEC != 0)
	return uintptr(fd), err
}

func awaitAccept(t *task, s socket.Socket) (socket.Socket, []byte, error) {
	timeout, _ := s.Timeouts()
	deadline := after(t, timeout)
	// Of several that wait, one is woken for a connection.
	w := wait.Waiter{To: t, Exclusive: true}
	s.Queue().Add(&w, wait.Readable|wait.Err|wait.HUp)
	defer w.Remove()
	for {
		n, from, err := s.Accept(t)
		if err != unix.EAGAIN {
			return n, from, err
		}
		if err := t.Block(deadline); err != nil {
			w.Remove()
			if s.Poll(wait.Readable) != 0 {
				s.Queue().NotifyOne(wait.Readable) // it was another's wake-up too
			}
			if err == unix.ETIMEDOUT {
				err = unix.EAGAIN
			}
			return nil, nil, err
		}
	}
}

// Shutdown is shutdown(2).
func Shutdown(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	defer d.Disturb()
	return 0, s.Shutdown(t, int(a[1].Int()))
}

// Getsockname is getsockname(2).
func Getsockname(t *task, a arguments) (uintptr, error) { return socketName(t, a, false) }

// Getpeername is getpeername(2).
func Getpeername(t *task, a arguments) (uintptr, error) { return socketName(t, a, true) }

func socketName(t *task, a arguments, peer bool) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	b, err := s.Name(t, peer)
	if err != nil {
		return 0, err
	}
	if a[1].Pointer() == 0 {
		return 0, unix.EFAULT
	}
	return 0, copyOutAddr(t, addr(a[1].Pointer()), addr(a[2].Pointer()), b)
}

// maxOption bounds the length of an option's value.
const maxOption = 64 << 10

// Setsockopt is setsockopt(2).
func Setsockopt(t *task, a arguments) (uintptr, error) {
	n := a[4].Int()
	if n < 0 {
		return 0, unix.EINVAL
	}
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	defer d.Disturb()
	value := make([]byte, min(n, maxOption))
	if _, err := t.MM().CopyIn(addr(a[3].Pointer()), value); err != nil {
		return 0, err
	}
	return 0, s.SetOption(t, int(a[1].Int()), int(a[2].Int()), value)
}

// Getsockopt is getsockopt(2).
func Getsockopt(t *task, a arguments) (uintptr, error) {
	s, d, err := getSocket(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	defer d.DecRef(t)
	lenAddr := addr(a[4].Pointer())
	room, err := usermem.CopyInVal[int32](t.MM(), lenAddr)
	if err != nil {
		return 0, err
	}
	if room < 0 {
		return 0, unix.EINVAL
	}
	value, err := s.GetOption(t, int(a[1].Int()), int(a[2].Int()), int(room))
	if err != nil {
		return 0, err
	}
	if a[1].Int() == unix.SOL_SOCKET && a[2].Int() == unix.SO_PEERCRED && len(value) == unix.SizeofUcred {
		pid := int32(binary.NativeEndian.Uint32(value))
		binary.NativeEndian.PutUint32(value, uint32(peerPID(t, pid)))
	}
	value = value[:min(len(value), int(room))]
	if _, err := t.MM().CopyOut(addr(a[3].Pointer()), value); err != nil {
		return 0, err
	}
	n := int32(len(value))
	return 0, usermem.CopyOutVal(t.MM(), lenAddr, &n)
}
