// Package cgroupfs owns the cgroup file systems: one group, the container's,
// with the limits that the host enforces on it, for programs that size
// themselves by them. Groups of one's own cannot be made (EPERM). Everything is
// made at reading; the package holds no locks.
package cgroupfs

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// Values of f_type (statfs(2)).
const (
	magicV1 = 0x27e0eb
	magicV2 = 0x63677270
)

// period is the CPU period shown, in microseconds.
const period = 100000

// builder makes the tree.
type builder struct {
	*fsutil.Tree
	k *kernel.Kernel
	c vfs.Caller
}

func (b builder) dir() *fsutil.Dir { return b.NewDir(b.c, 0o755) }

func (b builder) file(gen func(c vfs.Caller) string) *fsutil.Text {
	return b.NewText(b.c, 0o444, func(c vfs.Caller) (string, error) { return gen(c), nil })
}

func (b builder) text(s string) *fsutil.Text { return b.file(func(vfs.Caller) string { return s }) }

// NewV2 returns a cgroup2 file system.
func NewV2(k *kernel.Kernel, c vfs.Caller) *vfs.Superblock {
	b := builder{fsutil.NewTree("cgroup2", magicV2), k, c}
	root := b.dir()
	b.procs(root, "cgroup.procs")
	root.Add("cgroup.controllers", b.text("cpuset cpu memory pids\n")).
		Add("cgroup.subtree_control", b.text("")).
		Add("cgroup.type", b.text("domain\n")).
		Add("cgroup.events", b.text("populated 1\nfrozen 0\n")).
		Add("cpu.max", b.file(cpuMax)).
		Add("cpu.weight", b.file(func(c vfs.Caller) string { return fmt.Sprintln(weight(shares(c))) })).
		Add("cpu.stat", b.file(func(c vfs.Caller) string {
			user, sys := b.cpuTime(c)
			return fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec %d\n", user+sys, user, sys)
		})).
		Add("cpuset.cpus", b.file(cpus)).
		Add("cpuset.cpus.effective", b.file(cpus)).
		Add("cpuset.mems", b.text("0\n")).
		Add("cpuset.mems.effective", b.text("0\n")).
		Add("memory.max", b.file(func(c vfs.Caller) string { return orMax(memoryLimit(c)) })).
		Add("memory.high", b.text("max\n")).
		Add("memory.current", b.file(b.used)).
		Add("memory.swap.max", b.text("0\n")).
		Add("memory.swap.current", b.text("0\n")).
		Add("memory.stat", b.file(func(c vfs.Caller) string { return "anon " + b.used(c) + "file 0\n" })).
		Add("memory.events", b.text("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n")).
		Add("pids.max", b.pids(func(n *kernel.TaskCount) string { return orMax(n.Limit()) })).
		Add("pids.current", b.pids(func(n *kernel.TaskCount) string { return fmt.Sprintln(n.Current()) })).
		Add("pids.peak", b.pids(func(n *kernel.TaskCount) string { return fmt.Sprintln(n.Peak()) })).
		Add("pids.events", b.pids(func(n *kernel.TaskCount) string { return fmt.Sprintln("max", n.Refusals()) }))
	b.SB.SetRoot(root)
	return &b.SB
}

// pids is a file of the pids controller: about the container of who reads it.
func (b builder) pids(show func(*kernel.TaskCount) string) *fsutil.Text {
	return b.file(func(c vfs.Caller) string {
		con := kernel.ContainerOf(c)
		if con == nil {
			return "" // the kernel itself is in no container
		}
		return show(con.TaskCount())
	})
}

// NewV1 returns the tmpfs-like tree of cgroup v1 controllers that a container
// engine mounts at /sys/fs/cgroup.
func NewV1(k *kernel.Kernel, c vfs.Caller) *vfs.Superblock {
	b := builder{fsutil.NewTree("cgroup", magicV1), k, c}
	memory := b.dir().
		Add("memory.limit_in_bytes", b.file(limitV1)).
		Add("memory.usage_in_bytes", b.file(b.used)).
		Add("memory.max_usage_in_bytes", b.file(b.used)).
		Add("memory.soft_limit_in_bytes", b.text(fmt.Sprintln(noLimit))).
		Add("memory.use_hierarchy", b.text("1\n")).
		Add("memory.stat", b.file(func(c vfs.Caller) string {
			return "cache 0\nrss " + b.used(c) + "hierarchical_memory_limit " + limitV1(c)
		}))
	cpuset := b.dir().
		Add("cpuset.cpus", b.file(cpus)).
		Add("cpuset.effective_cpus", b.file(cpus)).
		Add("cpuset.mems", b.text("0\n")).
		Add("cpuset.effective_mems", b.text("0\n"))
	cpu := b.dir().
		Add("cpu.cfs_period_us", b.text(fmt.Sprintf("%d\n", period))).
		Add("cpu.cfs_quota_us", b.file(quotaV1)).
		Add("cpu.shares", b.file(func(c vfs.Caller) string { return fmt.Sprintln(shares(c)) }))
	cpuacct := b.dir().Add("cpuacct.usage", b.file(func(c vfs.Caller) string {
		user, sys := b.cpuTime(c)
		return fmt.Sprintf("%d\n", (user+sys)*1000)
	}))
	pids := b.dir().
		Add("pids.max", b.pids(func(n *kernel.TaskCount) string { return orMax(n.Limit()) })).
		Add("pids.current", b.pids(func(n *kernel.TaskCount) string { return fmt.Sprintln(n.Current()) }))
	root := b.dir()
	for _, e := range []struct {
		name string
		dir  *fsutil.Dir
	}{
		{"memory", memory}, {"cpu", cpu}, {"cpuacct", cpuacct}, {"cpuset", cpuset}, {"pids", pids},
		{"systemd", b.dir()}, // has no controller; podman mounts the host's over it
	} {
		b.procs(e.dir, "cgroup.procs")
		b.procs(e.dir, "tasks")
		root.Add(e.name, e.dir)
	}
	b.SB.SetRoot(root)
	return &b.SB
}

// procs adds the list of processes.
func (b builder) procs(d *fsutil.Dir, name string) {
	d.Add(name, b.file(func(c vfs.Caller) string {
		ns := kernel.PIDNamespaceOf(c)
		if ns == nil {
			ns = b.k.RootPIDNS()
		}
		var s strings.Builder
		for _, tg := range b.groups(c) {
			if id := ns.IDOfThreadGroup(tg); id != 0 {
				fmt.Fprintln(&s, id)
			}
		}
		return s.String()
	}))
}

// groups returns the processes of the reader's container.
func (b builder) groups(c vfs.Caller) []*kernel.ThreadGroup {
	if con := kernel.ContainerOf(c); con != nil {
		return con.ThreadGroups()
	}
	return b.k.RootPIDNS().ThreadGroups()
}

func (b builder) used(c vfs.Caller) string {
	if con := kernel.ContainerOf(c); con != nil {
		return fmt.Sprintf("%d\n", con.MemoryUsed())
	}
	return fmt.Sprintf("%d\n", b.k.MemoryFile().Used())
}

// memoryLimit is the limit of the reader's container in bytes, 0 for none.
func memoryLimit(c vfs.Caller) int64 {
	if con := kernel.ContainerOf(c); con != nil {
		memory, _ := con.Limits()
		return memory
	}
	return 0
}

// noLimit is what the kernel shows for none in cgroup v1.
const noLimit = int64(0x7ffffffffffff000)

// cpus lists the processors of the reader's container.
func cpus(c vfs.Caller) string {
	con := kernel.ContainerOf(c)
	if con == nil {
		return "\n"
	}
	return fsutil.CPUList(con.CPUs()) + "\n"
}

func limitV1(c vfs.Caller) string {
	limit := memoryLimit(c)
	if limit <= 0 {
		limit = noLimit
	}
	return fmt.Sprintf("%d\n", limit)
}

// quota is the CPU quota of the reader's container, in microseconds each period, 0
// for none.
func quota(c vfs.Caller) int64 {
	if con := kernel.ContainerOf(c); con != nil {
		_, cpus := con.Limits()
		return int64(cpus * period)
	}
	return 0
}

func quotaV1(c vfs.Caller) string {
	if q := quota(c); q > 0 {
		return fmt.Sprintf("%d\n", q)
	}
	return "-1\n"
}

func cpuMax(c vfs.Caller) string {
	if q := quota(c); q > 0 {
		return fmt.Sprintf("%d %d\n", q, period)
	}
	return fmt.Sprintf("max %d\n", period)
}

// shares is the weight of the reader's container, in the unit of cpu.shares.
func shares(c vfs.Caller) uint64 {
	const unset, least, most = 1024, 2, 1 << 18
	if con := kernel.ContainerOf(c); con != nil && con.Shares() != 0 {
		return min(max(con.Shares(), least), most)
	}
	return unset
}

// weight is the cpu.weight of cgroup v2 that runtimes set for so many shares: 1 for 2, 100 for 1024, 10000 for 1<<18.
func weight(shares uint64) uint64 {
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7./34)))
}

// cpuTime returns what the processes of the reader's container have used, in
// microseconds.
func (b builder) cpuTime(c vfs.Caller) (user, sys int64) {
	for _, tg := range b.groups(c) {
		u := tg.Usage()
		user += u.User / 1000
		sys += u.Sys / 1000
	}
	return user, sys
}

func orMax(n int64) string {
	if n <= 0 {
		return "max\n"
	}
	return strconv.FormatInt(n, 10) + "\n"
}
