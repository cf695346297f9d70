package inet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"ringfort/netstack"
)

// Sizes of socket addresses in bytes. An IPv6 address without its scope is
// taken too (SIN6_LEN_RFC2133).
const (
	sizeofIn     = 16
	sizeofIn6    = 28
	sizeofIn6Old = 24
)

func family(addr []byte) int { return int(binary.NativeEndian.Uint16(addr)) }

// parse reads a struct sockaddr_in or sockaddr_in6. The unspecified address
// becomes tcpip's empty one. A destination that is the namespace's resolver
// becomes where the stack has it.
func (s *Socket) parse(addr []byte, bind bool) (tcpip.FullAddress, error) {
	a, err := s.parseAddr(addr, bind)
	if err == nil && !bind && a.Port == 53 {
		if port := s.ns.Stack.ResolverPort(s.stream(), a); port != 0 {
			a.Port = port
		}
	}
	return a, err
}

func (s *Socket) parseAddr(addr []byte, bind bool) (tcpip.FullAddress, error) {
	if len(addr) < 2 {
		return tcpip.FullAddress{}, unix.EINVAL
	}
	fam := family(addr)
	if s.Family() == unix.AF_INET {
		if len(addr) < sizeofIn {
			return tcpip.FullAddress{}, unix.EINVAL
		}
		if fam != unix.AF_INET && !(bind && fam == unix.AF_UNSPEC && [4]byte(addr[4:8]) == [4]byte{}) {
			return tcpip.FullAddress{}, unix.EAFNOSUPPORT
		}
		return parseIn(addr), nil
	}
	switch {
	case fam == unix.AF_INET && !bind && !s.stream() && len(addr) >= sizeofIn:
		if s.endpoint().SocketOptions().GetV6Only() {
			return tcpip.FullAddress{}, unix.EAFNOSUPPORT
		}
		a := parseIn(addr)
		ip := [4]byte{127, 0, 0, 1} // what 0.0.0.0 means as a destination
		if a.Addr.Len() == 4 {
			ip = a.Addr.As4()
		}
		a.Addr = tcpip.AddrFrom16(netip.AddrFrom4(ip).As16())
		return a, nil
	case len(addr) < sizeofIn6Old:
		return tcpip.FullAddress{}, unix.EINVAL
	case fam != unix.AF_INET6:
		return tcpip.FullAddress{}, unix.EAFNOSUPPORT
	}
	a := tcpip.FullAddress{Port: s.port(addr)}
	if ip := [16]byte(addr[8:24]); ip != ([16]byte{}) {
		a.Addr = tcpip.AddrFrom16(ip)
		if netip.AddrFrom16(ip).IsLinkLocalUnicast() || netip.AddrFrom16(ip).IsLinkLocalMulticast() {
			if len(addr) >= sizeofIn6 {
				a.NIC = tcpip.NICID(int32(binary.NativeEndian.Uint32(addr[24:])))
			}
			if a.NIC < 0 || bind && a.NIC == 0 && s.endpoint().SocketOptions().GetBindToDevice() == 0 {
				return tcpip.FullAddress{}, unix.EINVAL
			}
		}
	}
	return a, nil
}

func parseIn(addr []byte) tcpip.FullAddress {
	a := tcpip.FullAddress{Port: binary.BigEndian.Uint16(addr[2:])}
	if ip := [4]byte(addr[4:8]); ip != ([4]byte{}) {
		a.Addr = tcpip.AddrFrom4(ip)
	}
	return a
}

// port reads the port; raw sockets have none.
func (s *Socket) port(addr []byte) uint16 {
	if s.Type() == unix.SOCK_RAW {
		return 0
	}
	return binary.BigEndian.Uint16(addr[2:])
}

// anyToLoopback makes a destination of the unspecified address mean this
// host, as Linux does.
func (s *Socket) anyToLoopback(a tcpip.FullAddress) tcpip.FullAddress {
	if a.Addr.Len() != 0 {
		return a
	}
	if s.Family() == unix.AF_INET {
		a.Addr = tcpip.AddrFrom4([4]byte{127, 0, 0, 1})
	} else {
		a.Addr = tcpip.AddrFrom16(netip.IPv6Loopback().As16())
	}
	return a
}

// format writes an address of the socket's family. IPv4 addresses of an
// AF_INET6 socket are mapped.
func (s *Socket) format(a tcpip.FullAddress) []byte {
	if s.ns.Stack.IsResolver(s.stream(), a) {
		a.Port = 53
	}
	return formatAddr(s.Family(), a)
}

func formatAddr(fam int, a tcpip.FullAddress) []byte {
	ip := netstack.FromTCPIP(a.Addr)
	if fam == unix.AF_INET {
		b := make([]byte, sizeofIn)
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		binary.BigEndian.PutUint16(b[2:], a.Port)
		if ip = ip.Unmap(); ip.Is4() {
			v := ip.As4()
			copy(b[4:], v[:])
		}
		return b
	}
	b := make([]byte, sizeofIn6)
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	binary.BigEndian.PutUint16(b[2:], a.Port)
	if ip.IsValid() {
		v := ip.As16()
		copy(b[8:], v[:])
		if ip.Is6() && (ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast()) {
			binary.NativeEndian.PutUint32(b[24:], uint32(a.NIC))
		}
	}
	return b
}
