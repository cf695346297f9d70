package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestFields holds the table of fields against the types of the specification.
func TestFields(t *testing.T) {
	seen := make(map[string]bool)
	walk := func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			seen[prefix+name] = true
			if _, ok := Fields[prefix+name]; !ok {
				t.Errorf("the table says nothing about %s%s", prefix, name)
			}
		}
	}
	walk("", reflect.TypeFor[specs.Spec]())
	walk("process.", reflect.TypeFor[specs.Process]())
	walk("linux.", reflect.TypeFor[specs.Linux]())
	for name := range Fields {
		if !seen[name] {
			t.Errorf("the table has %s, which the specification does not", name)
		}
	}
}

// TestRefused sets each field that the table calls refused and looks for its name in the error.
func TestRefused(t *testing.T) {
	values := map[string]string{
		"vm":                      `{"vm":{"kernel":{"path":"/k"}}}`,
		"process.apparmorProfile": `{"process":{"apparmorProfile":"x"}}`,
		"process.selinuxLabel":    `{"process":{"selinuxLabel":"x"}}`,
		"process.ioPriority":      `{"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":1}}}`,
		"process.execCPUAffinity": `{"process":{"execCPUAffinity":{"initial":"0"}}}`,
		"process.scheduler":       `{"process":{"scheduler":{"policy":"SCHED_FIFO","priority":1}}}`,
		"linux.netDevices":        `{"linux":{"netDevices":{"eth0":{}}}}`,
		"linux.mountLabel":        `{"linux":{"mountLabel":"x"}}`,
		"linux.intelRdt":          `{"linux":{"intelRdt":{}}}`,
		"linux.memoryPolicy":      `{"linux":{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0"}}}`,
		"linux.personality":       `{"linux":{"personality":{"domain":"LINUX32"}}}`,
		"linux.timeOffsets":       `{"linux":{"timeOffsets":{"boottime":{"secs":1}}}}`,
	}
	for name, support := range Fields {
		if support != Refused {
			continue
		}
		s := Template()
		if err := json.Unmarshal([]byte(values[name]), s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := Check(s); err == nil || !strings.Contains(err.Error(), name+": not supported") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// write makes a bundle with this configuration and a root.
func write(t *testing.T, config string) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const minimal = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}}}`

func TestLoad(t *testing.T) {
	dir := write(t, minimal)
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Root.Path != filepath.Join(dir, "rootfs") || s.Linux == nil {
		t.Errorf("not completed: %+v", s)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "config.json not found") {
		t.Errorf("no configuration: %v", err)
	}
	if err := Check(Template()); err != nil {
		t.Errorf("our own template: %v", err)
	}
}

// TestBad has one line for each thing that can be wrong; every error is one line that names file, field and value.
func TestBad(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(minimal, old, new, 1) }
	linux := func(l string) string { return change(`"process"`, `"linux":`+l+`,"process"`) }
	mount := func(m string) string { return change(`"process"`, `"mounts":[`+m+`],"process"`) }
	process := func(p string) string { return change(`"args"`, p+`,"args"`) }
	for _, c := range []struct{ config, says string }{
		{"", "file is empty"},
		{"{", "line 1, column 1: not JSON: unexpected end"},
		{"{\n\"a\": 1,\n}", "line 3, column 1: not JSON"},
		{change(`["sh"]`, `"sh"`), "process.args: a JSON string is not a []string"},
		{change(`"uid":0`, `"uid":"root"`), "process.user.uid: a JSON string is not a uint32"},
		{change(`"uid":0`, `"uid":-1`), "process.user.uid: a JSON number -1 is not a uint32"},
		{change(`"ociVersion":"1.0.2",`, ``), "ociVersion: missing"},
		{change(`1.0.2`, `2.0.0`), `ociVersion: "2.0.0" is newer`},
		{change(`1.0.2`, `one`), `ociVersion: "one" is not a version`},
		{change(`"root":{"path":"rootfs"},`, ``), "root.path: missing"},
		{change(`"path":"rootfs"`, `"path":"nowhere"`), "nowhere does not exist"},
		{change(`"path":"rootfs"`, `"path":"config.json"`), "config.json is not a directory"},
		{change(`["sh"]`, `[]`), "process.args: missing or empty"},
		{change(`"cwd":"/"`, `"cwd":"tmp"`), `process.cwd: "tmp" is not an absolute path`},
		{change(`"cwd":"/",`, ``), `process.cwd: missing`},
		{process(`"rlimits":[{"type":"RLIMIT_X","hard":1,"soft":1}]`), `process.rlimits[0].type: unknown limit "RLIMIT_X"`},
		{process(`"rlimits":[{"type":"RLIMIT_CPU","hard":1,"soft":2}]`), `soft limit 2 is above hard limit 1`},
		{process(`"capabilities":{"bounding":["CAP_X"]}`), `process.capabilities.bounding[0]: unknown capability "CAP_X"`},
		{process(`"oomScoreAdj":2000`), `process.oomScoreAdj: 2000`},
		{linux(`{"namespaces":[{"type":"pid"},{"type":"pid"}]}`), `linux.namespaces[1].type: "pid" is there twice`},
		{linux(`{"namespaces":[{"type":"x"}]}`), `linux.namespaces[0].type: unknown namespace "x"`},
		{linux(`{"namespaces":[{"type":"time"}]}`), `linux.namespaces[0]: the time namespace: not supported`},
		{linux(`{"namespaces":[{"type":"user"}]}`), `linux.uidMappings: missing`},
		{linux(`{"uidMappings":[{"size":1}]}`), `linux.uidMappings: there is no user namespace`},
		{linux(`{"namespaces":[{"type":"user"}],"uidMappings":[{"size":1}]}`), `linux.gidMappings: missing`},
		{linux(`{"namespaces":[{"type":"user"}],"uidMappings":[{"hostID":1}],"gidMappings":[{"size":1}]}`), `linux.uidMappings[0].size: 0 maps nothing`},
		{linux(`{"namespaces":[{"type":"user"}],"uidMappings":[{"size":4294967295,"hostID":9}],"gidMappings":[{"size":1}]}`), `linux.uidMappings[0]: 4294967295 from 0 to 9 is more`},
		{linux(`{"namespaces":[{"type":"user"}],"uidMappings":[{"size":10},{"size":1,"containerID":9,"hostID":50}],"gidMappings":[{"size":1}]}`), `linux.uidMappings[1]: maps again`},
		{linux(`{"sysctl":{"kernel.panic":"1"}}`), `linux.sysctl: "kernel.panic" is not in a separate kernel namespace`},
		{linux(`{"devices":[{"path":"dev/x","type":"c"}]}`), `linux.devices[0].path: "dev/x" is not an absolute path`},
		{linux(`{"devices":[{"path":"/dev/x","type":"y"}]}`), `linux.devices[0].type: "y"`},
		{linux(`{"maskedPaths":["proc"]}`), `linux.maskedPaths[0]: "proc"`},
		{linux(`{"rootfsPropagation":"all"}`), `linux.rootfsPropagation: unknown value "all"`},
		{linux(`{"seccomp":{"defaultAction":"SCMP_ACT_X"}}`), `linux.seccomp.defaultAction: unknown action "SCMP_ACT_X"`},
		{linux(`{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}}`), `SCMP_ACT_NOTIFY: not supported`},
		{mount(`{"destination":"/x","type":"ext4"}`), `mounts[0].type: /x: no file system "ext4"`},
		{mount(`{"destination":"/x","type":"bind"}`), `mounts[0].source: /x: missing`},
		{mount(`{"destination":"/x","type":"tmpfs","options":["size=1m","frob"]}`), `mounts[0].options[1]: /x: unknown option "frob" of a tmpfs mount`},
		{mount(`{"destination":"/x","type":"bind","source":"/","options":["rbind","mand"]}`), `mounts[0].options[1]: mand: not supported`},
		{mount(`{"destination":"/x","type":"tmpfs","uidMappings":[{"size":1}],"gidMappings":[{"size":1}]}`), `mounts[0].uidMappings: /x: only bind mounts can be ID-mapped`},
		{mount(`{"destination":"/x","type":"bind","source":"/","uidMappings":[{"size":1}]}`), `mounts[0].uidMappings: /x: there are maps of users or of groups, but not of both`},
		{change(`"process"`, `"hooks":{"prestart":[{"path":"x"}]},"process"`), `hooks.prestart[0].path: "x" is not an absolute path`},
	} {
		dir := write(t, c.config)
		_, err := Load(dir)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\n gives: %v\n  want: %s", c.config, err, c.says)
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("no file in the error: %v", err)
		}
	}
}

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "A-b_c+d.9": true, "": false, ".": false, "..": false, "a/b": false, "/a": false, "a b": false, "a\x00": false, "ä": false,
	} {
		if (CheckID(id) == nil) != ok {
			t.Errorf("CheckID(%q) = %v", id, CheckID(id))
		}
	}
}

func TestBindCompletion(t *testing.T) {
	s, err := Load(write(t, strings.Replace(minimal, `"process"`, `"mounts":[{"destination":"x","source":"rootfs","options":["rbind","ro"]}],"process"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	m := &s.Mounts[0]
	if m.Type != "bind" || m.Destination != "/x" || !filepath.IsAbs(m.Source) {
		t.Errorf("%+v", m)
	}
}
