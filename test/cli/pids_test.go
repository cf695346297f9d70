package cli

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestPidsLimit checks that linux.resources.pids.limit bounds the tasks of the
// container and is told inside.
func TestPidsLimit(t *testing.T) {
	e := newEnv(t)
	limit := func(s *specs.Spec) {
		n := int64(8)
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup2", Source: "cgroup", Options: []string{"ro"}})
	}
	r := e.run([]string{"sh", "-c", `cd /sys/fs/cgroup
cat pids.max pids.current
n=0; while [ $n -lt 7 ]; do sleep 100 & n=$((n+1)); done
read now < pids.current; echo $now
(sleep 100) & echo not reached`}, limit)
	if want := "8\n2\n8\n"; r.out != want || r.code == 0 || !strings.Contains(r.errout, "fork") {
		t.Errorf("exit code %d, %q, %q", r.code, r.out, r.errout)
	}
	// What has ended makes room, and one from outside comes in beyond the limit.
	r = e.run([]string{"sh", "-c", `n=0; while [ $n -lt 30 ]; do true & wait; n=$((n+1)); done
cat /sys/fs/cgroup/pids.events /sys/fs/cgroup/pids.peak`}, limit)
	if r.code != 0 || r.out != "max 0\n2\n" {
		t.Errorf("exit code %d, %q, %q", r.code, r.out, r.errout)
	}
}
