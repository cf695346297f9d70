package netlink

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"ringfort/netstack"
)

// ndmsgSize is sizeof(struct ndmsg).
const ndmsgSize = 12

func (s *Socket) dumpNeighs(d *dump) {
	want := d.r.family()
	for _, n := range s.ns.Stack.Neighbours() {
		fam := familyOf(n.Addr)
		if want != unix.AF_UNSPEC && want != fam {
			continue
		}
		fixed := make([]byte, ndmsgSize)
		fixed[0] = fam
		binary.NativeEndian.PutUint32(fixed[4:], uint32(n.Link))
		binary.NativeEndian.PutUint16(fixed[8:], n.State)
		fixed[11] = unix.RTN_UNICAST
		m := s.newMessage(d.r, unix.RTM_NEWNEIGH, unix.NLM_F_MULTI, fixed...)
		m.attr(unix.NDA_DST, n.Addr.AsSlice())
		if mac, err := net.ParseMAC(n.MAC); err == nil {
			m.attr(unix.NDA_LLADDR, mac)
		}
		d.add(m)
	}
}

func parseNeigh(r *request) (link int, ip netip.Addr, mac []byte, err error) {
	if len(r.body) < ndmsgSize {
		return 0, ip, nil, unix.EINVAL
	}
	a := parseAttrs(r.body[ndmsgSize:])
	ip, ok := addrOf(r.family(), a[unix.NDA_DST])
	if !ok {
		return 0, ip, nil, unix.EINVAL
	}
	return int(int32(binary.NativeEndian.Uint32(r.body[4:]))), ip, a[unix.NDA_LLADDR], nil
}

func (s *Socket) newNeigh(r *request) error {
	link, ip, mac, err := parseNeigh(r)
	if err != nil {
		return err
	}
	if len(mac) != 6 {
		return unix.EINVAL
	}
	return s.ns.Stack.AddNeighbour(netstack.Neighbour{Link: link, Addr: ip, MAC: net.HardwareAddr(mac).String()})
}

func (s *Socket) delNeigh(r *request) error {
	link, ip, _, err := parseNeigh(r)
	if err != nil {
		return err
	}
	return s.ns.Stack.RemoveNeighbour(link, ip)
}
