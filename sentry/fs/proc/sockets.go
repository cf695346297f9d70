package proc

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"ringfort/sentry/socket"
)

// openSocket is a socket some process of the network namespace holds a descriptor of.
type openSocket struct {
	s    socket.Socket
	ino  uint64
	uid  uint32
	refs int
}

// sockets lists the sockets of the task's network namespace that descriptors refer to, in the order of their numbers.
func (o dirOf) sockets(want func(s socket.Socket) bool) []*openSocket {
	seen := map[uint64]*openSocket{}
	var list []*openSocket
	for _, tg := range o.ns.ThreadGroups() {
		t := tg.Leader()
		tab := t.FDs()
		if tab == nil || t.NetNS() != o.t.NetNS() {
			continue
		}
		for _, fd := range tab.FDs() {
			d := tab.Get(fd)
			if d == nil {
				continue
			}
			if s, ok := d.File().(socket.Socket); ok && want(s) {
				b := d.Inode().Base()
				if e := seen[b.Ino()]; e != nil {
					e.refs++
				} else {
					e = &openSocket{s: s, ino: b.Ino(), uid: uint32(b.UID()), refs: 1}
					seen[b.Ino()] = e
					list = append(list, e)
				}
			}
			d.DecRef(nil)
		}
	}
	return list
}

// hexAddr is a socket address as /proc/net shows it.
func hexAddr(sa []byte, family int) string {
	ip := 4
	if family == unix.AF_INET6 {
		ip = 16
	}
	addr, port := make([]byte, ip), uint16(0)
	if len(sa) >= 4 {
		port = binary.BigEndian.Uint16(sa[2:])
	}
	if family == unix.AF_INET && len(sa) >= 8 {
		copy(addr, sa[4:8])
	} else if family == unix.AF_INET6 && len(sa) >= 24 {
		copy(addr, sa[8:24])
	}
	var b strings.Builder
	for i := 0; i < ip; i += 4 {
		fmt.Fprintf(&b, "%08X", binary.LittleEndian.Uint32(addr[i:]))
	}
	fmt.Fprintf(&b, ":%04X", port)
	return b.String()
}

// Socket states in /proc/net (include/net/tcp_states.h).
const (
	stateEstablished = 1
	stateClose       = 7
)

// inetSockets are the rows of /proc/net/tcp and its kin.
func (o dirOf) inetSockets(family, proto int) string {
	var b strings.Builder
	for i, e := range o.sockets(func(s socket.Socket) bool { return s.Family() == family && s.Protocol() == proto }) {
		local, _ := e.s.Name(nil, false) // unbound: zeros
		peer, perr := e.s.Name(nil, true)
		state := byte(stateClose)
		if proto == unix.IPPROTO_TCP {
			if v, err := e.s.GetOption(nil, unix.IPPROTO_TCP, unix.TCP_INFO, 1); err == nil && len(v) > 0 {
				state = v[0]
			}
		} else if perr == nil {
			state = stateEstablished
		}
		fmt.Fprintf(&b, "%4d: %s %s %02X 00000000:00000000 00:00000000 00000000 %5d        0 %d %d 0000000000000000 100 0 0 10 0\n",
			i, hexAddr(local, family), hexAddr(peer, family), state, e.uid, e.ino, e.refs)
	}
	return b.String()
}

// unixSockets are the rows of /proc/net/unix.
func (o dirOf) unixSockets() string {
	var b strings.Builder
	for _, e := range o.sockets(func(s socket.Socket) bool { return s.Family() == unix.AF_UNIX }) {
		// SS_UNCONNECTED, SS_CONNECTED; __SO_ACCEPTCON (include/uapi/linux/net.h).
		state, flags := 1, 0
		if _, err := e.s.Name(nil, true); err == nil {
			state = 3
		}
		if v, err := e.s.GetOption(nil, unix.SOL_SOCKET, unix.SO_ACCEPTCONN, 4); err == nil && len(v) > 0 && v[0] != 0 {
			flags = 0x10000
		}
		fmt.Fprintf(&b, "%016x: %08X %08X %08X %04X %02X %5d", 0, e.refs+1, 0, flags, e.s.Type(), state, e.ino)
		if sa, err := e.s.Name(nil, false); err == nil && len(sa) > 2 {
			name := strings.TrimRight(string(sa[2:]), "\x00")
			if strings.HasPrefix(name, "\x00") {
				name = "@" + name[1:]
			}
			if name != "" {
				b.WriteString(" " + name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
