package proc

import (
	"fmt"
	"strings"

	"ringfort/sentry/auth"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/mm"
	"ringfort/sentry/vfs"
)

// hz is USER_HZ: the ticks of a second that proc(5) counts in.
const hz = 100

func ticks(ns int64) int64 { return ns / (1e9 / hz) }

// withMM calls f with the task's address space, unless it has none any more.
func withMM(t *kernel.Task, f func(m *mm.MemoryManager)) {
	if m := t.MM(); m != nil && m.TryIncUsers() {
		defer m.DecUsers()
		f(m)
	}
}

// ids are a task's numbers as the mount's PID namespace has them.
func (o dirOf) ids() (ppid, pgrp, session int32) {
	tg := o.t.ThreadGroup()
	if p := tg.Parent(); p != nil {
		ppid = o.ns.IDOfThreadGroup(p)
	}
	if pg := tg.ProcessGroup(); pg != nil {
		pgrp = o.ns.IDOfProcessGroup(pg)
	}
	if s := tg.Session(); s != nil {
		session = o.ns.IDOfSession(s)
	}
	return ppid, pgrp, session
}

// ttyNumbered is a terminal that has a device number.
type ttyNumbered interface{ DeviceNumber() uint64 }

func (o dirOf) tty() (nr int64, foreground int32) {
	s := o.t.ThreadGroup().Session()
	if s == nil {
		return 0, -1
	}
	tty := o.k.TTYOf(s)
	if tty == nil {
		return 0, -1
	}
	if n, ok := tty.(ttyNumbered); ok {
		dev := n.DeviceNumber()
		nr = int64(dev&0xff | dev>>12&0xfff00000 | dev&0xfff00)
	}
	foreground = -1
	if pg := o.k.Foreground(s); pg != nil {
		foreground = o.ns.IDOfProcessGroup(pg)
	}
	return nr, foreground
}

// stat is /proc/PID/stat, fields by their numbers in proc(5).
func (o dirOf) stat(c vfs.Caller) (string, error) {
	t, tg := o.t, o.t.ThreadGroup()
	ppid, pgrp, session := o.ids()
	tty, foreground := o.tty()
	id := o.ns.IDOfTask(t)
	use, children := t.Usage(), kernel.Rusage{}
	threads := 1
	if o.process {
		id = o.ns.IDOfThreadGroup(tg)
		use, children = tg.Usage(), tg.ChildUsage()
		threads = len(tg.Tasks())
	}
	var u mm.Usage
	var info mm.Info
	secret := mayTrace(c, t) != nil
	withMM(t, func(m *mm.MemoryManager) {
		u = m.Usage()
		if !secret {
			info = m.GetInfo()
		}
	})
	pending, _ := t.PendingSets()
	ignored, caught := tg.ActionSets()
	exit := uint32(0)
	if tg.Zombie() && !secret {
		exit = tg.Status().Word()
	}
	nice := t.Nice()
	policy, prio := t.Sched()
	priority := 20 + nice
	if prio > 0 {
		priority = -1 - prio
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d (%s) %c %d %d %d %d %d %d", id, t.Name(), o.state(), ppid, pgrp, session, tty, foreground, o.flags()) // 1-9
	fmt.Fprintf(&b, " %d 0 %d 0", use.MinFlt, use.MajFlt)                                                                     // 10-13
	fmt.Fprintf(&b, " %d %d %d %d", ticks(use.User), ticks(use.Sys), ticks(children.User), ticks(children.Sys))               // 14-17
	fmt.Fprintf(&b, " %d %d %d 0 %d", priority, nice, threads, ticks(o.startTime()))                                          // 18-22
	fmt.Fprintf(&b, " %d %d %d", u.Total, u.RSS/4096, limitOf(tg))                                                            // 23-25
	fmt.Fprintf(&b, " %d %d %d 0 0", info.CodeStart, info.CodeEnd, info.StackStart)                                           // 26-30
	fmt.Fprintf(&b, " %d %d %d %d", uint64(pending)&0x7fffffff, uint64(t.SignalMask())&0x7fffffff, uint64(ignored)&0x7fffffff, uint64(caught)&0x7fffffff)
	fmt.Fprintf(&b, " 0 0 0 17 0 %d %d 0 0 0", prio, policy) // 35-44
	brk := o.brk(secret)
	fmt.Fprintf(&b, " %d %d %d %d %d %d %d %d\n", info.DataStart, info.DataEnd, brk, info.ArgStart, info.ArgEnd, info.EnvStart, info.EnvEnd, exit)
	return b.String(), nil
}

func (o dirOf) brk(secret bool) (start uint64) {
	if !secret {
		withMM(o.t, func(m *mm.MemoryManager) {
			s, _ := m.BrkStart()
			start = uint64(s)
		})
	}
	return start
}

// flags are PF_* (include/linux/sched.h): RANDOMIZE always; FORKNOEXEC until execve.
func (o dirOf) flags() uint32 {
	f := uint32(0x00400000)
	if !o.t.ThreadGroup().HasExecd() {
		f |= 0x40
	}
	return f
}

func (o dirOf) state() int32 {
	if o.process && o.t.ThreadGroup().Zombie() {
		return kernel.StateZombie
	}
	return o.t.State()
}

// startTime is when the task began, since the sandbox did.
func (o dirOf) startTime() int64 {
	return max(0, o.t.StartTime()-(o.k.Monotonic()-o.k.Uptime()))
}

// rlimitRSS is RLIMIT_RSS.
const rlimitRSS = 5

func limitOf(tg *kernel.ThreadGroup) uint64 { return tg.Limits().Get(rlimitRSS).Cur }

// statm is /proc/PID/statm, in pages.
func (o dirOf) statm(vfs.Caller) (string, error) {
	var u mm.Usage
	var shared uint64
	withMM(o.t, func(m *mm.MemoryManager) {
		u = m.Usage()
		for _, v := range m.Maps(nil) {
			shared += v.RSS - v.Private
		}
	})
	return fmt.Sprintf("%d %d %d %d 0 %d 0\n", u.Total/4096, u.RSS/4096, shared/4096, u.Exec/4096, (u.Data+u.Stack)/4096), nil
}

var stateNames = map[int32]string{
	kernel.StateRunning: "R (running)", kernel.StateSleep: "S (sleeping)", kernel.StateStopped: "T (stopped)",
	kernel.StateTraced: "t (tracing stop)", kernel.StateZombie: "Z (zombie)", kernel.StateDead: "X (dead)",
}

// escapeComm writes a thread name as status does.
var escapeComm = strings.NewReplacer("\n", `\n`, `\`, `\\`)

// status is /proc/PID/status.
func (o dirOf) status(c vfs.Caller) (string, error) {
	t, tg := o.t, o.t.ThreadGroup()
	ppid, _, _ := o.ids()
	cr := t.Creds()
	reader := cr.UserNS
	if c != nil {
		reader = c.Creds().UserNS
	}
	fdSize := 0
	if tab := t.FDs(); tab != nil {
		for fdSize = 64; fdSize <= maxFD(tab.FDs()); fdSize *= 2 {
		}
	}
	var b strings.Builder
	umask := uint32(0)
	if fs := t.FS(); fs != nil {
		umask = fs.Umask()
	}
	fmt.Fprintf(&b, "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
		escapeComm.Replace(t.Name()), umask, stateNames[o.state()], o.ns.IDOfThreadGroup(tg), o.ns.IDOfTask(t), ppid)
	fmt.Fprintf(&b, "Uid:\t%d\t%d\t%d\t%d\nGid:\t%d\t%d\t%d\t%d\nFDSize:\t%d\nGroups:\t",
		reader.UID(cr.RUID), reader.UID(cr.EUID), reader.UID(cr.SUID), reader.UID(cr.FSUID),
		reader.GID(cr.RGID), reader.GID(cr.EGID), reader.GID(cr.SGID), reader.GID(cr.FSGID), fdSize)
	for _, g := range cr.Groups {
		fmt.Fprintf(&b, "%d ", reader.GID(g))
	}
	l := t.LevelIDs(o.ns)
	fmt.Fprintf(&b, "\nNStgid:%s\nNSpid:%s\nNSpgid:%s\nNSsid:%s\nKthread:\t0\n", columns(l.TGID), columns(l.PID), columns(l.PGID), columns(l.SID))
	withMM(t, func(m *mm.MemoryManager) { statusMemory(&b, m) })
	o.statusSignals(&b)
	statusCaps(&b, cr)
	mode, filters := t.SeccompMode()
	nnp := 0
	if cr.NoNewPrivs {
		nnp = 1
	}
	fmt.Fprintf(&b, "NoNewPrivs:\t%d\nSeccomp:\t%d\nSeccomp_filters:\t%d\nSpeculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled\n", nnp, mode, filters)
	mask := t.Affinity()
	fmt.Fprintf(&b, "Cpus_allowed:\t%x\nCpus_allowed_list:\t%s\nMems_allowed:\t1\nMems_allowed_list:\t0\n", mask, fsutil.CPUList(mask))
	u := t.Usage()
	fmt.Fprintf(&b, "voluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t%d\n", u.VolSwitch, u.InvSwit)
	return b.String(), nil
}

// columns writes numbers with a tab before each.
func columns(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "\t%d", id)
	}
	return b.String()
}

func maxFD(fds []int32) int {
	if len(fds) == 0 {
		return 0
	}
	return int(fds[len(fds)-1])
}

func statusMemory(b *strings.Builder, m *mm.MemoryManager) {
	u := m.Usage()
	var anon, file, lib uint64
	for _, v := range m.Maps(nil) {
		if v.Ino != 0 && !v.Shared {
			file += v.RSS - v.Private
			anon += v.Private
			if v.MayExec && v.Prot&4 != 0 {
				lib += uint64(v.Len())
			}
		} else {
			anon += v.RSS
		}
	}
	row := func(name string, n uint64) { fmt.Fprintf(b, "%s:\t%8d kB\n", name, n>>10) }
	row("VmPeak", u.Total)
	row("VmSize", u.Total)
	row("VmLck", u.Locked)
	row("VmPin", 0)
	row("VmHWM", max(u.MaxRSS, u.RSS))
	row("VmRSS", u.RSS)
	row("RssAnon", anon)
	row("RssFile", file)
	row("RssShmem", 0)
	row("VmData", u.Data)
	row("VmStk", u.Stack)
	row("VmExe", u.Exec-min(u.Exec, lib))
	row("VmLib", lib)
	row("VmPTE", u.RSS/512)
	row("VmSwap", 0)
	row("HugetlbPages", 0)
	b.WriteString("CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n")
}

func (o dirOf) statusSignals(b *strings.Builder) {
	t, tg := o.t, o.t.ThreadGroup()
	own, process := t.PendingSets()
	ignored, caught := tg.ActionSets()
	queued := popcount(uint64(own)) + popcount(uint64(process))
	fmt.Fprintf(b, "Threads:\t%d\nSigQ:\t%d/%d\n", len(tg.Tasks()), queued, tg.Limits().Get(11).Cur) // RLIMIT_SIGPENDING
	for _, s := range [...]struct {
		name string
		set  kernel.SignalSet
	}{{"SigPnd", own}, {"ShdPnd", process}, {"SigBlk", t.SignalMask()}, {"SigIgn", ignored}, {"SigCgt", caught}} {
		fmt.Fprintf(b, "%s:\t%016x\n", s.name, uint64(s.set))
	}
}

func popcount(n uint64) (c int) {
	for ; n != 0; n &= n - 1 {
		c++
	}
	return c
}

func statusCaps(b *strings.Builder, cr *auth.Credentials) {
	for _, s := range [...]struct {
		name string
		set  auth.CapSet
	}{{"CapInh", cr.Inheritable}, {"CapPrm", cr.Permitted}, {"CapEff", cr.Effective}, {"CapBnd", cr.Bounding}, {"CapAmb", cr.Ambient}} {
		fmt.Fprintf(b, "%s:\t%016x\n", s.name, uint64(s.set))
	}
}
