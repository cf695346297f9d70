package netstack

import (
	"net"
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Interface is a snapshot of one link.
type Interface struct {
	Index int
	Name  string
	// Kind is IFLA_INFO_KIND, "" for lo.
	Kind       string
	MTU        uint32
	MAC        net.HardwareAddr
	TxQueueLen int
	// Flags are IFF_* of netdevice(7).
	Flags uint32
	// Type is ARPHRD_*.
	Type      uint16
	Addresses []Address
	Stats     InterfaceStats
}

// InterfaceStats are the counters of a link since it was made.
type InterfaceStats struct {
	RxPackets, RxBytes, RxErrors, RxDropped uint64
	TxPackets, TxBytes, TxErrors, TxDropped uint64
}

// Interfaces returns the links in order of their index.
func (s *Stack) Interfaces() []Interface {
	infos := s.inner.NICInfo()
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Interface, 0, len(s.links))
	for index, l := range s.links {
		if info, ok := infos[tcpip.NICID(index)]; ok {
			out = append(out, snapshot(index, l, &info))
		}
	}
	slices.SortFunc(out, func(a, b Interface) int { return a.Index - b.Index })
	return out
}

// InterfaceByIndex returns one link; ok is false if there is none.
func (s *Stack) InterfaceByIndex(index int) (i Interface, ok bool) {
	if index <= 0 || index > 1<<30 {
		return Interface{}, false
	}
	info, ok := s.inner.SingleNICInfo(tcpip.NICID(index))
	if !ok {
		return Interface{}, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.links[index]
	if l == nil {
		return Interface{}, false
	}
	return snapshot(index, l, info), true
}

// InterfaceByName returns one link; ok is false if there is none.
func (s *Stack) InterfaceByName(name string) (i Interface, ok bool) {
	index := s.IndexByName(name)
	if index == 0 {
		return Interface{}, false
	}
	return s.InterfaceByIndex(index)
}

// IndexByName returns the index of the link called name, 0 if there is none.
func (s *Stack) IndexByName(name string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for index, l := range s.links {
		if l.name == name {
			return index
		}
	}
	return 0
}

// NameByIndex returns the name of a link, "" if there is none.
func (s *Stack) NameByIndex(index int) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.links[index]; l != nil {
		return l.name
	}
	return ""
}

func snapshot(index int, l *linkState, info *stack.NICInfo) Interface {
	i := Interface{
		Index:      index,
		Name:       l.name,
		Kind:       l.kind,
		MTU:        info.MTU,
		MAC:        net.HardwareAddr(info.LinkAddress),
		TxQueueLen: l.txQueueLen,
		Addresses:  slices.Clone(l.addrs),
		Type:       unix.ARPHRD_ETHER,
		Flags:      unix.IFF_BROADCAST | unix.IFF_MULTICAST,
	}
	if info.Flags.Loopback {
		i.Type = unix.ARPHRD_LOOPBACK
		i.Flags = unix.IFF_LOOPBACK
		i.MAC = make(net.HardwareAddr, 6)
	}
	if l.up {
		i.Flags |= unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	}
	if info.Flags.Promiscuous {
		i.Flags |= unix.IFF_PROMISC
	}
	st := &info.Stats
	i.Stats = InterfaceStats{
		RxPackets: st.Rx.Packets.Value(),
		RxBytes:   st.Rx.Bytes.Value(),
		RxErrors:  st.MalformedL4RcvdPackets.Value(),
		RxDropped: st.DisabledRx.Packets.Value(),
		TxPackets: st.Tx.Packets.Value(),
		TxBytes:   st.Tx.Bytes.Value(),
		TxDropped: st.TxPacketsDroppedNoBufferSpace.Value(),
	}
	return i
}

// SetUp brings a link up or down. Down takes the routes of the link away; up
// puts the on-link routes of its addresses back. ENODEV for no such link.
func (s *Stack) SetUp(index int, up bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[index]
	if l == nil {
		return unix.ENODEV
	}
	if l.up == up {
		return nil
	}
	var err tcpip.Error
	if up {
		err = s.inner.EnableNIC(tcpip.NICID(index))
	} else {
		err = s.inner.DisableNIC(tcpip.NICID(index))
	}
	if err != nil {
		return Errno(err)
	}
	l.up = up
	// tcpip would still route to the addresses of a disabled link.
	for _, a := range l.addrs {
		if up {
			s.assign(index, a)
		} else {
			s.inner.RemoveAddress(tcpip.NICID(index), ToTCPIP(a.Prefix.Addr()))
		}
	}
	s.routes = slices.DeleteFunc(s.routes, func(r Route) bool { return r.Link == index })
	if up {
		for _, a := range l.addrs {
			if r, ok := onLinkRoute(index, a); ok {
				s.routes = append(s.routes, r)
			}
		}
	}
	s.applyRoutesLocked()
	return nil
}

// SetMTU changes the MTU of a link, in bytes. EINVAL outside what IPv4 and
// the link can carry.
func (s *Stack) SetMTU(index int, mtu uint32) error {
	if mtu < 68 || mtu > 65536 {
		return unix.EINVAL
	}
	if index == LoopbackIndex {
		mtu += header.EthernetMinimumSize // which lo has inside (addLoopback)
	}
	if err := s.inner.SetNICMTU(tcpip.NICID(index), mtu); err != nil {
		return Errno(err)
	}
	return nil
}

// SetMAC changes the hardware address of a link.
func (s *Stack) SetMAC(index int, mac net.HardwareAddr) error {
	if len(mac) != 6 || index == LoopbackIndex {
		return unix.EINVAL
	}
	if err := s.inner.SetNICAddress(tcpip.NICID(index), tcpip.LinkAddress(mac)); err != nil {
		return Errno(err)
	}
	return nil
}

// Rename changes the name of a link. EEXIST if another has it, EINVAL if no
// interface can be called that.
func (s *Stack) Rename(index int, name string) error {
	if !validName(name) {
		return unix.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[index]
	if l == nil {
		return unix.ENODEV
	}
	for i, other := range s.links {
		if other.name == name && i != index {
			return unix.EEXIST
		}
	}
	if err := s.inner.SetNICName(tcpip.NICID(index), name); err != nil {
		return Errno(err)
	}
	l.name = name
	return nil
}

// validName is Linux's rule for interface names: 1 to IFNAMSIZ-1 bytes, no
// slash, no colon, no white space, not "." or "..".
func validName(name string) bool {
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." {
		return false
	}
	for _, c := range []byte(name) {
		if c == '/' || c == ':' || c == ' ' || (c >= '\t' && c <= '\r') {
			return false
		}
	}
	return true
}

// Forwarding tells whether packets of an IP version (unix.AF_INET or
// AF_INET6) are forwarded between links.
func (s *Stack) Forwarding(family int) bool {
	proto := protocolOf(family)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for index := range s.links {
		if on, err := s.inner.NICForwarding(tcpip.NICID(index), proto); err == nil && on {
			return true
		}
	}
	return false
}

// SetForwarding turns forwarding on or off on every link.
func (s *Stack) SetForwarding(family int, on bool) error {
	if err := s.inner.SetForwardingDefaultAndAllNICs(protocolOf(family), on); err != nil {
		return Errno(err)
	}
	return nil
}

// PortRange is the range of ephemeral ports, both ends included.
func (s *Stack) PortRange() (first, last uint16) { return s.inner.PortRange() }

// SetPortRange changes the range of ephemeral ports.
func (s *Stack) SetPortRange(first, last uint16) error {
	if first == 0 || first > last {
		return unix.EINVAL
	}
	if err := s.inner.SetPortRange(first, last); err != nil {
		return Errno(err)
	}
	return nil
}

// PingGroupRange is the range of group ids whose members may open ping
// sockets without CAP_NET_RAW.
func (s *Stack) PingGroupRange() (low, high uint32) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pingLow, s.pingHigh
}

// SetPingGroupRange changes it; low above high allows nobody.
func (s *Stack) SetPingGroupRange(low, high uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pingLow, s.pingHigh = low, high
}

// Stats are the stack's counters, for /proc/net/snmp and netstat.
func (s *Stack) Stats() tcpip.Stats { return s.inner.Stats() }

func protocolOf(family int) tcpip.NetworkProtocolNumber {
	if family == unix.AF_INET6 {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}
