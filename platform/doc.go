// Package platform is the contract between the kernel and what executes
// application code. Its implementations (ptrace, and later systrap and kvm)
// run an application thread until the kernel is needed and say why; they know
// nothing of Linux semantics and never let application code make a host
// system call of its choice.
//
// The package imports nothing of the Sentry but arch.
package platform
