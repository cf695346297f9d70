package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

type (
	task      = kernel.Task
	arguments = *arch.SyscallArguments // true until the call returns
	addr      = usermem.Addr
)

// blocking runs op until it no longer returns EAGAIN, waiting on d's queue for
// ev unless d is O_NONBLOCK. What op has done counts: with progress an
// interruption or time-out is success.
func blocking(t *kernel.Task, d *vfs.Description, ev wait.Events, deadline int64, op func() (int64, error)) (int64, error) {
	n, err := op()
	if err != unix.EAGAIN || n > 0 || d.NonBlocking() {
		return partial(n, err)
	}
	q := queueFor(t, d)
	if q == nil {
		return n, err
	}
	w := t.OwnWaiter()
	q.Add(w, ev|wait.Err|wait.HUp)
	defer w.Remove()
	for {
		if n, err = op(); err != unix.EAGAIN || n > 0 {
			return partial(n, err)
		}
		if err := t.Block(deadline); err != nil {
			if err == unix.ETIMEDOUT {
				err = unix.EAGAIN
			}
			return 0, err
		}
	}
}

// partial makes an error after some progress a success.
func partial(n int64, err error) (int64, error) {
	if n > 0 {
		return n, nil
	}
	return n, err
}

// askerFile is a File whose readiness depends on who asks (signalfd).
type askerFile interface {
	PollAs(c vfs.Caller, mask wait.Events) wait.Events
	QueueAs(c vfs.Caller) *wait.Queue
}

// queueFor returns the queue of d as t sees it.
func queueFor(t *kernel.Task, d *vfs.Description) *wait.Queue {
	if a, ok := d.File().(askerFile); ok {
		return a.QueueAs(t)
	}
	return d.Queue()
}
