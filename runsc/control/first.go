package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
)

// First is the connection that a Sentry is born with. Its first request is the configuration; until the peer has said
// Keep the sandbox lives no longer than the connection, so that a runsc killed half-way leaves nothing.
type First struct {
	c *conn
}

// ReadConfig takes over f and reads the configuration from it. Ready must be called to answer.
func ReadConfig(f *os.File, into any) (*First, error) {
	c, err := newConn(f)
	if err != nil {
		return nil, err
	}
	var req request
	files, err := c.receive(&req, createTimeout)
	closeAll(files)
	if err != nil {
		c.close()
		return nil, err
	}
	if req.Method != "configure" {
		c.close()
		return nil, fmt.Errorf("control: the first request is %q", req.Method)
	}
	return &First{c}, json.Unmarshal(req.Args, into)
}

// Warm prepares what the first request to create a container takes. It may run beside anything.
func Warm() {
	w := createWire{CreateArgs: &CreateArgs{}}
	_ = json.Unmarshal([]byte("{}"), &w) // package json keeps what it finds out about a type
}

// Ready answers the configuration: nil, or why there will be no sandbox.
func (f *First) Ready(err error) error {
	var resp response
	if err != nil {
		resp.Err = asError(err)
	}
	return f.c.send(&resp, nil)
}

// ServeFirst answers the requests of the first connection until it ends; kept tells whether the sandbox is to go on.
func (s *Server) ServeFirst(f *First) (kept bool) { return s.serve(f.c, 0) }

// fileListener takes over f, a listening unix socket.
func fileListener(f *os.File) (*net.UnixListener, error) {
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return nil, err
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("control: not a unix socket")
	}
	u.SetUnlinkOnClose(false)
	return u, nil
}

// Close ends the connection.
func (f *First) Close() { f.c.close() }
