// Package packet implements AF_PACKET sockets (packet(7)) on the links of a
// netstack.Stack: raw frames and cooked packets, both ways.
//
// It must never wait; it reaches the host only through the stack's links.
// Lock order: Socket.mu before the locks of tcpip.
package packet

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"ringfort/netstack"
	"ringfort/sentry/arch"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netdev"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// addrSize is sizeof(struct sockaddr_ll).
const addrSize = 20

// auxSize is sizeof(struct tpacket_auxdata).
const auxSize = 20

// Socket is an AF_PACKET socket.
type Socket struct {
	socket.Base
	vfs.FileBase
	ns     *netns.Namespace
	ep     tcpip.Endpoint
	queue  wait.Queue
	wq     waiter.Queue
	entry  waiter.Entry
	cooked bool
	aux    atomic.Bool // PACKET_AUXDATA

	mu    sync.Mutex
	index int
	proto uint16 // in host order
}

var _ socket.Socket = (*Socket)(nil)

// New returns a packet socket; it takes CAP_NET_RAW. protocol is in network
// byte order, as given to socket(2).
func New(c vfs.Caller, ns *netns.Namespace, typ, protocol int) (*Socket, error) {
	if !c.Creds().HasCapIn(unix.CAP_NET_RAW, ns.UserNS) {
		return nil, unix.EPERM
	}
	if typ != unix.SOCK_RAW && typ != unix.SOCK_DGRAM {
		return nil, unix.ESOCKTNOSUPPORT
	}
	s := &Socket{ns: ns, cooked: typ == unix.SOCK_DGRAM, proto: swap(uint16(protocol))}
	ep, terr := ns.Stack.Tcpip().NewPacketEndpoint(s.cooked, tcpip.NetworkProtocolNumber(s.proto), &s.wq)
	if terr != nil {
		return nil, netstack.Errno(terr)
	}
	s.ep = ep
	s.Init(unix.AF_PACKET, typ, protocol)
	s.entry.Init(s, waiter.AllEvents)
	s.wq.EventRegister(&s.entry)
	ns.IncRef()
	return s, nil
}

func swap(v uint16) uint16 { return v<<8 | v>>8 }

// NotifyEvent passes an event of the endpoint on.
func (s *Socket) NotifyEvent(mask waiter.EventMask) { s.queue.Notify(wait.Events(mask)) }

// Queue is notified of readiness changes.
func (s *Socket) Queue() *wait.Queue { return &s.queue }

// Poll says readable when a packet waits.
func (s *Socket) Poll(mask wait.Events) wait.Events {
	return wait.Events(s.ep.Readiness(waiter.EventMask(mask)&waiter.AllEvents)) & mask
}

// address is what a struct sockaddr_ll says.
type address struct {
	proto uint16 // host order
	index int
	mac   string
}

func parse(b []byte) (address, error) {
	if len(b) < addrSize {
		return address{}, unix.EINVAL
	}
	if binary.NativeEndian.Uint16(b) != unix.AF_PACKET {
		return address{}, unix.EINVAL
	}
	a := address{proto: binary.BigEndian.Uint16(b[2:]), index: int(int32(binary.NativeEndian.Uint32(b[4:])))}
	if n := int(b[11]); n <= 8 {
		a.mac = string(b[12 : 12+n])
	}
	return a, nil
}

// Bind chooses a link (0: all) and a protocol.
func (s *Socket) Bind(c vfs.Caller, addr []byte) error {
	a, err := parse(addr)
	if err != nil {
		return err
	}
	if a.index < 0 || a.index != 0 && s.ns.Stack.NameByIndex(a.index) == "" {
		return unix.ENODEV
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.proto == 0 {
		a.proto = s.proto
	}
	// tcpip keeps the protocol of a packet endpoint in the port.
	if terr := s.ep.Bind(tcpip.FullAddress{NIC: tcpip.NICID(a.index), Port: a.proto}); terr != nil {
		return netstack.Errno(terr)
	}
	s.index, s.proto = a.index, a.proto
	return nil
}

// Connect returns EOPNOTSUPP.
func (s *Socket) Connect(vfs.Caller, []byte) error { return unix.EOPNOTSUPP }

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

// Name returns the link and protocol.
func (s *Socket) Name(_ vfs.Caller, peer bool) ([]byte, error) {
	if peer {
		return nil, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := make([]byte, addrSize)
	binary.NativeEndian.PutUint16(b, unix.AF_PACKET)
	binary.BigEndian.PutUint16(b[2:], s.proto)
	binary.NativeEndian.PutUint32(b[4:], uint32(s.index))
	if i, ok := s.ns.Stack.InterfaceByIndex(s.index); ok {
		binary.NativeEndian.PutUint16(b[8:], i.Type)
		b[11] = byte(copy(b[12:], i.MAC))
	}
	return b, nil
}

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

// Send sends one frame or packet on the link bound to or named by m.To.
func (s *Socket) Send(_ vfs.Caller, src usermem.Seq, m *socket.SendArgs) (int64, error) {
	s.mu.Lock()
	to := tcpip.FullAddress{NIC: tcpip.NICID(s.index), Port: s.proto}
	s.mu.Unlock()
	if m.To != nil {
		a, err := parse(m.To)
		if err != nil {
			return 0, err
		}
		to.NIC, to.Port, to.LinkAddr = tcpip.NICID(a.index), a.proto, tcpip.LinkAddress(a.mac)
	}
	i, ok := s.ns.Stack.InterfaceByIndex(int(to.NIC))
	if !ok {
		return 0, unix.ENXIO
	}
	const ethernetHeader = 14
	n, limit := src.Len(), int(i.MTU)
	if !s.cooked {
		limit += ethernetHeader
		if n < ethernetHeader {
			return 0, unix.EINVAL
		}
	}
	if n > limit {
		return 0, unix.EMSGSIZE
	}
	k := socket.NewCarrier(src)
	defer k.Free()
	sent, terr := s.ep.Write(k, tcpip.WriteOptions{To: &to, Atomic: true})
	if terr != nil {
		return 0, netstack.Errno(terr)
	}
	return sent, nil
}

// Recv receives one frame or packet.
func (s *Socket) Recv(_ vfs.Caller, dst usermem.Seq, flags int, r *socket.Received) (int64, error) {
	k := socket.NewCarrier(dst)
	defer k.Free()
	res, terr := s.ep.Read(k, tcpip.ReadOptions{
		Peek:               flags&unix.MSG_PEEK != 0,
		NeedRemoteAddr:     r.WantFrom,
		NeedLinkPacketInfo: r.WantFrom,
	})
	if terr != nil {
		return 0, netstack.Errno(terr)
	}
	r.Full = int64(res.Total)
	if res.Total > res.Count {
		r.Flags |= unix.MSG_TRUNC
	}
	if r.WantFrom {
		r.From = s.from(&res)
	}
	if r.WantControl && s.aux.Load() {
		// struct tpacket_auxdata: status, lengths, offsets.
		b := make([]byte, auxSize)
		binary.NativeEndian.PutUint32(b, unix.TP_STATUS_USER)
		binary.NativeEndian.PutUint32(b[4:], uint32(res.Total))
		binary.NativeEndian.PutUint32(b[8:], uint32(res.Count))
		r.Control = &socket.Control{Raw: []socket.Raw{{Level: unix.SOL_PACKET, Type: unix.PACKET_AUXDATA, Data: b}}}
	}
	return int64(res.Count), nil
}

func (s *Socket) from(res *tcpip.ReadResult) []byte {
	b := make([]byte, addrSize)
	binary.NativeEndian.PutUint16(b, unix.AF_PACKET)
	binary.BigEndian.PutUint16(b[2:], uint16(res.LinkPacketInfo.Protocol))
	binary.NativeEndian.PutUint32(b[4:], uint32(res.RemoteAddr.NIC))
	binary.NativeEndian.PutUint16(b[8:], unix.ARPHRD_ETHER)
	if res.RemoteAddr.NIC == netstack.LoopbackIndex {
		binary.NativeEndian.PutUint16(b[8:], unix.ARPHRD_LOOPBACK)
	}
	b[10] = byte(res.LinkPacketInfo.PktType)
	b[11] = byte(copy(b[12:], res.RemoteAddr.LinkAddr))
	return b
}

// GetOption is getsockopt(2).
func (s *Socket) GetOption(_ vfs.Caller, level, name, _ int) ([]byte, error) {
	if level == unix.SOL_PACKET {
		switch name {
		case unix.PACKET_STATISTICS:
			return make([]byte, 8), nil
		case unix.PACKET_AUXDATA:
			return socket.Bool(s.aux.Load()), nil
		}
		return nil, unix.ENOPROTOOPT
	}
	if level != unix.SOL_SOCKET {
		return nil, unix.ENOPROTOOPT
	}
	if v, ok := s.GetCommon(name); ok {
		return v, nil
	}
	so := s.ep.SocketOptions()
	switch name {
	case unix.SO_ERROR:
		if terr := s.ep.LastError(); terr != nil {
			return socket.Int32(int(netstack.Errno(terr))), nil
		}
		return socket.Int32(0), nil
	case unix.SO_SNDBUF:
		return socket.Int32(int(so.GetSendBufferSize())), nil
	case unix.SO_RCVBUF:
		return socket.Int32(int(so.GetReceiveBufferSize())), nil
	}
	return nil, unix.ENOPROTOOPT
}

// SetOption is setsockopt(2). Rings shared with the application
// (PACKET_RX_RING) are refused: readers fall back to recv.
func (s *Socket) SetOption(_ vfs.Caller, level, name int, value []byte) error {
	if level == unix.SOL_SOCKET {
		if ok, err := s.SetCommon(name, value); ok {
			return err
		}
		switch name {
		case unix.SO_ATTACH_FILTER, unix.SO_DETACH_FILTER, unix.SO_TIMESTAMP, unix.SO_TIMESTAMPNS:
			return nil // readers of packets filter what they read
		}
	}
	if level == unix.SOL_PACKET && (name == unix.PACKET_ADD_MEMBERSHIP || name == unix.PACKET_DROP_MEMBERSHIP) {
		if len(value) < 8 {
			return unix.EINVAL
		}
		return nil // all frames that reach the link are seen
	}
	v, err := socket.Int(value)
	if err != nil {
		return err
	}
	so := s.ep.SocketOptions()
	switch {
	case level == unix.SOL_PACKET && name == unix.PACKET_AUXDATA:
		s.aux.Store(v != 0)
	case level == unix.SOL_SOCKET && name == unix.SO_SNDBUF:
		so.SetSendBufferSize(int64(socket.BufferSize(v, socket.MinSendBuffer, false)), true)
	case level == unix.SOL_SOCKET && (name == unix.SO_RCVBUF || name == unix.SO_RCVBUFFORCE):
		so.SetReceiveBufferSize(int64(socket.BufferSize(v, socket.MinRecvBuffer, false)), true)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// Ioctl knows SIOCINQ and what every socket does of netdevice(7).
func (s *Socket) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	addr := usermem.Addr(arg.Pointer())
	if cmd != unix.TIOCINQ {
		return netdev.Ioctl(c, s.ns, cmd, addr)
	}
	v, terr := s.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if terr != nil {
		return 0, netstack.Errno(terr)
	}
	n := int32(v)
	return 0, usermem.CopyOutVal(c.Memory(), addr, &n)
}

// Release closes the endpoint.
func (s *Socket) Release(vfs.Caller) {
	s.wq.EventUnregister(&s.entry)
	s.ep.Close()
	s.ns.DecRef()
}
