package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// goferCapabilities are CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, MKNOD and SETFCAP.
const goferCapabilities = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER |
	1<<unix.CAP_FSETID | 1<<unix.CAP_MKNOD | 1<<unix.CAP_SETFCAP

// processes finds those of a container: gofer, Sentry, and the stubs, which are the Sentry's children.
func processes(id string) (gofer, sentry string, stubs []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		data, _ := os.ReadFile(l)
		args := strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
		if len(args) == 3 && args[0] == "runsc" && args[2] == id {
			switch args[1] {
			case "gofer":
				gofer = filepath.Dir(l)
			case "boot":
				sentry = filepath.Dir(l)
			}
		}
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		if p != sentry && sentry != "" && sameNamespace(p, sentry, "pid") {
			stubs = append(stubs, p)
		}
	}
	return gofer, sentry, stubs
}

func sameNamespace(a, b, kind string) bool {
	x, err1 := os.Readlink(a + "/ns/" + kind)
	y, err2 := os.Readlink(b + "/ns/" + kind)
	return err1 == nil && err2 == nil && x == y
}

// TestRights looks at all processes of a container from the host: what an attacker who had taken one over would have.
func TestRights(t *testing.T) {
	e := newEnv(t)
	id := e.id()
	e.must("create", "--bundle", e.bundle([]string{"sh", "-c", "while :; do sleep 100 & wait; done"}), id)
	e.must("start", id)
	e.await(id, "running")
	gofer, sentry, stubs := processes(id)
	if gofer == "" || sentry == "" || len(stubs) == 0 {
		t.Fatalf("gofer %q, Sentry %q, stubs %q", gofer, sentry, stubs)
	}
	host := []string{"mnt", "pid", "ipc", "uts", "net", "cgroup"}
	for _, kind := range host {
		if sameNamespace(gofer, "/proc/self", kind) {
			t.Errorf("the gofer is in the host's %s namespace", kind)
		}
		if sameNamespace(gofer, sentry, kind) {
			t.Errorf("gofer and Sentry share their %s namespace", kind)
		}
	}
	for _, p := range append(stubs, sentry) {
		for _, kind := range append(host, "user") {
			if sameNamespace(p, "/proc/self", kind) {
				t.Errorf("%s is in the host's %s namespace", p, kind)
			}
		}
		checkProcess(t, p, 0)
		if entries, err := os.ReadDir(p + "/root"); err != nil && !os.IsNotExist(err) || len(entries) > 0 {
			t.Errorf("the root of %s has %v, %v", p, entries, err)
		}
	}
	checkProcess(t, gofer, goferCapabilities)
	checkDescriptors(t, sentry, id, false)
	checkDescriptors(t, gofer, id, true)
}

func checkProcess(t *testing.T, proc string, caps uint64) {
	if env, _ := os.ReadFile(proc + "/environ"); len(env) > 0 {
		t.Errorf("%s has the environment %q", proc, env)
	}
	want := map[string]string{
		"CapInh": fmt.Sprintf("%016x", 0), "CapPrm": fmt.Sprintf("%016x", caps), "CapEff": fmt.Sprintf("%016x", caps),
		"CapAmb": fmt.Sprintf("%016x", 0), "NoNewPrivs": "1", "Seccomp": "2",
	}
	tasks, _ := filepath.Glob(proc + "/task/*/status")
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil {
			continue // has ended
		}
		for line := range strings.Lines(string(data)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if w, ok := want[name]; ok && strings.TrimSpace(value) != w {
				t.Errorf("%s: %s is %s, want %s", task, name, strings.TrimSpace(value), w)
			}
		}
	}
}

// checkDescriptors allows what has a reason: the log, the exit status, the standard streams, what is in the container's
// root (for the Sentry regular files only, as the gofer donates them), and nothing else of the host.
func checkDescriptors(t *testing.T, proc, id string, gofer bool) {
	entries, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		to, err := os.Readlink(filepath.Join(proc, "fd", entry.Name()))
		if err != nil {
			continue
		}
		allowed := to == os.DevNull || to == "/ringfort-memory (deleted)"
		for _, prefix := range []string{"socket:", "anon_inode:[event", "anon_inode:seccomp notify", "/memfd:", "pipe:"} {
			allowed = allowed || strings.HasPrefix(to, prefix)
		}
		for _, part := range []string{"/" + id + "/exit", "/" + id + "/sentry.log", "/said"} {
			allowed = allowed || strings.Contains(to, part)
		}
		if to == "/0" || strings.HasPrefix(to, "/0/") {
			st, err := os.Stat(filepath.Join(proc, "fd", entry.Name()))
			allowed = gofer || err != nil || st.Mode().IsRegular()
		}
		if !allowed && !(gofer && to == "/1/fd") {
			t.Errorf("%s has %s open", proc, to)
		}
	}
}
