package inet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"ringfort/netstack"
	"ringfort/sentry/socket"
	"ringfort/sentry/vfs"
)

// keptIP are options of ip(7) that are remembered and change nothing here.
var keptIP = map[int]int{
	unix.IP_BIND_ADDRESS_NO_PORT: 0, unix.IP_FREEBIND: 0, unix.IP_MULTICAST_ALL: 1, unix.IP_RECVOPTS: 0,
	unix.IP_RETOPTS: 0, unix.IP_PASSSEC: 0, unix.IP_MINTTL: 0, unix.IP_NODEFRAG: 0, unix.IP_CHECKSUM: 0,
	unix.IP_ROUTER_ALERT: 0, unix.IP_RECVFRAGSIZE: 0, unix.IP_RECVERR_RFC4884: 0, unix.IP_LOCAL_PORT_RANGE: 0,
	unix.IP_UNICAST_IF: 0,
}

func (s *Socket) getIPOption(name int) ([]byte, error) {
	so := s.endpoint().SocketOptions()
	switch name {
	case unix.IP_TOS:
		return s.getInt(tcpip.IPv4TOSOption)
	case unix.IP_TTL:
		v, terr := s.endpoint().GetSockOptInt(tcpip.IPv4TTLOption)
		if v == tcpip.UseDefaultIPv4TTL {
			v = 64
		}
		return socket.Int32(v), result(terr)
	case unix.IP_MULTICAST_TTL:
		return s.getInt(tcpip.MulticastTTLOption)
	case unix.IP_MTU_DISCOVER:
		return s.getInt(tcpip.MTUDiscoverOption)
	case unix.IP_MULTICAST_LOOP:
		return socket.Bool(so.GetMulticastLoop()), nil
	case unix.IP_MULTICAST_IF:
		var v tcpip.MulticastInterfaceOption
		if err := result(s.endpoint().GetSockOpt(&v)); err != nil {
			return nil, err
		}
		b := make([]byte, 4)
		put4(b, v.InterfaceAddr)
		return b, nil
	case unix.IP_PKTINFO:
		return socket.Bool(so.GetReceivePacketInfo()), nil
	case unix.IP_RECVTTL:
		return socket.Bool(so.GetReceiveTTL()), nil
	case unix.IP_RECVTOS:
		return socket.Bool(so.GetReceiveTOS()), nil
	case unix.IP_RECVERR:
		return socket.Bool(so.GetIPv4RecvError()), nil
	case unix.IP_HDRINCL:
		return socket.Bool(so.GetHeaderIncluded()), nil
	case unix.IP_RECVORIGDSTADDR:
		return socket.Bool(so.GetReceiveOriginalDstAddress()), nil
	case unix.IP_TRANSPARENT:
		return socket.Int32(0), nil
	case unix.IP_OPTIONS:
		return []byte{}, nil
	case unix.IP_MTU:
		return s.pathMTU()
	}
	if def, ok := keptIP[name]; ok {
		return s.recall(unix.SOL_IP, name, def), nil
	}
	return nil, unix.ENOPROTOOPT
}

// pathMTU is IP_MTU and IPV6_MTU: of the link towards the peer.
func (s *Socket) pathMTU() ([]byte, error) {
	local, terr := s.endpoint().GetLocalAddress()
	if _, err := s.endpoint().GetRemoteAddress(); err != nil || terr != nil {
		return nil, unix.ENOTCONN
	}
	for _, i := range s.ns.Stack.Interfaces() {
		for _, a := range i.Addresses {
			if a.Prefix.Addr() == netstack.FromTCPIP(local.Addr).Unmap() {
				return socket.Int32(int(i.MTU)), nil
			}
		}
	}
	return socket.Int32(65535), nil // within the host
}

// intOrByte reads an option that may be an int or a single byte (ip(7)).
func intOrByte(value []byte) (int32, error) {
	if len(value) >= 4 {
		return socket.Int(value)
	}
	if len(value) >= 1 {
		return int32(value[0]), nil
	}
	return 0, unix.EINVAL
}

func (s *Socket) setIPOption(c vfs.Caller, name int, value []byte) error {
	so := s.endpoint().SocketOptions()
	switch name {
	case unix.IP_ADD_MEMBERSHIP, unix.IP_DROP_MEMBERSHIP, unix.IP_MULTICAST_IF:
		return s.setMembership(name, value)
	case unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP:
		return s.setGroup(name == unix.MCAST_JOIN_GROUP, value)
	case unix.IP_ADD_SOURCE_MEMBERSHIP, unix.IP_DROP_SOURCE_MEMBERSHIP, unix.IP_BLOCK_SOURCE, unix.IP_UNBLOCK_SOURCE,
		unix.IP_MSFILTER, unix.MCAST_JOIN_SOURCE_GROUP, unix.MCAST_LEAVE_SOURCE_GROUP, unix.MCAST_BLOCK_SOURCE,
		unix.MCAST_UNBLOCK_SOURCE, unix.MCAST_MSFILTER:
		return unix.EOPNOTSUPP // tcpip joins groups, not sources
	case unix.IP_OPTIONS:
		if len(value) == 0 {
			return nil
		}
		return unix.EOPNOTSUPP
	}
	v, err := intOrByte(value)
	if err != nil {
		return err
	}
	on := v != 0
	switch name {
	case unix.IP_TOS:
		return result(s.endpoint().SetSockOptInt(tcpip.IPv4TOSOption, int(v&0xff)))
	case unix.IP_TTL:
		if v == -1 {
			v = tcpip.UseDefaultIPv4TTL
		} else if v < 1 || v > 255 {
			return unix.EINVAL
		}
		return result(s.endpoint().SetSockOptInt(tcpip.IPv4TTLOption, int(v)))
	case unix.IP_MULTICAST_TTL:
		if s.stream() || v < -1 || v > 255 {
			return unix.EINVAL
		}
		if v == -1 {
			v = 1
		}
		return result(s.endpoint().SetSockOptInt(tcpip.MulticastTTLOption, int(v)))
	case unix.IP_MTU_DISCOVER:
		if v < unix.IP_PMTUDISC_DONT || v > unix.IP_PMTUDISC_OMIT {
			return unix.EINVAL
		}
		return s.setDiscover(int(v))
	case unix.IP_MULTICAST_LOOP:
		so.SetMulticastLoop(on)
	case unix.IP_PKTINFO:
		so.SetReceivePacketInfo(on)
	case unix.IP_RECVTTL:
		so.SetReceiveTTL(on)
	case unix.IP_RECVTOS:
		so.SetReceiveTOS(on)
	case unix.IP_RECVERR:
		so.SetIPv4RecvError(on)
	case unix.IP_HDRINCL:
		if s.Type() != unix.SOCK_RAW {
			return unix.ENOPROTOOPT
		}
		so.SetHeaderIncluded(on)
	case unix.IP_RECVORIGDSTADDR:
		so.SetReceiveOriginalDstAddress(on)
	case unix.IP_TRANSPARENT:
		if !on {
			return nil
		}
		if !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
			return unix.EPERM
		}
		return unix.EOPNOTSUPP
	default:
		if _, ok := keptIP[name]; !ok {
			return unix.ENOPROTOOPT
		}
		s.keep(unix.SOL_IP, name, socket.Int32(int(v)))
	}
	return nil
}

// setDiscover sets path MTU discovery; what tcpip has no word for is
// remembered as what comes nearest.
func (s *Socket) setDiscover(v int) error {
	switch v {
	case unix.IP_PMTUDISC_INTERFACE, unix.IP_PMTUDISC_OMIT:
		v = int(tcpip.PMTUDiscoveryDont)
	case unix.IP_PMTUDISC_WANT:
		v = int(tcpip.PMTUDiscoveryWant)
	case unix.IP_PMTUDISC_DONT:
		v = int(tcpip.PMTUDiscoveryDont)
	case unix.IP_PMTUDISC_DO:
		v = int(tcpip.PMTUDiscoveryDo)
	default:
		v = int(tcpip.PMTUDiscoveryProbe)
	}
	if terr := s.endpoint().SetSockOptInt(tcpip.MTUDiscoverOption, v); terr != nil {
		if _, ok := terr.(*tcpip.ErrNotSupported); ok && s.stream() {
			return nil // TCP always discovers
		}
		return netstack.Errno(terr)
	}
	return nil
}

// setMembership takes a struct ip_mreqn, ip_mreq or, for IP_MULTICAST_IF, an
// in_addr.
func (s *Socket) setMembership(name int, value []byte) error {
	var group, local [4]byte
	var index int32
	switch {
	case len(value) >= 12:
		index = int32(binary.NativeEndian.Uint32(value[8:]))
		fallthrough
	case len(value) >= 8:
		copy(group[:], value[:4])
		copy(local[:], value[4:8])
	case len(value) >= 4 && name == unix.IP_MULTICAST_IF:
		copy(local[:], value[:4])
	default:
		return unix.EINVAL
	}
	if index < 0 {
		return unix.EINVAL
	}
	var ifAddr tcpip.Address
	if local != ([4]byte{}) {
		ifAddr = tcpip.AddrFrom4(local)
	}
	nic := tcpip.NICID(index)
	if name == unix.IP_MULTICAST_IF {
		return result(s.endpoint().SetSockOpt(&tcpip.MulticastInterfaceOption{NIC: nic, InterfaceAddr: ifAddr}))
	}
	if !netip.AddrFrom4(group).IsMulticast() {
		return unix.EINVAL
	}
	return s.join(name == unix.IP_ADD_MEMBERSHIP, nic, ifAddr, tcpip.AddrFrom4(group))
}

// join joins or leaves a group.
func (s *Socket) join(add bool, nic tcpip.NICID, ifAddr, group tcpip.Address) error {
	var terr tcpip.Error
	if add {
		terr = s.endpoint().SetSockOpt(&tcpip.AddMembershipOption{NIC: nic, InterfaceAddr: ifAddr, MulticastAddr: group})
	} else {
		terr = s.endpoint().SetSockOpt(&tcpip.RemoveMembershipOption{NIC: nic, InterfaceAddr: ifAddr, MulticastAddr: group})
	}
	if _, ok := terr.(*tcpip.ErrPortInUse); ok {
		return unix.EADDRINUSE
	}
	return result(terr)
}

// setGroup takes a struct group_req: an index and a socket address of either
// family at offset 8.
func (s *Socket) setGroup(add bool, value []byte) error {
	if len(value) < 8+sizeofIn6 {
		return unix.EINVAL
	}
	index := tcpip.NICID(int32(binary.NativeEndian.Uint32(value)))
	if index < 0 {
		return unix.EINVAL
	}
	sa := value[8:]
	switch family(sa) {
	case unix.AF_INET:
		return s.join(add, index, tcpip.Address{}, tcpip.AddrFrom4([4]byte(sa[4:8])))
	case unix.AF_INET6:
		return s.join(add, index, tcpip.Address{}, tcpip.AddrFrom16([16]byte(sa[8:24])))
	}
	return unix.EADDRNOTAVAIL
}
