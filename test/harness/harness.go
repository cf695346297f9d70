// Package harness runs programs natively and in a sandbox, for the tests that
// compare the two. It owns a bundle directory per run and leaves nothing behind.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Result is what a program did.
type Result struct {
	Code        int
	Out, Errout string
}

// limit ends a run that hangs.
const limit = 120 * time.Second

// Platforms are the platforms to test on; RINGFORT_PLATFORMS, words with commas
// between, chooses others.
var Platforms = platforms()

func platforms() []string {
	if p := os.Getenv("RINGFORT_PLATFORMS"); p != "" {
		return strings.Split(p, ",")
	}
	return []string{"ptrace", "systrap"}
}

// Debian is the root file system that test/install.sh makes.
func Debian() string {
	if d := os.Getenv("RINGFORT_ROOTFS"); d != "" {
		return d
	}
	return "/var/cache/ringfort/debian12"
}

// NeedDebian fails the test if the root is not there: it is made by `make deps-test`.
func NeedDebian(t *testing.T) string {
	t.Helper()
	d := Debian()
	if _, err := os.Stat(filepath.Join(d, ".complete")); err != nil {
		t.Fatalf("no Debian root in %s: run `make deps-test` (or test/install.sh test) once", d)
	}
	return d
}

// NeedEngines returns the Debian root with servers that the tests of container engines run, and fails the test if it
// is not there: it is made by `make deps-engines`.
func NeedEngines(t *testing.T) string {
	t.Helper()
	d := "/var/cache/ringfort/engines12"
	if r := os.Getenv("RINGFORT_ENGINES_ROOTFS"); r != "" {
		d = r
	}
	if _, err := os.Stat(filepath.Join(d, ".complete")); err != nil {
		t.Fatalf("no root with servers in %s: run `make deps-engines` (or test/install.sh engines) once", d)
	}
	return d
}

var build = sync.OnceValues(func() (string, error) {
	if b := os.Getenv("RUNSC"); b != "" {
		return b, nil
	}
	b := filepath.Join(os.TempDir(), fmt.Sprintf("ringfort-runsc-%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-o", b, "ringfort/runsc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build runsc: %w\n%s", err, out)
	}
	return b, nil
})

// Runsc returns the binary under test: $RUNSC, or one built for this run.
func Runsc(t testing.TB) string {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Cleanup removes the binary that Runsc built. TestMain calls it last.
func Cleanup() {
	if b, err := build(); err == nil && os.Getenv("RUNSC") == "" {
		os.Remove(b)
	}
}

// Env is the environment programs run in, natively and in the sandbox.
var Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"}

// capabilities are those docker gives a container, and SYS_PTRACE and SYS_ADMIN for tests of their own.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN",
	"CAP_NET_ADMIN", "CAP_SYS_NICE", "CAP_IPC_LOCK", "CAP_SYS_RESOURCE", "CAP_IPC_OWNER",
}

// Spec returns a configuration that runs args in root.
func Spec(root string, args ...string) *specs.Spec {
	return &specs.Spec{
		Version: "1.2.0",
		Process: &specs.Process{
			Args: args, Env: Env, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 20000}},
		},
		Root:     &specs.Root{Path: root},
		Hostname: "ringfort",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1777"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: "pid"}, {Type: "mount"}, {Type: "ipc"}, {Type: "uts"}, {Type: "network"},
		}},
	}
}

// Sandbox runs a specification on a platform and returns what the program did.
// Options are global options of runsc.
func Sandbox(t testing.TB, platform string, s *specs.Spec, stdin string, options ...string) Result {
	t.Helper()
	return sandbox(t, nil, platform, s, stdin, options...)
}

// HostNetwork is Sandbox for a program that uses the network of the host: a namespace with nothing but loopback stands
// for that.
func HostNetwork(t testing.TB, platform string, s *specs.Spec) Result {
	t.Helper()
	host := *s
	linux := *s.Linux
	linux.Namespaces = slices.DeleteFunc(slices.Clone(linux.Namespaces), func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
	host.Linux = &linux
	return sandbox(t, []string{"unshare", "--net", "sh", "-c", `ip link set lo up; exec "$@"`, "sh"}, platform, &host, "")
}

// sandbox runs a specification; words before the command are those of before.
func sandbox(t testing.TB, before []string, platform string, s *specs.Spec, stdin string, options ...string) Result {
	t.Helper()
	runsc := Runsc(t)
	dir := t.TempDir()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--root", filepath.Join(dir, "state"), "--platform", platform}, options...)
	id := fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano())
	args = append(args, "run", "--bundle", dir, id)
	all := append(append(slices.Clone(before), runsc), args...)
	r := finish(t, stdin, all[0], all[1:]...)
	if r.Code < 0 {
		exec.Command(runsc, "--root", filepath.Join(dir, "state"), "delete", "--force", id).Run()
	}
	return r
}

// Native runs args in root natively, in namespaces of its own, with the same
// mounts and environment. What it writes to the root is thrown away.
func Native(t testing.TB, root, stdin string, args ...string) Result {
	t.Helper()
	dir := t.TempDir()
	script := `set -e
mount -t tmpfs tmpfs "$1"; mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" "$1/root"; r="$1/root"; shift 2
mkdir -p $r/proc $r/dev $r/tmp $r/sys
mount -t proc proc "$r/proc"; mount -t tmpfs -o mode=755 tmpfs "$r/dev"; mkdir "$r/dev/pts" "$r/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$r/dev/pts"
for d in null zero full random urandom tty; do cp -a /dev/$d "$r/dev/$d"; done
ln -s /proc/self/fd "$r/dev/fd"; ln -s /proc/self/fd/0 "$r/dev/stdin"; ln -s /proc/self/fd/1 "$r/dev/stdout"; ln -s /proc/self/fd/2 "$r/dev/stderr"; ln -s pts/ptmx "$r/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$r/dev/shm"; mount -t sysfs -o ro sysfs "$r/sys"; mount -t tmpfs -o mode=1777 tmpfs "$r/tmp"
hostname ringfort; ip link set lo up
ulimit -S -n 1024; ulimit -c 0
exec chroot "$r" /usr/bin/env -i "$@"`
	all := []string{"--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child", "/bin/sh", "-c", script, "sh", dir, root}
	all = append(all, Env...)
	return finish(t, stdin, "unshare", append(all, args...)...)
}

// finish runs a command to its end, or to the limit.
func finish(t testing.TB, stdin, name string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errout bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewBufferString(stdin), &out, &errout
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s: %v", name, err)
	}
	r := Result{Code: cmd.ProcessState.ExitCode(), Out: out.String(), Errout: errout.String()}
	if ctx.Err() != nil {
		r.Errout += fmt.Sprintf("\n(ended by the harness after %v)", limit)
	}
	return r
}
