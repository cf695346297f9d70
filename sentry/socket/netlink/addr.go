package netlink

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"ringfort/netstack"
)

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (s *Socket) dumpAddrs(d *dump) {
	want := d.r.family()
	index := uint32(0)
	if s.flags[unix.NETLINK_GET_STRICT_CHK] && len(d.r.body) >= unix.SizeofIfAddrmsg {
		index = binary.NativeEndian.Uint32(d.r.body[4:])
	}
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if want != unix.AF_UNSPEC && want != fam {
			continue
		}
		for _, i := range s.ns.Stack.Interfaces() {
			if index != 0 && index != uint32(i.Index) {
				continue
			}
			for _, a := range i.Addresses {
				if familyOf(a.Prefix.Addr()) == fam {
					d.add(s.addrMessage(d.r, i.Index, &a))
				}
			}
		}
	}
}

// addrMessage is an RTM_NEWADDR: a struct ifaddrmsg and attributes.
func (s *Socket) addrMessage(r *request, index int, a *netstack.Address) *message {
	ip := a.Prefix.Addr()
	fixed := make([]byte, unix.SizeofIfAddrmsg)
	fixed[0], fixed[1], fixed[2], fixed[3] = familyOf(ip), uint8(a.Prefix.Bits()), uint8(a.Flags), a.Scope
	binary.NativeEndian.PutUint32(fixed[4:], uint32(index))
	m := s.newMessage(r, unix.RTM_NEWADDR, unix.NLM_F_MULTI, fixed...)
	m.attr(unix.IFA_ADDRESS, ip.AsSlice())
	if ip.Is4() {
		m.attr(unix.IFA_LOCAL, ip.AsSlice())
		if a.Broadcast.Is4() && !a.Broadcast.IsUnspecified() {
			m.attr(unix.IFA_BROADCAST, a.Broadcast.AsSlice())
		}
		label := a.Label
		if label == "" {
			label = s.ns.Stack.NameByIndex(index)
		}
		m.attrString(unix.IFA_LABEL, label)
	}
	// struct ifa_cacheinfo: valid and preferred for ever.
	cache := make([]byte, unix.SizeofIfaCacheinfo)
	binary.NativeEndian.PutUint32(cache, ^uint32(0))
	binary.NativeEndian.PutUint32(cache[4:], ^uint32(0))
	m.attr32(unix.IFA_FLAGS, a.Flags)
	m.attr(unix.IFA_CACHEINFO, cache)
	return m
}

// parseAddr reads the address of an RTM_NEWADDR or RTM_DELADDR.
func parseAddrMessage(r *request) (index int, a netstack.Address, err error) {
	if len(r.body) < unix.SizeofIfAddrmsg {
		return 0, a, unix.EINVAL
	}
	at := parseAttrs(r.body[unix.SizeofIfAddrmsg:])
	raw, ok := at[unix.IFA_LOCAL]
	if !ok {
		raw = at[unix.IFA_ADDRESS]
	}
	ip, ok := addrOf(r.family(), raw)
	if !ok {
		return 0, a, unix.EINVAL
	}
	a.Prefix = netip.PrefixFrom(ip, int(r.body[1]))
	if !a.Prefix.IsValid() {
		return 0, a, unix.EINVAL
	}
	a.Flags, a.Scope, a.Label = uint32(r.body[2])|unix.IFA_F_PERMANENT, r.body[3], at.str(unix.IFA_LABEL)
	if f, ok := at.uint32(unix.IFA_FLAGS); ok {
		a.Flags = f | unix.IFA_F_PERMANENT
	}
	if b, ok := addrOf(unix.AF_INET, at[unix.IFA_BROADCAST]); ok && ip.Is4() {
		a.Broadcast = b
	}
	return int(int32(binary.NativeEndian.Uint32(r.body[4:]))), a, nil
}

// addrOf reads an address of a family.
func addrOf(family uint8, b []byte) (netip.Addr, bool) {
	switch {
	case family == unix.AF_INET && len(b) == 4:
		return netip.AddrFrom4([4]byte(b)), true
	case family == unix.AF_INET6 && len(b) == 16:
		return netip.AddrFrom16([16]byte(b)), true
	}
	return netip.Addr{}, false
}

func (s *Socket) newAddr(r *request) error {
	index, a, err := parseAddrMessage(r)
	if err != nil {
		return err
	}
	if err := s.ns.Stack.AddAddress(index, a); err != nil {
		if err == unix.EEXIST && r.is(unix.NLM_F_REPLACE) {
			return nil
		}
		return err
	}
	return nil
}

func (s *Socket) delAddr(r *request) error {
	index, a, err := parseAddrMessage(r)
	if err != nil {
		return err
	}
	return s.ns.Stack.RemoveAddress(index, a.Prefix)
}
