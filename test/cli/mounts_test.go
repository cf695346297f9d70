package cli

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestMountInfo reads from inside what the configuration asked for: destination, type and source of every mount in
// its order, the host's path as the root of a bind mount, and how mounts propagate.
func TestMountInfo(t *testing.T) {
	e := newEnv(t)
	source := t.TempDir()
	var want []specs.Mount
	r := e.run([]string{"cat", "/proc/self/mountinfo"}, func(s *specs.Spec) {
		s.Linux.RootfsPropagation = "shared"
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		s.Mounts = append(s.Mounts,
			specs.Mount{Destination: "/tmp/shared", Type: "tmpfs", Source: "some-name", Options: []string{"shared", "size=64k"}},
			specs.Mount{Destination: "/tmp/unbindable", Type: "tmpfs", Source: "tmpfs", Options: []string{"unbindable"}},
			// mount(2) takes no notice of the data of a bind mount.
			specs.Mount{Destination: "/tmp/bind", Type: "none", Source: source, Options: []string{"rbind", "rshared", "mode=755"}},
			specs.Mount{Destination: "/tmp/private", Source: source, Options: []string{"bind", "private"}})
		want = s.Mounts
	})
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.errout)
	}
	lines := strings.Split(r.out, "\n")
	find := func(destination string) string {
		for i, l := range lines {
			if f := strings.Fields(l); len(f) > 8 && f[4] == destination {
				lines = lines[i+1:]
				return l
			}
		}
		t.Fatalf("no %s, or not in order, in\n%s", destination, r.out)
		return ""
	}
	if root := find("/"); !strings.Contains(root, " shared:") {
		t.Errorf("linux.rootfsPropagation shared: %s", root)
	}
	for _, m := range want {
		line := find(m.Destination)
		before, after, _ := strings.Cut(line, " - ")
		kind, source, _ := strings.Cut(after, " ")
		source, _, _ = strings.Cut(source, " ")
		bind := m.Type == "" || m.Type == "none"
		if !bind && kind != m.Type || source != m.Source {
			t.Errorf("%s %s of %s: %s", m.Type, m.Destination, m.Source, line)
		}
		if bind && strings.Fields(before)[3] != m.Source {
			t.Errorf("the root of the bind mount %s is not %s: %s", m.Destination, m.Source, line)
		}
		tag := map[string]string{"/tmp/shared": "shared:", "/tmp/bind": "shared:", "/tmp/unbindable": "unbindable"}[m.Destination]
		if !strings.Contains(before, tag) || tag == "" && strings.Contains(before, "shared:") {
			t.Errorf("propagation of %s: %s", m.Destination, line)
		}
	}
}
