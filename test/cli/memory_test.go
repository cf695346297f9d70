package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// memoryLimit gives a container n bytes, and no swap.
func memoryLimit(n int64) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &n, Swap: &n}}
	}
}

// needMemoryCgroups skips a test on a machine that cannot limit memory.
func needMemoryCgroups(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil {
		return
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err != nil || len(b) == 0 {
		t.Skip("no memory cgroups here")
	}
}

// TestMemoryLimit has programs want more than linux.resources.memory.limit: as natively the host kills the one that has
// most, and nothing else.
func TestMemoryLimit(t *testing.T) {
	needMemoryCgroups(t)
	for _, platform := range []string{"systrap", "ptrace"} {
		for _, c := range []struct{ name, script, want string }{
			{"touch", `awk 'BEGIN { s = "0123456789abcdef"; for (i = 0; i < 26; i++) s = s s; print length(s) }'
echo code $?; echo alive`, "code 137\nalive\n"},
			// The Sentry fills the buffer.
			{"read", `dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null
echo code $?; echo alive`, "code 137\nalive\n"},
			// The one that has most sleeps, in the write of what it has read.
			{"asleep", `{ dd if=/dev/zero bs=60M count=1 2>/dev/null; echo code $? >/tmp/code; } | { head -c 1 >/tmp/byte; sleep 1000; } &
until test -s /tmp/byte; do sleep 0.02; done
dd if=/dev/zero of=/dev/null bs=50M count=1 2>/dev/null
until test -s /tmp/code; do sleep 0.02; done
cat /tmp/code; echo alive`, "code 137\nalive\n"},
		} {
			t.Run(platform+"/"+c.name, func(t *testing.T) {
				e := newEnv(t)
				e.options = []string{"--platform", platform}
				r := e.run([]string{"sh", "-c", c.script}, memoryLimit(100<<20))
				if r.code != 0 || r.out != c.want {
					t.Errorf("exit code %d, %q, want %q; %q", r.code, r.out, c.want, r.errout)
				}
			})
		}
	}
}

// TestPodMemoryLimit limits a container of a pod: what the Sentry fills for its programs counts as its own, and the pod
// goes on.
func TestPodMemoryLimit(t *testing.T) {
	needMemoryCgroups(t)
	for _, platform := range []string{"systrap", "ptrace"} {
		t.Run(platform, func(t *testing.T) {
			e := newEnv(t)
			e.options = []string{"--platform", platform}
			p := newPod(e)
			id, file := p.add([]string{"sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo code $?; sleep 1000"}, memoryLimit(50<<20))
			if said := p.says(file, "code"); said != "code 137\n" {
				t.Errorf("the container says %q", said)
			}
			for _, id := range []string{p.id, id} {
				if s := e.status(id); s != "running" {
					t.Errorf("container %s is %s", id, s)
				}
			}
		})
	}
}

// TestOOMEvent has `events` tell of a program that the host kills for want of memory.
func TestOOMEvent(t *testing.T) {
	needMemoryCgroups(t)
	e := newEnv(t)
	id := e.id()
	e.must("create", "--bundle", e.bundle([]string{"sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; sleep 1000"}, memoryLimit(100<<20)), id)
	cmd := e.command("events", "--interval", "1h", id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	late := time.AfterFunc(commandTimeout, func() { cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"type":"stats"`) {
		t.Fatalf("first event: %q", lines.Text())
	}
	e.must("start", id)
	if want := fmt.Sprintf(`{"type":"oom","id":%q}`, id); !lines.Scan() || lines.Text() != want {
		t.Errorf("second event: %q, want %s", lines.Text(), want)
	}
}
