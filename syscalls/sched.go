package syscalls

import (
	"math/bits"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
)

var schedCalls = []Call{
	{Nr: unix.SYS_SCHED_YIELD, Name: "sched_yield", Func: SchedYield},
	{Nr: unix.SYS_SCHED_SETAFFINITY, Name: "sched_setaffinity", Func: SchedSetaffinity, Args: []Arg{Int, Size, Ptr}, Level: Partial, Note: "kept and told back; the host places threads"},
	{Nr: unix.SYS_SCHED_GETAFFINITY, Name: "sched_getaffinity", Func: SchedGetaffinity, Args: []Arg{Int, Size, Ptr}},
	{Nr: unix.SYS_SCHED_GETSCHEDULER, Name: "sched_getscheduler", Func: SchedGetscheduler, Args: []Arg{Int}},
	{Nr: unix.SYS_SCHED_SETSCHEDULER, Name: "sched_setscheduler", Func: SchedSetscheduler, Args: []Arg{Int, Int, Ptr}, Level: Partial, Note: "kept and told back; the host schedules"},
	{Nr: unix.SYS_SCHED_GETPARAM, Name: "sched_getparam", Func: SchedGetparam, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_SCHED_SETPARAM, Name: "sched_setparam", Func: SchedSetparam, Args: []Arg{Int, Ptr}, Level: Partial, Note: "kept and told back; the host schedules"},
	{Nr: unix.SYS_SCHED_SETATTR, Name: "sched_setattr", Func: SchedSetattr, Args: []Arg{Int, Ptr, Hex}, Level: Partial, Note: "kept and told back; the host schedules; EPERM for SCHED_DEADLINE"},
	{Nr: unix.SYS_SCHED_GETATTR, Name: "sched_getattr", Func: SchedGetattr, Args: []Arg{Int, Ptr, Size, Hex}},
	{Nr: unix.SYS_SCHED_GET_PRIORITY_MAX, Name: "sched_get_priority_max", Func: SchedPriorityMax, Args: []Arg{Int}},
	{Nr: unix.SYS_SCHED_GET_PRIORITY_MIN, Name: "sched_get_priority_min", Func: SchedPriorityMin, Args: []Arg{Int}},
	{Nr: unix.SYS_SCHED_RR_GET_INTERVAL, Name: "sched_rr_get_interval", Func: SchedRRGetInterval, Args: []Arg{Int, Ptr}},
	{Nr: unix.SYS_GETPRIORITY, Name: "getpriority", Func: Getpriority, Args: []Arg{Int, Int}},
	{Nr: unix.SYS_SETPRIORITY, Name: "setpriority", Func: Setpriority, Args: []Arg{Int, Int, Int}, Level: Partial, Note: "kept and told back; the host schedules"},
	{Nr: unix.SYS_IOPRIO_GET, Name: "ioprio_get", Func: IoprioGet, Args: []Arg{Int, Int}},
	{Nr: unix.SYS_IOPRIO_SET, Name: "ioprio_set", Func: IoprioSet, Args: []Arg{Int, Int, Int}, Level: Partial, Note: "kept and told back"},
	{Nr: unix.SYS_GETCPU, Name: "getcpu", Func: Getcpu, Args: []Arg{Ptr, Ptr}},
}

// Scheduling policies (sched(7)).
const (
	schedOther, schedFIFO, schedRR, schedBatch, schedIdle, schedDeadline = 0, 1, 2, 3, 5, 6
)

// SchedYield is sched_yield(2).
func SchedYield(*task, arguments) (uintptr, error) {
	runtime.Gosched()
	return 0, nil
}

// taskOf returns the task called tid, 0 for t; ESRCH.
func taskOf(t *task, tid int32) (*task, error) {
	if tid == 0 {
		return t, nil
	}
	if tid < 0 {
		return nil, unix.EINVAL
	}
	return taskByID(t, tid)
}

// taskByID is taskOf for the calls that take a negative number for one that no
// task has.
func taskByID(t *task, tid int32) (*task, error) {
	if tid == 0 {
		return t, nil
	}
	if o := t.PIDNS().TaskWithID(tid); o != nil {
		return o, nil
	}
	return nil, unix.ESRCH
}

// maySchedule reports whether t may change o's scheduling.
func maySchedule(t, o *task) bool {
	c, d := t.Creds(), o.Creds()
	return c.EUID == d.EUID || c.EUID == d.RUID || c.HasCapIn(unix.CAP_SYS_NICE, d.UserNS)
}

// SchedSetaffinity is sched_setaffinity(2).
func SchedSetaffinity(t *task, a arguments) (uintptr, error) {
	o, err := taskByID(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	var mask uint64
	n := min(a[1].Size(), 8)
	if _, err := t.MM().CopyIn(addr(a[2].Pointer()), usermem.BytesOf(&mask)[:n]); err != nil {
		return 0, err
	}
	if !maySchedule(t, o) {
		return 0, unix.EPERM
	}
	if !o.SetAffinity(mask) {
		return 0, unix.EINVAL
	}
	return 0, nil
}

// SchedGetaffinity is sched_getaffinity(2); the kernel's call returns the size written.
func SchedGetaffinity(t *task, a arguments) (uintptr, error) {
	n := a[1].Size()
	if n*8 < uint64(t.Kernel().CPUs()) || n%8 != 0 {
		return 0, unix.EINVAL
	}
	o, err := taskByID(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	mask := o.Affinity()
	return 8, usermem.CopyOutVal(t.MM(), addr(a[2].Pointer()), &mask)
}

// SchedGetscheduler is sched_getscheduler(2).
func SchedGetscheduler(t *task, a arguments) (uintptr, error) {
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	policy, _ := o.Sched()
	if o.ResetOnFork() {
		policy |= schedResetOnFork
	}
	return uintptr(policy), nil
}

// validSched checks a policy and its priority.
func validSched(policy, priority int32) bool {
	switch policy {
	case schedOther, schedBatch, schedIdle:
		return priority == 0
	case schedFIFO, schedRR:
		return priority >= 1 && priority <= 99
	}
	return false
}

// SchedSetscheduler is sched_setscheduler(2).
func SchedSetscheduler(t *task, a arguments) (uintptr, error) {
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	prio, err := usermem.CopyInVal[int32](t.MM(), addr(a[2].Pointer()))
	if err != nil {
		return 0, err
	}
	policy := a[1].Int()
	return 0, setSched(t, o, policy&^schedResetOnFork, prio, policy&schedResetOnFork != 0)
}

// schedResetOnFork is SCHED_RESET_ON_FORK, a flag of sched_setscheduler(2)'s policy.
const schedResetOnFork = 0x40000000

func setSched(t, o *task, policy, prio int32, reset bool) error {
	if policy == schedDeadline {
		return unix.EPERM // the host's processors are not the sandbox's to reserve
	}
	if !validSched(policy, prio) {
		return unix.EINVAL
	}
	realtime := policy == schedFIFO || policy == schedRR
	if !maySchedule(t, o) || realtime && uint64(prio) > t.Limits().Get(unix.RLIMIT_RTPRIO).Cur && !t.Creds().HasRootCap(unix.CAP_SYS_NICE) {
		return unix.EPERM
	}
	if o.ResetOnFork() && !reset && !t.Creds().HasRootCap(unix.CAP_SYS_NICE) {
		return unix.EPERM
	}
	o.SetSched(policy, prio, reset)
	return nil
}

// SchedGetparam is sched_getparam(2).
func SchedGetparam(t *task, a arguments) (uintptr, error) {
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	_, prio := o.Sched()
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &prio)
}

// SchedSetparam is sched_setparam(2).
func SchedSetparam(t *task, a arguments) (uintptr, error) {
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	prio, err := usermem.CopyInVal[int32](t.MM(), addr(a[1].Pointer()))
	if err != nil {
		return 0, err
	}
	policy, _ := o.Sched()
	return 0, setSched(t, o, policy, prio, o.ResetOnFork())
}

// SchedGetattr is sched_getattr(2).
func SchedGetattr(t *task, a arguments) (uintptr, error) {
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	n := a[2].Size()
	if n < schedAttrSize || n > usermem.PageSize || a[3] != 0 {
		return 0, unix.EINVAL
	}
	policy, prio := o.Sched()
	attr := unix.SchedAttr{Size: schedAttrSize, Policy: uint32(policy), Nice: o.Nice(), Priority: uint32(prio)}
	if o.ResetOnFork() {
		attr.Flags = unix.SCHED_FLAG_RESET_ON_FORK
	}
	_, err = t.MM().CopyOut(addr(a[1].Pointer()), usermem.BytesOf(&attr)[:schedAttrSize])
	return 0, err
}

// schedAttrSize is the size of struct sched_attr without utilization clamps, which
// need CONFIG_UCLAMP_TASK (SCHED_ATTR_SIZE_VER0).
const schedAttrSize = 48

// SchedSetattr is sched_setattr(2).
func SchedSetattr(t *task, a arguments) (uintptr, error) {
	p := addr(a[1].Pointer())
	if p == 0 || a[2].Uint() != 0 || a[0].Int() < 0 {
		return 0, unix.EINVAL
	}
	attr, err := copyInSchedAttr(t, p)
	if err != nil {
		return 0, err
	}
	const keepPolicy, keepParams, known = 8, 16, 0x7f
	clamps := uint64(0x60)
	switch {
	case int32(attr.Policy) < 0, attr.Flags&^known != 0:
		return 0, unix.EINVAL
	case attr.Flags&clamps != 0:
		return 0, unix.EOPNOTSUPP
	}
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	policy, prio := o.Sched()
	nice := o.Nice()
	if attr.Flags&keepParams == 0 { // Linux keeps the policy too
		if attr.Flags&keepPolicy == 0 {
			policy = int32(attr.Policy)
		}
		prio, nice = int32(attr.Priority), min(max(attr.Nice, -20), 19)
	}
	if policy == schedFIFO || policy == schedRR {
		nice = o.Nice() // means nothing to them
	}
	if !mayNice(t, o, nice) {
		return 0, unix.EPERM
	}
	if err := setSched(t, o, policy, prio, attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0); err != nil {
		return 0, err
	}
	o.SetNice(nice)
	return 0, nil
}

// copyInSchedAttr reads a struct sched_attr of the size it tells: E2BIG, with the
// size there is, if what is not known here is not zero.
func copyInSchedAttr(t *task, p addr) (attr unix.SchedAttr, err error) {
	size, err := usermem.CopyInVal[uint32](t.MM(), p)
	if err != nil {
		return attr, err
	}
	if size == 0 {
		size = schedAttrSize
	}
	var b [usermem.PageSize]byte
	tooBig := size < schedAttrSize || size > usermem.PageSize
	if !tooBig {
		if err := usermem.CopyInSlice(t.MM(), p, b[:size]); err != nil {
			return attr, err
		}
		known := int(unsafe.Sizeof(attr))
		for _, c := range b[min(int(size), known):size] {
			tooBig = tooBig || c != 0
		}
		copy(usermem.BytesOf(&attr), b[:size])
	}
	if tooBig {
		known := uint32(unsafe.Sizeof(attr))
		_ = usermem.CopyOutVal(t.MM(), p, &known) // E2BIG says enough
		return attr, unix.E2BIG
	}
	return attr, nil
}

// mayNice reports whether t may give o a nice value (setpriority(2)).
func mayNice(t, o *task, nice int32) bool {
	return nice >= o.Nice() || t.Creds().HasRootCap(unix.CAP_SYS_NICE) || uint64(20-nice) <= o.Limits().Get(unix.RLIMIT_NICE).Cur
}

// SchedPriorityMax is sched_get_priority_max(2).
func SchedPriorityMax(_ *task, a arguments) (uintptr, error) { return priorityBound(a[0].Int(), 99) }

// SchedPriorityMin is sched_get_priority_min(2).
func SchedPriorityMin(_ *task, a arguments) (uintptr, error) { return priorityBound(a[0].Int(), 1) }

func priorityBound(policy int32, realtime uintptr) (uintptr, error) {
	switch policy {
	case schedFIFO, schedRR:
		return realtime, nil
	case schedOther, schedBatch, schedIdle, schedDeadline:
		return 0, nil
	}
	return 0, unix.EINVAL
}

// SchedRRGetInterval is sched_rr_get_interval(2).
func SchedRRGetInterval(t *task, a arguments) (uintptr, error) {
	o, err := taskOf(t, a[0].Int())
	if err != nil {
		return 0, err
	}
	ts := unix.Timespec{Nsec: 4000000}
	if policy, _ := o.Sched(); policy == schedRR {
		ts.Nsec = 100000000
	} else if policy == schedFIFO {
		ts.Nsec = 0
	}
	return 0, usermem.CopyOutVal(t.MM(), addr(a[1].Pointer()), &ts)
}

// tasksOf returns the tasks that which and who name (getpriority(2)).
func tasksOf(t *task, which, who int32) (list []*task, err error) {
	switch which {
	case unix.PRIO_PROCESS:
		o, err := taskOf(t, who)
		return []*task{o}, err
	case unix.PRIO_PGRP:
		pg := t.ThreadGroup().ProcessGroup()
		if who != 0 {
			pg = t.PIDNS().ProcessGroupWithID(who)
		}
		for _, o := range t.PIDNS().Tasks() {
			if pg != nil && o.ThreadGroup().ProcessGroup() == pg {
				list = append(list, o)
			}
		}
	case unix.PRIO_USER:
		c := t.Creds()
		uid := c.RUID
		if who != 0 {
			id, ok := c.UserNS.KUID(uint32(who))
			if !ok {
				return nil, unix.ESRCH
			}
			uid = id
		}
		for _, o := range t.PIDNS().Tasks() {
			if o.Creds().RUID == uid {
				list = append(list, o)
			}
		}
	default:
		return nil, unix.EINVAL
	}
	if len(list) == 0 {
		return nil, unix.ESRCH
	}
	return list, nil
}

// Getpriority is getpriority(2): the kernel's call returns 20 - nice.
func Getpriority(t *task, a arguments) (uintptr, error) {
	list, err := tasksOf(t, a[0].Int(), a[1].Int())
	if err != nil {
		return 0, err
	}
	best := int32(19)
	for _, o := range list {
		best = min(best, o.Nice())
	}
	return uintptr(20 - best), nil
}

// Setpriority is setpriority(2).
func Setpriority(t *task, a arguments) (uintptr, error) {
	list, err := tasksOf(t, a[0].Int(), a[1].Int())
	if err != nil {
		return 0, err
	}
	n := min(max(a[2].Int(), -20), 19)
	for _, o := range list {
		if !maySchedule(t, o) {
			return 0, unix.EPERM
		}
		if !mayNice(t, o, n) {
			return 0, unix.EACCES
		}
		o.SetNice(n)
	}
	return 0, nil
}

// IoprioGet is ioprio_get(2).
func IoprioGet(t *task, a arguments) (uintptr, error) {
	list, err := tasksOf(t, a[0].Int()-1, a[1].Int())
	if err != nil {
		return 0, err
	}
	return uintptr(list[0].IOPrio()), nil
}

// IoprioSet is ioprio_set(2).
func IoprioSet(t *task, a arguments) (uintptr, error) {
	class, data := a[2].Int()>>13, a[2].Int()&0x1fff
	if class < 0 || class > 3 || data > 7 || class == 0 && data != 0 {
		return 0, unix.EINVAL
	}
	list, err := tasksOf(t, a[0].Int()-1, a[1].Int())
	if err != nil {
		return 0, err
	}
	for _, o := range list {
		if !maySchedule(t, o) {
			return 0, unix.EPERM
		}
		o.SetIOPrio(a[2].Int())
	}
	return 0, nil
}

// Getcpu is getcpu(2): of the processors a task may use one is as good as
// another, so it is told the first.
func Getcpu(t *task, a arguments) (uintptr, error) {
	cpu := uint32(bits.TrailingZeros64(t.Affinity()))
	node := uint32(0)
	if p := addr(a[0].Pointer()); p != 0 {
		if err := usermem.CopyOutVal(t.MM(), p, &cpu); err != nil {
			return 0, err
		}
	}
	if p := addr(a[1].Pointer()); p != 0 {
		return 0, usermem.CopyOutVal(t.MM(), p, &node)
	}
	return 0, nil
}
