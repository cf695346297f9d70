package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Deadlines of requests. Those that run something of the user's get a long one; a request with none blocks by
// its nature.
const (
	quickTimeout  = 10 * time.Second
	createTimeout = 60 * time.Second
)

// A Client is the host's end of one control connection. It is not safe for concurrent use.
type Client struct {
	c *conn
}

// NewClient takes over a connected socket.
func NewClient(f *os.File) (*Client, error) {
	c, err := newConn(f)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Dial connects to the socket called name in an open directory. The path that the kernel sees stays short,
// whatever the directory is called (unix(7): 108 bytes).
func Dial(dir *os.File, name string) (*Client, error) {
	addr := &net.UnixAddr{Name: filepath.Join(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), name), Net: "unix"}
	u, err := net.DialUnix("unix", nil, addr)
	if err != nil {
		return nil, err
	}
	return &Client{&conn{u}}, nil
}

// DialFile is Dial for a process that NewClient is to be called in.
func DialFile(dir *os.File, name string) (*os.File, error) {
	cl, err := Dial(dir, name)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return cl.c.u.File()
}

// Close ends the connection.
func (cl *Client) Close() { cl.c.close() }

// ErrGone is returned when the Sentry ended before it answered.
var ErrGone = errors.New("the sandbox has ended")

// call sends one request and waits for its answer; timeout 0: for ever.
func (cl *Client) call(method string, args any, files []*os.File, result any, timeout time.Duration) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	if err := cl.c.send(&request{Method: method, Args: raw}, files); err != nil {
		return goneOr(method, err)
	}
	var resp response
	extra, err := cl.c.receive(&resp, timeout)
	closeAll(extra)
	if err != nil {
		return goneOr(method, err)
	}
	if resp.Err != nil {
		return resp.Err
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(resp.Result, result)
}

func goneOr(method string, err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE),
		errors.Is(err, syscall.ECONNRESET):
		return ErrGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the sandbox did not answer %q in time", method)
	}
	return fmt.Errorf("control: %s: %w", method, err)
}

type target struct {
	ID      string     `json:"id"`
	PID     int32      `json:"pid,omitempty"`
	Signal  int32      `json:"signal,omitempty"`
	Mode    SignalMode `json:"mode,omitempty"`
	Rows    uint16     `json:"rows,omitempty"`
	Cols    uint16     `json:"cols,omitempty"`
	Kind    string     `json:"kind,omitempty"`
	Seconds int        `json:"seconds,omitempty"`
	Kill    bool       `json:"kill,omitempty"`
	Changes uint64     `json:"changes,omitempty"`
	To      *Listener  `json:"to,omitempty"`
}

// Configure sends the configuration that a fresh Sentry waits for, and returns when the Sentry is ready.
func (cl *Client) Configure(config any) error {
	return cl.call("configure", config, nil, nil, createTimeout)
}

// Keep tells the Sentry, or the container, to outlive this connection, over which it was made.
func (cl *Client) Keep() error { return cl.call("keep", nil, nil, nil, quickTimeout) }

// Create is Sandbox.Create. The files stay the caller's.
func (cl *Client) Create(a *CreateArgs) error {
	w, files := a.wire()
	return cl.call("create", w, files, nil, createTimeout)
}

// Start is Sandbox.Start.
func (cl *Client) Start(id string) error {
	return cl.call("start", &target{ID: id}, nil, nil, createTimeout)
}

// SetNetwork is NetworkSetter.SetNetwork. The files stay the caller's.
func (cl *Client) SetNetwork(id string, net json.RawMessage, files []*os.File) error {
	return cl.call("network", &networkWire{ID: id, Net: net}, files, nil, createTimeout)
}

// ChangeNetwork is NetworkChanger.ChangeNetwork. The files stay the caller's.
func (cl *Client) ChangeNetwork(change json.RawMessage, files []*os.File) error {
	return cl.call("links", &networkWire{Net: change}, files, nil, createTimeout)
}

// SetLimits is LimitSetter.SetLimits.
func (cl *Client) SetLimits(id string, l *Limits) error {
	return cl.call("limits", &limitsWire{ID: id, Limits: *l}, nil, nil, quickTimeout)
}

// Exec is Sandbox.Exec. With killOnHangup the process is killed when this connection breaks while Wait for it is
// under way. The files stay the caller's.
func (cl *Client) Exec(a *ExecArgs, killOnHangup bool) (int32, error) {
	w, files := a.wire()
	w.KillOnHangup = killOnHangup
	var pid int32
	err := cl.call("exec", w, files, &pid, createTimeout)
	return pid, err
}

// Wait is Sandbox.Wait.
func (cl *Client) Wait(id string, pid int32) (WaitStatus, error) {
	var ws WaitStatus
	err := cl.call("wait", &target{ID: id, PID: pid}, nil, &ws, 0)
	return ws, err
}

// WaitFor is Wait for the init of a container, which is killed when this connection breaks before it has ended.
func (cl *Client) WaitFor(id string) (WaitStatus, error) {
	var ws WaitStatus
	err := cl.call("wait", &target{ID: id, Kill: true}, nil, &ws, 0)
	return ws, err
}

// Signal is Sandbox.Signal.
func (cl *Client) Signal(id string, pid, sig int32, mode SignalMode) error {
	return cl.call("signal", &target{ID: id, PID: pid, Signal: sig, Mode: mode}, nil, nil, quickTimeout)
}

// Processes is Sandbox.Processes.
func (cl *Client) Processes(id string) ([]Process, error) {
	var ps []Process
	err := cl.call("processes", &target{ID: id}, nil, &ps, quickTimeout)
	return ps, err
}

// Pause is Sandbox.Pause.
func (cl *Client) Pause(id string) error {
	return cl.call("pause", &target{ID: id}, nil, nil, quickTimeout)
}

// Resume is Sandbox.Resume.
func (cl *Client) Resume(id string) error {
	return cl.call("resume", &target{ID: id}, nil, nil, quickTimeout)
}

// Resize is Sandbox.Resize.
func (cl *Client) Resize(id string, pid int32, rows, cols uint16) error {
	return cl.call("resize", &target{ID: id, PID: pid, Rows: rows, Cols: cols}, nil, nil, quickTimeout)
}

// Stats is Sandbox.Stats.
func (cl *Client) Stats(id string) (*Stats, error) {
	var s Stats
	err := cl.call("stats", &target{ID: id}, nil, &s, quickTimeout)
	return &s, err
}

// Status tells the state of a container as the Sentry knows it.
func (cl *Client) Status(id string) (Status, error) {
	var s Status
	err := cl.call("status", &target{ID: id}, nil, &s, 2*time.Second)
	return s, err
}

// Stacks is Sandbox.Stacks.
func (cl *Client) Stacks() (string, error) {
	var text string
	err := cl.call("stacks", nil, nil, &text, quickTimeout)
	return text, err
}

// Tune is Tuner.Tune.
func (cl *Client) Tune(t *Tuning) error { return cl.call("tune", t, nil, nil, quickTimeout) }

// Profile is Sandbox.Profile, written to out.
func (cl *Client) Profile(kind string, seconds int, out *os.File) error {
	return cl.call("profile", &target{Kind: kind, Seconds: seconds}, []*os.File{out}, nil,
		time.Duration(seconds)*time.Second+quickTimeout)
}

// Destroy is Sandbox.Destroy. When the container is the sandbox's first one the Sentry ends.
func (cl *Client) Destroy(id string) error {
	return cl.call("destroy", &target{ID: id}, nil, nil, quickTimeout)
}
