package shim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
)

// How the watch over Sentries goes: each is asked every pingEvery, and taken for stuck when it has not answered for
// stuckAfter.
const (
	pingEvery  = 10 * time.Second
	stuckAfter = 60 * time.Second
)

// watch asks the Sentries of this shim whether they live.
func (s *service) watch(ctx context.Context) {
	tick := time.NewTicker(s.pingEvery)
	defer tick.Stop()
	silent := map[*container]time.Time{} // since when
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, c := range s.sandboxes() {
			err := c.ping()
			since, was := silent[c]
			switch {
			case err == nil || c.frozen():
				delete(silent, c)
			case !was:
				silent[c] = time.Now()
			case time.Since(since) > s.stuckAfter:
				delete(silent, c)
				s.endStuck(c, err)
			}
		}
		for c := range silent {
			if !c.init.ExitedAt().IsZero() {
				delete(silent, c)
			}
		}
	}
}

// sandboxes returns the containers that have a Sentry of their own and have not ended.
func (s *service) sandboxes() (list []*container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.containers {
		if c == nil || !c.init.ExitedAt().IsZero() {
			continue
		}
		if _, err := os.Stat(filepath.Join(c.root, c.id, "control.sock")); err == nil {
			list = append(list, c)
		}
	}
	return list
}

// ping asks the Sentry of a sandbox for the container's status.
func (c *container) ping() error {
	dir, err := os.Open(filepath.Join(c.root, c.id))
	if err != nil {
		return nil // being deleted
	}
	defer dir.Close()
	cl, err := control.Dial(dir, "control.sock")
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return nil // it has ended, which is not to be stuck
	}
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = cl.Status(c.id)
	var answer *control.Error
	if errors.As(err, &answer) || errors.Is(err, control.ErrGone) {
		return nil
	}
	return err
}

// frozen reports whether somebody keeps the sandbox from running by the freezer of its cgroup.
func (c *container) frozen() bool {
	switch cg := c.cgroup.(type) {
	case cgroup1.Cgroup:
		st := cg.State()
		return st == cgroup1.Frozen || st == cgroup1.Freezing
	case *cgroup2.Manager:
		path, err := cgroup2.PidGroupPath(c.init.Pid())
		if err != nil {
			return false
		}
		data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path, "cgroup.events"))
		return err == nil && strings.Contains(string(data), "frozen 1")
	}
	return false
}

// sentryPID reads from runsc's state which process the Sentry is: containerd may know the container by another.
func (c *container) sentryPID() int {
	var st struct {
		Sentry struct {
			PID int `json:"pid"`
		} `json:"sentry"`
	}
	data, err := os.ReadFile(filepath.Join(c.root, c.id, "state.json"))
	if err != nil || json.Unmarshal(data, &st) != nil || st.Sentry.PID <= 0 {
		return c.init.Pid()
	}
	return st.Sentry.PID
}

// endStuck ends a Sentry that does not answer. SIGABRT makes the Go runtime write the stacks of all goroutines to the
// sandbox's log first.
func (s *service) endStuck(c *container, err error) {
	pid := c.sentryPID()
	entry := log.G(s.ctx).WithError(err).WithField("id", c.id).WithField("pid", pid)
	entry.Errorf("the sandbox has not answered for %v: it is killed; its last words are in the sandbox's log", s.stuckAfter)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	unix.PidfdSendSignal(fd, unix.SIGABRT, nil, 0)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, _ := unix.Poll(poll, 3000); n == 0 {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}
