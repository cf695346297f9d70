package control

import (
	"errors"
	"os"
	"time"
)

// forward serves the requests of the process that stands for the sandbox's listeners on the host.
func (s *Server) forward(c *conn, h *hangup, method string, t *target, files []*os.File) (any, error) {
	f, ok := s.sandbox.(Forwarder)
	if !ok {
		closeAll(files)
		return nil, errors.New("the sandbox forwards no connections")
	}
	h.lasting = true
	if method == "forward" {
		if len(files) != 1 || t.To == nil {
			closeAll(files)
			return nil, errors.New("control: forward needs one connection and where it is for")
		}
		return nil, f.Forward(*t.To, files[0])
	}
	closeAll(files)
	gone := make(chan struct{})
	c.u.SetReadDeadline(time.Time{})
	go func() { // nobody sends anything before the answer
		var b [1]byte
		c.u.Read(b[:])
		close(gone)
	}()
	l, err := f.Listeners(t.Changes, gone)
	c.u.SetReadDeadline(time.Unix(1, 0)) // wakes the watcher
	<-gone
	return l, err
}

// Listeners is Forwarder.Listeners. It waits as long as it takes.
func (cl *Client) Listeners(changes uint64) (*Listeners, error) {
	var l Listeners
	err := cl.call("listeners", &target{Changes: changes}, nil, &l, 0)
	return &l, err
}

// Forward is Forwarder.Forward. The connection stays the caller's.
func (cl *Client) Forward(to Listener, conn *os.File) error {
	return cl.call("forward", &target{To: &to}, []*os.File{conn}, nil, quickTimeout)
}
