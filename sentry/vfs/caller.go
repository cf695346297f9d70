package vfs

import (
	"ringfort/sentry/auth"
	"ringfort/sentry/limits"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// Caller is on whose behalf a file operation is done. kernel.Task implements
// it; the kernel itself has one for its own work.
type Caller interface {
	wait.Blocker
	// Creds returns the caller's credentials.
	Creds() *auth.Credentials
	// FS returns root, working directory and umask.
	FS() *FSContext
	// MountNS returns the mount namespace.
	MountNS() *MountNamespace
	// Limits returns the resource limits.
	Limits() *limits.Set
	// Memory returns the caller's memory, for ioctl arguments and the like.
	Memory() usermem.IO
	// ThreadGroupID returns the process ID in the root PID namespace, 0 for the
	// kernel (owner of POSIX locks is FDTable, this is what F_GETLK reports).
	ThreadGroupID() int32
	// Now returns the sandbox's CLOCK_REALTIME in nanoseconds.
	Now() int64
	// SendSignal sends a signal without siginfo to the caller itself (SIGPIPE,
	// SIGXFSZ, SIGTTIN).
	SendSignal(sig int32)
}
