package conformance

import (
	"os"
	"os/exec"
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

// onHost are the programs about sockets, which run with the host's network as well.
var onHost = map[string]bool{"inet": true, "inet_local": true, "poll": true, "epoll": true}

// TestConformance runs every program natively and on each platform.
func TestConformance(t *testing.T) {
	sources, err := filepath.Glob("testdata/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	root := t.TempDir()
	os.Chmod(root, 0o755)
	for _, d := range []string{"proc", "dev", "tmp", "sys", "bin", "etc"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The native run needs env(1) in the root.
	for _, f := range []string{"bin/busybox", "usr/bin/env", "bin/sh", "bin/true", "bin/cat"} {
		copyFile(t, "/bin/busybox", filepath.Join(root, f))
	}
	cases := 0
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		compile(t, src, filepath.Join(root, "bin", name))
		native := parse(harness.Native(t, root, "", "/bin/"+name))
		cases += len(native.order)
		for _, c := range native.order {
			if why := native.failed[c]; why != "" {
				t.Errorf("%s/%s fails natively, so it is no test: %s", name, c, why)
			}
		}
		if len(native.order) == 0 {
			t.Errorf("%s: no case ran natively: %s", name, native.rest)
		}
		for _, p := range harness.Platforms {
			t.Run(p+"/"+name, func(t *testing.T) {
				compare(t, native, harness.Sandbox(t, p, harness.Spec(root, "/bin/"+name), ""))
			})
		}
		if onHost[name] {
			t.Run("hostnet/"+name, func(t *testing.T) {
				p := harness.Platforms[len(harness.Platforms)-1]
				compare(t, native, harness.HostNetwork(t, p, harness.Spec(root, "/bin/"+name)))
			})
		}
	}
	t.Logf("%d cases", cases)
}

// outcome is what a program printed.
type outcome struct {
	order  []string
	failed map[string]string // why
	rest   string
}

func parse(r harness.Result) *outcome {
	o := &outcome{failed: map[string]string{}, rest: r.Errout}
	for _, line := range strings.Split(r.Out, "\n") {
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			o.order = append(o.order, name)
		} else if text, ok := strings.CutPrefix(line, "FAIL "); ok {
			name, why, _ := strings.Cut(text, ": ")
			o.order = append(o.order, name)
			o.failed[name] = why
		} else {
			o.rest += line + "\n"
		}
	}
	return o
}

// compare makes each case a subtest.
func compare(t *testing.T, native *outcome, r harness.Result) {
	got := parse(r)
	seen := map[string]bool{}
	for _, c := range got.order {
		seen[c] = true
	}
	for _, c := range native.order {
		if native.failed[c] != "" {
			continue
		}
		t.Run(c, func(t *testing.T) {
			if !seen[c] {
				t.Fatalf("did not run; exit code %d, other output: %s", r.Code, got.rest)
			}
			if why := got.failed[c]; why != "" {
				t.Error(why)
			}
		})
	}
}

func compile(t *testing.T, src, bin string) {
	t.Helper()
	out, err := exec.Command("gcc", "-O1", "-static", "-pthread", "-Wall", "-Wno-unused-function", "-o", bin, src).CombinedOutput()
	if err != nil {
		t.Fatalf("compile %s: %v\n%s", src, err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
