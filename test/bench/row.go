package main

import "regexp"

// unit is what a row counts, and so which way is better.
type unit int

const (
	nanoseconds unit = iota // less is better
	byteCount               // less is better
	perSecond               // more is better
)

// row is one line of the table: an operation and what is asked of it.
type row struct {
	Name string // as jobs print it
	What string // for the reader
	Unit unit
	// The limits, 0 for none. With perSecond they are the least, else the most.
	VsNative, VsPeer, Absolute float64
}

// rows are the rows of the table in the order of issue 3, and after them those
// that are of interest but have no limit.
var rows = []row{
	{Name: "getpid", What: "getpid, patched", VsNative: 1},
	{Name: "getuid", What: "getuid, patched", VsNative: 1},
	{Name: "gettid", What: "gettid, patched", VsNative: 1},
	{Name: "clock_gettime", What: "clock_gettime by syscall(2), patched", VsNative: 1},
	{Name: "fstat", What: "fstat", VsPeer: 0.35, VsNative: 6},
	{Name: "lseek", What: "lseek", VsPeer: 0.35, VsNative: 6},
	{Name: "read1", What: "read 1 byte of /dev/zero", VsPeer: 0.35, VsNative: 6},
	{Name: "pread_tmpfs", What: "pread 4 KiB, tmpfs", VsPeer: 0.5, VsNative: 3},
	{Name: "pwrite_tmpfs", What: "pwrite 4 KiB, tmpfs", VsPeer: 0.5, VsNative: 3},
	{Name: "pread_root", What: "pread 4 KiB, root", VsPeer: 0.5, VsNative: 3},
	{Name: "pwrite_root", What: "pwrite 4 KiB, root", VsPeer: 0.5, VsNative: 3},
	{Name: "stat", What: "stat of a cached path", VsPeer: 0.5},
	{Name: "openclose", What: "open+close of a cached path", VsPeer: 0.5},
	{Name: "busy/fstat", What: "fstat, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/lseek", What: "lseek, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/read1", What: "read 1 byte, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/pread_tmpfs", What: "pread 4 KiB, tmpfs, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/pwrite_tmpfs", What: "pwrite 4 KiB, tmpfs, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/pread_root", What: "pread 4 KiB, root, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/pwrite_root", What: "pwrite 4 KiB, root, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/stat", What: "stat, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "busy/openclose", What: "open+close, cores busy", VsPeer: 0.5, Absolute: 9e3},
	{Name: "pipe", What: "pipe ping-pong, two processes", VsNative: 1},
	{Name: "futex", What: "futex ping-pong, two threads", VsNative: 1},
	{Name: "mmap4k", What: "mmap+munmap 4 KiB", VsPeer: 0.15},
	{Name: "mmap1m", What: "mmap 1 MiB, touch all, munmap", VsNative: 1.15},
	{Name: "fork", What: "fork+exit+wait", VsPeer: 0.4},
	{Name: "forkexec", What: "fork+exec of a static binary", VsPeer: 0.4},
	{Name: "thread", What: "thread create+join", VsPeer: 0.4},
	{Name: "sh500", What: "sh: 500 × /bin/true", VsPeer: 0.4},
	{Name: "make", What: "make -j2, 50 C files", VsPeer: 0.6, VsNative: 1.6},
	{Name: "find1", What: "find / -xdev, first", VsPeer: 0.3},
	{Name: "find2", What: "find / -xdev, again", VsPeer: 0.3},
	{Name: "tar1", What: "tar of /usr/share to a pipe, first", VsPeer: 0.3},
	{Name: "tar2", What: "tar of /usr/share to a pipe, again", VsPeer: 0.3},
	{Name: "compileall", What: "python3 -m compileall, standard library", VsNative: 1.25},
	{Name: "gcc3", What: "gcc -O2 hello × 3", VsPeer: 0.45},
	{Name: "redis_set", What: "redis SET, 20 clients", Unit: perSecond, VsPeer: 2.5},
	{Name: "redis_get", What: "redis GET, 20 clients", Unit: perSecond, VsPeer: 2.5},
	{Name: "nginx_keep", What: "nginx 1 KiB, keep-alive", Unit: perSecond, VsPeer: 2.5},
	{Name: "nginx_new", What: "nginx 1 KiB, new connections", Unit: perSecond, VsPeer: 2.5},
	{Name: "pgbench_tpcb", What: "pgbench TPC-B", Unit: perSecond, VsPeer: 2.5},
	{Name: "pgbench_select", What: "pgbench select-only", Unit: perSecond, VsPeer: 2.5},
	{Name: "start", What: "run of a static /bin/true, cold, wall", VsPeer: 0.4, Absolute: 45e6},
	{Name: "idle_pss", What: "idle sleep, PSS of all processes, ten at once", Unit: byteCount, VsPeer: 0.6},
	{Name: "idle_cpu", What: "CPU time of an idle sandbox in 30 s", Absolute: 10e6},
	{Name: "cpu1", What: "CPU-bound loop, one thread", VsNative: 1.02},
	{Name: "cpu4", What: "CPU-bound loop, 4 threads", VsNative: 1.02},
	{Name: "sysemu", What: "getpid on ptrace; native: a bare tracer's round trip", VsNative: 1.6},
	{Name: "fault", What: "page fault"},
	{Name: "signal", What: "signal to self"},
	{Name: "epoll", What: "epoll_wait, one ready"},
	{Name: "unix", What: "unix socket ping-pong"},
	{Name: "tcp", What: "TCP ping-pong"},
	{Name: "connect", What: "TCP connect+accept+close"},
}

// pick returns the rows whose name the expression matches.
func pick(only *regexp.Regexp) (picked []row) {
	for _, r := range rows {
		if only.MatchString(r.Name) {
			picked = append(picked, r)
		}
	}
	return picked
}
