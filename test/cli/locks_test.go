package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/test/harness"
)

// lockers is what both containers run: a holder of locks on /v/f, one of each kind, and one who wants them.
const lockers = `
import errno, fcntl, os, struct, sys, time
def await_(name):
    while not os.path.exists("/v/" + name): time.sleep(0.01)
def say(name): open("/v/" + name, "w").close()
def fl(typ, start, len): return struct.pack("hhqqi4x", typ, os.SEEK_SET, start, len, 0)
def attempt(f, *a):
    try: f(*a); return "ok"
    except OSError as e: return errno.errorcode[e.errno]
OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
f = open("/v/f", "r+"); g = open("/v/f", "r+")
if sys.argv[1] == "hold":
    def take():
        fcntl.flock(f, fcntl.LOCK_EX)
        fcntl.lockf(f, fcntl.LOCK_EX, 10, 10)
        fcntl.fcntl(g, OFD_SETLK, fl(fcntl.F_RDLCK, 100, 0))
        fcntl.fcntl(g, OFD_SETLK, fl(fcntl.F_UNLCK, 150, 50))
    program = open("/v/program"); fcntl.flock(program, fcntl.LOCK_EX)
    take(); say("held"); await_("let-go")
    fcntl.flock(f, fcntl.LOCK_UN); fcntl.lockf(f, fcntl.LOCK_UN, 10, 10); fcntl.fcntl(g, OFD_SETLK, fl(fcntl.F_UNLCK, 0, 0))
    await_("again"); take(); say("held-again"); time.sleep(1000)
print(attempt(fcntl.flock, f, fcntl.LOCK_SH | fcntl.LOCK_NB))
for typ, start, len in (fcntl.F_RDLCK, 0, 11), (fcntl.F_WRLCK, 0, 10), (fcntl.F_RDLCK, 120, 1), (fcntl.F_WRLCK, 120, 1), (fcntl.F_WRLCK, 150, 50), (fcntl.F_WRLCK, 150, 51):
    print(typ, start, len, attempt(fcntl.fcntl, f, fcntl.F_SETLK, fl(typ, start, len)), attempt(fcntl.fcntl, g, OFD_SETLK, fl(typ, start, len)))
    fcntl.fcntl(f, fcntl.F_SETLK, fl(fcntl.F_UNLCK, 0, 0)); fcntl.fcntl(g, OFD_SETLK, fl(fcntl.F_UNLCK, 0, 0))
print(struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, fl(fcntl.F_WRLCK, 0, 0)))[:4])
print(struct.unpack("hhqqi4x", fcntl.fcntl(g, OFD_GETLK, fl(fcntl.F_WRLCK, 200, 0)))[:5])
say("waits"); fcntl.flock(f, fcntl.LOCK_EX); fcntl.fcntl(f, fcntl.F_SETLKW, fl(fcntl.F_WRLCK, 0, 0)); print("got them", flush=True)
say("got"); await_("end")
`

// TestLocksOfVolume has two containers with one volume, and a program of the host, exclude each other; the locks of a
// container that is killed are free.
func TestLocksOfVolume(t *testing.T) {
	e := newEnv(t)
	root, v := harness.NeedDebian(t), t.TempDir()
	there := func(name string) string { return filepath.Join(v, name) }
	say := func(name string) {
		t.Helper()
		if err := os.WriteFile(there(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually := func(what string, ok func() bool) { // the limit is for what hangs
		t.Helper()
		for range 2000 {
			if ok() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("never: ", what)
	}
	await := func(name string) {
		t.Helper()
		eventually(name, func() bool { _, err := os.Stat(there(name)); return err == nil })
	}
	say("f")
	host, err := os.OpenFile(there("f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	flock := func(how int) error { return unix.Flock(int(host.Fd()), how|unix.LOCK_NB) }
	record := func(typ int16, start, n int64) error {
		return unix.FcntlFlock(host.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: typ, Start: start, Len: n})
	}

	if err := os.WriteFile(there("program"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	begin := func(role string) (id string, out func() result) {
		bundle := e.bundle([]string{"python3", "-c", lockers, role}, func(s *specs.Spec) {
			s.Root.Path, s.Root.Readonly = root, true
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
				specs.Mount{Destination: "/v", Source: v, Options: []string{"bind"}})
		})
		id = e.id()
		done := make(chan result, 1)
		go func() { done <- e.runsc("run", "--bundle", bundle, id) }()
		return id, func() result { return <-done }
	}
	holder, ended := begin("hold")
	await("held")
	if err := flock(unix.LOCK_SH); err != unix.EAGAIN {
		t.Errorf("the host takes a lock of flock(2) that a container has: %v", err)
	}
	if err := record(unix.F_RDLCK, 10, 1); err != unix.EAGAIN {
		t.Errorf("the host takes a record that a container has: %v", err)
	}
	if err := record(unix.F_WRLCK, 150, 50); err != nil {
		t.Errorf("the host takes a record that a container has given up: %v", err)
	}
	record(unix.F_UNLCK, 0, 0)

	if err := exec.Command(there("program")).Run(); err != nil {
		t.Errorf("the host runs a program that a container has locked: %v", err)
	}

	_, out := begin("want")
	await("waits")
	say("let-go")
	await("got")
	if err := record(unix.F_RDLCK, 7000, 1); err != unix.EAGAIN {
		t.Errorf("the host takes a record that the second container has got: %v", err)
	}
	say("end")
	const want = `EAGAIN
0 0 11 EAGAIN EAGAIN
1 0 10 ok EAGAIN
0 120 1 ok ok
1 120 1 EAGAIN EAGAIN
1 150 50 ok EAGAIN
1 150 51 EAGAIN EAGAIN
(1, 0, 10, 10)
(0, 0, 200, 0, -1)
got them
`
	if r := out(); r.out != want || r.code != 0 {
		t.Errorf("want\n%s, got code %d\n%s%s", want, r.code, r.out, r.errout)
	}
	eventually("free after the second container", func() bool { return flock(unix.LOCK_EX) == nil })
	flock(unix.LOCK_UN)

	say("again")
	await("held-again")
	if err := flock(unix.LOCK_SH); err != unix.EAGAIN {
		t.Errorf("before the kill: %v", err)
	}
	e.must("kill", holder, "KILL")
	ended()
	eventually("free after the kill", func() bool { return flock(unix.LOCK_EX) == nil && record(unix.F_WRLCK, 0, 0) == nil })
}
