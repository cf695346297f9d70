package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/spec"
)

// dial connects to the container's Sentry.
func (c *Container) dial() (*control.Client, error) {
	dir := c.dir
	if c.Sandbox != "" {
		root, err := openDir(c.opts, c.Sandbox)
		if err != nil {
			return nil, errNotRunning()
		}
		defer root.Close()
		dir = root.dir
	}
	cl, err := control.Dial(dir, socketName)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, errNotRunning()
	}
	return cl, err
}

// with makes one request.
func (c *Container) with(do func(*control.Client) error) error {
	cl := c.conn
	if cl == nil {
		var err error
		if cl, err = c.dial(); err != nil {
			return err
		}
		defer cl.Close()
	}
	if err := do(cl); errors.Is(err, control.ErrGone) {
		return errNotRunning()
	} else if err != nil {
		return err
	}
	return nil
}

// errNotRunning words the end of a container as engines look for it.
func errNotRunning() error {
	return &control.Error{Text: "container not running", Kind: control.KindNotRunning}
}

// Current returns the container's status now: that of the disk, corrected by what its process and the Sentry say.
func (c *Container) Current() control.Status {
	if c.Status == control.Creating {
		if c.lock == nil && c.acquire(false) == nil {
			c.lock.Close()
			c.lock = nil
			return control.Stopped // its creator has gone before the end
		}
		return control.Creating
	}
	if !c.Sentry.alive() || !c.Init.alive() {
		return control.Stopped
	}
	status := c.Status
	err := c.with(func(cl *control.Client) error {
		s, err := cl.Status(c.ID)
		if err == nil {
			status = s
		}
		return err
	})
	var e *control.Error
	if errors.As(err, &e) && e.Kind != control.KindNone || !c.Sentry.alive() {
		return control.Stopped
	}
	return status
}

// A Report is what `state` prints: the state of the OCI specification and what runc adds to it.
type Report struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

// Report describes the container now.
func (c *Container) Report() *Report {
	r := &Report{
		Version: specs.Version, ID: c.ID, Status: string(c.Current()), Bundle: c.Bundle, Rootfs: c.Rootfs,
		Created: c.Created, Annotations: c.Spec.Annotations, Owner: c.Owner,
	}
	if r.Status != string(control.Stopped) {
		r.Pid = c.Init.PID
	}
	return r
}

// Unlock lets others change the container that Create has made.
func (c *Container) Unlock() *Container {
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
	return c
}

// Start lets the program of a created container run.
func (c *Container) Start() error {
	if err := c.acquire(true); err != nil {
		return err
	}
	defer c.Unlock()
	if err := c.load(); err != nil {
		return err
	}
	switch c.Current() {
	case control.Creating:
		return errors.New("cannot start a container that is being created")
	case control.Running, control.Paused:
		return errors.New("cannot start an already running container")
	case control.Stopped:
		return errors.New("cannot start a container that has stopped")
	}
	return c.start()
}

// start is Start for a container that is locked and known to wait for it.
func (c *Container) start() error {
	err := c.lateNetwork()
	if err == nil {
		err = c.startHooks()
	}
	if err != nil {
		c.kill()
		return err
	}
	if err := c.with(func(cl *control.Client) error { return cl.Start(c.ID) }); err != nil {
		return err
	}
	c.Status = control.Running
	if err := c.save(); err != nil {
		return err
	}
	if c.Spec.Hooks == nil {
		return nil
	}
	state := c.ociState(specs.StateRunning, c.Init.PID)
	if err := c.runHooks("poststart", c.Spec.Hooks.Poststart, state, ""); err != nil {
		c.kill()
		return err
	}
	return nil
}

// Wait returns the wait status of the container's init, or of another process of it, when it has ended.
func (c *Container) Wait(pid int32) (control.WaitStatus, error) {
	var ws control.WaitStatus
	err := c.with(func(cl *control.Client) (err error) {
		ws, err = cl.Wait(c.ID, pid)
		return err
	})
	var e *control.Error
	if err == nil || pid != 0 || errors.As(err, &e) && e.Kind == control.KindNone {
		return ws, err
	}
	if ws, ok := c.recorded(); ok {
		return ws, nil
	}
	return 0, fmt.Errorf("container %s has ended and left no exit status", c.ID)
}

// recorded reads the wait status that the Sentry left at its end.
func (c *Container) recorded() (control.WaitStatus, bool) {
	data, err := os.ReadFile(filepath.Join(c.path, exitName))
	var n uint32
	if err == nil {
		_, err = fmt.Sscanf(string(data), "%d\n", &n)
	}
	return control.WaitStatus(n), err == nil
}

// Signal sends a signal to the container's init, or with all to every process. A Sentry that does not answer cannot
// keep SIGKILL from happening.
func (c *Container) Signal(sig unix.Signal, all bool) error {
	if c.Current() == control.Stopped {
		if all {
			return nil // as runc: everything is signalled
		}
		return errNotRunning()
	}
	mode := control.SignalProcess
	if all {
		mode = control.SignalAll
	}
	err := c.with(func(cl *control.Client) error { return cl.Signal(c.ID, 0, int32(sig), mode) })
	var e *control.Error
	if err != nil && sig == unix.SIGKILL {
		if !errors.As(err, &e) {
			return c.kill()
		}
		if c.Current() == control.Stopped {
			return nil // it ended before the Sentry could answer
		}
	}
	return err
}

// kill ends the sandbox from outside and waits for it, and with it, if it does not answer, all of its containers. The
// gofer ends when the Sentry has hung up.
func (c *Container) kill() error {
	if c.Sandbox != "" && c.with(func(cl *control.Client) error { return cl.Signal(c.ID, 0, int32(unix.SIGKILL), control.SignalAll) }) == nil {
		return nil
	}
	return errors.Join(c.Sentry.end(0), c.Gofer.end(2*time.Second))
}

// Delete removes a container that has stopped, or with force any, and everything of it.
func (c *Container) Delete(force bool) error {
	if err := c.acquire(true); err != nil {
		return err
	}
	if err := c.load(); err != nil {
		if _, ok := err.(*control.Error); ok || !force {
			return err
		}
		return c.deleteDamaged()
	}
	switch status := c.Current(); status {
	case control.Creating:
		// We hold the lock, so whoever was creating it has gone.
	case control.Stopped, control.Created:
	default:
		if !force {
			return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, status)
		}
	}
	c.with(func(cl *control.Client) error { return cl.Destroy(c.ID) }) // a clean end where there is one
	if err := c.endProcesses(); err != nil {
		return err
	}
	c.releaseNetwork()
	if c.Cgroup {
		c.removeCgroup()
	}
	if c.Spec.Hooks != nil {
		c.poststop()
	}
	return c.remove()
}

// endProcesses waits until the container's processes on the host have ended, and kills those that do not. Of a
// container in a sandbox that goes on that is the keeper: the gofer ends when no other container uses its volumes.
func (c *Container) endProcesses() error {
	if c.Sandbox == "" {
		return errors.Join(c.Sentry.end(2*time.Second), c.Init.end(2*time.Second), c.Gofer.end(2*time.Second), c.Forwarder.end(2*time.Second),
			c.Follower.end(2*time.Second), c.endGofers())
	}
	err := c.Init.end(2 * time.Second)
	if !c.Sentry.alive() {
		err = errors.Join(err, c.Gofer.end(2*time.Second))
	}
	return err
}

// deleteDamaged removes what can be found without the state.
func (c *Container) deleteDamaged() error {
	c.with(func(cl *control.Client) error { return cl.Destroy(c.ID) })
	var st State
	if readState(filepath.Join(c.path, stateName), &st) == nil {
		c.Sandbox, c.Sentry, c.Init, c.Gofer, c.Forwarder, c.Follower = st.Sandbox, st.Sentry, st.Init, st.Gofer, st.Forwarder, st.Follower
		if err := c.endProcesses(); err != nil {
			return err
		}
		c.SystemdCgroup, c.NetPath, c.NetInode = st.SystemdCgroup, st.NetPath, st.NetInode
		c.releaseNetwork()
	}
	// The cgroup's path stands in both files; without either it is the default one.
	s := specs.Spec{Linux: &specs.Linux{CgroupsPath: st.CgroupsPath}}
	var whole specs.Spec
	if readState(filepath.Join(c.path, spec.ConfigName), &whole) == nil && whole.Linux != nil {
		s = whole
	}
	c.Spec = &s
	c.removeCgroup()
	return c.remove()
}

// DeleteAny is Open and Delete, for a container that may be damaged.
func DeleteAny(opts *Options, id string, force bool) error {
	c, err := openDir(opts, id)
	if err != nil {
		var e *control.Error
		if force && errors.As(err, &e) && e.Kind == control.KindNotFound {
			return nil
		}
		return err
	}
	defer c.Close()
	return c.Delete(force)
}

// Pause stops all processes of the container.
func (c *Container) Pause() error {
	if c.Current() != control.Running {
		return errNotRunning()
	}
	return c.with(func(cl *control.Client) error { return cl.Pause(c.ID) })
}

// Resume lets them go on.
func (c *Container) Resume() error {
	if c.Current() != control.Paused {
		return errors.New("container not paused")
	}
	return c.with(func(cl *control.Client) error { return cl.Resume(c.ID) })
}

// Processes lists the processes inside.
func (c *Container) Processes() (ps []control.Process, err error) {
	if s := c.Current(); s != control.Running && s != control.Paused && s != control.Created {
		return nil, errNotRunning()
	}
	err = c.with(func(cl *control.Client) error {
		ps, err = cl.Processes(c.ID)
		return err
	})
	return ps, err
}

// ParseSignal reads a signal by number or by name, with or without SIG.
func ParseSignal(s string) (unix.Signal, error) {
	var n int
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && fmt.Sprint(n) == s {
		if n < 0 || n > 64 {
			return 0, fmt.Errorf("unknown signal %q", s)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	var offset int
	if n, _ := fmt.Sscanf(name, "SIGRTMIN+%d", &offset); n == 1 && offset >= 0 && offset <= 30 {
		return unix.Signal(34 + offset), nil
	}
	if n, _ := fmt.Sscanf(name, "SIGRTMAX-%d", &offset); n == 1 && offset >= 0 && offset <= 30 {
		return unix.Signal(64 - offset), nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}
