package hostile

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

// TestHostile runs each case of each program in a sandbox of its own.
func TestHostile(t *testing.T) {
	sources, err := filepath.Glob("testdata/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	for _, src := range sources {
		text, err := os.ReadFile(src)
		if err != nil {
			t.Fatal(err)
		}
		root := t.TempDir()
		program(t, root, src)
		for _, c := range cases(string(text)) {
			t.Run(strings.TrimSuffix(filepath.Base(src), ".c")+"/"+c, func(t *testing.T) {
				r := harness.Sandbox(t, "systrap", harness.Spec(root, "/bin/program", c), "")
				if r.Code != 0 || !strings.Contains(r.Out, "ok "+c+"\n") || strings.Contains(r.Errout, "BREACH") {
					t.Errorf("exit code %d\n%s%s", r.Code, r.Out, r.Errout)
				}
			})
		}
	}
}

// cases returns the names a program gives its cases.
func cases(text string) (names []string) {
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "CASE("); ok {
			name, _, _ := strings.Cut(rest, ")")
			names = append(names, name)
		}
		if rest, ok := strings.CutPrefix(line, "SWEEP("); ok {
			name, _, _ := strings.Cut(rest, ",")
			names = append(names, "jump_"+name)
		}
	}
	return names
}

// program makes a root with the compiled program.
func program(t *testing.T, root, src string) {
	t.Helper()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"proc", "dev", "tmp", "sys", "bin"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("gcc", "-O1", "-static", "-pthread", "-mfsgsbase", "-Wall", "-Wno-unused-function",
		"-o", filepath.Join(root, "bin/program"), src).CombinedOutput()
	if err != nil {
		t.Fatalf("compile %s: %v\n%s", src, err, out)
	}
}
