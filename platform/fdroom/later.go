package fdroom

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxLater is how many descriptors wait to be closed.
	maxLater = 64
	// laterBy is how long they wait at most.
	laterBy = 100 * time.Millisecond
)

// later are descriptors to be closed when there is nothing else to do: to close one takes three microseconds, for which the
// application need not wait.
var later struct {
	n     atomic.Int32 // of fds
	mu    sync.Mutex   // what follows, and changes of n; a leaf
	fds   [maxLater]int
	timed bool // sweep is going to be called
}

// CloseLater takes over fd, of a file that to close waits for nobody, and closes it within a tenth of a second. It does not
// block.
func CloseLater(fd int) {
	later.mu.Lock()
	n := later.n.Load()
	if n == maxLater {
		later.mu.Unlock()
		unix.Close(fd)
		return
	}
	later.fds[n] = fd
	later.n.Store(n + 1)
	if !later.timed {
		later.timed = true
		time.AfterFunc(laterBy, sweep)
	}
	later.mu.Unlock()
}

// CloseOne closes one of those that wait; false if there is none. Who waits for something may call it in between.
func CloseOne() bool {
	if later.n.Load() == 0 {
		return false
	}
	later.mu.Lock()
	n := later.n.Load() - 1
	if n < 0 {
		later.mu.Unlock()
		return false
	}
	fd := later.fds[n]
	later.n.Store(n)
	later.mu.Unlock()
	unix.Close(fd)
	return true
}

// CloseAll closes all that wait.
func CloseAll() {
	for CloseOne() {
	}
}

func sweep() {
	later.mu.Lock()
	later.timed = false
	later.mu.Unlock()
	CloseAll()
}
