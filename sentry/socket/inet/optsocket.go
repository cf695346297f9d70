package inet

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"ringfort/netstack"
	"ringfort/sentry/socket"
	"ringfort/sentry/vfs"
)

// keep remembers an option that has no effect; it reads back as it was set.
func (s *Socket) keep(level, name int, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = make(map[optionKey][]byte)
	}
	s.kept[optionKey{level, name}] = bytes.Clone(value[:min(len(value), 16)])
}

// recall returns a remembered option, def if it was never set.
func (s *Socket) recall(level, name, def int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.kept[optionKey{level, name}]; ok {
		return v
	}
	return socket.Int32(def)
}

// GetOption is getsockopt(2).
func (s *Socket) GetOption(c vfs.Caller, level, name, max int) ([]byte, error) {
	switch {
	case level == unix.SOL_SOCKET:
		return s.getSocketOption(c, name)
	case level == unix.SOL_TCP && s.stream():
		return s.getTCPOption(name, max)
	case level == unix.SOL_IP:
		return s.getIPOption(name)
	case level == unix.SOL_IPV6 && s.Family() == unix.AF_INET6:
		return s.getIPv6Option(name)
	case level == unix.SOL_UDP && s.Protocol() == unix.IPPROTO_UDP:
		switch name {
		case unix.UDP_CORK, unix.UDP_SEGMENT, unix.UDP_GRO:
			return s.recall(level, name, 0), nil
		}
		return nil, unix.ENOPROTOOPT
	case level == unix.SOL_ICMPV6 && s.Type() == unix.SOCK_RAW && name == unix.ICMPV6_FILTER:
		var f tcpip.ICMPv6Filter
		if terr := s.endpoint().GetSockOpt(&f); terr != nil {
			return nil, netstack.Errno(terr)
		}
		v := make([]byte, 32)
		for i, w := range f.DenyType {
			binary.NativeEndian.PutUint32(v[4*i:], w)
		}
		return v, nil
	}
	return nil, unix.EOPNOTSUPP
}

// SetOption is setsockopt(2).
func (s *Socket) SetOption(c vfs.Caller, level, name int, value []byte) error {
	switch {
	case level == unix.SOL_SOCKET:
		return s.setSocketOption(c, name, value)
	case level == unix.SOL_TCP && s.stream():
		return s.setTCPOption(c, name, value)
	case level == unix.SOL_IP:
		return s.setIPOption(c, name, value)
	case level == unix.SOL_IPV6 && s.Family() == unix.AF_INET6:
		return s.setIPv6Option(c, name, value)
	case level == unix.SOL_UDP && s.Protocol() == unix.IPPROTO_UDP:
		switch name {
		case unix.UDP_CORK, unix.UDP_GRO:
			s.keep(level, name, value)
			return nil
		}
		return unix.ENOPROTOOPT
	case level == unix.SOL_ICMPV6 && s.Type() == unix.SOCK_RAW && name == unix.ICMPV6_FILTER:
		if len(value) < 32 {
			return unix.EINVAL
		}
		var f tcpip.ICMPv6Filter
		for i := range f.DenyType {
			f.DenyType[i] = binary.NativeEndian.Uint32(value[4*i:])
		}
		return result(s.endpoint().SetSockOpt(&f))
	case level == unix.SOL_RAW && s.Type() == unix.SOCK_RAW:
		s.keep(level, name, value) // ICMP_FILTER only spares the reader packets
		return nil
	}
	return unix.ENOPROTOOPT
}

// result is the error of an option, untyped nil for none.
func result(terr tcpip.Error) error {
	if terr == nil {
		return nil
	}
	return netstack.Errno(terr)
}

func (s *Socket) getSocketOption(c vfs.Caller, name int) ([]byte, error) {
	if v, ok := s.GetCommon(name); ok {
		return v, nil
	}
	so := s.endpoint().SocketOptions()
	switch name {
	case unix.SO_ERROR:
		return socket.Int32(int(s.takeError())), nil
	case unix.SO_ACCEPTCONN:
		return socket.Bool(s.listening.Load()), nil
	case unix.SO_REUSEADDR:
		return socket.Bool(so.GetReuseAddress()), nil
	case unix.SO_REUSEPORT:
		return socket.Bool(so.GetReusePort()), nil
	case unix.SO_KEEPALIVE:
		return socket.Bool(so.GetKeepAlive()), nil
	case unix.SO_BROADCAST:
		return socket.Bool(so.GetBroadcast()), nil
	case unix.SO_NO_CHECK:
		return socket.Bool(so.GetNoChecksum()), nil
	case unix.SO_SNDBUF:
		return socket.Int32(int(so.GetSendBufferSize())), nil
	case unix.SO_RCVBUF:
		return socket.Int32(int(so.GetReceiveBufferSize())), nil
	case unix.SO_RCVLOWAT:
		return s.recall(unix.SOL_SOCKET, name, 1), nil
	case unix.SO_SNDLOWAT:
		return socket.Int32(1), nil
	case unix.SO_MARK:
		return socket.Int32(int(so.GetMark())), nil
	case unix.SO_LINGER:
		l := so.GetLinger()
		v := make([]byte, 8)
		if l.Enabled {
			v[0] = 1
		}
		binary.NativeEndian.PutUint32(v[4:], uint32(l.Timeout/time.Second))
		return v, nil
	case unix.SO_TIMESTAMP, unix.SO_TIMESTAMPNS, unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW:
		return socket.Bool(s.stampRecv.Load() == int32(name)), nil
	case unix.SO_BINDTODEVICE:
		index := so.GetBindToDevice()
		if index == 0 {
			return []byte{}, nil
		}
		return append([]byte(s.ns.Stack.NameByIndex(int(index))), 0), nil
	case unix.SO_BINDTOIFINDEX:
		return socket.Int32(int(so.GetBindToDevice())), nil
	case unix.SO_PEERCRED:
		v := make([]byte, 12)
		binary.NativeEndian.PutUint32(v[4:], ^uint32(0))
		binary.NativeEndian.PutUint32(v[8:], ^uint32(0))
		return v, nil
	case unix.SO_PASSCRED:
		return socket.Bool(so.GetPassCred()), nil
	case unix.SO_ZEROCOPY, unix.SO_MAX_PACING_RATE, unix.SO_INCOMING_NAPI_ID, unix.SO_PREFER_BUSY_POLL:
		return s.recall(unix.SOL_SOCKET, name, 0), nil
	case unix.SO_COOKIE:
		v := make([]byte, 8)
		binary.NativeEndian.PutUint64(v, s.cookie())
		return v, nil
	case unix.SO_MEMINFO:
		return make([]byte, 36), nil
	}
	return nil, unix.ENOPROTOOPT
}

// takeError is SO_ERROR: it clears what it returns.
func (s *Socket) takeError() unix.Errno {
	if l := s.link.Load(); l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.report()
	}
	if s.stream() {
		switch tcp.EndpointState(s.endpoint().State()) {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
			return 0
		}
		s.started.Store(false)
	}
	terr := s.endpoint().LastError()
	if terr == nil || s.stream() && s.broken.Swap(true) {
		return 0
	}
	return netstack.Errno(terr)
}

func (s *Socket) setSocketOption(c vfs.Caller, name int, value []byte) error {
	if ok, err := s.SetCommon(name, value); ok {
		return err
	}
	so := s.endpoint().SocketOptions()
	if name == unix.SO_BINDTODEVICE {
		return s.bindToDevice(c, value)
	}
	v, err := socket.Int(value)
	if err != nil {
		return err
	}
	on := v != 0
	switch name {
	case unix.SO_REUSEADDR:
		so.SetReuseAddress(on)
	case unix.SO_REUSEPORT:
		so.SetReusePort(on)
	case unix.SO_KEEPALIVE:
		so.SetKeepAlive(on)
	case unix.SO_BROADCAST:
		so.SetBroadcast(on)
	case unix.SO_NO_CHECK:
		so.SetNoChecksum(on)
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		force := name == unix.SO_SNDBUFFORCE
		if force && !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
			return unix.EPERM
		}
		so.SetSendBufferSize(int64(socket.BufferSize(v, socket.MinSendBuffer, force)), true)
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		force := name == unix.SO_RCVBUFFORCE
		if force && !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
			return unix.EPERM
		}
		so.SetReceiveBufferSize(int64(socket.BufferSize(v, socket.MinRecvBuffer, force)), true)
	case unix.SO_RCVLOWAT:
		if v < 0 {
			v = 1<<31 - 1
		}
		// tcpip wakes a reader for every byte; a low-water mark is a hint.
		s.keep(unix.SOL_SOCKET, name, socket.Int32(int(max(v, 1))))
	case unix.SO_MARK:
		if !c.Creds().HasCapIn(unix.CAP_NET_ADMIN, s.ns.UserNS) {
			return unix.EPERM
		}
		so.SetMark(uint32(v))
	case unix.SO_LINGER:
		if len(value) < 8 {
			return unix.EINVAL
		}
		secs := int32(binary.NativeEndian.Uint32(value[4:]))
		if secs < 0 {
			secs = 1<<31 - 1
		}
		so.SetLinger(tcpip.LingerOption{Enabled: on, Timeout: time.Duration(secs) * time.Second})
	case unix.SO_TIMESTAMP, unix.SO_TIMESTAMPNS, unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW:
		if on {
			s.stampRecv.Store(int32(name))
		} else {
			s.stampRecv.Store(0)
		}
	case unix.SO_BINDTOIFINDEX:
		return result(so.SetBindToDevice(v))
	case unix.SO_PASSCRED:
		so.SetPassCred(on)
	case unix.SO_DETACH_FILTER:
		return unix.ENOENT
	case unix.SO_ATTACH_FILTER, unix.SO_ATTACH_BPF, unix.SO_LOCK_FILTER:
		// A filter only spares its reader packets; whoever attaches one looks at
		// what it reads all the same (DHCP clients, ping).
		s.keep(unix.SOL_SOCKET, name, value[:4])
	case unix.SO_ZEROCOPY, unix.SO_MAX_PACING_RATE, unix.SO_PREFER_BUSY_POLL, unix.SO_TIMESTAMPING:
		s.keep(unix.SOL_SOCKET, name, value)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

func (s *Socket) bindToDevice(c vfs.Caller, value []byte) error {
	so := s.endpoint().SocketOptions()
	if so.GetBindToDevice() != 0 && !c.Creds().HasCapIn(unix.CAP_NET_RAW, s.ns.UserNS) {
		return unix.EPERM
	}
	name := value[:min(len(value), unix.IFNAMSIZ-1)]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	index := 0
	if len(name) > 0 {
		if index = s.ns.Stack.IndexByName(string(name)); index == 0 {
			return unix.ENODEV
		}
	}
	return result(so.SetBindToDevice(int32(index)))
}
