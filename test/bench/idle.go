package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What idle sandboxes cost is taken of crowd of each runtime, all there at once
// and all doing nothing, after they have settled.
const (
	crowd  = 10
	settle = 3 * time.Second
	window = 10 * time.Second
	// asked is the time the row is about; a sandbox is seen for a window of it.
	asked = 30 * time.Second
)

// sleeper is an idle sandbox.
type sleeper struct {
	rt    *runtime
	place *place
	guard *exec.Cmd
	stop  func()
}

// idle measures the memory and the CPU time of idle sandboxes of all runtimes.
func (b *bench) idle(ctx context.Context) {
	var all []*sleeper
	defer func() {
		for _, s := range all {
			s.end(b)
		}
	}()
	failed := map[string]bool{}
	for range crowd {
		for _, rt := range b.runtimes {
			if failed[rt.column] || !b.idleWanted(rt.column) {
				continue
			}
			s, err := b.sleep(ctx, rt)
			if s != nil {
				all = append(all, s)
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				failed[rt.column] = true
				b.idleFailed(rt.column, err)
			}
		}
	}
	if sleepFor(ctx, settle); ctx.Err() != nil {
		return
	}
	b.idleSample(all, failed, "idle_pss", func(s *sleeper) (float64, error) { return sum(s.processes(), pss) })
	before := map[*sleeper]float64{}
	for _, s := range all {
		before[s], _ = sum(s.processes(), cpuTime)
	}
	sleepFor(ctx, window)
	if ctx.Err() == nil {
		b.idleSample(all, failed, "idle_cpu", func(s *sleeper) (float64, error) {
			after, err := sum(s.processes(), cpuTime)
			return (after - before[s]) * float64(asked/window), err
		})
	}
}

var idleRows = []string{"idle_pss", "idle_cpu"}

func (b *bench) idleWanted(column string) bool {
	return len(b.wanted(&job{rows: idleRows}, column)) > 0
}

func (b *bench) idleFailed(column string, err error) {
	for _, name := range b.wanted(&job{rows: idleRows}, column) {
		fmt.Fprintf(b.log, "  %s, %s: %v\n", column, name, err)
		c := b.table.at(name, column)
		c.Failures = append(c.Failures, err.Error())
	}
}

// idleSample adds for each runtime the mean over its sandboxes.
func (b *bench) idleSample(all []*sleeper, failed map[string]bool, name string, value func(*sleeper) (float64, error)) {
	if !b.picked[name] {
		return
	}
	total, count := map[string]float64{}, map[string]float64{}
	for _, s := range all {
		column := s.rt.column
		if failed[column] {
			continue
		}
		v, err := value(s)
		if err != nil {
			failed[column] = true
			b.idleFailed(column, err)
			continue
		}
		total[column] += v
		count[column]++
	}
	for column, n := range count {
		if !failed[column] {
			c := b.table.at(name, column)
			c.Samples = append(c.Samples, total[column]/n)
		}
	}
}

// sleep starts a sandbox that does nothing and waits until it has started.
func (b *bench) sleep(ctx context.Context, rt *runtime) (*sleeper, error) {
	p, err := b.newPlace("")
	if err != nil {
		return nil, err
	}
	args, err := b.argv(rt, p, true, []string{"/bin/sleeper"})
	if err != nil {
		p.remove()
		return nil, err
	}
	// A file, not a pipe: the sandbox keeps it open.
	out, err := os.Create(filepath.Join(p.dir, "out"))
	if err != nil {
		p.remove()
		return nil, err
	}
	defer out.Close()
	s := &sleeper{rt: rt, place: p}
	if s.guard, s.stop, err = b.guarded(out, out, true, args); err != nil {
		p.remove()
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(out.Name())
		ended := bytes.Contains(text, []byte("result wall"))
		if n := len(s.processes()); ended && n == 0 {
			return s, fmt.Errorf("it has ended: %s", lastLine(string(text)))
		} else if ended || rt.binary == "" && n > 0 {
			return s, nil
		}
	}
	return s, fmt.Errorf("timeout of start")
}

// end deletes the sandbox and whatever is left of it.
func (s *sleeper) end(b *bench) {
	b.end(s.rt, s.place)
	s.stop()
	wait(s.guard)
	s.place.remove()
}

// processes returns the ids of all processes of the sandbox: those below its guard.
func (s *sleeper) processes() []int {
	return below(s.guard.Process.Pid, children())
}

// children returns the processes of the machine by their parent.
func children() map[int][]int {
	all := map[int][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		// pid (name, which may hold anything) state ppid …, proc(5)
		rest := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if len(rest) > 1 && rest[0] != "Z" {
			parent, _ := strconv.Atoi(rest[1])
			all[parent] = append(all[parent], pid)
		}
	}
	return all
}

// below returns all descendants of a process.
func below(pid int, children map[int][]int) (all []int) {
	for _, c := range children[pid] {
		all = append(append(all, c), below(c, children)...)
	}
	return all
}

// sum adds a property of processes.
func sum(pids []int, property func(pid int) (float64, error)) (total float64, err error) {
	if len(pids) == 0 {
		return 0, fmt.Errorf("the sandbox has no process left")
	}
	for _, pid := range pids {
		v, err := property(pid)
		if err != nil {
			return 0, err
		}
		total += v
	}
	return total, nil
}

// pss returns the proportional set size of a process, in bytes.
func pss(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no Pss", pid)
}

// cpuTime returns the nanoseconds all threads of a process have run, those that
// ended too, from the process's clock: /proc counts in steps of 10 ms.
func cpuTime(pid int) (float64, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of a process, clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
		return 0, fmt.Errorf("clock of process %d: %w", pid, err)
	}
	return float64(t.Nano()), nil
}

func sleepFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
