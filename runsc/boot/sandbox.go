package boot

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/platform/ptrace"
	"ringfort/platform/systrap"
	"ringfort/runsc/control"
	"ringfort/sentry/fs/memdev"
	"ringfort/sentry/fs/pidfd"
	"ringfort/sentry/fs/pipe"
	"ringfort/sentry/kernel"
	"ringfort/sentry/loader"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
	"ringfort/syscalls"
)

// sandbox is the kernel and the containers in it. It implements control.Sandbox.
//
// mu protects the map; it is a leaf.
type sandbox struct {
	conf    *Config
	k       *kernel.Kernel
	log     *slog.Logger
	volumes volumes
	// forwarded counts forwarded connections.
	forwarded atomic.Int32

	mu         sync.Mutex
	containers map[string]*container
	net        *netns.Namespace
}

// memoryFile is made before the process leaves /proc behind, through which a
// read-only descriptor of it is opened.
var memoryFile *pgalloc.File

// openMemory makes the memory file.
func openMemory() (err error) {
	memoryFile, err = pgalloc.New()
	return err
}

// NewSandbox builds the kernel of a sandbox. It is a NewSandboxFunc.
func NewSandbox(conf *Config) (control.Sandbox, error) {
	p, err := newPlatform(conf)
	if err != nil {
		return nil, err
	}
	log := slog.Default()
	var trace kernel.Tracer
	if conf.Strace {
		trace = newStrace(log)
	}
	total := uint64(conf.HostMemory)
	if total == 0 && conf.MemoryLimit > 0 { // each container's own limit is the container's
		total = uint64(conf.MemoryLimit)
	}
	ncpu := conf.NumCPU
	if ncpu <= 0 {
		ncpu = runtime.NumCPU()
	}
	k, err := kernel.New(kernel.Config{
		Platform: p, Memory: memoryFile, Loader: newLoader(), Log: log, Syscalls: syscalls.Funcs(), Names: syscalls.Name,
		Trace: trace, CPUs: ncpu, Hostname: "localhost", MemoryTotal: total, TSC: trustsTSC(conf),
		UIDMap: conf.UIDMap, GIDMap: conf.GIDMap,
	})
	if err != nil {
		return nil, err
	}
	k.NewPIDFD = pidfd.New
	vfs.OpenFIFO = pipe.OpenFIFO
	memdev.Register()
	registerFileSystems(k)
	// Tasks spend their lives in waiting for stubs: in blocking host calls on ptrace, and
	// with a processor in their hands on systrap. A few more let the others go on at once.
	runtime.GOMAXPROCS(max(4, 2*runtime.NumCPU()))
	return &sandbox{conf: conf, k: k, log: log, containers: map[string]*container{}}, nil
}

// newPlatform starts the platform that conf names and notes which it is.
func newPlatform(conf *Config) (platform.Platform, error) {
	switch conf.Platform {
	case "ptrace":
		return ptrace.New()
	case "systrap":
		return systrap.New()
	case "auto":
		p, err := systrap.New()
		if err == nil {
			conf.Platform = "systrap"
			return p, nil
		}
		slog.Warn("applications run on the slower ptrace platform", "reason", err)
		conf.Platform = "ptrace"
		return ptrace.New()
	}
	return nil, fmt.Errorf("platform %q is not available in this build: use auto, systrap or ptrace", conf.Platform)
}

// newLoader reads what the auxiliary vector says of the machine from our own.
func newLoader() *loader.Loader {
	l := &loader.Loader{MinSigStack: 2048}
	const hwcap, hwcap2, minSigStack = 16, 26, 51
	auxv, err := runtimeAuxv()
	if err != nil {
		return l // programs then ask the processor itself
	}
	l.HWCap, l.HWCap2 = auxv[hwcap], auxv[hwcap2]&^2 // bit 1: FSGSBASE, which the platform may not offer
	if v := auxv[minSigStack]; v != 0 {
		l.MinSigStack = v
	}
	return l
}

// find returns a container by ID.
func (s *sandbox) find(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[id]
	if c == nil {
		return nil, &control.Error{Text: fmt.Sprintf("container %q does not exist in the sandbox", id), Kind: control.KindNotFound}
	}
	return c, nil
}

// Create implements control.Sandbox.
func (s *sandbox) Create(a *control.CreateArgs) error {
	s.mu.Lock()
	_, exists := s.containers[a.ID]
	s.mu.Unlock()
	if exists {
		return &control.Error{Text: fmt.Sprintf("container %q exists already", a.ID)}
	}
	if a.ID == s.conf.ID {
		s.k.LimitTasks(a.MaxTasks)
	}
	c, err := newContainer(s, a)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.containers[a.ID] = c
	s.mu.Unlock()
	return nil
}

// Start implements control.Sandbox.
func (s *sandbox) Start(id string) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	return c.start()
}

// Exec implements control.Sandbox.
func (s *sandbox) Exec(a *control.ExecArgs) (int32, error) {
	c, err := s.find(a.ID)
	if err != nil {
		return 0, err
	}
	return c.exec(a)
}

// Wait implements control.Sandbox.
func (s *sandbox) Wait(id string, pid int32) (control.WaitStatus, error) {
	tg, err := s.process(id, pid)
	if err != nil {
		return 0, err
	}
	<-tg.Done()
	if c, err := s.find(id); err == nil {
		if con := c.consoleOf(tg); con != nil {
			con.Drain(drainTime)
		}
	}
	status := control.WaitStatus(tg.Status().Word())
	s.k.Reap(tg)
	return status, nil
}

// process returns a process of a container; pid 0 is its first one.
func (s *sandbox) process(id string, pid int32) (*kernel.ThreadGroup, error) {
	c, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if pid == 0 {
		return c.init, nil
	}
	c.mu.Lock()
	tg := c.execs[pid]
	c.mu.Unlock()
	if tg == nil {
		tg = c.pidns.ThreadGroupWithID(pid)
	}
	if tg == nil || tg.Container() != c.kc {
		return nil, &control.Error{Text: fmt.Sprintf("container %q has no process %d", id, pid), Kind: control.KindNotFound}
	}
	return tg, nil
}

// Signal implements control.Sandbox.
func (s *sandbox) Signal(id string, pid, sig int32, mode control.SignalMode) error {
	if sig < 0 || sig > kernel.SignalMax {
		return fmt.Errorf("signal %d does not exist", sig)
	}
	c, err := s.find(id)
	if err != nil {
		return err
	}
	tg, err := s.process(id, pid)
	if err != nil {
		return err
	}
	if c, err := s.find(id); err == nil {
		c.doubt()
	}
	// As Linux shows a signal from outside the PID namespace: from process 0.
	info := &kernel.SignalInfo{Signo: sig, Code: kernel.SIUser}
	switch mode {
	case control.SignalAll:
		c.kc.Signal(sig)
		return nil
	case control.SignalGroup:
		if pg := tg.ProcessGroup(); pg != nil {
			s.k.SignalGroup(pg, info)
			return nil
		}
	}
	if tg.Zombie() {
		return &control.Error{Text: "process has already finished", Kind: control.KindNotRunning}
	}
	tg.SendSignal(info)
	return nil
}

// Pause implements control.Sandbox.
func (s *sandbox) Pause(id string) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	c.kc.Pause()
	return nil
}

// Resume implements control.Sandbox.
func (s *sandbox) Resume(id string) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	c.kc.Resume()
	return nil
}

// Destroy implements control.Sandbox.
func (s *sandbox) Destroy(id string) error {
	c, err := s.find(id)
	if err != nil {
		return nil // done before
	}
	c.kc.Resume()
	c.kc.Signal(int32(unix.SIGKILL))
	c.release()
	s.mu.Lock()
	delete(s.containers, id)
	net := s.net
	last := len(s.containers) == 0
	s.mu.Unlock()
	if last && net != nil {
		// What was written before the end is still on its way.
		net.Stack.Drain(drainNetwork)
	}
	return nil
}

// drainNetwork is how long the end of a sandbox waits for closed connections.
const drainNetwork = 500 * time.Millisecond

// pidsLimit returns the limit on processes of a spec, 0 for none.
func pidsLimit(s *specs.Spec) int64 {
	if s.Linux == nil || s.Linux.Resources == nil || s.Linux.Resources.Pids == nil || s.Linux.Resources.Pids.Limit == nil {
		return 0
	}
	return *s.Linux.Resources.Pids.Limit
}
