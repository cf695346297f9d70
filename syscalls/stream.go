package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// readDeadline returns when a blocking read of d gives up: SO_RCVTIMEO of a
// socket, else never.
func readDeadline(t *kernel.Task, d *vfs.Description) int64 {
	if s, ok := d.File().(socket.Socket); ok {
		recv, _ := s.Timeouts()
		return after(t, recv)
	}
	return wait.NoDeadline
}

// writeDeadline is the same for writes and SO_SNDTIMEO.
func writeDeadline(t *kernel.Task, d *vfs.Description) int64 {
	if s, ok := d.File().(socket.Socket); ok {
		_, send := s.Timeouts()
		return after(t, send)
	}
	return wait.NoDeadline
}

// after returns the deadline ns from now, none for 0.
func after(t *kernel.Task, ns int64) int64 {
	if ns == 0 {
		return wait.NoDeadline
	}
	now := t.Monotonic()
	if ns > wait.NoDeadline-now {
		return wait.NoDeadline
	}
	return now + ns
}

// blockingWrite writes all of src unless d does not block: a pipe or a stream
// takes what fits and the rest follows as it drains. An error or interruption
// after some progress is success (write(2), "partial write").
func blockingWrite(t *kernel.Task, d *vfs.Description, src usermem.Seq, write func(src usermem.Seq) (int64, error)) (int64, error) {
	total, err := write(src)
	want := int64(src.Len())
	if total >= want || (err != nil && err != unix.EAGAIN) || d.NonBlocking() {
		return partial(total, err)
	}
	if err == nil && d.Positional() {
		return total, nil // a short write to a file is the file's last word
	}
	q := queueFor(t, d)
	if q == nil {
		return partial(total, err)
	}
	deadline := writeDeadline(t, d)
	w := t.OwnWaiter()
	q.Add(w, wait.Writable|wait.Err|wait.HUp)
	defer w.Remove()
	for {
		n, err := write(src.Drop(int(total)))
		if n > 0 {
			total += n
		}
		if total >= want || (err != nil && err != unix.EAGAIN) {
			return partial(total, err)
		}
		if n > 0 {
			continue
		}
		if err := t.Block(deadline); err != nil {
			if err == unix.ETIMEDOUT {
				err = unix.EAGAIN
			}
			return partial(total, err)
		}
	}
}
