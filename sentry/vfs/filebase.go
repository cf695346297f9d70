package vfs

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// FileBase gives a File the errors of Linux for what it does not do. Embed it.
type FileBase struct{}

// Read returns EINVAL.
func (FileBase) Read(Caller, *Description, usermem.Seq, int64) (int64, error) {
	return 0, unix.EINVAL
}

// Write returns EINVAL.
func (FileBase) Write(_ Caller, _ *Description, _ usermem.Seq, off int64) (int64, int64, error) {
	return 0, off, unix.EINVAL
}

// Poll reports the file as always readable and writable.
func (FileBase) Poll(mask wait.Events) wait.Events {
	return mask & (wait.Readable | wait.Writable)
}

// Queue returns nil: the file is always ready.
func (FileBase) Queue() *wait.Queue { return nil }

// Ioctl returns ENOTTY.
func (FileBase) Ioctl(Caller, *Description, uint32, arch.Argument) (uintptr, error) {
	return 0, unix.ENOTTY
}

// Release does nothing.
func (FileBase) Release(Caller) {}
