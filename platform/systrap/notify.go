package systrap

import (
	"time"

	"golang.org/x/sys/unix"

	"ringfort/platform/unotify"
)

// Seccomp user notifications (seccomp_unotify(2)) are how a context is handed
// over between sides that sleep. Each application thread has a listener of its
// own. With synchronous wake-up the side that is woken runs on the waker's core,
// which is idle as soon as that goes to sleep.

// receive waits for the thread to sleep, and keeps the notification's ID for
// answer.
func (t *thread) receive() error {
	t.note = unotify.Notification{}
	for {
		errno := unotify.Receive(t.listener, &t.note)
		switch {
		case errno == 0:
			t.asleep = t.note.ID
			return nil
		case t.p.dead.Load():
			return errDead
		case errno == unix.ENOENT && t.gone():
			return errDead
		case errno != unix.EINTR && errno != unix.ENOENT:
			return errno
		}
	}
}

// gone reports whether the thread has ended. It waits for its process to end as well: not to go on asking lets that have
// the core, and what we do about its end takes memory, which is free by then.
func (t *thread) gone() bool {
	fds := []unix.PollFd{{Fd: int32(t.listener), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 1 || err != nil || fds[0].Revents&unix.POLLHUP == 0 {
		return false
	}
	const look, most = 10, 100
	for n := 0; n < most && !t.p.dead.Load(); n++ {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(t.p.done), Events: unix.POLLIN}}, look)
	}
	return true
}

// answer lets the sleeping thread go on.
func (t *thread) answer() error {
	if t.asleep == 0 {
		// It went to sleep while we worked, or the application says so and it is not
		// true: that must not hold us for ever.
		if err := t.awaitSleep(); err != nil {
			return err
		}
	}
	if t.note.Nr != notifyCall {
		// A signal woke it before we knew that it slept. It saw for itself that it may
		// go on, and is at the first change it has to make: permit answers that.
		return nil
	}
	t.reply = unotify.Reply{ID: t.asleep}
	t.asleep = 0
	if unotify.Answer(t.listener, &t.reply) != 0 && t.p.dead.Load() {
		return errDead
	}
	return nil // ENOENT: a signal woke it, and it sees for itself
}

// permit lets the thread make the call e, which it is about to make; with any
// other call its process ends.
func (t *thread) permit(e *entry) error {
	if t.asleep == 0 {
		if err := t.receive(); err != nil {
			return err
		}
	}
	n := &t.note
	same := n.Arch == unix.AUDIT_ARCH_X86_64 && n.Nr == int32(e[0])
	for i := range n.Args {
		same = same && n.Args[i] == uint64(e[i+1])
	}
	if !same {
		unix.Kill(t.p.pid, unix.SIGKILL)
		return errDead
	}
	t.reply = unotify.Reply{ID: t.asleep, Flags: unotify.GoOn}
	t.asleep = 0
	if unotify.Answer(t.listener, &t.reply) != 0 {
		return errDead
	}
	return nil
}

// awaitSleep waits for the notification of a thread that is going to sleep.
func (t *thread) awaitSleep() error {
	fds := []unix.PollFd{{Fd: int32(t.listener), Events: unix.POLLIN}}
	deadline := time.Now().Add(patience)
	for {
		n, err := unix.Poll(fds, int(patience/time.Millisecond))
		switch {
		case n == 1 && fds[0].Revents&unix.POLLIN != 0:
			return t.receive()
		case t.p.dead.Load() || n == 1:
			return errDead
		case err != nil && err != unix.EINTR:
			return err
		case time.Now().After(deadline):
			unix.Kill(t.p.pid, unix.SIGKILL)
			return errDead
		}
	}
}

// adopt checks that fd, which the application may have chosen, is the listener
// of t, and makes it so.
func (t *thread) adopt(fd int) error {
	t.listener = fd
	err := t.awaitSleep()
	if err == nil && int(t.note.PID) != t.tid {
		_ = t.answer() // another thread of the sandbox: it will sleep again
		err = errDead
	}
	if err != nil {
		t.listener = 0 // whatever it is, it is not ours to close
		return err
	}
	_ = unotify.OneCore(fd) // without it all works, with cores woken in between
	return nil
}
