package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// userNS gives a configuration a user namespace in which 0 is the host's uid and gid, with size IDs.
func userNS(uid, gid, size uint32) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uid, Size: size}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: gid, Size: size}}
	}
}

// TestUserNamespace looks at IDs from both sides: inside they are the container's, on the host what they are mapped to.
func TestUserNamespace(t *testing.T) {
	e := newEnv(t)
	id := e.id()
	bundle := e.bundle([]string{"sleep", "1000"}, userNS(100000, 200000, 1000), func(s *specs.Spec) { s.Hostname = "mapped" })
	tmp := filepath.Join(bundle, "rootfs", "tmp")
	if err := os.Chown(tmp, 100000, 200000); err != nil {
		t.Fatal(err)
	}
	e.must("run", "--detach", "--bundle", bundle, id)
	for _, c := range []struct{ user, command, want string }{
		{"0", "cat /proc/self/uid_map", "         0     100000       1000\n"},
		{"0", "cat /proc/self/gid_map", "         0     200000       1000\n"},
		{"0", "id -u; id -g; hostname", "0\n0\nmapped\n"},
		{"7:8", "id -u; id -g", "7\n8\n"},
		{"0", "touch /tmp/zero; ls -ln /tmp/zero | head -c 35", "-rw-r--r--    1 0        0         "},
		// The host's root owns the program: a stranger here.
		{"0", "ls -ln /bin/busybox | head -c 33", "-rwxr-xr-x    1 65534    65534   "},
		{"0", "touch /bin/x 2>/dev/null; echo $?", "1\n"},
		{"0", "ls -lnd /dev/shm /dev/null | head -c 33", "crw-rw-rw-    1 0        0       "},
	} {
		r := e.runsc("exec", "--user", c.user, id, "sh", "-c", c.command)
		if r.code != 0 || r.out != c.want {
			t.Errorf("%q: exit code %d, %q, want %q; %s", c.command, r.code, r.out, c.want, r.errout)
		}
	}
	st, err := os.Stat(filepath.Join(tmp, "zero"))
	if err != nil {
		t.Fatal(err)
	}
	if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 100000 || sys.Gid != 200000 {
		t.Errorf("a file of the container's root belongs to %d:%d on the host", sys.Uid, sys.Gid)
	}
	if r := e.runsc("exec", "--user", "5000", id, "true"); r.code == 0 || !strings.Contains(r.errout, "process.user.uid: linux.uidMappings do not map 5000") {
		t.Errorf("an unmapped user: exit code %d, %s", r.code, r.errout)
	}
}

// TestUserNamespacePath gives the namespace by its path: the maps are the same.
func TestUserNamespacePath(t *testing.T) {
	e := newEnv(t)
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 5000, Size: 10}}, GidMappings: []syscall.SysProcIDMap{{HostID: 6000, Size: 10}},
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	at := func(path string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: path})
		}
	}
	r := e.run([]string{"cat", "/proc/self/uid_map"}, at(fmt.Sprintf("/proc/%d/ns/user", other.Process.Pid)))
	if want := "         0       5000         10\n"; r.out != want {
		t.Errorf("exit code %d, %q, want %q; %s", r.code, r.out, want, r.errout)
	}
	if r := e.run([]string{"true"}, at("/run/somewhere")); r.code == 0 || !strings.Contains(r.errout, "linux.namespaces: user: /run/somewhere: its maps cannot be found") {
		t.Errorf("a path that says nothing: exit code %d, %s", r.code, r.errout)
	}
}

// ordinaryUser is nobody's number.
const ordinaryUser = 54321

// TestOrdinaryUser uses runsc without any right: containers run, files belong to the user, and nothing is left.
func TestOrdinaryUser(t *testing.T) {
	e := newEnv(t)
	dir, err := os.MkdirTemp("", "ringfort-user") // t.TempDir is root's alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	runsc := filepath.Join(dir, "runsc")
	data, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(runsc, data, 0o755)
	}
	bundle := filepath.Join(dir, "bundle")
	if err == nil {
		err = os.Rename(e.bundle([]string{"sleep", "1000"}), bundle)
	}
	if err == nil {
		var out []byte
		if out, err = exec.Command("chown", "-R", fmt.Sprint(ordinaryUser), dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	user := func(args ...string) result {
		t.Helper()
		cmd := exec.Command(runsc, args...)
		cmd.Dir = dir
		cmd.Env = []string{"XDG_RUNTIME_DIR=" + dir, "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser}}
		return e.finish(cmd)
	}
	id := e.id()
	defer user("delete", "--force", id)
	if r := user("run", "--detach", "--bundle", bundle, id); r.code != 0 {
		t.Fatalf("run: exit code %d: %s", r.code, r.errout)
	}
	if _, err := os.Stat(filepath.Join(dir, "ringfort", id)); err != nil {
		t.Errorf("the state is not in $XDG_RUNTIME_DIR: %v", err)
	}
	if r := user("exec", id, "sh", "-c", "id -u; echo from inside >/tmp/f; cat /tmp/f"); r.out != "0\nfrom inside\n" {
		t.Errorf("exec: %q, %s", r.out, r.errout)
	}
	st, err := os.Stat(filepath.Join(bundle, "rootfs/tmp/f"))
	if err != nil {
		t.Fatal(err)
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; uid != ordinaryUser {
		t.Errorf("the file belongs to %d", uid)
	}
	if r := user("list", "--quiet"); r.out != id+"\n" {
		t.Errorf("list: %q, %s", r.out, r.errout)
	}
	if r := user("kill", id, "KILL"); r.code != 0 {
		t.Errorf("kill: %s", r.errout)
	}
	if r := user("wait", id); !strings.Contains(r.out, `"exitStatus": 137`) {
		t.Errorf("wait: %q, %s", r.out, r.errout)
	}
	if r := user("delete", id); r.code != 0 {
		t.Errorf("delete: %s", r.errout)
	}
	os.Remove(filepath.Join(bundle, "config.json"))
	if r := user("spec", "--rootless", "--no-terminal", "--bundle", bundle, "--", "cat", "/proc/self/uid_map"); r.code != 0 {
		t.Errorf("spec: %s", r.errout)
	}
	if r := user("run", "--bundle", bundle, id); r.code != 0 || !strings.HasPrefix(r.out, "         0") || r.errout != "" {
		t.Errorf("run of the specification for an ordinary user: exit code %d, %q, %s", r.code, r.out, r.errout)
	}
	if r := user("do", "sh", "-c", "id -u; cat "+bundle+"/rootfs/tmp/f; exit 3"); r.code != 3 || r.out != "0\nfrom inside\n" {
		t.Errorf("do: exit code %d, %q, %s", r.code, r.out, r.errout)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "ringfort", "*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestIDMappedMount has files of the host's root belong to the container's, by maps of the mount and by the option alone;
// what the container makes belongs to the host's root.
func TestIDMappedMount(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		name  string
		mount specs.Mount
	}{
		{"maps", specs.Mount{
			Options:     []string{"rbind"},
			UIDMappings: []specs.LinuxIDMapping{{HostID: 100000, Size: 1000}}, GIDMappings: []specs.LinuxIDMapping{{HostID: 200000, Size: 1000}},
		}},
		{"option", specs.Mount{Options: []string{"bind", "idmap"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := t.TempDir()
			if err := os.WriteFile(filepath.Join(source, "stranger"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(filepath.Join(source, "stranger"), 1000, 1000); err != nil {
				t.Fatal(err)
			}
			m := c.mount
			m.Destination, m.Type, m.Source = "/tmp", "bind", source
			script := "cd /tmp; touch new; ls -ln . | head -c 75; ls -lnd stranger | head -c 33; touch stranger 2>/dev/null; echo $?"
			r := e.run([]string{"sh", "-c", script}, userNS(100000, 200000, 1000), func(s *specs.Spec) { s.Mounts = append(s.Mounts, m) })
			want := "total 0\n-rw-r--r--    1 0        0                0 "
			if !strings.HasPrefix(r.out, want) || !strings.Contains(r.out, "-rw-r--r--    1 65534    65534   ") || !strings.HasSuffix(r.out, "1\n") {
				t.Errorf("exit code %d, %q, %s", r.code, r.out, r.errout)
			}
			st, err := os.Stat(filepath.Join(source, "new"))
			if err != nil {
				t.Fatal(err)
			}
			if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 0 || sys.Gid != 0 {
				t.Errorf("on the host the new file belongs to %d:%d", sys.Uid, sys.Gid)
			}
		})
	}
}
