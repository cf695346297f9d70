package inet

import (
	"encoding/binary"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"ringfort/sentry/socket"
	"ringfort/sentry/vfs"
)

// keptTCP are options of tcp(7) that are remembered and change nothing here,
// with the value they have before they are set.
var keptTCP = map[int]int{
	unix.TCP_FASTOPEN: 0, unix.TCP_FASTOPEN_CONNECT: 0, unix.TCP_FASTOPEN_NO_COOKIE: 0,
	unix.TCP_NOTSENT_LOWAT: -1, unix.TCP_THIN_LINEAR_TIMEOUTS: 0, unix.TCP_THIN_DUPACK: 0,
	unix.TCP_SAVE_SYN: 0, unix.TCP_TX_DELAY: 0, unix.TCP_TIMESTAMP: 0,
}

func (s *Socket) getTCPOption(name, max int) ([]byte, error) {
	so := s.endpoint().SocketOptions()
	switch name {
	case unix.TCP_NODELAY:
		return socket.Bool(!so.GetDelayOption()), nil
	case unix.TCP_CORK:
		return socket.Bool(so.GetCorkOption()), nil
	case unix.TCP_QUICKACK:
		return socket.Bool(so.GetQuickAck()), nil
	case unix.TCP_MAXSEG:
		if s.link.Load() != nil {
			return socket.Int32(loopbackMSS), nil
		}
		return s.getInt(tcpip.MaxSegOption)
	case unix.TCP_KEEPCNT:
		return s.getInt(tcpip.KeepaliveCountOption)
	case unix.TCP_SYNCNT:
		return s.getInt(tcpip.TCPSynCountOption)
	case unix.TCP_WINDOW_CLAMP:
		return s.getInt(tcpip.TCPWindowClampOption)
	case unix.TCP_KEEPIDLE:
		var v tcpip.KeepaliveIdleOption
		err := result(s.endpoint().GetSockOpt(&v))
		return socket.Int32(int(time.Duration(v) / time.Second)), err
	case unix.TCP_KEEPINTVL:
		var v tcpip.KeepaliveIntervalOption
		err := result(s.endpoint().GetSockOpt(&v))
		return socket.Int32(int(time.Duration(v) / time.Second)), err
	case unix.TCP_USER_TIMEOUT:
		var v tcpip.TCPUserTimeoutOption
		err := result(s.endpoint().GetSockOpt(&v))
		return socket.Int32(int(time.Duration(v) / time.Millisecond)), err
	case unix.TCP_LINGER2:
		var v tcpip.TCPLingerTimeoutOption
		err := result(s.endpoint().GetSockOpt(&v))
		if v < 0 {
			return socket.Int32(-1), err
		}
		return socket.Int32(int(time.Duration(v) / time.Second)), err
	case unix.TCP_DEFER_ACCEPT:
		var v tcpip.TCPDeferAcceptOption
		err := result(s.endpoint().GetSockOpt(&v))
		return socket.Int32(int(time.Duration(v) / time.Second)), err
	case unix.TCP_CONGESTION:
		var v tcpip.CongestionControlOption
		if err := result(s.endpoint().GetSockOpt(&v)); err != nil {
			return nil, err
		}
		const caNameMax = 16 // TCP_CA_NAME_MAX
		b := make([]byte, caNameMax)
		copy(b[:caNameMax-1], v)
		return b, nil
	case unix.TCP_INFO:
		return s.tcpInfo()
	case unix.TCP_INQ:
		return socket.Bool(s.tcpInq.Load()), nil
	case unix.TCP_ULP, unix.TCP_CC_INFO, unix.TCP_SAVED_SYN:
		return []byte{}, nil
	}
	if def, ok := keptTCP[name]; ok {
		return s.recall(unix.SOL_TCP, name, def), nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) getInt(opt tcpip.SockOptInt) ([]byte, error) {
	v, terr := s.endpoint().GetSockOptInt(opt)
	return socket.Int32(v), result(terr)
}

func (s *Socket) setTCPOption(c vfs.Caller, name int, value []byte) error {
	so := s.endpoint().SocketOptions()
	if name == unix.TCP_CONGESTION {
		v := tcpip.CongestionControlOption(strings.TrimRight(string(value[:min(len(value), 15)]), "\x00"))
		if terr := s.endpoint().SetSockOpt(&v); terr != nil {
			return unix.ENOENT
		}
		return nil
	}
	if name == unix.TCP_ULP {
		return unix.ENOENT // there is no upper layer protocol, TLS among them
	}
	v, err := socket.Int(value)
	if err != nil {
		return err
	}
	const maxKeep = 32767 // MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
	secs := time.Duration(v) * time.Second
	switch name {
	case unix.TCP_NODELAY:
		so.SetDelayOption(v == 0)
	case unix.TCP_CORK:
		so.SetCorkOption(v != 0)
	case unix.TCP_QUICKACK:
		so.SetQuickAck(v != 0)
	case unix.TCP_MAXSEG:
		return result(s.endpoint().SetSockOptInt(tcpip.MaxSegOption, int(v)))
	case unix.TCP_KEEPIDLE:
		if v < 1 || v > maxKeep {
			return unix.EINVAL
		}
		o := tcpip.KeepaliveIdleOption(secs)
		return result(s.endpoint().SetSockOpt(&o))
	case unix.TCP_KEEPINTVL:
		if v < 1 || v > maxKeep {
			return unix.EINVAL
		}
		o := tcpip.KeepaliveIntervalOption(secs)
		return result(s.endpoint().SetSockOpt(&o))
	case unix.TCP_KEEPCNT:
		if v < 1 || v > 127 {
			return unix.EINVAL
		}
		return result(s.endpoint().SetSockOptInt(tcpip.KeepaliveCountOption, int(v)))
	case unix.TCP_SYNCNT:
		if v < 1 || v > 127 {
			return unix.EINVAL
		}
		return result(s.endpoint().SetSockOptInt(tcpip.TCPSynCountOption, int(v)))
	case unix.TCP_USER_TIMEOUT:
		if v < 0 {
			return unix.EINVAL
		}
		o := tcpip.TCPUserTimeoutOption(time.Duration(v) * time.Millisecond)
		return result(s.endpoint().SetSockOpt(&o))
	case unix.TCP_LINGER2:
		o := tcpip.TCPLingerTimeoutOption(secs)
		if v < 0 {
			o = -1
		}
		return result(s.endpoint().SetSockOpt(&o))
	case unix.TCP_DEFER_ACCEPT:
		o := tcpip.TCPDeferAcceptOption(max(secs, 0))
		return result(s.endpoint().SetSockOpt(&o))
	case unix.TCP_WINDOW_CLAMP:
		if v < 0 {
			return unix.EINVAL
		}
		return result(s.endpoint().SetSockOptInt(tcpip.TCPWindowClampOption, int(v)))
	case unix.TCP_INQ:
		s.tcpInq.Store(v != 0)
	default:
		if _, ok := keptTCP[name]; !ok {
			return unix.ENOPROTOOPT
		}
		s.keep(unix.SOL_TCP, name, value[:4])
	}
	return nil
}

// What Linux's loopback carries in bytes: a packet, and of it TCP's data after
// the headers and the time stamps.
const (
	loopbackMTU = 65536
	loopbackMSS = 65483
)

// linuxState is the number of a state in Linux's tcp_states.h.
func linuxState(st tcp.EndpointState) uint8 {
	switch st {
	case tcp.StateInitial, tcp.StateBound, tcp.StateError:
		return uint8(tcp.StateClose)
	case tcp.StateConnecting:
		return uint8(tcp.StateSynSent)
	}
	return uint8(st)
}

// tcpInfo is a struct tcp_info with what tcpip knows; the rest is zero.
func (s *Socket) tcpInfo() ([]byte, error) {
	// Offsets of the fields in struct tcp_info, linux/tcp.h.
	const (
		size     = 232
		rto      = 8
		sndMSS   = 16
		rcvMSS   = 20
		pmtu     = 60
		rtt      = 68
		rttVar   = 72
		ssthresh = 76
		cwnd     = 80
		advMSS   = 84
		rcvSpace = 96
	)
	var o tcpip.TCPInfoOption
	if err := result(s.endpoint().GetSockOpt(&o)); err != nil {
		return nil, err
	}
	b := make([]byte, size)
	put := func(off int, v uint32) { binary.NativeEndian.PutUint32(b[off:], v) }
	b[0] = linuxState(tcp.EndpointState(s.endpoint().State()))
	switch o.CcState {
	case tcpip.RTORecovery:
		b[1] = 4 // TCP_CA_Loss
	case tcpip.FastRecovery, tcpip.SACKRecovery:
		b[1] = 3 // TCP_CA_Recovery
	case tcpip.Disorder:
		b[1] = 1 // TCP_CA_Disorder
	}
	put(rto, uint32(o.RTO/time.Microsecond))
	put(rtt, uint32(o.RTT/time.Microsecond))
	put(rttVar, uint32(o.RTTVar/time.Microsecond))
	put(ssthresh, o.SndSsthresh)
	put(cwnd, o.SndCwnd)
	if mss, terr := s.endpoint().GetSockOptInt(tcpip.MaxSegOption); terr == nil {
		put(sndMSS, uint32(mss))
		put(rcvMSS, uint32(mss))
		put(advMSS, uint32(mss))
		put(pmtu, uint32(mss)+40)
	}
	if l := s.link.Load(); l != nil {
		b[0] = l.state()
		put(sndMSS, loopbackMSS)
		put(rcvMSS, loopbackMSS)
		put(advMSS, loopbackMSS)
		put(pmtu, loopbackMTU)
	}
	put(rcvSpace, uint32(s.endpoint().SocketOptions().GetReceiveBufferSize()))
	return b, nil
}
