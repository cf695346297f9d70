package vfs

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/sentry/wait"
)

// HostLocker is an Inode of a file that others than this kernel lock as well. The locks on it that are held here are
// held on the host too: one lock for all who hold one here, as strong as the strongest. Its methods must not wait; they
// fail with EAGAIN if somebody outside is in the way.
type HostLocker interface {
	Inode
	// LocksOnHost reports whether there may be others; it is asked once.
	LocksOnHost() bool
	// HostFlock is flock(2); op is LOCK_SH, LOCK_EX or LOCK_UN.
	HostFlock(op int) error
	// HostLock is fcntl(2) with F_OFD_SETLK of [start, end); typ is F_RDLCK, F_WRLCK or F_UNLCK.
	HostLock(typ int16, start, end int64) error
	// HostTestLock returns a lock in the way of r, nil if there is none.
	HostTestLock(r RecordLock) (*RecordLock, error)
}

// askFlock has the host hold a lock for one more owner. If that fails nothing is held: whoever changes from shared to
// exclusive was alone. l.mu is held.
func (l *lockState) askFlock(exclusive bool) error {
	op := unix.LOCK_SH
	if exclusive {
		op = unix.LOCK_EX
	}
	if l.host == nil || l.hostFlock == op {
		return nil
	}
	err := l.host.HostFlock(op)
	if err == nil {
		l.hostFlock = op
	} else {
		l.hostFlock = unix.LOCK_UN
	}
	return err
}

// endFlock gives the host's lock up. l.mu is held.
func (l *lockState) endFlock() {
	if l.host != nil && l.hostFlock != unix.LOCK_UN {
		_ = l.host.HostFlock(unix.LOCK_UN) // cannot fail (flock(2)) on what is open
		l.hostFlock = unix.LOCK_UN
	}
}

// endRecords gives up on the host what of [start, end) nobody here has locked any more. What somebody still has is a lock
// for reading, as the one given up was. l.mu is held.
func (l *lockState) endRecords(start, end int64) {
	if l.host == nil {
		return
	}
	left := slices.Clone(l.records)
	slices.SortFunc(left, func(a, b RecordLock) int { return cmp.Compare(a.Start, b.Start) })
	for _, o := range left {
		if o.End <= start || o.Start >= end {
			continue
		}
		if o.Start > start {
			l.unlockHost(start, o.Start)
		}
		start = max(start, o.End)
	}
	if start < end {
		l.unlockHost(start, end)
	}
}

func (l *lockState) unlockHost(start, end int64) {
	// ENOLCK, for want of memory, is the one failure there can be; then the lock lasts as long as the file is open.
	_ = l.host.HostLock(unix.F_UNLCK, start, end)
}

// patience is how a lock is waited for. Nobody tells of the end of a lock outside of the sandbox, so it is tried again and
// again, ever less often.
type patience struct {
	host  bool
	pause time.Duration
}

func (l *lockState) patience() patience {
	return patience{host: l.host != nil, pause: time.Millisecond}
}

// block waits on behalf of c until it is worth while to try again.
func (p *patience) block(c Caller) error {
	const longest = 20 * time.Millisecond
	clock, ok := c.(interface{ Monotonic() int64 })
	if !p.host || !ok {
		return c.Block(wait.NoDeadline)
	}
	err := c.Block(clock.Monotonic() + int64(p.pause))
	p.pause = min(2*p.pause, longest)
	if err == unix.ETIMEDOUT {
		return nil
	}
	return err
}
