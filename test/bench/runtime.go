package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/test/harness"
)

// runtime is a way to run a program: an OCI runtime, or none.
type runtime struct {
	column string
	binary string   // "" is native
	flags  []string // global options
}

// place is where one run of a job happens: a bundle directory, a root and a
// network namespace with a loopback, all thrown away afterwards but for the layer
// that was written to. That stays until the end: ext4 without a journal does not use
// the inodes of files that were removed a moment ago and looks at each of them for
// every file that is made, so that who runs next would pay for it.
type place struct {
	dir, root, id string
	overlay       bool
}

var runs atomic.Int64

// newPlace makes one. A lower root is put below an overlay, as docker does, and
// is not written to; without one the small root is used as it is.
func (b *bench) newPlace(lower string) (p *place, err error) {
	n := runs.Add(1)
	p = &place{dir: filepath.Join(b.dir, fmt.Sprintf("run%d", n)), root: filepath.Join(b.dir, "tiny"), id: fmt.Sprintf("bench-%d-%d", os.Getpid(), n)}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	if lower != "" {
		p.root = filepath.Join(p.dir, "root")
		layer := filepath.Join(b.dir, fmt.Sprintf("layer%d", n))
		up, work := filepath.Join(layer, "up"), filepath.Join(layer, "work")
		for _, d := range []string{p.root, up, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return nil, err
			}
		}
		if err := command("mount", "-t", "overlay", "overlay", "-o", "lowerdir="+lower+",upperdir="+up+",workdir="+work, p.root); err != nil {
			return nil, err
		}
		p.overlay = true
	}
	if err := os.WriteFile(p.net(), nil, 0o600); err != nil {
		return nil, err
	}
	return p, command("unshare", "--net="+p.net(), "ip", "link", "set", "lo", "up")
}

func (p *place) net() string { return filepath.Join(p.dir, "net") }

func (p *place) remove() {
	exec.Command("umount", p.net()).Run()
	if p.overlay {
		if err := command("umount", p.root); err != nil {
			command("umount", "--lazy", p.root)
		}
	}
	os.RemoveAll(p.dir)
}

// nativeScript enters a root ($1) in namespaces of its own, with the mounts of
// a sandbox, and executes the rest of its arguments there.
const nativeScript = `set -e
r="$1"; shift
mount -t proc proc "$r/proc"; mount -t tmpfs -o mode=755 tmpfs "$r/dev"; mkdir "$r/dev/pts" "$r/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$r/dev/pts"
for d in null zero full random urandom tty; do cp -a /dev/$d "$r/dev/$d"; done
ln -s /proc/self/fd "$r/dev/fd"; ln -s pts/ptmx "$r/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$r/dev/shm"; mount -t sysfs -o ro sysfs "$r/sys"; mount -t tmpfs -o mode=1777 tmpfs "$r/tmp"
hostname ringfort; ulimit -S -n 1024; ulimit -c 0
exec chroot "$r" `

// argv returns the command that runs args in the place with the runtime. With
// detach it ends when the program has started, except natively.
func (b *bench) argv(rt *runtime, p *place, detach bool, args []string) ([]string, error) {
	if rt.binary == "" {
		script := nativeScript + "/bin/"
		if p.overlay {
			script = nativeScript + "/usr/bin/env -i " + strings.Join(harness.Env, " ") + " "
		} else {
			args = append([]string{strings.TrimPrefix(args[0], "/bin/")}, args[1:]...)
		}
		for _, a := range args {
			script += quote(a) + " "
		}
		return []string{"nsenter", "--net=" + p.net(), "unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--kill-child", "/bin/sh", "-c", script, "sh", p.root}, nil
	}
	spec := harness.Spec(p.root, args...)
	for i, n := range spec.Linux.Namespaces {
		if n.Type == specs.NetworkNamespace {
			spec.Linux.Namespaces[i].Path = p.net()
		}
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "config.json"), data, 0o644); err != nil {
		return nil, err
	}
	all := append(b.global(rt), "run")
	if detach {
		all = append(all, "--detach")
	}
	return append(all, "--bundle", p.dir, p.id), nil
}

// global returns the runtime and its global options.
func (b *bench) global(rt *runtime) []string {
	return append([]string{rt.binary, "--root", filepath.Join(b.dir, "state-"+rt.column)}, rt.flags...)
}

// quote writes an argument for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// end removes what a runtime keeps of the sandbox of a place.
func (b *bench) end(rt *runtime, p *place) {
	if rt.binary == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	args := append(b.global(rt), "delete", "--force", p.id)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Run()
}

// guarded starts a command below the guard, which ends everything the command
// started when the returned function is called.
func (b *bench) guarded(out, errout io.Writer, stay bool, args []string) (*exec.Cmd, func(), error) {
	all := args
	if stay {
		all = append([]string{"-s"}, args...)
	}
	cmd := exec.Command(filepath.Join(b.dir, "bin/guard"), all...)
	cmd.Stdout, cmd.Stderr = out, errout
	cmd.WaitDelay = 15 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, func() { stdin.Close() }, cmd.Start()
}

// execute runs args in the place and returns what they print and, should that
// not be what was expected, why.
func (b *bench) execute(ctx context.Context, rt *runtime, p *place, limit time.Duration, args []string) (output, failure string) {
	all, err := b.argv(rt, p, false, args)
	if err != nil {
		return "", err.Error()
	}
	var out, errout bytes.Buffer
	cmd, stop, err := b.guarded(&out, &errout, false, all)
	if err != nil {
		return "", err.Error()
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
	case <-time.After(limit):
		failure = fmt.Sprintf("timeout after %v", limit)
	case <-ctx.Done():
		failure = ctx.Err().Error()
	}
	if failure != "" {
		b.end(rt, p)
		stop()
		<-done
		return out.String(), failure
	}
	if failure = lastLine(errout.String()); failure == "" {
		failure = "no result"
	}
	if err != nil {
		failure += ": " + err.Error()
		b.end(rt, p)
	}
	return out.String(), failure
}

// lastLine returns the last line of a text, which may be long.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return shorten(lines[len(lines)-1], 1000)
}

// shorten cuts a line to a number of bytes.
func shorten(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
