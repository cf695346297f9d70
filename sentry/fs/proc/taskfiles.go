package proc

import (
	"fmt"
	"strings"

	"ringfort/sentry/kernel"
	"ringfort/sentry/limits"
	"ringfort/sentry/mm"
	"ringfort/sentry/vfs"
)

// limitRows are the rows of /proc/PID/limits in Linux's order, by RLIMIT_*.
var limitRows = [limits.Count]struct{ name, unit string }{
	{"Max cpu time", "seconds"}, {"Max file size", "bytes"}, {"Max data size", "bytes"}, {"Max stack size", "bytes"},
	{"Max core file size", "bytes"}, {"Max resident set", "bytes"}, {"Max processes", "processes"}, {"Max open files", "files"},
	{"Max locked memory", "bytes"}, {"Max address space", "bytes"}, {"Max file locks", "locks"}, {"Max pending signals", "signals"},
	{"Max msgqueue size", "bytes"}, {"Max nice priority", ""}, {"Max realtime priority", ""}, {"Max realtime timeout", "us"},
}

func limitString(n uint64) string {
	if n == limits.Infinity {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func (o dirOf) limits(vfs.Caller) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units")
	set := o.t.ThreadGroup().Limits()
	for i, r := range limitRows {
		l := set.Get(i)
		fmt.Fprintf(&b, "%-25s %-20s %-20s %-10s\n", r.name, limitString(l.Cur), limitString(l.Max), r.unit)
	}
	return b.String(), nil
}

func (o dirOf) io(vfs.Caller) (string, error) {
	var rchar, wchar, syscr, syscw int64
	tasks := []*kernel.Task{o.t}
	if o.process {
		tasks = o.t.ThreadGroup().Tasks()
	}
	for _, t := range tasks {
		r, w, cr, cw := t.IOCounts()
		rchar, wchar, syscr, syscw = rchar+r, wchar+w, syscr+cr, syscw+cw
	}
	return fmt.Sprintf("rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
		rchar, wchar, syscr, syscw), nil
}

// oomScore is the share of memory in thousandths, shifted by the adjustment.
func (o dirOf) oomScore(vfs.Caller) (string, error) {
	var rss uint64
	withMM(o.t, func(m *mm.MemoryManager) { rss = m.Usage().RSS })
	score := int64(0)
	if total := o.k.MemoryTotal(); total > 0 {
		score = int64(rss * 1000 / total)
	}
	score = min(max(score+int64(o.t.ThreadGroup().OOMScoreAdj()), 0), 2000)
	return itoa(score) + "\n", nil
}

func (o dirOf) personality(vfs.Caller) (string, error) {
	return fmt.Sprintf("%08x\n", o.t.Personality()), nil
}

func (o dirOf) schedstat(vfs.Caller) (string, error) {
	u := o.t.Usage()
	return fmt.Sprintf("%d 0 %d\n", u.User+u.Sys, u.VolSwitch+u.InvSwit), nil
}

// syscall says only whether the task runs: registers of another task are its own to read.
func (o dirOf) syscall(c vfs.Caller) (string, error) {
	if o.t.State() == kernel.StateRunning {
		return "running\n", nil
	}
	return "-1 0x0 0x0\n", nil
}

// children is /proc/PID/task/TID/children.
func (o dirOf) children(vfs.Caller) (string, error) {
	var b strings.Builder
	for _, tg := range o.t.Children() {
		if id := o.ns.IDOfThreadGroup(tg); id > 0 {
			fmt.Fprintf(&b, "%d ", id)
		}
	}
	return b.String(), nil
}
