package container

import (
	"os"

	"github.com/opencontainers/cgroups"

	"ringfort/runsc/control"
)

// Usage is the "data" of an event, with the names that runc gives (types/events.go there is the only description).
type Usage struct {
	CPU     cpuUsage       `json:"cpu"`
	Memory  memoryUsage    `json:"memory"`
	Pids    limitUsage     `json:"pids"`
	Network []netUsage     `json:"network_interfaces,omitempty"`
	Sandbox *control.Stats `json:"sandbox,omitempty"`
}

type cpuUsage struct {
	Usage struct {
		Total  uint64   `json:"total,omitempty"`
		Percpu []uint64 `json:"percpu,omitempty"`
		Kernel uint64   `json:"kernel"`
		User   uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
}

type memoryUsage struct {
	Cache uint64            `json:"cache,omitempty"`
	Usage memoryEntry       `json:"usage"`
	Swap  memoryEntry       `json:"swap"`
	Raw   map[string]uint64 `json:"raw,omitempty"`
}

type memoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type limitUsage struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

type netUsage struct {
	Name      string
	RxBytes   uint64
	RxPackets uint64
	RxErrors  uint64
	RxDropped uint64
	TxBytes   uint64
	TxPackets uint64
	TxErrors  uint64
	TxDropped uint64
}

// Usage asks the host's cgroups for what the whole sandbox costs, and the Sentry for what only it knows: how many
// processes there are and what went over the network.
func (c *Container) Usage() (*Usage, error) {
	if s := c.Current(); s == control.Stopped || s == control.Creating {
		return nil, errNotRunning()
	}
	u := &Usage{}
	if m, err := c.cgroupManager(); err == nil {
		if st, err := m.GetStats(); err == nil {
			u.fromCgroup(st)
		} else {
			c.opts.warn("cgroup of container %s: %v", c.ID, err)
		}
	}
	err := c.with(func(cl *control.Client) (err error) {
		u.Sandbox, err = cl.Stats(c.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	u.fromSandbox()
	return u, nil
}

// OOMKills returns how often the host has killed in the container's cgroup for want of memory, 0 if it does not say.
func (c *Container) OOMKills() uint64 {
	m, err := c.cgroupManager()
	if err != nil {
		return 0
	}
	n, err := m.OOMKillCount()
	if err != nil {
		return 0
	}
	return n
}

func (u *Usage) fromCgroup(st *cgroups.Stats) {
	cpu := &st.CpuStats
	u.CPU.Usage.Total, u.CPU.Usage.Percpu = cpu.CpuUsage.TotalUsage, cpu.CpuUsage.PercpuUsage
	u.CPU.Usage.Kernel, u.CPU.Usage.User = cpu.CpuUsage.UsageInKernelmode, cpu.CpuUsage.UsageInUsermode
	u.CPU.Throttling.Periods = cpu.ThrottlingData.Periods
	u.CPU.Throttling.ThrottledPeriods = cpu.ThrottlingData.ThrottledPeriods
	u.CPU.Throttling.ThrottledTime = cpu.ThrottlingData.ThrottledTime
	mem := &st.MemoryStats
	u.Memory.Cache, u.Memory.Raw = mem.Cache, mem.Stats
	u.Memory.Usage, u.Memory.Swap = entry(mem.Usage), entry(mem.SwapUsage)
}

func entry(d cgroups.MemoryData) memoryEntry {
	return memoryEntry{Limit: d.Limit, Usage: d.Usage, Max: d.MaxUsage, Failcnt: d.Failcnt}
}

func (u *Usage) fromSandbox() {
	s := u.Sandbox
	u.Pids = limitUsage{Current: s.PIDs, Limit: s.PIDsLimit}
	if u.CPU.Usage.Total == 0 {
		u.CPU.Usage.Total, u.CPU.Usage.Kernel, u.CPU.Usage.User = s.CPUNanos, s.SystemNanos, s.UserNanos
	}
	if u.Memory.Usage.Usage == 0 {
		u.Memory.Usage.Usage, u.Memory.Usage.Limit = s.MemoryBytes, s.MemoryLimit
	}
	for _, l := range s.NetworkLinks {
		u.Network = append(u.Network, netUsage(l))
	}
}

// Stacks returns the stacks of the Sentry's goroutines.
func (c *Container) Stacks() (text string, err error) {
	err = c.with(func(cl *control.Client) error {
		text, err = cl.Stacks()
		return err
	})
	return text, err
}

// Profile has the Sentry write a profile to out.
func (c *Container) Profile(kind string, seconds int, out *os.File) error {
	return c.with(func(cl *control.Client) error { return cl.Profile(kind, seconds, out) })
}

// Tune changes what the container's sandbox writes to its log, and returns where that is.
func (c *Container) Tune(t *control.Tuning) (logFile string, err error) {
	if err := c.with(func(cl *control.Client) error { return cl.Tune(t) }); err != nil {
		return "", err
	}
	if c.Sandbox == "" {
		return c.LogFile, nil
	}
	root, err := Open(c.opts, c.Sandbox)
	if err != nil {
		return "", err
	}
	defer root.Close()
	return root.LogFile, nil
}
