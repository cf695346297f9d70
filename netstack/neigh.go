package netstack

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// AddNeighbour adds a permanent link-layer address.
func (s *Stack) AddNeighbour(n Neighbour) error {
	mac, err := net.ParseMAC(n.MAC)
	if err != nil || len(mac) != 6 || !n.Addr.IsValid() {
		return unix.EINVAL
	}
	a := n.Addr.Unmap()
	if err := s.inner.AddStaticNeighbor(tcpip.NICID(n.Link), protocolFor(a), ToTCPIP(a), tcpip.LinkAddress(mac)); err != nil {
		return Errno(err)
	}
	return nil
}

// RemoveNeighbour forgets a link-layer address, ENOENT if it is not known.
func (s *Stack) RemoveNeighbour(index int, a netip.Addr) error {
	a = a.Unmap()
	switch err := s.inner.RemoveNeighbor(tcpip.NICID(index), protocolFor(a), ToTCPIP(a)); err.(type) {
	case nil:
		return nil
	case *tcpip.ErrBadAddress:
		return unix.ENOENT
	default:
		return Errno(err)
	}
}

// Neighbours lists the neighbour cache of every link that has one.
func (s *Stack) Neighbours() []Neighbour {
	var out []Neighbour
	for _, i := range s.Interfaces() {
		if i.Type == unix.ARPHRD_LOOPBACK {
			continue
		}
		for _, proto := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
			entries, err := s.inner.Neighbors(tcpip.NICID(i.Index), proto)
			if err != nil {
				continue
			}
			for _, e := range entries {
				out = append(out, Neighbour{
					Link:  i.Index,
					Addr:  FromTCPIP(e.Addr),
					MAC:   net.HardwareAddr(e.LinkAddr).String(),
					State: nudState(e.State),
				})
			}
		}
	}
	return out
}

func nudState(s stack.NeighborState) uint16 {
	switch s {
	case stack.Incomplete:
		return unix.NUD_INCOMPLETE
	case stack.Reachable:
		return unix.NUD_REACHABLE
	case stack.Stale:
		return unix.NUD_STALE
	case stack.Delay:
		return unix.NUD_DELAY
	case stack.Probe:
		return unix.NUD_PROBE
	case stack.Static:
		return unix.NUD_PERMANENT
	case stack.Unreachable:
		return unix.NUD_FAILED
	}
	return unix.NUD_NONE
}
