package unixsock

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netdev"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// inert are options of SOL_SOCKET that Linux takes on an AF_UNIX socket and
// that have no meaning there.
var inert = map[int]bool{
	unix.SO_REUSEADDR: true, unix.SO_REUSEPORT: true, unix.SO_KEEPALIVE: true, unix.SO_BROADCAST: true,
	unix.SO_TIMESTAMP: true, unix.SO_TIMESTAMPNS: true, unix.SO_NO_CHECK: true, unix.SO_PASSSEC: true,
	unix.SO_RCVLOWAT: true, unix.SO_MARK: true, unix.SO_LINGER: true,
}

// GetOption is getsockopt(2).
func (s *Socket) GetOption(c vfs.Caller, level, name, _ int) ([]byte, error) {
	if level != unix.SOL_SOCKET {
		return nil, unix.EOPNOTSUPP
	}
	if v, ok := s.GetCommon(name); ok {
		return v, nil
	}
	switch name {
	case unix.SO_ERROR:
		if h := s.host.Load(); h != nil {
			n, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_ERROR)
			return socket.Int32(n), err
		}
		return socket.Int32(int(s.err.Swap(0))), nil
	case unix.SO_ACCEPTCONN:
		return socket.Bool(s.state.Load() == stateListening), nil
	case unix.SO_PASSCRED:
		return socket.Bool(s.passCred.Load()), nil
	case unix.SO_SNDBUF:
		return socket.Int32(int(s.sndbuf.Load())), nil
	case unix.SO_RCVBUF:
		return socket.Int32(int(s.rcvbuf.Load())), nil
	case unix.SO_PEERCRED:
		return s.peerCredentials(c), nil
	case unix.SO_RCVLOWAT:
		return socket.Int32(1), nil
	case unix.SO_LINGER:
		return make([]byte, 8), nil
	}
	if inert[name] {
		return socket.Int32(0), nil
	}
	return nil, unix.ENOPROTOOPT
}

// peerCredentials is a struct ucred; without a peer it is {0, -1, -1}.
func (s *Socket) peerCredentials(c vfs.Caller) []byte {
	s.mu.Lock()
	cr, ok := s.peerCred, s.hasPeer
	s.mu.Unlock()
	v := make([]byte, 12)
	pid, uid, gid := uint32(0), ^uint32(0), ^uint32(0)
	if ok {
		ns := c.Creds().UserNS
		pid, uid, gid = uint32(cr.PID), ns.UID(cr.UID), ns.GID(cr.GID)
	}
	binary.NativeEndian.PutUint32(v, pid)
	binary.NativeEndian.PutUint32(v[4:], uid)
	binary.NativeEndian.PutUint32(v[8:], gid)
	return v
}

// SetOption is setsockopt(2).
func (s *Socket) SetOption(c vfs.Caller, level, name int, value []byte) error {
	if level != unix.SOL_SOCKET {
		return unix.EOPNOTSUPP
	}
	if ok, err := s.SetCommon(name, value); ok {
		return err
	}
	v, err := socket.Int(value)
	if err != nil {
		return err
	}
	switch name {
	case unix.SO_PASSCRED:
		s.passCred.Store(v != 0)
	case unix.SO_SNDBUF:
		s.setSendBuffer(socket.BufferSize(v, socket.MinSendBuffer, false))
	case unix.SO_RCVBUF:
		s.rcvbuf.Store(int64(socket.BufferSize(v, socket.MinRecvBuffer, false)))
	case unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE:
		if !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
			return unix.EPERM
		}
		if name == unix.SO_SNDBUFFORCE {
			s.setSendBuffer(socket.BufferSize(v, socket.MinSendBuffer, true))
		} else {
			s.rcvbuf.Store(int64(socket.BufferSize(v, socket.MinRecvBuffer, true)))
		}
	default:
		if inert[name] {
			return nil
		}
		return unix.ENOPROTOOPT
	}
	return nil
}

func (s *Socket) setSendBuffer(n int) {
	s.sndbuf.Store(int64(n))
	if p := s.peer.Load(); p != nil && s.stream() {
		p.in.mu.Lock()
		p.in.limit = int64(n)
		p.in.mu.Unlock()
	}
}

// Ioctl knows SIOCINQ, SIOCOUTQ and what every socket does of netdevice(7).
func (s *Socket) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	var n int32
	if h := s.host.Load(); h != nil && (cmd == unix.TIOCINQ || cmd == unix.TIOCOUTQ) {
		v, err := unix.IoctlGetInt(h.fd, uint(cmd))
		if err != nil {
			return 0, err
		}
		n = int32(v)
		return 0, usermem.CopyOutVal(c.Memory(), usermem.Addr(arg.Pointer()), &n)
	}
	switch cmd {
	case unix.TIOCINQ:
		if s.state.Load() == stateListening {
			return 0, unix.EINVAL
		}
		s.in.mu.Lock()
		n = int32(s.in.bytes.Len())
		if s.Type() == unix.SOCK_SEQPACKET {
			for _, m := range s.in.queue {
				n += int32(len(m.data))
			}
		} else if len(s.in.queue) > 0 {
			n = int32(len(s.in.queue[0].data))
		}
		s.in.mu.Unlock()
	case unix.TIOCOUTQ:
		n = int32(s.pending.Load())
		if p := s.peer.Load(); p != nil && s.stream() {
			p.in.mu.Lock()
			n = int32(p.in.bytes.Len())
			p.in.mu.Unlock()
		}
	default:
		return netdev.Ioctl(c, s.ns, cmd, usermem.Addr(arg.Pointer()))
	}
	return 0, usermem.CopyOutVal(c.Memory(), usermem.Addr(arg.Pointer()), &n)
}
