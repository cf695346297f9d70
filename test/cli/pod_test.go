package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/test/harness"
)

// A pod is a sandbox that a CRI implementation would make, with its first container, and the names of those in it.
type pod struct {
	*env
	id string
}

// newPod makes a sandbox whose first container sleeps.
func newPod(e *env, change ...func(*specs.Spec)) *pod {
	e.Helper()
	p := &pod{e, e.id()}
	p.create(p.id, "sandbox", []string{"sleep", "1000"}, change...)
	e.must("start", p.id)
	e.await(p.id, "running")
	return p
}

// create makes a container of the pod and returns the file with what it says.
func (p *pod) create(id, kind string, args []string, change ...func(*specs.Spec)) string {
	p.Helper()
	file, r := p.tryCreate(id, kind, args, change...)
	if r.code != 0 {
		said, _ := os.ReadFile(file)
		p.Fatalf("create %s %s: exit code %d: %s", kind, id, r.code, said)
	}
	return file
}

func (p *pod) tryCreate(id, kind string, args []string, change ...func(*specs.Spec)) (string, result) {
	p.Helper()
	dir := p.bundle(args, append([]func(*specs.Spec){p.annotate(id, kind)}, change...)...)
	out, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		p.Fatal(err)
	}
	defer out.Close()
	cmd := p.command("create", "--bundle", dir, id)
	cmd.Stdout, cmd.Stderr = out, out
	return out.Name(), p.finish(cmd)
}

func (p *pod) annotate(id, kind string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Annotations = map[string]string{"io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": p.id}
		s.Linux.CgroupsPath = "/" + id
		if kind == "sandbox" {
			s.Hostname = "the-pod"
			return
		}
		s.Hostname = ""
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}}
		for _, kind := range []specs.LinuxNamespaceType{specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace} {
			path := fmt.Sprintf("/proc/%d/ns/%s", p.pid(p.id), map[specs.LinuxNamespaceType]string{"ipc": "ipc", "uts": "uts", "network": "net"}[kind])
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
		}
	}
}

// add creates and starts a container; the result is its id and the file with what it says.
func (p *pod) add(args []string, change ...func(*specs.Spec)) (string, string) {
	p.Helper()
	id := p.env.id()
	file := p.create(id, "container", args, change...)
	p.must("start", id)
	return id, file
}

// pid is by what the host knows a container.
func (p *pod) pid(id string) int {
	p.Helper()
	var st specs.State
	if err := json.Unmarshal([]byte(p.must("state", id)), &st); err != nil {
		p.Fatal(err)
	}
	return st.Pid
}

// exit waits for the end of a container and returns its exit code.
func (p *pod) exit(id string) int {
	p.Helper()
	var w struct{ ExitStatus int }
	if err := json.Unmarshal([]byte(p.must("wait", id)), &w); err != nil {
		p.Fatal(err)
	}
	return w.ExitStatus
}

// says waits until a file has a text in it.
func (p *pod) says(file, text string) string {
	p.Helper()
	var data []byte
	for range 1000 {
		if data, _ = os.ReadFile(file); strings.Contains(string(data), text) {
			return string(data)
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.Fatalf("%s has %q, not %q", filepath.Base(file), data, text)
	return ""
}

func TestPod(t *testing.T) {
	for _, platform := range []string{"systrap", "ptrace"} {
		t.Run(platform, func(t *testing.T) {
			e := newEnv(t)
			e.options = []string{"--platform=" + platform}
			testPod(e)
		})
	}
}

func testPod(e *env) {
	t := e.T
	before := e.footprint()
	p := newPod(e)
	a, said := p.add([]string{"sh", "-c", "echo I am $$ on $(hostname); exec sleep 1000"})
	p.says(said, "I am 1 on the-pod\n")
	b, _ := p.add([]string{"sh", "-c", "exit 7"})
	if code := p.exit(b); code != 7 {
		t.Errorf("exit code %d, not 7", code)
	}
	p.await(b, "stopped")
	for _, id := range []string{a, p.id} {
		if got := p.must("exec", id, "echo", "inside"); got != "inside\n" {
			t.Errorf("exec after the end of another container says %q", got)
		}
	}
	// Numbers and processes are a container's own; the sandbox's first one sees all.
	if got := p.must("exec", a, "sh", "-c", "ls -d /proc/[0-9]* | wc -l"); strings.TrimSpace(got) > "5" {
		t.Errorf("a container sees %s processes", got)
	}
	if got := p.must("ps", a); strings.Count(got, "sleep") != 1 {
		t.Errorf("ps says\n%s", got)
	}
	// Paused alone.
	p.must("pause", a)
	p.await(a, "paused")
	if s := p.status(p.id); s != "running" {
		t.Errorf("the sandbox is %s when another container is paused", s)
	}
	if got := p.must("exec", p.id, "echo", "on"); got != "on\n" {
		t.Errorf("exec beside a paused container says %q", got)
	}
	p.must("resume", a)
	p.await(a, "running")
	// Whoever kills what the host sees as the container kills it.
	if err := unix.Kill(p.pid(a), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(a); code != 137 {
		t.Errorf("exit code %d, not 137", code)
	}
	p.must("delete", a)
	p.must("delete", b)
	// The end of the first container is the end of all.
	c, _ := p.add([]string{"sleep", "1000"})
	p.must("kill", p.id, "KILL")
	p.await(p.id, "stopped")
	if code := p.exit(c); code != 137 {
		t.Errorf("exit code %d with the sandbox, not 137", code)
	}
	p.await(c, "stopped")
	p.must("delete", p.id)
	if s := p.status(c); s != "stopped" {
		t.Errorf("container of a sandbox that is gone is %s", s)
	}
	p.must("delete", c)
	p.sameFootprint(before)
}

// sameFootprint waits for processes that end by themselves.
func (e *env) sameFootprint(before string) {
	e.Helper()
	after := ""
	for range 200 {
		if after = e.footprint(); after == before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	e.Errorf("left on the host:\n%s\nwas:\n%s", after, before)
}

func TestPodSignals(t *testing.T) {
	p := newPod(newEnv(t))
	a, said := p.add([]string{"sh", "-c", "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done"})
	p.says(said, "ready")
	unix.Kill(p.pid(a), unix.SIGTERM)
	if code := p.exit(a); code != 3 {
		t.Errorf("exit code %d, not 3", code)
	}
	p.says(said, "got it")
	b, _ := p.add([]string{"sleep", "1000"})
	p.must("kill", b, "KILL")
	if code := p.exit(b); code != 137 {
		t.Errorf("exit code %d, not 137", code)
	}
	// A container that was never started.
	c := p.env.id()
	p.create(c, "container", []string{"sleep", "1"})
	p.must("kill", c, "KILL")
	p.await(c, "stopped")
	p.must("delete", c)
}

func TestPodSharedPID(t *testing.T) {
	p := newPod(newEnv(t))
	path := fmt.Sprintf("/proc/%d/ns/pid", p.pid(p.id))
	share := func(path string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Namespaces[0].Path = path }
	}
	a, _ := p.add([]string{"sleep", "1001"}, share(path))
	if got := p.must("exec", a, "ps"); !strings.Contains(got, "sleep 1000") || !strings.Contains(got, "sleep 1001") {
		t.Errorf("with a shared PID namespace ps says\n%s", got)
	}
	if got := p.must("ps", a); strings.Contains(got, "sleep 1000") {
		t.Errorf("runsc ps of one container says\n%s", got)
	}
	// As an ephemeral container of `kubectl debug --target` is made.
	b, _ := p.add([]string{"sleep", "1002"})
	c, _ := p.add([]string{"sleep", "1003"}, share(fmt.Sprintf("/proc/%d/ns/pid", p.pid(b))))
	if got := p.must("exec", c, "ps"); !strings.Contains(got, "sleep 1002") || strings.Contains(got, "sleep 1001") {
		t.Errorf("with the PID namespace of another container ps says\n%s", got)
	}
	p.must("kill", a, "KILL")
	if code := p.exit(a); code != 137 {
		t.Errorf("exit code %d, not 137", code)
	}
	if s := p.status(p.id); s != "running" {
		t.Errorf("the sandbox is %s", s)
	}
}

func TestPodBadInput(t *testing.T) {
	p := newPod(newEnv(t))
	a, _ := p.add([]string{"sleep", "1000"})
	sandbox := func(id string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Annotations["io.kubernetes.cri.sandbox-id"] = id }
	}
	for _, c := range []struct {
		name, want string
		change     func(*specs.Spec)
	}{
		{"no such sandbox", "join sandbox nobody: container does not exist", sandbox("nobody")},
		{"not an id", "invalid container id format", sandbox("../x")},
		{"no first container", "is itself one of sandbox", sandbox(a)},
		{"foreign namespace", "linux.namespaces[0].path: /proc/1/ns/pid is not the pid namespace of a container of this sandbox",
			func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/pid" }},
		{"no such program", "executable file not found", func(s *specs.Spec) { s.Process.Args = []string{"nonesuch"} }},
	} {
		file, r := p.tryCreate(p.env.id(), "container", []string{"true"}, c.change)
		said, _ := os.ReadFile(file)
		if r.code == 0 || !strings.Contains(string(said), c.want) || strings.Count(string(said), "\n") != 1 {
			t.Errorf("%s: exit code %d, %q", c.name, r.code, said)
		}
	}
	if got := p.must("exec", a, "echo", "well"); got != "well\n" {
		t.Errorf("after all that exec says %q", got)
	}
}

// TestPodCrash kills what the host can see.
func TestPodCrash(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	p := newPod(e)
	a, _ := p.add([]string{"sleep", "1000"})
	unix.Kill(p.pid(p.id), unix.SIGKILL)
	p.await(a, "stopped")
	if code := p.exit(a); code != 137 {
		t.Errorf("exit code %d, not 137", code)
	}
	if got := p.must("list"); strings.Count(got, "stopped") != 2 {
		t.Errorf("list says\n%s", got)
	}
	p.must("delete", "--force", p.id)
	p.must("delete", "--force", a)
	p.sameFootprint(before)
}

// TestPodCgroup has applications in the cgroup of their container, with its limits.
func TestPodCgroup(t *testing.T) {
	p := newPod(newEnv(t))
	limit := int64(48 << 20)
	a, _ := p.add([]string{"sh", "-c", "exec sleep 1000"}, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup2", Source: "cgroup2"})
	})
	dir := cgroupDir(t, a)
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		t.Skip("no cgroup of memory: ", err)
	}
	if n := len(strings.Fields(string(procs))); n < 3 { // keeper, template, stub
		t.Errorf("%d processes in the cgroup: %q", n, procs)
	}
	if got := p.must("exec", a, "cat", "/sys/fs/cgroup/memory.max"); strings.TrimSpace(got) != strconv.FormatInt(limit, 10) {
		t.Errorf("memory.max inside is %q", got)
	}
	if got := p.must("exec", a, "head", "-n1", "/proc/meminfo"); !strings.Contains(got, " "+strconv.FormatInt(limit>>10, 10)+" kB") {
		t.Errorf("meminfo inside says %q", got)
	}
	if got := p.must("exec", p.id, "head", "-n1", "/proc/meminfo"); strings.Contains(got, " "+strconv.FormatInt(limit>>10, 10)+" kB") {
		t.Errorf("meminfo of another container says %q", got)
	}
	// A shell that doubles a string until it is killed; the others live.
	if r := p.runsc("exec", a, "sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"); r.code != 137 {
		t.Errorf("a program beyond the limit: exit code %d, %s", r.code, r.errout)
	}
	if got := p.must("exec", p.id, "echo", "alive"); got != "alive\n" {
		t.Errorf("the sandbox says %q", got)
	}
}

// cgroupDir is where the memory controller has a cgroup.
func cgroupDir(t *testing.T, path string) string {
	t.Helper()
	for _, base := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(base, path)); err == nil {
			return filepath.Join(base, path)
		}
	}
	return filepath.Join("/sys/fs/cgroup", path)
}

// volumeScript runs in two containers: one does a thing in /vol, the other sees it.
const volumeScript = `
import fcntl, mmap, os, select, socket, struct, sys, time, ctypes
role = sys.argv[1]
def await_(name):
    for _ in range(1000):
        if os.path.exists("/vol/" + name): return
        time.sleep(0.01)
    print("no", name, flush=True); sys.exit(1)
def post(name): open("/vol/" + name, "w").close()
if role == "a":
    with open("/vol/map", "wb") as f: f.write(b"\0" * 8192)
    f = open("/vol/map", "r+b"); m = mmap.mmap(f.fileno(), 8192)
    lock = open("/vol/lock", "w"); fcntl.flock(lock, fcntl.LOCK_EX)
    fcntl.lockf(f, fcntl.LOCK_EX, 10)
    s = socket.socket(socket.AF_UNIX); s.bind("/vol/sock"); s.listen(1)
    libc = ctypes.CDLL(None); ino = libc.inotify_init(); libc.inotify_add_watch(ino, b"/vol", 0x100)
    post("ready")
    c, _ = s.accept(); print("a got", c.recv(9).decode(), flush=True); c.send(b"pong")
    await_("done")
    print("a map", m[4096:4099].decode(), flush=True)
    names = b""
    while select.select([ino], [], [], 1)[0]: names += os.read(ino, 65536)
    print("a saw", b"by-b" in names, flush=True)
else:
    await_("ready")
    def busy(call):
        try: call(); return False
        except OSError: return True
    f = open("/vol/map", "r+b")
    print("b flock", busy(lambda: fcntl.flock(open("/vol/lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)), flush=True)
    print("b lockf", busy(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)), flush=True)
    s = socket.socket(socket.AF_UNIX); s.connect("/vol/sock"); s.send(b"ping"); print("b got", s.recv(9).decode(), flush=True)
    m = mmap.mmap(f.fileno(), 8192); m[4096:4099] = b"abc"
    post("by-b"); post("done")
`

// TestPodVolumes has two containers mount the same directory of the host: it is one file system.
func TestPodVolumes(t *testing.T) {
	debian := harness.NeedDebian(t)
	p := newPod(newEnv(t))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "script.py"), []byte(volumeScript), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(role string) (string, string) {
		return p.add([]string{"python3", "/vol/script.py", role}, func(s *specs.Spec) {
			s.Root.Path, s.Root.Readonly = debian, true
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/vol", Type: "bind", Source: dir, Options: []string{"rbind", "rw"}})
		})
	}
	a, saidA := run("a")
	b, saidB := run("b")
	for _, id := range []string{a, b} {
		if code := p.exit(id); code != 0 {
			said, _ := os.ReadFile(saidA)
			more, _ := os.ReadFile(saidB)
			t.Fatalf("exit code %d: %s%s", code, said, more)
		}
	}
	gotA, _ := os.ReadFile(saidA)
	gotB, _ := os.ReadFile(saidB)
	if want := "a got ping\na map abc\na saw True\n"; string(gotA) != want {
		t.Errorf("one container says %q, not %q", gotA, want)
	}
	if want := "b flock True\nb lockf True\nb got pong\n"; string(gotB) != want {
		t.Errorf("the other says %q, not %q", gotB, want)
	}
}

// TestPodVolumeOutlives has the container that brought a volume go away before another one that uses it.
func TestPodVolumeOutlives(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	p := newPod(e)
	dir := t.TempDir()
	vol := func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/vol", Type: "bind", Source: dir, Options: []string{"rbind", "rw"}})
	}
	a, _ := p.add([]string{"sh", "-c", "echo one > /vol/file"}, vol)
	b, _ := p.add([]string{"sleep", "1000"}, vol)
	if code := p.exit(a); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	p.must("delete", a)
	if got := p.must("exec", b, "sh", "-c", "cat /vol/file; echo two > /vol/file; cat /vol/file"); got != "one\ntwo\n" {
		t.Errorf("the volume has %q", got)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "file")); string(data) != "two\n" {
		t.Errorf("on the host it has %q", data)
	}
	p.must("delete", "--force", b)
	// The sandbox goes on, and has let go of both gofers.
	for i := 0; strings.Contains(e.footprint(), `"runsc\x00gofer\x00`+a) || strings.Contains(e.footprint(), `"runsc\x00gofer\x00`+b); i++ {
		if i == 200 {
			t.Fatalf("gofers are left:\n%s", e.footprint())
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.must("delete", "--force", p.id)
	p.sameFootprint(before)
}

// TestPodCutOff kills the runsc that adds a container to a pod, at many moments of its work.
func TestPodCutOff(t *testing.T) {
	e := newEnv(t)
	before := e.footprint()
	p := newPod(e)
	for after := range 40 {
		id := e.id()
		dir := e.bundle([]string{"sleep", "1000"}, p.annotate(id, "container"))
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd := e.command("create", "--bundle", dir, id)
		cmd.Stdout, cmd.Stderr = null, null
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		null.Close()
		time.Sleep(time.Duration(after) * 2 * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		// It is there as a whole, or only to be removed; the next one of its name can be made.
		e.runsc("delete", "--force", id)
		if after%8 == 0 {
			p.create(id, "container", []string{"sleep", "1000"})
			p.must("start", id)
			p.await(id, "running")
			p.must("delete", "--force", id)
		}
		if got := p.must("exec", p.id, "echo", "alive"); got != "alive\n" {
			t.Fatalf("after %d ms the sandbox says %q", 2*after, got)
		}
	}
	p.must("delete", "--force", p.id)
	p.sameFootprint(before)
}
