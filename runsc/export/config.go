package export

// A Config is what a gofer is started with.
type Config struct {
	// WorkDir is a directory of the host that exists and is nobody else's: where the private root is attached for a
	// moment.
	WorkDir string `json:"workDir"`
	// Exports in the order of the connections that the process inherits: two descriptors each, from FirstConn on.
	Exports []Export `json:"exports"`
	// MountPoints are absolute paths inside of the first export that are created if they are not there.
	MountPoints []MountPoint `json:"mountPoints,omitempty"`
	// UID and GID own the mount points that are created.
	UID uint32 `json:"uid,omitempty"`
	GID uint32 `json:"gid,omitempty"`
	// HostSockets lets the Sentry have connections to unix sockets below the exports.
	HostSockets bool `json:"hostSockets,omitempty"`
}

// FirstConn is the descriptor number of the first export's 9P connection; that of its donation socket follows.
const FirstConn = 4

// An Export is a directory or a file of the host.
type Export struct {
	// Source is an absolute path of the host.
	Source string `json:"source"`
	// Recursive takes the mounts below Source along (rbind).
	Recursive bool `json:"recursive"`
	// ReadOnly refuses every change; with RecursiveReadOnly (rro) also in the mounts below.
	ReadOnly          bool `json:"readOnly"`
	RecursiveReadOnly bool `json:"recursiveReadOnly"`
	// Slave lets mounts that the host makes below Source later appear.
	Slave bool `json:"slave"`
	// Attr is a set of MOUNT_ATTR_* that concern access times.
	Attr uint64 `json:"attr,omitempty"`
}

// A MountPoint is where the Sentry will mount something.
type MountPoint struct {
	Path string `json:"path"`
	// File: the mount is of a single file.
	File bool `json:"file"`
}
