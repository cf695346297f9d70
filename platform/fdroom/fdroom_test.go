package fdroom

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tableSize is how many descriptors the kernel's table has room for, as proc_pid_status(5) tells.
func tableSize(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "FDSize:")
	size, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGot(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < second {
		t.Fatalf("the limit of descriptors, %d, leaves no room to make", limit.Cur)
	}
	before := tableSize(t)
	if before >= second {
		t.Fatalf("the table has room for %d descriptors before the test", before)
	}
	Got(first / 8)
	if n := room.Load(); n != first {
		t.Errorf("one of few descriptors made room for %d", n)
	}
	Got(first - 1)
	Got(first - 1)
	if n := room.Load(); n != second {
		t.Errorf("room for %d was made, want %d", n, second)
	}
	for end := time.Now().Add(10 * time.Second); tableSize(t) < second; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the table has room for %d descriptors", tableSize(t))
		}
	}
}
