// Package unotify speaks to threads that sleep in seccomp user notifications (seccomp_unotify(2)). Nothing else a
// process can sleep in lets its waker say that it shall run on the waker's own core; to wake a core that is idle takes
// ten times as long.
package unotify

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of ioctl(2) on a listener. Package seccompfilters knows these numbers.
const (
	recv     = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	send     = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	setFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
)

// Notification is struct seccomp_notif.
type Notification struct {
	ID         uint64
	PID, Flags uint32
	// struct seccomp_data
	Nr   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// GoOn makes the call that was notified (SECCOMP_USER_NOTIF_FLAG_CONTINUE).
const GoOn = 1

// Reply is struct seccomp_notif_resp.
type Reply struct {
	ID    uint64
	Val   int64
	Errno int32
	Flags uint32
}

// Receive waits for a notification of listener fd; n must be zero. EINTR is a signal here; ENOENT is one there, or the
// end of all threads that have the listener.
func Receive(fd int, n *Notification) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), recv, uintptr(unsafe.Pointer(n)))
	return errno
}

// Answer lets the thread that r.ID says go on. It does not block. ENOENT: a signal, or its end, came first.
func Answer(fd int, r *Reply) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), send, uintptr(unsafe.Pointer(r)))
	return errno
}

// OneCore makes each side of listener fd wake the other on its own core, which Linux can since 6.6.
func OneCore(fd int) unix.Errno {
	const sync = 1 // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), setFlags, sync)
	return errno
}
