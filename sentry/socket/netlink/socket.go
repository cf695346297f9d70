package netlink

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netdev"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

const (
	// addrSize is sizeof(struct sockaddr_nl).
	addrSize = 12
	// maxRequest bounds one send, in bytes.
	maxRequest = 1 << 20
	// maxQueue bounds the replies not yet read, in bytes.
	maxQueue = 4 << 20
)

// Socket is an AF_NETLINK socket.
type Socket struct {
	socket.Base
	vfs.FileBase
	ns    *netns.Namespace
	queue wait.Queue

	mu      sync.Mutex
	port    uint32 // 0 until bound
	groups  uint64 // bit n-1 for group n; those above 64 are only counted
	peer    uint32
	replies [][]byte
	bytes   int
	overrun bool // replies were dropped
	flags   map[int]bool
	pass    bool // SO_PASSCRED
	sndbuf  int
	rcvbuf  int
}

var _ socket.Socket = (*Socket)(nil)

// ports holds who has which port ID.
var ports = struct {
	mu    sync.Mutex
	taken map[portKey]bool
}{taken: make(map[portKey]bool)}

type portKey struct {
	ns       *netns.Namespace
	protocol int
	port     uint32
}

// New returns a netlink socket. EPROTONOSUPPORT for a protocol there is no
// kernel side of.
func New(c vfs.Caller, ns *netns.Namespace, typ, protocol int) (*Socket, error) {
	if typ != unix.SOCK_RAW && typ != unix.SOCK_DGRAM {
		return nil, unix.ESOCKTNOSUPPORT
	}
	switch protocol {
	case unix.NETLINK_ROUTE, unix.NETLINK_KOBJECT_UEVENT, unix.NETLINK_AUDIT, unix.NETLINK_USERSOCK:
	case unix.NETLINK_SOCK_DIAG:
		// As a kernel without diagnostic modules: every request fails, and ss(8)
		// reads /proc/net instead.
	default:
		return nil, unix.EPROTONOSUPPORT
	}
	s := &Socket{ns: ns, flags: make(map[int]bool), sndbuf: socket.DefaultBuffer, rcvbuf: socket.DefaultBuffer}
	s.Init(unix.AF_NETLINK, typ, protocol)
	ns.IncRef()
	return s, nil
}

func parseAddr(b []byte) (port, groups uint32, err error) {
	if len(b) < addrSize || binary.NativeEndian.Uint16(b) != unix.AF_NETLINK {
		return 0, 0, unix.EINVAL
	}
	return binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:]), nil
}

func formatAddr(port, groups uint32) []byte {
	b := make([]byte, addrSize)
	binary.NativeEndian.PutUint16(b, unix.AF_NETLINK)
	binary.NativeEndian.PutUint32(b[4:], port)
	binary.NativeEndian.PutUint32(b[8:], groups)
	return b
}

// take claims a port ID.
func (s *Socket) take(port uint32) bool {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	k := portKey{s.ns, s.Protocol(), port}
	if ports.taken[k] {
		return false
	}
	ports.taken[k] = true
	return true
}

// bindTo gives the socket a port ID, its own choice for 0. s.mu is held.
func (s *Socket) bindTo(c vfs.Caller, port uint32) error {
	if s.port != 0 {
		if port != 0 && port != s.port {
			return unix.EINVAL
		}
		return nil
	}
	if port != 0 {
		if !s.take(port) {
			return unix.EADDRINUSE
		}
		s.port = port
		return nil
	}
	port = uint32(c.ThreadGroupID())
	for port == 0 || !s.take(port) {
		port = 1<<31 | rand.Uint32()
	}
	s.port = port
	return nil
}

// Bind sets the port ID and the multicast groups.
func (s *Socket) Bind(c vfs.Caller, addr []byte) error {
	port, groups, err := parseAddr(addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.bindTo(c, port); err != nil {
		return err
	}
	s.groups = s.groups&^0xffffffff | uint64(groups)
	return nil
}

// Connect sets the default destination, which can only be the kernel.
func (s *Socket) Connect(c vfs.Caller, addr []byte) error {
	if len(addr) >= 2 && binary.NativeEndian.Uint16(addr) == unix.AF_UNSPEC {
		s.mu.Lock()
		s.peer = 0
		s.mu.Unlock()
		return nil
	}
	port, _, err := parseAddr(addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = port
	return s.bindTo(c, 0)
}

// Connected returns nil.
func (s *Socket) Connected() error { return nil }

// Listen returns EOPNOTSUPP.
func (s *Socket) Listen(vfs.Caller, int) error { return unix.EOPNOTSUPP }

// Accept returns EOPNOTSUPP.
func (s *Socket) Accept(vfs.Caller) (socket.Socket, []byte, error) {
	return nil, nil, unix.EOPNOTSUPP
}

// Shutdown returns EOPNOTSUPP.
func (s *Socket) Shutdown(vfs.Caller, int) error { return unix.EOPNOTSUPP }

// Name returns the port ID and groups, or the destination.
func (s *Socket) Name(_ vfs.Caller, peer bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if peer {
		return formatAddr(s.peer, 0), nil
	}
	return formatAddr(s.port, uint32(s.groups)), nil
}

// Poll says readable when a reply waits.
func (s *Socket) Poll(mask wait.Events) wait.Events {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := wait.Writable
	if len(s.replies) > 0 {
		ev |= wait.Readable
	}
	if s.overrun {
		ev |= wait.Err
	}
	return ev & mask
}

// Queue is notified when a reply is there.
func (s *Socket) Queue() *wait.Queue { return &s.queue }

// Read is recv without flags.
func (s *Socket) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	var r socket.Received
	return s.Recv(c, dst, 0, &r)
}

// Write is send without flags.
func (s *Socket) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	n, err := s.Send(c, src, &socket.SendArgs{})
	return n, off, err
}

// Send hands requests to the kernel side and queues what it answers.
func (s *Socket) Send(c vfs.Caller, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	dest := s.peer
	s.mu.Unlock()
	if m.To != nil {
		port, groups, err := parseAddr(m.To)
		if err != nil {
			return 0, err
		}
		if groups != 0 && !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
			return 0, unix.EPERM
		}
		dest = port
	}
	n := src.Len()
	if n > maxRequest {
		return 0, unix.EMSGSIZE
	}
	req := make([]byte, n)
	if got, err := src.CopyIn(req); got < n {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.bindTo(c, 0); err != nil {
		return 0, err
	}
	if dest != 0 || s.Protocol() == unix.NETLINK_USERSOCK {
		return 0, unix.ECONNREFUSED
	}
	s.handleAll(c, req)
	return int64(n), nil
}

// reply queues a datagram for the reader. s.mu is held.
func (s *Socket) reply(b []byte) {
	if len(b) == 0 {
		return
	}
	if s.bytes+len(b) > maxQueue {
		s.overrun = true
		s.queue.Notify(wait.Err)
		return
	}
	s.replies = append(s.replies, b)
	s.bytes += len(b)
	s.queue.Notify(wait.Readable)
}

// Deliver queues a datagram of the kernel's own (mq_notify(2)).
func (s *Socket) Deliver(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply(b)
}

// Recv takes the oldest reply.
func (s *Socket) Recv(_ vfs.Caller, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overrun {
		s.overrun = false
		if !s.flags[unix.NETLINK_NO_ENOBUFS] {
			return 0, unix.ENOBUFS
		}
	}
	if len(s.replies) == 0 {
		return 0, unix.EAGAIN
	}
	b := s.replies[0]
	n, err := dst.CopyOut(b)
	if n < min(len(b), dst.Len()) {
		return 0, err
	}
	if flags&unix.MSG_PEEK == 0 {
		s.replies[0] = nil
		s.replies = s.replies[1:]
		s.bytes -= len(b)
	}
	r.Full = int64(len(b))
	if n < len(b) {
		r.Flags |= unix.MSG_TRUNC
	}
	r.From = formatAddr(0, 0)
	if r.WantControl && (s.pass || s.flags[unix.NETLINK_PKTINFO]) {
		r.Control = &socket.Control{}
		if s.flags[unix.NETLINK_PKTINFO] {
			r.Control.Raw = append(r.Control.Raw, socket.Raw{Level: unix.SOL_NETLINK, Type: unix.NETLINK_PKTINFO, Data: make([]byte, 4)})
		}
		if s.pass {
			r.Control.Creds = &socket.PeerCreds{UID: auth.RootKUID, GID: auth.RootKGID}
		}
	}
	return int64(n), nil
}

// switches are the options of SOL_NETLINK that are on or off.
var switches = map[int]bool{
	unix.NETLINK_PKTINFO: true, unix.NETLINK_BROADCAST_ERROR: true, unix.NETLINK_NO_ENOBUFS: true,
	unix.NETLINK_CAP_ACK: true, unix.NETLINK_EXT_ACK: true, unix.NETLINK_GET_STRICT_CHK: true,
	unix.NETLINK_LISTEN_ALL_NSID: true,
}

// GetOption is getsockopt(2).
func (s *Socket) GetOption(_ vfs.Caller, level, name, max int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case level == unix.SOL_NETLINK && name == unix.NETLINK_LIST_MEMBERSHIPS:
		b := make([]byte, 8)
		binary.NativeEndian.PutUint64(b, s.groups)
		return b, nil
	case level == unix.SOL_NETLINK && switches[name]:
		return socket.Bool(s.flags[name]), nil
	case level != unix.SOL_SOCKET:
		return nil, unix.ENOPROTOOPT
	}
	if v, ok := s.GetCommon(name); ok {
		return v, nil
	}
	switch name {
	case unix.SO_ERROR:
		if s.overrun {
			s.overrun = false
			return socket.Int32(int(unix.ENOBUFS)), nil
		}
		return socket.Int32(0), nil
	case unix.SO_SNDBUF:
		return socket.Int32(s.sndbuf), nil
	case unix.SO_RCVBUF:
		return socket.Int32(s.rcvbuf), nil
	case unix.SO_PASSCRED:
		return socket.Bool(s.pass), nil
	case unix.SO_ACCEPTCONN, unix.SO_REUSEADDR, unix.SO_KEEPALIVE, unix.SO_BROADCAST, unix.SO_TIMESTAMP:
		return socket.Int32(0), nil
	}
	return nil, unix.ENOPROTOOPT
}

// SetOption is setsockopt(2).
func (s *Socket) SetOption(c vfs.Caller, level, name int, value []byte) error {
	if level == unix.SOL_SOCKET {
		if ok, err := s.SetCommon(name, value); ok {
			return err
		}
	}
	if level == unix.SOL_SOCKET && (name == unix.SO_ATTACH_FILTER || name == unix.SO_DETACH_FILTER) {
		return nil // replies are few: who filters looks at them all the same
	}
	v, err := socket.Int(value)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case level == unix.SOL_NETLINK && switches[name]:
		s.flags[name] = v != 0
	case level == unix.SOL_NETLINK && (name == unix.NETLINK_ADD_MEMBERSHIP || name == unix.NETLINK_DROP_MEMBERSHIP):
		if v < 1 || v > 1024 {
			return unix.EINVAL
		}
		if v <= 64 {
			if name == unix.NETLINK_ADD_MEMBERSHIP {
				s.groups |= 1 << (v - 1)
			} else {
				s.groups &^= 1 << (v - 1)
			}
		}
	case level == unix.SOL_SOCKET && (name == unix.SO_SNDBUF || name == unix.SO_SNDBUFFORCE):
		s.sndbuf = socket.BufferSize(v, socket.MinSendBuffer, name == unix.SO_SNDBUFFORCE)
	case level == unix.SOL_SOCKET && (name == unix.SO_RCVBUF || name == unix.SO_RCVBUFFORCE):
		s.rcvbuf = socket.BufferSize(v, socket.MinRecvBuffer, name == unix.SO_RCVBUFFORCE)
	case level == unix.SOL_SOCKET && name == unix.SO_PASSCRED:
		s.pass = v != 0
	case level == unix.SOL_SOCKET && (name == unix.SO_REUSEADDR || name == unix.SO_TIMESTAMP || name == unix.SO_BROADCAST):
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// Ioctl does what every socket does of netdevice(7).
func (s *Socket) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	return netdev.Ioctl(c, s.ns, cmd, usermem.Addr(arg.Pointer()))
}

// Release frees the port ID.
func (s *Socket) Release(vfs.Caller) {
	s.mu.Lock()
	port := s.port
	s.mu.Unlock()
	if port != 0 {
		ports.mu.Lock()
		delete(ports.taken, portKey{s.ns, s.Protocol(), port})
		ports.mu.Unlock()
	}
	s.ns.DecRef()
}
