package inet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"ringfort/netstack"
	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
)

// sendControl translates control messages of a send. EINVAL for one that is
// malformed or not known, as Linux.
func (s *Socket) sendControl(ctl *socket.Control, out *tcpip.SendableControlMessages) error {
	for _, m := range ctl.Raw {
		switch {
		case m.Level == unix.SOL_IP && m.Type == unix.IP_TTL && len(m.Data) >= 4:
			v := int32(binary.NativeEndian.Uint32(m.Data))
			if v < 1 || v > 255 {
				return unix.EINVAL
			}
			out.HasTTL, out.TTL = true, uint8(v)
		case m.Level == unix.SOL_IP && m.Type == unix.IP_TOS && len(m.Data) >= 1:
			// tcpip has no type of service for one packet; the socket's is used.
		case m.Level == unix.SOL_IP && m.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			if err := s.checkPacketInfo(m.Data); err != nil {
				return err
			}
		case m.Level == unix.SOL_IPV6 && m.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			v := int32(binary.NativeEndian.Uint32(m.Data))
			if v < -1 || v > 255 {
				return unix.EINVAL
			}
			if v >= 0 {
				out.HasHopLimit, out.HopLimit = true, uint8(v)
			}
		case m.Level == unix.SOL_IPV6 && m.Type == unix.IPV6_TCLASS && len(m.Data) >= 4:
			// As for IP_TOS.
		case m.Level == unix.SOL_IPV6 && m.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			info := tcpip.IPv6PacketInfo{NIC: tcpip.NICID(binary.NativeEndian.Uint32(m.Data[16:]))}
			if ip := [16]byte(m.Data[:16]); ip != ([16]byte{}) {
				info.Addr = tcpip.AddrFrom16(ip)
			}
			out.HasIPv6PacketInfo, out.IPv6PacketInfo = true, info
		case m.Level == unix.SOL_SOCKET:
			// SO_TXTIME, SO_MARK and their like steer queues there are none of.
		case m.Level == unix.SOL_UDP && m.Type == unix.UDP_SEGMENT:
			return unix.EINVAL
		default:
			return unix.EINVAL
		}
	}
	return nil
}

// checkPacketInfo accepts an IP_PKTINFO that names an address of this host.
// tcpip picks the source by the route; with one address a link, as in
// containers, that is the same.
func (s *Socket) checkPacketInfo(b []byte) error {
	src := netip.AddrFrom4([4]byte(b[4:8]))
	if index := int32(binary.NativeEndian.Uint32(b)); index != 0 && s.ns.Stack.NameByIndex(int(index)) == "" {
		return unix.ENODEV
	}
	if !src.IsUnspecified() && !s.ns.Stack.IsLocal(src) {
		return unix.EINVAL
	}
	return nil
}

// recvControl reports what the socket's options ask for.
func (s *Socket) recvControl(cm *tcpip.ReceivableControlMessages, r *socket.Received) {
	var raw []socket.Raw
	add := func(level, typ int32, data []byte) {
		raw = append(raw, socket.Raw{Level: level, Type: typ, Data: data})
	}
	if opt := s.stampRecv.Load(); opt != 0 {
		t := stampOf(cm)
		b := make([]byte, 16)
		binary.NativeEndian.PutUint64(b, uint64(t.Unix()))
		frac := uint64(t.Nanosecond())
		if opt == unix.SO_TIMESTAMP || opt == unix.SO_TIMESTAMP_NEW {
			frac /= 1000
		}
		binary.NativeEndian.PutUint64(b[8:], frac)
		add(unix.SOL_SOCKET, opt, b)
	}
	if l := s.link.Load(); l != nil && s.tcpInq.Load() {
		in, _ := l.queued()
		add(unix.SOL_TCP, unix.TCP_CM_INQ, socket.Int32(in))
	} else if s.tcpInq.Load() && s.stream() {
		if v, terr := s.endpoint().GetSockOptInt(tcpip.ReceiveQueueSizeOption); terr == nil {
			add(unix.SOL_TCP, unix.TCP_CM_INQ, socket.Int32(v))
		}
	}
	if cm.HasIPPacketInfo {
		b := make([]byte, unix.SizeofInet4Pktinfo)
		binary.NativeEndian.PutUint32(b, uint32(cm.PacketInfo.NIC))
		put4(b[4:], cm.PacketInfo.LocalAddr)
		put4(b[8:], cm.PacketInfo.DestinationAddr)
		add(unix.SOL_IP, unix.IP_PKTINFO, b)
	}
	if cm.HasTTL {
		add(unix.SOL_IP, unix.IP_TTL, socket.Int32(int(cm.TTL)))
	}
	if cm.HasTOS {
		add(unix.SOL_IP, unix.IP_TOS, []byte{cm.TOS})
	}
	if cm.HasOriginalDstAddress {
		if s.Family() == unix.AF_INET {
			add(unix.SOL_IP, unix.IP_RECVORIGDSTADDR, s.format(cm.OriginalDstAddress))
		} else {
			add(unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, s.format(cm.OriginalDstAddress))
		}
	}
	if cm.HasIPv6PacketInfo {
		b := make([]byte, unix.SizeofInet6Pktinfo)
		a := netstack.FromTCPIP(cm.IPv6PacketInfo.Addr).As16()
		copy(b, a[:])
		binary.NativeEndian.PutUint32(b[16:], uint32(cm.IPv6PacketInfo.NIC))
		add(unix.SOL_IPV6, unix.IPV6_PKTINFO, b)
	}
	if cm.HasHopLimit {
		add(unix.SOL_IPV6, unix.IPV6_HOPLIMIT, socket.Int32(int(cm.HopLimit)))
	}
	if cm.HasTClass {
		add(unix.SOL_IPV6, unix.IPV6_TCLASS, socket.Int32(int(cm.TClass)))
	}
	if len(raw) > 0 {
		r.Control = &socket.Control{Raw: raw}
	}
}

func put4(b []byte, a tcpip.Address) {
	if a.Len() == 4 {
		v := a.As4()
		copy(b, v[:])
	}
}

// recvError takes one entry off the error queue (recv(2), MSG_ERRQUEUE): the
// payload of the packet it is about, and a struct sock_extended_err followed
// by the address of who reported it.
func (s *Socket) recvError(dst usermem.Seq, r *socket.Received) (int64, error) {
	e := s.endpoint().SocketOptions().DequeueErr()
	if e == nil {
		return 0, unix.EAGAIN
	}
	r.Flags |= unix.MSG_ERRQUEUE
	r.From = s.format(e.Dst)
	ext := make([]byte, 16)
	binary.NativeEndian.PutUint32(ext, uint32(netstack.Errno(e.Err)))
	ext[4], ext[5], ext[6] = byte(e.Cause.Origin()), e.Cause.Type(), e.Cause.Code()
	binary.NativeEndian.PutUint32(ext[8:], e.Cause.Info())
	fam, level, typ := unix.AF_INET, int32(unix.SOL_IP), int32(unix.IP_RECVERR)
	if s.Family() == unix.AF_INET6 {
		fam, level, typ = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	if e.Cause.Origin().IsICMPErr() {
		ext = append(ext, formatAddr(fam, e.Offender)...)
	} else {
		ext = append(ext, make([]byte, sizeofIn)...)
	}
	if r.WantControl {
		r.Control = &socket.Control{Raw: []socket.Raw{{Level: level, Type: typ, Data: ext}}}
	}
	var payload []byte
	if e.Payload != nil {
		payload = e.Payload.AsSlice()
	}
	n, err := dst.CopyOut(payload)
	if n < min(len(payload), dst.Len()) {
		return 0, err
	}
	r.Full = int64(len(payload))
	if n < len(payload) {
		r.Flags |= unix.MSG_TRUNC
	}
	return int64(n), nil
}
