package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDebug looks into a busy sandbox in every way there is, several times. Whatever is asked, the sandbox goes on.
func TestDebug(t *testing.T) {
	for _, platform := range []string{"ptrace", "systrap"} {
		t.Run(platform, func(t *testing.T) { debugOn(newEnv(t), platform) })
	}
}

func debugOn(e *env, platform string) {
	id := e.id()
	busy := "sh -c 'while :; do echo x > /tmp/f; cat /tmp/f > /dev/null; done' & while :; do :; done"
	e.must("--platform", platform, "create", "--bundle", e.bundle([]string{"sh", "-c", busy}), id)
	e.must("start", id)
	if out := e.must("debug", "--stacks", id); !strings.Contains(out, "goroutine ") || !strings.Contains(out, "kernel.(*Task).run") {
		e.Errorf("stacks: %.500s", out)
	}
	dir := e.TempDir()
	for round := range 2 {
		for _, kind := range []string{"profile-heap", "profile-cpu", "trace"} {
			file := filepath.Join(dir, kind)
			e.must("debug", "--"+kind, file, "--duration", "1", id)
			if st, err := os.Stat(file); err != nil || st.Size() < 100 {
				e.Errorf("%s in round %d: %v, %v", kind, round, st, err)
			}
			if s := e.status(id); s != "running" {
				e.Fatalf("%s in round %d: the container is %s", kind, round, s)
			}
		}
	}
	for _, kind := range []string{"profile-heap", "profile-cpu"} {
		out, err := exec.Command("go", "tool", "pprof", "-top", filepath.Join(dir, kind)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "flat%") {
			e.Errorf("pprof of %s: %v\n%s", kind, err, out)
		}
		if kind == "profile-cpu" && !strings.Contains(string(out), "ringfort/sentry/kernel.(*Task).run") {
			e.Errorf("the profile names nothing of ours:\n%.1000s", out)
		}
	}
	if r := e.runsc("exec", id, "echo", "alive"); r.code != 0 || r.out != "alive\n" {
		e.Errorf("after all that: %+v", r)
	}
}
