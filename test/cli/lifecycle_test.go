package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestByHand(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	id := e.id()
	dir := e.bundle([]string{"sh", "-c", "echo out; echo err >&2; exec sleep 100"})
	pidFile := filepath.Join(t.TempDir(), "pid")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := e.command("create", "--bundle", dir, "--pid-file", pidFile, id)
	// Files, for the container outlives the pipes of its create.
	cmd.Stdout, cmd.Stderr = out, out
	if r := e.finish(cmd); r.code != 0 {
		t.Fatalf("create: exit code %d", r.code)
	}
	var st specs.State
	if err := json.Unmarshal([]byte(e.must("state", id)), &st); err != nil {
		t.Fatal(err)
	}
	pid, _ := os.ReadFile(pidFile)
	if st.ID != id || st.Status != specs.StateCreated || st.Bundle != dir || strconv.Itoa(st.Pid) != string(pid) || st.Version == "" {
		t.Errorf("state %+v, pid file %q", st, pid)
	}
	e.must("start", id)
	e.await(id, "running")
	if got := e.must("exec", id, "echo", "inside"); got != "inside\n" {
		t.Errorf("exec says %q", got)
	}
	if r := e.runsc("exec", id, "sh", "-c", "exit 3"); r.code != 3 {
		t.Errorf("exec: exit code %d", r.code)
	}
	if r := e.runsc("exec", id, "sh", "-c", "kill -9 $$"); r.code != 137 {
		t.Errorf("exec of a suicide: exit code %d", r.code)
	}
	if got := e.must("ps", id); !strings.Contains(got, "sleep") {
		t.Errorf("ps says\n%s", got)
	}
	if got := e.must("list", "-q"); strings.TrimSpace(got) != id {
		t.Errorf("list says %q", got)
	}
	e.must("pause", id)
	e.await(id, "paused")
	e.must("resume", id)
	e.await(id, "running")
	var ev struct {
		Type, ID string
		Data     struct{ Pids struct{ Current int } }
	}
	if err := json.Unmarshal([]byte(e.must("events", "--stats", id)), &ev); err != nil || ev.Type != "stats" || ev.Data.Pids.Current < 1 {
		t.Errorf("events: %+v, %v", ev, err)
	}
	e.must("kill", id, "KILL")
	e.await(id, "stopped")
	if got := e.must("wait", id); !strings.Contains(got, `"exitStatus": 137`) {
		t.Errorf("wait says %s", got)
	}
	e.must("delete", id)
	if got, _ := os.ReadFile(out.Name()); string(got) != "out\nerr\n" {
		t.Errorf("standard output was %q", got)
	}
	if after := e.footprint(); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// TestExitCodes compares the exit code of runsc with what a shell shows.
func TestExitCodes(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		script string
		code   int
	}{
		{"exit 0", 0}, {"exit 1", 1}, {"exit 2", 2}, {"exit 128", 128}, {"exit 255", 255},
		{"kill -TERM $$", 143}, {"kill -KILL $$", 137},
	} {
		// A process that is not PID 1, to which a signal without handler means nothing.
		if r := e.run([]string{"sh", "-c", "sh -c '" + c.script + "'; exit $?"}); r.code != c.code {
			t.Errorf("%s: exit code %d, want %d; %s", c.script, r.code, c.code, r.errout)
		}
	}
}

func TestStdio(t *testing.T) {
	e := newEnv(t)
	// A pipe in, a pipe out.
	cmd := e.command("run", "--bundle", e.bundle([]string{"sh", "-c", "cat; echo err >&2"}), e.id())
	cmd.Stdin = strings.NewReader(strings.Repeat("0123456789abcdef", 8192))
	var out bytes.Buffer
	cmd.Stdout = &out
	if r := e.finish(cmd); r.code != 0 || out.Len() != 16*8192 || r.errout != "err\n" {
		t.Errorf("exit code %d, %d bytes, %q", r.code, out.Len(), r.errout)
	}
	// A regular file keeps its offset, and O_APPEND.
	for _, flag := range []int{0, os.O_APPEND} {
		name := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(name, []byte("12345"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_WRONLY|flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Seek(3, 0)
		cmd := e.command("run", "--bundle", e.bundle([]string{"sh", "-c", "echo a; echo b"}), e.id())
		cmd.Stdout = f
		e.finish(cmd)
		f.Write([]byte("!"))
		f.Close()
		want := "123a\nb\n!"
		if flag != 0 {
			want = "12345a\nb\n!"
		}
		if got, _ := os.ReadFile(name); string(got) != want {
			t.Errorf("flag %#x: the file has %q, want %q", flag, got, want)
		}
	}
}

func TestPreservedDescriptors(t *testing.T) {
	e := newEnv(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := e.command("run", "--preserve-fds", "1", "--bundle", e.bundle([]string{"sh", "-c", "echo three >&3"}), e.id())
	cmd.ExtraFiles = []*os.File{w}
	res := e.finish(cmd)
	w.Close()
	if data, _ := io.ReadAll(r); string(data) != "three\n" {
		t.Errorf("%q came through descriptor 3; %s", data, res.errout)
	}
}

// receiveConsole takes the master that comes to a console socket.
func receiveConsole(t *testing.T, l *net.UnixListener) *os.File {
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	name, oob := make([]byte, 256), make([]byte, 256)
	_, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d messages, %v", len(msgs), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	return os.NewFile(uintptr(fds[0]), "master")
}

func listenConsole(t *testing.T) (*net.UnixListener, string) {
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

func TestConsole(t *testing.T) {
	e := newEnv(t)
	l, socket := listenConsole(t)
	id := e.id()
	dir := e.bundle([]string{"sh", "-c", "test -t 0 && test -t 1 && tty && stty size && read x && echo got $x"}, func(s *specs.Spec) {
		s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 31, Width: 77}
	})
	e.must("create", "--bundle", dir, "--console-socket", socket, id)
	master := receiveConsole(t, l)
	defer master.Close()
	e.must("start", id)
	io.WriteString(master, "word\n")
	data, _ := io.ReadAll(master)
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	for _, want := range []string{"/dev/", "31 77\n", "got word\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the console says %q, without %q", text, want)
		}
	}
	e.await(id, "stopped")
}

// TestDetachedExec is what docker exec does.
func TestDetachedExec(t *testing.T) {
	e := newEnv(t)
	id := e.id()
	e.must("run", "--detach", "--bundle", e.bundle([]string{"sleep", "100"}), id)
	l, socket := listenConsole(t)
	process, pidFile := filepath.Join(t.TempDir(), "process.json"), filepath.Join(t.TempDir(), "pid")
	data, _ := json.Marshal(&specs.Process{Terminal: true, Args: []string{"sh", "-c", "tty; read x; echo $x; exit 4"}, Cwd: "/", Env: []string{"PATH=/bin"}})
	if err := os.WriteFile(process, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// Orphans come to us, as to a shim.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	e.must("exec", "--process", process, "--detach", "--pid-file", pidFile, "--console-socket", socket, id)
	master := receiveConsole(t, l)
	defer master.Close()
	io.WriteString(master, "word\n")
	data, _ = io.ReadAll(master)
	if !strings.Contains(string(data), "/dev/pts/") || !strings.Contains(string(data), "word") {
		t.Errorf("the console says %q", data)
	}
	pid := 0
	data, _ = os.ReadFile(pidFile)
	fmt.Sscan(string(data), &pid)
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 4 {
		t.Errorf("process %d ended with %v, %v", pid, ws, err)
	}
}

func TestHooks(t *testing.T) {
	e := newEnv(t)
	log := filepath.Join(t.TempDir(), "log")
	host := func(kind string) []specs.Hook {
		return []specs.Hook{{
			Path: "/bin/sh", Env: []string{"KIND=" + kind, "PATH=/bin:/usr/bin"},
			Args: []string{"sh", "-c", `echo "$KIND $(sed 's/.*"status":"\([a-z]*\)".*/\1/')" >> ` + log},
		}}
	}
	id := e.id()
	dir := e.bundle([]string{"sleep", "100"}, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{
			//lint:ignore SA1019 deprecated hooks are hooks
			Prestart: host("prestart"), CreateRuntime: host("createRuntime"), CreateContainer: host("createContainer"),
			StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "/bin/cat > /tmp/state"}}},
			Poststart:      host("poststart"), Poststop: host("poststop"),
		}
	})
	e.must("create", "--bundle", dir, id)
	e.must("start", id)
	var st specs.State
	inside := e.must("exec", id, "cat", "/tmp/state")
	if err := json.Unmarshal([]byte(inside), &st); err != nil || st.ID != id || st.Status != specs.StateCreated {
		t.Errorf("the startContainer hook got %q", inside)
	}
	e.must("delete", "--force", id)
	data, _ := os.ReadFile(log)
	want := "prestart created\ncreateRuntime creating\ncreateContainer creating\npoststart running\npoststop stopped\n"
	if string(data) != want {
		t.Errorf("hooks said\n%swant\n%s", data, want)
	}
}

func TestHundredInARow(t *testing.T) {
	e := newEnv(t)
	dir := e.bundle([]string{"true"})
	e.runsc("run", "--bundle", dir, e.id())
	before := e.footprint()
	for i := range 100 {
		id := fmt.Sprintf("rf-cli-%d-row-%d", os.Getpid(), i)
		switch i % 3 {
		case 0:
			e.must("run", "--bundle", dir, id)
		case 1:
			e.must("create", "--bundle", dir, id)
			e.must("start", id)
			e.await(id, "stopped")
			e.must("delete", id)
		case 2:
			e.must("create", "--bundle", dir, id)
			e.must("delete", "--force", id)
		}
	}
	if after := e.footprint(); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// TestKilledRunsc kills runsc at many points of a create. Nothing may run on, and the id must be free again.
func TestKilledRunsc(t *testing.T) {
	e := newEnv(t)
	dir := e.bundle([]string{"true"})
	before := e.footprint()
	for i := range 12 {
		id := e.id()
		cmd := e.command("create", "--bundle", dir, id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Points in time, spread over the length of a create; which step each hits does not matter.
		wait := unix.NsecToTimespec(int64(i+1) * 4e6)
		unix.Nanosleep(&wait, nil)
		cmd.Process.Kill()
		cmd.Wait()
		if r := e.runsc("run", "--bundle", dir, id); r.code != 0 && !strings.Contains(r.errout, "already exists") {
			t.Errorf("killed after %d ms, then run: %+v", 4*(i+1), r)
		}
		e.must("delete", "--force", id)
	}
	if after := e.footprint(); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

func TestDo(t *testing.T) {
	e := newEnv(t)
	cwd := t.TempDir()
	file := filepath.Join(cwd, "file")
	cmd := e.command("do", "/bin/busybox", "sh", "-c", "pwd; echo x > file; cat file; exit 5")
	cmd.Dir = cwd
	r := e.finish(cmd)
	if r.code != 5 || r.out != cwd+"\nx\n" {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the host has the file: %v", err)
	}
}
