package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestProgramInVolume has the host run what a container has written, while the container goes on.
func TestProgramInVolume(t *testing.T) {
	e := newEnv(t)
	v := t.TempDir()
	const script = `cd /v; echo '#!/bin/sh' >script; echo 'echo ran' >>script; cat /bin/busybox >new; cat new >echo; test -x script || busybox chmod 755 script echo; touch written; sleep 1000`
	bundle := e.bundle([]string{"sh", "-c", script}, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/v", Source: v, Options: []string{"bind"}})
	})
	id := e.id()
	e.must("create", "--bundle", bundle, id)
	e.must("start", id)
	for i := 0; ; i++ { // the limit is for what hangs
		if _, err := os.Stat(filepath.Join(v, "written")); err == nil {
			break
		}
		if i == 1000 {
			t.Fatal("the container has not written")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, args := range [][]string{{"script"}, {"echo", "ran"}} {
		out, err := exec.Command(filepath.Join(v, args[0]), args[1:]...).CombinedOutput()
		if string(out) != "ran\n" || err != nil {
			t.Errorf("%s: %q, %v", args[0], out, err)
		}
	}
}
