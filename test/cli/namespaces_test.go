package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostPID asks for the process by which the host knows a container.
func (e *env) hostPID(id string) int {
	e.Helper()
	var st struct{ Pid int }
	if err := json.Unmarshal([]byte(e.must("state", id)), &st); err != nil {
		e.Fatal(err)
	}
	return st.Pid
}

func nsOf(t *testing.T, pid int, kind string) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// TestHostNamespaces leaves namespaces out of the configuration, and gives one by its path. The container's process on
// the host is there, the Sentry is not, and who kills that process kills the container.
func TestHostNamespaces(t *testing.T) {
	e := newEnv(t)
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWIPC}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	before := e.footprint()
	id := e.id()
	r := e.runsc("run", "--detach", "--bundle", e.bundle([]string{"sleep", "1000"}, func(s *specs.Spec) {
		s.Hostname = ""
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
			return ns.Type == specs.PIDNamespace || ns.Type == specs.UTSNamespace || ns.Type == specs.IPCNamespace
		})
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{
			Type: specs.IPCNamespace, Path: fmt.Sprintf("/proc/%d/ns/ipc", other.Process.Pid),
		})
	}), id)
	if r.code != 0 || !strings.Contains(r.errout, "sees no process of the host") {
		t.Fatalf("exit code %d: %s", r.code, r.errout)
	}
	pid := e.hostPID(id)
	for _, c := range []struct {
		kind string
		of   int
		same bool
	}{
		{"pid", os.Getpid(), true}, {"uts", os.Getpid(), true}, {"ipc", other.Process.Pid, true},
		{"mnt", os.Getpid(), false}, {"net", os.Getpid(), false},
	} {
		if (nsOf(t, pid, c.kind) == nsOf(t, c.of, c.kind)) != c.same {
			t.Errorf("%s namespace: %s", c.kind, nsOf(t, pid, c.kind))
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if out := e.must("exec", id, "hostname"); out != host+"\n" {
		t.Errorf("the name inside is %q, of the host %q", out, host)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if out := e.must("wait", id); !strings.Contains(out, `"exitStatus": 137`) {
		t.Errorf("wait: %s", out)
	}
	e.await(id, "stopped")
	e.must("delete", id)
	if after := e.footprint(); after != before {
		t.Errorf("left behind: before\n%safter\n%s", before, after)
	}
}

// TestPidsCgroup looks at the limit of tasks from the host and bumps into it from inside.
func TestPidsCgroup(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/pids"); err != nil {
		t.Skip("needs cgroup v1")
	}
	e := newEnv(t)
	id := e.id()
	limit := int64(6)
	e.must("run", "--detach", "--bundle", e.bundle([]string{"sleep", "1000"}, func(s *specs.Spec) {
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	}), id)
	read := func() string {
		data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/pids", id, "pids.max"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	if got := read(); got != "6" {
		t.Errorf("pids.max is %s", got)
	}
	if r := e.runsc("exec", id, "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 100 & done"); !strings.Contains(r.errout, "can't fork") {
		t.Errorf("exit code %d, %q", r.code, r.errout)
	}
	update := e.command("update", "--resources", "-", id)
	update.Stdin = strings.NewReader(`{"pids":{"limit":9},"cpu":{"shares":512}}`)
	if r := e.finish(update); r.code != 0 {
		t.Fatalf("update: %s", r.errout)
	}
	if got := read(); got != "9" {
		t.Errorf("after the update pids.max is %s", got)
	}
}
