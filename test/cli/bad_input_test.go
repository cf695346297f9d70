package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fails checks an error: its exit code, that it is one line that says this, and that the log says the same.
func (e *env) fails(code int, says string, args ...string) {
	e.Helper()
	log := filepath.Join(e.TempDir(), "log.json")
	r := e.runsc(append([]string{"--log", log, "--log-format", "json"}, args...)...)
	if r.code != code {
		e.Errorf("runsc %q: exit code %d, want %d; it says %s", args, r.code, code, r.errout)
	}
	if !strings.HasPrefix(r.errout, "runsc: ") || strings.Count(r.errout, "\n") != 1 || !strings.Contains(r.errout, says) {
		e.Errorf("runsc %q says\n%s, want one line with %q", args, r.errout, says)
	}
	data, _ := os.ReadFile(log)
	var last struct{ Level, Msg, Time string }
	for line := range strings.Lines(string(data)) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			e.Errorf("log line %q: %v", line, err)
		}
	}
	if last.Level != "error" || last.Time == "" || "runsc: "+last.Msg+"\n" != r.errout {
		e.Errorf("runsc %q: the log ends with %+v, standard error says %s", args, last, r.errout)
	}
}

func TestBadBundle(t *testing.T) {
	e := newEnv(t)
	config := func(text string) string {
		dir := e.bundle([]string{"true"})
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct{ what, bundle, says string }{
		{"no bundle", "/nonexistent", "/nonexistent/config.json not found"},
		{"no config.json", t.TempDir(), "config.json not found"},
		{"empty", config(""), "the file is empty"},
		{"broken JSON", config("{\n\"ociVersion\": \"1.0.0\",,}"), "line 2, column 23: not JSON"},
		{"wrong type", config(`{"ociVersion":"1.0.0","process":{"args":"sh"}}`), "process.args: a JSON string is not a []string"},
		{"missing root", e.bundle([]string{"true"}, func(s *specs.Spec) { s.Root.Path = "gone" }), "gone does not exist"},
		{"root is a file", e.bundle([]string{"true"}, func(s *specs.Spec) { s.Root.Path = "config.json" }), "is not a directory"},
		{"missing bind source", e.bundle([]string{"true"}, func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/nonexistent", Options: []string{"rbind"}})
		}), "/x: stat /nonexistent: no such file or directory"},
		{"file as network", e.bundle([]string{"true"}, func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: "network", Path: "/etc/passwd"}}
		}), "/etc/passwd is not a network namespace"},
		{"terminal without socket", e.bundle([]string{"true"}, func(s *specs.Spec) { s.Process.Terminal = true }), "console socket"},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := &env{T: t, root: e.root}
			e.fails(1, c.says, "create", "--bundle", c.bundle, e.id())
		})
	}
	if f := e.footprint(); strings.Contains(f, "left") || strings.Contains(f, "process") {
		t.Error(f)
	}
}

func TestBadProgram(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		what string
		args []string
		code int
		says string
	}{
		{"not in PATH", []string{"nosuchprogram"}, 127, `exec: "nosuchprogram": executable file not found in $PATH`},
		{"no such file", []string{"/bin/nosuchprogram"}, 127, "no such file or directory"},
		{"not executable", []string{"/etc/text"}, 126, "permission denied"},
		{"a directory", []string{"/etc"}, 126, ""},
		{"corrupt ELF", []string{"/etc/corrupt"}, 126, ""},
		{"truncated ELF", []string{"/etc/short"}, 126, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := &env{T: t, root: e.root}
			dir := e.bundle(c.args)
			etc := filepath.Join(dir, "rootfs", "etc")
			busybox, err := os.ReadFile("/bin/busybox")
			if err != nil {
				t.Fatal(err)
			}
			corrupt := append([]byte(nil), busybox[:8192]...)
			for i := 24; i < 64; i++ {
				corrupt[i] = 0xff // entry point, offsets and sizes of the tables
			}
			for name, f := range map[string]struct {
				data []byte
				mode os.FileMode
			}{"text": {[]byte("hello"), 0o644}, "corrupt": {corrupt, 0o755}, "short": {busybox[:40], 0o755}} {
				if err := os.WriteFile(filepath.Join(etc, name), f.data, f.mode); err != nil {
					t.Fatal(err)
				}
			}
			e.fails(c.code, c.says, "run", "--bundle", dir, e.id())
		})
	}
}

func TestBadCommandLine(t *testing.T) {
	e := newEnv(t)
	good := e.bundle([]string{"sleep", "100"})
	for _, c := range []struct {
		says string
		args []string
	}{
		{`no such command: "frobnicate"`, []string{"frobnicate"}},
		{`--platform: unknown platform "magic"`, []string{"--platform", "magic", "run", "--bundle", good, "x"}},
		{`--network: unknown network "x"`, []string{"--network=x", "list"}},
		{`--overlay: unknown overlay "x"`, []string{"--overlay=x", "list"}},
		{"flag provided but not defined: -nosuch", []string{"create", "--nosuch", "x"}},
		{"create: 1 argument(s) missing", []string{"create"}},
		{"too many arguments", []string{"start", "a", "b"}},
		{`invalid container id format: "a/b"`, []string{"create", "--bundle", good, "a/b"}},
		{`invalid container id format: ".."`, []string{"create", "--bundle", good, ".."}},
		{`invalid container id format: ""`, []string{"create", "--bundle", good, ""}},
		{"container does not exist: nosuch", []string{"start", "nosuch"}},
		{"container does not exist: nosuch", []string{"state", "nosuch"}},
		{"container does not exist: nosuch", []string{"kill", "nosuch"}},
		{"container does not exist: nosuch", []string{"delete", "nosuch"}},
		{"container does not exist: nosuch", []string{"exec", "nosuch", "true"}},
		{"container does not exist: nosuch", []string{"ps", "nosuch"}},
		{"container does not exist: nosuch", []string{"events", "--stats", "nosuch"}},
		{`unknown signal "FROB"`, []string{"kill", "nosuch", "FROB"}},
	} {
		e.fails(1, c.says, c.args...)
	}
	e.must("delete", "--force", "nosuch")
}

func TestWrongState(t *testing.T) {
	e := newEnv(t)
	id, dir := e.id(), e.bundle([]string{"sleep", "100"})
	e.must("create", "--bundle", dir, id)
	e.fails(1, "already exists", "create", "--bundle", dir, id)
	e.fails(1, "container not running", "pause", id)
	e.fails(1, "container not paused", "resume", id)
	e.must("start", id)
	e.fails(1, "cannot start an already running container", "start", id)
	e.fails(1, "cannot delete container "+id+" that is not stopped: running", "delete", id)
	e.fails(127, "nosuchprogram", "exec", id, "nosuchprogram")
	e.fails(1, "exclude each other", "exec", "--process", "/dev/null", id, "true")
	e.must("kill", id, "KILL")
	e.await(id, "stopped")
	e.fails(1, "cannot start a container that has stopped", "start", id)
	e.fails(1, "container not running", "kill", id, "TERM")
	e.fails(255, "cannot exec in a stopped container", "exec", id, "true")
	e.must("delete", id)
}

// TestDamagedState cuts a state directory off half-way.
func TestDamagedState(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	for _, file := range []string{"state.json", "config.json"} {
		id, dir := e.id(), e.bundle([]string{"sleep", "100"})
		e.must("create", "--bundle", dir, id)
		e.must("start", id)
		if err := os.Truncate(filepath.Join(e.root, id, file), 30); err != nil {
			t.Fatal(err)
		}
		e.fails(1, file+" is damaged", "state", id)
		e.fails(1, "is damaged", "delete", id)
		r := e.runsc("list")
		if r.code != 0 || !strings.Contains(r.errout, "is damaged") {
			t.Errorf("list: %+v", r)
		}
		e.must("delete", "--force", id)
	}
	if after := e.footprint(); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}
