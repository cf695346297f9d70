package isolate

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MonitorSlack is how late the monitor of Go's runtime may wake up.
const MonitorSlack = time.Millisecond

// RelaxMonitor lets the monitor thread of Go's runtime oversleep by up to MonitorSlack. For some milliseconds after any
// call that lost its processor it looks every 20 µs for more of them, with the 50 µs of slack that a thread has: ten
// thousand times a second, on the application's core as likely as on ours, where each interrupt by the timer takes 30 µs if
// the machine is a virtual one. What it looks for can wait: those who wait for applications do not need their
// processors taken from them.
//
// A thread that the monitor itself starts, which is rare, inherits the slack (PR_SET_TIMERSLACK, prctl(2)). Timers that
// such a one waits for are late by up to as much, beside the millisecond to which Go rounds them up.
//
// /proc is still the host's, and the caller has CAP_SYS_NICE in its user namespace.
func RelaxMonitor() error {
	tid, err := monitor()
	if err != nil {
		return err
	}
	return os.WriteFile("/proc/"+tid+"/timerslack_ns", strconv.AppendInt(nil, MonitorSlack.Nanoseconds(), 10), 0)
}

// monitor returns the number, in /proc, of the thread that sleeps in nanosleep(2): no other is ever found at it.
func monitor() (tid string, err error) {
	const looks = 200 // it sleeps nearly all the time while we make calls, but for the first, which may wake it
	sleeps := fmt.Sprint(unix.SYS_NANOSLEEP, " ")
	for range looks {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return "", fmt.Errorf("find the runtime's monitor: %w", err)
		}
		for _, t := range threads {
			call, err := os.ReadFile("/proc/self/task/" + t.Name() + "/syscall")
			if err == nil && strings.HasPrefix(string(call), sleeps) {
				return t.Name(), nil
			}
		}
	}
	return "", errors.New("find the runtime's monitor: no thread sleeps")
}
