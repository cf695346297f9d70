package netstack

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/link/qdisc/fifo"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// LoopbackIndex is the interface index of lo in every namespace, as in Linux.
const LoopbackIndex = 1

// loopbackMTU is lo's MTU in bytes, as in Linux.
const loopbackMTU = 65536

// defaultQueue is the length in packets of a transmit queue whose link does
// not tell (Linux: DEFAULT_TX_QUEUE_LEN).
const defaultQueue = 1000

// Stack is the TCP/IP stack of one network namespace. Its methods may be
// called from any goroutine.
type Stack struct {
	inner *stack.Stack

	mu     sync.RWMutex
	links  map[int]*linkState
	routes []Route
	// files are the packet sockets, closed by Close.
	files []*os.File
	// resolver forwards queries to a name server of the host's side; nil for none.
	resolver atomic.Pointer[resolver]
	// pingLow and pingHigh are the group ids that may open ping sockets
	// (net.ipv4.ping_group_range).
	pingLow, pingHigh uint32
	closed            bool
}

// linkState is what Linux knows of an interface and tcpip does not.
type linkState struct {
	name       string
	kind       string
	txQueueLen int
	up         bool
	addrs      []Address
	file       *os.File // its packet socket, nil for none
}

// New makes a stack. Loopback is always there and up, with 127.0.0.1/8 and
// ::1/128. The links, addresses, routes and neighbours of cfg follow; cfg may
// be nil for loopback alone. The Stack owns files from here on, also when New
// fails.
func New(cfg *Config, files []*os.File) (*Stack, error) {
	s := &Stack{
		inner: stack.New(stack.Options{
			NetworkProtocols:         []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
			TransportProtocols:       []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
			HandleLocal:              true,
			RawFactory:               raw.EndpointFactory{},
			AllowPacketEndpointWrite: true,
		}),
		links:    make(map[int]*linkState),
		files:    files,
		pingHigh: 1<<31 - 1,
	}
	if err := s.configure(cfg); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Tcpip is the stack itself, for endpoints.
func (s *Stack) Tcpip() *stack.Stack { return s.inner }

// Close aborts every connection, stops the links and closes their sockets. It
// returns when no goroutine of the stack runs any more. A second Close does
// nothing.
func (s *Stack) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	files := s.files
	s.files = nil
	s.mu.Unlock()
	if r := s.resolver.Load(); r != nil {
		r.close()
	}
	s.inner.Destroy()
	for _, f := range files {
		f.Close()
	}
}

func (s *Stack) configure(cfg *Config) error {
	if err := setDefaults(s.inner); err != nil {
		return err
	}
	if err := s.addLoopback(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if cfg == nil {
		cfg = &Config{}
	}
	next := 0
	for i := range cfg.Links {
		l := &cfg.Links[i]
		if !l.HasFile { // of a View
			if err := s.addNIC(l, channel.New(0, l.MTU, tcpip.LinkAddress(parseMAC(l.MAC)))); err != nil {
				return fmt.Errorf("link %s: %w", l.Name, err)
			}
			continue
		}
		if next >= len(s.files) {
			return fmt.Errorf("link %s: %d packet sockets given, more links", l.Name, len(s.files))
		}
		if err := s.addEthernet(l, s.files[next]); err != nil {
			return fmt.Errorf("link %s: %w", l.Name, err)
		}
		next++
	}
	for _, r := range cfg.Routes {
		if err := s.insertRoute(r); err != nil {
			return fmt.Errorf("route %s: %w", r.Dst, err)
		}
	}
	s.applyRoutes()
	for _, n := range cfg.Neighbours {
		if err := s.AddNeighbour(n); err != nil {
			return fmt.Errorf("neighbour %s: %w", n.Addr, err)
		}
	}
	if !cfg.Resolver.IsValid() {
		return nil
	}
	if next >= len(s.files) || !cfg.Resolver.Is4() || !cfg.Resolver.IsLoopback() {
		return fmt.Errorf("resolver %s: no socket, or not an IPv4 loopback address", cfg.Resolver)
	}
	host := s.files[next]
	s.files = s.files[:next]
	return s.startResolver(cfg.Resolver, host)
}

func (s *Stack) addLoopback() error {
	// Linux's lo has an Ethernet header of zeros, which packet sockets see.
	lo := loopback.New()
	lo.SetMTU(loopbackMTU + header.EthernetMinimumSize)
	opts := stack.NICOptions{Name: "lo", DeliverLinkPackets: true}
	if err := s.inner.CreateNICWithOptions(LoopbackIndex, ethernet.New(lo), opts); err != nil {
		return Errno(err)
	}
	s.links[LoopbackIndex] = &linkState{name: "lo", txQueueLen: defaultQueue, up: true}
	for _, a := range loopbackAddresses {
		if err := s.insertAddress(LoopbackIndex, a); err != nil {
			return err
		}
	}
	s.applyRoutes()
	return nil
}

func (s *Stack) addEthernet(l *Link, f *os.File) error {
	mac := parseMAC(l.MAC)
	if mac == nil {
		return fmt.Errorf("hardware address %q: %w", l.MAC, unix.EINVAL)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	if err := conn.Control(func(p uintptr) { fd = int(p) }); err != nil {
		return err
	}
	ep, err := fdbased.New(&fdbased.Options{
		FDs:                []int{fd},
		MTU:                l.MTU,
		EthernetHeader:     true,
		Address:            tcpip.LinkAddress(mac),
		PacketDispatchMode: fdbased.RecvMMsg,
		GSOMaxSize:         l.GSOMaxSize,
		// A veth peer leaves checksums to hardware that does not exist.
		RXChecksumOffload:    true,
		InterfaceIndex:       l.Index,
		ProcessorsPerChannel: 1,
		// The socket is set up by Scrape; the Sentry's filter allows no
		// setsockopt on it.
		PreConfigured:  true,
		IsPacketSocket: []bool{true},
	})
	if err != nil {
		return err
	}
	if err := s.addNIC(l, ep); err != nil {
		return err
	}
	s.links[l.Index].file = f
	return nil
}

// parseMAC reads a hardware address of six octets, nil for anything else.
func parseMAC(text string) net.HardwareAddr {
	if mac, err := net.ParseMAC(text); err == nil && len(mac) == 6 {
		return mac
	}
	return nil
}

// addNIC makes an interface of a link's endpoint.
func (s *Stack) addNIC(l *Link, ep stack.LinkEndpoint) error {
	if l.Index <= LoopbackIndex {
		return fmt.Errorf("interface index %d: %w", l.Index, unix.EINVAL)
	}
	if s.links[l.Index] != nil {
		return fmt.Errorf("interface index %d: %w", l.Index, unix.EEXIST)
	}
	qlen := l.TxQueueLen
	if qlen <= 0 {
		qlen = defaultQueue
	}
	opts := stack.NICOptions{
		Name:               l.Name,
		Kind:               l.Kind,
		DeliverLinkPackets: true,
		QDisc:              fifo.New(ep, max(1, runtime.GOMAXPROCS(0)/2), qlen),
	}
	if err := s.inner.CreateNICWithOptions(tcpip.NICID(l.Index), ep, opts); err != nil {
		return Errno(err)
	}
	s.links[l.Index] = &linkState{name: l.Name, kind: l.Kind, txQueueLen: l.TxQueueLen, up: true}
	for _, a := range l.Addresses {
		if err := s.insertAddress(l.Index, a); err != nil {
			return fmt.Errorf("address %s: %w", a.Prefix, err)
		}
	}
	return nil
}
