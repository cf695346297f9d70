package hostinet

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

type optionKey struct{ level, name int }

// option says what of an option the host may be asked.
type option struct {
	size     int  // the most bytes of its value
	readOnly bool // getsockopt(2) alone
}

// options are those that reach the host: none has a pointer in its value, nor needs a right.
var options = map[optionKey]option{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR}:    {size: 4},
	{unix.SOL_SOCKET, unix.SO_REUSEPORT}:    {size: 4},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE}:    {size: 4},
	{unix.SOL_SOCKET, unix.SO_BROADCAST}:    {size: 4},
	{unix.SOL_SOCKET, unix.SO_LINGER}:       {size: 8},
	{unix.SOL_SOCKET, unix.SO_SNDBUF}:       {size: 4},
	{unix.SOL_SOCKET, unix.SO_RCVBUF}:       {size: 4},
	{unix.SOL_SOCKET, unix.SO_RCVLOWAT}:     {size: 4},
	{unix.SOL_SOCKET, unix.SO_TIMESTAMP}:    {size: 4},
	{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}:  {size: 4},
	{unix.SOL_SOCKET, unix.SO_BINDTODEVICE}: {size: unix.IFNAMSIZ},
	{unix.SOL_SOCKET, unix.SO_ERROR}:        {size: 4, readOnly: true},
	{unix.SOL_SOCKET, unix.SO_ACCEPTCONN}:   {size: 4, readOnly: true},
	{unix.SOL_SOCKET, unix.SO_COOKIE}:       {size: 8, readOnly: true},

	{unix.IPPROTO_TCP, unix.TCP_NODELAY}:      {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_MAXSEG}:       {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_CORK}:         {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}:     {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}:    {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}:      {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_SYNCNT}:       {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_LINGER2}:      {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT}: {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP}: {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_QUICKACK}:     {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}: {size: 4},
	{unix.IPPROTO_TCP, unix.TCP_CONGESTION}:   {size: 16},
	{unix.IPPROTO_TCP, unix.TCP_INFO}:         {size: 256, readOnly: true},

	{unix.IPPROTO_IP, unix.IP_TOS}:                  {size: 4},
	{unix.IPPROTO_IP, unix.IP_TTL}:                  {size: 4},
	{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER}:         {size: 4},
	{unix.IPPROTO_IP, unix.IP_MTU}:                  {size: 4, readOnly: true},
	{unix.IPPROTO_IP, unix.IP_MULTICAST_TTL}:        {size: 4},
	{unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP}:       {size: 4},
	{unix.IPPROTO_IP, unix.IP_MULTICAST_IF}:         {size: 12},
	{unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP}:       {size: 12},
	{unix.IPPROTO_IP, unix.IP_DROP_MEMBERSHIP}:      {size: 12},
	{unix.IPPROTO_IP, unix.IP_FREEBIND}:             {size: 4},
	{unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT}: {size: 4},

	{unix.IPPROTO_IP, unix.IP_PKTINFO}:          {size: 4},
	{unix.IPPROTO_IP, unix.IP_RECVTTL}:          {size: 4},
	{unix.IPPROTO_IP, unix.IP_RECVTOS}:          {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}:  {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT}: {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}:   {size: 4},

	{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}:         {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS}:   {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS}: {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP}: {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF}:   {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP}:     {size: 20},
	{unix.IPPROTO_IPV6, unix.IPV6_LEAVE_GROUP}:    {size: 20},
	{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}:         {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER}:   {size: 4},
	{unix.IPPROTO_IPV6, unix.IPV6_MTU}:            {size: 4, readOnly: true},
}

// GetOption is getsockopt(2).
func (s *Socket) GetOption(_ vfs.Caller, level, name, max int) ([]byte, error) {
	if level == unix.SOL_SOCKET {
		if v, ok := s.GetCommon(name); ok {
			return v[:min(len(v), max)], nil
		}
	}
	o, ok := options[optionKey{level, name}]
	if !ok {
		return nil, unix.ENOPROTOOPT
	}
	buf := make([]byte, o.size)
	n := uint32(min(o.size, max))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return nil, errno
	}
	return buf[:min(int(n), len(buf))], nil
}

// SetOption is setsockopt(2).
func (s *Socket) SetOption(_ vfs.Caller, level, name int, value []byte) error {
	o, ok := options[optionKey{level, name}]
	if !ok || o.readOnly {
		if level == unix.SOL_SOCKET {
			if ok, err := s.SetCommon(name, value); ok {
				return err
			}
		}
		return unix.ENOPROTOOPT
	}
	buf := make([]byte, o.size)
	n := copy(buf, value)
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&buf[0])), uintptr(n), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
