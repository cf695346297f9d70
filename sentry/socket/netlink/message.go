package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

const (
	headerSize = unix.SizeofNlMsghdr
	// datagramSize is how much of a dump goes into one datagram, in bytes;
	// getifaddrs(3) reads with a page.
	datagramSize = 3584
)

func align4(n int) int { return (n + 3) &^ 3 }

// request is one message of a send.
type request struct {
	raw   []byte // header and payload
	typ   uint16
	flags uint16
	seq   uint32
	body  []byte
}

// is reports whether flags are all set.
func (r *request) is(flags uint16) bool { return r.flags&flags == flags }

// attrs are the attributes of a message by type; nested ones stay raw.
type attrs map[uint16][]byte

// parseAttrs reads rtattrs; what is malformed ends the list (rtnetlink(3)).
func parseAttrs(b []byte) attrs {
	a := make(attrs)
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		a[binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED] = b[4:n]
		b = b[min(align4(n), len(b)):]
	}
	return a
}

// uint32 returns a numeric attribute; ok is false if it is not there.
func (a attrs) uint32(typ uint16) (uint32, bool) {
	if v := a[typ]; len(v) >= 4 {
		return binary.NativeEndian.Uint32(v), true
	}
	return 0, false
}

// str returns an attribute that is a NUL-terminated string.
func (a attrs) str(typ uint16) string {
	v := a[typ]
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// message builds one message.
type message struct{ b []byte }

// newMessage begins a message with a fixed part.
func (s *Socket) newMessage(r *request, typ, flags uint16, fixed ...byte) *message {
	m := &message{b: make([]byte, headerSize, 256)}
	binary.NativeEndian.PutUint16(m.b[4:], typ)
	binary.NativeEndian.PutUint16(m.b[6:], flags)
	binary.NativeEndian.PutUint32(m.b[8:], r.seq)
	binary.NativeEndian.PutUint32(m.b[12:], s.port)
	m.b = append(m.b, fixed...)
	m.pad()
	return m
}

func (m *message) pad() {
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
}

// attr appends an attribute.
func (m *message) attr(typ uint16, v []byte) {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(4+len(v)))
	m.b = binary.NativeEndian.AppendUint16(m.b, typ)
	m.b = append(m.b, v...)
	m.pad()
}

func (m *message) attr32(typ uint16, v uint32) {
	m.attr(typ, binary.NativeEndian.AppendUint32(nil, v))
}

func (m *message) attr8(typ uint16, v uint8) { m.attr(typ, []byte{v}) }

func (m *message) attrString(typ uint16, v string) { m.attr(typ, append([]byte(v), 0)) }

// done fills the length in.
func (m *message) done() []byte {
	binary.NativeEndian.PutUint32(m.b, uint32(len(m.b)))
	return m.b
}

// dump collects the messages of a dump into datagrams.
type dump struct {
	s   *Socket
	r   *request
	buf []byte
}

func (d *dump) add(m *message) {
	b := m.done()
	if len(d.buf) > 0 && len(d.buf)+len(b) > datagramSize {
		d.s.reply(d.buf)
		d.buf = nil
	}
	d.buf = append(d.buf, b...)
}

// end sends what is left and NLMSG_DONE.
func (d *dump) end() {
	d.add(d.s.newMessage(d.r, unix.NLMSG_DONE, unix.NLM_F_MULTI, 0, 0, 0, 0))
	d.s.reply(d.buf)
}

// ack answers a request with an error number, 0 for success: a struct
// nlmsgerr, which holds the request or its header.
func (s *Socket) ack(r *request, errno unix.Errno) {
	flags := uint16(0)
	echo := r.raw
	if errno == 0 || s.flags[unix.NETLINK_CAP_ACK] {
		echo = r.raw[:headerSize]
		if len(r.raw) > headerSize && s.flags[unix.NETLINK_CAP_ACK] {
			flags = unix.NLM_F_CAPPED
		}
	}
	m := s.newMessage(r, unix.NLMSG_ERROR, flags)
	m.b = binary.NativeEndian.AppendUint32(m.b, uint32(-int32(errno)))
	m.b = append(m.b, echo...)
	m.pad()
	s.reply(m.done())
}

// handleAll handles the messages of one send. s.mu is held.
func (s *Socket) handleAll(c vfs.Caller, b []byte) {
	for len(b) >= headerSize {
		n := int64(binary.NativeEndian.Uint32(b))
		if n < headerSize || n > int64(len(b)) {
			return
		}
		r := request{
			raw:   b[:n],
			typ:   binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			body:  b[headerSize:n],
		}
		b = b[min(align4(int(n)), len(b)):]
		if r.flags&unix.NLM_F_REQUEST == 0 || r.typ < unix.NLMSG_MIN_TYPE {
			if r.is(unix.NLM_F_ACK) {
				s.ack(&r, 0)
			}
			continue
		}
		acked, err := s.handle(c, &r)
		errno, ok := err.(unix.Errno)
		switch {
		case err != nil && ok:
			s.ack(&r, errno)
		case err != nil:
			s.ack(&r, unix.EINVAL)
		case r.is(unix.NLM_F_ACK) && !acked:
			s.ack(&r, 0)
		}
	}
}

// handle performs a request; acked tells that a dump ended it already.
func (s *Socket) handle(c vfs.Caller, r *request) (acked bool, err error) {
	switch s.Protocol() {
	case unix.NETLINK_AUDIT:
		// What Linux says outside the initial user namespace; audit libraries
		// take it for a kernel without auditing.
		return false, unix.ECONNREFUSED
	case unix.NETLINK_SOCK_DIAG:
		return false, unix.ENOENT
	case unix.NETLINK_ROUTE:
		return s.route(c, r)
	}
	return false, unix.EOPNOTSUPP
}
