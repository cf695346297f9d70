// Package pidfd owns the files of pidfd_open(2): a process as a descriptor that
// is readable once the process has ended. It holds no locks.
package pidfd

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

type file struct {
	vfs.FileBase
	tg *kernel.ThreadGroup
}

// New puts a pidfd of tg into t's descriptor table; flags is 0 or
// PIDFD_NONBLOCK. It is kernel.Kernel.NewPIDFD.
func New(t *kernel.Task, tg *kernel.ThreadGroup, flags uint32) (int32, error) {
	d := vfs.NewAnonDescription(&file{tg: tg}, "anon_inode:[pidfd]", 0600, unix.O_RDWR|flags)
	defer d.DecRef(t)
	return t.NewFD(d, 0, true)
}

// Process returns the process.
func (f *file) Process() *kernel.ThreadGroup { return f.tg }

// Poll implements vfs.File.
func (f *file) Poll(mask wait.Events) wait.Events {
	if f.tg.Zombie() {
		return mask & (wait.In | wait.RdNorm)
	}
	return 0
}

// Queue implements vfs.File.
func (f *file) Queue() *wait.Queue { return f.tg.ExitQueue() }

// FDInfo implements vfs.FDInfo.
func (f *file) FDInfo() string {
	id := f.tg.Kernel().RootPIDNS().IDOfThreadGroup(f.tg)
	return fmt.Sprintf("Pid:\t%d\nNSpid:\t%d\n", id, id)
}
