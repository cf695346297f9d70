package cli

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/test/harness"
)

// hostClient talks to the servers of TestHostSockets.
const hostClient = `
import array, errno, os, select, socket, sys
def attempt(f, *a):
    try: return f(*a)
    except OSError as e: return errno.errorcode[e.errno]
for name, typ in ("stream", socket.SOCK_STREAM), ("packet", socket.SOCK_SEQPACKET), ("gram", socket.SOCK_DGRAM):
    s = socket.socket(socket.AF_UNIX, typ)
    poll = select.epoll(); poll.register(s, select.EPOLLIN)
    print(name, attempt(s.connect, "/v/" + name), end=" ")
    if attempt(s.getpeername) == "ENOTCONN": print(); continue
    print(s.getpeername(), attempt(s.connect, "/v/" + name), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
    print(" a descriptor:", attempt(s.sendmsg, [b"x"], fds))
    s.send(b"hello " + name.encode())
    if name == "gram": continue
    print("", bool(poll.poll(10)), s.recvmsg(100, 1000)[:3:2])
    s.send(b"0123456789"); print("", s.recv(4), end=" ")
    if name == "packet": s.send(b"next")
    print(s.recv(100, socket.MSG_PEEK)); s.recv(100)
    big = b"z" * 1000000 if name == "stream" else b"z" * 100000
    s.setblocking(False); sent = got = 0
    while got < len(big):
        r, w, _ = select.select([s], [s] if sent < len(big) else [], [])
        if w: sent += s.send(big[sent:])
        if r:
            b = s.recv(65536); got += len(b)
            if name != "stream" and not b.startswith(b"z"): got = 0
            elif name != "stream": break
    print("", sent == len(big), got)
    s.setblocking(True); s.shutdown(socket.SHUT_WR); print("", s.recv(100)[:4])
one = socket.socket(socket.AF_UNIX); print("alone", attempt(one.connect, "/tmp/alone"))
print("dead", attempt(socket.socket(socket.AF_UNIX).connect, "/v/dead"), "type", attempt(socket.socket(socket.AF_UNIX).connect, "/v/gram"))
os.setuid(1); print("rights", attempt(socket.socket(socket.AF_UNIX).connect, "/v/stream"))
`

// TestHostSockets connects to unix sockets of the host in a volume, which nobody can but by --host-uds=open.
func TestHostSockets(t *testing.T) {
	root, v := harness.NeedDebian(t), t.TempDir()
	at := func(name string) string { return filepath.Join(v, name) }
	for _, kind := range [][2]string{{"unix", "stream"}, {"unixpacket", "packet"}, {"unix", "dead"}} {
		l, err := net.ListenUnix(kind[0], &net.UnixAddr{Name: at(kind[1]), Net: kind[0]})
		if err != nil {
			t.Fatal(err)
		}
		if kind[1] == "dead" {
			l.SetUnlinkOnClose(false)
			l.Close()
			continue
		}
		unix.Chmod(at(kind[1]), 0o700)
		defer l.Close()
		go echo(l)
	}
	gram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at("gram"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer gram.Close()
	run := func(option ...string) result {
		e := newEnv(t)
		e.options = option
		return e.run([]string{"python3", "-c", hostClient}, func(s *specs.Spec) {
			s.Root.Path, s.Root.Readonly = root, false
			s.Process.Capabilities.Effective = append(s.Process.Capabilities.Effective, "CAP_SETUID")
			s.Process.Capabilities.Permitted = append(s.Process.Capabilities.Permitted, "CAP_SETUID")
			s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_SETUID")
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/v", Source: v, Options: []string{"bind", "ro"}},
				specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
				specs.Mount{Destination: "/tmp/alone", Source: at("stream"), Options: []string{"bind"}})
		})
	}
	const refused = "ECONNREFUSED"
	for option, want := range map[string]string{
		"--host-uds=none": "stream " + refused + " \npacket " + refused + " \ngram " + refused + " \nalone " + refused + "\ndead " + refused + " type " + refused + "\nrights EACCES\n",
		"--host-uds=open": `stream None /v/stream EISCONN 0
 a descriptor: ENOTSUP
 True (b'hello stream', 8)
 b'0123' b'456789'
 True 1000000
 b'bye'
packet None /v/packet EISCONN 0
 a descriptor: ENOTSUP
 True (b'hello packet', 8)
 b'0123' b'next'
 True 65536
 b'bye'
gram None /v/gram EISCONN 0
 a descriptor: ENOTSUP
alone None
dead ` + refused + ` type EPROTOTYPE
rights EACCES
`,
	} {
		if r := run(option); r.out != want || r.code != 0 {
			t.Errorf("%s: want\n%s, got code %d\n%s%s", option, want, r.code, r.out, r.errout)
		}
	}
	if t.Failed() {
		return // the datagram may not have been sent
	}
	b := make([]byte, 100)
	if n, err := gram.Read(b); string(b[:n]) != "hello gram" || err != nil {
		t.Errorf("datagram %q, %v", b[:n], err)
	}
}

// echo sends everything back, the first message with a descriptor, and says "bye" at the end.
func echo(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 200<<10)
			first := true
			for {
				n, err := c.Read(b)
				if n == 0 || err != nil && !errors.Is(err, net.ErrClosed) {
					c.Write([]byte("bye"))
					return
				}
				if first {
					c.WriteMsgUnix(b[:n], unix.UnixRights(0), nil)
				} else {
					c.Write(b[:n])
				}
				first = false
			}
		}()
	}
}
