package netlink

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"

	"ringfort/netstack"
)

// Operational states of RFC 2863 as IFLA_OPERSTATE has them (linux/if.h).
const (
	operUnknown = 0
	operDown    = 2
	operUp      = 6
)

func (s *Socket) dumpLinks(d *dump) {
	if f := d.r.family(); f != unix.AF_UNSPEC && f != unix.AF_INET && f != unix.AF_INET6 && f != unix.AF_PACKET {
		return // AF_BRIDGE and others have no links
	}
	for _, i := range s.ns.Stack.Interfaces() {
		d.add(s.linkMessage(d.r, &i, unix.NLM_F_MULTI))
	}
}

// findLink returns the link a message is about, by index or by name.
func (s *Socket) findLink(r *request) (netstack.Interface, attrs, error) {
	if len(r.body) < unix.SizeofIfInfomsg {
		return netstack.Interface{}, nil, unix.EINVAL
	}
	a := parseAttrs(r.body[unix.SizeofIfInfomsg:])
	index := int(int32(binary.NativeEndian.Uint32(r.body[4:])))
	if index > 0 {
		i, ok := s.ns.Stack.InterfaceByIndex(index)
		if !ok {
			return i, nil, unix.ENODEV
		}
		return i, a, nil
	}
	name := a.str(unix.IFLA_IFNAME)
	if name == "" {
		name = a.str(unix.IFLA_ALT_IFNAME)
	}
	if name == "" {
		return netstack.Interface{}, nil, unix.EINVAL
	}
	i, ok := s.ns.Stack.InterfaceByName(name)
	if !ok {
		return i, a, unix.ENODEV
	}
	return i, a, nil
}

func (s *Socket) getLink(r *request) error {
	i, _, err := s.findLink(r)
	if err != nil {
		return err
	}
	s.reply(s.linkMessage(r, &i, 0).done())
	return nil
}

// linkMessage is an RTM_NEWLINK: a struct ifinfomsg and attributes in Linux's
// order.
func (s *Socket) linkMessage(r *request, i *netstack.Interface, flags uint16) *message {
	fixed := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint16(fixed[2:], i.Type)
	binary.NativeEndian.PutUint32(fixed[4:], uint32(i.Index))
	binary.NativeEndian.PutUint32(fixed[8:], i.Flags)
	m := s.newMessage(r, unix.RTM_NEWLINK, flags, fixed...)
	m.attrString(unix.IFLA_IFNAME, i.Name)
	m.attr32(unix.IFLA_TXQLEN, uint32(i.TxQueueLen))
	loopback := i.Type == unix.ARPHRD_LOOPBACK
	switch {
	case i.Flags&unix.IFF_UP == 0:
		m.attr8(unix.IFLA_OPERSTATE, operDown)
	case loopback:
		m.attr8(unix.IFLA_OPERSTATE, operUnknown)
	default:
		m.attr8(unix.IFLA_OPERSTATE, operUp)
	}
	m.attr8(unix.IFLA_LINKMODE, 0)
	m.attr32(unix.IFLA_MTU, i.MTU)
	m.attr32(unix.IFLA_GROUP, 0)
	m.attr32(unix.IFLA_PROMISCUITY, 0)
	m.attr32(unix.IFLA_NUM_TX_QUEUES, 1)
	m.attr32(unix.IFLA_NUM_RX_QUEUES, 1)
	m.attr8(unix.IFLA_CARRIER, 1)
	m.attrString(unix.IFLA_QDISC, "noqueue")
	m.attr(unix.IFLA_ADDRESS, i.MAC)
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if loopback {
		broadcast = make([]byte, 6)
	}
	m.attr(unix.IFLA_BROADCAST, broadcast)
	m.attr(unix.IFLA_STATS64, linkStats(&i.Stats))
	if i.Kind != "" {
		var info message
		info.attrString(unix.IFLA_INFO_KIND, i.Kind)
		m.attr(unix.IFLA_LINKINFO, info.b)
	}
	return m
}

// linkStats is a struct rtnl_link_stats64.
func linkStats(st *netstack.InterfaceStats) []byte {
	const fields = 25
	b := make([]byte, 8*fields)
	for i, v := range []uint64{st.RxPackets, st.TxPackets, st.RxBytes, st.TxBytes, st.RxErrors, st.TxErrors, st.RxDropped, st.TxDropped} {
		binary.NativeEndian.PutUint64(b[8*i:], v)
	}
	return b
}

// setLink changes a link that exists; there is no kind of link to create.
func (s *Socket) setLink(r *request) error {
	i, a, err := s.findLink(r)
	if err == unix.ENODEV && r.is(unix.NLM_F_CREATE) {
		return unix.EOPNOTSUPP
	}
	if err != nil {
		return err
	}
	if r.is(unix.NLM_F_CREATE | unix.NLM_F_EXCL) {
		return unix.EEXIST
	}
	st := s.ns.Stack
	if _, ok := a[unix.IFLA_MASTER]; ok {
		return unix.EOPNOTSUPP
	}
	if mac, ok := a[unix.IFLA_ADDRESS]; ok {
		if err := st.SetMAC(i.Index, net.HardwareAddr(append([]byte(nil), mac...))); err != nil {
			return err
		}
	}
	if mtu, ok := a.uint32(unix.IFLA_MTU); ok {
		if err := st.SetMTU(i.Index, mtu); err != nil {
			return err
		}
	}
	if name := a.str(unix.IFLA_IFNAME); name != "" && name != i.Name {
		if err := st.Rename(i.Index, name); err != nil {
			return err
		}
	}
	flags, change := binary.NativeEndian.Uint32(r.body[8:]), binary.NativeEndian.Uint32(r.body[12:])
	if change == 0 {
		change = ^uint32(0)
		if flags == 0 {
			return nil // nothing said about flags
		}
	}
	if change&unix.IFF_UP != 0 {
		return st.SetUp(i.Index, flags&unix.IFF_UP != 0)
	}
	return nil
}
