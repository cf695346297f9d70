package seccompfilters

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestForward has the process that listens for a pod on the host: it reaches nobody and opens nothing.
func TestForward(t *testing.T) {
	prog, err := Compile(Forward(), unix.SECCOMP_RET_TRAP)
	if err != nil {
		t.Fatal(err)
	}
	const stream = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	for _, c := range []struct {
		what string
		nr   uint32
		args [6]uint64
		ok   bool
	}{
		{"socket of TCP", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, stream, 0}, true},
		{"socket of TCP over IPv6", unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, stream, 0}, true},
		{"listen", unix.SYS_LISTEN, [6]uint64{7, 128}, true},
		{"another protocol", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, stream, unix.IPPROTO_MPTCP}, false},
		{"datagrams", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}, false},
		{"packets", unix.SYS_SOCKET, [6]uint64{unix.AF_PACKET, stream}, false},
		{"a unix socket", unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, stream}, false},
		{"connect", unix.SYS_CONNECT, [6]uint64{7}, false},
		{"open", unix.SYS_OPENAT, [6]uint64{}, false},
		{"a program", unix.SYS_EXECVE, [6]uint64{}, false},
	} {
		if got := emulate(t, prog, c.nr, c.args) == unix.SECCOMP_RET_ALLOW; got != c.ok {
			t.Errorf("%s: allowed %t, want %t", c.what, got, c.ok)
		}
	}
	for _, r := range Forward() {
		if r.Reason == "" {
			t.Errorf("%s has no reason", Name(r.Nr))
		}
	}
}
