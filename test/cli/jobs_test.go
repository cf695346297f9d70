package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// debian is the root file system that test/install.sh makes.
func debian(t *testing.T) string {
	dir := os.Getenv("RINGFORT_ROOTFS")
	if dir == "" {
		dir = "/var/cache/ringfort/debian12"
	}
	if _, err := os.Stat(filepath.Join(dir, ".complete")); err != nil {
		t.Fatalf("no Debian root in %s: run `make deps-test` once", dir)
	}
	return dir
}

// prompt is one that no output looks like.
const prompt = "ready> "

var (
	interactive    = []string{"/bin/bash", "--norc", "--noprofile", "--noediting", "-i"}
	interactiveEnv = []string{"PATH=/usr/bin:/bin", "HOME=/root", "TERM=dumb", "PS1=" + prompt, "HISTFILE="}
)

// A session is a person at a terminal.
type session struct {
	*testing.T
	master *os.File
	mu     sync.Mutex
	said   bytes.Buffer
	seen   int // how much of it has been waited for
	end    chan struct{}
}

func newSession(t *testing.T, master *os.File) *session {
	s := &session{T: t, master: master, end: make(chan struct{})}
	go func() {
		defer close(s.end)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.said.Write(buf[:n])
			s.mu.Unlock()
			if err != nil { // EIO: the other side has closed
				return
			}
		}
	}()
	return s
}

// text is all that the terminal has shown.
func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.said.String(), "\r", "")
}

// expect waits until the terminal shows want, after what was waited for before.
func (s *session) expect(want string) {
	s.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text := s.text()
		if i := strings.Index(text[s.seen:], want); i >= 0 {
			s.seen += i + len(want)
			return
		}
	}
	s.Fatalf("the terminal does not show %q:\n%s", want, s.text())
}

func (s *session) send(keys string) {
	s.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.Fatal(err)
	}
}

// foreground gives a command the time to become the terminal's foreground job, of which nothing is shown.
func foreground() { time.Sleep(500 * time.Millisecond) }

// jobs goes through job control as a person does and returns what the terminal has shown.
func (s *session) jobs() string {
	s.Helper()
	s.expect(prompt)
	for _, step := range []struct{ line, keys string }{
		{"sleep 100", "\x1a"}, // ^Z
		{"jobs", ""},
		{"bg", ""},
		{"jobs", ""},
		{"fg", "\x03"}, // ^C
		{"echo code $?", ""},
		{"sleep 99 & sleep 98", "\x1a"},
		{"fg %1", "\x03"},
		{"fg %2", "\x03"},
		{"cat | tr a-z A-Z", "shout\n\x04"}, // ^D
		{"sh -c 'kill -STOP $$; echo went on'; fg", ""},
		{"cat & sleep 0.3", ""}, // reading in the background stops
		{"jobs", ""},
		{"fg %cat", "once more\n\x04"},
		{"sleep 97", "\x1c"}, // ^\
		{"echo code $?; jobs; stty -a | grep -o ' isig'", ""},
	} {
		s.send(step.line + "\n")
		s.expect("\n")
		if step.keys != "" {
			foreground()
			s.send(step.keys)
		}
		s.expect(prompt)
	}
	s.send("exit 7\n")
	<-s.end
	return s.text()
}

// TestJobControl compares an interactive shell in the sandbox with one in a native chroot, to the letter.
func TestJobControl(t *testing.T) {
	root := debian(t)
	want := nativeJobs(t, root)
	if !strings.Contains(want, "Stopped") || !strings.Contains(want, "SHOUT") || !strings.Contains(want, "code 130") {
		t.Fatalf("natively:\n%s", want)
	}
	for _, platform := range []string{"ptrace", "systrap"} {
		t.Run(platform, func(t *testing.T) {
			e := newEnv(t)
			l, socket := listenConsole(t)
			id := e.id()
			dir := e.bundle(interactive, func(s *specs.Spec) {
				s.Process.Terminal, s.Process.Env, s.Root.Path = true, interactiveEnv, root
				s.Process.Cwd = "/"
			})
			e.must("--platform", platform, "--overlay", "memory", "create", "--bundle", dir, "--console-socket", socket, id)
			master := receiveConsole(t, l)
			defer master.Close()
			e.must("start", id)
			got := newSession(t, master).jobs()
			g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
			for i := range min(len(g), len(w)) {
				if g[i] != w[i] {
					t.Fatalf("line %d is %q, natively %q, of\n%s", i+1, g[i], w[i], got)
				}
			}
			if len(g) != len(w) {
				t.Errorf("%d lines, natively %d:\n%s", len(g), len(w), got)
			}
			e.await(id, "stopped")
			if out := e.must("wait", id); !strings.Contains(out, `"exitStatus": 7`) {
				t.Errorf("wait says %s", out)
			}
		})
	}
}

// resized tells of each new size of its terminal, until it reads "end".
const resized = `import os, signal, sys
signal.signal(signal.SIGWINCH, lambda *a: print(os.get_terminal_size()))
print("begin")
for line in iter(sys.stdin.readline, "end\n"):
    pass
sys.exit(5)`

// TestResize changes the size of the terminal while a program runs in it, several times: the host tells every process of
// the session, of which those that run applications are some.
func TestResize(t *testing.T) {
	root := debian(t)
	for _, platform := range []string{"ptrace", "systrap"} {
		t.Run(platform, func(t *testing.T) {
			e := newEnv(t)
			l, socket := listenConsole(t)
			id := e.id()
			dir := e.bundle([]string{"/usr/bin/python3", "-u", "-c", resized}, func(s *specs.Spec) {
				s.Process.Terminal, s.Process.Env, s.Root.Path, s.Process.Cwd = true, interactiveEnv, root, "/"
			})
			e.must("--platform", platform, "--overlay", "memory", "create", "--bundle", dir, "--console-socket", socket, id)
			master := receiveConsole(t, l)
			defer master.Close()
			e.must("start", id)
			s := newSession(t, master)
			s.expect("begin")
			for rows := uint16(20); rows < 25; rows++ {
				if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 77}); err != nil {
					t.Fatal(err)
				}
				s.expect(fmt.Sprintf("columns=77, lines=%d", rows))
			}
			s.send("end\n")
			<-s.end
			e.await(id, "stopped")
			if out := e.must("wait", id); !strings.Contains(out, `"exitStatus": 5`) {
				t.Errorf("wait says %s", out)
			}
		})
	}
}

// nativeJobs is the same in a chroot, in a PID namespace of its own.
func nativeJobs(t *testing.T, root string) string {
	master, replica := openPTY(t)
	args := append([]string{"--pid", "--fork", "--kill-child", "--mount", "chroot", root, "/usr/bin/env", "-i"}, interactiveEnv...)
	cmd := exec.Command("unshare", append(args, interactive...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = replica, replica, replica
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	replica.Close()
	text := newSession(t, master).jobs()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("natively the exit code is %d", code)
	}
	return text
}

// openPTY opens a pair of a pseudo-terminal.
func openPTY(t *testing.T) (master, replica *os.File) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		replica, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, replica
}
