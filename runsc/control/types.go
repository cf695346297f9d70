package control

import (
	"encoding/json"
	"io"
	"net/netip"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Sandbox is the kernel as runsc sees it. The Sentry implements it; the Server calls it.
//
// All methods may be called concurrently. Errors that are to reach the user with an exit code of their own are
// *Error; the text of any error is shown as it is, on one line.
type Sandbox interface {
	// Create loads the container: mounts, file system tree, credentials, and the program args[0], ready to run.
	// It owns the files of a from the moment it is called.
	Create(a *CreateArgs) error
	// Start lets the init process of a created container run.
	Start(id string) error
	// Exec starts a process in a created or running container and returns its PID in the container's PID
	// namespace. It owns the files of a.
	Exec(a *ExecArgs) (pid int32, err error)
	// Wait blocks until a process has ended. PID 0 is the container's init.
	Wait(id string, pid int32) (WaitStatus, error)
	// Signal sends sig. PID 0 is the container's init.
	Signal(id string, pid int32, sig int32, mode SignalMode) error
	// Processes lists the processes of a container.
	Processes(id string) ([]Process, error)
	// Pause stops every task of a container until Resume.
	Pause(id string) error
	// Resume undoes Pause.
	Resume(id string) error
	// Resize sets the window size of the terminal of a process. PID 0 is the container's init.
	Resize(id string, pid int32, rows, cols uint16) error
	// Stats reports the resource usage of a container.
	Stats(id string) (*Stats, error)
	// Stacks returns the stacks of all goroutines as text.
	Stacks() []byte
	// Profile writes a profile of the Sentry to w: kind is "cpu", "heap" or "trace"; seconds is its length.
	Profile(kind string, seconds int, w io.Writer) error
	// Destroy kills every process of a container and unmounts its file systems. It is idempotent.
	Destroy(id string) error
}

// A Tuner is a Sandbox whose messages can be changed while it runs.
type Tuner interface {
	// Tune changes what t says.
	Tune(t *Tuning) error
}

// Tuning is what of a sandbox can be changed for a person who looks into it.
type Tuning struct {
	// Level is the least level of messages in the log: "debug", "info", "warn" or "error"; "" leaves it alone.
	Level string `json:"level,omitempty"`
	// Strace turns the printing of system calls "on" or "off"; "" leaves it alone.
	Strace string `json:"strace,omitempty"`
}

// A NetworkSetter is a Sandbox whose network can still be given between Create and Start. Some engines move links into
// the network namespace only then (OCI runtime-spec, runtime.md#lifecycle, allows it).
type NetworkSetter interface {
	// SetNetwork replaces the network of a created container: net is the JSON form of netstack.Config, files are
	// those that belong to it, owned by the callee.
	SetNetwork(id string, net json.RawMessage, files []*os.File) error
}

// A NetworkChanger is a Sandbox that can be told what has become of the host's network namespace since its network was set.
type NetworkChanger interface {
	// ChangeNetwork does the same to the sandbox's network; change is the JSON form of netstack.Change, files are those
	// that belong to it, owned by the callee.
	ChangeNetwork(change json.RawMessage, files []*os.File) error
}

// Limits are what the host's cgroup allows a container, for its processes to see. 0 or "" is no limit.
type Limits struct {
	Memory int64   `json:"memory,omitempty"` // bytes
	CPUs   float64 `json:"cpus,omitempty"`   // processors' worth of time
	PIDs   int64   `json:"pids,omitempty"`   // the Sentry enforces it
	CPUSet string  `json:"cpuset,omitempty"` // processors in the list format of cpuset(7)
	Shares uint64  `json:"shares,omitempty"` // weight, as cpu.shares of cgroup v1
}

// A LimitSetter is a Sandbox that can be told of other limits while a container runs.
type LimitSetter interface {
	SetLimits(id string, l *Limits) error
}

// A Forwarder is a Sandbox whose listeners on the loopback can be reached from the host's side of its network namespace,
// where engines look for them (port-forward).
type Forwarder interface {
	// Listeners waits until the listeners are others than after so many changes, or stop is closed, and tells them.
	Listeners(changes uint64, stop <-chan struct{}) (*Listeners, error)
	// Forward connects to a port of the loopback and carries bytes between the connection and conn, which it owns.
	Forward(to Listener, conn *os.File) error
}

// Listeners are who accepts TCP connections to the loopback.
type Listeners struct {
	Changes uint64     `json:"changes"`
	List    []Listener `json:"list"`
}

// A Listener is a TCP port of 127.0.0.1 or, if Six, of ::1; or of Addr, an address of the sandbox's own, if that is set.
type Listener struct {
	Port uint16     `json:"port"`
	Six  bool       `json:"six,omitempty"`
	Addr netip.Addr `json:"addr,omitzero"`
}

// A WaitStatus is the status word of wait(2).
type WaitStatus uint32

// ExitCode is what a shell would show as $?: the exit status, or 128 plus the number of the fatal signal.
func (w WaitStatus) ExitCode() int {
	if sig := w & 0x7f; sig != 0 {
		return 128 + int(sig)
	}
	return int(w>>8) & 0xff
}

// A SignalMode says whom Signal is for.
type SignalMode string

// The modes of Signal.
const (
	SignalProcess SignalMode = "process" // the thread group
	SignalGroup   SignalMode = "group"   // its process group; of a terminal's owner, the foreground group
	SignalAll     SignalMode = "all"     // every process of the container
)

// A MountConn is one export of the gofer.
type MountConn struct {
	// Index is the place of the mount in Spec.Mounts; -1 is the root file system.
	Index int `json:"index"`
	// Destination is the absolute path inside the container.
	Destination string `json:"destination"`
	// Source is the host path, to be shown in /proc/self/mountinfo and nowhere else used.
	Source string `json:"source"`
	// ReadOnly is enforced by the gofer too.
	ReadOnly bool `json:"readOnly"`
	// Key names the file or directory of the host. Containers of a sandbox that mount the same one share one file
	// system; "": never.
	Key string `json:"key,omitempty"`
	// IsFile says that the export is one file and no directory.
	IsFile bool `json:"isFile"`
	// Exclusive says that nobody but the container changes the files, so that names and attributes can be cached.
	Exclusive bool `json:"exclusive"`
	// Conn is the 9P byte stream.
	Conn *os.File `json:"-"`
	// FDs is the socket over which the gofer donates descriptors.
	FDs *os.File `json:"-"`
}

// Namespaces says whose namespaces a container shares: of each kind the ID of another container of the sandbox, "" for
// a new one. The sandbox's first container has those that the kernel starts with.
type Namespaces struct {
	PID string `json:"pid,omitempty"`
	IPC string `json:"ipc,omitempty"`
	UTS string `json:"uts,omitempty"`
	Net string `json:"net,omitempty"`
}

// CreateArgs are the arguments of Sandbox.Create.
type CreateArgs struct {
	ID string `json:"id"`
	// Spec has been checked and completed: paths of the host are absolute, names are known, defaults are set.
	Spec *specs.Spec `json:"spec"`
	// Mounts has the root file system first, then one entry for each bind mount in the order of Spec.Mounts.
	Mounts []MountConn `json:"mounts"`
	// Join is for a container that is not the sandbox's first.
	Join Namespaces `json:"join"`
	// Net is the JSON form of netstack.Config; empty: loopback only.
	Net json.RawMessage `json:"net,omitempty"`
	// Overlay says where writes to the root file system go: "none" (to the host), "memory".
	Overlay string `json:"overlay"`
	// MemoryLimit is in bytes, 0 for none: the least of the container's and the host cgroup's limit.
	MemoryLimit int64 `json:"memoryLimit,omitempty"`
	// CPUQuota is in CPUs (1.5: one and a half), 0 for no limit.
	CPUQuota float64 `json:"cpuQuota,omitempty"`
	// MaxTasks is how many tasks the host has threads for, 0 if nothing bounds them.
	MaxTasks int32 `json:"maxTasks,omitempty"`

	// Stdio are the standard descriptors, unless Spec.Process.Terminal.
	Stdio [3]*os.File `json:"-"`
	// Console is the replica end of a host pseudo-terminal in raw mode, when Spec.Process.Terminal: bytes from it
	// are what the user types, bytes to it are what the user sees. The terminal that the application gets is the
	// Sentry's own. Window sizes come by Resize.
	Console *os.File `json:"-"`
	// Preserved are descriptors 3 and up of the init process (--preserve-fds).
	Preserved []*os.File `json:"-"`
	// NetFiles are the packet sockets that belong to Net.
	NetFiles []*os.File `json:"-"`
	// Cgroups are files that a process becomes a member of the container's cgroups by, when its number is written to
	// them. The first container of a sandbox has none: the Sentry itself is in its cgroups.
	Cgroups []*os.File `json:"-"`
	// Exit takes the wait status of a container that is not the sandbox's first; the Server owns it.
	Exit *os.File `json:"-"`
}

// ExecArgs are the arguments of Sandbox.Exec.
type ExecArgs struct {
	ID      string         `json:"id"`
	Process *specs.Process `json:"process"`
	// Stdio, Console and Preserved are as in CreateArgs.
	Stdio     [3]*os.File `json:"-"`
	Console   *os.File    `json:"-"`
	Preserved []*os.File  `json:"-"`
}

// A Process is one line of ps.
type Process struct {
	PID       int32   `json:"pid"`
	HostPID   int     `json:"hostPID,omitempty"` // of the host process that runs it, in the Sentry's PID namespace; 0: none
	PPID      int32   `json:"ppid"`
	PGID      int32   `json:"pgid"`
	SID       int32   `json:"sid"`
	UID       uint32  `json:"uid"`
	GID       uint32  `json:"gid"`
	Threads   int     `json:"threads"`
	TTY       string  `json:"tty"`       // "pts/0", "?" for none
	State     string  `json:"state"`     // one letter, as in proc_pid_stat(5)
	StartUnix int64   `json:"startUnix"` // seconds
	CPUNanos  int64   `json:"cpuNanos"`
	CPUShare  float64 `json:"cpuShare"` // per cent of one CPU since its start
	RSS       uint64  `json:"rss"`      // bytes
	Comm      string  `json:"comm"`
	Command   string  `json:"command"` // the command line, arguments separated by spaces
}

// Stats is the resource usage of one container as the Sentry counts it.
type Stats struct {
	CPUNanos      uint64   `json:"cpuNanos"`
	UserNanos     uint64   `json:"userNanos"`
	SystemNanos   uint64   `json:"systemNanos"`
	MemoryBytes   uint64   `json:"memoryBytes"` // application memory in use
	MemoryCache   uint64   `json:"memoryCache"`
	MemoryLimit   uint64   `json:"memoryLimit"`
	PIDs          uint64   `json:"pids"`
	PIDsLimit     uint64   `json:"pidsLimit"`
	NetworkLinks  []NetIO  `json:"networkLinks,omitempty"`
	ReadBytes     uint64   `json:"readBytes"`
	WriteBytes    uint64   `json:"writeBytes"`
	Unimplemented []string `json:"unimplemented,omitempty"` // names of calls that were asked for and are not there
}

// NetIO counts the traffic of a link.
type NetIO struct {
	Name      string `json:"name"`
	RxBytes   uint64 `json:"rxBytes"`
	RxPackets uint64 `json:"rxPackets"`
	RxErrors  uint64 `json:"rxErrors"`
	RxDropped uint64 `json:"rxDropped"`
	TxBytes   uint64 `json:"txBytes"`
	TxPackets uint64 `json:"txPackets"`
	TxErrors  uint64 `json:"txErrors"`
	TxDropped uint64 `json:"txDropped"`
}

// A Kind tells callers what an Error is about without a look at its text.
type Kind string

// Kinds of errors.
const (
	KindNone       Kind = ""
	KindNotFound   Kind = "not-found"   // no such container or process
	KindNotRunning Kind = "not-running" // the container is in the wrong state
)

// An Error carries an exit code to the command line.
type Error struct {
	Text string `json:"text"`
	// Exit is the exit code that runsc should use, 0 for its usual one. 127: args[0] is not there; 126: it cannot
	// be executed.
	Exit int  `json:"exit,omitempty"`
	Kind Kind `json:"kind,omitempty"`
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }
