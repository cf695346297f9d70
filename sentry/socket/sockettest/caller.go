// Package sockettest holds the caller that unit tests of files and sockets
// act for. Nothing but tests imports it.
package sockettest

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/limits"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// Caller is a vfs.Caller without a kernel behind it. Its deadlines are
// nanoseconds since it was made.
type Caller struct {
	cr   *auth.Credentials
	mem  usermem.IO
	wake chan struct{}
	born time.Time

	mu      sync.Mutex
	signals []int32
}

var _ vfs.Caller = (*Caller)(nil)

// New returns a caller with all capabilities.
func New() *Caller {
	return &Caller{cr: auth.NewRoot(auth.NewRootUserNS()), wake: make(chan struct{}, 1), born: time.Now()}
}

// Notify wakes Block.
func (c *Caller) Notify(*wait.Waiter, wait.Events) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Block waits for Notify or the deadline.
func (c *Caller) Block(deadline int64) error {
	var over <-chan time.Time
	if deadline != wait.NoDeadline {
		over = time.After(time.Until(c.born.Add(time.Duration(deadline))))
	}
	select {
	case <-c.wake:
		return nil
	case <-over:
		return unix.ETIMEDOUT
	}
}

// Await waits, for at most ten seconds, until q has notified for mask and ok
// holds.
func (c *Caller) Await(q *wait.Queue, mask wait.Events, ok func() bool) bool {
	w := wait.Waiter{To: c}
	q.Add(&w, mask)
	defer w.Remove()
	deadline := int64(time.Since(c.born) + 10*time.Second)
	for !ok() {
		if c.Block(deadline) != nil {
			return ok()
		}
	}
	return true
}

// Creds returns root's credentials.
func (c *Caller) Creds() *auth.Credentials { return c.cr }

// SetCreds replaces the credentials.
func (c *Caller) SetCreds(cr *auth.Credentials) { c.cr = cr }

// FS returns nil.
func (c *Caller) FS() *vfs.FSContext { return nil }

// MountNS returns nil.
func (c *Caller) MountNS() *vfs.MountNamespace { return nil }

// Limits returns the defaults.
func (c *Caller) Limits() *limits.Set { return limits.New() }

// Memory returns what SetMemory set.
func (c *Caller) Memory() usermem.IO { return c.mem }

// SetMemory makes b, addressed from 0, the caller's memory.
func (c *Caller) SetMemory(b []byte) { c.mem = usermem.BytesIO(b) }

// ThreadGroupID returns 1.
func (c *Caller) ThreadGroupID() int32 { return 1 }

// Now returns the host's time.
func (c *Caller) Now() int64 { return time.Now().UnixNano() }

// SendSignal records the signal.
func (c *Caller) SendSignal(sig int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signals = append(c.signals, sig)
}

// Signals returns the signals sent so far and forgets them.
func (c *Caller) Signals() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.signals
	c.signals = nil
	return s
}
