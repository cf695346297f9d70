package shim

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/console"
	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/runtime/sandbox/v1"
	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	shimplatform "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oom"
	oomv1 "github.com/containerd/containerd/v2/pkg/oom/v1"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/pkg/stdio"
	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/go-runc"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/emptypb"
)

// service is the task service of one shim.
type service struct {
	ctx       context.Context // of the shim, with its namespace
	platform  stdio.Platform
	publisher events.Publisher
	shutdown  shutdown.Service
	events    chan any
	exits     *exits
	oom       oom.Watcher // of cgroups v1; nil with v2
	gate      *gate

	pingEvery, stuckAfter time.Duration

	mu         sync.Mutex
	containers map[string]*container // nil: being created
	pod        *pod                  // that the sandbox service was asked for
}

// exitPatience is how long the news of a container's end waits for that of its execs.
const exitPatience = 10 * time.Second

// newService starts what works in the background of a shim.
func newService(ctx context.Context, publisher shim.Publisher, sd shutdown.Service) (*service, error) {
	platform, err := shimplatform.NewPlatform()
	if err != nil {
		return nil, err
	}
	s := &service{
		ctx: ctx, platform: platform, publisher: publisher, shutdown: sd, events: make(chan any, 512), gate: newGate(),
		containers: map[string]*container{}, pingEvery: pingEvery, stuckAfter: stuckAfter,
	}
	if cgroups.Mode() != cgroups.Unified {
		if s.oom, err = oomv1.New(killNews{s}); err != nil {
			return nil, fmt.Errorf("watch for the end of memory: %w", err)
		}
		go s.oom.Run(ctx)
	}
	s.exits = newExits(s.ended)
	runc.Monitor = reaper.Default
	go s.exits.run(reaper.Default.Subscribe())
	go s.forward(publisher)
	go s.watch(ctx)
	sd.RegisterCallback(func(context.Context) error { return platform.Close() })
	if address, err := shim.ReadAddress("address"); err == nil {
		sd.RegisterCallback(func(context.Context) error { return shim.RemoveSocket(address) })
	}
	return s, nil
}

// RegisterTTRPC implements shim.TTRPCService.
func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	task.RegisterTTRPCTaskService(server, s)
	taskv2.RegisterTaskService(server, v2{s})
	sandbox.RegisterTTRPCSandboxService(server, sandboxes{s})
	return nil
}

// UnaryServerInterceptor implements shim.TTRPCServerUnaryOptioner.
func (s *service) UnaryServerInterceptor() ttrpc.UnaryServerInterceptor { return s.gate.intercept }

// send queues an event. Containerd may be away for long; what does not fit is said in the log.
func (s *service) send(e any) {
	select {
	case s.events <- e:
	default:
		log.G(s.ctx).Errorf("event lost: containerd takes none: %T", e)
	}
}

// tell queues an event of a task. The first container of a sandbox that the sandbox service has made is no task.
func (s *service) tell(c *container, e any) {
	if !c.pause {
		s.send(e)
	}
}

// forward publishes events in their order.
func (s *service) forward(publisher shim.Publisher) {
	ns, _ := namespaces.Namespace(s.ctx)
	ctx := namespaces.WithNamespace(context.Background(), ns)
	for {
		select {
		case e := <-s.events:
			if err := publisher.Publish(ctx, runtime.GetTopic(e), e); err != nil {
				log.G(ctx).WithError(err).Errorf("publish %T", e)
			}
		case <-s.ctx.Done():
			publisher.Close()
			return
		}
	}
}

func (s *service) find(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container %s is not one of this shim", id)
}

// member finds a process of a container.
func (s *service) member(id, execID string) (*container, process.Process, error) {
	c, err := s.find(id)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.process(execID)
	return c, p, errgrpc.ToGRPC(err)
}

// Create implements the task service.
func (s *service) Create(ctx context.Context, r *task.CreateTaskRequest) (*task.CreateTaskResponse, error) {
	conf, err := configFor(r)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.mu.Lock()
	p := s.pod
	s.mu.Unlock()
	if p != nil {
		if err := p.lend(r.Bundle); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
	}
	c, err := s.create(ctx, r, conf)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &task.CreateTaskResponse{Pid: uint32(c.init.Pid())}, nil
}

// create makes a container, and has it and its end known.
func (s *service) create(ctx context.Context, r *task.CreateTaskRequest, conf *config) (*container, error) {
	s.mu.Lock()
	_, there := s.containers[r.ID]
	if !there {
		s.containers[r.ID] = nil
	}
	first := s.pod != nil && s.pod.id == r.ID
	s.mu.Unlock()
	if there {
		return nil, fmt.Errorf("container %s: %w", r.ID, errdefs.ErrAlreadyExists)
	}
	s.exits.begin()
	defer s.exits.end()
	c, err := newContainer(ctx, s.platform, r, conf)
	s.mu.Lock()
	if err != nil {
		delete(s.containers, r.ID)
	} else {
		c.pause = first
		s.containers[r.ID] = c
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	pid := c.init.Pid()
	s.tell(c, &eventtypes.TaskCreate{
		ContainerID: r.ID, Bundle: r.Bundle, Rootfs: r.Rootfs, Pid: uint32(pid),
		IO: &eventtypes.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	s.watchMemory(c)
	s.exits.know(pid, member{c, c.init, ""})
	return c, nil
}

// Start implements the task service.
func (s *service) Start(ctx context.Context, r *task.StartRequest) (*task.StartResponse, error) {
	c, p, err := s.member(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if r.ExecID == "" {
		s.exits.hold(p.Pid())
	} else {
		if err := c.enter(); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
		s.exits.begin()
	}
	defer s.exits.end()
	err = p.Start(ctx)
	pid := p.Pid()
	m := member{c, p, r.ExecID}
	if err != nil {
		if r.ExecID == "" {
			s.exits.know(pid, m)
		} else {
			c.leave()
		}
		return nil, errgrpc.ToGRPC(err)
	}
	if r.ExecID == "" {
		s.tell(c, &eventtypes.TaskStart{ContainerID: c.id, Pid: uint32(pid)})
	} else {
		s.send(&eventtypes.TaskExecStarted{ContainerID: c.id, ExecID: r.ExecID, Pid: uint32(pid)})
	}
	s.exits.know(pid, m)
	return &task.StartResponse{Pid: uint32(pid)}, nil
}

// ended is told of the end of a process.
func (s *service) ended(m member, e runc.Exit) {
	if m.execID != "" {
		s.tellEnd(m, e)
		m.c.leave()
		return
	}
	// The end of a container is the last that is heard of it.
	idle := m.c.finish()
	go func() {
		select {
		case <-idle:
		case <-time.After(exitPatience):
			log.G(s.ctx).WithField("id", m.c.id).Warn("processes of execs have not ended with their container")
		}
		s.lastKills(m.c)
		s.tellEnd(m, e)
	}()
}

func (s *service) tellEnd(m member, e runc.Exit) {
	m.p.SetExited(e.Status)
	s.tell(m.c, &eventtypes.TaskExit{
		ContainerID: m.c.id, ID: m.p.ID(), Pid: uint32(e.Pid), ExitStatus: uint32(e.Status),
		ExitedAt: protobuf.ToTimestamp(m.p.ExitedAt()),
	})
}

// Delete implements the task service.
func (s *service) Delete(ctx context.Context, r *task.DeleteRequest) (*task.DeleteResponse, error) {
	c, p, err := s.member(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if err := p.Delete(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if r.ExecID != "" {
		c.setExec(r.ExecID, nil)
	} else {
		s.mu.Lock()
		delete(s.containers, r.ID)
		s.mu.Unlock()
		s.tell(c, &eventtypes.TaskDelete{
			ContainerID: c.id, Pid: uint32(p.Pid()), ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt()),
		})
	}
	return &task.DeleteResponse{Pid: uint32(p.Pid()), ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt())}, nil
}

// Exec implements the task service.
func (s *service) Exec(ctx context.Context, r *task.ExecProcessRequest) (*emptypb.Empty, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	if err := c.reserve(r.ExecID); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	p, err := c.init.Exec(ctx, c.bundle, &process.ExecConfig{
		ID: r.ExecID, Terminal: r.Terminal, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Spec: r.Spec,
	})
	if err != nil {
		c.setExec(r.ExecID, nil)
		return nil, errgrpc.ToGRPC(err)
	}
	c.setExec(r.ExecID, p)
	s.send(&eventtypes.TaskExecAdded{ContainerID: c.id, ExecID: r.ExecID})
	return &emptypb.Empty{}, nil
}

// ResizePty implements the task service.
func (s *service) ResizePty(_ context.Context, r *task.ResizePtyRequest) (*emptypb.Empty, error) {
	_, p, err := s.member(r.ID, r.ExecID)
	if err == nil {
		err = errgrpc.ToGRPC(p.Resize(console.WinSize{Width: uint16(r.Width), Height: uint16(r.Height)}))
	}
	return &emptypb.Empty{}, err
}

// statuses are how containerd calls what the process library says.
var statuses = map[string]tasktypes.Status{
	"created": tasktypes.Status_CREATED, "running": tasktypes.Status_RUNNING, "stopped": tasktypes.Status_STOPPED,
	"paused": tasktypes.Status_PAUSED, "pausing": tasktypes.Status_PAUSING,
}

// State implements the task service.
func (s *service) State(ctx context.Context, r *task.StateRequest) (*task.StateResponse, error) {
	c, p, err := s.member(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	status, err := p.Status(ctx)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	io := p.Stdio()
	return &task.StateResponse{
		ID: p.ID(), Bundle: c.bundle, Pid: uint32(p.Pid()), Status: statuses[status], ExecID: r.ExecID,
		Stdin: io.Stdin, Stdout: io.Stdout, Stderr: io.Stderr, Terminal: io.Terminal,
		ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt()),
	}, nil
}

// Pause implements the task service.
func (s *service) Pause(ctx context.Context, r *task.PauseRequest) (*emptypb.Empty, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	if err := c.init.Pause(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.send(&eventtypes.TaskPaused{ContainerID: c.id})
	return &emptypb.Empty{}, nil
}

// Resume implements the task service.
func (s *service) Resume(ctx context.Context, r *task.ResumeRequest) (*emptypb.Empty, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	if err := c.init.Resume(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.send(&eventtypes.TaskResumed{ContainerID: c.id})
	return &emptypb.Empty{}, nil
}

// Kill implements the task service.
func (s *service) Kill(ctx context.Context, r *task.KillRequest) (*emptypb.Empty, error) {
	_, p, err := s.member(r.ID, r.ExecID)
	if err == nil {
		err = errgrpc.ToGRPC(p.Kill(ctx, r.Signal, r.All))
	}
	return &emptypb.Empty{}, err
}

// Pids implements the task service: the numbers are those of the host, so there is one for each process that containerd
// has started.
func (s *service) Pids(_ context.Context, r *task.PidsRequest) (*task.PidsResponse, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	list := []*tasktypes.ProcessInfo{{Pid: uint32(c.init.Pid())}}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.execs {
		if p == nil || p.Pid() <= 0 || !p.ExitedAt().IsZero() {
			continue
		}
		info, err := typeurl.MarshalAnyToProto(&options.ProcessDetails{ExecID: id})
		if err != nil {
			return nil, err
		}
		list = append(list, &tasktypes.ProcessInfo{Pid: uint32(p.Pid()), Info: info})
	}
	return &task.PidsResponse{Processes: list}, nil
}

// CloseIO implements the task service.
func (s *service) CloseIO(_ context.Context, r *task.CloseIORequest) (*emptypb.Empty, error) {
	_, p, err := s.member(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if stdin := p.Stdin(); stdin != nil && r.Stdin {
		if err := stdin.Close(); err != nil {
			return nil, fmt.Errorf("close standard input: %w", err)
		}
	}
	return &emptypb.Empty{}, nil
}

// Checkpoint implements the task service.
func (s *service) Checkpoint(context.Context, *task.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "checkpoint is not supported by runsc")
}

// Update implements the task service.
func (s *service) Update(ctx context.Context, r *task.UpdateTaskRequest) (*emptypb.Empty, error) {
	c, err := s.find(r.ID)
	if err == nil {
		err = errgrpc.ToGRPC(c.init.Update(ctx, r.Resources))
	}
	return &emptypb.Empty{}, err
}

// Wait implements the task service.
func (s *service) Wait(ctx context.Context, r *task.WaitRequest) (*task.WaitResponse, error) {
	_, p, err := s.member(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if err := p.Wait(ctx); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &task.WaitResponse{ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt())}, nil
}

// Stats implements the task service.
func (s *service) Stats(_ context.Context, r *task.StatsRequest) (*task.StatsResponse, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	stats, err := statsOf(c.cgroup)
	if err != nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("statistics of container %s: %w", r.ID, err))
	}
	data, err := typeurl.MarshalAnyToProto(stats)
	if err != nil {
		return nil, err
	}
	return &task.StatsResponse{Stats: data}, nil
}

// Connect implements the task service.
func (s *service) Connect(_ context.Context, r *task.ConnectRequest) (*task.ConnectResponse, error) {
	resp := &task.ConnectResponse{ShimPid: uint32(os.Getpid()), Version: Version}
	if c, err := s.find(r.ID); err == nil {
		resp.TaskPid = uint32(c.init.Pid())
	}
	return resp, nil
}

// Shutdown implements the task service: the shim ends when it has no container any more.
func (s *service) Shutdown(context.Context, *task.ShutdownRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.containers) == 0 {
		s.shutdown.Shutdown()
	}
	return &emptypb.Empty{}, nil
}
