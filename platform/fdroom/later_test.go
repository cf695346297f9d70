package fdroom

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipe returns a descriptor that is the last to write to a pipe, and closed, which reports whether it was closed.
func pipe(t *testing.T) (fd int, closed func() bool) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]) })
	return p[1], func() bool {
		n, err := unix.Read(p[0], make([]byte, 1))
		return n == 0 && err == nil
	}
}

// closedOf counts those that were closed.
func closedOf(all []func() bool) (n int) {
	for _, closed := range all {
		if closed() {
			n++
		}
	}
	return n
}

func TestCloseLater(t *testing.T) {
	var all []func() bool
	for range maxLater + 1 {
		fd, closed := pipe(t)
		CloseLater(fd)
		all = append(all, closed)
	}
	if n := closedOf(all); n == 0 {
		t.Errorf("more than %d descriptors wait", maxLater)
	}
	CloseAll()
	if n := closedOf(all); n != len(all) {
		t.Errorf("%d of %d are closed", n, len(all))
	}
	if CloseOne() {
		t.Error("there was another one")
	}
}

func TestClosedInTime(t *testing.T) {
	fd, closed := pipe(t)
	CloseLater(fd)
	for start := time.Now(); !closed(); time.Sleep(laterBy / 20) {
		if time.Since(start) > 100*laterBy {
			t.Fatal("a descriptor is not closed")
		}
	}
}
