package spec

// A Support says what becomes of a field of the configuration.
type Support int

// What can become of a field.
const (
	Honoured Support = iota // it has its effect
	Refused                 // a configuration that sets it does not start; the error names it
	Ignored                 // the OCI specification lets a runtime without the feature ignore it, or it says nothing that could be lost
)

// Fields lists every field of the configuration that is not a plain value of a listed one. The test of this package
// holds it against the types of the specification, so that a new field cannot slip by.
var Fields = map[string]Support{
	"ociVersion":  Honoured,
	"process":     Honoured,
	"root":        Honoured,
	"hostname":    Honoured,
	"domainname":  Honoured,
	"mounts":      Honoured,
	"hooks":       Honoured,
	"annotations": Honoured,
	"linux":       Honoured,
	"solaris":     Ignored, // other platforms: config.md#platform-specific-configuration
	"windows":     Ignored,
	"vm":          Refused,
	"zos":         Ignored,
	"freebsd":     Ignored,

	"process.terminal":        Honoured,
	"process.consoleSize":     Honoured,
	"process.user":            Honoured,
	"process.args":            Honoured,
	"process.commandLine":     Ignored, // Windows
	"process.env":             Honoured,
	"process.cwd":             Honoured,
	"process.capabilities":    Honoured,
	"process.rlimits":         Honoured,
	"process.noNewPrivileges": Honoured,
	"process.apparmorProfile": Refused, // but for "unconfined"
	"process.oomScoreAdj":     Honoured,
	"process.scheduler":       Refused, // but for SCHED_OTHER
	"process.selinuxLabel":    Refused,
	"process.ioPriority":      Refused,
	"process.execCPUAffinity": Refused,

	"linux.uidMappings":       Honoured,
	"linux.gidMappings":       Honoured,
	"linux.sysctl":            Honoured,
	"linux.resources":         Honoured,
	"linux.cgroupsPath":       Honoured,
	"linux.namespaces":        Honoured,
	"linux.devices":           Honoured,
	"linux.netDevices":        Refused,
	"linux.seccomp":           Honoured,
	"linux.rootfsPropagation": Honoured,
	"linux.maskedPaths":       Honoured,
	"linux.readonlyPaths":     Honoured,
	"linux.mountLabel":        Refused,
	"linux.intelRdt":          Refused,
	"linux.memoryPolicy":      Refused,
	"linux.personality":       Refused, // but for LINUX without flags
	"linux.timeOffsets":       Refused,
}
