package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The limit of a container's tasks is the Sentry's to enforce, because the threads of the Sentry must not count. The
// host's pids cgroup shows it all the same: under cgroup v1, where threads can be in different cgroups, it has the
// Sentry's main thread in it, which starts no other (package boot sees to that), and the stand-in of the container.
// Everything else is in the cgroup above, and counts there.

// pidsCgroup returns the directory of the container's pids cgroup if it is one that can show the limit, else "".
func (c *Container) pidsCgroup() string {
	if pidsLimit(c.Spec.Linux.Resources) == 0 || cgroups.IsCgroup2UnifiedMode() {
		return ""
	}
	m, err := c.cgroupManager()
	if err != nil {
		return ""
	}
	return m.Path("pids")
}

// pidsLimit returns a limit of tasks, 0 if there is none.
func pidsLimit(r *specs.LinuxResources) int64 {
	if r == nil || r.Pids == nil || r.Pids.Limit == nil {
		return 0
	}
	return max(*r.Pids.Limit, 0)
}

// leavePids takes the container's processes, which may start others, out of its pids cgroup to the one above.
func (c *Container) leavePids(pids ...int) error {
	dir := c.pidsCgroup()
	if dir == "" {
		return nil
	}
	for _, pid := range pids {
		if err := writeNumber(filepath.Join(filepath.Dir(dir), "cgroup.procs"), int64(pid)); err != nil {
			return ignoreMissing(err)
		}
	}
	return nil
}

// showPids sets the limit of the container's pids cgroup and puts threads in it.
func (c *Container) showPids(tids ...int) error {
	dir := c.pidsCgroup()
	if dir == "" {
		return nil
	}
	for _, tid := range tids {
		if err := writeNumber(filepath.Join(dir, "tasks"), int64(tid)); err != nil {
			return ignoreMissing(err)
		}
	}
	return ignoreMissing(writeNumber(filepath.Join(dir, "pids.max"), pidsLimit(c.Spec.Linux.Resources)))
}

// ignoreMissing drops an error that comes from a machine without the cgroup: the Sentry has the limit.
func ignoreMissing(err error) error {
	if err == nil || machineCannot(err) {
		return nil
	}
	return fmt.Errorf("cgroup: %w", err)
}

func writeNumber(file string, n int64) error {
	return os.WriteFile(file, []byte(strconv.FormatInt(n, 10)), 0)
}
