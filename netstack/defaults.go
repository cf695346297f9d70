package netstack

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Socket buffers in bytes: net.core.{r,w}mem_{default,max} and
// net.ipv4.tcp_{r,w}mem. TCP starts above Linux's defaults because a sandbox's
// first window crosses a veth, not a modem, and grows from there.
const (
	minBuffer        = 4 << 10
	datagramDefault  = 212992
	datagramMax      = 4 << 20
	tcpBufferDefault = 1 << 20
	tcpBufferMax     = 8 << 20
)

// Ephemeral ports, net.ipv4.ip_local_port_range.
const (
	firstPort = 32768
	lastPort  = 60999
)

// defaultTTL is net.ipv4.ip_default_ttl.
const defaultTTL = 64

// setDefaults gives the stack Linux's sysctl defaults.
func setDefaults(s *stack.Stack) error {
	var (
		sack     = tcpip.TCPSACKEnabled(true)
		moderate = tcpip.TCPModerateReceiveBufferOption(true)
		cubic    = tcpip.CongestionControlOption("cubic")
		reuse    = tcpip.TCPTimeWaitReuseLoopbackOnly
		nagle    = tcpip.TCPDelayEnabled(true)
		sndbuf   = tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBufferDefault, Max: tcpBufferMax}
		rcvbuf   = tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBufferDefault, Max: tcpBufferMax}
	)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &cubic, &reuse, &nagle, &sndbuf, &rcvbuf} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("tcp option %T: %w", o, Errno(err))
		}
	}
	ttl := tcpip.DefaultTTLOption(defaultTTL)
	for _, proto := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		if err := s.SetNetworkProtocolOption(proto, &ttl); err != nil {
			return fmt.Errorf("default ttl: %w", Errno(err))
		}
	}
	for _, o := range []any{
		tcpip.SendBufferSizeOption{Min: minBuffer, Default: datagramDefault, Max: datagramMax},
		tcpip.ReceiveBufferSizeOption{Min: minBuffer, Default: datagramDefault, Max: datagramMax},
	} {
		if err := s.SetOption(o); err != nil {
			return fmt.Errorf("buffer sizes: %w", Errno(err))
		}
	}
	if err := s.SetPortRange(firstPort, lastPort); err != nil {
		return fmt.Errorf("port range: %w", Errno(err))
	}
	return nil
}
