package proc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/netstack"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/vfs"
)

// netDir is /proc/PID/net: the task's network namespace.
func (o dirOf) netDir(c vfs.Caller) *fsutil.Dir {
	d := o.dir(c, 0555)
	stack := func(gen func(s *netstack.Stack) string) func(vfs.Caller) (string, error) {
		return func(vfs.Caller) (string, error) {
			ns := o.t.NetNS()
			if ns == nil || ns.Stack == nil {
				return "", unix.EINVAL
			}
			return gen(ns.Stack), nil
		}
	}
	for _, f := range [...]struct {
		name string
		gen  func(s *netstack.Stack) string
	}{
		{"arp", netARP}, {"dev", netDev}, {"if_inet6", netIfInet6}, {"ipv6_route", netRoute6}, {"route", netRoute},
		{"snmp", netSNMP}, {"sockstat", netSockstat},
	} {
		d.Add(f.name, o.text(c, 0444, stack(f.gen)))
	}
	const inet = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const inet6 = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for _, f := range [...]struct {
		name, header  string
		family, proto int
	}{
		{"icmp", inet, unix.AF_INET, unix.IPPROTO_ICMP}, {"icmp6", inet6, unix.AF_INET6, unix.IPPROTO_ICMPV6},
		{"raw", inet, unix.AF_INET, unix.IPPROTO_RAW}, {"raw6", inet6, unix.AF_INET6, unix.IPPROTO_RAW},
		{"tcp", inet, unix.AF_INET, unix.IPPROTO_TCP}, {"tcp6", inet6, unix.AF_INET6, unix.IPPROTO_TCP},
		{"udp", inet, unix.AF_INET, unix.IPPROTO_UDP}, {"udp6", inet6, unix.AF_INET6, unix.IPPROTO_UDP},
	} {
		d.Add(f.name, o.text(c, 0444, func(vfs.Caller) (string, error) {
			return f.header + o.inetSockets(f.family, f.proto), nil
		}))
	}
	d.Add("unix", o.text(c, 0444, func(vfs.Caller) (string, error) {
		return "Num       RefCount Protocol Flags    Type St Inode Path\n" + o.unixSockets(), nil
	}))
	d.Add("packet", o.text(c, 0444, func(vfs.Caller) (string, error) {
		return "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n", nil
	}))
	d.Add("netlink", o.text(c, 0444, func(vfs.Caller) (string, error) {
		return "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n", nil
	}))
	d.Add("protocols", o.text(c, 0444, func(vfs.Caller) (string, error) {
		return "protocol  size sockets  memory press maxhdr  slab module\n", nil
	}))
	return d
}

func netDev(s *netstack.Stack) string {
	var b strings.Builder
	b.WriteString("Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
	for _, i := range s.Interfaces() {
		st := i.Stats
		fmt.Fprintf(&b, "%6s: %7d %7d %4d %4d    0     0          0         0 %8d %7d %4d %4d    0     0       0          0\n",
			i.Name, st.RxBytes, st.RxPackets, st.RxErrors, st.RxDropped, st.TxBytes, st.TxPackets, st.TxErrors, st.TxDropped)
	}
	return b.String()
}

// hex4 is an IPv4 address as proc shows it: the bytes in memory read as a native number.
func hex4(a netip.Addr) string {
	if !a.Is4() {
		return "00000000"
	}
	b := a.As4()
	return fmt.Sprintf("%08X", binary.LittleEndian.Uint32(b[:]))
}

func hex6(a netip.Addr) string {
	if !a.IsValid() {
		return strings.Repeat("0", 32)
	}
	b := a.As16()
	return fmt.Sprintf("%x", b[:])
}

func netRoute(s *netstack.Stack) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-127s\n", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
	for _, r := range s.Routes() {
		if !r.Dst.Addr().Is4() || r.Dst.Addr().IsLoopback() {
			continue
		}
		flags := 1 // RTF_UP
		if r.Gateway.IsValid() {
			flags |= 2 // RTF_GATEWAY
		}
		if r.Dst.Bits() == 32 {
			flags |= 4 // RTF_HOST
		}
		mask := uint32(0)
		if n := r.Dst.Bits(); n > 0 {
			mask = ^uint32(0) << (32 - n)
		}
		var m [4]byte
		binary.BigEndian.PutUint32(m[:], mask)
		fmt.Fprintf(&b, "%-127s\n", fmt.Sprintf("%s\t%s\t%s\t%04X\t%d\t%d\t%d\t%s\t%d\t%d\t%d", s.NameByIndex(r.Link), hex4(r.Dst.Addr()),
			hex4(r.Gateway), flags, 0, 0, r.Metric, hex4(netip.AddrFrom4(m)), r.MTU, 0, 0))
	}
	return b.String()
}

func netRoute6(s *netstack.Stack) string {
	var b strings.Builder
	for _, r := range s.Routes() {
		if !r.Dst.Addr().Is6() {
			continue
		}
		flags := 1
		if r.Gateway.IsValid() {
			flags |= 2
		}
		fmt.Fprintf(&b, "%s %02x %s 00 %s %08x %08x %08x %08x %8s\n", hex6(r.Dst.Addr()), r.Dst.Bits(), strings.Repeat("0", 32),
			hex6(r.Gateway), r.Metric, 1, 0, flags, s.NameByIndex(r.Link))
	}
	return b.String()
}

func netIfInet6(s *netstack.Stack) string {
	var b strings.Builder
	for _, i := range s.Interfaces() {
		for _, a := range i.Addresses {
			if addr := a.Prefix.Addr(); addr.Is6() {
				fmt.Fprintf(&b, "%s %02x %02x %02x 80 %8s\n", hex6(addr), i.Index, a.Prefix.Bits(), scope6(addr), i.Name)
			}
		}
	}
	return b.String()
}

// scope6 is IFA_HOST, IFA_LINK or IFA_GLOBAL (include/net/if_inet6.h).
func scope6(a netip.Addr) int {
	switch {
	case a.IsLoopback():
		return 0x10
	case a.IsLinkLocalUnicast():
		return 0x20
	}
	return 0
}

func netARP(s *netstack.Stack) string {
	var b strings.Builder
	b.WriteString("IP address       HW type     Flags       HW address            Mask     Device\n")
	for _, n := range s.Neighbours() {
		if n.Addr.Is4() {
			fmt.Fprintf(&b, "%-16s 0x%-10x0x%-10x%-17s     *        %s\n", n.Addr, 1, 2, n.MAC, s.NameByIndex(n.Link))
		}
	}
	return b.String()
}

func netSNMP(s *netstack.Stack) string {
	st := s.Stats()
	var b strings.Builder
	fmt.Fprintf(&b, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors InDelivers OutRequests OutDiscards\n"+
		"Ip: 2 64 %d %d %d %d %d %d\n", st.IP.PacketsReceived.Value(), st.IP.MalformedPacketsReceived.Value(),
		st.IP.InvalidDestinationAddressesReceived.Value(), st.IP.PacketsDelivered.Value(), st.IP.PacketsSent.Value(), st.IP.OutgoingPacketErrors.Value())
	fmt.Fprintf(&b, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts\n"+
		"Tcp: 1 200 120000 -1 %d %d %d %d %d %d %d %d %d %d\n", st.TCP.ActiveConnectionOpenings.Value(), st.TCP.PassiveConnectionOpenings.Value(),
		st.TCP.FailedConnectionAttempts.Value(), st.TCP.EstablishedResets.Value(), st.TCP.CurrentEstablished.Value(),
		st.TCP.ValidSegmentsReceived.Value(), st.TCP.SegmentsSent.Value(), st.TCP.Retransmits.Value(),
		st.TCP.InvalidSegmentsReceived.Value(), st.TCP.ResetsSent.Value())
	fmt.Fprintf(&b, "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: %d %d %d %d %d 0\n",
		st.UDP.PacketsReceived.Value(), st.UDP.UnknownPortErrors.Value(), st.UDP.MalformedPacketsReceived.Value(),
		st.UDP.PacketsSent.Value(), st.UDP.ReceiveBufferErrors.Value())
	return b.String()
}

func netSockstat(s *netstack.Stack) string {
	st := s.Stats()
	return fmt.Sprintf("sockets: used %d\nTCP: inuse %d orphan 0 tw 0 alloc %d mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
		st.TCP.CurrentEstablished.Value(), st.TCP.CurrentEstablished.Value(), st.TCP.CurrentEstablished.Value())
}
