package netlink

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"

	"ringfort/netstack"
)

// tableRoute is a route of the main or, made up from the addresses as Linux
// does, of the local table.
type tableRoute struct {
	netstack.Route
	table uint8
}

// allRoutes lists both tables of a family.
func (s *Socket) allRoutes(fam uint8) []tableRoute {
	var out []tableRoute
	for _, r := range s.ns.Stack.Routes() {
		if familyOf(r.Dst.Addr()) == fam {
			out = append(out, tableRoute{r, unix.RT_TABLE_MAIN})
		}
	}
	local := func(dst netip.Prefix, index int, src netip.Addr, typ, scope uint8) {
		out = append(out, tableRoute{netstack.Route{
			Dst: dst, Link: index, Src: src, Type: typ, Scope: scope, Protocol: unix.RTPROT_KERNEL,
		}, unix.RT_TABLE_LOCAL})
	}
	for _, i := range s.ns.Stack.Interfaces() {
		if i.Flags&unix.IFF_UP == 0 {
			continue
		}
		for _, a := range i.Addresses {
			ip := a.Prefix.Addr()
			switch {
			case familyOf(ip) != fam:
			case !ip.Is4():
				local(netip.PrefixFrom(ip, 128), i.Index, netip.Addr{}, unix.RTN_LOCAL, unix.RT_SCOPE_UNIVERSE)
			default:
				if i.Type == unix.ARPHRD_LOOPBACK {
					local(a.Prefix.Masked(), i.Index, ip, unix.RTN_LOCAL, unix.RT_SCOPE_HOST)
				}
				local(netip.PrefixFrom(ip, 32), i.Index, ip, unix.RTN_LOCAL, unix.RT_SCOPE_HOST)
				if last := lastOf(a.Prefix); a.Prefix.Bits() < 31 {
					local(netip.PrefixFrom(last, 32), i.Index, ip, unix.RTN_BROADCAST, unix.RT_SCOPE_LINK)
				}
			}
		}
	}
	return out
}

// lastOf is the broadcast address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(b[:])
	v |= uint32(uint64(1)<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

func (s *Socket) dumpRoutes(d *dump) {
	want := d.r.family()
	// With strict checking the kernel filters; without, the reader does.
	var table, oif uint32
	var protocol, typ uint8
	if s.flags[unix.NETLINK_GET_STRICT_CHK] && len(d.r.body) >= unix.SizeofRtMsg {
		a := parseAttrs(d.r.body[unix.SizeofRtMsg:])
		table, protocol, typ = uint32(d.r.body[4]), d.r.body[5], d.r.body[7]
		if t, ok := a.uint32(unix.RTA_TABLE); ok {
			table = t
		}
		oif, _ = a.uint32(unix.RTA_OIF)
	}
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if want != unix.AF_UNSPEC && want != fam {
			continue
		}
		for _, r := range s.allRoutes(fam) {
			if table != 0 && table != uint32(r.table) || oif != 0 && oif != uint32(r.Link) ||
				protocol != 0 && protocol != r.Protocol || typ != 0 && typ != r.Type {
				continue
			}
			d.add(s.routeMessage(d.r, &r, unix.NLM_F_MULTI, 0))
		}
	}
}

// routeMessage is an RTM_NEWROUTE: a struct rtmsg and attributes.
func (s *Socket) routeMessage(q *request, r *tableRoute, flags uint16, rtmFlags uint32) *message {
	fixed := make([]byte, unix.SizeofRtMsg)
	fixed[0], fixed[1] = familyOf(r.Dst.Addr()), uint8(r.Dst.Bits())
	fixed[4], fixed[5], fixed[6], fixed[7] = r.table, r.Protocol, r.Scope, r.Type
	binary.NativeEndian.PutUint32(fixed[8:], r.Flags|rtmFlags)
	m := s.newMessage(q, unix.RTM_NEWROUTE, flags, fixed...)
	m.attr32(unix.RTA_TABLE, uint32(r.table))
	if r.Dst.Bits() > 0 {
		m.attr(unix.RTA_DST, r.Dst.Addr().AsSlice())
	}
	if r.Metric != 0 || familyOf(r.Dst.Addr()) == unix.AF_INET6 && r.table == unix.RT_TABLE_LOCAL {
		m.attr32(unix.RTA_PRIORITY, r.Metric)
	}
	if r.MTU != 0 {
		var metrics message
		metrics.attr32(unix.RTAX_MTU, r.MTU)
		m.attr(unix.RTA_METRICS, metrics.b)
	}
	if r.Gateway.IsValid() {
		m.attr(unix.RTA_GATEWAY, r.Gateway.AsSlice())
	}
	if r.Src.IsValid() {
		m.attr(unix.RTA_PREFSRC, r.Src.AsSlice())
	}
	m.attr32(unix.RTA_OIF, uint32(r.Link))
	if !r.Dst.Addr().Is4() {
		m.attr8(unix.RTA_PREF, 0)
	}
	return m
}

// getRoute answers how an address would be reached (`ip route get`).
func (s *Socket) getRoute(q *request) error {
	if len(q.body) < unix.SizeofRtMsg {
		return unix.EINVAL
	}
	a := parseAttrs(q.body[unix.SizeofRtMsg:])
	fam := q.family()
	dst, ok := addrOf(fam, a[unix.RTA_DST])
	if !ok {
		return unix.EINVAL
	}
	oif, _ := a.uint32(unix.RTA_OIF)
	src, _ := addrOf(fam, a[unix.RTA_SRC])
	proto := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if fam == unix.AF_INET6 {
		proto = ipv6.ProtocolNumber
	}
	st := s.ns.Stack
	found, terr := st.Tcpip().FindRoute(tcpip.NICID(int32(oif&0x7fffffff)), netstack.ToTCPIP(src), netstack.ToTCPIP(dst), proto, false)
	if terr != nil {
		return netstack.Errno(terr)
	}
	defer found.Release()
	r := tableRoute{netstack.Route{
		Dst:     netip.PrefixFrom(dst, dst.BitLen()),
		Src:     netstack.FromTCPIP(found.LocalAddress()),
		Gateway: netstack.FromTCPIP(found.NextHop()),
		Link:    int(found.NICID()),
		Type:    unix.RTN_UNICAST,
	}, unix.RT_TABLE_MAIN}
	if r.Gateway == dst {
		r.Gateway = netip.Addr{}
	}
	// Flags of linux/rtnetlink.h and in_route.h.
	const (
		cloned = 0x200      // RTM_F_CLONED
		local  = 0x80000000 // RTCF_LOCAL
	)
	flags := uint32(cloned)
	if st.IsLocal(dst) {
		r.Type, r.Link, r.Gateway = unix.RTN_LOCAL, netstack.LoopbackIndex, netip.Addr{}
		flags |= local
	}
	s.reply(s.routeMessage(q, &r, 0, flags).done())
	return nil
}

// parseRoute reads the route of an RTM_NEWROUTE or RTM_DELROUTE. given tells
// which of the optional parts were there.
func (s *Socket) parseRoute(q *request) (r netstack.Route, given attrs, err error) {
	if len(q.body) < unix.SizeofRtMsg {
		return r, nil, unix.EINVAL
	}
	a := parseAttrs(q.body[unix.SizeofRtMsg:])
	fam := q.family()
	if fam != unix.AF_INET && fam != unix.AF_INET6 {
		return r, nil, unix.EAFNOSUPPORT
	}
	table := uint32(q.body[4])
	if t, ok := a.uint32(unix.RTA_TABLE); ok {
		table = t
	}
	if table != unix.RT_TABLE_MAIN && table != unix.RT_TABLE_UNSPEC {
		return r, nil, unix.EOPNOTSUPP
	}
	if _, ok := a[unix.RTA_MULTIPATH]; ok {
		return r, nil, unix.EOPNOTSUPP
	}
	ip := netip.IPv4Unspecified()
	if fam == unix.AF_INET6 {
		ip = netip.IPv6Unspecified()
	}
	if raw, ok := a[unix.RTA_DST]; ok {
		if ip, ok = addrOf(fam, raw); !ok {
			return r, nil, unix.EINVAL
		}
	}
	r.Dst = netip.PrefixFrom(ip, int(q.body[1]))
	r.Protocol, r.Scope, r.Type = q.body[5], q.body[6], q.body[7]
	r.Flags = binary.NativeEndian.Uint32(q.body[8:]) & unix.RTNH_F_ONLINK
	if raw, ok := a[unix.RTA_GATEWAY]; ok {
		if r.Gateway, ok = addrOf(fam, raw); !ok {
			return r, nil, unix.EINVAL
		}
	}
	if raw, ok := a[unix.RTA_PREFSRC]; ok {
		if r.Src, ok = addrOf(fam, raw); !ok {
			return r, nil, unix.EINVAL
		}
	}
	r.Metric, _ = a.uint32(unix.RTA_PRIORITY)
	if raw, ok := a[unix.RTA_METRICS]; ok {
		r.MTU, _ = parseAttrs(raw).uint32(unix.RTAX_MTU)
	}
	if oif, ok := a.uint32(unix.RTA_OIF); ok {
		r.Link = int(int32(oif))
	} else if r.Gateway.IsValid() {
		r.Link = s.ns.Stack.LinkFor(r.Gateway)
		if r.Link == 0 && q.typ == unix.RTM_NEWROUTE {
			return r, nil, unix.ENETUNREACH
		}
	}
	return r, a, nil
}

func (s *Socket) newRoute(q *request) error {
	r, _, err := s.parseRoute(q)
	if err != nil {
		return err
	}
	if fam := q.family(); fam == unix.AF_INET6 && r.Metric == 0 {
		r.Metric = 1024 // IP6_RT_PRIO_USER
	}
	err = s.ns.Stack.AddRoute(r)
	if err == unix.EEXIST && q.is(unix.NLM_F_REPLACE) {
		same := func(o netstack.Route) bool { return o.Dst == r.Dst && o.Metric == r.Metric }
		if err := s.ns.Stack.RemoveRoute(same); err != nil {
			return err
		}
		return s.ns.Stack.AddRoute(r)
	}
	return err
}

// delRoute removes the first route that agrees with all that was said.
func (s *Socket) delRoute(q *request) error {
	r, given, err := s.parseRoute(q)
	if err != nil {
		return err
	}
	_, metric := given[unix.RTA_PRIORITY]
	return s.ns.Stack.RemoveRoute(func(o netstack.Route) bool {
		return o.Dst == r.Dst && (r.Link == 0 || o.Link == r.Link) && (!r.Gateway.IsValid() || o.Gateway == r.Gateway) &&
			(!r.Src.IsValid() || o.Src == r.Src) && (!metric || o.Metric == r.Metric) &&
			(r.Protocol == 0 || o.Protocol == r.Protocol)
	})
}

// dumpRules lists the policy rules every namespace begins with.
func (s *Socket) dumpRules(d *dump) {
	type rule struct {
		priority uint32
		table    uint8
	}
	rules := map[uint8][]rule{
		unix.AF_INET:  {{0, unix.RT_TABLE_LOCAL}, {32766, unix.RT_TABLE_MAIN}, {32767, unix.RT_TABLE_DEFAULT}},
		unix.AF_INET6: {{0, unix.RT_TABLE_LOCAL}, {32766, unix.RT_TABLE_MAIN}},
	}
	// Attributes and the action of linux/fib_rules.h.
	const (
		fraPriority = 6
		fraSuppress = 14
		fraTable    = 15
		toTable     = 1
	)
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if want := d.r.family(); want != unix.AF_UNSPEC && want != fam {
			continue
		}
		for _, r := range rules[fam] {
			m := s.newMessage(d.r, unix.RTM_NEWRULE, unix.NLM_F_MULTI, fam, 0, 0, 0, r.table, 0, 0, toTable, 0, 0, 0, 0)
			m.attr32(fraTable, uint32(r.table))
			m.attr32(fraSuppress, ^uint32(0))
			if r.priority != 0 {
				m.attr32(fraPriority, r.priority)
			}
			d.add(m)
		}
	}
}
