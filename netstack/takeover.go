package netstack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterName marks our ingress filter, so that Release removes no other's.
const filterName = "ringfort-drop"

// takeOver silences the host stack on the links (see the package comment).
func (s *scraper) takeOver(links []netlink.Link) error {
	if len(links) == 0 {
		return nil
	}
	dropErr := s.dropAll(links)
	if dropErr == nil {
		s.cfg.Takeover = TakeoverDrop
		return nil
	}
	for _, l := range links {
		undrop(l) // half of them may have one; the addresses go instead
		if err := strip(l); err != nil {
			return fmt.Errorf("link %s: ingress filter: %w; remove addresses: %w", l.Attrs().Name, dropErr, err)
		}
	}
	s.note("the host kernel cannot filter ingress (%v); the addresses were removed from its links", dropErr)
	s.cfg.Takeover = TakeoverStrip
	return nil
}

func (s *scraper) dropAll(links []netlink.Link) error {
	prog := s.drop
	if prog == 0 {
		var err error
		if prog, err = loadDropProgram(); err != nil {
			return err
		}
		defer unix.Close(prog)
	}
	for _, l := range links {
		if err := drop(l, prog); err != nil {
			return err
		}
	}
	return nil
}

// drop puts the filter on a link; the kernel keeps its own reference to prog.
func drop(l netlink.Link, prog int) error {
	index := l.Attrs().Index
	q := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
	// A namespace used before, or one where an agent has its own filters, has
	// the discipline already.
	if err := netlink.QdiscAdd(q); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact: %w", err)
	}
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index,
			Parent:    netlink.HANDLE_MIN_INGRESS,
			Handle:    1,
			Protocol:  unix.ETH_P_ALL,
			Priority:  1,
		},
		Fd:           prog,
		Name:         filterName,
		DirectAction: true,
	}
	if err := netlink.FilterReplace(f); err != nil {
		return fmt.Errorf("add ingress filter: %w", err)
	}
	return nil
}

// undrop removes the filter, and the discipline with it if nothing else is
// attached.
func undrop(l netlink.Link) error {
	ingress, err := dump(func() ([]netlink.Filter, error) { return netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS) })
	if err != nil {
		return nil // no clsact here
	}
	others := false
	found := false
	for _, f := range ingress {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || b.Name != filterName {
			others = true
			continue
		}
		found = true
		if err := netlink.FilterDel(f); err != nil {
			return fmt.Errorf("remove ingress filter: %w", err)
		}
	}
	egress, _ := dump(func() ([]netlink.Filter, error) { return netlink.FilterList(l, netlink.HANDLE_MIN_EGRESS) })
	if !found || others || len(egress) > 0 {
		return nil
	}
	return netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: l.Attrs().Index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}})
}

// strip removes the addresses of a link. IPv4 ones stay reachable for processes in the namespace, which go to whoever
// listens there (runsc/forward), and for nobody outside.
func strip(l netlink.Link) error {
	addrs, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for i := range addrs {
		if err := netlink.AddrDel(l, &addrs[i]); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return err
		}
	}
	for i := range addrs { // the routes through the link have gone with the last address
		if ip := addrs[i].IP.To4(); ip != nil {
			if err := reachFromHere(l, ip); err != nil {
				return fmt.Errorf("keep %s: %w", ip, err)
			}
		}
	}
	return nil
}

// reachFromHere gives an address of a link to lo, after the host kernel has been told to take nothing from the link
// itself: it answers no ARP there (arp_ignore) and drops what comes from where it has no route to (rp_filter), which is
// everywhere. Where it cannot be told that, nothing is done.
func reachFromHere(l netlink.Link, ip net.IP) error {
	for _, set := range [][2]string{{"arp_ignore", "8"}, {"rp_filter", "1"}} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+l.Attrs().Name+"/"+set[0], []byte(set[1]), 0); err != nil {
			return nil
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	err = netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// bpfInsn is struct bpf_insn of linux/bpf.h.
type bpfInsn struct {
	code uint8
	regs uint8
	off  int16
	imm  int32
}

// bpfProgLoad is the head of union bpf_attr for BPF_PROG_LOAD, bpf(2).
type bpfProgLoad struct {
	progType    uint32
	insnCnt     uint32
	insns       uint64
	license     uint64
	logLevel    uint32
	logSize     uint32
	logBuf      uint64
	kernVersion uint32
	progFlags   uint32
}

// loadDropProgram loads a classifier that drops every packet.
func loadDropProgram() (int, error) {
	const (
		movImm    = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
		exit      = unix.BPF_JMP | unix.BPF_EXIT
		schedCls  = 3 // BPF_PROG_TYPE_SCHED_CLS
		tcActShot = 2 // TC_ACT_SHOT, linux/pkt_cls.h
	)
	insns := [...]bpfInsn{{code: movImm, imm: tcActShot}, {code: exit}}
	license := [...]byte{'A', 'p', 'a', 'c', 'h', 'e', 0}
	attr := bpfProgLoad{
		progType: schedCls,
		insnCnt:  uint32(len(insns)),
		insns:    uint64(uintptr(unsafe.Pointer(&insns[0]))),
		license:  uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&insns)
	runtime.KeepAlive(&license)
	if errno != 0 {
		return -1, fmt.Errorf("load drop program: %w", errno)
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}
