package systrap

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waiting is how a context waits for its stub.
type waiting struct{}

const (
	// patience is how long a thread that was interrupted may go on before its
	// process is taken to be hostile, and killed.
	patience = 5 * time.Second
	spins    = 2000
)

// wait waits until the stub gives the context back.
func (c *context) wait(t *thread) error {
	*t.u32(offSpin) = spins
	state := t.u32(offState)
	if spin(state, spins) {
		return nil
	}
	var since time.Time
	for {
		atomic.StoreUint32(t.u32(offAwake), 1)
		if atomic.LoadUint32(state) == stateSentry {
			break
		}
		if t.p.dead.Load() {
			return errDead
		}
		var timeout *unix.Timespec
		if c.state.Load() == interrupted {
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) > patience {
				unix.Kill(t.p.pid, unix.SIGKILL)
				return errDead
			}
			timeout = &unix.Timespec{Nsec: int64(patience / 50)}
		}
		futexWait(state, stateApp, timeout)
	}
	atomic.StoreUint32(t.u32(offAwake), 0)
	return nil
}
