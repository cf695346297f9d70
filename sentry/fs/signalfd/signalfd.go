// Package signalfd implements signals that are read (signalfd(2)).
//
// A signalfd shows the signals pending for whoever reads or polls it, not for
// who made it, so its readiness depends on the asker (PollAs, QueueAs). The
// package must never wait and holds no lock of its own.
package signalfd

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// infoSize is sizeof(struct signalfd_siginfo).
const infoSize = 128

// SignalFD is a set of signals that may be read.
type SignalFD struct {
	vfs.FileBase
	mask atomic.Uint64
	none wait.Queue // of askers that have no signals
}

// New returns a SignalFD for the signals in set.
func New(set kernel.SignalSet) *SignalFD {
	f := &SignalFD{}
	f.SetMask(set)
	return f
}

// SetMask replaces the signals. SIGKILL and SIGSTOP are never among them.
func (f *SignalFD) SetMask(set kernel.SignalSet) {
	f.mask.Store(uint64(set &^ kernel.SignalSetOf(unix.SIGKILL, unix.SIGSTOP)))
}

// Read takes pending signals, as many as there are and fit; EAGAIN if there
// is none.
func (f *SignalFD) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	if dst.Len() < infoSize {
		return 0, unix.EINVAL
	}
	t, ok := c.(*kernel.Task)
	if !ok {
		return 0, unix.EAGAIN
	}
	var done int64
	for dst.Len() >= infoSize {
		info := t.DequeueSignal(kernel.SignalSet(f.mask.Load()))
		if info == nil {
			break
		}
		if n, err := dst.CopyOut(encode(info)); n < infoSize {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
		dst = dst.Drop(infoSize)
		done += infoSize
	}
	if done == 0 {
		return 0, unix.EAGAIN
	}
	return done, nil
}

// encode writes a struct signalfd_siginfo; which fields mean something depends
// on where the signal came from (sigaction(2), "The siginfo_t argument").
func encode(i *kernel.SignalInfo) []byte {
	b := make([]byte, infoSize)
	le := binary.LittleEndian
	put32 := func(off int, v uint32) { le.PutUint32(b[off:], v) }
	put64 := func(off int, v uint64) { le.PutUint64(b[off:], v) }
	get32 := func(off int) uint32 { return le.Uint32(i.Fields[off:]) }
	get64 := func(off int) uint64 { return le.Uint64(i.Fields[off:]) }
	put32(0, uint32(i.Signo))
	put32(4, uint32(i.Errno))
	put32(8, uint32(i.Code))
	sender := func() {
		put32(12, get32(0)) // pid
		put32(16, get32(4)) // uid
	}
	value := func() {
		put32(44, get32(8)) // int
		put64(48, get64(8)) // ptr
	}
	switch sig := unix.Signal(i.Signo); {
	case i.Code == kernel.SITimer:
		put32(24, get32(0)) // tid
		put32(32, get32(4)) // overrun
		value()
	case i.Code < 0:
		sender()
		value()
	case i.Code == kernel.SIUser || i.Code == kernel.SIKernel:
		sender()
	case sig == unix.SIGCHLD:
		sender()
		put32(40, get32(8))  // status
		put64(56, get64(16)) // utime
		put64(64, get64(24)) // stime
	case sig == unix.SIGPOLL:
		put32(28, get32(0)) // band
		put32(20, get32(8)) // fd
	case sig == unix.SIGSEGV || sig == unix.SIGBUS || sig == unix.SIGILL || sig == unix.SIGFPE || sig == unix.SIGTRAP:
		put64(72, get64(0)) // addr
	case sig == unix.SIGSYS:
		put64(88, get64(0)) // call_addr
		put32(84, get32(8)) // syscall
		put32(96, get32(12))
	default:
		sender()
	}
	return b
}

// Poll reports nothing: there is no asker.
func (f *SignalFD) Poll(wait.Events) wait.Events { return 0 }

// Queue is never notified; see QueueAs.
func (f *SignalFD) Queue() *wait.Queue { return &f.none }

// PollAs reports whether a signal is pending for c.
func (f *SignalFD) PollAs(c vfs.Caller, mask wait.Events) wait.Events {
	t, ok := c.(*kernel.Task)
	if ok && t.PendingSignals()&kernel.SignalSet(f.mask.Load()) != 0 {
		return wait.In & mask
	}
	return 0
}

// QueueAs is notified when a signal arrives for c.
func (f *SignalFD) QueueAs(c vfs.Caller) *wait.Queue {
	if t, ok := c.(*kernel.Task); ok {
		return t.ThreadGroup().SignalQueue()
	}
	return &f.none
}

// FDInfo adds the signals to /proc/PID/fdinfo (proc(5)).
func (f *SignalFD) FDInfo() string { return fmt.Sprintf("sigmask:\t%016x\n", f.mask.Load()) }
