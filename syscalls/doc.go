// Package syscalls holds the Linux system call table of x86-64 and the
// implementation of each call, one file a family.
//
// A call checks its arguments, copies in, asks the Sentry, and copies out; it
// holds no state and takes no locks of its own. The table is data: runsc
// syscalls, docs/compatibility.md and --strace are printed from it.
package syscalls
