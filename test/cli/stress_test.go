package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// settled waits until what containers have left on the host is what was there before; processes that were killed take
// a moment to go.
func (e *env) settled(before string) {
	e.Helper()
	after := ""
	for range 200 {
		if after = e.footprint(); after == before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	e.Errorf("left behind: before\n%safter\n%s", before, after)
}

// TestManyAtOnce starts fifty containers at once, and stops and removes them at once.
func TestManyAtOnce(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	bundle := e.bundle([]string{"sleep", "1000"}, func(s *specs.Spec) { s.Root.Readonly = true })
	const n = 50
	var ids []string
	for range n {
		ids = append(ids, e.id())
	}
	each := func(do func(id string) []string) {
		t.Helper()
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() {
				if r := e.runsc(do(id)...); r.code != 0 || r.errout != "" {
					t.Errorf("%q: exit code %d, %s", do(id), r.code, r.errout)
				}
			})
		}
		wg.Wait()
	}
	each(func(id string) []string { return []string{"run", "--detach", "--bundle", bundle, id} })
	if running := strings.Count(e.must("list"), " running "); running != n {
		t.Errorf("%d of %d containers run", running, n)
	}
	each(func(id string) []string { return []string{"kill", id, "KILL"} })
	each(func(id string) []string { return []string{"delete", "--force", id} })
	if out := e.must("list", "--quiet"); out != "" {
		t.Errorf("still there: %s", out)
	}
	e.settled(before)
}

// TestKilledCommand kills runsc itself at moments all over its work. Whatever it leaves, list shows and delete removes.
func TestKilledCommand(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	bundle := e.bundle([]string{"sleep", "1000"}, func(s *specs.Spec) { s.Root.Readonly = true })
	for _, c := range []struct {
		name string
		args func(id string) []string
	}{
		{"create", func(id string) []string { return []string{"create", "--bundle", bundle, id} }},
		{"run", func(id string) []string { return []string{"run", "--bundle", bundle, id} }},
		{"detached", func(id string) []string { return []string{"run", "--detach", "--bundle", bundle, id} }},
		{"exec", func(id string) []string {
			e.must("run", "--detach", "--bundle", bundle, id)
			return []string{"exec", id, "sleep", "1000"}
		}},
		{"delete", func(id string) []string {
			e.must("run", "--detach", "--bundle", bundle, id)
			return []string{"delete", "--force", id}
		}},
	} {
		for _, ms := range []int{2, 8, 15, 25, 40, 70} {
			id := e.id()
			cmd := e.command(c.args(id)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(ms) * time.Millisecond)
			cmd.Process.Kill()
			cmd.Wait()
			if r := e.runsc("list"); r.code != 0 {
				t.Errorf("%s killed after %d ms: list: exit code %d, %s", c.name, ms, r.code, r.errout)
			}
			if r := e.runsc("delete", "--force", id); r.code != 0 || r.errout != "" {
				t.Errorf("%s killed after %d ms: delete: exit code %d, %s", c.name, ms, r.code, r.errout)
			}
		}
	}
	e.settled(before)
}

// state reads what runsc keeps about a container.
func (e *env) state(id string) (file string, st map[string]any) {
	e.Helper()
	file = filepath.Join(e.root, id, "state.json")
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil {
		e.Fatal(err)
	}
	return file, st
}

func pidIn(st map[string]any, name string) int {
	return int(st[name].(map[string]any)["pid"].(float64))
}

// TestKilledParts kills the gofer, the Sentry and each process that runs application code.
func TestKilledParts(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	bundle := e.bundle([]string{"sh", "-c", "while :; do cat /bin/busybox >/dev/null; sleep 1; done"}, func(s *specs.Spec) { s.Root.Readonly = true })
	for _, platform := range []string{"systrap", "ptrace"} {
		for part := 0; ; part++ {
			id := e.id()
			e.must("--platform", platform, "run", "--detach", "--bundle", bundle, id)
			_, st := e.state(id)
			parts := []int{pidIn(st, "sentry"), pidIn(st, "gofer")}
			for _, p := range e.cgroupPIDs(id) {
				if !slices.Contains(parts, p) {
					parts = append(parts, p)
				}
			}
			if part >= len(parts) {
				e.must("delete", "--force", id)
				if part < 3 {
					t.Error("no process of the application was found: is there no memory cgroup?")
				}
				break
			}
			unix.Kill(parts[part], unix.SIGKILL)
			for _, args := range [][]string{{"list"}, {"state", id}} {
				if r := e.runsc(args...); r.code != 0 {
					t.Errorf("%s, part %d killed: %q: exit code %d, %s", platform, part, args, r.code, r.errout)
				}
			}
			// It may work, be killed with the part, or fail with a reason; but it ends.
			if r := e.runsc("exec", id, "true"); r.code < 0 || r.code != 0 && r.code != 137 && strings.Count(r.errout, "\n") != 1 {
				t.Errorf("%s, part %d killed: exec: exit code %d, %q", platform, part, r.code, r.errout)
			}
			if r := e.runsc("delete", "--force", id); r.code != 0 || r.errout != "" {
				t.Errorf("%s, part %d killed: delete: exit code %d, %s", platform, part, r.code, r.errout)
			}
		}
	}
	e.settled(before)
}

// cgroupPIDs lists the processes of a container, as many as the host's memory controller counts.
func (e *env) cgroupPIDs(id string) (pids []int) {
	for _, file := range []string{"/sys/fs/cgroup/memory/" + id + "/cgroup.procs", "/sys/fs/cgroup/" + id + "/cgroup.procs"} {
		data, _ := os.ReadFile(file)
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// tmpfsRoot puts the state directory on a file system of its own.
func (e *env) tmpfsRoot(data string) {
	e.Helper()
	if err := os.MkdirAll(e.root, 0o755); err != nil {
		e.Fatal(err)
	}
	if err := unix.Mount("tmpfs", e.root, "tmpfs", 0, data); err != nil {
		e.Skip("needs to mount: ", err)
	}
	e.Cleanup(func() { unix.Unmount(e.root, unix.MNT_DETACH) })
}

// TestFullDisk has no room for the state: the error says so, and what there was before can be removed.
func TestFullDisk(t *testing.T) {
	e := newEnv(t)
	e.tmpfsRoot("size=256k")
	before := e.footprint()
	bundle := e.bundle([]string{"sleep", "1000"})
	old, id := e.id(), e.id()
	e.must("run", "--detach", "--bundle", bundle, old)
	filler := filepath.Join(e.root, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	r := e.runsc("create", "--bundle", bundle, id)
	if r.code == 0 || !strings.Contains(r.errout, "no space left on device") || strings.Count(r.errout, "\n") != 1 {
		t.Errorf("create: exit code %d, %q", r.code, r.errout)
	}
	for _, args := range [][]string{{"exec", old, "true"}, {"list"}, {"kill", old, "KILL"}, {"wait", old}, {"delete", old}} {
		if r := e.runsc(args...); r.code != 0 {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.errout)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Error(err)
	}
	e.settled(before)
}

// TestReadOnlyState cannot write the state: errors say where, and reading goes on.
func TestReadOnlyState(t *testing.T) {
	e := newEnv(t)
	e.tmpfsRoot("")
	before := e.footprint()
	remount := func(flags uintptr) {
		if err := unix.Mount("", e.root, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	bundle := e.bundle([]string{"sleep", "1000"})
	old := e.id()
	e.must("run", "--detach", "--bundle", bundle, old)
	// As a bind mount: the exit file, which the Sentry has open for writing, keeps the file system itself writable.
	if err := unix.Mount(e.root, e.root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	remount(unix.MS_BIND | unix.MS_RDONLY)
	for _, args := range [][]string{{"create", "--bundle", bundle, e.id()}, {"delete", "--force", old}} {
		r := e.runsc(args...)
		if r.code == 0 || !strings.Contains(r.errout, e.root) || !strings.Contains(r.errout, "read-only file system") || strings.Count(r.errout, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q", args, r.code, r.errout)
		}
	}
	for _, args := range [][]string{{"list"}, {"state", old}, {"exec", old, "true"}, {"kill", old, "KILL"}} {
		if r := e.runsc(args...); r.code != 0 {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.errout)
		}
	}
	if err := unix.Unmount(e.root, 0); err != nil {
		t.Fatal(err)
	}
	e.must("delete", "--force", old)
	e.settled(before)
}

// TestMissingController hides the memory controller: a limit that would not be kept is refused, with its name.
func TestMissingController(t *testing.T) {
	const controller = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(controller + "/memory.limit_in_bytes"); err != nil {
		t.Skip("needs cgroup v1")
	}
	e := newEnv(t)
	before := e.footprint()
	hidden := func(args ...string) result {
		cmd := e.command(args...)
		script := "umount " + controller + ` && exec "$@"`
		return e.finish(exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh"}, cmd.Args...)...))
	}
	limit := int64(64 << 20)
	id := e.id()
	r := hidden("run", "--bundle", e.bundle([]string{"true"}, func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	}), id)
	if r.code == 0 || !strings.Contains(r.errout, "linux.resources.memory.limit: this machine cannot keep the limit") || strings.Count(r.errout, "\n") != 1 {
		t.Errorf("exit code %d, %q", r.code, r.errout)
	}
	if r := hidden("run", "--bundle", e.bundle([]string{"true"}), id); r.code != 0 {
		t.Errorf("without a limit: exit code %d, %q", r.code, r.errout)
	}
	e.settled(before)
}

// TestReboot makes the state one of an earlier boot, in which the container had the PID and the start time of a process
// that is somebody else's now.
func TestReboot(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	bundle := e.bundle([]string{"sleep", "1000"})
	id := e.id()
	e.must("run", "--detach", "--bundle", bundle, id)
	file, st := e.state(id)
	for _, part := range []string{"sentry", "gofer"} {
		unix.Kill(pidIn(st, part), unix.SIGKILL)
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", other.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	start, err := strconv.ParseUint(strings.Fields(string(data))[21], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"sentry", "init", "gofer"} {
		st[part] = map[string]any{"pid": other.Process.Pid, "start": start, "boot": "another"}
	}
	if data, err = json.Marshal(st); err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := e.status(id); got != "stopped" {
		t.Errorf("the container is %s", got)
	}
	if r := e.runsc("kill", id, "KILL"); r.code == 0 {
		t.Error("a container of an earlier boot took a signal")
	}
	e.must("list")
	e.must("delete", id)
	if err := unix.Kill(other.Process.Pid, 0); err != nil {
		t.Errorf("the process that has the number now: %v", err)
	}
	if r := e.runsc("run", "--bundle", e.bundle([]string{"true"}), id); r.code != 0 {
		t.Errorf("the name again: exit code %d, %s", r.code, r.errout)
	}
	e.settled(before)
}
