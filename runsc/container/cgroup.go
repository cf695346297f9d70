package container

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
)

// cgroupConfig says where the container's cgroup is and what it limits. Two things that a cgroup could do the Sentry
// does instead: devices, none of which a sandbox ever opens, and the number of tasks, because the threads of the
// Sentry must not count.
func cgroupConfig(s *specs.Spec, id string, systemd bool) (*cgroups.Cgroup, error) {
	cg := &cgroups.Cgroup{Systemd: systemd, Resources: &cgroups.Resources{}}
	path := s.Linux.CgroupsPath
	switch {
	case systemd && path == "":
		cg.Parent, cg.ScopePrefix, cg.Name = "system.slice", "ringfort", id
	case systemd:
		parts := strings.Split(path, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("linux.cgroupsPath: %q is not of the form \"slice:prefix:name\" that --systemd-cgroup needs", path)
		}
		cg.Parent, cg.ScopePrefix, cg.Name = parts[0], parts[1], parts[2]
	case path == "":
		cg.Path = "/" + id
	default:
		cg.Path = filepath.Clean(path)
		if !filepath.IsAbs(path) {
			cg.Path = filepath.Join("/", path)
		}
	}
	if r := s.Linux.Resources; r != nil {
		setResources(cg.Resources, r)
	}
	return cg, nil
}

// setResources carries the limits of an OCI configuration over.
func setResources(to *cgroups.Resources, r *specs.LinuxResources) {
	if m := r.Memory; m != nil {
		set(&to.Memory, m.Limit)
		set(&to.MemoryReservation, m.Reservation)
		set(&to.MemorySwap, m.Swap)
		set(&to.OomKillDisable, m.DisableOOMKiller)
		set(&to.MemoryCheckBeforeUpdate, m.CheckBeforeUpdate)
		to.MemorySwappiness = m.Swappiness
	}
	if c := r.CPU; c != nil {
		set(&to.CpuShares, c.Shares)
		to.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(to.CpuShares)
		set(&to.CpuQuota, c.Quota)
		set(&to.CpuPeriod, c.Period)
		to.CpuBurst = c.Burst
		set(&to.CpuRtRuntime, c.RealtimeRuntime)
		set(&to.CpuRtPeriod, c.RealtimePeriod)
		to.CpusetCpus, to.CpusetMems, to.CPUIdle = c.Cpus, c.Mems, c.Idle
	}
	if b := r.BlockIO; b != nil {
		set(&to.BlkioWeight, b.Weight)
		set(&to.BlkioLeafWeight, b.LeafWeight)
		for _, d := range b.WeightDevice {
			var weight, leaf uint16
			set(&weight, d.Weight)
			set(&leaf, d.LeafWeight)
			to.BlkioWeightDevice = append(to.BlkioWeightDevice, cgroups.NewWeightDevice(d.Major, d.Minor, weight, leaf))
		}
		to.BlkioThrottleReadBpsDevice = throttles(b.ThrottleReadBpsDevice)
		to.BlkioThrottleWriteBpsDevice = throttles(b.ThrottleWriteBpsDevice)
		to.BlkioThrottleReadIOPSDevice = throttles(b.ThrottleReadIOPSDevice)
		to.BlkioThrottleWriteIOPSDevice = throttles(b.ThrottleWriteIOPSDevice)
	}
	for _, h := range r.HugepageLimits {
		to.HugetlbLimit = append(to.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.Pagesize, Limit: h.Limit})
	}
	if n := r.Network; n != nil {
		set(&to.NetClsClassid, n.ClassID)
		for _, p := range n.Priorities {
			to.NetPrioIfpriomap = append(to.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
		}
	}
	if len(r.Rdma) > 0 {
		to.Rdma = make(map[string]cgroups.LinuxRdma)
		for name, l := range r.Rdma {
			to.Rdma[name] = cgroups.LinuxRdma{HcaHandles: l.HcaHandles, HcaObjects: l.HcaObjects}
		}
	}
	for name, value := range r.Unified {
		if strings.HasPrefix(name, "pids.") {
			continue
		}
		if to.Unified == nil {
			to.Unified = make(map[string]string)
		}
		to.Unified[name] = value
	}
}

// set copies what was given.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func throttles(list []specs.LinuxThrottleDevice) (to []*cgroups.ThrottleDevice) {
	for _, d := range list {
		to = append(to, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	return to
}

// cgroupManager returns the manager of the container's cgroups.
func (c *Container) cgroupManager() (cgroups.Manager, error) {
	c.cgroupMu.Lock()
	defer c.cgroupMu.Unlock()
	if c.cgroup != nil {
		return c.cgroup, nil
	}
	cg, err := cgroupConfig(c.Spec, c.ID, c.SystemdCgroup)
	if err != nil {
		return nil, err
	}
	m, err := newManager(cg)
	if err == nil {
		c.cgroup = m
	}
	return m, err
}

// newManager makes do without the devices controller: a cgroup of it is for engines that look for one.
func newManager(cg *cgroups.Cgroup) (cgroups.Manager, error) {
	m, err := manager.New(cg)
	if err != nil && cgroups.IsNotFound(err) {
		cg.SkipDevices = true
		m, err = manager.New(cg)
	}
	return m, err
}

// enterCgroup puts the processes into the cgroups that makeCgroup has made, or has said it could not, unless they were
// born there, and sets the limits. What the machine cannot do is a warning; a value that it refuses is an error. joined
// is called once the processes are there, or cannot be.
func (c *Container) enterCgroup(n *nursery, err error, joined func(), pids ...int) error {
	defer joined()
	if err == nil && n.missed {
		err = c.moveTo(n.m, pids)
	}
	joined()
	to := &cgroups.Resources{}
	if r := c.Spec.Linux.Resources; r != nil {
		setResources(to, r)
	}
	if err == nil {
		err = c.setLimits(n.m, to)
	}
	if err == nil {
		err = c.setDevices(n.m)
	}
	if err != nil && machineCannot(err) {
		return c.withoutCgroup(to, err)
	}
	var refused *limitError
	if err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("cgroup: %w", err)
	}
	return err
}

// moveTo moves processes.
func (c *Container) moveTo(m cgroups.Manager, pids []int) error {
	if err := m.Apply(pids[0]); err != nil {
		return err
	}
	if err := addPids(m, pids[1:]); err != nil || c.Sandbox != "" {
		return err
	}
	return c.leavePids(pids...)
}

// withoutCgroup decides whether a container can do without cgroups, or some of them.
func (c *Container) withoutCgroup(r *cgroups.Resources, err error) error {
	field := vital(r)
	switch {
	case Rootless() && (field != "" || pidsLimit(c.Spec.Linux.Resources) != 0):
		c.opts.warn("container %s has no cgroup, which takes more than this user may: no limit but that of processes is kept, and there are no statistics of the host: %v", c.ID, err)
	case Rootless():
	case field != "":
		return errNoController(field, err)
	default:
		c.opts.warn("cgroup of container %s: %v", c.ID, err)
	}
	return nil
}

// setLimits sets all limits at once, or, where the machine cannot, each kind by itself with a warning for those that it
// has not. One on which the safety of the machine rests is an error, unless the machine is not ours.
func (c *Container) setLimits(m cgroups.Manager, r *cgroups.Resources) error {
	err := m.Set(r)
	if err == nil || !machineCannot(err) {
		return err
	}
	for _, p := range parts(r) {
		err := m.Set(p.r)
		switch {
		case err == nil:
		case !machineCannot(err):
			return err
		case p.vital != "" && !Rootless():
			return errNoController(p.vital, err)
		default:
			c.opts.warn("cgroup of container %s: %v", c.ID, err)
		}
	}
	return nil
}

// A limitError is about a limit that would not bite.
type limitError struct {
	field string
	err   error
}

// Error names the field and what to do.
func (e *limitError) Error() string {
	return fmt.Sprintf("linux.resources.%s: this machine cannot keep the limit: %v (is its controller mounted? see /proc/cgroups)", e.field, e.err)
}

// errNoController returns a limitError.
func errNoController(field string, err error) error { return &limitError{field, err} }

// vital names the first limit of a kind that nobody wants to be without unknowingly, "" if none is set.
func vital(r *cgroups.Resources) string {
	for _, p := range parts(r) {
		if p.vital != "" {
			return p.vital
		}
	}
	return ""
}

// A part is a limit, or some that belong together.
type part struct {
	r     *cgroups.Resources
	vital string // the field of the configuration that is set and must not be lost, "" if none is
}

// parts takes limits apart so that one that cannot be set does not keep the others from being set.
func parts(r *cgroups.Resources) []part {
	given := func(set bool, field string) string {
		if set {
			return field
		}
		return ""
	}
	return []part{
		{&cgroups.Resources{Memory: r.Memory}, given(r.Memory > 0, "memory.limit")},
		{&cgroups.Resources{Memory: r.Memory, MemorySwap: r.MemorySwap}, ""}, // there can be memory without swap
		{&cgroups.Resources{MemoryReservation: r.MemoryReservation}, ""},
		{&cgroups.Resources{MemorySwappiness: r.MemorySwappiness}, ""},
		{&cgroups.Resources{OomKillDisable: r.OomKillDisable}, ""},
		{&cgroups.Resources{CpuShares: r.CpuShares, CpuWeight: r.CpuWeight}, ""},
		{&cgroups.Resources{CpuQuota: r.CpuQuota, CpuPeriod: r.CpuPeriod}, given(r.CpuQuota > 0, "cpu.quota")},
		{&cgroups.Resources{CpuBurst: r.CpuBurst}, ""},
		{&cgroups.Resources{CPUIdle: r.CPUIdle}, ""},
		{&cgroups.Resources{CpuRtRuntime: r.CpuRtRuntime, CpuRtPeriod: r.CpuRtPeriod}, ""},
		{&cgroups.Resources{CpusetCpus: r.CpusetCpus, CpusetMems: r.CpusetMems}, given(r.CpusetCpus != "", "cpu.cpus")},
		{&cgroups.Resources{BlkioWeight: r.BlkioWeight, BlkioLeafWeight: r.BlkioLeafWeight, BlkioWeightDevice: r.BlkioWeightDevice}, ""},
		{&cgroups.Resources{
			BlkioThrottleReadBpsDevice: r.BlkioThrottleReadBpsDevice, BlkioThrottleWriteBpsDevice: r.BlkioThrottleWriteBpsDevice,
			BlkioThrottleReadIOPSDevice: r.BlkioThrottleReadIOPSDevice, BlkioThrottleWriteIOPSDevice: r.BlkioThrottleWriteIOPSDevice,
		}, ""},
		{&cgroups.Resources{HugetlbLimit: r.HugetlbLimit}, ""},
		{&cgroups.Resources{NetClsClassid: r.NetClsClassid, NetPrioIfpriomap: r.NetPrioIfpriomap}, ""},
		{&cgroups.Resources{Rdma: r.Rdma}, ""},
		{&cgroups.Resources{Unified: r.Unified}, ""},
	}
}

// addPids puts further processes into the cgroups that Apply has made.
func addPids(m cgroups.Manager, pids []int) error {
	for _, pid := range pids {
		if err := m.AddPid("", pid); err != nil {
			return err
		}
	}
	return nil
}

// machineCannot tells an error that comes from the machine from one that comes from a value.
func machineCannot(err error) bool {
	var refused *limitError
	if errors.As(err, &refused) {
		return false // that has been decided
	}
	for _, e := range []error{
		fs.ErrNotExist, fs.ErrPermission, unix.EROFS, unix.EOPNOTSUPP, unix.ENOTSUP, unix.ENODEV,
		cgroups.ErrV1NoUnified, cgroups.ErrRootless, cgroups.ErrDevicesUnsupported,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return cgroups.IsNotFound(err) || strings.Contains(err.Error(), "no cgroup mount found") ||
		strings.Contains(err.Error(), "could not join or create cgroup") // of the v1 manager, for a controller that is not there
}

// removeCgroup takes the cgroups away; every process in them has ended.
func (c *Container) removeCgroup() {
	m, err := c.cgroupManager()
	if err == nil {
		err = m.Destroy()
	}
	if err != nil && !machineCannot(err) {
		c.opts.warn("cgroup of container %s: %v", c.ID, err)
	}
}

// Update changes the limits of the container.
func (c *Container) Update(r *specs.LinuxResources) error {
	if err := c.acquire(true); err != nil {
		return err
	}
	m, err := c.cgroupManager()
	if err != nil {
		return err
	}
	now := mergeResources(c.Spec.Linux.Resources, r)
	to := &cgroups.Resources{}
	setResources(to, now)
	if err := c.setLimits(m, to); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	c.Spec.Linux.Resources = now
	if c.Sandbox == "" {
		if err := c.showPids(); err != nil {
			return err
		}
	}
	if err := c.writeJSON("config.json", c.Spec); err != nil {
		return err
	}
	if s := c.Current(); s == control.Stopped || s == control.Creating {
		return nil
	}
	l := &control.Limits{}
	l.Memory, l.CPUs = limits(c.Spec)
	if now.Pids != nil && now.Pids.Limit != nil {
		l.PIDs = *now.Pids.Limit
	}
	if now.CPU != nil {
		l.CPUSet = now.CPU.Cpus
		set(&l.Shares, now.CPU.Shares)
	}
	return c.with(func(cl *control.Client) error { return cl.SetLimits(c.ID, l) })
}

// mergeResources lays the given fields of r over those of old.
func mergeResources(old, r *specs.LinuxResources) *specs.LinuxResources {
	now := specs.LinuxResources{}
	if old != nil {
		now = *old
	}
	if r.Memory != nil {
		m := specs.LinuxMemory{}
		set(&m, now.Memory)
		override(&m.Limit, r.Memory.Limit)
		override(&m.Reservation, r.Memory.Reservation)
		override(&m.Swap, r.Memory.Swap)
		now.Memory = &m
	}
	if r.CPU != nil {
		u := specs.LinuxCPU{}
		set(&u, now.CPU)
		override(&u.Shares, r.CPU.Shares)
		override(&u.Quota, r.CPU.Quota)
		override(&u.Period, r.CPU.Period)
		override(&u.Burst, r.CPU.Burst)
		override(&u.RealtimeRuntime, r.CPU.RealtimeRuntime)
		override(&u.RealtimePeriod, r.CPU.RealtimePeriod)
		override(&u.Idle, r.CPU.Idle)
		if r.CPU.Cpus != "" {
			u.Cpus = r.CPU.Cpus
		}
		if r.CPU.Mems != "" {
			u.Mems = r.CPU.Mems
		}
		now.CPU = &u
	}
	if r.BlockIO != nil {
		now.BlockIO = r.BlockIO
	}
	if r.Pids != nil {
		now.Pids = r.Pids
	}
	if r.Unified != nil {
		now.Unified = r.Unified
	}
	return &now
}

func override[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// limits tells the Sentry what it has: memory in bytes and CPUs, 0 for no limit.
func limits(s *specs.Spec) (memory int64, cpus float64) {
	r := s.Linux.Resources
	if r == nil {
		return 0, 0
	}
	if r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit > 0 {
		memory = *r.Memory.Limit
	}
	if r.CPU != nil && r.CPU.Quota != nil && *r.CPU.Quota > 0 {
		period := uint64(100000) // the kernel's default, in microseconds
		if r.CPU.Period != nil && *r.CPU.Period > 0 {
			period = *r.CPU.Period
		}
		cpus = float64(*r.CPU.Quota) / float64(period)
	}
	return memory, cpus
}
