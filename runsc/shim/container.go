package shim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/stdio"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
)

// A container is one that this shim has created.
type container struct {
	id     string
	bundle string
	conf   *config
	root   string // state directory of runsc
	init   *process.Init
	cgroup any  // cgroup1.Cgroup, *cgroup2.Manager or nil
	pause  bool // the first one of a sandbox that the sandbox service has made

	mu      sync.Mutex
	execs   map[string]process.Process // nil: reserved
	running int                        // execs that run
	kills   uint64                     // for want of memory, that have been told of
	over    bool                       // init has ended: no more execs
	idle    chan struct{}              // closed when over and nothing runs
}

// configFor reads the options of a request.
func configFor(r *task.CreateTaskRequest) (*config, error) {
	var given any
	if r.Options.GetTypeUrl() != "" {
		var err error
		if given, err = typeurl.UnmarshalAny(r.Options); err != nil {
			return nil, fmt.Errorf("options of the runtime: %w", err)
		}
	}
	conf, err := configOf(given)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return conf, nil
}

// newContainer mounts the root file system and has runsc create the container.
func newContainer(ctx context.Context, platform stdio.Platform, r *task.CreateTaskRequest, conf *config) (_ *container, err error) {
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	if r.Checkpoint != "" {
		return nil, fmt.Errorf("restore from a checkpoint is not supported by runsc: %w", errdefs.ErrNotImplemented)
	}
	if err := conf.write(r.Bundle); err != nil {
		return nil, err
	}
	rootfs, unmount, err := mountRoot(r)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unmount()
		}
	}()
	io := stdio.Stdio{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal}
	p := process.New(r.ID, conf.runtime(r.Bundle, ns), io)
	p.Bundle, p.Platform, p.Rootfs, p.WorkDir = r.Bundle, platform, rootfs, filepath.Join(r.Bundle, "work")
	p.IoUID, p.IoGID = conf.IOUID, conf.IOGID
	err = p.Create(ctx, &process.CreateConfig{
		ID: r.ID, Bundle: r.Bundle, Terminal: r.Terminal, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr,
	})
	if err != nil {
		return nil, err
	}
	c := &container{id: r.ID, bundle: r.Bundle, conf: conf, root: conf.root(ns), init: p, execs: map[string]process.Process{}, idle: make(chan struct{})}
	if c.cgroup, err = cgroupOf(p.Pid()); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.id).Warn("no metrics: cgroup of the container")
		err = nil
	}
	return c, nil
}

// mountRoot mounts what the root file system is made of.
func mountRoot(r *task.CreateTaskRequest) (rootfs string, unmount func(), err error) {
	if len(r.Rootfs) == 0 {
		return "", func() {}, nil
	}
	rootfs = filepath.Join(r.Bundle, "rootfs")
	if err := os.Mkdir(rootfs, 0o711); err != nil && !os.IsExist(err) {
		return "", nil, err
	}
	var mounts []mount.Mount
	for _, m := range r.Rootfs {
		mounts = append(mounts, mount.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	unmount = func() {
		if err := mount.UnmountMounts(mounts, rootfs, 0); err != nil {
			log.L.WithError(err).Warn("unmount the root file system")
		}
	}
	if err := mount.All(mounts, rootfs); err != nil {
		unmount()
		return "", nil, fmt.Errorf("mount the root file system: %w", err)
	}
	return rootfs, unmount, nil
}

// cgroupOf finds the cgroup of the process by which the host knows a container; all that runs the container's
// applications is in it.
func cgroupOf(pid int) (any, error) {
	if cgroups.Mode() == cgroups.Unified {
		path, err := cgroup2.PidGroupPath(pid)
		if err != nil {
			return nil, err
		}
		return cgroup2.Load(path)
	}
	return cgroup1.Load(cgroup1.PidPath(pid))
}

// process finds the first process, or that of an exec.
func (c *container) process(execID string) (process.Process, error) {
	if execID == "" {
		return c.init, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.execs[execID]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("process %s of container %s does not exist: %w", execID, c.id, errdefs.ErrNotFound)
}

// reserve keeps the name of an exec.
func (c *container) reserve(execID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.execs[execID]; there {
		return fmt.Errorf("process %s of container %s: %w", execID, c.id, errdefs.ErrAlreadyExists)
	}
	c.execs[execID] = nil
	return nil
}

func (c *container) setExec(execID string, p process.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p == nil {
		delete(c.execs, execID)
	} else {
		c.execs[execID] = p
	}
}

// enter counts an exec that is about to run; not after the end of the container.
func (c *container) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return fmt.Errorf("container %s has stopped: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	c.running++
	return nil
}

// leave says that an exec has ended.
func (c *container) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running--; c.running == 0 && c.over {
		close(c.idle)
	}
}

// finish says that init has ended; the channel is closed when its execs have ended, too.
func (c *container) finish() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		if c.running == 0 {
			close(c.idle)
		}
	}
	return c.idle
}
