package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/limits"
	"ringfort/sentry/usermem"
)

var limitCalls = []Call{
	{Nr: unix.SYS_GETRLIMIT, Name: "getrlimit", Func: Getrlimit, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_SETRLIMIT, Name: "setrlimit", Func: Setrlimit, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_PRLIMIT64, Name: "prlimit64", Func: Prlimit, Args: []Arg{Int, Int, Ptr, Ptr}},
	{Nr: unix.SYS_GETRUSAGE, Name: "getrusage", Func: Getrusage, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_SYSINFO, Name: "sysinfo", Func: Sysinfo, Args: []Arg{Ptr}},
}

// Getrlimit is getrlimit(2).
func Getrlimit(t *task, a arguments) (uintptr, error) {
	if a[0].Uint() >= limits.Count {
		return 0, unix.EINVAL
	}
	l := t.Limits().Get(int(a[0].Uint()))
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &l)
}

// Setrlimit is setrlimit(2).
func Setrlimit(t *task, a arguments) (uintptr, error) {
	l, err := usermem.CopyInVal[limits.Limit](t.MM(), addr(a[1].Pointer()))
	if err != nil {
		return 0, err
	}
	return 0, setLimit(t, t.ThreadGroup(), a[0].Uint(), l)
}

// fdMax is fs.nr_open: the most RLIMIT_NOFILE can be.
const fdMax = 1 << 20

func setLimit(t *task, tg *kernel.ThreadGroup, resource uint32, l limits.Limit) error {
	if resource >= limits.Count || l.Cur > l.Max {
		return unix.EINVAL
	}
	old := tg.Limits().Get(int(resource))
	if l.Max > old.Max && !t.Creds().HasRootCap(unix.CAP_SYS_RESOURCE) {
		return unix.EPERM
	}
	if resource == unix.RLIMIT_NOFILE && l.Max > fdMax {
		return unix.EPERM
	}
	tg.Limits().Put(int(resource), l)
	if resource == unix.RLIMIT_CPU {
		tg.CPULimitChanged()
	}
	return nil
}

// Prlimit is prlimit(2).
func Prlimit(t *task, a arguments) (uintptr, error) {
	resource := a[1].Uint()
	if resource >= limits.Count {
		return 0, unix.EINVAL
	}
	tg := t.ThreadGroup()
	if pid := a[0].Int(); pid != 0 {
		o := t.PIDNS().TaskWithID(pid)
		if o == nil {
			return 0, unix.ESRCH
		}
		c, d := t.Creds(), o.Creds()
		same := c.RUID == d.EUID && c.RUID == d.SUID && c.RUID == d.RUID && c.RGID == d.EGID && c.RGID == d.SGID && c.RGID == d.RGID
		if !same && !c.HasCapIn(unix.CAP_SYS_RESOURCE, d.UserNS) {
			return 0, unix.EPERM
		}
		tg = o.ThreadGroup()
	}
	old := tg.Limits().Get(int(resource))
	if p := addr(a[2].Pointer()); p != 0 {
		l, err := usermem.CopyInVal[limits.Limit](t.MM(), p)
		if err != nil {
			return 0, err
		}
		if err := setLimit(t, tg, resource, l); err != nil {
			return 0, err
		}
	}
	if p := addr(a[3].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &old)
	}
	return 0, nil
}

func copyOutRusage(t *task, p addr, u kernel.Rusage) error {
	r := unix.Rusage{
		Utime: unix.NsecToTimeval(u.User), Stime: unix.NsecToTimeval(u.Sys), Maxrss: int64(u.MaxRSS >> 10),
		Minflt: u.MinFlt, Majflt: u.MajFlt, Inblock: u.InBlock, Oublock: u.OutBlock, Nvcsw: u.VolSwitch, Nivcsw: u.InvSwit,
	}
	return usermem.CopyOutVal(t.MM(), p, &r)
}

// Getrusage is getrusage(2).
func Getrusage(t *task, a arguments) (uintptr, error) {
	var u kernel.Rusage
	switch a[0].Int() {
	case unix.RUSAGE_SELF:
		u = t.ThreadGroup().Usage()
	case unix.RUSAGE_CHILDREN:
		u = t.ThreadGroup().ChildUsage()
	case unix.RUSAGE_THREAD:
		u = t.Usage()
	default:
		return 0, unix.EINVAL
	}
	return 0, copyOutRusage(t, addr(a[1].Pointer()), u)
}

// Sysinfo is sysinfo(2).
func Sysinfo(t *task, a arguments) (uintptr, error) {
	k := t.Kernel()
	total, used := t.Container().MemoryTotal(), t.Container().MemoryUsed()
	s := unix.Sysinfo_t{
		Uptime: (k.Uptime() + second - 1) / second, Totalram: total, Freeram: total - min(total, used),
		Procs: uint16(min(k.LiveTasks(), 65535)), Unit: 1,
	}
	return 0, usermem.CopyOutVal(t.MM(), addr(a[0].Pointer()), &s)
}
