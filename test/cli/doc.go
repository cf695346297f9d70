// Package cli tests the runsc binary from outside, as an engine or a person uses it: life cycle, bad input, exit codes,
// and what is left behind. It needs root and busybox-static; RUNSC names a binary, otherwise one is built.
package cli
