package workloads

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringfort/test/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.Cleanup()
	os.Exit(code)
}

// TestWorkloads runs each script natively and in the sandbox and compares what
// it prints and how it exits, byte for byte.
func TestWorkloads(t *testing.T) {
	root := harness.NeedDebian(t)
	scripts, err := filepath.Glob("scripts/*.sh")
	if err != nil || len(scripts) < 60 {
		t.Fatalf("%d scripts, want at least 60: %v", len(scripts), err)
	}
	for _, file := range scripts {
		name := strings.TrimSuffix(filepath.Base(file), ".sh")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			args := []string{"/bin/bash", "-c", "mkdir -p /tmp/w && cd /tmp/w\n" + string(text)}
			want := harness.Native(t, root, "", args...)
			for _, p := range harness.Platforms {
				t.Run(p, func(t *testing.T) {
					got := harness.Sandbox(t, p, harness.Spec(root, args...), "", "--overlay=memory")
					if got != want {
						t.Errorf("native:  exit %d\n%s%s\nsandbox: exit %d\n%s%s", want.Code, want.Out, want.Errout, got.Code, got.Out, got.Errout)
					}
				})
			}
		})
	}
}
