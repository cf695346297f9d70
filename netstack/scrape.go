package netstack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// packetBuffer is the size in bytes of a packet socket's two queues: room
	// for some sixty 64 KiB segments, so that a Sentry descheduled for a few
	// milliseconds does not lose a window.
	packetBuffer = 4 << 20
	// maxGSO is the largest segment an IPv4 header can describe.
	maxGSO = 65535
)

// inNamespace runs fn on a thread that is in the network namespace at nsPath,
// or in the caller's own if nsPath is "".
func inNamespace(nsPath string, fn func() error) error {
	if nsPath == "" {
		return fn()
	}
	target, err := netns.GetFromPath(nsPath)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", nsPath, err)
	}
	defer target.Close()
	done := make(chan error, 1)
	var enter func()
	enter = func() {
		// The thread is not unlocked again: a goroutine that ends while locked
		// takes its thread with it, and no other can inherit the namespace.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread would stay, and /proc/self with it in the namespace: go
			// elsewhere while it is held here.
			again := make(chan struct{})
			go func() { defer close(again); enter() }()
			<-again
			runtime.UnlockOSThread()
			return
		}
		if err := netns.Set(target); err != nil {
			done <- fmt.Errorf("enter network namespace %s: %w", nsPath, err)
			return
		}
		done <- fn()
	}
	go enter()
	return <-done
}

// Scrape reads the network namespace at nsPath ("" for the caller's own),
// opens a packet socket on each of its Ethernet links that are up, and takes
// those links over from the host kernel. Files are in the order of the links
// in the Config with HasFile set, the resolver's last, and belong to the caller. It needs
// CAP_NET_ADMIN and CAP_NET_RAW in the namespace.
func Scrape(nsPath string) (*Config, []*os.File, error) {
	s := &scraper{cfg: &Config{}}
	if err := inNamespace(nsPath, s.run); err != nil {
		for _, f := range s.files {
			f.Close()
		}
		return nil, nil, err
	}
	return s.cfg, s.files, nil
}

// View reads the network namespace at nsPath as Scrape does and leaves it to the host kernel: its links are to be seen
// and no more. It needs no capability.
func View(nsPath string) (*Config, error) {
	s := &scraper{cfg: &Config{}, view: true}
	if err := inNamespace(nsPath, s.run); err != nil {
		return nil, err
	}
	return s.cfg, nil
}

// Release gives the links of the namespace back to the host kernel: it removes
// the ingress filters Scrape put there. It is a no-op for links that have none.
func Release(nsPath string) error {
	return inNamespace(nsPath, func() error {
		links, err := dump(netlink.LinkList)
		if err != nil {
			return fmt.Errorf("list links: %w", err)
		}
		var errs []error
		for _, l := range links {
			if err := undrop(l); err != nil {
				errs = append(errs, fmt.Errorf("link %s: %w", l.Attrs().Name, err))
			}
		}
		return errors.Join(errs...)
	})
}

type scraper struct {
	cfg   *Config
	files []*os.File
	kept  map[int]bool // indexes of the links carried over
	view  bool         // nothing is opened or taken over

	// Of a namespace that was read before; see Follower.
	taken    map[int]bool // indexes of links that were taken over then
	drop     int          // the program that drops what comes in, 0: not loaded
	udp      *os.File     // the table of UDP sockets, nil: /proc has it
	resolved bool         // the resolver is known
}

func (s *scraper) note(format string, args ...any) {
	s.cfg.Notes = append(s.cfg.Notes, fmt.Sprintf(format, args...))
}

func (s *scraper) run() error {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	s.kept = make(map[int]bool)
	var taken []netlink.Link
	for _, l := range links {
		ok, err := s.link(l)
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Attrs().Name, err)
		}
		if ok {
			taken = append(taken, l)
		}
	}
	// Routes before the takeover: stripping an address removes its routes.
	if err := s.routes(); err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	if err := s.neighbours(); err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	if len(taken) > 0 && !s.resolved {
		if err := s.resolver(); err != nil {
			return err
		}
	}
	return s.takeOver(taken)
}

// link carries one link over and reports whether it did.
func (s *scraper) link(l netlink.Link) (bool, error) {
	a := l.Attrs()
	switch {
	case a.Flags&net.FlagLoopback != 0:
		return false, nil
	case a.EncapType != "ether" || len(a.HardwareAddr) != 6:
		if a.Flags&net.FlagUp != 0 {
			s.note("link %s ignored: encapsulation %s is not Ethernet", a.Name, a.EncapType)
		}
		return false, nil
	case a.Flags&net.FlagUp == 0:
		s.note("link %s ignored: it is down", a.Name)
		return false, nil
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return false, fmt.Errorf("list addresses: %w", err)
	}
	link := Link{
		Index:      a.Index,
		Name:       a.Name,
		Kind:       l.Type(),
		MTU:        uint32(a.MTU),
		MAC:        a.HardwareAddr.String(),
		TxQueueLen: max(a.TxQLen, 0),
		HasFile:    true,
	}
	for _, ad := range addrs {
		if addr, ok := scrapeAddress(&ad); ok {
			link.Addresses = append(link.Addresses, addr)
		}
	}
	if s.view {
		link.HasFile = false
		s.cfg.Links = append(s.cfg.Links, link)
		s.kept[a.Index] = true
		return false, nil
	}
	addLinkLocal(&link, a.HardwareAddr)
	if s.taken[a.Index] {
		link.HasFile = false
		s.cfg.Links = append(s.cfg.Links, link)
		s.kept[a.Index] = true
		return false, nil
	}
	f, gso, err := openPacket(a.Index, a.Name)
	if err != nil {
		return false, err
	}
	if gso {
		link.GSOMaxSize = min(a.GSOMaxSize, maxGSO)
		if link.GSOMaxSize == 0 {
			link.GSOMaxSize = maxGSO
		}
	}
	s.files = append(s.files, f)
	s.cfg.Links = append(s.cfg.Links, link)
	s.kept[a.Index] = true
	return true, nil
}

func scrapeAddress(ad *netlink.Addr) (Address, bool) {
	ip, ok := netip.AddrFromSlice(ad.IP)
	if !ok || ad.IPNet == nil {
		return Address{}, false
	}
	ip = ip.Unmap()
	ones, _ := ad.Mask.Size()
	out := Address{
		Prefix: netip.PrefixFrom(ip, ones),
		Label:  ad.Label,
		Scope:  uint8(ad.Scope),
		Flags:  uint32(ad.Flags),
	}
	if b, ok := netip.AddrFromSlice(ad.Broadcast); ok {
		out.Broadcast = b.Unmap()
	}
	return out, true
}

// addLinkLocal adds the EUI-64 link-local address (RFC 4291 appendix A) to a
// link that has IPv6 and whose own is still to come: the host kernel makes it
// some time after the link came up.
func addLinkLocal(l *Link, mac net.HardwareAddr) {
	v6 := false
	for _, a := range l.Addresses {
		if a.Prefix.Addr().Is6() {
			v6 = true
			if a.Prefix.Addr().IsLinkLocalUnicast() {
				return
			}
		}
	}
	if !v6 {
		return
	}
	ip := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	l.Addresses = append(l.Addresses, Address{
		Prefix: netip.PrefixFrom(netip.AddrFrom16(ip), 64),
		Scope:  unix.RT_SCOPE_LINK,
		Flags:  unix.IFA_F_PERMANENT,
	})
}

// openPacket opens a bound, non-blocking packet socket on a link; gso reports
// whether it carries virtio-net headers.
func openPacket(index int, name string) (f *os.File, gso bool, err error) {
	// Protocol 0 receives nothing until bind names one, so that no frame of
	// another link is queued first.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, false, fmt.Errorf("open packet socket: %w", err)
	}
	f = os.NewFile(uintptr(fd), "packet:"+name)
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, packetBuffer); err != nil {
			// Outside the initial user namespace the FORCE forms are refused;
			// the plain ones give what net.core.*mem_max allows.
			plain := map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF}[opt]
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, packetBuffer); err != nil {
				return nil, false, fmt.Errorf("packet socket buffer: %w", err)
			}
		}
	}
	// Without this the host stack's own chatter (router solicitations, MLD)
	// comes back as if received.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil && err != unix.ENOPROTOOPT {
		return nil, false, fmt.Errorf("PACKET_IGNORE_OUTGOING: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err == nil {
		gso = true
	}
	sa := unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}
	if err := unix.Bind(fd, &sa); err != nil {
		return nil, false, fmt.Errorf("bind packet socket: %w", err)
	}
	return f, gso, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (s *scraper) routes() error {
	for _, fam := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := dump(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(fam, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return err
		}
		for i := range routes {
			s.route(fam, &routes[i])
		}
		rules, err := dump(func() ([]netlink.Rule, error) { return netlink.RuleList(fam) })
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, r := range rules {
			switch r.Table {
			case unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT:
			default:
				s.note("routing rule ignored: only the main table is used (%s)", strings.TrimSpace(r.String()))
			}
		}
	}
	return nil
}

func (s *scraper) route(fam int, r *netlink.Route) {
	if r.Type != unix.RTN_UNICAST {
		s.note("route ignored: type %d is not unicast (%s)", r.Type, r)
		return
	}
	hops := []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw, Flags: r.Flags}}
	if len(r.MultiPath) > 0 {
		hops = r.MultiPath[:1]
		s.note("multipath route: the first of %d next hops is used (%s)", len(r.MultiPath), r)
	}
	hop := hops[0]
	if !s.kept[hop.LinkIndex] {
		return
	}
	out := Route{
		Link:     hop.LinkIndex,
		MTU:      uint32(max(r.MTU, 0)),
		Metric:   uint32(r.Priority),
		Scope:    uint8(r.Scope),
		Protocol: uint8(r.Protocol),
		Type:     uint8(r.Type),
		Flags:    uint32(hop.Flags),
	}
	if fam == netlink.FAMILY_V4 {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	} else {
		out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst != nil {
		ip, ok := netip.AddrFromSlice(r.Dst.IP)
		if !ok {
			return
		}
		ones, _ := r.Dst.Mask.Size()
		if fam == netlink.FAMILY_V4 {
			ip = ip.Unmap()
		}
		out.Dst = netip.PrefixFrom(ip, ones)
	}
	if gw, ok := netip.AddrFromSlice(hop.Gw); ok {
		out.Gateway = gw.Unmap()
	}
	if src, ok := netip.AddrFromSlice(r.Src); ok {
		out.Src = src.Unmap()
	}
	s.cfg.Routes = append(s.cfg.Routes, out)
}

// neighbours keeps the entries an administrator made; those the host learnt
// are learnt again.
func (s *scraper) neighbours() error {
	for _, fam := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := dump(func() ([]netlink.Neigh, error) { return netlink.NeighList(0, fam) })
		if err != nil {
			return err
		}
		for _, n := range list {
			ip, ok := netip.AddrFromSlice(n.IP)
			if !ok || !s.kept[n.LinkIndex] || n.State&unix.NUD_PERMANENT == 0 || len(n.HardwareAddr) != 6 {
				continue
			}
			s.cfg.Neighbours = append(s.cfg.Neighbours, Neighbour{
				Link:  n.LinkIndex,
				Addr:  ip.Unmap(),
				MAC:   n.HardwareAddr.String(),
				State: uint16(n.State),
			})
		}
	}
	return nil
}
