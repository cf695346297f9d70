package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// drainStep is how often Drain looks.
const drainStep = 2 * time.Millisecond

// Drain waits, for at most limit, until the TCP connections that were closed
// have had their last data acknowledged. A kernel goes on sending what an
// ended process left; a Sentry that ends at once would not.
func (s *Stack) Drain(limit time.Duration) {
	for end := time.Now().Add(limit); s.undelivered() && time.Now().Before(end); {
		time.Sleep(drainStep)
	}
}

// undelivered reports whether a closed connection waits for its data or its
// FIN to be acknowledged.
func (s *Stack) undelivered() bool {
	for _, te := range s.inner.CleanupEndpoints() {
		ep, ok := te.(tcpip.Endpoint)
		if !ok {
			continue
		}
		switch tcp.EndpointState(ep.State()) {
		case tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck, tcp.StateCloseWait, tcp.StateEstablished:
			return true
		}
	}
	return false
}
