package boot

import (
	"ringfort/runsc/control"
	"ringfort/sentry/auth"
)

// Config is what a sandbox is built from; it is fixed for the sandbox's life.
type Config struct {
	// ID is the sandbox, which is also its first container.
	ID string `json:"id"`
	// Platform is "auto", "systrap" or "ptrace"; the sandbox makes "auto" one of the others.
	Platform string `json:"platform"`
	// Debug turns on debug messages in the log.
	Debug bool `json:"debug"`
	// Strace prints every system call to the log.
	Strace bool `json:"strace"`
	// LogFormat is "text" or "json".
	LogFormat string `json:"logFormat"`
	// Network is "sandbox" (netstack over the given namespace), "none" or HostNetwork.
	Network string `json:"network"`
	// NumCPU is how many CPUs the application sees.
	NumCPU int `json:"numCPU"`
	// MemoryLimit of the sandbox in bytes; 0: that of the host.
	MemoryLimit int64 `json:"memoryLimit"`
	// HostMemory is MemTotal of the host in bytes.
	HostMemory int64 `json:"hostMemory"`
	// CPUInfo is the text of the host's /proc/cpuinfo: the Sentry itself has no /proc.
	CPUInfo string `json:"cpuInfo"`
	// Clocksource is what the host's own clocks are read from.
	Clocksource string `json:"clocksource"`
	// HasTerminal says that the sandbox's console is the controlling terminal of this process, whose SIGWINCH is the
	// container's.
	HasTerminal bool `json:"hasTerminal"`
	// ForwardOwn has listeners on the sandbox's own addresses forwarded too, not only those on its loopback.
	ForwardOwn bool `json:"forwardOwn,omitempty"`
	// UIDMap and GIDMap are those of the user namespace of the containers; none: there is only the root one.
	UIDMap []auth.Extent `json:"uidMap,omitempty"`
	GIDMap []auth.Extent `json:"gidMap,omitempty"`
	// Options are further settings by name, for rooms that want one without a change here.
	Options map[string]string `json:"options,omitempty"`
}

// HostNetwork is the Network of a sandbox whose sockets are the host kernel's own. No option of runsc asks for it but the
// container's configuration, by not having a network namespace.
const HostNetwork = "host"

// NewSandboxFunc builds the kernel. It is called once, after the process has been isolated (no host paths, no
// capabilities) and before its system call filter is in place: what may not be done under the filter is done here.
type NewSandboxFunc func(conf *Config) (control.Sandbox, error)
