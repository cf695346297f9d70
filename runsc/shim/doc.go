// Package shim is containerd's runtime shim for runsc: the process that containerd starts for a pod, or for a container
// alone, and that stays with it. containerd-shim-runsc-v1 is its main.
//
// It owns the task service (ttrpc, containerd.task.v2 and v3), which drives the runsc binary by command line, the
// sandbox service (containerd.runtime.sandbox.v1), which makes a pod without an image for its first container, the
// standard streams of containers, the news of exits and of memory running out, metrics, and the watch over the Sentry.
// How processes and their streams are handled is containerd's own library's (…/containerd-shim-runc-v2/process).
//
// Every request but Wait and WaitSandbox has a deadline, after which it is answered with an error whatever goes on; commands of runsc end
// with it. The number of requests under way is bounded. No lock that a request takes is held over a command of runsc but
// that of one process.
//
// Lock order: service.mu, then container.mu, then exits.mu.
package shim
