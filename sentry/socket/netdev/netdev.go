// Package netdev implements the ioctls of netdevice(7), which any socket
// takes.
//
// It owns nothing: it translates struct ifreq to calls on the namespace's
// stack. It must never trust a length in an ifconf. It takes no locks.
package netdev

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"ringfort/netstack"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// ifreqSize is sizeof(struct ifreq) on x86-64; the value follows the name.
const ifreqSize = 40

// ifreq is a struct ifreq.
type ifreq [ifreqSize]byte

func (r *ifreq) name() string {
	n := r[:unix.IFNAMSIZ-1]
	if i := bytes.IndexByte(n, 0); i >= 0 {
		n = n[:i]
	}
	return string(n)
}

func (r *ifreq) setName(s string) {
	clear(r[:unix.IFNAMSIZ])
	copy(r[:unix.IFNAMSIZ-1], s)
}

func (r *ifreq) value() []byte { return r[unix.IFNAMSIZ:] }

func (r *ifreq) setInt(v int32) {
	binary.NativeEndian.PutUint32(r.value(), uint32(v))
}

func (r *ifreq) int() int32 { return int32(binary.NativeEndian.Uint32(r.value())) }

// setAddr stores a struct sockaddr_in.
func (r *ifreq) setAddr(a netip.Addr) {
	v := r.value()
	clear(v)
	binary.NativeEndian.PutUint16(v, unix.AF_INET)
	if a.Is4() {
		b := a.As4()
		copy(v[4:], b[:])
	}
}

// Ioctl performs an ioctl on the interfaces of ns; ENOTTY if cmd is none.
func Ioctl(c vfs.Caller, ns *netns.Namespace, cmd uint32, arg usermem.Addr) (uintptr, error) {
	switch cmd {
	case unix.SIOCGIFCONF:
		return 0, ifconf(c, ns.Stack, arg)
	case unix.SIOCGIFNAME, unix.SIOCGIFINDEX, unix.SIOCGIFFLAGS, unix.SIOCGIFADDR, unix.SIOCGIFNETMASK,
		unix.SIOCGIFBRDADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFMTU, unix.SIOCGIFHWADDR, unix.SIOCGIFTXQLEN,
		unix.SIOCGIFMETRIC, unix.SIOCGIFMAP, unix.SIOCETHTOOL:
	case unix.SIOCSIFFLAGS, unix.SIOCSIFMTU, unix.SIOCSIFNAME, unix.SIOCSIFHWADDR:
		if !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, ns.UserNS) {
			return 0, unix.EPERM
		}
	case unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFBRDADDR, unix.SIOCSIFDSTADDR, unix.SIOCADDRT, unix.SIOCDELRT:
		return 0, unix.EOPNOTSUPP // rtnetlink does these
	default:
		return 0, unix.ENOTTY
	}
	var r ifreq
	if _, err := c.Memory().CopyIn(arg, r[:]); err != nil {
		return 0, err
	}
	if err := do(ns.Stack, cmd, &r); err != nil {
		return 0, err
	}
	_, err := c.Memory().CopyOut(arg, r[:])
	return 0, err
}

func do(s *netstack.Stack, cmd uint32, r *ifreq) error {
	if cmd == unix.SIOCGIFNAME {
		name := s.NameByIndex(int(r.int()))
		if name == "" {
			return unix.ENODEV
		}
		r.setName(name)
		return nil
	}
	i, ok := s.InterfaceByName(r.name())
	if !ok {
		return unix.ENODEV
	}
	switch cmd {
	case unix.SIOCGIFINDEX:
		r.setInt(int32(i.Index))
	case unix.SIOCGIFFLAGS:
		binary.NativeEndian.PutUint16(r.value(), uint16(i.Flags))
	case unix.SIOCGIFMTU:
		r.setInt(int32(i.MTU))
	case unix.SIOCGIFTXQLEN:
		r.setInt(int32(i.TxQueueLen))
	case unix.SIOCGIFMETRIC:
		r.setInt(0)
	case unix.SIOCGIFMAP:
		clear(r.value())
	case unix.SIOCGIFHWADDR:
		clear(r.value())
		binary.NativeEndian.PutUint16(r.value(), i.Type)
		copy(r.value()[2:], i.MAC)
	case unix.SIOCETHTOOL:
		return unix.EOPNOTSUPP
	case unix.SIOCSIFFLAGS:
		return s.SetUp(i.Index, binary.NativeEndian.Uint16(r.value())&unix.IFF_UP != 0)
	case unix.SIOCSIFMTU:
		return s.SetMTU(i.Index, uint32(r.int()))
	case unix.SIOCSIFNAME:
		n := r.value()[:unix.IFNAMSIZ]
		if j := bytes.IndexByte(n, 0); j >= 0 {
			n = n[:j]
		}
		return s.Rename(i.Index, string(n))
	case unix.SIOCSIFHWADDR:
		return s.SetMAC(i.Index, net.HardwareAddr(bytes.Clone(r.value()[2:8])))
	default:
		return address(cmd, &i, r)
	}
	return nil
}

// address answers the requests about the first IPv4 address of a link.
func address(cmd uint32, i *netstack.Interface, r *ifreq) error {
	for _, a := range i.Addresses {
		ip := a.Prefix.Addr()
		if !ip.Is4() {
			continue
		}
		switch cmd {
		case unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR:
			r.setAddr(ip)
		case unix.SIOCGIFNETMASK:
			m := net.CIDRMask(a.Prefix.Bits(), 32)
			r.setAddr(netip.AddrFrom4([4]byte(m)))
		case unix.SIOCGIFBRDADDR:
			b := a.Broadcast
			if !b.IsValid() {
				b = netip.IPv4Unspecified()
			}
			r.setAddr(b)
		}
		return nil
	}
	return unix.EADDRNOTAVAIL
}

// ifconf lists the IPv4 addresses (SIOCGIFCONF): a buffer too short takes
// whole entries only, a null pointer asks for the length.
func ifconf(c vfs.Caller, s *netstack.Stack, arg usermem.Addr) error {
	type ifconfArg struct {
		Len int32
		_   int32
		Buf uint64
	}
	conf, err := usermem.CopyInVal[ifconfArg](c.Memory(), arg)
	if err != nil {
		return err
	}
	var out []byte
	for _, i := range s.Interfaces() {
		for _, a := range i.Addresses {
			if !a.Prefix.Addr().Is4() {
				continue
			}
			var r ifreq
			r.setName(i.Name)
			r.setAddr(a.Prefix.Addr())
			if conf.Buf == 0 || int64(len(out))+ifreqSize <= int64(conf.Len) {
				out = append(out, r[:]...)
			}
		}
	}
	conf.Len = int32(len(out))
	if conf.Buf != 0 {
		if _, err := c.Memory().CopyOut(usermem.Addr(conf.Buf), out); err != nil {
			return err
		}
	}
	return usermem.CopyOutVal(c.Memory(), arg, &conf)
}
