package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/containerd/api/runtime/sandbox/v1"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandboxes is the sandbox service of a shim, by which containerd makes a pod without an image for its first container
// (`sandboxer = "shim"`). The containers of the pod come by the task service.
type sandboxes struct{ s *service }

// answerTime is how long after its last answer a shim ends, so that containerd gets it.
const answerTime = 100 * time.Millisecond

// find returns the pod of this shim and its first container, nil while or if it could not be created.
func (b sandboxes) find(id string) (*pod, *container, error) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if p := b.s.pod; p != nil && p.id == id {
		if c := b.s.containers[id]; c != nil {
			return p, c, nil
		}
	}
	return nil, nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s is not that of this shim", id)
}

// CreateSandbox implements the sandbox service.
func (b sandboxes) CreateSandbox(ctx context.Context, r *sandbox.CreateSandboxRequest) (*sandbox.CreateSandboxResponse, error) {
	p, err := newPod(r)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	conf, err := readConfig(r.BundlePath)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	b.s.mu.Lock()
	taken := b.s.pod != nil || len(b.s.containers) > 0
	if !taken {
		b.s.pod = p
	}
	b.s.mu.Unlock()
	if taken {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "this shim has a sandbox: %s", r.SandboxID)
	}
	if err = p.prepare(); err == nil {
		_, err = b.s.create(ctx, &task.CreateTaskRequest{ID: r.SandboxID, Bundle: r.BundlePath}, conf)
	}
	if err != nil {
		if err := cleanUp(p.bundle); err != nil {
			log.G(ctx).WithError(err).Warn("unmount /dev/shm of the pod")
		}
		b.s.mu.Lock()
		b.s.pod = nil
		b.s.mu.Unlock()
		return nil, errgrpc.ToGRPC(err)
	}
	return &sandbox.CreateSandboxResponse{}, nil
}

// StartSandbox implements the sandbox service.
func (b sandboxes) StartSandbox(ctx context.Context, r *sandbox.StartSandboxRequest) (*sandbox.StartSandboxResponse, error) {
	p, _, err := b.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	started, err := b.s.Start(ctx, &task.StartRequest{ID: r.SandboxID})
	if err != nil {
		return nil, err
	}
	b.s.mu.Lock()
	p.started = time.Now()
	b.s.mu.Unlock()
	return &sandbox.StartSandboxResponse{Pid: started.Pid, CreatedAt: protobuf.ToTimestamp(p.started)}, nil
}

// Platform implements the sandbox service.
func (b sandboxes) Platform(_ context.Context, r *sandbox.PlatformRequest) (*sandbox.PlatformResponse, error) {
	if _, _, err := b.find(r.SandboxID); err != nil {
		return nil, err
	}
	return &sandbox.PlatformResponse{Platform: &types.Platform{OS: "linux", Architecture: runtime.GOARCH}}, nil
}

// StopSandbox implements the sandbox service. There is nothing to end gently: containerd has stopped the containers, and
// whatever runs ends with its kernel.
func (b sandboxes) StopSandbox(ctx context.Context, r *sandbox.StopSandboxRequest) (*sandbox.StopSandboxResponse, error) {
	_, c, err := b.find(r.SandboxID)
	if err == nil {
		err = c.end(ctx)
	}
	return &sandbox.StopSandboxResponse{}, errgrpc.ToGRPC(err)
}

// end kills a container and waits for its end.
func (c *container) end(ctx context.Context) error {
	if !c.init.ExitedAt().IsZero() {
		return nil
	}
	if err := c.init.Kill(ctx, uint32(unix.SIGKILL), true); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("kill container %s: %w", c.id, err)
	}
	return c.init.Wait(ctx)
}

// WaitSandbox implements the sandbox service.
func (b sandboxes) WaitSandbox(ctx context.Context, r *sandbox.WaitSandboxRequest) (*sandbox.WaitSandboxResponse, error) {
	_, c, err := b.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	if err := c.init.Wait(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &sandbox.WaitSandboxResponse{ExitStatus: uint32(c.init.ExitStatus()), ExitedAt: protobuf.ToTimestamp(c.init.ExitedAt())}, nil
}

// SandboxStatus implements the sandbox service.
func (b sandboxes) SandboxStatus(ctx context.Context, r *sandbox.SandboxStatusRequest) (*sandbox.SandboxStatusResponse, error) {
	p, c, err := b.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	b.s.mu.Lock()
	started := p.started
	b.s.mu.Unlock()
	status := &sandbox.SandboxStatusResponse{SandboxID: p.id, Pid: uint32(c.init.Pid()), State: cri.PodSandboxState_SANDBOX_NOTREADY.String()}
	if !started.IsZero() {
		status.CreatedAt = protobuf.ToTimestamp(started)
	}
	if ended := c.init.ExitedAt(); !ended.IsZero() {
		status.ExitedAt = protobuf.ToTimestamp(ended)
	} else if !started.IsZero() {
		status.State = cri.PodSandboxState_SANDBOX_READY.String()
	}
	if r.Verbose {
		s, err := p.spec()
		if err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
		info, err := json.Marshal(map[string]any{
			"pid": c.init.Pid(), "sentryPid": c.sentryPID(), "stateDir": c.root, "config": p.conf, "runtimeSpec": s,
		})
		if err != nil {
			return nil, err
		}
		status.Info = map[string]string{"info": string(info)}
	}
	return status, nil
}

// PingSandbox implements the sandbox service: the Sentry answers.
func (b sandboxes) PingSandbox(_ context.Context, r *sandbox.PingRequest) (*sandbox.PingResponse, error) {
	_, c, err := b.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	if !c.init.ExitedAt().IsZero() {
		return nil, errgrpc.ToGRPCf(errdefs.ErrUnavailable, "sandbox %s has ended", c.id)
	}
	if err := c.ping(); err != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrUnavailable, "sandbox %s does not answer: %v", c.id, err)
	}
	return &sandbox.PingResponse{}, nil
}

// ShutdownSandbox implements the sandbox service: nothing of the pod is left, and the shim ends. A pod that could not be
// created is none, but for the shim.
func (b sandboxes) ShutdownSandbox(ctx context.Context, r *sandbox.ShutdownSandboxRequest) (*sandbox.ShutdownSandboxResponse, error) {
	p, _, err := b.find(r.SandboxID)
	if err == nil {
		err = b.remove(ctx, p)
	} else if errdefs.IsNotFound(errgrpc.ToNative(err)) {
		err = nil
	}
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	time.AfterFunc(answerTime, b.s.shutdown.Shutdown)
	return &sandbox.ShutdownSandboxResponse{}, nil
}

// remove ends the pod and deletes its containers, the first one last: it is where the others are.
func (b sandboxes) remove(ctx context.Context, p *pod) error {
	var list []*container
	b.s.mu.Lock()
	first := b.s.containers[p.id]
	for _, c := range b.s.containers {
		if c != nil && c != first {
			list = append(list, c)
		}
	}
	b.s.mu.Unlock()
	if err := first.end(ctx); err != nil {
		return err
	}
	for _, c := range append(list, first) {
		if err := c.init.Wait(ctx); err != nil {
			return err
		}
		if _, err := b.s.Delete(ctx, &task.DeleteRequest{ID: c.id}); err != nil && !errdefs.IsNotFound(errgrpc.ToNative(err)) {
			return err
		}
	}
	if err := cleanUp(p.bundle); err != nil {
		return fmt.Errorf("unmount /dev/shm of the pod: %w", err)
	}
	b.s.mu.Lock()
	b.s.pod = nil
	b.s.mu.Unlock()
	return nil
}

// SandboxMetrics implements the sandbox service: those of the pod's cgroup, which has all of its containers, or, of a
// sandbox that nobody gave a cgroup, its own.
func (b sandboxes) SandboxMetrics(_ context.Context, r *sandbox.SandboxMetricsRequest) (*sandbox.SandboxMetricsResponse, error) {
	p, c, err := b.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	group := c.cgroup
	if parent := p.conf.GetLinux().GetCgroupParent(); parent != "" {
		if group, err = loadCgroup(parent); err != nil {
			return nil, errgrpc.ToGRPC(fmt.Errorf("cgroup of the pod: %w", err))
		}
	}
	stats, err := statsOf(group)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	data, err := typeurl.MarshalAnyToProto(stats)
	if err != nil {
		return nil, err
	}
	return &sandbox.SandboxMetricsResponse{Metrics: &types.Metric{Timestamp: protobuf.ToTimestamp(time.Now()), ID: p.id, Data: data}}, nil
}

// loadCgroup opens a cgroup by its path.
func loadCgroup(path string) (any, error) {
	if cgroups.Mode() == cgroups.Unified {
		return cgroup2.Load(path)
	}
	return cgroup1.Load(cgroup1.StaticPath(path))
}

// statsOf reads the statistics of a cgroup, in the type of containerd's for its version.
func statsOf(group any) (any, error) {
	switch cg := group.(type) {
	case cgroup1.Cgroup:
		return cg.Stat(cgroup1.IgnoreNotExist)
	case *cgroup2.Manager:
		return cg.Stat()
	}
	return nil, fmt.Errorf("there is no cgroup: %w", errdefs.ErrNotFound)
}
