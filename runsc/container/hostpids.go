package container

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// HostPIDs returns the host's numbers of the processes that run the container's, for engines, which show what ps(1) on
// the host tells of them. Where the platform has none that can be told apart it is the container's own process.
func (c *Container) HostPIDs() ([]int, error) {
	processes, err := c.Processes()
	if err != nil {
		return nil, err
	}
	inside := make(map[int]bool)
	for _, p := range processes {
		if p.HostPID != 0 {
			inside[p.HostPID] = true
		}
	}
	var pids []int
	if len(inside) > 0 {
		pids = hostNumbers(c.Sentry.PID, inside)
	}
	if len(pids) == 0 {
		pids = []int{c.Init.PID}
	}
	return pids, nil
}

// hostNumbers finds processes by their numbers in the PID namespace of the process leader.
func hostNumbers(leader int, inside map[int]bool) (pids []int) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", leader))
	if err != nil {
		return nil
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if ns, err := os.Readlink(dir + "/ns/pid"); err != nil || ns != namespace {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && inside[innermost(dir+"/status")] {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// innermost reads the number that a process has in its own PID namespace (NSpid of proc_pid_status(5)), 0 if there is
// none.
func innermost(status string) int {
	f, err := os.Open(status)
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "NSpid:"); ok {
			numbers := strings.Fields(rest)
			if len(numbers) == 0 {
				return 0
			}
			n, _ := strconv.Atoi(numbers[len(numbers)-1])
			return n
		}
	}
	return 0
}
