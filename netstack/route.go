package netstack

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// onLinkRoute is the route the kernel makes when an address is added; ok is
// false if the address asks for none or spans nobody but itself.
func onLinkRoute(index int, a Address) (r Route, ok bool) {
	ip := a.Prefix.Addr()
	if a.Flags&unix.IFA_F_NOPREFIXROUTE != 0 || index == LoopbackIndex || (ip.Is4() && a.Prefix.IsSingleIP()) {
		return Route{}, false
	}
	r = Route{
		Dst:      a.Prefix.Masked(),
		Link:     index,
		Protocol: unix.RTPROT_KERNEL,
		Type:     unix.RTN_UNICAST,
	}
	if ip.Is4() {
		r.Scope = unix.RT_SCOPE_LINK
		r.Src = ip
	} else {
		r.Metric = 256 // IP6_RT_PRIO_ADDRCONF, as `ip -6 route` shows
	}
	return r, true
}

// Routes returns the main table in `ip route`'s order: IPv4 first, then by
// destination and metric.
func (s *Stack) Routes() []Route {
	s.mu.RLock()
	out := slices.Clone(s.routes)
	s.mu.RUnlock()
	slices.SortStableFunc(out, func(a, b Route) int {
		return cmp.Or(a.Dst.Addr().Compare(b.Dst.Addr()), a.Dst.Bits()-b.Dst.Bits(), cmp.Compare(a.Metric, b.Metric))
	})
	return out
}

// AddRoute adds a unicast route. EEXIST if the table has one with the same
// destination and metric, ENETUNREACH if the gateway is not on the link,
// ENODEV for no such link, ENETDOWN if the link is down.
func (s *Stack) AddRoute(r Route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[r.Link]; l != nil && !l.up {
		return unix.ENETDOWN
	}
	if r.Gateway.IsValid() && r.Flags&unix.RTNH_F_ONLINK == 0 && !s.onLink(r.Link, r.Gateway) {
		return unix.ENETUNREACH
	}
	if err := s.insertRoute(r); err != nil {
		return err
	}
	s.applyRoutesLocked()
	return nil
}

// LinkFor returns the index of the link an on-link gateway is reached by, 0
// if there is none.
func (s *Stack) LinkFor(gateway netip.Addr) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	best, bits := 0, -1
	for _, r := range s.routes {
		if !r.Gateway.IsValid() && r.Dst.Contains(gateway) && r.Dst.Bits() > bits {
			best, bits = r.Link, r.Dst.Bits()
		}
	}
	return best
}

func (s *Stack) onLink(index int, gateway netip.Addr) bool {
	if gateway.Is6() && gateway.IsLinkLocalUnicast() {
		return true
	}
	for _, r := range s.routes {
		if r.Link == index && !r.Gateway.IsValid() && r.Dst.Contains(gateway) {
			return true
		}
	}
	return false
}

// insertRoute checks a route and puts it in the table without telling tcpip.
// Callers hold s.mu or are alone with s.
func (s *Stack) insertRoute(r Route) error {
	if !r.Dst.IsValid() || r.Dst.Masked() != r.Dst {
		return unix.EINVAL
	}
	if r.Type != unix.RTN_UNICAST {
		return unix.EOPNOTSUPP
	}
	if s.links[r.Link] == nil {
		return unix.ENODEV
	}
	v4 := r.Dst.Addr().Is4()
	if (r.Gateway.IsValid() && r.Gateway.Is4() != v4) || (r.Src.IsValid() && r.Src.Is4() != v4) {
		return unix.EINVAL
	}
	same := func(o Route) bool { return o.Dst == r.Dst && o.Metric == r.Metric && (v4 || o.Link == r.Link) }
	if slices.ContainsFunc(s.routes, same) {
		return unix.EEXIST
	}
	s.routes = append(s.routes, r)
	return nil
}

// RemoveRoute removes the first route that match accepts, ESRCH if none.
func (s *Stack) RemoveRoute(match func(Route) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.routes, match)
	if i < 0 {
		return unix.ESRCH
	}
	s.routes = slices.Delete(s.routes, i, i+1)
	s.applyRoutesLocked()
	return nil
}

func (s *Stack) applyRoutes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applyRoutesLocked()
}

// applyRoutesLocked hands the table to tcpip, which orders by prefix length
// and keeps our order, by metric, among equals.
func (s *Stack) applyRoutesLocked() {
	sorted := slices.Clone(s.routes)
	slices.SortStableFunc(sorted, func(a, b Route) int { return cmp.Compare(a.Metric, b.Metric) })
	table := make([]tcpip.Route, 0, len(sorted)+len(loopbackAddresses))
	for _, a := range loopbackAddresses {
		if subnet, ok := subnetOf(a.Prefix.Masked()); ok {
			table = append(table, tcpip.Route{Destination: subnet, NIC: LoopbackIndex})
		}
	}
	for _, r := range sorted {
		subnet, ok := subnetOf(r.Dst)
		if !ok {
			continue
		}
		table = append(table, tcpip.Route{
			Destination: subnet,
			Gateway:     ToTCPIP(r.Gateway),
			NIC:         tcpip.NICID(r.Link),
			SourceHint:  ToTCPIP(r.Src),
			MTU:         r.MTU,
		})
	}
	s.inner.SetRouteTable(table)
}

func subnetOf(p netip.Prefix) (tcpip.Subnet, bool) {
	if !p.IsValid() {
		return tcpip.Subnet{}, false
	}
	return tcpip.AddressWithPrefix{Address: ToTCPIP(p.Addr()), PrefixLen: p.Bits()}.Subnet(), true
}
