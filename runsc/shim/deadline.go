package shim

import (
	"context"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Deadlines of requests. Those that make runsc start something have a long one.
const (
	longLimit  = 2 * time.Minute
	shortLimit = 30 * time.Second
)

// Bounds on the number of requests under way, waiting ones apart.
const (
	maxRequests = 256
	maxWaits    = 4096
)

// limitOf returns the deadline of a method, 0 for none.
func limitOf(method string) time.Duration {
	switch method[strings.LastIndexByte(method, '/')+1:] {
	case "Wait", "WaitSandbox":
		return 0
	case "Create", "Start", "Delete", "CreateSandbox", "StartSandbox", "StopSandbox", "ShutdownSandbox":
		return longLimit
	}
	return shortLimit
}

// A gate lets requests through: so many at a time, each with a deadline.
type gate struct {
	requests, waits chan struct{}
	limit           func(method string) time.Duration
}

func newGate() *gate {
	return &gate{make(chan struct{}, maxRequests), make(chan struct{}, maxWaits), limitOf}
}

// intercept is a ttrpc.UnaryServerInterceptor. The answer does not wait for a handler that does not heed its deadline;
// that one keeps its place until it returns.
func (g *gate) intercept(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	limit := g.limit(info.FullMethod)
	places := g.requests
	if limit == 0 {
		places = g.waits
	}
	select {
	case places <- struct{}{}:
	default:
		return nil, status.Errorf(codes.ResourceExhausted, "%s: %d requests are under way already", info.FullMethod, cap(places))
	}
	if limit == 0 {
		defer func() { <-places }()
		return method(ctx, unmarshal)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	type answer struct {
		m   any
		err error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { cancel(); <-places }()
		m, err := method(ctx, unmarshal)
		done <- answer{m, err}
	}()
	select {
	case a := <-done:
		return a.m, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-done: // both
		return a.m, a.err
	default:
		return nil, status.Errorf(codes.DeadlineExceeded, "%s: the sandbox did not answer within %v", info.FullMethod, limit)
	}
}
