package inet

import (
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"ringfort/netstack"
	"ringfort/sentry/arch"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netdev"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Read is recv without flags.
func (s *Socket) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	if dst.Len() == 0 && s.stream() {
		return 0, nil
	}
	n, _, err := s.recv(dst, 0, tcpip.ReadOptions{})
	return n, err
}

// Write is send without flags.
func (s *Socket) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	n, err := s.send(c, src, 0, tcpip.WriteOptions{Atomic: !s.stream()})
	return n, off, err
}

// Send sends to the peer or, as a datagram, to m.To.
func (s *Socket) Send(c vfs.Caller, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	if m.Flags&unix.MSG_OOB != 0 && !s.stream() {
		return 0, unix.EOPNOTSUPP
	}
	opts := tcpip.WriteOptions{
		Atomic:      !s.stream(),
		More:        m.Flags&unix.MSG_MORE != 0,
		EndOfRecord: m.Flags&unix.MSG_EOR != 0,
	}
	if m.To != nil && !s.stream() {
		to, err := s.parse(m.To, false)
		if err != nil {
			return 0, err
		}
		to = s.anyToLoopback(to)
		opts.To = &to
	}
	if m.Control != nil {
		if err := s.sendControl(m.Control, &opts.ControlMessages); err != nil {
			return 0, err
		}
	}
	return s.send(c, src, m.Flags, opts)
}

func (s *Socket) send(c vfs.Caller, src usermem.Seq, flags int, opts tcpip.WriteOptions) (int64, error) {
	if l := s.link.Load(); l != nil {
		return l.sent(c, src, flags)
	}
	k := socket.NewCarrier(src)
	n, terr := s.endpoint().Write(k, opts)
	k.Free()
	if terr == nil {
		return n, nil
	}
	if n > 0 {
		return n, nil
	}
	switch terr.(type) {
	case *tcpip.ErrWouldBlock:
		return 0, unix.EAGAIN
	case *tcpip.ErrConnectStarted, *tcpip.ErrAlreadyConnecting, *tcpip.ErrInvalidEndpointState:
		if s.stream() {
			if s.started.Load() {
				return 0, unix.EAGAIN
			}
			return 0, s.brokenPipe(c, flags)
		}
	case *tcpip.ErrClosedForSend:
		return 0, s.brokenPipe(c, flags)
	case *tcpip.ErrNotConnected:
		if s.stream() {
			return 0, s.brokenPipe(c, flags) // tcp(7): never connected is EPIPE too
		}
		return 0, unix.EDESTADDRREQ
	case *tcpip.ErrDestinationRequired:
		return 0, unix.EDESTADDRREQ
	case *tcpip.ErrBadBuffer:
		return 0, unix.EFAULT
	}
	if s.stream() && s.broken.Swap(true) {
		return 0, s.brokenPipe(c, flags)
	}
	return 0, netstack.Errno(terr)
}

func (s *Socket) brokenPipe(c vfs.Caller, flags int) error {
	if s.stream() && flags&unix.MSG_NOSIGNAL == 0 {
		c.SendSignal(int32(unix.SIGPIPE))
	}
	return unix.EPIPE
}

// Recv receives bytes or one datagram.
func (s *Socket) Recv(c vfs.Caller, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EINVAL // there is never urgent data
	}
	if flags&unix.MSG_ERRQUEUE != 0 {
		return s.recvError(dst, r)
	}
	if s.stream() && dst.Len() == 0 {
		return 0, nil
	}
	opts := tcpip.ReadOptions{Peek: flags&unix.MSG_PEEK != 0, NeedRemoteAddr: r.WantFrom && !s.stream()}
	n, res, err := s.recv(dst, flags, opts)
	if err != nil {
		return 0, err
	}
	r.Full = n
	if !s.stream() {
		r.Full = int64(res.Total)
		if res.Total > res.Count {
			r.Flags |= unix.MSG_TRUNC
		}
		if opts.NeedRemoteAddr {
			r.From = s.format(res.RemoteAddr)
		}
	}
	if r.WantControl {
		s.recvControl(&res.ControlMessages, r)
	}
	return n, nil
}

func (s *Socket) recv(dst usermem.Seq, flags int, opts tcpip.ReadOptions) (int64, tcpip.ReadResult, error) {
	if l := s.link.Load(); l != nil {
		n, err := l.recv(dst, flags)
		return n, tcpip.ReadResult{}, err
	}
	k := socket.NewCarrier(dst)
	k.Discard = flags&unix.MSG_TRUNC != 0 && s.stream()
	res, terr := s.endpoint().Read(k, opts)
	k.Free()
	switch terr.(type) {
	case nil:
	case *tcpip.ErrWouldBlock:
		if s.ended.Load()&1 != 0 {
			return 0, res, nil
		}
		return 0, res, unix.EAGAIN
	case *tcpip.ErrClosedForReceive:
		return 0, res, nil
	case *tcpip.ErrBadBuffer:
		if dst.Len() == 0 {
			return 0, res, nil // a datagram was received into nothing
		}
		return 0, res, unix.EFAULT
	case *tcpip.ErrInvalidEndpointState, *tcpip.ErrNotConnected:
		if s.started.Load() && s.Connected() == unix.EAGAIN {
			return 0, res, unix.EAGAIN
		}
		return 0, res, unix.ENOTCONN
	default:
		if s.stream() && s.broken.Swap(true) {
			return 0, res, nil // the error was reported: what is left is the end
		}
		return 0, res, netstack.Errno(terr)
	}
	if s.stream() && res.Count > 0 && flags&unix.MSG_PEEK == 0 {
		s.endpoint().ModerateRecvBuf(res.Count)
	}
	return int64(res.Count), res, nil
}

// Ioctl knows SIOCINQ, SIOCOUTQ, SIOCATMARK, the time stamp of the last
// packet, and what every socket does of netdevice(7).
func (s *Socket) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	addr := usermem.Addr(arg.Pointer())
	var n int32
	switch cmd {
	case unix.TIOCINQ:
		if s.listening.Load() {
			return 0, unix.EINVAL
		}
		if l := s.link.Load(); l != nil {
			in, _ := l.queued()
			n = int32(in)
			break
		}
		v, terr := s.endpoint().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
		if terr != nil {
			return 0, netstack.Errno(terr)
		}
		n = int32(v)
	case unix.TIOCOUTQ:
		if s.listening.Load() {
			return 0, unix.EINVAL
		}
		if l := s.link.Load(); l != nil {
			_, out := l.queued()
			n = int32(out)
			break
		}
		v, terr := s.endpoint().GetSockOptInt(tcpip.SendQueueSizeOption)
		if terr != nil {
			return 0, netstack.Errno(terr)
		}
		n = int32(v)
	case unix.SIOCATMARK:
	default:
		return netdev.Ioctl(c, s.ns, cmd, addr)
	}
	return 0, usermem.CopyOutVal(c.Memory(), addr, &n)
}

// now is the time stamp of a message the stack did not stamp.
func stampOf(cm *tcpip.ReceivableControlMessages) time.Time {
	if cm.HasTimestamp {
		return cm.Timestamp
	}
	return time.Now()
}
