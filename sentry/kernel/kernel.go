package kernel

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"ringfort/platform"
	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/mqueue"
	"ringfort/sentry/ipc"
	"ringfort/sentry/ktime"
	"ringfort/sentry/mm"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/vfs"
)

// SyscallFunc implements a system call. Errors are unix.Errno. The arguments are true until it returns.
type SyscallFunc func(t *Task, args *arch.SyscallArguments) (uintptr, error)

// Kernel is one sandbox's kernel.
type Kernel struct {
	platform platform.Platform
	memory   *pgalloc.File
	loader   Loader
	log      *slog.Logger

	// Syscalls is the system call table, indexed by number; nil entries are
	// not implemented. It must not change once a task runs.
	syscalls [maxSyscall]SyscallFunc
	names    func(nr uintptr) string
	trace    atomic.Pointer[Tracer]  // nil: no strace
	missing  [maxSyscall]atomic.Bool // logged already

	rootUserNS *auth.UserNamespace
	initUserNS *auth.UserNamespace // of containers; its maps never change
	rootPIDNS  *PIDNamespace
	rootUTSNS  *UTSNamespace
	rootIPCNS  *IPCNamespace
	rootCgroup *CgroupNamespace
	ipcBudget  *ipc.Budget
	mqAccounts *mqueue.Accounts

	vdso       *vdsoPages
	nameTables nameTables
	clock      *ktime.Source
	realtime   *ktime.Clock
	monotonic  *ktime.Clock
	bootTime   int64 // realtime when the sandbox started
	startMono  int64
	cpus       int
	memTotal   uint64

	tree    sync.RWMutex
	futexes futexTable

	tasks   sync.WaitGroup // running task goroutines
	ready   atomic.Int32   // tasks whose goroutines could run but do not yet
	live    atomic.Int32
	maxTask int32

	// NewPIDFD makes a pidfd of a process in a task's descriptor table; set at
	// boot by the file system that implements it.
	NewPIDFD func(t *Task, tg *ThreadGroup, flags uint32) (int32, error)

	containers atomic.Int32 // not yet released
	forks      atomic.Uint64
	inodes     atomic.Uint64
}

// maxTasks bounds the tasks of a sandbox: each holds an OS thread of the Sentry,
// and the Go runtime ends a process of more than 10,000 threads
// (runtime/debug.SetMaxThreads). Applications get EAGAIN first.
const maxTasks = 4000

// maxSyscall bounds the system call numbers of x86-64 and leaves room.
const maxSyscall = 512

// Loader loads a program into a fresh address space (package loader).
type Loader interface {
	// Load opens and maps what args name. On success the new address space and
	// registers are the program's; the caller frees the address space otherwise.
	Load(t *Task, args *LoadArgs) (*Image, error)
}

// LoadArgs say what execve(2) is to run.
type LoadArgs struct {
	Path string // as given, for AT_EXECFN and scripts
	File *vfs.Description
	Argv []string
	Envv []string
	// CloseOnExec is set if File came by a close-on-exec descriptor, which a
	// script's interpreter could not open.
	CloseOnExec bool
}

// Image is a loaded program.
type Image struct {
	MM    *mm.MemoryManager
	Entry uintptr
	Stack uintptr
	// File is the executable itself (of a script, the interpreter), with a
	// reference; Name is the basename of what was asked for, for comm.
	File *vfs.Description
	Name string
	// SetUID and SetGID are the owner's IDs if the file has those bits.
	Creds *auth.Credentials
	// Secure is AT_SECURE.
	Secure bool
}

// Tracer is told about system calls (--strace). Implementations are quick.
type Tracer interface {
	Enter(t *Task, nr uintptr, args *arch.SyscallArguments)
	Exit(t *Task, nr uintptr, args *arch.SyscallArguments, ret uintptr, err error)
}

// Config is what New needs.
type Config struct {
	Platform platform.Platform
	Memory   *pgalloc.File
	Loader   Loader
	Log      *slog.Logger
	Syscalls map[uintptr]SyscallFunc
	Names    func(nr uintptr) string
	Trace    Tracer // nil: no strace
	CPUs     int
	// TSC says that the host's own clock is the processor's time stamp counter,
	// so that it can be ours too.
	TSC bool
	// MemoryTotal is what applications see as the machine's memory, in bytes.
	MemoryTotal uint64
	Hostname    string
	Domain      string
	// UIDMap and GIDMap are those of the user namespace that containers live in;
	// without them it is the root one.
	UIDMap, GIDMap []auth.Extent
	// MaxTasks bounds the number of tasks (kernel.threads-max); 0, or more than
	// the Sentry can hold, is the most it can.
	MaxTasks int32
}

// New returns a kernel without tasks.
func New(c Config) (*Kernel, error) {
	k := &Kernel{
		platform: c.Platform, memory: c.Memory, loader: c.Loader, log: c.Log, names: c.Names,
		cpus: max(c.CPUs, 1), maxTask: c.MaxTasks, memTotal: c.MemoryTotal,
	}
	if c.Trace != nil {
		k.trace.Store(&c.Trace)
	}
	var err error
	if k.vdso, err = newVDSOPages(c.Memory); err != nil {
		return nil, fmt.Errorf("memory for the vDSO: %w", err)
	}
	k.clock = ktime.NewSource(k.vdso.params(), c.TSC)
	k.realtime, k.monotonic = k.clock.Realtime(), k.clock.Monotonic()
	if p, ok := c.Platform.(platform.Clock); ok {
		if err := p.MapClock(c.Memory.Host(), k.ClockPage().Start); err != nil {
			return nil, fmt.Errorf("clock page of the platform: %w", err)
		}
	}
	k.prepareNames()
	if k.maxTask <= 0 || k.maxTask > maxTasks {
		k.maxTask = maxTasks
	}
	for nr, f := range c.Syscalls {
		if nr >= maxSyscall {
			return nil, fmt.Errorf("system call number %d is out of range", nr)
		}
		k.syscalls[nr] = f
	}
	k.bootTime, k.startMono = k.realtime.Now(), k.monotonic.Now()
	k.rootUserNS = auth.NewRootUserNS()
	k.initUserNS = k.rootUserNS
	if c.UIDMap != nil || c.GIDMap != nil {
		k.initUserNS, _ = k.rootUserNS.NewChild(0, 0)
		k.initUserNS.SetUIDMap(c.UIDMap)
		k.initUserNS.SetGIDMap(c.GIDMap)
	}
	k.rootPIDNS = newPIDNamespace(nil, k.initUserNS)
	k.rootUTSNS = &UTSNamespace{userNS: k.initUserNS, host: c.Hostname, domain: c.Domain, inode: k.nsInode()}
	if c.Domain == "" {
		k.rootUTSNS.domain = "(none)"
	}
	k.ipcBudget, k.mqAccounts = ipc.NewBudget(ipcBudget), mqueue.NewAccounts()
	k.rootIPCNS = newIPCNamespace(k, k.initUserNS)
	k.rootCgroup = &CgroupNamespace{userNS: k.initUserNS, inode: rootCgroupNSInode}
	k.futexes.init()
	return k, nil
}

// nsInode returns a fresh inode number for a namespace file.
func (k *Kernel) nsInode() uint64 { return 0xF0000000 + k.inodes.Add(1) }

// Platform returns what runs application code.
func (k *Kernel) Platform() platform.Platform { return k.platform }

// MemoryFile returns the sandbox's memory.
func (k *Kernel) MemoryFile() *pgalloc.File { return k.memory }

// Log returns the sandbox's log.
func (k *Kernel) Log() *slog.Logger { return k.log }

// CPUs returns the number of processors applications see.
func (k *Kernel) CPUs() int { return k.cpus }

// MaxTasks returns the bound on the number of tasks.
func (k *Kernel) MaxTasks() int32 { return k.maxTask }

// LimitTasks lowers the bound to n, unless n is 0. Only before a task runs.
func (k *Kernel) LimitTasks(n int32) {
	if n > 0 {
		k.maxTask = min(k.maxTask, n)
	}
}

// LiveTasks returns the number of tasks.
func (k *Kernel) LiveTasks() int { return int(k.live.Load()) }

// Forks returns how many tasks were ever made (/proc/stat).
func (k *Kernel) Forks() uint64 { return k.forks.Load() }

// RootUserNS returns the root user namespace, whose IDs are those of files.
func (k *Kernel) RootUserNS() *auth.UserNamespace { return k.rootUserNS }

// InitUserNS returns the user namespace that containers live in.
func (k *Kernel) InitUserNS() *auth.UserNamespace { return k.initUserNS }

// RootPIDNS returns the root PID namespace.
func (k *Kernel) RootPIDNS() *PIDNamespace { return k.rootPIDNS }

// RootUTSNS returns the root UTS namespace.
func (k *Kernel) RootUTSNS() *UTSNamespace { return k.rootUTSNS }

// RootIPCNS returns the root IPC namespace.
func (k *Kernel) RootIPCNS() *IPCNamespace { return k.rootIPCNS }

// Realtime returns CLOCK_REALTIME in nanoseconds.
func (k *Kernel) Realtime() int64 { return k.realtime.Now() }

// Monotonic returns CLOCK_MONOTONIC in nanoseconds.
func (k *Kernel) Monotonic() int64 { return k.monotonic.Now() }

// RealtimeClock and MonotonicClock return the clocks themselves, for timers.
func (k *Kernel) RealtimeClock() *ktime.Clock { return k.realtime }

// MonotonicClock is CLOCK_MONOTONIC.
func (k *Kernel) MonotonicClock() *ktime.Clock { return k.monotonic }

// BootTime returns CLOCK_REALTIME at the start of the sandbox.
func (k *Kernel) BootTime() int64 { return k.bootTime }

// Uptime returns the nanoseconds since the sandbox started.
func (k *Kernel) Uptime() int64 { return k.monotonic.Now() - k.startMono }

// NewTimer returns a disarmed timer; see ktime.Timer.
func (k *Kernel) NewTimer(fn func(expirations uint64)) *ktime.Timer { return ktime.NewTimer(fn) }

// Wait returns when no task is left.
func (k *Kernel) Wait() { k.tasks.Wait() }

// Load loads a program for CreateProcess.
func (k *Kernel) Load(t *Task, args *LoadArgs) (*Image, error) { return k.loader.Load(t, args) }

// Missing returns the names of system calls that were asked for and are not
// implemented.
func (k *Kernel) Missing() (names []string) {
	for nr := range k.missing {
		if k.missing[nr].Load() {
			names = append(names, k.names(uintptr(nr)))
		}
	}
	return names
}
