package unixsock

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/socket"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// The states of a socket.
const (
	stateIdle = iota
	stateListening
	stateConnected
	stateClosed
)

// Bits of Socket.shut.
const (
	shutRead  = 1
	shutWrite = 2
)

// maxBacklog is net.core.somaxconn.
const maxBacklog = 4096

// Socket is an AF_UNIX socket.
type Socket struct {
	socket.Base
	vfs.FileBase
	ns    *netns.Namespace
	queue wait.Queue
	in    inbox

	// Read without a lock, written with mu held.
	state atomic.Int32
	peer  atomic.Pointer[Socket]

	shut    atomic.Uint32
	err     atomic.Int32 // SO_ERROR
	sndbuf  atomic.Int64
	rcvbuf  atomic.Int64
	pending atomic.Int64 // bytes sent as messages and not yet received

	passCred atomic.Bool

	// host is the connection to a process outside of the sandbox. Once there it stays until the socket is closed; nothing
	// of in, peer, err and pending has a meaning then.
	host atomic.Pointer[hostConn]

	mu    sync.Mutex
	addr  []byte // struct sockaddr_un, nil if unbound
	bound binding
	// Of a listening socket: connections not yet accepted, and who waits for
	// room among them.
	backlog  int
	accepts  []*Socket
	blocked  []*Socket
	creds    socket.PeerCreds // shown to peers: of connect, listen or socketpair
	peerCred socket.PeerCreds
	hasPeer  bool // peerCred is set
}

var _ socket.Socket = (*Socket)(nil)

// New returns an unconnected socket in a network namespace.
func New(c vfs.Caller, ns *netns.Namespace, typ, protocol int) (*Socket, error) {
	if protocol != 0 && protocol != unix.AF_UNIX {
		return nil, unix.EPROTONOSUPPORT
	}
	switch typ {
	case unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET:
	case unix.SOCK_RAW:
		typ = unix.SOCK_DGRAM // as Linux has it
	default:
		return nil, unix.ESOCKTNOSUPPORT
	}
	return newSocket(ns, typ), nil
}

func newSocket(ns *netns.Namespace, typ int) *Socket {
	s := &Socket{ns: ns}
	s.Init(unix.AF_UNIX, typ, 0)
	s.sndbuf.Store(socket.DefaultBuffer)
	s.rcvbuf.Store(socket.DefaultBuffer)
	s.in.limit = socket.DefaultBuffer
	ns.IncRef()
	return s
}

// NewPair returns two sockets connected to each other.
func NewPair(c vfs.Caller, ns *netns.Namespace, typ, protocol int) (a, b *Socket, err error) {
	if a, err = New(c, ns, typ, protocol); err != nil {
		return nil, nil, err
	}
	b = newSocket(ns, a.Type())
	cr := socket.CredsOf(c)
	for _, s := range []*Socket{a, b} {
		s.creds, s.peerCred, s.hasPeer = cr, cr, true
		s.state.Store(stateConnected)
	}
	a.peer.Store(b)
	b.peer.Store(a)
	return a, b, nil
}

// stream tells whether data has no message boundaries.
func (s *Socket) stream() bool { return s.Type() == unix.SOCK_STREAM }

// datagram tells whether the socket needs no connection.
func (s *Socket) datagram() bool { return s.Type() == unix.SOCK_DGRAM }

// TellsArrivals implements socket.Teller.
func (s *Socket) TellsArrivals() bool { return s.host.Load() == nil }

// Queue is notified of readiness changes.
func (s *Socket) Queue() *wait.Queue { return &s.queue }

// Poll follows Linux's unix_poll: a socket is writable while at most a
// quarter of its send buffer is in use, so that a writer is not woken for
// every byte read.
func (s *Socket) Poll(mask wait.Events) wait.Events {
	if h := s.host.Load(); h != nil {
		return h.poll(mask)
	}
	var ev wait.Events
	state := s.state.Load()
	if state == stateListening {
		s.mu.Lock()
		if len(s.accepts) > 0 {
			ev |= wait.Readable
		}
		s.mu.Unlock()
		return ev & mask
	}
	if s.err.Load() != 0 {
		ev |= wait.Err
	}
	shut := s.shut.Load()
	if shut == shutRead|shutWrite {
		ev |= wait.HUp
	}
	if shut&shutRead != 0 {
		ev |= wait.RdHUp | wait.Readable
	}
	if !s.datagram() && state == stateIdle {
		ev |= wait.HUp
	}
	if mask&wait.Readable != 0 && s.in.any() {
		ev |= wait.Readable
	}
	if mask&(wait.Writable|wait.WrBand) != 0 && s.writable() {
		ev |= wait.Writable | wait.WrBand
	}
	return ev & mask
}

func (s *Socket) writable() bool {
	p := s.peer.Load()
	if s.stream() {
		if p == nil {
			return true
		}
		p.in.mu.Lock()
		defer p.in.mu.Unlock()
		return p.in.writable()
	}
	if s.pending.Load()*4 > s.sndbuf.Load() {
		return false
	}
	if s.datagram() && p != nil && p.peer.Load() != s {
		p.in.mu.Lock()
		defer p.in.mu.Unlock()
		if p.in.crowded() {
			p.in.blockLocked(s)
			return false
		}
	}
	return true
}

// Listen makes the socket accept connections.
func (s *Socket) Listen(c vfs.Caller, backlog int) error {
	if s.datagram() {
		return unix.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == nil {
		return unix.EINVAL
	}
	if st := s.state.Load(); st != stateIdle && st != stateListening {
		return unix.EINVAL
	}
	if backlog < 0 || backlog > maxBacklog {
		backlog = maxBacklog
	}
	s.backlog = backlog
	s.creds = socket.CredsOf(c)
	s.state.Store(stateListening)
	s.wakeBlocked()
	return nil
}

// wakeBlocked tells those who wait for room among the accepts. s.mu is held.
func (s *Socket) wakeBlocked() {
	for _, b := range s.blocked {
		b.queue.Notify(wait.Writable)
	}
	s.blocked = nil
}

// Connect connects, or gives a datagram socket its peer. AF_UNSPEC undoes the
// latter.
func (s *Socket) Connect(c vfs.Caller, addr []byte) error {
	if len(addr) >= 2 && family(addr) == unix.AF_UNSPEC && s.datagram() {
		s.peer.Store(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state.Load() == stateConnected {
			s.state.Store(stateIdle)
		}
		return nil
	}
	if s.host.Load() != nil {
		return unix.EISCONN
	}
	target, err := s.resolve(c, addr)
	if err == unix.ECONNREFUSED {
		return s.connectHost(c, addr)
	}
	if err != nil {
		return err
	}
	if s.datagram() {
		return s.connectDatagram(c, target)
	}
	return s.connectStream(c, target)
}

func (s *Socket) connectDatagram(c vfs.Caller, target *Socket) error {
	if s.passCred.Load() {
		if err := s.autobind(c); err != nil {
			return err
		}
	}
	if tp := target.peer.Load(); tp != nil && tp != s {
		return unix.EPERM
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer.Store(target)
	s.state.Store(stateConnected)
	s.creds = socket.CredsOf(c)
	s.queue.Notify(wait.Writable)
	return nil
}

func (s *Socket) connectStream(c vfs.Caller, target *Socket) error {
	if s.passCred.Load() {
		if err := s.autobind(c); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state.Load() {
	case stateConnected:
		return unix.EISCONN
	case stateListening, stateClosed:
		return unix.EINVAL
	}
	if target.state.Load() != stateListening {
		return unix.ECONNREFUSED
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.state.Load() != stateListening || target.shut.Load()&shutRead != 0 {
		return unix.ECONNREFUSED
	}
	if len(target.accepts) > target.backlog {
		target.blocked = append(target.blocked, s)
		return unix.EAGAIN
	}
	server := newSocket(target.ns, s.Type())
	server.addr = target.addr
	server.passCred.Store(target.passCred.Load())
	cr := socket.CredsOf(c)
	server.creds, server.peerCred, server.hasPeer = target.creds, cr, true
	s.creds, s.peerCred, s.hasPeer = cr, target.creds, true
	server.in.limit = s.sndbuf.Load()
	server.peer.Store(s)
	s.peer.Store(server)
	server.state.Store(stateConnected)
	s.state.Store(stateConnected)
	target.accepts = append(target.accepts, server)
	target.queue.NotifyOne(wait.Readable)
	s.queue.Notify(wait.Writable)
	return nil
}

// Connected returns nil: Connect never leaves a connection under way.
func (s *Socket) Connected() error { return nil }

// Accept takes the oldest connection.
func (s *Socket) Accept(c vfs.Caller) (socket.Socket, []byte, error) {
	if s.datagram() {
		return nil, nil, unix.EOPNOTSUPP
	}
	n, err := s.nextAccept()
	if err != nil {
		return nil, nil, err
	}
	var from []byte
	if p := n.peer.Load(); p != nil {
		from = p.name()
	}
	return n, from, nil
}

func (s *Socket) nextAccept() (*Socket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() != stateListening {
		return nil, unix.EINVAL
	}
	if len(s.accepts) == 0 {
		if s.shut.Load()&shutRead != 0 {
			return nil, unix.EINVAL
		}
		return nil, unix.EAGAIN
	}
	n := s.accepts[0]
	s.accepts[0] = nil
	s.accepts = s.accepts[1:]
	s.wakeBlocked()
	return n, nil
}

// Shutdown ends one or both directions, and tells the peer. As on Linux there
// need not be one.
func (s *Socket) Shutdown(c vfs.Caller, how int) error {
	var bits uint32
	switch how {
	case unix.SHUT_RD:
		bits = shutRead
	case unix.SHUT_WR:
		bits = shutWrite
	case unix.SHUT_RDWR:
		bits = shutRead | shutWrite
	default:
		return unix.EINVAL
	}
	if h := s.host.Load(); h != nil {
		if err := unix.Shutdown(h.fd, how); err != nil {
			return err
		}
	}
	p := s.peer.Load()
	s.addShut(bits)
	if p != nil && !s.datagram() {
		p.addShut(bits>>1&1 | bits<<1&2)
	}
	return nil
}

// addShut ends directions of s and wakes who waits for it.
func (s *Socket) addShut(bits uint32) {
	s.shut.Or(bits)
	ev := wait.Internal
	if bits&shutRead != 0 {
		ev |= wait.Readable | wait.RdHUp
	}
	if bits&shutWrite != 0 {
		ev |= wait.Writable
	}
	if s.shut.Load() == shutRead|shutWrite {
		ev |= wait.HUp
	}
	s.queue.Notify(ev)
}

// Release closes the socket: its names are freed, connections not accepted are
// reset, and the peer sees the end.
func (s *Socket) Release(c vfs.Caller) {
	s.mu.Lock()
	wasListening := s.state.Swap(stateClosed) == stateListening
	accepts := s.accepts
	s.accepts = nil
	s.wakeBlocked()
	bound := s.bound
	s.bound = binding{}
	s.mu.Unlock()
	bound.undo(s)

	for _, a := range accepts {
		if p := a.peer.Load(); p != nil {
			p.err.CompareAndSwap(0, int32(unix.ECONNRESET))
		}
		a.Release(c)
	}
	if h := s.host.Load(); h != nil {
		h.close()
	}
	s.shut.Store(shutRead | shutWrite)
	unread, gone := s.in.close()
	if p := s.peer.Load(); p != nil && !wasListening && !s.datagram() {
		if unread {
			p.err.CompareAndSwap(0, int32(unix.ECONNRESET))
		}
		p.addShut(shutRead | shutWrite)
		if unread {
			p.queue.Notify(wait.Err)
		}
	}
	s.queue.Notify(wait.Writable | wait.Readable | wait.HUp | wait.Internal)
	for _, m := range gone {
		m.drop(c)
	}
	s.ns.DecRef()
}

// Name returns the socket's address or its peer's.
func (s *Socket) Name(c vfs.Caller, peer bool) ([]byte, error) {
	if !peer {
		return s.name(), nil
	}
	if h := s.host.Load(); h != nil {
		return h.name, nil
	}
	p := s.peer.Load()
	if p == nil {
		return nil, unix.ENOTCONN
	}
	return p.name(), nil
}
