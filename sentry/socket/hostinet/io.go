package hostinet

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netdev"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Flags of a send and of a receive that the host gets; the others are the caller's own, or fail.
const (
	sendFlags = unix.MSG_DONTROUTE | unix.MSG_EOR | unix.MSG_MORE | unix.MSG_CONFIRM
	recvFlags = unix.MSG_PEEK | unix.MSG_TRUNC
)

const (
	maxStream = 256 << 10 // bytes of one call on a stream
	maxPacket = 65535     // of a datagram
	maxOOB    = 512       // of control messages received
)

// sendable are the control messages that may be sent, with the sizes of their data: none is about a process or a file.
var sendable = map[optionKey]int{
	{unix.IPPROTO_IP, unix.IP_PKTINFO}: unix.SizeofInet4Pktinfo, {unix.IPPROTO_IP, unix.IP_TTL}: 4, {unix.IPPROTO_IP, unix.IP_TOS}: 4,
	{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}: unix.SizeofInet6Pktinfo, {unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT}: 4, {unix.IPPROTO_IPV6, unix.IPV6_TCLASS}: 4,
}

// outgoing writes control messages as the host takes them.
func outgoing(ctl *socket.Control) ([]byte, error) {
	if ctl == nil {
		return nil, nil
	}
	if len(ctl.Files) > 0 {
		return nil, unix.EINVAL
	}
	var oob []byte
	for _, m := range ctl.Raw {
		size, ok := sendable[optionKey{int(m.Level), int(m.Type)}]
		if !ok || len(m.Data) != size {
			return nil, unix.EINVAL
		}
		b := make([]byte, unix.CmsgSpace(size))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		h.Level, h.Type = m.Level, m.Type
		h.SetLen(unix.CmsgLen(size))
		copy(b[unix.CmsgLen(0):], m.Data)
		oob = append(oob, b...)
	}
	return oob, nil
}

// incoming reads what the host tells of a message: addresses, counts and times, never a descriptor.
func incoming(oob []byte, r *socket.Received) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(list) == 0 {
		return
	}
	r.Control = &socket.Control{}
	for _, m := range list {
		r.Control.Raw = append(r.Control.Raw, socket.Raw{Level: m.Header.Level, Type: m.Header.Type, Data: m.Data})
	}
}

// Read is recv without flags.
func (s *Socket) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	if s.stream() && dst.Len() == 0 {
		return 0, nil
	}
	return s.Recv(c, dst, 0, &socket.Received{})
}

// Write is send without flags.
func (s *Socket) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	n, err := s.Send(c, src, &socket.SendArgs{})
	return n, off, err
}

// Send is sendmsg(2).
func (s *Socket) Send(c vfs.Caller, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	oob, err := outgoing(m.Control)
	if err != nil {
		return 0, err
	}
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if m.To != nil {
		if err := s.check(m.To); err != nil {
			return 0, err
		}
	}
	most := int64(maxStream)
	if !s.stream() {
		if most = maxPacket; int64(src.Len()) > most {
			return 0, unix.EMSGSIZE
		}
	}
	buf := make([]byte, min(int64(src.Len()), most))
	n, err := src.CopyIn(buf)
	if err != nil && (n == 0 || !s.stream()) {
		return 0, err
	}
	h := header(buf[:n], m.To, oob)
	done, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(h)), uintptr(m.Flags&sendFlags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL))
	switch errno {
	case 0:
		return int64(done), nil
	case unix.EINTR:
		return 0, unix.EAGAIN
	case unix.EPIPE:
		if s.stream() && m.Flags&unix.MSG_NOSIGNAL == 0 {
			c.SendSignal(int32(unix.SIGPIPE))
		}
	}
	return 0, errno
}

// Recv is recvmsg(2).
func (s *Socket) Recv(_ vfs.Caller, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EINVAL // there is never urgent data
	}
	if flags&unix.MSG_ERRQUEUE != 0 {
		return 0, unix.EAGAIN // nothing is ever queued: IP_RECVERR cannot be set
	}
	most := int64(maxStream)
	if !s.stream() {
		most = maxPacket
	}
	buf := make([]byte, min(int64(dst.Len()), most))
	ask := flags & recvFlags
	if !s.stream() {
		ask |= unix.MSG_TRUNC // the length of the whole datagram
	}
	var from []byte
	if r.WantFrom && !s.stream() {
		from = make([]byte, maxAddr)
	}
	var oob []byte
	if r.WantControl {
		oob = make([]byte, maxOOB)
	}
	h := header(buf, from, oob)
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(h)), uintptr(ask|unix.MSG_DONTWAIT))
	if errno == unix.EINTR {
		errno = unix.EAGAIN
	}
	if errno != 0 {
		return 0, errno
	}
	r.Full = int64(n)
	r.Flags |= int(h.Flags) & (unix.MSG_TRUNC | unix.MSG_OOB | unix.MSG_EOR)
	incoming(oob[:min(int(h.Controllen), len(oob))], r)
	if from != nil {
		r.From = from[:min(h.Namelen, maxAddr)]
	}
	if s.stream() && flags&unix.MSG_TRUNC != 0 {
		return int64(n), nil // discarded
	}
	m, err := dst.CopyOut(buf[:min(int(n), len(buf))])
	return int64(m), err
}

// header is a struct msghdr about one buffer, and an address and control messages unless these are empty.
func header(buf, addr, oob []byte) *unix.Msghdr {
	iov := &unix.Iovec{}
	if len(buf) > 0 {
		iov.Base = &buf[0]
	}
	iov.SetLen(len(buf))
	h := &unix.Msghdr{Iov: iov}
	h.SetIovlen(1)
	if len(addr) > 0 {
		h.Name, h.Namelen = &addr[0], uint32(len(addr))
	}
	if len(oob) > 0 {
		h.Control = &oob[0]
		h.SetControllen(len(oob))
	}
	return h
}

// Ioctl knows SIOCINQ, SIOCOUTQ, SIOCATMARK, and what every socket does of netdevice(7).
func (s *Socket) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	addr := usermem.Addr(arg.Pointer())
	switch cmd {
	case unix.TIOCINQ, unix.TIOCOUTQ:
		v, err := unix.IoctlGetInt(s.fd, uint(cmd))
		if err != nil {
			return 0, err
		}
		n := int32(v)
		return 0, usermem.CopyOutVal(c.Memory(), addr, &n)
	case unix.SIOCATMARK:
		n := int32(0)
		return 0, usermem.CopyOutVal(c.Memory(), addr, &n)
	}
	return netdev.Ioctl(c, s.ns, cmd, addr)
}
