// Package seccompfilters owns what each of our processes may ask of the host kernel: for every process a list of rules
// as data, each with its reason, and the small compiler that makes a BPF program of them.
//
// What may never be in a list of the Sentry: open in any form, a socket of a network family, execve, kill of anything
// but its own stubs. A call that is on no list ends the process, after the log has been told its name.
package seccompfilters
