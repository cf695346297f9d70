package inet

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"golang.org/x/sys/unix"

	"ringfort/netstack"
)

// renew gives a TCP socket whose connect failed a fresh endpoint with the same
// options: on Linux such a socket may try again (`while (connect(…) < 0)`),
// while an endpoint of tcpip is spent.
func (s *Socket) renew() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failed.Load() {
		return nil // another thread did
	}
	net := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if s.Family() == unix.AF_INET6 {
		net = ipv6.ProtocolNumber
	}
	old := s.endpoint()
	ep, terr := s.ns.Stack.Tcpip().NewEndpoint(tcp.ProtocolNumber, net, s.wq)
	if terr != nil {
		return netstack.Errno(terr)
	}
	copyOptions(ep, old)
	s.ep.Store(&ep)
	s.broken.Store(false)
	s.failed.Store(false)
	old.Close() // frees the port
	if s.bound != nil {
		if terr := ep.Bind(*s.bound); terr != nil {
			return netstack.Errno(terr)
		}
	}
	return nil
}

// copyOptions gives an endpoint the options of another. One that cannot be
// carried over keeps its default.
func copyOptions(to, from tcpip.Endpoint) {
	a, b := to.SocketOptions(), from.SocketOptions()
	a.SetReuseAddress(b.GetReuseAddress())
	a.SetReusePort(b.GetReusePort())
	a.SetKeepAlive(b.GetKeepAlive())
	a.SetV6Only(b.GetV6Only())
	a.SetDelayOption(b.GetDelayOption())
	a.SetCorkOption(b.GetCorkOption())
	a.SetQuickAck(b.GetQuickAck())
	a.SetLinger(b.GetLinger())
	a.SetMark(b.GetMark())
	a.SetReceivePacketInfo(b.GetReceivePacketInfo())
	a.SetIPv4RecvError(b.GetIPv4RecvError())
	a.SetIPv6RecvError(b.GetIPv6RecvError())
	a.SetSendBufferSize(b.GetSendBufferSize(), false)
	a.SetReceiveBufferSize(b.GetReceiveBufferSize(), false)
	if dev := b.GetBindToDevice(); dev != 0 {
		a.SetBindToDevice(dev)
	}
	for _, opt := range []tcpip.SockOptInt{
		tcpip.KeepaliveCountOption, tcpip.IPv4TOSOption, tcpip.IPv6TrafficClassOption, tcpip.IPv4TTLOption,
		tcpip.IPv6HopLimitOption, tcpip.TCPSynCountOption,
	} {
		if v, terr := from.GetSockOptInt(opt); terr == nil {
			to.SetSockOptInt(opt, v)
		}
	}
	var idle tcpip.KeepaliveIdleOption
	var interval tcpip.KeepaliveIntervalOption
	var timeout tcpip.TCPUserTimeoutOption
	var congestion tcpip.CongestionControlOption
	if from.GetSockOpt(&idle) == nil {
		to.SetSockOpt(&idle)
	}
	if from.GetSockOpt(&interval) == nil {
		to.SetSockOpt(&interval)
	}
	if from.GetSockOpt(&timeout) == nil {
		to.SetSockOpt(&timeout)
	}
	if from.GetSockOpt(&congestion) == nil {
		to.SetSockOpt(&congestion)
	}
}
