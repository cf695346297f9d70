package container

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/runsc/export"
)

// TestRights looks at Sentry and gofer from the host: what they could do, had an attacker taken one over.
func TestRights(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "sleep")
	c := mustCreate(t, opts, co)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stdout, _ := os.Readlink("/proc/self/fd/1") // the container's
	var gofer uint64
	for _, n := range export.Capabilities {
		gofer |= 1 << n
	}
	for _, p := range []struct {
		name  string
		pid   int
		own   []string // namespaces
		caps  uint64
		files []string
	}{
		{"sentry", c.Sentry.PID, []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"}, 0,
			[]string{"/dev/null", "anon_inode:[eventfd]", "anon_inode:[eventpoll]", filepath.Join(c.path, exitName), filepath.Join(c.path, logName), "socket", stdout,
				"/ringfort-memory (deleted)"}},
		{"gofer", c.Gofer.PID, []string{"mnt", "pid", "ipc", "uts", "net", "cgroup"}, gofer,
			[]string{"/0", "/dev/null", "/1/fd", filepath.Join(c.path, logName), "anon_inode:[eventfd]", "anon_inode:[eventpoll]", "socket"}},
	} {
		t.Run(p.name, func(t *testing.T) {
			for _, ns := range p.own {
				if sameFile(fmt.Sprintf("/proc/%d/ns/%s", p.pid, ns), "/proc/self/ns/"+ns) {
					t.Errorf("shares the %s namespace with the host", ns)
				}
			}
			tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid))
			if len(tasks) == 0 {
				t.Fatal("no threads")
			}
			for _, task := range tasks {
				checkStatus(t, task, p.caps)
			}
			if env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid)); len(env) != 0 {
				t.Errorf("environment %q", env)
			}
			checkRoot(t, p.pid, p.name == "sentry")
			checkFiles(t, p.pid, p.files)
		})
	}
}

func checkStatus(t *testing.T, file string, caps uint64) {
	data, err := os.ReadFile(file)
	if err != nil {
		return // a thread that has ended
	}
	want := map[string]string{
		"CapInh": fmt.Sprintf("%016x", 0), "CapPrm": fmt.Sprintf("%016x", caps), "CapEff": fmt.Sprintf("%016x", caps),
		"CapAmb": fmt.Sprintf("%016x", 0), "NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "1",
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if w, ok := want[name]; ok && strings.TrimSpace(value) != w {
			t.Errorf("%s: %s is %q, want %q", file, name, strings.TrimSpace(value), w)
		}
	}
}

// checkRoot looks at the root directory and the mounts of a process.
func checkRoot(t *testing.T, pid int, empty bool) {
	root := fmt.Sprintf("/proc/%d/root", pid)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if empty && len(entries) > 0 {
		t.Errorf("the root has %v", entries)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(root+"/", &st); err != nil || st.Flags&unix.ST_RDONLY == 0 || st.Type != unix.TMPFS_MAGIC {
		t.Errorf("root: flags %#x, type %#x, %v", st.Flags, st.Type, err)
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[4]; at != "/" && (empty || at != "/0") {
			t.Errorf("mount left: %s", line)
		}
	}
}

// checkFiles compares the kinds of open descriptors with those that have a reason.
func checkFiles(t *testing.T, pid int, want []string) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if strings.HasPrefix(to, "socket:") {
			to = "socket"
		}
		got[to] = true
	}
	allowed := make(map[string]bool)
	for _, w := range want {
		allowed[w] = true
	}
	var odd []string
	for g := range got {
		if !allowed[g] {
			odd = append(odd, g)
		}
	}
	sort.Strings(odd)
	if len(odd) > 0 {
		t.Errorf("open without a reason: %q", odd)
	}
}
