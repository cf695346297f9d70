package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Status is the state of a container in its life cycle.
type Status string

// The states of a container.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// idleTimeout ends connections on which nothing is asked.
const idleTimeout = 60 * time.Second

// A Server answers control requests out of a Sandbox and keeps the state of each container. It runs in the Sentry.
type Server struct {
	sandbox Sandbox
	root    string // the container whose end is the sandbox's

	mu         sync.Mutex
	containers map[string]*containerState // guarded by mu
	ended      bool                       // guarded by mu

	// done receives the root container's wait status, once.
	done chan WaitStatus
	// replies counts answers that are due to whoever waits for the end of a container.
	replies sync.WaitGroup
}

type containerState struct {
	status  Status
	stopped chan struct{} // closed when init has ended
	exit    *os.File      // takes the wait status; nil for the root container
	wait    WaitStatus    // valid when stopped is closed
	made    chan struct{} // closed when Sandbox.Create has returned
}

// NewServer returns a server for the sandbox whose first container is root.
func NewServer(s Sandbox, root string) *Server {
	return &Server{sandbox: s, root: root, containers: make(map[string]*containerState), done: make(chan WaitStatus, 1)}
}

// Done receives the wait status of the root container when it has ended.
func (s *Server) Done() <-chan WaitStatus { return s.done }

// Flush waits until those who wait for containers have been told, but no longer than timeout.
func (s *Server) Flush(timeout time.Duration) {
	all := make(chan struct{})
	go func() { s.replies.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(timeout):
	}
}

// Accept serves the connections of a listening socket until it is closed.
func (s *Server) Accept(listener *os.File) error {
	l, err := fileListener(listener)
	if err != nil {
		return err
	}
	for {
		u, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		go s.serve(&conn{u}, idleTimeout)
	}
}

// serve answers requests until the peer hangs up, and tells whether it had said keep.
func (s *Server) serve(c *conn, idle time.Duration) (kept bool) {
	defer c.close()
	h := &hangup{}
	defer h.fire(s)
	for {
		var req request
		if h.lasting {
			idle = 0
		}
		files, err := c.receive(&req, idle)
		if err != nil {
			return h.keep
		}
		if err := s.answer(c, h, &req, files); err != nil {
			return h.keep
		}
	}
}

// hangup remembers what dies with a connection.
type hangup struct {
	kill    bool // the process pid, 0 for the init, of container id
	id      string
	pid     int32
	created string // a container that was made over this connection
	keep    bool   // what was made over this connection does not end with it
	lasting bool   // the connection is used for the life of the sandbox, however seldom
}

func (h *hangup) fire(s *Server) {
	if h.kill {
		// Already gone: nothing to do.
		s.signal(&target{ID: h.id, PID: h.pid, Signal: int32(unix.SIGKILL), Mode: SignalProcess})
	}
	if h.created != "" && !h.keep {
		s.destroy(h.created, new(bool))
	}
}

func (s *Server) answer(c *conn, h *hangup, req *request, files []*os.File) error {
	due := false
	result, err := s.dispatch(c, h, req, files, &due)
	if due {
		defer s.replies.Done()
	}
	var resp response
	if err == nil && result != nil {
		resp.Result, err = json.Marshal(result)
	}
	if err != nil {
		resp.Err = asError(err)
	}
	return c.send(&resp, nil)
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Text: err.Error(), Exit: e.Exit, Kind: e.Kind}
	}
	return &Error{Text: err.Error()}
}

// dispatch runs one request. due is set when the sandbox's end must wait for the answer.
func (s *Server) dispatch(c *conn, h *hangup, req *request, files []*os.File, due *bool) (any, error) {
	switch req.Method {
	case "create":
		w := createWire{CreateArgs: &CreateArgs{}}
		if err := decode(req, &w, files, w.take); err != nil {
			return nil, err
		}
		err := s.create(w.CreateArgs)
		if err == nil && w.ID != s.root {
			h.created, h.keep = w.ID, false
		}
		return nil, err
	case "exec":
		w := execWire{ExecArgs: &ExecArgs{}}
		if err := decode(req, &w, files, w.take); err != nil {
			return nil, err
		}
		return s.exec(&w, h)
	case "network":
		var w networkWire
		if err := decode(req, &w, files, func([]*os.File) error { return nil }); err != nil {
			return nil, err
		}
		return nil, s.setNetwork(&w, files)
	case "links":
		var w networkWire
		if err := decode(req, &w, files, func([]*os.File) error { return nil }); err != nil {
			return nil, err
		}
		return nil, s.changeNetwork(&w, files)
	case "limits":
		var w limitsWire
		if err := decode(req, &w, files, func([]*os.File) error { return nil }); err != nil {
			return nil, err
		}
		closeAll(files)
		return nil, s.setLimits(&w)
	case "tune":
		var t Tuning
		err := decode(req, &t, files, func([]*os.File) error { return nil })
		closeAll(files)
		tuner, ok := s.sandbox.(Tuner)
		if err == nil && !ok {
			err = errors.New("this sandbox has nothing to tune")
		}
		if err != nil {
			return nil, err
		}
		return nil, tuner.Tune(&t)
	}
	var t target
	if len(req.Args) > 0 {
		if err := json.Unmarshal(req.Args, &t); err != nil {
			closeAll(files)
			return nil, err
		}
	}
	if req.Method == "listeners" || req.Method == "forward" {
		return s.forward(c, h, req.Method, &t, files)
	}
	if req.Method == "profile" {
		defer closeAll(files)
		if len(files) != 1 {
			return nil, errors.New("control: profile needs one file")
		}
		return nil, s.sandbox.Profile(t.Kind, t.Seconds, files[0])
	}
	closeAll(files)
	switch req.Method {
	case "start":
		// The program may end before start has answered.
		s.replies.Add(1)
		*due = true
		return nil, s.start(t.ID)
	case "wait":
		return s.wait(c, h, &t, due)
	case "signal":
		return nil, s.signal(&t)
	case "processes":
		return s.sandbox.Processes(t.ID)
	case "pause":
		return nil, s.shift(t.ID, Running, Paused, s.sandbox.Pause)
	case "resume":
		return nil, s.shift(t.ID, Paused, Running, s.sandbox.Resume)
	case "resize":
		return nil, s.sandbox.Resize(t.ID, t.PID, t.Rows, t.Cols)
	case "stats":
		return s.sandbox.Stats(t.ID)
	case "status":
		cs, err := s.container(t.ID)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return cs.status, nil
	case "stacks":
		return string(s.sandbox.Stacks()), nil
	case "destroy":
		return nil, s.destroy(t.ID, due)
	case "keep":
		h.keep = true
		return nil, nil
	}
	return nil, fmt.Errorf("control: unknown request %q", req.Method)
}

// decode unpacks the arguments and lets take give the files their places; on error all files are closed.
func decode(req *request, into any, files []*os.File, take func([]*os.File) error) error {
	err := json.Unmarshal(req.Args, into)
	if err == nil {
		err = take(files)
	}
	if err != nil {
		closeAll(files)
	}
	return err
}

func (s *Server) container(id string) (*containerState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs := s.containers[id]
	if cs == nil {
		return nil, &Error{Text: "container does not exist: " + id, Kind: KindNotFound}
	}
	return cs, nil
}

func (s *Server) create(a *CreateArgs) error {
	cs := &containerState{status: Creating, stopped: make(chan struct{}), made: make(chan struct{}), exit: a.Exit}
	s.mu.Lock()
	var err error
	switch {
	case s.ended:
		err = &Error{Text: "the sandbox is ending", Kind: KindNotRunning}
	case s.containers[a.ID] != nil:
		err = fmt.Errorf("container %s already exists in this sandbox", a.ID)
	default:
		s.containers[a.ID] = cs
	}
	s.mu.Unlock()
	if err != nil {
		a.closeFiles()
		return err
	}
	err = s.sandbox.Create(a)
	s.mu.Lock()
	ended := s.ended
	switch {
	case err != nil:
		delete(s.containers, a.ID)
		closeAll([]*os.File{a.Exit})
	default:
		cs.status = Created
	}
	close(cs.made)
	s.mu.Unlock()
	if err == nil && ended { // EndAll has not seen it
		s.destroy(a.ID, new(bool))
		err = &Error{Text: "the sandbox has ended", Kind: KindNotRunning}
	}
	return err
}

// closeFiles closes every file that came with a.
func (a *CreateArgs) closeFiles() {
	_, files := a.wire()
	closeAll(files)
}

// EndAll ends every container but the root one, whose end has come, so that those who wait for them are told.
func (s *Server) EndAll() {
	s.mu.Lock()
	var rest []string
	for id, cs := range s.containers {
		if id != s.root && cs.status != Creating {
			rest = append(rest, id)
		}
	}
	s.mu.Unlock()
	for _, id := range rest {
		if cs, err := s.container(id); err == nil {
			s.sandbox.Destroy(id)
			s.finish(id, cs, WaitStatus(unix.SIGKILL))
		}
	}
}

func (s *Server) setNetwork(w *networkWire, files []*os.File) error {
	cs, err := s.container(w.ID)
	if err == nil {
		s.mu.Lock()
		if cs.status != Created {
			err = wrongState(cs.status, Created)
		}
		s.mu.Unlock()
	}
	setter, ok := s.sandbox.(NetworkSetter)
	if err == nil && !ok {
		err = errors.New("the network was set up after the container's creation, which is not supported")
	}
	if err != nil {
		closeAll(files)
		return err
	}
	return setter.SetNetwork(w.ID, w.Net, files)
}

func (s *Server) changeNetwork(w *networkWire, files []*os.File) error {
	changer, ok := s.sandbox.(NetworkChanger)
	if !ok {
		closeAll(files)
		return errors.New("the sandbox's network cannot change")
	}
	return changer.ChangeNetwork(w.Net, files)
}

func (s *Server) setLimits(w *limitsWire) error {
	if _, err := s.container(w.ID); err != nil {
		return err
	}
	setter, ok := s.sandbox.(LimitSetter)
	if !ok {
		return errors.New("the sandbox shows no limits")
	}
	return setter.SetLimits(w.ID, &w.Limits)
}

func (s *Server) start(id string) error {
	if err := s.shift(id, Created, Running, s.sandbox.Start); err != nil {
		return err
	}
	cs, err := s.container(id)
	if err != nil {
		return err
	}
	go func() {
		ws, err := s.sandbox.Wait(id, 0)
		if err != nil {
			ws = WaitStatus(unix.SIGKILL)
		}
		s.finish(id, cs, ws)
	}()
	return nil
}

// finish records the end of a container's init.
func (s *Server) finish(id string, cs *containerState, ws WaitStatus) {
	s.mu.Lock()
	first := cs.status != Stopped
	if first {
		cs.status, cs.wait = Stopped, ws
	}
	last := first && id == s.root && !s.ended
	if last {
		s.ended = true
	}
	s.mu.Unlock()
	if first {
		if cs.exit != nil {
			RecordExit(cs.exit, ws)
			cs.exit.Close()
		}
		close(cs.stopped)
	}
	if last {
		s.done <- ws
	}
}

// shift moves a container from one state to another around do.
func (s *Server) shift(id string, from, to Status, do func(string) error) error {
	cs, err := s.container(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if cs.status != from {
		defer s.mu.Unlock()
		return wrongState(cs.status, to)
	}
	cs.status = to
	s.mu.Unlock()
	if err := do(id); err != nil {
		s.mu.Lock()
		if cs.status == to {
			cs.status = from
		}
		s.mu.Unlock()
		return err
	}
	return nil
}

// wrongState words the refusal as engines know it.
func wrongState(is, want Status) error {
	text := fmt.Sprintf("container is %s", is)
	switch {
	case want == Running && is == Running:
		text = "cannot start an already running container"
	case want == Running && is == Paused:
		text = "cannot start a paused container"
	case want == Running && is == Stopped:
		text = "cannot start a container that has stopped"
	case want == Paused:
		text = "container not running: it is " + string(is)
	}
	return &Error{Text: text, Kind: KindNotRunning}
}

func (s *Server) exec(w *execWire, h *hangup) (any, error) {
	cs, err := s.container(w.ID)
	if err == nil {
		s.mu.Lock()
		if cs.status != Running && cs.status != Created {
			err = &Error{Text: fmt.Sprintf("cannot exec in a %s container", cs.status), Kind: KindNotRunning}
		}
		s.mu.Unlock()
	}
	if err != nil {
		closeAll(stdioFiles(w.Stdio, w.Console))
		closeAll(w.ExecArgs.Preserved)
		return nil, err
	}
	pid, err := s.sandbox.Exec(w.ExecArgs)
	if err != nil {
		return nil, err
	}
	if w.KillOnHangup {
		h.kill, h.id, h.pid = true, w.ID, pid
	}
	return pid, nil
}

// wait answers when a process has ended. While it waits it watches the connection: nobody sends anything before the
// answer, so a read that returns means that the peer has gone.
func (s *Server) wait(c *conn, h *hangup, t *target, due *bool) (any, error) {
	type outcome struct {
		ws  WaitStatus
		err error
	}
	ended := make(chan outcome, 1)
	if t.Kill {
		h.kill, h.id, h.pid = true, t.ID, t.PID
	}
	if t.PID == 0 {
		cs, err := s.container(t.ID)
		if err != nil {
			h.kill = false
			return nil, err
		}
		s.replies.Add(1)
		*due = true
		go func() { <-cs.stopped; ended <- outcome{cs.wait, nil} }()
	} else {
		go func() {
			ws, err := s.sandbox.Wait(t.ID, t.PID)
			ended <- outcome{ws, err}
		}()
	}
	watch := make(chan struct{})
	c.u.SetReadDeadline(time.Time{})
	go func() {
		var b [1]byte
		c.u.Read(b[:])
		close(watch)
	}()
	var o outcome
	select {
	case o = <-ended:
		if h.pid == t.PID {
			h.kill = false
		}
		c.u.SetReadDeadline(time.Unix(1, 0)) // wakes the watcher
		<-watch
	case <-watch:
		return nil, errors.New("control: the caller has gone")
	}
	return o.ws, o.err
}

// signal also serves a container that was not started yet: it has no process to take the signal, so a signal that
// would end one ends the container.
func (s *Server) signal(t *target) error {
	cs, err := s.container(t.ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	status := cs.status
	s.mu.Unlock()
	switch status {
	case Stopped:
		return &Error{Text: "container not running", Kind: KindNotRunning}
	case Created:
		if !fatalByDefault(unix.Signal(t.Signal)) {
			return nil
		}
		err := s.sandbox.Destroy(t.ID)
		s.finish(t.ID, cs, WaitStatus(t.Signal))
		return err
	}
	return s.sandbox.Signal(t.ID, t.PID, t.Signal, t.Mode)
}

// fatalByDefault follows the table of signal(7).
func fatalByDefault(sig unix.Signal) bool {
	switch sig {
	case 0, unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH:
		return false
	}
	return true
}

func (s *Server) destroy(id string, due *bool) error {
	cs, err := s.container(id)
	if err != nil {
		return err
	}
	// Who was making it may be gone; what is being made must not outlive this.
	<-cs.made
	if cs, err = s.container(id); err != nil {
		return nil // it could not be made
	}
	if id == s.root {
		s.replies.Add(1)
		*due = true
	}
	err = s.sandbox.Destroy(id)
	s.finish(id, cs, WaitStatus(unix.SIGKILL))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, id)
	return err
}

// RecordExit writes the wait status of a container to the file that outlives the Sentry.
func RecordExit(f *os.File, ws WaitStatus) {
	if _, err := f.WriteAt(fmt.Appendf(nil, "%d\n", uint32(ws)), 0); err != nil {
		slog.Warn("exit status could not be recorded", "error", err)
	}
}
