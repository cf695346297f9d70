package inet

import (
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"ringfort/netstack"
	"ringfort/sentry/wait"
)

// listener is what a listening socket knows of connections from its own
// namespace. mu comes before link.mu.
type listener struct {
	s    *Socket
	addr netip.Addr // unmapped; not valid: any
	port uint16

	mu      sync.Mutex
	closed  bool
	backlog int
	queue   []*Socket // accepted by us and not yet by the application
	waiting []*link   // ends that connected while the queue was full
	turn    bool      // the next to be accepted comes from outside, if any does
}

// full is sk_acceptq_is_full of Linux. mu is held.
func (l *listener) full() bool { return len(l.queue) > l.backlog }

// listen enters the socket among the listeners of its namespace.
func (s *Socket) listen(backlog int) {
	if l := s.local.Load(); l != nil {
		l.mu.Lock()
		l.backlog = backlog
		l.mu.Unlock()
		return
	}
	a, terr := s.endpoint().GetLocalAddress()
	if terr != nil {
		return
	}
	l := &listener{s: s, addr: netstack.FromTCPIP(a.Addr).Unmap(), port: a.Port, backlog: backlog}
	if l.addr.IsValid() && l.addr.IsUnspecified() {
		l.addr = netip.Addr{}
	}
	s.local.Store(l)
	s.ns.Listeners.Add(l.port, l)
}

// unlisten resets the connections that nobody accepted.
func (s *Socket) unlisten() {
	l := s.local.Load()
	if l == nil {
		return
	}
	s.ns.Listeners.Remove(l.port, l)
	l.mu.Lock()
	l.closed = true
	queue, waiting := l.queue, l.waiting
	l.queue, l.waiting = nil, nil
	l.mu.Unlock()
	for _, sv := range queue {
		sv.abandon()
	}
	for _, c := range waiting {
		c.mu.Lock()
		c.dead, c.err = true, unix.ECONNREFUSED
		c.mu.Unlock()
		c.peer.s.abandon()
		c.s.queue.Notify(wait.Readable | wait.Writable | wait.RdHUp | wait.HUp | wait.Err)
	}
}

// abandon releases a socket no application ever had, resetting the connection.
func (s *Socket) abandon() {
	s.link.Load().close(true)
	s.Release(nil)
}

// next takes the oldest connection from the namespace, nil if there is none,
// and lets in one that waited for room.
func (l *listener) next() *Socket {
	l.mu.Lock()
	if len(l.queue) == 0 {
		l.mu.Unlock()
		return nil
	}
	s := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	var late *link
	if len(l.waiting) > 0 && !l.full() {
		late = l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.admit(late)
	}
	l.mu.Unlock()
	if late != nil {
		late.s.queue.Notify(wait.Writable)
		l.s.queue.NotifyOne(wait.Readable | wait.Internal)
	}
	return s
}

// admit makes the connection of an end that connected. l.mu is held.
func (l *listener) admit(c *link) {
	c.mu.Lock()
	c.up, c.peer.up = true, true
	c.mu.Unlock()
	l.queue = append(l.queue, c.peer.s)
}

// enqueue makes a connection, or lets it wait for room; false if l is closed.
func (l *listener) enqueue(c *link) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	if l.full() {
		c.listener = l
		l.waiting = append(l.waiting, c)
		l.mu.Unlock()
		return true
	}
	l.admit(c)
	l.mu.Unlock()
	c.s.queue.Notify(wait.Writable)
	l.s.queue.NotifyOne(wait.Readable | wait.Internal)
	return true
}

// leave forgets an end that does not wait any longer.
func (l *listener) leave(c *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, c)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// ready reports whether there is a connection to accept.
func (l *listener) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// outside tells, in turns, whether to look for a connection of tcpip's first:
// neither kind shall keep the other waiting.
func (l *listener) outside() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn = !l.turn
	return l.turn || len(l.queue) == 0
}

// rate says how well l fits a connection to an address, as compute_score of
// Linux does; 0: not at all.
func (l *listener) rate(to netip.Addr) int {
	six := l.s.Family() == unix.AF_INET6
	switch {
	case to.Is4() && six && l.s.endpoint().SocketOptions().GetV6Only():
		return 0
	case to.Is6() && !six:
		return 0
	case l.addr.IsValid() && l.addr != to:
		return 0
	}
	score := 1
	if l.addr.IsValid() {
		score += 2
	}
	if to.Is4() != six {
		score++
	}
	return score
}

// Reaches reports whether connections to an address come to l.
func (l *listener) Reaches(to netip.Addr) bool { return l.rate(to) > 0 }

// findListener returns the socket of this namespace that to leads to, nil if
// there is none or the stack has to decide.
func (s *Socket) findListener(to netip.AddrPort) *listener {
	var best [8]*listener // of the same merit: SO_REUSEPORT
	n, score := 0, 0
	for _, o := range s.ns.Listeners.At(to.Port()) {
		l := o.(*listener)
		if l.s.endpoint().SocketOptions().GetBindToDevice() != 0 {
			return nil
		}
		switch r := l.rate(to.Addr()); {
		case r == 0 || r < score:
		case r > score:
			best[0], n, score = l, 1, r
		case n < len(best):
			best[n] = l
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return best[s.ns.Listeners.Turn()%uint64(n)]
}

// localSource returns the address a connection to one of the namespace's own
// comes from, not valid if to is not such a one or cannot be reached.
func (s *Socket) localSource(a tcpip.FullAddress, to netip.Addr) netip.Addr {
	so := s.endpoint().SocketOptions()
	if so.GetBindToDevice() != 0 || to.Is4() && s.Family() == unix.AF_INET6 && so.GetV6Only() || !s.ns.Stack.IsLocal(to) {
		return netip.Addr{}
	}
	var from tcpip.Address
	if own, terr := s.endpoint().GetLocalAddress(); terr == nil {
		if ip := netstack.FromTCPIP(own.Addr).Unmap(); ip.IsValid() && !ip.IsUnspecified() {
			if ip.Is4() != to.Is4() {
				return netip.Addr{}
			}
			from = netstack.ToTCPIP(ip)
		}
	}
	net := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if to.Is6() {
		net = ipv6.ProtocolNumber
	}
	r, terr := s.ns.Stack.Tcpip().FindRoute(a.NIC, from, netstack.ToTCPIP(to), net, false)
	if terr != nil {
		return netip.Addr{}
	}
	defer r.Release()
	if from.Len() == 0 && to.Is4() && to.IsLoopback() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}) // whichever of them is called, Linux calls from this one
	}
	return netstack.FromTCPIP(r.LocalAddress()).Unmap()
}

// connectLocal connects to a listener of the namespace itself. It returns
// EINPROGRESS, as Linux does though the connection may be there already, and
// false if the stack has to try.
func (s *Socket) connectLocal(a tcpip.FullAddress) (bool, error) {
	to := netip.AddrPortFrom(netstack.FromTCPIP(a.Addr).Unmap(), a.Port)
	l := s.findListener(to)
	if l == nil {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch tcp.EndpointState(s.endpoint().State()) {
	case tcp.StateInitial, tcp.StateBound:
	default:
		return false, nil
	}
	if s.link.Load() != nil {
		return true, unix.EALREADY // another thread was quicker
	}
	src := s.localSource(a, to.Addr())
	if !src.IsValid() {
		return false, nil
	}
	own, err := s.claimPort(src)
	if err != nil {
		return true, err
	}
	sv, err := l.newPeer()
	if err != nil {
		return true, err
	}
	c, v := newLinks(s, sv, netip.AddrPortFrom(src, own), to)
	sv.link.Store(v)
	s.link.Store(c)
	s.started.Store(true)
	if !l.enqueue(c) {
		s.link.Store(nil)
		s.started.Store(false)
		sv.abandon()
		return false, nil
	}
	return true, unix.EINPROGRESS
}

// claimPort returns the socket's port, giving it one if it has none.
func (s *Socket) claimPort(src netip.Addr) (uint16, error) {
	if tcp.EndpointState(s.endpoint().State()) == tcp.StateInitial {
		a := tcpip.FullAddress{Addr: netstack.ToTCPIP(src)}
		if s.Family() == unix.AF_INET6 {
			a.Addr = tcpip.AddrFrom16(src.As16())
		}
		if terr := s.endpoint().Bind(a); terr != nil {
			return 0, unix.EADDRNOTAVAIL
		}
	}
	own, terr := s.endpoint().GetLocalAddress()
	return own.Port, result(terr)
}

// newPeer returns the socket of a connection to l, with its options.
func (l *listener) newPeer() (*Socket, error) {
	net := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if l.s.Family() == unix.AF_INET6 {
		net = ipv6.ProtocolNumber
	}
	wq := new(waiter.Queue)
	ep, terr := l.s.ns.Stack.Tcpip().NewEndpoint(tcp.ProtocolNumber, net, wq)
	if terr != nil {
		return nil, netstack.Errno(terr)
	}
	copyOptions(ep, l.s.endpoint())
	n := newSocket(l.s.ns, ep, wq, l.s.Family(), l.s.Type(), l.s.Protocol())
	n.tcpInq.Store(l.s.tcpInq.Load())
	return n, nil
}

// unlink ends the connection of a socket that is released.
func (l *link) unlink(abort bool) {
	if l.listener != nil && l.listener.leave(l) {
		l.peer.s.abandon()
	}
	l.close(abort)
}

// address is one of the ends in tcpip's form.
func address(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{Addr: netstack.ToTCPIP(a.Addr()), Port: a.Port()}
}
