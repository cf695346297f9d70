package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// makeNodes lets a gofer make nodes of any device, as runc lets its containers; they cannot be opened through its mounts.
var makeNodes = []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "b", Access: "m"}}

// setDevices writes linux.resources.devices to the host's devices cgroup, in the listed order. No process of a sandbox
// opens a device of the host, so that under cgroup v2, which has no such file, nothing is lost.
func (c *Container) setDevices(m cgroups.Manager) error {
	dir := m.Path("devices")
	if dir == "" || cgroups.IsCgroup2UnifiedMode() || c.Spec.Linux.Resources == nil {
		return nil
	}
	for i, d := range slices.Concat(c.Spec.Linux.Resources.Devices, makeNodes) {
		file := "devices.deny"
		if d.Allow {
			file = "devices.allow"
		}
		rule := deviceRule(&d)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(rule), 0); err != nil {
			return fmt.Errorf("linux.resources.devices[%d]: %q: %w", i, rule, err)
		}
	}
	return nil
}

// deviceRule is a rule as the kernel reads it (cgroup-v1/devices.rst).
func deviceRule(d *specs.LinuxDeviceCgroup) string {
	if d.Type == "" || d.Type == "a" {
		return "a"
	}
	number := func(n *int64) string {
		if n == nil || *n < 0 {
			return "*"
		}
		return strconv.FormatInt(*n, 10)
	}
	return fmt.Sprintf("%s %s:%s %s", d.Type, number(d.Major), number(d.Minor), d.Access)
}
