package hostcall

import (
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipes returns the ends of n pipes to read from, and a function that writes to all.
func pipes(t *testing.T, n int) (from []int, write func()) {
	t.Helper()
	var to []int
	for range n {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		from, to = append(from, p[0]), append(to, p[1])
	}
	t.Cleanup(func() {
		for i := range from {
			unix.Close(from[i])
			unix.Close(to[i])
		}
	})
	return from, func() {
		for _, fd := range to {
			if _, err := unix.Write(fd, []byte{'x'}); err != nil {
				t.Error(err)
			}
		}
	}
}

// read reads a byte by Long.
func read(fd int, others bool) (byte, uintptr, unix.Errno) {
	var b [1]byte
	n, errno := Long(others, unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1, 0, 0, 0)
	return b[0], n, errno
}

func TestLong(t *testing.T) {
	from, write := pipes(t, 1)
	for _, others := range []bool{false, true} {
		write()
		if b, n, errno := read(from[0], others); b != 'x' || n != 1 || errno != 0 {
			t.Errorf("others %v: read %q, %d, %v", others, b, n, errno)
		}
		if _, n, errno := read(-1, others); n != ^uintptr(0) || errno != unix.EBADF {
			t.Errorf("others %v: read from -1: %d, %v, want -1, EBADF", others, n, errno)
		}
	}
	if n := kept.Load(); n != 0 {
		t.Errorf("%d processors are kept when no call is under way", n)
	}
}

// However many calls are under way, one processor is left: whoever wants to run does, and garbage is collected.
func TestLongLeavesAProcessor(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	defer Processors(procs)
	Processors(2)
	const calls = 6
	from, write := pipes(t, calls)
	var wg sync.WaitGroup
	for i, fd := range from {
		wg.Go(func() {
			if _, n, errno := read(fd, i == 0); n != 1 || errno != 0 {
				t.Errorf("read: %d, %v", n, errno)
			}
		})
	}
	for end := time.Now().Add(10 * time.Second); kept.Load() != 1; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d processors are kept, want 1", kept.Load())
		}
	}
	runtime.GC()
	done := make(chan bool)
	go func() { done <- true }()
	<-done
	write()
	wg.Wait()
	if n := kept.Load(); n != 0 {
		t.Errorf("%d processors are kept in the end", n)
	}
}

// The stack of a goroutine may grow and move between calls, and be looked at during them.
func TestLongWhileStacksMove(t *testing.T) {
	from, write := pipes(t, 4)
	var wg sync.WaitGroup
	for _, fd := range from {
		wg.Go(func() {
			for i := range 200 {
				if b, n, errno := deep(i%50, fd); b != 'x' || n != 1 || errno != 0 {
					t.Errorf("read %q, %d, %v", b, n, errno)
					return
				}
			}
		})
	}
	for range 200 {
		write()
		runtime.GC()
	}
	wg.Wait()
}

func deep(n, fd int) (byte, uintptr, unix.Errno) {
	var pad [512]byte
	if n > 0 {
		pad[n] = 1
		b, r, errno := deep(n-1, fd)
		return b + pad[0], r, errno
	}
	return read(fd, true)
}

// BenchmarkLong compares what a call takes that keeps its processor with one that does not.
func BenchmarkLong(b *testing.B) {
	for _, others := range []bool{false, true} {
		b.Run(map[bool]string{false: "kept", true: "away"}[others], func(b *testing.B) {
			for b.Loop() {
				Long(others, unix.SYS_GETPPID, 0, 0, 0, 0, 0, 0)
			}
		})
	}
}
