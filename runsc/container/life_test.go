package container

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/spec"
)

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func testOptions(t *testing.T) *Options {
	needRoot(t)
	return &Options{
		Root: filepath.Join(t.TempDir(), "state"), Platform: "ptrace", Network: "none", Overlay: "none", LogFormat: "text",
		Warn: t.Logf,
	}
}

var serial int

// testID is a name that no other test run uses for its cgroup at the same time.
func testID() string {
	serial++
	return fmt.Sprintf("ringfort-test-%d-%d", os.Getpid(), serial)
}

// bundle makes a bundle for a program of the fake kernel.
func bundle(t *testing.T, args ...string) *CreateOptions {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := spec.Template()
	s.Process.Terminal, s.Process.Args = false, args
	s.Root.Path = filepath.Join(dir, "rootfs")
	return &CreateOptions{Bundle: dir, Spec: s}
}

func mustCreate(t *testing.T, opts *Options, co *CreateOptions) *Container {
	t.Helper()
	c, err := Create(opts, testID(), co)
	if err != nil {
		t.Fatal(err)
	}
	c.Unlock()
	t.Cleanup(func() {
		DeleteAny(opts, c.ID, true)
		c.Close()
	})
	return c
}

// clean checks that nothing is left of a container.
func clean(t *testing.T, c *Container) {
	t.Helper()
	if _, err := os.Stat(c.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left", c.path)
	}
	for _, p := range []procID{c.Sentry, c.Gofer} {
		if p.alive() {
			t.Errorf("process %d is left", p.PID)
		}
	}
	left, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.ID)
	more, _ := filepath.Glob("/sys/fs/cgroup/" + c.ID)
	if left = append(left, more...); len(left) > 0 {
		t.Errorf("cgroups are left: %q", left)
	}
}

func TestLifeCycle(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "sleep")
	co.PidFile = filepath.Join(co.Bundle, "pid")
	c := mustCreate(t, opts, co)
	if s := c.Current(); s != control.Created {
		t.Fatalf("status %s after create", s)
	}
	pid, _ := os.ReadFile(co.PidFile)
	if string(pid) != strconv.Itoa(c.Sentry.PID) {
		t.Errorf("pid file has %q, the Sentry is %d", pid, c.Sentry.PID)
	}
	if _, err := Create(opts, c.ID, co); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("second create: %v", err)
	}
	other, err := Open(opts, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if s := c.Current(); s != control.Running {
		t.Errorf("status %s after start", s)
	}
	if err := c.Start(); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("second start: %v", err)
	}
	if err := c.Delete(false); err == nil || !strings.Contains(err.Error(), "not stopped") {
		t.Errorf("delete of a running container: %v", err)
	}
	c.Unlock()
	if err := c.Pause(); err != nil {
		t.Error(err)
	}
	if r := c.Report(); r.Status != "paused" || r.Pid != c.Sentry.PID {
		t.Errorf("report %+v", r)
	}
	if err := c.Resume(); err != nil {
		t.Error(err)
	}
	if u, err := c.Usage(); err != nil || u.Pids.Current != 1 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if err := c.Signal(unix.SIGTERM, false); err != nil {
		t.Error(err)
	}
	ws, err := c.Wait(0)
	if err != nil || ws.ExitCode() != 128+15 {
		t.Errorf("wait: %v, %v", ws, err)
	}
	if err := c.Sentry.end(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if s := c.Current(); s != control.Stopped {
		t.Errorf("status %s at the end", s)
	}
	if ws, err := c.Wait(0); err != nil || ws.ExitCode() != 128+15 {
		t.Errorf("wait after the end: %v, %v", ws, err)
	}
	if err := c.Signal(unix.SIGKILL, false); err == nil || err.Error() != "container not running" {
		t.Errorf("kill of a stopped container: %v", err)
	}
	if err := c.Delete(false); err != nil {
		t.Error(err)
	}
	clean(t, c)
	if _, err := Open(opts, c.ID); err == nil || !strings.Contains(err.Error(), "container does not exist") {
		t.Errorf("open after delete: %v", err)
	}
}

func TestRun(t *testing.T) {
	opts := testOptions(t)
	for _, c := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"exit", "0"}, 0, ""},
		{[]string{"exit", "2"}, 2, ""},
		{[]string{"exit", "255"}, 255, ""},
		{[]string{"missing"}, 0, `exec: "missing": executable file not found in $PATH`},
		{[]string{"open"}, 0, "forbidden host system call openat (257)"},
		{[]string{"panic"}, 0, "panic: the kernel met something it did not expect"},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			code, err := Run(opts, testID(), bundle(t, c.args...), false)
			if code != c.code || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("exit code %d, error %v; want %d, %q", code, err, c.code, c.err)
			}
		})
	}
	if ids, err := List(opts); len(ids) != 0 || err != nil {
		t.Errorf("left: %q, %v", ids, err)
	}
}

func TestExec(t *testing.T) {
	opts := testOptions(t)
	c := mustCreate(t, opts, bundle(t, "sleep"))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	process := func(args ...string) *specs.Process { return &specs.Process{Args: args, Cwd: "/"} }
	if code, err := c.Exec(&ExecOptions{Process: process("exit", "7")}); code != 7 || err != nil {
		t.Errorf("exec: %d, %v", code, err)
	}
	_, err := c.Exec(&ExecOptions{Process: process("missing")})
	var e *control.Error
	if !errors.As(err, &e) || e.Exit != 127 {
		t.Errorf("exec of nothing: %#v", err)
	}
	pidFile := filepath.Join(t.TempDir(), "pid")
	if _, err := c.Exec(&ExecOptions{Process: process("sleep"), Detach: true, PidFile: pidFile}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(string(data))
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 128+10 {
		t.Errorf("keeper ended with %v, %v", ws, err)
	}
	// A keeper that is killed takes its process along.
	if _, err := c.Exec(&ExecOptions{Process: process("sleep"), Detach: true, PidFile: pidFile}); err != nil {
		t.Fatal(err)
	}
	data, _ = os.ReadFile(pidFile)
	pid, _ = strconv.Atoi(string(data))
	unix.Kill(pid, unix.SIGKILL)
	unix.Wait4(pid, &ws, 0, nil)
	if ws, err := c.Wait(4); err != nil || ws.ExitCode() != 128+9 {
		t.Errorf("process of a killed keeper: %v, %v", ws, err)
	}
}

func TestConsoleSocket(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "echo", "hello")
	co.Spec.Process.Terminal = true
	co.Spec.Process.ConsoleSize = &specs.Box{Height: 11, Width: 22}
	if _, err := Create(opts, testID(), co); err == nil || !strings.Contains(err.Error(), "console socket") {
		t.Errorf("create without console socket: %v", err)
	}
	co.ConsoleSocket = filepath.Join(co.Bundle, "c.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: co.ConsoleSocket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustCreate(t, opts, co)
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	name, oob := make([]byte, 100), make([]byte, 100)
	n, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil || !strings.HasPrefix(string(name[:n]), "/dev/pt") {
		t.Fatalf("console socket: %q, %v", name[:n], err)
	}
	msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
	fds, _ := unix.ParseUnixRights(&msgs[0])
	master := os.NewFile(uintptr(fds[0]), "master")
	defer master.Close()
	if ws, err := unix.IoctlGetWinsize(fds[0], unix.TIOCGWINSZ); err != nil || ws.Row != 11 || ws.Col != 22 {
		t.Errorf("window size %v, %v", ws, err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	data, _ := io.ReadAll(master)
	if string(data) != "hello\n" {
		t.Errorf("console says %q", data)
	}
}

func TestHooks(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "sleep")
	log := filepath.Join(co.Bundle, "log")
	hook := func(kind string) []specs.Hook {
		return []specs.Hook{{
			Path: "/bin/sh", Args: []string{"sh", "-c", `echo "$KIND $(sed 's/.*"status":"\([a-z]*\)".*/\1/')" >> ` + log},
			Env: []string{"KIND=" + kind, "PATH=/bin:/usr/bin"},
		}}
	}
	co.Spec.Hooks = &specs.Hooks{
		//lint:ignore SA1019 deprecated hooks are hooks
		Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"),
		Poststart: hook("poststart"), Poststop: append([]specs.Hook{{Path: "/bin/false"}}, hook("poststop")...), // a failing one keeps no other
	}
	c := mustCreate(t, opts, co)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(true); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(log)
	want := "prestart created\ncreateRuntime creating\ncreateContainer creating\npoststart running\npoststop stopped\n"
	if string(data) != want {
		t.Errorf("hooks said\n%swant\n%s", data, want)
	}
	clean(t, c)
}

func TestHookFailures(t *testing.T) {
	opts := testOptions(t)
	one := 1
	for _, c := range []struct {
		hook specs.Hook
		says string
	}{
		{specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo no luck; exit 3"}}, "exit status 3, output: no luck"},
		{specs.Hook{Path: "/nowhere"}, "/nowhere: "},
		{specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "60"}, Timeout: &one}, "timeout of 1 s"},
	} {
		co := bundle(t, "sleep")
		co.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{c.hook}}
		id := testID()
		_, err := Create(opts, id, co)
		if err == nil || !strings.Contains(err.Error(), "createRuntime hook #0") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("create with a failing hook: %v", err)
		}
		clean(t, &Container{State: State{ID: id}, path: dirOf(opts.Root, id)})
	}
}

// TestCutOff takes a state directory apart in ways that a crash or a full disk could.
func TestCutOff(t *testing.T) {
	opts := testOptions(t)
	for _, c := range []struct {
		what   string
		damage func(dir string) error
		says   string
	}{
		{"half a state", func(d string) error { return os.Truncate(filepath.Join(d, stateName), 20) }, "state.json is damaged"},
		{"empty state", func(d string) error { return os.Truncate(filepath.Join(d, stateName), 0) }, "state.json is damaged"},
		{"no state", func(d string) error { return os.Remove(filepath.Join(d, stateName)) }, "cut off"},
		{"half a configuration", func(d string) error { return os.Truncate(filepath.Join(d, "config.json"), 9) }, "config.json is damaged"},
		{"another version", func(d string) error {
			return os.WriteFile(filepath.Join(d, stateName), []byte(`{"stateVersion":99}`), 0o600)
		}, "state.json is damaged"},
	} {
		t.Run(c.what, func(t *testing.T) {
			ct := mustCreate(t, opts, bundle(t, "sleep"))
			if err := ct.Start(); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(ct.path); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(opts, ct.ID); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "delete --force") {
				t.Errorf("open: %v", err)
			}
			if err := DeleteAny(opts, ct.ID, true); err != nil {
				t.Errorf("delete: %v", err)
			}
			ct.Sentry.end(time.Second)
			ct.Gofer.end(time.Second)
			clean(t, ct)
		})
	}
}

// TestCreatorGone makes what a create that was killed leaves, and creates again.
func TestCreatorGone(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "exit", "0")
	id := testID()
	b, err := create(opts, id, co)
	if err != nil {
		t.Fatal(err)
	}
	sentry, gofer := b.sentry, b.gofer
	b.done() // as the kernel would: every descriptor is closed, nothing else happens
	b.Close()
	sentry.Wait()
	gofer.Wait()
	if c, err := Open(opts, id); err != nil || c.Current() != control.Stopped {
		t.Errorf("after the creator's death: %v", err)
	}
	if code, err := Run(opts, id, co, false); code != 0 || err != nil {
		t.Errorf("run: %d, %v", code, err)
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"9": 9, "KILL": 9, "SIGKILL": 9, "term": 15, "0": 0, "64": 64, "RTMIN+1": 35, "SIGRTMAX-1": 63, "65": -1, "x": -1, "9x": -1,
		"-1": -1, "": -1,
	} {
		got, err := ParseSignal(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseSignal(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestDo exports the whole host read-only.
func TestDo(t *testing.T) {
	opts := testOptions(t)
	opts.Overlay = "memory"
	code, err := Do(opts, &DoOptions{Root: "/", Cwd: "/", Args: []string{"exit", "5"}})
	if code != 5 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
}

// TestJoinNetwork has the Sentry born in a network namespace that somebody else has made.
func TestJoinNetwork(t *testing.T) {
	opts := testOptions(t)
	opts.Network = "sandbox"
	var seen string
	opts.Scrape = func(ns string) ([]byte, []*os.File, error) {
		seen, _ = os.Readlink(ns)
		return []byte("{}"), nil, nil
	}
	holder := exec.Command("/bin/sleep", "100")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { holder.Process.Kill(); holder.Wait() }()
	path := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	co := bundle(t, "sleep")
	co.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: path}}
	c := mustCreate(t, opts, co)
	if !sameFile(path, fmt.Sprintf("/proc/%d/ns/net", c.Sentry.PID)) {
		t.Error("the Sentry is not in the namespace")
	}
	if want, _ := os.Readlink(path); seen != want {
		t.Errorf("%s was read, not %s", seen, want)
	}
	for _, ns := range [][]specs.LinuxNamespace{nil, {{Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"}}} {
		views := 0
		opts.View = func(ns string) ([]byte, error) {
			views++
			return []byte("{}"), nil
		}
		seen = ""
		co.Spec.Linux.Namespaces = ns
		c := mustCreate(t, opts, co)
		if !sameFile("/proc/self/ns/net", fmt.Sprintf("/proc/%d/ns/net", c.Sentry.PID)) || seen != "" || views != 1 {
			t.Errorf("the host's network: taken over %q, looked at %d times", seen, views)
		}
	}
}

// TestLimits reads the limits back from the host's cgroups, and asks for one that hardly any machine has beside it.
func TestLimits(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "sleep")
	limit, quota, period, weight := int64(64<<20), int64(50000), uint64(100000), uint16(300)
	co.Spec.Linux.Resources = &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &limit},
		CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period},
		BlockIO: &specs.LinuxBlockIO{Weight: &weight},
	}
	c := mustCreate(t, opts, co)
	m, err := c.cgroupManager()
	if err != nil {
		t.Skip(err)
	}
	st, err := m.GetStats()
	if err != nil {
		t.Skip(err)
	}
	if st.MemoryStats.Usage.Limit != uint64(limit) {
		t.Errorf("memory limit %d", st.MemoryStats.Usage.Limit)
	}
	pids, _ := m.GetPids()
	for _, want := range []int{c.Sentry.PID, c.Gofer.PID} {
		if !slices.Contains(pids, want) {
			t.Errorf("process %d is not in the cgroup: %v", want, pids)
		}
	}
	limit = 96 << 20
	if err := c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}); err != nil {
		t.Error(err)
	}
	if st, _ := m.GetStats(); st.MemoryStats.Usage.Limit != uint64(limit) {
		t.Errorf("memory limit %d after the update", st.MemoryStats.Usage.Limit)
	}
	c.Unlock()
	if u, err := c.Usage(); err != nil || u.Sandbox.MemoryLimit != uint64(limit) {
		t.Errorf("after the update the sandbox knows of %+v, %v", u, err)
	}
}
