// Package ptrace is the platform that works everywhere: application threads
// are host threads traced with PTRACE_SYSEMU, which stops them before a system
// call and never executes it.
//
// # Processes and threads
//
// Each address space is one host process, a stub. It is forked from a template
// whose memory is empty but for the stub pages at the very top of the user half.
// The first thread of a stub, the keeper, never runs application code; it is
// traced by the one goroutine of package ptrace that makes stubs and threads
// (keeper.go). Each application thread is a further host thread of the stub,
// traced by the OS thread of the goroutine that runs the task (context.go):
// ptrace(2) takes requests from the tracing thread only.
//
// # Mapping requests
//
// A stub carries out mmap, mprotect and munmap for the Sentry by running the batch
// loop of its code page over an array in its batch pages. The code page is
// executable and not writable, the batch pages are mapped read-only in the
// stub and written by the Sentry. Application code that jumps into the stub's
// code gains nothing: under SYSEMU its system call instructions are stops
// like any other. The stub also carries a seccomp filter that leaves only what
// the batch loop needs.
//
// # Lock order
//
// space.mu (held over a flush) before nothing. context.state is atomic.
package ptrace
