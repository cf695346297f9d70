//go:build cgo

package main

import (
	"fmt"
	"os"
)

// Capabilities are given up in all threads by system calls that a program with cgo is
// refused (syscall.AllThreadsSyscall). It says so before it begins anything.
func init() {
	fmt.Fprintln(os.Stderr, "runsc: built with cgo, which keeps it from giving up privileges: build it with CGO_ENABLED=0, as make does")
	os.Exit(128)
}
