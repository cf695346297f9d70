package control

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// stub is a Sandbox of which each test sets what it needs.
type stub struct {
	create    func(*CreateArgs) error
	wait      func(pid int32) (WaitStatus, error)
	signals   chan int32
	destroyed atomic.Bool
}

func (s *stub) Create(a *CreateArgs) error                   { return s.create(a) }
func (s *stub) Start(string) error                           { return nil }
func (s *stub) Exec(*ExecArgs) (int32, error)                { return 7, nil }
func (s *stub) Wait(_ string, pid int32) (WaitStatus, error) { return s.wait(pid) }
func (s *stub) Processes(string) ([]Process, error)          { return []Process{{PID: 1}}, nil }
func (s *stub) Pause(string) error                           { return nil }
func (s *stub) Resume(string) error                          { return nil }
func (s *stub) Resize(string, int32, uint16, uint16) error   { return nil }
func (s *stub) Stats(string) (*Stats, error)                 { return &Stats{PIDs: 3}, nil }
func (s *stub) Stacks() []byte                               { return []byte("stacks") }
func (s *stub) Profile(kind string, _ int, w io.Writer) error {
	_, err := io.WriteString(w, kind)
	return err
}
func (s *stub) Destroy(string) error {
	s.destroyed.Store(true)
	return nil
}
func (s *stub) Signal(_ string, pid, sig int32, _ SignalMode) error {
	if s.signals != nil {
		s.signals <- pid<<8 | sig
	}
	return nil
}

func pair(t *testing.T) (a, b *os.File) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
}

// serve runs a server on one end of a connection and returns a client on the other.
func serve(t *testing.T, s *stub) (*Server, *Client) {
	srv := NewServer(s, "c")
	return srv, connect(t, srv)
}

func connect(t *testing.T, srv *Server) *Client {
	a, b := pair(t)
	c, err := newConn(b)
	if err != nil {
		t.Fatal(err)
	}
	go srv.serve(c, 0)
	cl, err := NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func open(t *testing.T) *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestManyFiles sends more descriptors than one message takes.
func TestManyFiles(t *testing.T) {
	var got *CreateArgs
	_, cl := serve(t, &stub{create: func(a *CreateArgs) error { got = a; return nil }})
	null := open(t)
	tmp, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	a := &CreateArgs{ID: "c", Spec: &specs.Spec{Process: &specs.Process{Args: []string{"x"}}}, Stdio: [3]*os.File{null, null, null}}
	for i := range 300 {
		m := MountConn{Index: i, Conn: null, FDs: null}
		if i == 299 {
			m.FDs = tmp
		}
		a.Mounts = append(a.Mounts, m)
	}
	a.Preserved, a.NetFiles = []*os.File{null, null}, []*os.File{null}
	if err := cl.Create(a); err != nil {
		t.Fatal(err)
	}
	if len(got.Mounts) != 300 || len(got.Preserved) != 2 || len(got.NetFiles) != 1 || got.Console != nil {
		t.Fatalf("%d mounts, %d preserved, %d of the network", len(got.Mounts), len(got.Preserved), len(got.NetFiles))
	}
	x, _ := got.Mounts[299].FDs.Stat()
	y, _ := tmp.Stat()
	if !os.SameFile(x, y) {
		t.Error("the last descriptor is not the one that was sent")
	}
}

func TestStates(t *testing.T) {
	end := make(chan WaitStatus)
	srv, cl := serve(t, &stub{
		create: func(*CreateArgs) error { return nil },
		wait:   func(int32) (WaitStatus, error) { return <-end, nil },
	})
	null := open(t)
	a := &CreateArgs{ID: "c", Spec: &specs.Spec{Process: &specs.Process{}}, Stdio: [3]*os.File{null, null, null}}
	if err := cl.Create(a); err != nil {
		t.Fatal(err)
	}
	if err := cl.Create(a); err == nil {
		t.Error("two containers with one id")
	}
	if _, err := cl.Status("d"); kind(err) != KindNotFound {
		t.Errorf("status of nothing: %v", err)
	}
	if err := cl.Pause("c"); kind(err) != KindNotRunning {
		t.Errorf("pause before start: %v", err)
	}
	if err := cl.Start("c"); err != nil {
		t.Fatal(err)
	}
	if err := cl.Start("c"); err == nil || err.Error() != "cannot start an already running container" {
		t.Errorf("double start: %v", err)
	}
	waiter := connect(t, srv)
	got := make(chan WaitStatus)
	go func() { ws, _ := waiter.Wait("c", 0); got <- ws }()
	if s, err := cl.Status("c"); s != Running || err != nil {
		t.Errorf("status %v, %v", s, err)
	}
	end <- 5 << 8
	if ws := <-srv.Done(); ws.ExitCode() != 5 {
		t.Errorf("done with %v", ws)
	}
	if ws := <-got; ws.ExitCode() != 5 {
		t.Errorf("waited for %v", ws)
	}
	srv.Flush(time.Minute)
	if err := cl.Signal("c", 0, 9, SignalProcess); kind(err) != KindNotRunning {
		t.Errorf("signal after the end: %v", err)
	}
}

func kind(err error) Kind {
	var e *Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Kind
}

// TestHangup breaks the connection of someone who waits for a process that is to die with it.
func TestHangup(t *testing.T) {
	s := &stub{
		create:  func(*CreateArgs) error { return nil },
		wait:    func(pid int32) (WaitStatus, error) { select {} },
		signals: make(chan int32, 1),
	}
	srv, cl := serve(t, s)
	null := open(t)
	io3 := [3]*os.File{null, null, null}
	if err := cl.Create(&CreateArgs{ID: "c", Spec: &specs.Spec{Process: &specs.Process{}}, Stdio: io3}); err != nil {
		t.Fatal(err)
	}
	if err := cl.Start("c"); err != nil {
		t.Fatal(err)
	}
	x := connect(t, srv)
	pid, err := x.Exec(&ExecArgs{ID: "c", Process: &specs.Process{}, Stdio: io3}, true)
	if err != nil {
		t.Fatal(err)
	}
	go x.Wait("c", pid)
	x.Close()
	if got := <-s.signals; got != 7<<8|int32(unix.SIGKILL) {
		t.Errorf("signal %#x", got)
	}
}

// TestHostileFrames sends what no runsc would.
// TestDestroyWhileCreated deletes a container whose maker was killed while the sandbox had not made it yet.
func TestDestroyWhileCreated(t *testing.T) {
	began, goOn := make(chan bool), make(chan bool)
	sb := &stub{create: func(*CreateArgs) error {
		began <- true
		<-goOn
		return nil
	}}
	s := NewServer(sb, "root")
	created, deleted := make(chan error, 1), make(chan error, 1)
	go func() { created <- s.create(&CreateArgs{ID: "a"}) }()
	<-began
	go func() { deleted <- s.destroy("a", new(bool)) }()
	select {
	case <-deleted:
		t.Fatal("deleted what is being made")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if err := <-created; err != nil {
		t.Error(err)
	}
	if err := <-deleted; err != nil || !sb.destroyed.Load() {
		t.Errorf("destroyed %t, error %v", sb.destroyed.Load(), err)
	}
	if err := s.destroy("a", new(bool)); err == nil {
		t.Error("it is still there")
	}
}

func TestHostileFrames(t *testing.T) {
	for name, frame := range map[string]string{
		"huge body":       "\xff\xff\xff\xff\x00\x00\x00\x00",
		"many files":      "\x00\x00\x00\x02\xff\xff\xff\xff{}",
		"files not sent":  "\x00\x00\x00\x02\x00\x00\x00\x01{}",
		"not JSON":        "\x00\x00\x00\x02\x00\x00\x00\x00xx",
		"create of null":  frameOf(`{"method":"create","args":null}`),
		"create of {}":    frameOf(`{"method":"create","args":{}}`),
		"create no files": frameOf(`{"method":"create","args":{"id":"c","spec":{"process":{}},"preserved":-1}}`),
		"exec of {}":      frameOf(`{"method":"exec","args":{}}`),
		"profile no file": frameOf(`{"method":"profile"}`),
		"unknown":         frameOf(`{"method":"frobnicate"}`),
		"wait of nothing": frameOf(`{"method":"wait","args":{"id":"x"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			srv := NewServer(&stub{create: func(*CreateArgs) error { t.Error("create was called"); return nil }}, "c")
			a, b := pair(t)
			defer a.Close()
			c, err := newConn(b)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan bool)
			go func() { srv.serve(c, time.Minute); close(done) }()
			if _, err := a.WriteString(frame); err != nil {
				t.Fatal(err)
			}
			unix.Shutdown(int(a.Fd()), unix.SHUT_WR)
			answer, _ := io.ReadAll(a)
			<-done
			if strings.HasPrefix(frame[8:], `{"method`) && !strings.Contains(string(answer), `"err"`) {
				t.Errorf("answer %q", answer)
			}
		})
	}
}

func frameOf(body string) string {
	var head [headerSize]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(body)))
	return string(head[:]) + body
}

func TestExitCode(t *testing.T) {
	for ws, code := range map[WaitStatus]int{0: 0, 0x100: 1, 0xff00: 255, 9: 137, 0x8b: 139} {
		if got := ws.ExitCode(); got != code {
			t.Errorf("%#x: %d, want %d", uint32(ws), got, code)
		}
	}
}
