//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/runsc/boot"
	"ringfort/runsc/control"
	"ringfort/runsc/export"
)

// The test program is also the Sentry, the gofer and the keeper that package container starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "boot":
			boot.Main(func(conf *boot.Config) (control.Sandbox, error) {
				if conf.Platform == "none" {
					return nil, errors.New("no such platform")
				}
				return &fakeSandbox{conf: conf, procs: map[int32]*fakeProcess{}}, nil
			})
		case "gofer":
			os.Exit(export.Main())
		case "keep":
			os.Exit(Keep())
		}
	}
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	before, _ := os.Readlink("/proc/self/ns/net")
	code := m.Run()
	if after, _ := os.Readlink("/proc/self/ns/net"); after != before {
		fmt.Fprintf(os.Stderr, "the main thread, and so this process, was left in the network namespace %s of a container\n", after)
		code = 1
	}
	os.Exit(code)
}

// fakeSandbox stands for the kernel: its programs are words.
type fakeSandbox struct {
	limit atomic.Int64
	conf  *boot.Config
	mu    sync.Mutex
	procs map[int32]*fakeProcess // by PID; 0 and 1 are init
	next  int32
}

type fakeProcess struct {
	args   []string
	create *control.CreateArgs // of init
	stdio  [3]*os.File
	tty    *os.File
	ended  chan struct{}
	once   sync.Once
	ws     control.WaitStatus
}

func (p *fakeProcess) end(ws control.WaitStatus) {
	p.once.Do(func() {
		p.ws = ws
		for _, f := range append(p.stdio[:], p.tty) {
			if f != nil {
				f.Close()
			}
		}
		close(p.ended)
	})
}

func (p *fakeProcess) run() {
	out := p.stdio[1]
	if p.tty != nil {
		out = p.tty
	}
	switch p.args[0] {
	case "exit":
		n, _ := strconv.Atoi(p.args[1])
		p.end(control.WaitStatus(n << 8))
	case "echo":
		fmt.Fprintln(out, strings.Join(p.args[1:], " "))
		p.end(0)
	case "cat":
		if _, err := io.Copy(out, p.stdio[0]); err != nil {
			p.end(1 << 8)
		}
		p.end(0)
	case "files":
		if err := fileWork(&p.create.Mounts[0]); err != nil {
			fmt.Fprintln(out, err)
		}
		p.end(0)
	case "network":
		if err := greet(p.create); err != nil {
			fmt.Fprintln(os.Stderr, err)
			p.end(1 << 8)
		}
		p.end(0)
	case "open":
		unix.Open("/etc/passwd", 0, 0)
	case "panic":
		panic("the kernel met something it did not expect")
	}
}

func (s *fakeSandbox) make(args []string, stdio [3]*os.File, tty *os.File) (*fakeProcess, error) {
	if args[0] == "missing" {
		return nil, &control.Error{Text: `exec: "missing": executable file not found in $PATH`, Exit: 127}
	}
	return &fakeProcess{args: args, stdio: stdio, tty: tty, ended: make(chan struct{})}, nil
}

func (s *fakeSandbox) Create(a *control.CreateArgs) error {
	for _, m := range a.Mounts {
		if m.Conn == nil || m.FDs == nil {
			return errors.New("a mount without its connections")
		}
	}
	p, err := s.make(a.Spec.Process.Args, a.Stdio, a.Console)
	if err != nil {
		return err
	}
	p.create = a
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[0], s.procs[1], s.next = p, p, 2
	return nil
}

func (s *fakeSandbox) get(pid int32) (*fakeProcess, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.procs[pid]; p != nil {
		return p, nil
	}
	return nil, &control.Error{Text: "no such process", Kind: control.KindNotFound}
}

func (s *fakeSandbox) Start(id string) error {
	p, err := s.get(0)
	if err == nil {
		go p.run()
	}
	return err
}

func (s *fakeSandbox) Exec(a *control.ExecArgs) (int32, error) {
	p, err := s.make(a.Process.Args, a.Stdio, a.Console)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	pid := s.next
	s.next++
	s.procs[pid] = p
	s.mu.Unlock()
	go p.run()
	return pid, nil
}

func (s *fakeSandbox) Wait(id string, pid int32) (control.WaitStatus, error) {
	p, err := s.get(pid)
	if err != nil {
		return 0, err
	}
	<-p.ended
	return p.ws, nil
}

func (s *fakeSandbox) Signal(id string, pid, sig int32, mode control.SignalMode) error {
	p, err := s.get(pid)
	if err == nil && sig != 0 {
		p.end(control.WaitStatus(sig))
	}
	return err
}

func (s *fakeSandbox) Processes(string) ([]control.Process, error) {
	return []control.Process{{PID: 1, Comm: "init", StartUnix: time.Now().Unix()}}, nil
}
func (s *fakeSandbox) Pause(string) error  { return nil }
func (s *fakeSandbox) Resume(string) error { return nil }
func (s *fakeSandbox) Resize(id string, pid int32, rows, cols uint16) error {
	return nil
}
func (s *fakeSandbox) Stats(string) (*control.Stats, error) {
	return &control.Stats{PIDs: 1, MemoryLimit: uint64(s.limit.Load())}, nil
}
func (s *fakeSandbox) SetLimits(_ string, l *control.Limits) error {
	s.limit.Store(l.Memory)
	return nil
}
func (s *fakeSandbox) Stacks() []byte { return []byte("goroutine 1\n") }
func (s *fakeSandbox) Profile(kind string, seconds int, w io.Writer) error {
	_, err := io.WriteString(w, kind)
	return err
}
func (s *fakeSandbox) Destroy(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		p.end(control.WaitStatus(unix.SIGKILL))
	}
	return nil
}
