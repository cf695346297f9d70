package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfig has files of any content read as a configuration, as the process of an exec and as resources. What is accepted
// is accepted again when it is written out; what is not has an error of one line.
func FuzzConfig(f *testing.F) {
	template, err := json.Marshal(Template())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(template)
	for _, s := range []string{
		minimal, `{}`, `null`, `[]`, `{"linux":null}`, `{"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"/","rlimits":[null]}}`,
		`{"args":["a"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN"]},"consoleSize":{"height":1}}`,
		`{"memory":{"limit":1,"swap":-1},"cpu":{"cpus":"0-3"},"blockIO":{"weightDevice":[null]}}`,
		`{"ociVersion":"1.0.2","root":{"path":"rootfs"},"mounts":[{"destination":"/x","type":"bind","source":"/","options":["rbind"]}],"hooks":{"prestart":[{}]}}`,
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		f.Fatal(err)
	}
	file := filepath.Join(dir, ConfigName)
	f.Fuzz(func(t *testing.T, data []byte) {
		put := func(data []byte) {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		oneLine := func(err error) {
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
		}
		put(data)
		_, err := LoadProcess(file)
		oneLine(err)
		_, err = LoadResources(file)
		oneLine(err)
		s, err := Load(dir)
		oneLine(err)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		put(again)
		if _, err := Load(dir); err != nil {
			t.Errorf("what was accepted is not any more: %v\n%s", err, again)
		}
	})
}
