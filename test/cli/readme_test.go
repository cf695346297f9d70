package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// byHand returns the commands of the README's section about a bundle by hand.
func byHand(t *testing.T) []string {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(data), "\n## An OCI bundle by hand\n")
	if !found {
		t.Fatal("README.md has no section about a bundle by hand")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for _, l := range strings.Split(section, "\n") {
		if code, ok := strings.CutPrefix(l, "    "); ok {
			lines = append(lines, code)
		}
	}
	return lines
}

// TestReadme types what the README says, line by line, in a fresh directory.
func TestReadme(t *testing.T) {
	e := newEnv(t)
	lines := byHand(t)
	if len(lines) == 0 || len(lines) > 6 {
		t.Fatalf("%d commands: %q", len(lines), lines)
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("needs busybox-static")
	}
	before := e.footprint()
	e.Cleanup(func() { e.runsc("delete", "--force", "demo") }) // the name in the README
	// A runsc in PATH, with a state directory of the test's.
	bin := t.TempDir()
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s --root %s \"$@\"\n", binary, e.root)
	if err := os.WriteFile(filepath.Join(bin, "runsc"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "set -e\n"
	for i, l := range lines {
		script += fmt.Sprintf("echo '--- %d' >&2\n%s\n", i, l)
	}
	cmd := exec.Command("/bin/bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	// A terminal at which nobody types: the shell in the container waits.
	in, nobody, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer nobody.Close()
	cmd.Stdin = in
	r := e.finish(cmd)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.code, r.out, r.errout)
	}
	if !strings.Contains(r.out, `"status": "running"`) {
		t.Errorf("the state is not that of a running container:\n%s", r.out)
	}
	if after := e.footprint(); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}
