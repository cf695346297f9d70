package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A procID names a process of the host for good: a number is used again, a number with a start time is not before the
// machine starts anew.
type procID struct {
	PID int `json:"pid"`
	// Start is field 22 of /proc/PID/stat (proc_pid_stat(5)), in clock ticks after boot.
	Start uint64 `json:"start"`
	// Boot is the boot in which the process runs (/proc/sys/kernel/random/boot_id): numbers and start times begin
	// anew with the next. "" if the machine does not tell.
	Boot string `json:"boot,omitempty"`
}

// bootID reads what tells one boot of the machine from another.
var bootID = sync.OnceValue(func() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
})

// identify reads the start time of a process that is known to be there.
func identify(pid int) (procID, error) {
	start, _, err := procStat(pid)
	return procID{PID: pid, Start: start, Boot: bootID()}, err
}

// procStat reads start time and state letter of a process.
func procStat(pid int) (start uint64, state byte, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name in parentheses can have anything in it, so count from its end: field 3 is the first one after.
	i := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[i+1:])
	if i < 0 || len(fields) < 20 {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return start, fields[0][0], err
}

// alive tells whether the process runs; a zombie does not.
func (p procID) alive() bool {
	if p.PID <= 0 || p.Boot != "" && p.Boot != bootID() {
		return false
	}
	start, state, err := procStat(p.PID)
	return err == nil && start == p.Start && state != 'Z' && state != 'X'
}

// open returns a descriptor of the process, -1 if it has gone.
func (p procID) open() int {
	if p.PID <= 0 {
		return -1
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return -1
	}
	if !p.alive() { // checked with the descriptor in hand: the number cannot change its owner any more
		unix.Close(fd)
		return -1
	}
	return fd
}

// errStillAlive is returned when a process has not ended in time.
var errStillAlive = errors.New("the process has not ended in time")

// end waits until the process has ended, and kills it when patience runs out.
func (p procID) end(patience time.Duration) error {
	fd := p.open()
	if fd < 0 {
		return nil
	}
	defer unix.Close(fd)
	if patience > 0 && waitFD(fd, patience) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	if !waitFD(fd, 10*time.Second) {
		return fmt.Errorf("process %d: %w", p.PID, errStillAlive)
	}
	return nil
}

// waitFD waits until a process descriptor says that the process has ended.
func waitFD(fd int, timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if n > 0 {
			return true
		}
		if err != nil && err != unix.EINTR {
			return false
		}
	}
}
