// Package fdroom has the host's kernel make room for this process's descriptors before it is needed, and closes some when
// there is time.
//
// When the table of descriptors is full Linux makes a larger one, and in a process of several threads whoever opened what
// did not fit waits for all processors to have passed a quiet moment (expand_fdtable in fs/file.c, synchronize_rcu): 8 to
// 16 ms on a virtual machine with two processors, at 256 descriptors, 512, 1024, and so on. A goroutine of this package
// waits for that instead, while there is room.
//
// It must never do so early: a process cannot end before the wait does, and one that starts and ends at once opens few.
package fdroom

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// first is the room that a process of ours starts with; growth is how many times as much is made.
	first  = 256
	second = 4096
	growth = 4
)

// room is how many descriptors fit, about.
var room atomic.Int64

func init() { room.Store(first) }

// Got notes that fd, not negative, was opened just now. It does not block. Linux gives the lowest number that is free: so it
// tells how full the table is.
func Got(fd int) {
	if n := room.Load(); int64(fd) >= n/8*3 {
		grow(n)
	}
}

// grow makes more room than n, unless somebody does already.
func grow(n int64) {
	more := max(second, growth*n)
	if room.CompareAndSwap(n, more) {
		go widen(int(more))
	}
}

// widen makes room for n descriptors, if that many are allowed. It takes the last one for a moment: standard error, of
// which it does not matter that it is open twice.
func widen(n int) {
	fd, err := unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, n-1)
	if err == nil {
		unix.Close(fd)
	}
}
