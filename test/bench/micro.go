package main

import (
	"fmt"
	"os/exec"
	goruntime "runtime"
	"strings"
	"time"
)

// microJobs are runs of the C program micro, few operations each, so that the
// runtimes take turns often.
func microJobs() []*job {
	groups := [][]string{
		{"getpid", "getuid", "gettid", "clock_gettime"},
		{"fstat", "lseek", "read1"},
		{"pread_tmpfs", "pwrite_tmpfs", "pread_root", "pwrite_root"},
		{"stat", "openclose"},
		{"pipe", "futex", "unix"},
		{"mmap4k", "mmap1m", "fault"},
		{"fork", "forkexec", "thread"},
		{"cpu1", "cpu4"},
		{"signal", "epoll", "tcp", "connect"},
	}
	var jobs []*job
	for _, g := range groups {
		jobs = append(jobs, &job{rows: g, quick: true, apart: true, limit: 15 * time.Second, args: micro(15, 7)})
	}
	busy := []string{"fstat", "lseek", "read1", "pread_tmpfs", "pwrite_tmpfs", "pread_root", "pwrite_root", "stat", "openclose"}
	for i := range busy {
		busy[i] = "busy/" + busy[i]
	}
	// Chunks of many time slices, so that the share of the cores is in them.
	jobs = append(jobs, &job{rows: busy, quick: true, apart: true, busy: true, limit: 25 * time.Second, args: micro(25, 7), rename: bare(busy)})
	return jobs
}

// micro returns the command for rows, in chunks of some milliseconds.
func micro(ms, chunks int) func(string, []string) []string {
	return func(_ string, rows []string) []string {
		args := []string{"/bin/micro", "-c", fmt.Sprint(ms), "-k", fmt.Sprint(chunks)}
		for _, r := range rows {
			args = append(args, operation(r))
		}
		return args
	}
}

// operation is the name of a row's operation in the program.
func operation(row string) string { return row[strings.IndexByte(row, '/')+1:] }

// bare maps the operations of rows back to the rows.
func bare(rows []string) map[string]string {
	m := map[string]string{}
	for _, r := range rows {
		m[operation(r)] = r
	}
	return m
}

// ptraceJob compares a system call on the ptrace platform with what a tracer
// that does nothing else can do.
func ptraceJob() *job {
	return &job{
		rows: []string{"sysemu"}, quick: true, limit: 30 * time.Second, platform: "ptrace", rename: map[string]string{"getpid": "sysemu"},
		args: func(column string, _ []string) []string {
			if column == native {
				return []string{"/bin/tracer"}
			}
			return []string{"/bin/micro", "getpid"}
		},
	}
}

// startJob takes the time of a whole run, which the guard prints.
func startJob() *job {
	return &job{
		rows: []string{"start"}, quick: true, limit: 20 * time.Second, rename: map[string]string{"wall": "start"},
		args: func(string, []string) []string { return []string{"/bin/true"} },
	}
}

// hogs keeps every core busy until the returned function is called.
func (b *bench) hogs() (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	for i := range goruntime.NumCPU() {
		cmd, end, err := b.guarded(nil, nil, false, []string{b.dir + "/bin/hog", fmt.Sprint(i)})
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, func() { end(); wait(cmd) })
	}
	time.Sleep(50 * time.Millisecond)
	return stop, nil
}

// wait waits for a command of which the end is no news.
func wait(cmd *exec.Cmd) { _ = cmd.Wait() }
