package inet

import (
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"ringfort/sentry/vfs"
)

// linger waits after a close until the peer has acknowledged everything, for a
// time at most (socket(7), SO_LINGER). A signal ends the wait, and so does the
// end of the process. The stack tells nobody of a closed endpoint, so its state
// is looked at again and again.
func (s *Socket) linger(c vfs.Caller, most time.Duration) {
	clock, ok := c.(interface{ Monotonic() int64 })
	if !ok {
		return // the kernel itself does not wait
	}
	const maxStep = 20 * time.Millisecond
	end := clock.Monotonic() + int64(most)
	for step := time.Millisecond; s.closing(); step = min(2*step, maxStep) {
		now := clock.Monotonic()
		if now >= end {
			return
		}
		if err := c.Block(min(end, now+int64(step))); err != nil && err != unix.ETIMEDOUT {
			return
		}
	}
}

// closing reports whether something sent is not acknowledged, the end included.
func (s *Socket) closing() bool {
	if l := s.link.Load(); l != nil {
		return l.unacknowledged()
	}
	switch tcp.EndpointState(s.endpoint().State()) {
	case tcp.StateEstablished, tcp.StateCloseWait, tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck:
		return true
	}
	return false
}
