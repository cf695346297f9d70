// Package tracee drives a host thread by ptrace(2): registers, stops and system
// calls made on its behalf. The ptrace platform lives on it; systrap makes its
// template process with it, before any filter is installed.
//
// It owns no locks. ptrace(2) takes requests from the tracing OS thread only,
// so a Tracee belongs to the goroutine, locked to its thread, that made it.
package tracee
