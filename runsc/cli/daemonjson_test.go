package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runApp runs runsc with arguments and returns what it printed.
func runApp(args ...string) (string, error) {
	var out bytes.Buffer
	a := &app{deps: &Deps{}, out: &out}
	err := a.dispatch(args)
	return out.String(), err
}

// TestInstall writes into a configuration of somebody else's and takes it out again.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	const before = "{\n    \"zeta\": 12345678901234567890123,\n    \"runtimes\": {\n        \"other\": {\n            \"path\": \"/bin/other\"\n        }\n    },\n    \"alpha\": [\n        1\n    ]\n}\n"
	const installed = "{\n    \"zeta\": 12345678901234567890123,\n    \"runtimes\": {\n        \"other\": {\n            \"path\": \"/bin/other\"\n        },\n        \"runsc\": {\n            \"path\": \"/bin/sh\",\n            \"runtimeArgs\": [\n                \"--debug\",\n                \"--platform=ptrace\"\n            ]\n        }\n    },\n    \"alpha\": [\n        1\n    ],\n    \"default-runtime\": \"runsc\"\n}\n"
	real, link := filepath.Join(dir, "real.json"), filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(real, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.json", link); err != nil {
		t.Fatal(err)
	}
	install := []string{"install", "--config-file", link, "--path", "/bin/sh", "--default"}
	rest := []string{"--", "--debug", "--platform=ptrace"}
	file := func() string {
		data, err := os.ReadFile(link)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if out, err := runApp(append(append(install, "--dry-run"), rest...)...); out != installed || err != nil {
		t.Errorf("dry run: %v\n%s", err, out)
	}
	if file() != before {
		t.Error("a dry run changed the file")
	}
	for range 2 { // once more makes no difference
		if out, err := runApp(append(install, rest...)...); err != nil || !strings.Contains(out, "reload") {
			t.Errorf("%q %v", out, err)
		}
		if file() != installed {
			t.Errorf("installed:\n%s", file())
		}
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
	if st, err := os.Stat(real); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v %v", st.Mode(), err)
	}
	if _, err := runApp("uninstall", "--config-file", link); err != nil || file() != before {
		t.Errorf("uninstalled: %v\n%s", err, file())
	}
	if _, err := runApp("uninstall", "--config-file", link); err == nil || !strings.Contains(err.Error(), `has no runtime "runsc"`) {
		t.Errorf("uninstalled twice: %v", err)
	}
	fresh := filepath.Join(dir, "new", "daemon.json")
	if _, err := runApp("install", "--config-file", fresh, "--path", "/bin/sh"); err != nil {
		t.Error(err)
	}
	if _, err := runApp("uninstall", "--config-file", fresh); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(fresh); string(data) != "{}\n" || err != nil {
		t.Errorf("%q %v", data, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", ".daemon*"))
	if len(left) > 0 {
		t.Error(left)
	}
}

func TestInstallRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := map[string]string{
		`{"a": 1,}`:                       "line 1",
		"{\n\n\"a\": x}":                  "line 3",
		`[]`:                              "not a JSON object",
		`{"a": 1, "a": 2}`:                "twice",
		`{"runtimes": 5}`:                 "runtimes: not a JSON object",
		`{"runtimes": {}} trailing`:       "after top-level value",
		`{"runtimes": {"x": 1, "x": 2}} `: "twice",
	}
	for text, want := range broken {
		file := filepath.Join(dir, "daemon.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := runApp("install", "--config-file", file, "--path", "/bin/sh")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if data, _ := os.ReadFile(file); string(data) != text {
			t.Errorf("%s: was changed", text)
		}
	}
	file := filepath.Join(dir, "none.json")
	for want, args := range map[string][]string{
		"keeps the name":     {"--runtime", "runc", "--path", "/bin/sh"},
		"a blank or a slash": {"--runtime", "a b", "--path", "/bin/sh"},
		"no such file":       {"--path", "/no/such"},
		"not a program":      {"--path", "/etc/passwd"},
		"not defined":        {"--path", "/bin/sh", "--", "--nope=1"},
		"--name=value":       {"--path", "/bin/sh", "--", "--platform", "ptrace"},
	} {
		_, err := runApp(append([]string{"install", "--config-file", file}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was made")
	}
	if _, err := runApp("install", "--config-file", dir, "--path", "/bin/sh"); err == nil {
		t.Error("a directory was taken for a file")
	}
}
