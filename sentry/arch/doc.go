// Package arch holds what is particular to x86-64: registers, system call
// arguments, the FPU state and the layout of signal frames. It owns no locks
// and imports nothing of the Sentry.
package arch
