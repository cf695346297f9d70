// Package devpts owns pseudo-terminals: the line discipline, the master and
// replica files, the devpts file system, and /dev/tty.
//
// Lock order: instance.mu, then terminal.mu. Signals are sent with neither
// held: the kernel's locks come first there.
package devpts
