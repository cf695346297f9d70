package inet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"ringfort/sentry/socket"
	"ringfort/sentry/vfs"
)

// keptIPv6 are options of ipv6(7) that are remembered and change nothing here.
var keptIPv6 = map[int]int{
	unix.IPV6_AUTOFLOWLABEL: 1, unix.IPV6_FREEBIND: 0,
	unix.IPV6_RECVHOPOPTS: 0, unix.IPV6_RECVRTHDR: 0, unix.IPV6_RECVDSTOPTS: 0, unix.IPV6_RECVPATHMTU: 0,
	unix.IPV6_ADDR_PREFERENCES: 0, unix.IPV6_MULTICAST_ALL: 1, unix.IPV6_DONTFRAG: 0, unix.IPV6_UNICAST_IF: 0,
	unix.IPV6_MINHOPCOUNT: 0, unix.IPV6_RECVFRAGSIZE: 0, unix.IPV6_ROUTER_ALERT: 0,
	unix.IPV6_RECVERR_RFC4884: 0, unix.IPV6_ROUTER_ALERT_ISOLATE: 0,
}

func (s *Socket) getIPv6Option(name int) ([]byte, error) {
	so := s.endpoint().SocketOptions()
	switch name {
	case unix.IPV6_V6ONLY:
		return socket.Bool(so.GetV6Only()), nil
	case unix.IPV6_UNICAST_HOPS:
		v, terr := s.endpoint().GetSockOptInt(tcpip.IPv6HopLimitOption)
		if v == tcpip.UseDefaultIPv6HopLimit {
			v = 64
		}
		return socket.Int32(v), result(terr)
	case unix.IPV6_MULTICAST_HOPS:
		return s.getInt(tcpip.MulticastTTLOption)
	case unix.IPV6_MULTICAST_LOOP:
		return socket.Bool(so.GetMulticastLoop()), nil
	case unix.IPV6_MULTICAST_IF:
		return s.getInt(tcpip.IPv6MulticastInterfaceOption)
	case unix.IPV6_TCLASS:
		return s.getInt(tcpip.IPv6TrafficClassOption)
	case unix.IPV6_RECVPKTINFO:
		return socket.Bool(so.GetIPv6ReceivePacketInfo()), nil
	case unix.IPV6_RECVHOPLIMIT:
		return socket.Bool(so.GetReceiveHopLimit()), nil
	case unix.IPV6_RECVTCLASS:
		return socket.Bool(so.GetReceiveTClass()), nil
	case unix.IPV6_RECVERR:
		return socket.Bool(so.GetIPv6RecvError()), nil
	case unix.IPV6_RECVORIGDSTADDR:
		return socket.Bool(so.GetReceiveOriginalDstAddress()), nil
	case unix.IPV6_MTU_DISCOVER:
		return s.getInt(tcpip.MTUDiscoverOption)
	case unix.IPV6_CHECKSUM:
		return s.getInt(tcpip.IPv6Checksum)
	case unix.IPV6_MTU:
		return s.pathMTU()
	case unix.IPV6_TRANSPARENT:
		return socket.Int32(0), nil
	}
	if def, ok := keptIPv6[name]; ok {
		return s.recall(unix.SOL_IPV6, name, def), nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) setIPv6Option(c vfs.Caller, name int, value []byte) error {
	so := s.endpoint().SocketOptions()
	switch name {
	case unix.IPV6_JOIN_GROUP, unix.IPV6_LEAVE_GROUP:
		// struct ipv6_mreq: the group and an index.
		if len(value) < 20 {
			return unix.EINVAL
		}
		group := [16]byte(value[:16])
		index := tcpip.NICID(int32(binary.NativeEndian.Uint32(value[16:])))
		if !netip.AddrFrom16(group).IsMulticast() || index < 0 {
			return unix.EINVAL
		}
		return s.join(name == unix.IPV6_JOIN_GROUP, index, tcpip.Address{}, tcpip.AddrFrom16(group))
	case unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP:
		return s.setGroup(name == unix.MCAST_JOIN_GROUP, value)
	}
	v, err := socket.Int(value)
	if err != nil {
		return err
	}
	on := v != 0
	switch name {
	case unix.IPV6_V6ONLY:
		if a, terr := s.endpoint().GetLocalAddress(); terr == nil && a.Port != 0 {
			return unix.EINVAL // only before bind
		}
		so.SetV6Only(on)
	case unix.IPV6_UNICAST_HOPS:
		if v < -1 || v > 255 {
			return unix.EINVAL
		}
		return result(s.endpoint().SetSockOptInt(tcpip.IPv6HopLimitOption, int(v)))
	case unix.IPV6_MULTICAST_HOPS:
		if s.stream() {
			return unix.ENOPROTOOPT
		}
		if v < -1 || v > 255 {
			return unix.EINVAL
		}
		if v == -1 {
			v = 1
		}
		return result(s.endpoint().SetSockOptInt(tcpip.MulticastTTLOption, int(v)))
	case unix.IPV6_MULTICAST_LOOP:
		if v != 0 && v != 1 {
			return unix.EINVAL
		}
		so.SetMulticastLoop(on)
	case unix.IPV6_MULTICAST_IF:
		if v < 0 {
			return unix.ENODEV
		}
		return result(s.endpoint().SetSockOptInt(tcpip.IPv6MulticastInterfaceOption, int(v)))
	case unix.IPV6_TCLASS:
		if v < -1 || v > 255 {
			return unix.EINVAL
		}
		return result(s.endpoint().SetSockOptInt(tcpip.IPv6TrafficClassOption, int(max(v, 0))))
	case unix.IPV6_RECVPKTINFO:
		so.SetIPv6ReceivePacketInfo(on)
	case unix.IPV6_RECVHOPLIMIT:
		so.SetReceiveHopLimit(on)
	case unix.IPV6_RECVTCLASS:
		so.SetReceiveTClass(on)
	case unix.IPV6_RECVERR:
		so.SetIPv6RecvError(on)
	case unix.IPV6_RECVORIGDSTADDR:
		so.SetReceiveOriginalDstAddress(on)
	case unix.IPV6_MTU_DISCOVER:
		if v < unix.IP_PMTUDISC_DONT || v > unix.IP_PMTUDISC_OMIT {
			return unix.EINVAL
		}
		return s.setDiscover(int(v))
	case unix.IPV6_CHECKSUM:
		return result(s.endpoint().SetSockOptInt(tcpip.IPv6Checksum, int(v)))
	case unix.IPV6_MTU:
		if v < 1280 && v != 0 {
			return unix.EINVAL
		}
		s.keep(unix.SOL_IPV6, name, value[:4])
	case unix.IPV6_TRANSPARENT:
		if on {
			return unix.EOPNOTSUPP
		}
	default:
		if _, ok := keptIPv6[name]; !ok {
			return unix.ENOPROTOOPT
		}
		s.keep(unix.SOL_IPV6, name, value[:4])
	}
	return nil
}
