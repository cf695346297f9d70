package proc

import (
	"fmt"
	"strings"
	"sync"

	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// addGlobal adds the files about the whole machine.
func (p *procFS) addGlobal(root *fsutil.Dir) {
	text := func(name string, gen func() string) {
		root.Add(name, p.NewText(nil, 0444, func(vfs.Caller) (string, error) { return gen(), nil }))
	}
	fixed := func(name, s string) { text(name, func() string { return s }) }
	fixed("buddyinfo", "")
	text("cgroups", func() string { return "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" })
	fixed("cmdline", "BOOT_IMAGE=/ringfort\n")
	fixed("consoles", "tty0                 -WU (EC  p  )    4:1\n")
	// To ask the processor takes milliseconds on a virtual machine.
	text("cpuinfo", sync.OnceValue(func() string { return cpuInfo(p.k.CPUs()) }))
	fixed("crypto", "")
	fixed("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n")
	fixed("diskstats", "")
	text("filesystems", fileSystems)
	root.Add("fs", p.NewDir(nil, 0555))
	fixed("interrupts", "")
	kmsg := p.NewText(nil, 0400, func(vfs.Caller) (string, error) { return "", nil })
	root.Add("kmsg", kmsg)
	text("loadavg", p.loadavg)
	fixed("locks", "")
	root.Add("meminfo", p.NewText(nil, 0444, func(c vfs.Caller) (string, error) { return p.meminfo(c), nil }))
	fixed("misc", "")
	fixed("modules", "")
	fixed("partitions", "major minor  #blocks  name\n\n")
	text("stat", p.stat)
	fixed("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
	root.Add("sys", p.sysDir())
	root.Add("sysvipc", p.sysvipc())
	root.Add("tty", p.NewDir(nil, 0555).Add("drivers", p.NewText(nil, 0444, func(vfs.Caller) (string, error) {
		return "/dev/tty             /dev/tty        5       0 system:/dev/tty\n" +
			"/dev/console         /dev/console    5       1 system:console\n" +
			"/dev/ptmx            /dev/ptmx       5       2 system\n" +
			"pty_slave            /dev/pts      136 0-1048575 pty:slave\n", nil
	})))
	text("uptime", p.uptime)
	fixed("version", fmt.Sprintf("Linux version %s (ringfort) (Go) %s\n", p.id.Release, p.id.Version))
	text("vmstat", p.vmstat)
	fixed("zoneinfo", "")
}

func fileSystems() string {
	var b strings.Builder
	for _, n := range vfs.FSNames() {
		b.WriteString("nodev\t" + n + "\n")
	}
	return b.String()
}

func (p *procFS) uptime() string {
	up := p.k.Uptime() / 1e7
	idle := up*int64(p.k.CPUs()) - p.busy()/1e7
	idle = max(idle, 0)
	return fmt.Sprintf("%d.%02d %d.%02d\n", up/100, up%100, idle/100, idle%100)
}

// busy is the processor time of all processes there are, in nanoseconds.
func (p *procFS) busy() (ns int64) {
	for _, tg := range p.k.RootPIDNS().ThreadGroups() {
		u := tg.Usage()
		ns += u.User + u.Sys
	}
	return ns
}

func (p *procFS) counts() (running, total int) {
	for _, t := range p.ns.Tasks() {
		total++
		if t.State() == kernel.StateRunning {
			running++
		}
	}
	return running, total
}

func (p *procFS) loadavg() string {
	running, total := p.counts()
	load := p.sys.load(running, p.k.Monotonic())
	return fmt.Sprintf("%.2f %.2f %.2f %d/%d %d\n", load[0], load[1], load[2], running, total, p.ns.LastPID())
}

func (p *procFS) meminfo(c vfs.Caller) string {
	total := p.k.MemoryTotal()
	used := uint64(max(0, p.k.MemoryFile().Used()))
	if con := kernel.ContainerOf(c); con != nil {
		total, used = con.MemoryTotal(), con.MemoryUsed()
	}
	free := total - min(total, used)
	var b strings.Builder
	for _, r := range [...]struct {
		name string
		n    uint64
	}{
		{"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free}, {"Buffers", 0}, {"Cached", 0}, {"SwapCached", 0},
		{"Active", used}, {"Inactive", 0}, {"Active(anon)", used}, {"Inactive(anon)", 0}, {"Active(file)", 0}, {"Inactive(file)", 0},
		{"Unevictable", 0}, {"Mlocked", 0}, {"SwapTotal", 0}, {"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0}, {"AnonPages", used},
		{"Mapped", 0}, {"Shmem", 0}, {"KReclaimable", 0}, {"Slab", 0}, {"SReclaimable", 0}, {"SUnreclaim", 0}, {"KernelStack", 0},
		{"PageTables", 0}, {"NFS_Unstable", 0}, {"Bounce", 0}, {"WritebackTmp", 0}, {"CommitLimit", total}, {"Committed_AS", used},
		{"VmallocTotal", 34359738367 << 10}, {"VmallocUsed", 0}, {"VmallocChunk", 0}, {"Percpu", 0},
	} {
		fmt.Fprintf(&b, "%-15s %8d kB\n", r.name+":", r.n>>10)
	}
	b.WriteString("HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n")
	return b.String()
}

func (p *procFS) stat() string {
	var user, sys int64
	var csw int64
	for _, tg := range p.k.RootPIDNS().ThreadGroups() {
		u := tg.Usage()
		user, sys, csw = user+u.User, sys+u.Sys, csw+u.VolSwitch+u.InvSwit
	}
	n := int64(p.k.CPUs())
	idle := max(0, p.k.Uptime()*n-user-sys)
	var b strings.Builder
	fmt.Fprintf(&b, "cpu  %d 0 %d %d 0 0 0 0 0 0\n", ticks(user), ticks(sys), ticks(idle))
	for i := range n {
		fmt.Fprintf(&b, "cpu%d %d 0 %d %d 0 0 0 0 0 0\n", i, ticks(user/n), ticks(sys/n), ticks(idle/n))
	}
	running, _ := p.counts()
	fmt.Fprintf(&b, "intr 0\nctxt %d\nbtime %d\nprocesses %d\nprocs_running %d\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		csw, p.k.BootTime()/1e9, p.k.Forks(), max(running, 1))
	return b.String()
}

func (p *procFS) vmstat() string {
	used := p.k.MemoryFile().Used() / 4096
	free := (int64(p.k.MemoryTotal()) - p.k.MemoryFile().Used()) / 4096
	return fmt.Sprintf("nr_free_pages %d\nnr_anon_pages %d\nnr_mapped 0\nnr_file_pages 0\nnr_dirty 0\nnr_writeback 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\noom_kill 0\n", free, used)
}
