package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBornInCgroup looks for the processes of a container in its cgroups, where they have not been moved to, and makes
// sure that no thread of this process stays there.
func TestBornInCgroup(t *testing.T) {
	opts := testOptions(t)
	c, err := claim(opts, testID())
	if err != nil {
		t.Fatal(err)
	}
	co := bundle(t, "sleep")
	c.Spec = co.Spec
	b := &birth{Container: c, create: co}
	defer b.abort()
	for _, step := range []func() error{b.identities, b.record, b.decideNetwork, b.launchBoth} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if b.nestErr != nil && machineCannot(b.nestErr) {
		t.Skipf("the machine has no cgroups for us: %v", b.nestErr)
	}
	if b.nestErr != nil {
		t.Fatal(b.nestErr)
	}
	if b.nest.missed {
		t.Errorf("a process was born elsewhere")
	}
	for _, pid := range []int{b.sentry.Pid, b.gofer.Pid} {
		for _, line := range cgroupsOf(t, fmt.Sprint(pid)) {
			if !strings.HasSuffix(line, "/"+c.ID) && !strings.HasPrefix(line, "0:") && !strings.Contains(line, ":rdma:") {
				t.Errorf("process %d: cgroup %q", pid, line)
			}
		}
	}
	self := fmt.Sprint(unix.Getpid())
	for _, line := range cgroupsOf(t, self) {
		if strings.HasSuffix(line, "/"+c.ID) {
			t.Errorf("this process: cgroup %q", line)
		}
	}
}

func cgroupsOf(t *testing.T, pid string) []string {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// TestApart changes threads: none of them may be the main one, nor be seen again.
func TestApart(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		apart(func() { seen[unix.Gettid()] = true })
	}
	if seen[unix.Getpid()] {
		t.Error("the main thread was given away")
	}
	if len(seen) < 2 {
		t.Error("a thread was used again and again")
	}
}
