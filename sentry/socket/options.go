package socket

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of SO_SNDBUF and SO_RCVBUF in bytes (net.core.*mem_max and the
// minima of socket(7)); options double what is asked for, as Linux does.
const (
	DefaultBuffer = 212992
	MaxBuffer     = 4 << 20
	MinSendBuffer = 4608
	MinRecvBuffer = 2304
)

// Base holds the SOL_SOCKET options every family treats alike. Embed it.
type Base struct {
	family, typ, protocol int
	recvTimeout           atomic.Int64
	sendTimeout           atomic.Int64
	// flags keeps options that are remembered and have no effect here.
	flags [64]atomic.Int32
}

// Init sets what socket(2) was given.
func (b *Base) Init(family, typ, protocol int) {
	b.family, b.typ, b.protocol = family, typ, protocol
}

// Family is the address family.
func (b *Base) Family() int { return b.family }

// Type is SOCK_STREAM, SOCK_DGRAM, ….
func (b *Base) Type() int { return b.typ }

// Protocol is the protocol number.
func (b *Base) Protocol() int { return b.protocol }

// Timeouts returns SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds, 0 for none.
func (b *Base) Timeouts() (recv, send int64) {
	return b.recvTimeout.Load(), b.sendTimeout.Load()
}

// remembered are options of SOL_SOCKET that may be set and read back on any
// socket and change nothing in the Sentry: there is no routing cache, no
// busy polling, no device priority and no zero-copy to control.
var remembered = map[int]bool{
	unix.SO_DEBUG: true, unix.SO_DONTROUTE: true, unix.SO_PRIORITY: true,
	unix.SO_OOBINLINE: true, unix.SO_BUSY_POLL: true, unix.SO_RXQ_OVFL: true,
	unix.SO_WIFI_STATUS: true, unix.SO_INCOMING_CPU: true,
}

// GetCommon answers the common options; ok is false for others.
func (b *Base) GetCommon(name int) (value []byte, ok bool) {
	switch name {
	case unix.SO_TYPE:
		return Int32(b.typ), true
	case unix.SO_PROTOCOL:
		return Int32(b.protocol), true
	case unix.SO_DOMAIN:
		return Int32(b.family), true
	case unix.SO_RCVTIMEO, unix.SO_RCVTIMEO_NEW:
		return timeval(b.recvTimeout.Load()), true
	case unix.SO_SNDTIMEO, unix.SO_SNDTIMEO_NEW:
		return timeval(b.sendTimeout.Load()), true
	}
	if remembered[name] && name < len(b.flags) {
		return Int32(int(b.flags[name].Load())), true
	}
	return nil, false
}

// SetCommon sets the common options; ok is false for others.
func (b *Base) SetCommon(name int, value []byte) (ok bool, err error) {
	switch name {
	case unix.SO_TYPE, unix.SO_PROTOCOL, unix.SO_DOMAIN, unix.SO_ERROR, unix.SO_ACCEPTCONN:
		return true, unix.ENOPROTOOPT
	case unix.SO_RCVTIMEO, unix.SO_RCVTIMEO_NEW:
		return true, setTimeout(&b.recvTimeout, value)
	case unix.SO_SNDTIMEO, unix.SO_SNDTIMEO_NEW:
		return true, setTimeout(&b.sendTimeout, value)
	}
	if remembered[name] && name < len(b.flags) {
		v, err := Int(value)
		if err == nil {
			b.flags[name].Store(v)
		}
		return true, err
	}
	return false, nil
}

func timeval(ns int64) []byte {
	v := make([]byte, 16)
	binary.NativeEndian.PutUint64(v, uint64(ns/1e9))
	binary.NativeEndian.PutUint64(v[8:], uint64(ns%1e9/1e3))
	return v
}

func setTimeout(t *atomic.Int64, value []byte) error {
	if len(value) < 16 {
		return unix.EINVAL
	}
	sec := int64(binary.NativeEndian.Uint64(value))
	usec := int64(binary.NativeEndian.Uint64(value[8:]))
	if usec < 0 || usec >= 1e6 {
		return unix.EDOM
	}
	if sec < 0 {
		t.Store(1) // socket(7): a negative time is over at once
		return nil
	}
	const maxSec = int64(1<<63-1)/int64(time.Second) - 1
	if sec > maxSec {
		t.Store(0)
		return nil
	}
	t.Store(sec*1e9 + usec*1e3)
	return nil
}

// Int32 is an option value of type int.
func Int32(v int) []byte {
	b := make([]byte, 4)
	binary.NativeEndian.PutUint32(b, uint32(int32(v)))
	return b
}

// Bool is an option value of type int that is 0 or 1.
func Bool(v bool) []byte {
	if v {
		return Int32(1)
	}
	return Int32(0)
}

// Int reads an option value of type int; EINVAL if it is too short.
func Int(value []byte) (int32, error) {
	if len(value) < 4 {
		return 0, unix.EINVAL
	}
	return int32(binary.NativeEndian.Uint32(value)), nil
}

// BufferSize returns what SO_SNDBUF or SO_RCVBUF makes of a request: twice
// the size within the limits, force lifting the upper one.
func BufferSize(v int32, min int, force bool) int {
	n := int64(uint32(v))
	if v < 0 {
		n = 0
		if !force {
			n = MaxBuffer
		}
	}
	if !force && n > MaxBuffer {
		n = MaxBuffer
	}
	if n > 1<<29 {
		n = 1 << 29
	}
	return max(int(n)*2, min)
}
