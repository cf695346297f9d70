package container

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What the host must have left for a sandbox: the Go runtime ends the Sentry when the host refuses it a thread, so
// applications are refused first.
const (
	// threadsPerTask is the most host threads that a task takes: one of the Sentry, its stub, and, if it has an address
	// space of its own, the process that keeps that.
	threadsPerTask = 3
	// threadReserve is what the Sentry and the gofer themselves may need: the runtime's own, and work on files.
	threadReserve = 64
)

// maxTasks returns how many tasks the host has threads for, at least 1; 0 if nothing bounds them.
func (b *birth) maxTasks() int32 {
	left := int64(-1)
	lower := func(n int64) {
		if left < 0 || n < left {
			left = max(n, 0)
		}
	}
	b.pidsLeft(lower)
	// Threads are counted for each user namespace by itself, so these are all the sandbox's.
	var nproc unix.Rlimit
	if err := unix.Prlimit(b.sentry.Pid, unix.RLIMIT_NPROC, nil, &nproc); err == nil && nproc.Cur != unix.RLIM_INFINITY {
		lower(int64(min(nproc.Cur, 1<<32)))
	}
	for _, file := range []string{"/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"} {
		if n, ok := readNumber(file); ok {
			lower(n)
		}
	}
	if left < 0 {
		return 0
	}
	return int32(min(max((left-threadReserve)/threadsPerTask, 1), 1<<30))
}

// pidsLeft tells what the pids controller leaves in the sandbox's cgroup and each above it.
func (b *birth) pidsLeft(lower func(int64)) {
	m, err := b.cgroupManager()
	if err != nil {
		return
	}
	dir := m.Path("pids")
	if dir == "" {
		dir = m.Path("")
	}
	if b.sandbox == nil && dir == b.pidsCgroup() {
		dir = filepath.Dir(dir) // the Sentry's own limit is not one of the host
	}
	for ; len(dir) > len("/sys/fs/cgroup"); dir = filepath.Dir(dir) {
		limit, ok := readNumber(filepath.Join(dir, "pids.max"))
		if !ok {
			continue // "max", or no controller here
		}
		used, _ := readNumber(filepath.Join(dir, "pids.current"))
		lower(limit - used)
	}
}

// readNumber reads a file that holds a number.
func readNumber(file string) (int64, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n, err == nil
}
