package shim

import (
	"context"

	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// v2 is the task service under its older name; the messages are the same on the wire.
type v2 struct{ s task.TTRPCTaskService }

// call converts a request, makes it, and converts the answer into out.
func call[Q proto.Message, A proto.Message, O proto.Message](ctx context.Context, in proto.Message, q Q, do func(context.Context, Q) (A, error), out O) (O, error) {
	var none O
	if err := convert(in, q); err != nil {
		return none, err
	}
	a, err := do(ctx, q)
	if err != nil {
		return none, err
	}
	if err := convert(a, out); err != nil {
		return none, err
	}
	return out, nil
}

func convert(from, to proto.Message) error {
	data, err := proto.Marshal(from)
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, to)
}

func (v v2) State(ctx context.Context, r *taskv2.StateRequest) (*taskv2.StateResponse, error) {
	return call(ctx, r, &task.StateRequest{}, v.s.State, &taskv2.StateResponse{})
}

func (v v2) Create(ctx context.Context, r *taskv2.CreateTaskRequest) (*taskv2.CreateTaskResponse, error) {
	return call(ctx, r, &task.CreateTaskRequest{}, v.s.Create, &taskv2.CreateTaskResponse{})
}

func (v v2) Start(ctx context.Context, r *taskv2.StartRequest) (*taskv2.StartResponse, error) {
	return call(ctx, r, &task.StartRequest{}, v.s.Start, &taskv2.StartResponse{})
}

func (v v2) Delete(ctx context.Context, r *taskv2.DeleteRequest) (*taskv2.DeleteResponse, error) {
	return call(ctx, r, &task.DeleteRequest{}, v.s.Delete, &taskv2.DeleteResponse{})
}

func (v v2) Pids(ctx context.Context, r *taskv2.PidsRequest) (*taskv2.PidsResponse, error) {
	return call(ctx, r, &task.PidsRequest{}, v.s.Pids, &taskv2.PidsResponse{})
}

func (v v2) Pause(ctx context.Context, r *taskv2.PauseRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.PauseRequest{}, v.s.Pause, &emptypb.Empty{})
}

func (v v2) Resume(ctx context.Context, r *taskv2.ResumeRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.ResumeRequest{}, v.s.Resume, &emptypb.Empty{})
}

func (v v2) Checkpoint(ctx context.Context, r *taskv2.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.CheckpointTaskRequest{}, v.s.Checkpoint, &emptypb.Empty{})
}

func (v v2) Kill(ctx context.Context, r *taskv2.KillRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.KillRequest{}, v.s.Kill, &emptypb.Empty{})
}

func (v v2) Exec(ctx context.Context, r *taskv2.ExecProcessRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.ExecProcessRequest{}, v.s.Exec, &emptypb.Empty{})
}

func (v v2) ResizePty(ctx context.Context, r *taskv2.ResizePtyRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.ResizePtyRequest{}, v.s.ResizePty, &emptypb.Empty{})
}

func (v v2) CloseIO(ctx context.Context, r *taskv2.CloseIORequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.CloseIORequest{}, v.s.CloseIO, &emptypb.Empty{})
}

func (v v2) Update(ctx context.Context, r *taskv2.UpdateTaskRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.UpdateTaskRequest{}, v.s.Update, &emptypb.Empty{})
}

func (v v2) Wait(ctx context.Context, r *taskv2.WaitRequest) (*taskv2.WaitResponse, error) {
	return call(ctx, r, &task.WaitRequest{}, v.s.Wait, &taskv2.WaitResponse{})
}

func (v v2) Stats(ctx context.Context, r *taskv2.StatsRequest) (*taskv2.StatsResponse, error) {
	return call(ctx, r, &task.StatsRequest{}, v.s.Stats, &taskv2.StatsResponse{})
}

func (v v2) Connect(ctx context.Context, r *taskv2.ConnectRequest) (*taskv2.ConnectResponse, error) {
	return call(ctx, r, &task.ConnectRequest{}, v.s.Connect, &taskv2.ConnectResponse{})
}

func (v v2) Shutdown(ctx context.Context, r *taskv2.ShutdownRequest) (*emptypb.Empty, error) {
	return call(ctx, r, &task.ShutdownRequest{}, v.s.Shutdown, &emptypb.Empty{})
}
