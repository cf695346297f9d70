package isolate

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slacks returns the timer slack of each thread of this process.
func slacks(t *testing.T) map[string]time.Duration {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]time.Duration{}
	for _, e := range threads {
		data, err := os.ReadFile("/proc/" + e.Name() + "/timerslack_ns")
		if err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = time.Duration(ns)
	}
	return all
}

// TestRelaxMonitor looks whether one thread, and always the same, gets the slack.
func TestRelaxMonitor(t *testing.T) {
	before := slacks(t)
	for range 20 {
		if err := RelaxMonitor(); err != nil {
			t.Fatal(err)
		}
	}
	changed := 0
	for tid, slack := range slacks(t) {
		if old, ok := before[tid]; ok && old != slack {
			changed++
			if err := os.WriteFile("/proc/"+tid+"/timerslack_ns", strconv.AppendInt(nil, old.Nanoseconds(), 10), 0); err != nil {
				t.Error(err)
			}
			if slack != MonitorSlack {
				t.Errorf("thread %s: slack of %v, want %v", tid, slack, MonitorSlack)
			}
		}
	}
	if changed != 1 {
		t.Errorf("%d threads have been changed, want 1", changed)
	}
}
