package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/spec"
)

// binary is the runsc under test.
var binary string

func TestMain(m *testing.M) { os.Exit(mainCode(m)) }

func mainCode(m *testing.M) int {
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	if os.Geteuid() != 0 {
		fmt.Println("test/cli needs root: skipped")
		return 0
	}
	if binary = os.Getenv("RUNSC"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ringfort-cli")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	binary = filepath.Join(dir, "runsc")
	build := exec.Command("go", "build", "-mod=mod", "-o", binary, "ringfort/runsc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// commandTimeout ends a runsc that hangs, so that the test says so.
const commandTimeout = 20 * time.Second

// An env is a state directory with bundles beside it.
type env struct {
	*testing.T
	root    string
	options []string // global ones, for every command
}

func newEnv(t *testing.T) *env { return &env{T: t, root: filepath.Join(t.TempDir(), "state")} }

// A result is the end of one runsc.
type result struct {
	code        int
	out, errout string
}

// command is a runsc with this state directory.
func (e *env) command(args ...string) *exec.Cmd {
	return exec.Command(binary, append(append([]string{"--root", e.root}, e.options...), args...)...)
}

// runsc runs to the end, with a time limit.
func (e *env) runsc(args ...string) result {
	e.Helper()
	return e.finish(e.command(args...))
}

// finish runs a command to its end. What it says goes to files: a container that it leaves behind keeps them open.
func (e *env) finish(cmd *exec.Cmd) result {
	e.Helper()
	file := func(to *io.Writer) *os.File {
		f, err := os.CreateTemp(e.TempDir(), "said")
		if err != nil {
			e.Fatal(err)
		}
		if *to == nil {
			*to = f
		}
		return f
	}
	out, errout := file(&cmd.Stdout), file(&cmd.Stderr)
	defer out.Close()
	defer errout.Close()
	if err := cmd.Start(); err != nil {
		e.Fatal(err)
	}
	late := time.AfterFunc(commandTimeout, func() { cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		e.Fatal(err)
	}
	said := func(f *os.File) string {
		data, err := os.ReadFile(f.Name())
		if err != nil {
			e.Fatal(err)
		}
		return string(data)
	}
	return result{cmd.ProcessState.ExitCode(), said(out), said(errout)}
}

// must runs and fails the test unless the exit code is 0.
func (e *env) must(args ...string) string {
	e.Helper()
	r := e.runsc(args...)
	if r.code != 0 {
		e.Fatalf("runsc %q: exit code %d: %s", args, r.code, r.errout)
	}
	return r.out
}

var serial atomic.Int32

// id is a name for a container of this run; it is deleted at the end of the test.
func (e *env) id() string {
	id := fmt.Sprintf("rf-cli-%d-%d", os.Getpid(), serial.Add(1))
	e.Cleanup(func() { e.runsc("delete", "--force", id) })
	return id
}

// applets are the names of busybox that the bundles have.
var applets = []string{"sh", "awk", "cat", "echo", "sleep", "true", "false", "env", "pwd", "id", "ls", "test", "kill", "head", "tail", "tty", "stty", "wc", "hostname", "mount", "ps", "touch", "rm", "mkdir", "readlink", "date", "dd"}

// bundle makes a bundle with busybox; changes are made on a configuration that runs args.
func (e *env) bundle(args []string, change ...func(*specs.Spec)) string {
	e.Helper()
	dir := e.TempDir()
	bin := filepath.Join(dir, "rootfs", "bin")
	for _, d := range []string{bin, filepath.Join(dir, "rootfs", "tmp"), filepath.Join(dir, "rootfs", "etc")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			e.Fatal(err)
		}
	}
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		e.Skip("needs busybox-static: ", err)
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), data, 0o755); err != nil {
		e.Fatal(err)
	}
	for _, a := range applets {
		if err := os.Symlink("busybox", filepath.Join(bin, a)); err != nil {
			e.Fatal(err)
		}
	}
	s := spec.Template()
	s.Process.Terminal, s.Process.Args, s.Root.Readonly = false, args, false
	for _, c := range change {
		c(s)
	}
	config, err := json.Marshal(s)
	if err != nil {
		e.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, spec.ConfigName), config, 0o644); err != nil {
		e.Fatal(err)
	}
	return dir
}

// run runs a container to its end.
func (e *env) run(args []string, change ...func(*specs.Spec)) result {
	e.Helper()
	return e.runsc("run", "--bundle", e.bundle(args, change...), e.id())
}

// status asks for the status of a container.
func (e *env) status(id string) string {
	e.Helper()
	var st struct{ Status string }
	if err := json.Unmarshal([]byte(e.must("state", id)), &st); err != nil {
		e.Fatal(err)
	}
	return st.Status
}

// await waits for a status; the limit is for a hung sandbox, not a measure.
func (e *env) await(id, status string) {
	e.Helper()
	for range 1000 {
		now := e.status(id)
		if now == status {
			return
		}
		if now == "stopped" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	e.Fatalf("container %s is %s, not %s", id, e.status(id), status)
}

// footprint lists what containers could leave on the host: processes of ours, mounts, cgroups, files.
func (e *env) footprint() string {
	var b strings.Builder
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		if data, _ := os.ReadFile(p); bytes.HasPrefix(data, []byte("runsc\x00")) && bytes.Contains(data, []byte("rf-cli-")) {
			fmt.Fprintf(&b, "process %s %q\n", p, data)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	fmt.Fprintf(&b, "%d mounts\n", bytes.Count(mounts, []byte("\n")))
	for _, pattern := range []string{"/sys/fs/cgroup/*/rf-cli-*", "/sys/fs/cgroup/rf-cli-*", e.root + "/*"} {
		left, _ := filepath.Glob(pattern)
		for _, l := range left {
			fmt.Fprintf(&b, "left %s\n", l)
		}
	}
	return b.String()
}
