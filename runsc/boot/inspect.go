package boot

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/sentry/kernel"
)

// Processes implements control.Sandbox.
func (s *sandbox) Processes(id string) ([]control.Process, error) {
	c, err := s.find(id)
	if err != nil {
		return nil, err
	}
	var list []control.Process
	for _, tg := range c.kc.ThreadGroups() {
		list = append(list, s.describe(c.pidns, tg))
	}
	return list, nil
}

// describe tells what ps shows of a process.
func (s *sandbox) describe(ns *kernel.PIDNamespace, tg *kernel.ThreadGroup) control.Process {
	t := tg.Leader()
	cr := t.Creds()
	u := tg.Usage()
	p := control.Process{
		PID: ns.IDOfThreadGroup(tg), PPID: ns.IDOfThreadGroup(tg.Parent()), PGID: ns.IDOfProcessGroup(tg.ProcessGroup()),
		SID: ns.IDOfSession(tg.Session()), UID: s.k.InitUserNS().UID(cr.EUID), GID: s.k.InitUserNS().GID(cr.EGID), Threads: len(tg.Tasks()), TTY: "?",
		State: string(rune(t.State())), CPUNanos: u.User + u.Sys, Comm: t.Name(),
		StartUnix: (s.k.BootTime() + tg.StartTime() - (s.k.Monotonic() - s.k.Uptime())) / int64(time.Second),
	}
	if age := s.k.Monotonic() - tg.StartTime(); age > 0 {
		p.CPUShare = 100 * float64(p.CPUNanos) / float64(age)
	}
	if m := t.MM(); m != nil {
		p.HostPID = m.HostPID()
		p.RSS = m.Usage().RSS
	}
	p.Command = strings.TrimRight(string(bytes.ReplaceAll(t.Cmdline(4096), []byte{0}, []byte{' '})), " ")
	if p.Command == "" {
		p.Command = "[" + p.Comm + "]"
	}
	return p
}

// Stats implements control.Sandbox.
func (s *sandbox) Stats(id string) (*control.Stats, error) {
	c, err := s.find(id)
	if err != nil {
		return nil, err
	}
	st := &control.Stats{MemoryBytes: c.kc.MemoryUsed(), MemoryLimit: c.kc.MemoryTotal(), PIDsLimit: uint64(s.k.MaxTasks())}
	if n := c.kc.TaskCount().Limit(); n > 0 {
		st.PIDsLimit = uint64(n)
	}
	for _, tg := range c.kc.ThreadGroups() {
		u := tg.Usage()
		st.UserNanos += uint64(u.User)
		st.SystemNanos += uint64(u.Sys)
		st.PIDs += uint64(len(tg.Tasks()))
		for _, t := range tg.Tasks() {
			r, w, _, _ := t.IOCounts()
			st.ReadBytes += uint64(r)
			st.WriteBytes += uint64(w)
		}
	}
	dead := c.init.ChildUsage()
	st.UserNanos += uint64(dead.User)
	st.SystemNanos += uint64(dead.Sys)
	st.CPUNanos = st.UserNanos + st.SystemNanos
	st.Unimplemented = s.k.Missing()
	for _, l := range c.net.Stack.Interfaces() {
		if l.Type != unix.ARPHRD_LOOPBACK {
			st.NetworkLinks = append(st.NetworkLinks, control.NetIO{
				Name: l.Name, RxBytes: l.Stats.RxBytes, RxPackets: l.Stats.RxPackets, RxErrors: l.Stats.RxErrors, RxDropped: l.Stats.RxDropped,
				TxBytes: l.Stats.TxBytes, TxPackets: l.Stats.TxPackets, TxErrors: l.Stats.TxErrors, TxDropped: l.Stats.TxDropped,
			})
		}
	}
	return st, nil
}

// Stacks implements control.Sandbox.
func (s *sandbox) Stacks() []byte {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= 64<<20 {
			return buf[:n]
		}
		buf = make([]byte, 2*len(buf))
	}
}

// Profile implements control.Sandbox.
func (s *sandbox) Profile(kind string, seconds int, w io.Writer) error {
	d := time.Duration(seconds) * time.Second
	switch kind {
	case "cpu":
		if err := pprof.StartCPUProfile(w); err != nil {
			return fmt.Errorf("CPU profile: %w", err)
		}
		time.Sleep(d)
		pprof.StopCPUProfile()
		return nil
	case "heap":
		runtime.GC()
		return pprof.Lookup("heap").WriteTo(w, 0)
	case "block":
		runtime.SetBlockProfileRate(1)
		time.Sleep(d)
		defer runtime.SetBlockProfileRate(0)
		return pprof.Lookup("block").WriteTo(w, 0)
	case "mutex":
		was := runtime.SetMutexProfileFraction(1)
		time.Sleep(d)
		defer runtime.SetMutexProfileFraction(was)
		return pprof.Lookup("mutex").WriteTo(w, 0)
	case "trace":
		if err := trace.Start(w); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		time.Sleep(d)
		trace.Stop()
		return nil
	}
	return fmt.Errorf("no profile %q: use cpu, heap, block, mutex or trace", kind)
}

// levels are the names that messages in the log have.
var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// Tune implements control.Tuner.
func (s *sandbox) Tune(t *control.Tuning) error {
	level, ok := levels[t.Level]
	if t.Level != "" && !ok {
		return fmt.Errorf("no log level %q: use debug, info, warn or error", t.Level)
	}
	switch t.Strace {
	case "":
	case "on":
		s.k.SetTracer(newStrace(s.log))
	case "off":
		s.k.SetTracer(nil)
	default:
		return fmt.Errorf("strace %q: use on or off", t.Strace)
	}
	if t.Level != "" {
		logLevel.Set(level)
	}
	return nil
}

var _ control.Tuner = (*sandbox)(nil)
