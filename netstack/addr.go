package netstack

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

var loopbackAddresses = []Address{
	{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Label: "lo", Scope: unix.RT_SCOPE_HOST, Flags: unix.IFA_F_PERMANENT},
	{Prefix: netip.MustParsePrefix("::1/128"), Scope: unix.RT_SCOPE_HOST, Flags: unix.IFA_F_PERMANENT},
}

// ToTCPIP converts an address; IPv4-mapped addresses become IPv4.
func ToTCPIP(a netip.Addr) tcpip.Address {
	a = a.Unmap()
	switch {
	case a.Is4():
		return tcpip.AddrFrom4(a.As4())
	case a.Is6():
		return tcpip.AddrFrom16(a.As16())
	}
	return tcpip.Address{}
}

// FromTCPIP converts an address back; the empty one becomes the invalid Addr.
func FromTCPIP(a tcpip.Address) netip.Addr {
	switch a.Len() {
	case 4:
		return netip.AddrFrom4(a.As4())
	case 16:
		return netip.AddrFrom16(a.As16())
	}
	return netip.Addr{}
}

func protocolFor(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// AddAddress gives a link an address and, unless it says IFA_F_NOPREFIXROUTE,
// the route to its prefix. EEXIST if the link has it, ENODEV for no such link.
func (s *Stack) AddAddress(index int, a Address) error {
	if !a.Prefix.IsValid() {
		return unix.EINVAL
	}
	a.Prefix = netip.PrefixFrom(a.Prefix.Addr().Unmap().WithZone(""), a.Prefix.Bits())
	if !a.Prefix.IsValid() {
		return unix.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.insertAddress(index, a); err != nil {
		return err
	}
	if r, ok := onLinkRoute(index, a); ok && s.links[index].up {
		s.routes = append(s.routes, r)
		s.applyRoutesLocked()
	}
	return nil
}

// insertAddress adds an address without a route. Callers hold s.mu or are
// alone with s.
func (s *Stack) insertAddress(index int, a Address) error {
	l := s.links[index]
	if l == nil {
		return unix.ENODEV
	}
	if slices.ContainsFunc(l.addrs, func(o Address) bool { return o.Prefix.Addr() == a.Prefix.Addr() }) {
		return unix.EEXIST
	}
	if l.up {
		if err := s.assign(index, a); err != nil {
			return err
		}
	}
	l.addrs = append(l.addrs, a)
	return nil
}

// assign gives an address to tcpip's link.
func (s *Stack) assign(index int, a Address) error {
	ip := a.Prefix.Addr()
	pa := tcpip.ProtocolAddress{
		Protocol:          protocolFor(ip),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: ToTCPIP(ip), PrefixLen: a.Prefix.Bits()},
	}
	props := stack.AddressProperties{
		PEB:        stack.CanBePrimaryEndpoint,
		Lifetimes:  stack.AddressLifetimes{Deprecated: a.Flags&unix.IFA_F_DEPRECATED != 0},
		Temporary:  ip.Is6() && a.Flags&unix.IFA_F_TEMPORARY != 0, // of IPv4 the bit is IFA_F_SECONDARY
		ConfigType: stack.AddressConfigStatic,
	}
	if err := s.inner.AddProtocolAddress(tcpip.NICID(index), pa, props); err != nil {
		return Errno(err)
	}
	return nil
}

// RemoveAddress takes an address and its on-link route away. EADDRNOTAVAIL if
// the link does not have it.
func (s *Stack) RemoveAddress(index int, p netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[index]
	if l == nil {
		return unix.ENODEV
	}
	p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits())
	i := slices.IndexFunc(l.addrs, func(a Address) bool { return a.Prefix == p })
	if i < 0 {
		return unix.EADDRNOTAVAIL
	}
	if l.up {
		if err := s.inner.RemoveAddress(tcpip.NICID(index), ToTCPIP(p.Addr())); err != nil {
			return Errno(err)
		}
	}
	l.addrs = slices.Delete(l.addrs, i, i+1)
	s.routes = slices.DeleteFunc(s.routes, func(r Route) bool {
		if r.Link != index {
			return false
		}
		return r.Src == p.Addr() || (r.Protocol == unix.RTPROT_KERNEL && r.Dst == p.Masked())
	})
	s.applyRoutesLocked()
	return nil
}

// IsLocal tells whether an address belongs to one of the links.
func (s *Stack) IsLocal(a netip.Addr) bool {
	return s.inner.CheckLocalAddress(0, protocolFor(a.Unmap()), ToTCPIP(a)) != 0
}
