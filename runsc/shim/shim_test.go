package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/pkg/stdio"
	"github.com/containerd/go-runc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	ringspec "ringfort/runsc/spec"
)

// pass makes a request of a gate.
func pass(g *gate, method string, do func(context.Context) error) error {
	_, err := g.intercept(context.Background(), nil, &ttrpc.UnaryServerInfo{FullMethod: "/containerd.task.v3.Task/" + method},
		func(ctx context.Context, _ func(any) error) (any, error) { return nil, do(ctx) })
	return err
}

// TestDeadline has a handler that never returns: the request is answered all the same.
func TestDeadline(t *testing.T) {
	g := newGate()
	g.limit = func(string) time.Duration { return 10 * time.Millisecond }
	hang := make(chan struct{})
	defer close(hang)
	err := pass(g, "State", func(context.Context) error { <-hang; return nil })
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "Task/State") {
		t.Errorf("a request that hangs: %v", err)
	}
	if err := pass(g, "State", func(context.Context) error { return status.Error(codes.NotFound, "x") }); status.Code(err) != codes.NotFound {
		t.Errorf("the error of a handler: %v", err)
	}
}

// TestLimits has a deadline for every request but those that wait for an end.
func TestLimits(t *testing.T) {
	for service, methods := range map[string]map[string]time.Duration{
		"containerd.task.v3.Task/": {"Wait": 0, "Create": longLimit, "Start": longLimit, "Delete": longLimit, "State": shortLimit, "Stats": shortLimit, "Shutdown": shortLimit},
		"containerd.runtime.sandbox.v1.Sandbox/": {"WaitSandbox": 0, "CreateSandbox": longLimit, "StartSandbox": longLimit, "StopSandbox": longLimit, "ShutdownSandbox": longLimit,
			"SandboxStatus": shortLimit, "PingSandbox": shortLimit, "Platform": shortLimit, "SandboxMetrics": shortLimit},
	} {
		for name, want := range methods {
			if got := limitOf("/" + service + name); got != want {
				t.Errorf("%s has %v, not %v", name, got, want)
			}
		}
	}
}

// TestNoPile has requests that hang come again and again: they are refused at last, and others when they have gone.
func TestNoPile(t *testing.T) {
	g := newGate()
	g.limit = func(string) time.Duration { return time.Millisecond }
	hang := make(chan struct{})
	var left sync.WaitGroup
	for range maxRequests {
		left.Add(1)
		pass(g, "Kill", func(context.Context) error { <-hang; left.Done(); return nil })
	}
	if err := pass(g, "Kill", func(context.Context) error { return nil }); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one request too many: %v", err)
	}
	g.limit = func(method string) time.Duration { return 0 }
	if err := pass(g, "Wait", func(context.Context) error { return nil }); err != nil {
		t.Errorf("a wait beside them: %v", err)
	}
	g.limit = func(string) time.Duration { return time.Minute }
	close(hang)
	left.Wait()
	for range 1000 {
		if err := pass(g, "Kill", func(context.Context) error { return nil }); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("no request gets through when all have ended")
}

// TestEarlyExit has a process end before it is known what it is.
func TestEarlyExit(t *testing.T) {
	got := make(chan string, 10)
	x := newExits(func(m member, e runc.Exit) { got <- fmt.Sprint(m.execID, " ", e.Status) })
	from := make(chan runc.Exit)
	done := make(chan struct{})
	go func() { x.run(from); close(done) }()
	x.begin()
	from <- runc.Exit{Pid: 7, Status: 3}
	from <- runc.Exit{Pid: 99, Status: 1} // of somebody else
	x.know(7, member{execID: "a"})
	x.end()
	x.begin()
	x.know(8, member{execID: "b"})
	x.end()
	from <- runc.Exit{Pid: 8, Status: 4}
	// Held: told only after it is known again.
	x.begin()
	x.know(9, member{execID: "c"})
	x.end()
	x.hold(9)
	from <- runc.Exit{Pid: 9, Status: 5}
	from <- runc.Exit{Pid: 98, Status: 0}
	select {
	case s := <-got:
		if s != "a 3" {
			t.Errorf("first %q", s)
		}
	default:
		t.Error("nothing of the first")
	}
	if s := <-got; s != "b 4" {
		t.Errorf("then %q", s)
	}
	select {
	case s := <-got:
		t.Errorf("told of a process that is held: %q", s)
	default:
	}
	x.know(9, member{execID: "c"})
	x.end()
	if s := <-got; s != "c 5" {
		t.Errorf("at last %q", s)
	}
	close(from)
	<-done
	if len(x.early) != 0 || len(x.running) != 0 {
		t.Errorf("left: %v, %v", x.early, x.running)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "my-runsc")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := configOf(&options.Options{BinaryName: binary, Root: "/r", SystemdCgroup: true, IoUid: 5})
	if err != nil || c.Binary != binary || c.Root != "/r" || !c.Systemd || c.IOUID != 5 {
		t.Errorf("options of runc: %+v, %v", c, err)
	}
	file := filepath.Join(dir, "conf.toml")
	text := "binary_name = \"" + binary + "\"\nroot = \"/other\"\n[runsc_config]\nplatform = \"ptrace\"\ndebug = \"true\"\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err = configOf(&runtimeoptions.Options{ConfigPath: file})
	if err != nil || c.Binary != binary || strings.Join(c.Args, " ") != "--debug=true --platform=ptrace" {
		t.Errorf("a file: %+v, %v", c, err)
	}
	if r := c.runtime("/b", "k8s.io"); r.Root != "/other/k8s.io" || len(r.ExtraArgs) != 2 {
		t.Errorf("called as %+v", r)
	}
	if err := c.write(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := readConfig(dir); err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
		t.Errorf("read again: %+v, %v", again, err)
	}
	for what, given := range map[string]any{
		"no such file": &runtimeoptions.Options{ConfigPath: "/nonesuch"}, "no TOML": &runtimeoptions.Options{ConfigBody: []byte("]")},
		"a stranger": 5, "no such program": &options.Options{BinaryName: "/nonesuch"},
	} {
		if _, err := configOf(given); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestStuck has a Sentry that takes connections and never answers: it is killed. One that answers is not.
func TestStuck(t *testing.T) {
	root := t.TempDir()
	start := func(id string, answer string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		dir := filepath.Join(root, id)
		state, _ := json.Marshal(map[string]any{"sentry": map[string]int{"pid": cmd.Process.Pid}})
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "state.json"), state, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if answer != "" {
					c.Read(make([]byte, 4096))
					c.Write(append([]byte{0, 0, 0, byte(len(answer)), 0, 0, 0, 0}, answer...))
				}
			}
		}()
		return cmd
	}
	stuck, well := start("stuck", ""), start("well", `{"result":"running"}`)
	member := func(id string) *container {
		return &container{id: id, root: root, init: process.New(id, &runc.Runc{}, stdio.Stdio{})}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &service{
		ctx: ctx, pingEvery: 10 * time.Millisecond, stuckAfter: 20 * time.Millisecond,
		containers: map[string]*container{"stuck": member("stuck"), "well": member("well"), "coming": nil},
	}
	go s.watch(ctx)
	st, err := stuck.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if ws := st.Sys().(interface{ Signaled() bool }); !ws.Signaled() {
		t.Errorf("a Sentry that is stuck has ended by itself: %v", st)
	}
	if err := well.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("a Sentry that answers: %v", err)
	}
}

// TestPause runs the first process of a pod natively: it ignores the end of children, and waits.
func TestPause(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(name, pauseProgram(), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	var syscall, status []byte
	for range 1000 {
		syscall, _ = os.ReadFile(proc + "syscall")
		if strings.HasPrefix(string(syscall), fmt.Sprintf("%d ", unix.SYS_PAUSE)) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil || !strings.HasPrefix(string(syscall), fmt.Sprintf("%d ", unix.SYS_PAUSE)) {
		t.Fatalf("it is in %s, %v", syscall, err)
	}
	// It may have been started with more signals ignored.
	_, text, _ := strings.Cut(string(status), "SigIgn:\t")
	text, _, _ = strings.Cut(text, "\n")
	ignored, err := strconv.ParseUint(text, 16, 64)
	if err != nil || ignored&(1<<(unix.SIGCHLD-1)) == 0 {
		t.Errorf("it does not ignore SIGCHLD: %v in\n%s", err, status)
	}
}

// TestPodSpec has CRI's configuration of a pod become the OCI one of its first container, and files of its containers.
func TestPodSpec(t *testing.T) {
	ids := []*cri.IDMapping{{HostId: 65536, ContainerId: 0, Length: 65536}}
	users := &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids}
	conf := &cri.PodSandboxConfig{
		Hostname: "h", DnsConfig: &cri.DNSConfig{Servers: []string{"1.2.3.4", "::1"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5", "edns0"}},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/podx", Sysctls: map[string]string{"kernel.msgmax": "1"},
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Ipc: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER, UsernsOptions: users}},
		},
	}
	given, err := typeurl.MarshalAnyToProto(conf)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPod(&sandbox.CreateSandboxRequest{SandboxID: "id", BundlePath: t.TempDir(), NetnsPath: "/net", Options: given})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.spec()
	if err != nil {
		t.Fatal(err)
	}
	want := []specs.LinuxNamespace{{Type: "mount"}, {Type: "network", Path: "/net"}, {Type: "uts"}, {Type: "pid"}, {Type: "user"}}
	if fmt.Sprint(s.Linux.Namespaces) != fmt.Sprint(want) {
		t.Errorf("namespaces %v", s.Linux.Namespaces)
	}
	if m := s.Linux.UIDMappings; len(m) != 1 || m[0] != (specs.LinuxIDMapping{HostID: 65536, Size: 65536}) {
		t.Errorf("map %v", m)
	}
	if fmt.Sprint(s.Linux.Sysctl) != "map[kernel.msgmax:1 net.ipv4.ip_unprivileged_port_start:0]" || s.Linux.CgroupsPath != "/kubepods/podx/id" || s.Hostname != "h" {
		t.Errorf("sysctls %v, cgroup %s, host name %s", s.Linux.Sysctl, s.Linux.CgroupsPath, s.Hostname)
	}
	if err := ringspec.Check(s); err != nil {
		t.Error(err)
	}
	if got := string(resolvConf(conf.DnsConfig)); got != "search a b\nnameserver 1.2.3.4\nnameserver ::1\noptions ndots:5 edns0\n" {
		t.Errorf("resolv.conf is %q", got)
	}
	if got := cgroupsPath("/kubepods.slice/kubepods-podx.slice", "id"); got != "kubepods-podx.slice:cri-containerd:id" {
		t.Errorf("cgroup of systemd %s", got)
	}
	for what, r := range map[string]*sandbox.CreateSandboxRequest{
		"a root file system": {Rootfs: []*types.Mount{{}}}, "options of a stranger": {Options: &anypb.Any{TypeUrl: "x"}},
	} {
		if _, err := newPod(r); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestLend has a container of a pod get what its configuration lacks, and keep what it has.
func TestLend(t *testing.T) {
	p := &pod{id: "id", bundle: "/pod", conf: &cri.PodSandboxConfig{}}
	bundle := t.TempDir()
	err := writeSpec(bundle, &specs.Spec{Root: &specs.Root{Path: "rootfs", Readonly: true}, Mounts: []specs.Mount{
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm"}, {Destination: "/etc/hosts", Type: "bind", Source: "/kubelet", Options: []string{"rbind"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.lend(bundle); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(filepath.Join(bundle, "config.json"))
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range s.Mounts {
		got[m.Destination] += m.Source + " " + m.Options[len(m.Options)-1]
	}
	for destination, want := range map[string]string{
		"/dev/shm": "/pod/shm rw", "/etc/hostname": "/pod/hostname ro", "/etc/resolv.conf": "/pod/resolv.conf ro",
	} {
		if got[destination] != want {
			t.Errorf("%s is %q", destination, got[destination])
		}
	}
	if len(s.Mounts) != 4 || !strings.HasPrefix(got["/etc/hosts"], "/kubelet") {
		t.Errorf("mounts %v", s.Mounts)
	}
}
