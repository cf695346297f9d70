// Package oci runs the validation programs of opencontainers/runtime-tools with the binary. It needs root, and the Go
// module proxy once: the programs are kept in /var/cache/ringfort/engines (RINGFORT_ENGINES).
//
// Each program is expected to pass or has the reason beside its name why it does not. PEER=runc (or crun, or any path)
// runs that runtime instead and only tells what it does; crun needs /sys/fs/cgroup/unified hidden on a hybrid machine.
package oci
