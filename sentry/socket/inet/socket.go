package inet

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"ringfort/netstack"
	"ringfort/sentry/auth"
	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Socket is an AF_INET or AF_INET6 socket.
type Socket struct {
	socket.Base
	vfs.FileBase
	ns    *netns.Namespace
	ep    atomic.Pointer[tcpip.Endpoint] // replaced by renew only
	queue wait.Queue
	wq    *waiter.Queue
	entry waiter.Entry

	listening atomic.Bool
	// local is what a listening TCP socket knows of connections from its own
	// namespace; link is the connection itself, at either end, for good.
	local atomic.Pointer[listener]
	link  atomic.Pointer[link]
	// ended are the directions shut down here: bit 0 reading, bit 1 writing.
	ended atomic.Uint32
	// started: Connect returned EINPROGRESS and the outcome is not reported yet.
	started atomic.Bool
	// broken: the error that ended the connection was reported. Linux reports
	// it once; tcpip remembers it.
	broken atomic.Bool
	// failed: a connect ended with an error and said so; the socket is as if
	// it had never been tried.
	failed atomic.Bool

	stampRecv atomic.Int32 // SO_TIMESTAMP or SO_TIMESTAMPNS, 0 for none
	tcpInq    atomic.Bool  // TCP_INQ

	number atomic.Uint64 // SO_COOKIE, given when first asked for

	mu   sync.Mutex
	kept map[optionKey][]byte // options that are remembered only
	// bound is where Bind put the socket, nil if it was never called.
	bound *tcpip.FullAddress
}

var cookies atomic.Uint64

// cookie is the socket's number for SO_COOKIE.
func (s *Socket) cookie() uint64 {
	if s.number.Load() == 0 {
		s.number.CompareAndSwap(0, cookies.Add(1))
	}
	return s.number.Load()
}

type optionKey struct{ level, name int }

var _ socket.Socket = (*Socket)(nil)

// New returns a socket in a network namespace. family is AF_INET or AF_INET6.
// Errors are those of socket(2).
func New(c vfs.Caller, ns *netns.Namespace, family, typ, protocol int) (*Socket, error) {
	net := ipv4.ProtocolNumber
	if family == unix.AF_INET6 {
		net = ipv6.ProtocolNumber
	}
	wq := new(waiter.Queue)
	stack := ns.Stack.Tcpip()
	var ep tcpip.Endpoint
	var terr tcpip.Error
	switch {
	case typ == unix.SOCK_RAW:
		if !c.Creds().HasCapIn(unix.CAP_NET_RAW, ns.UserNS) {
			return nil, unix.EPERM
		}
		if protocol <= 0 || protocol > 255 {
			return nil, unix.EPROTONOSUPPORT
		}
		ep, terr = rawEndpoint(ns.Stack, protocol, net, wq)
	default:
		transport, err := transportOf(c, ns, family, typ, &protocol)
		if err != nil {
			return nil, err
		}
		ep, terr = stack.NewEndpoint(transport, net, wq)
	}
	if terr != nil {
		if _, ok := terr.(*tcpip.ErrUnknownProtocol); ok {
			return nil, unix.EPROTONOSUPPORT
		}
		return nil, netstack.Errno(terr)
	}
	if typ == unix.SOCK_RAW && protocol == unix.IPPROTO_RAW {
		ep.SocketOptions().SetHeaderIncluded(true)
	}
	return newSocket(ns, ep, wq, family, typ, protocol), nil
}

func rawEndpoint(s *netstack.Stack, protocol int, net tcpip.NetworkProtocolNumber, wq *waiter.Queue) (tcpip.Endpoint, tcpip.Error) {
	if protocol == unix.IPPROTO_RAW {
		// Such a socket only sends, with headers of its own.
		return s.Tcpip().NewRawEndpoint(tcpip.TransportProtocolNumber(protocol), net, wq, false)
	}
	return s.Tcpip().NewRawEndpoint(tcpip.TransportProtocolNumber(protocol), net, wq, true)
}

// transportOf picks the protocol for a type and fills in the default.
func transportOf(c vfs.Caller, ns *netns.Namespace, family, typ int, protocol *int) (tcpip.TransportProtocolNumber, error) {
	switch typ {
	case unix.SOCK_STREAM:
		if *protocol == 0 {
			*protocol = unix.IPPROTO_TCP
		}
		if *protocol == unix.IPPROTO_TCP {
			return tcp.ProtocolNumber, nil
		}
	case unix.SOCK_DGRAM:
		switch {
		case *protocol == 0 || *protocol == unix.IPPROTO_UDP:
			*protocol = unix.IPPROTO_UDP
			return udp.ProtocolNumber, nil
		case *protocol == unix.IPPROTO_ICMP && family == unix.AF_INET:
			return icmp.ProtocolNumber4, mayPing(c, ns)
		case *protocol == unix.IPPROTO_ICMPV6 && family == unix.AF_INET6:
			return icmp.ProtocolNumber6, mayPing(c, ns)
		}
	default:
		return 0, unix.ESOCKTNOSUPPORT
	}
	if *protocol < 0 || *protocol > 262 {
		return 0, unix.EINVAL
	}
	return 0, unix.EPROTONOSUPPORT
}

// mayPing applies net.ipv4.ping_group_range (icmp(7)).
func mayPing(c vfs.Caller, ns *netns.Namespace) error {
	low, high := ns.Stack.PingGroupRange()
	in := func(g auth.KGID) bool { return uint32(g) >= low && uint32(g) <= high }
	cr := c.Creds()
	if in(cr.EGID) {
		return nil
	}
	for _, g := range cr.Groups {
		if in(g) {
			return nil
		}
	}
	return unix.EACCES
}

func newSocket(ns *netns.Namespace, ep tcpip.Endpoint, wq *waiter.Queue, family, typ, protocol int) *Socket {
	s := &Socket{ns: ns, wq: wq}
	s.ep.Store(&ep)
	s.Init(family, typ, protocol)
	s.entry.Init(s, waiter.AllEvents|waiter.EventInternal)
	wq.EventRegister(&s.entry)
	ns.IncRef()
	return s
}

// endpoint is what carries the socket now.
func (s *Socket) endpoint() tcpip.Endpoint { return *s.ep.Load() }

// NotifyEvent passes an event of the endpoint on. It implements
// waiter.EventListener.
func (s *Socket) NotifyEvent(mask waiter.EventMask) {
	ev := wait.Events(mask & waiter.AllEvents)
	if ev&wait.In != 0 {
		ev |= wait.Readable
	}
	if ev&wait.Out != 0 {
		ev |= wait.Writable
	}
	if s.listening.Load() {
		s.queue.NotifyOne(ev | wait.Internal)
		return
	}
	s.queue.Notify(ev | wait.Internal)
}

func (s *Socket) stream() bool { return s.Type() == unix.SOCK_STREAM }

// Queue is notified of readiness changes.
func (s *Socket) Queue() *wait.Queue { return &s.queue }

// TellsArrivals implements socket.Teller.
func (s *Socket) TellsArrivals() bool { return true }

// Poll is tcp_poll or datagram_poll of Linux.
func (s *Socket) Poll(mask wait.Events) wait.Events {
	if l := s.link.Load(); l != nil {
		return l.poll() & mask
	}
	if s.stream() {
		return s.pollTCP(mask) & mask
	}
	ev := wait.Events(s.endpoint().Readiness(waiter.EventMask(mask) & waiter.AllEvents))
	if s.endpoint().SocketOptions().PeekErr() != nil {
		ev |= wait.Err
	}
	if ended := s.ended.Load(); ended&1 != 0 {
		ev |= wait.Readable | wait.RdHUp
		if ended == 3 {
			ev |= wait.HUp
		}
	}
	return ev & mask
}

func (s *Socket) pollTCP(mask wait.Events) wait.Events {
	const over = wait.Readable | wait.Writable | wait.RdHUp | wait.HUp
	switch tcp.EndpointState(s.endpoint().State()) {
	case tcp.StateInitial, tcp.StateBound:
		if s.started.Load() {
			return 0
		}
		return wait.Writable | wait.HUp
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return 0
	case tcp.StateClose, tcp.StateTimeWait:
		return over
	case tcp.StateError:
		if s.failed.Load() {
			return wait.Writable | wait.HUp
		}
		if s.broken.Load() {
			return over
		}
		return over | wait.Err
	}
	ev := wait.Events(s.endpoint().Readiness(waiter.EventMask(mask|wait.Readable|wait.RdHUp) & waiter.AllEvents))
	if l := s.local.Load(); l != nil && l.ready() {
		ev |= wait.Readable
	}
	ended := s.ended.Load()
	if ended&1 != 0 {
		ev |= wait.RdHUp | wait.Readable
	}
	if ended&2 != 0 && ev&wait.RdHUp != 0 {
		ev |= wait.HUp
	}
	return ev
}

// Bind gives the socket a local address and port.
func (s *Socket) Bind(c vfs.Caller, addr []byte) error {
	if s.link.Load() != nil {
		return unix.EINVAL
	}
	a, err := s.parse(addr, true)
	if err != nil {
		return err
	}
	if a.Port != 0 && a.Port < s.ns.UnprivilegedPort() && !c.Creds().HasCapIn(unix.CAP_NET_BIND_SERVICE, s.ns.UserNS) &&
		s.Type() != unix.SOCK_RAW {
		return unix.EACCES
	}
	switch terr := s.endpoint().Bind(a); terr.(type) {
	case nil:
		s.mu.Lock()
		s.bound = &a
		s.mu.Unlock()
		return nil
	case *tcpip.ErrAlreadyBound:
		return unix.EINVAL
	case *tcpip.ErrNoPortAvailable:
		return unix.EADDRINUSE
	default:
		return netstack.Errno(terr)
	}
}

// Connect connects, or sets a datagram socket's peer.
func (s *Socket) Connect(c vfs.Caller, addr []byte) error {
	if len(addr) < 2 {
		return unix.EINVAL
	}
	if family(addr) == unix.AF_UNSPEC {
		if l := s.link.Load(); l != nil {
			s.ended.Store(0)
			l.unlink(true)
			l.giveUp()
			return nil
		}
		if terr := s.endpoint().Disconnect(); terr != nil {
			return netstack.Errno(terr)
		}
		return nil
	}
	if s.listening.Load() {
		return unix.EISCONN
	}
	a, err := s.parse(addr, false)
	if err != nil {
		return err
	}
	if s.started.Load() {
		// A second call while the first is under way, or the one that
		// collects its outcome.
		switch err := s.Connected(); err {
		case nil:
			return nil
		case unix.EAGAIN:
			return unix.EALREADY
		default:
			return err
		}
	}
	if l := s.link.Load(); l != nil {
		if !l.over() {
			return unix.EISCONN
		}
		s.link.CompareAndSwap(l, nil)
	}
	if s.failed.Load() {
		if err := s.renew(); err != nil {
			return err
		}
	}
	a = s.anyToLoopback(a)
	if s.stream() {
		if done, err := s.connectLocal(a); done {
			return err
		}
	}
	terr := s.endpoint().Connect(a)
	switch terr.(type) {
	case nil:
		return nil
	case *tcpip.ErrConnectStarted:
		s.started.Store(true)
		return unix.EINPROGRESS
	case *tcpip.ErrNoPortAvailable:
		return unix.EADDRNOTAVAIL
	}
	if s.stream() && tcp.EndpointState(s.endpoint().State()) == tcp.StateError {
		s.broken.Store(true)
		s.failed.Store(true)
	}
	return netstack.Errno(terr)
}

// Connected returns how a connection attempt ended.
func (s *Socket) Connected() error {
	if l := s.link.Load(); l != nil {
		again, err := l.connected()
		if again {
			s.link.Store(nil) // refused: the socket is as it was
		}
		if err != unix.EAGAIN {
			s.started.Store(false)
		}
		return err
	}
	switch tcp.EndpointState(s.endpoint().State()) {
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return unix.EAGAIN
	}
	s.started.Store(false)
	if terr := s.endpoint().LastError(); terr != nil && !s.broken.Swap(true) {
		s.failed.Store(true)
		return netstack.Errno(terr)
	}
	if tcp.EndpointState(s.endpoint().State()) == tcp.StateError {
		return unix.ECONNABORTED
	}
	if peer, terr := s.endpoint().GetRemoteAddress(); terr == nil {
		// The first connect after success is told of it by tcpip, and the
		// caller has been now: the next one is an error.
		s.endpoint().Connect(peer)
	}
	return nil
}

// Listen makes a TCP socket accept connections.
func (s *Socket) Listen(c vfs.Caller, backlog int) error {
	if !s.stream() {
		return unix.EOPNOTSUPP
	}
	if s.link.Load() != nil {
		return unix.EINVAL
	}
	const somaxconn = 4096
	if backlog < 0 || backlog > somaxconn {
		backlog = somaxconn
	}
	// Linux adds one, and a backlog of nothing would refuse everyone.
	terr := s.endpoint().Listen(backlog + 1)
	if terr != nil {
		if _, ok := terr.(*tcpip.ErrNoPortAvailable); ok {
			return unix.EADDRINUSE
		}
		return netstack.Errno(terr)
	}
	s.listening.Store(true)
	s.listen(backlog)
	return nil
}

// Accept takes the oldest connection.
func (s *Socket) Accept(c vfs.Caller) (socket.Socket, []byte, error) {
	if !s.stream() {
		return nil, nil, unix.EOPNOTSUPP
	}
	l := s.local.Load()
	if l != nil && !l.outside() {
		if n := l.next(); n != nil {
			return n, n.format(address(n.link.Load().remote)), nil
		}
	}
	var from tcpip.FullAddress
	ep, wq, terr := s.endpoint().Accept(&from)
	if _, none := terr.(*tcpip.ErrWouldBlock); none && l != nil {
		if n := l.next(); n != nil {
			return n, n.format(address(n.link.Load().remote)), nil
		}
	}
	switch terr.(type) {
	case nil:
	case *tcpip.ErrWouldBlock:
		return nil, nil, unix.EAGAIN
	default:
		return nil, nil, netstack.Errno(terr)
	}
	n := newSocket(s.ns, ep, wq, s.Family(), s.Type(), s.Protocol())
	n.tcpInq.Store(s.tcpInq.Load())
	return n, s.format(from), nil
}

// Shutdown ends one or both directions.
func (s *Socket) Shutdown(c vfs.Caller, how int) error {
	var flags tcpip.ShutdownFlags
	var bits uint32
	switch how {
	case unix.SHUT_RD:
		flags, bits = tcpip.ShutdownRead, 1
	case unix.SHUT_WR:
		flags, bits = tcpip.ShutdownWrite, 2
	case unix.SHUT_RDWR:
		flags, bits = tcpip.ShutdownRead|tcpip.ShutdownWrite, 3
	default:
		return unix.EINVAL
	}
	if l := s.link.Load(); l != nil {
		if err := l.shutdown(bits&2 != 0); err != nil {
			return err
		}
	} else if terr := s.endpoint().Shutdown(flags); terr != nil {
		return netstack.Errno(terr)
	}
	if s.listening.Load() && bits&1 != 0 {
		s.listening.Store(false)
		s.unlisten()
		s.local.Store(nil)
	} else {
		s.ended.Or(bits)
	}
	s.queue.Notify(wait.Readable | wait.Writable | wait.HUp | wait.RdHUp | wait.Internal)
	return nil
}

// Name returns the local or the peer's address.
func (s *Socket) Name(c vfs.Caller, peer bool) ([]byte, error) {
	if l := s.link.Load(); l != nil {
		if !peer {
			return s.format(address(l.local)), nil
		}
		if st := l.state(); st == tcpClose || st == tcpSynSent {
			return nil, unix.ENOTCONN
		}
		return s.format(address(l.remote)), nil
	}
	var a tcpip.FullAddress
	var terr tcpip.Error
	if peer {
		a, terr = s.endpoint().GetRemoteAddress()
	} else {
		a, terr = s.endpoint().GetLocalAddress()
	}
	if terr != nil {
		return nil, netstack.Errno(terr)
	}
	return s.format(a), nil
}

// Release closes the endpoint. A TCP connection ends in the background.
func (s *Socket) Release(c vfs.Caller) {
	s.wq.EventUnregister(&s.entry)
	s.unlisten()
	if l := s.link.Load(); l != nil {
		how := s.endpoint().SocketOptions().GetLinger()
		l.unlink(how.Enabled && how.Timeout == 0)
	}
	s.endpoint().Close()
	if l := s.endpoint().SocketOptions().GetLinger(); l.Enabled && l.Timeout > 0 && s.stream() && !s.listening.Load() {
		s.linger(c, l.Timeout)
	}
	s.queue.Notify(wait.HUp | wait.Readable | wait.Writable | wait.Internal)
	s.ns.DecRef()
}
