package containerd

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// bundleOf is where containerd has the bundle of a sandbox that a shim has made.
func bundleOf(id string) string {
	return filepath.Join(lab.dir, "state/io.containerd.sandbox.controller.v1.shim/k8s.io", id)
}

// askShim connects to the sandbox service of a pod's shim, as containerd does.
func askShim(t *testing.T, id string) sandbox.TTRPCSandboxService {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(bundleOf(id), "bootstrap.json"))
	if err != nil {
		t.Fatal(err)
	}
	var how struct {
		Version           int
		Address, Protocol string
	}
	if err := json.Unmarshal(data, &how); err != nil || how.Version != 3 || how.Protocol != "ttrpc" {
		t.Fatalf("the shim is reached by %s, %v", data, err)
	}
	conn, err := net.Dial("unix", strings.TrimPrefix(how.Address, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	cl := ttrpc.NewClient(conn)
	t.Cleanup(func() { cl.Close() })
	return sandbox.NewTTRPCSandboxClient(cl)
}

// TestSandboxService asks for everything that containerd does not, or of which its CRI shows little.
func TestSandboxService(t *testing.T) {
	p := newPod(t, "runsc-sandbox", func(c *cri.PodSandboxConfig) {
		c.DnsConfig = &cri.DNSConfig{Servers: []string{"10.9.8.7"}, Searches: []string{"a.lab", "b.lab"}, Options: []string{"ndots:3"}}
	})
	if out, err := ctr(t, "container", "list", "-q"); err != nil || strings.Contains(out, p.id) {
		t.Errorf("containerd has a container for the sandbox itself: %v\n%s", err, out)
	}
	id := p.start(container("sleep 1000"))
	if got := p.sh(id, "cat /etc/hostname /etc/resolv.conf; grep -c localhost /etc/hosts"); !strings.HasPrefix(got, "the-pod\nsearch a.lab b.lab\nnameserver 10.9.8.7\noptions ndots:3\n") || strings.HasSuffix(got, "\n0") {
		t.Errorf("files of the pod:\n%s", got)
	}
	shim := askShim(t, p.id)
	ctx, cancel := limited()
	defer cancel()
	if _, err := shim.PingSandbox(ctx, &sandbox.PingRequest{SandboxID: p.id}); err != nil {
		t.Errorf("ping: %v", err)
	}
	if r, err := shim.Platform(ctx, &sandbox.PlatformRequest{SandboxID: p.id}); err != nil || r.Platform.OS != "linux" || r.Platform.Architecture != "amd64" {
		t.Errorf("platform %v, %v", r, err)
	}
	st, err := shim.SandboxStatus(ctx, &sandbox.SandboxStatusRequest{SandboxID: p.id, Verbose: true})
	if err != nil || st.State != "SANDBOX_READY" || st.Pid == 0 || !strings.Contains(st.Info["info"], `"runtimeSpec"`) {
		t.Errorf("status %v, %v", st, err)
	}
	if n := memoryOf(t, shim, p.id); n < 1<<20 {
		t.Errorf("the pod uses %d bytes", n)
	}
	for what, err := range map[string]error{
		"ping": second(shim.PingSandbox(ctx, &sandbox.PingRequest{SandboxID: "x"})), "stop": second(shim.StopSandbox(ctx, &sandbox.StopSandboxRequest{SandboxID: "x"})),
		"status": second(shim.SandboxStatus(ctx, &sandbox.SandboxStatusRequest{SandboxID: "x"})), "wait": second(shim.WaitSandbox(ctx, &sandbox.WaitSandboxRequest{SandboxID: "x"})),
		"start": second(shim.StartSandbox(ctx, &sandbox.StartSandboxRequest{SandboxID: "x"})), "metrics": second(shim.SandboxMetrics(ctx, &sandbox.SandboxMetricsRequest{SandboxID: "x"})),
	} {
		if status.Code(err) != codes.NotFound {
			t.Errorf("%s of a sandbox that is not there: %v", what, err)
		}
	}
	if err := second(shim.CreateSandbox(ctx, &sandbox.CreateSandboxRequest{SandboxID: "x", BundlePath: t.TempDir()})); status.Code(err) != codes.AlreadyExists {
		t.Errorf("a second sandbox: %v", err)
	}
	ended := make(chan *sandbox.WaitSandboxResponse, 1)
	go func() {
		r, _ := shim.WaitSandbox(ctx, &sandbox.WaitSandboxRequest{SandboxID: p.id})
		ended <- r
	}()
	for range 2 { // the second time there is nothing to do
		if _, err := shim.StopSandbox(ctx, &sandbox.StopSandboxRequest{SandboxID: p.id}); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if r := <-ended; r.GetExitStatus() != 137 || r.ExitedAt.AsTime().IsZero() {
		t.Errorf("the sandbox has ended with %v", r)
	}
	if st, err := shim.SandboxStatus(ctx, &sandbox.SandboxStatusRequest{SandboxID: p.id}); err != nil || st.State != "SANDBOX_NOTREADY" {
		t.Errorf("status %v, %v", st, err)
	}
	if err := second(shim.PingSandbox(ctx, &sandbox.PingRequest{SandboxID: p.id})); status.Code(err) != codes.Unavailable {
		t.Errorf("ping of a sandbox that has ended: %v", err)
	}
	if st := p.end(id); st.ExitCode != 137 {
		t.Errorf("exit code %d of its container", st.ExitCode)
	}
	for i := 0; p.state() != cri.PodSandboxState_SANDBOX_NOTREADY; i++ { // kubelet would make a new one
		if i == 100 {
			t.Fatalf("containerd has the pod as %v", p.state())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// second is the error of an answer.
func second[T any](_ T, err error) error { return err }

// state is what containerd says of the pod.
func (p *pod) state() cri.PodSandboxState {
	p.Helper()
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		p.Fatal(err)
	}
	return r.Status.State
}

// memoryOf reads the memory in use out of the metrics, in the type for the machine's cgroups.
func memoryOf(t *testing.T, shim sandbox.TTRPCSandboxService, id string) uint64 {
	t.Helper()
	ctx, cancel := limited()
	defer cancel()
	r, err := shim.SandboxMetrics(ctx, &sandbox.SandboxMetricsRequest{SandboxID: id})
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	v1, v2 := &cgroup1.Metrics{}, &cgroup2.Metrics{}
	switch name := r.Metrics.Data.TypeUrl; name {
	case string(v1.ProtoReflect().Descriptor().FullName()):
		err = proto.Unmarshal(r.Metrics.Data.Value, v1)
	case string(v2.ProtoReflect().Descriptor().FullName()):
		err = proto.Unmarshal(r.Metrics.Data.Value, v2)
	default:
		t.Fatalf("metrics of type %s", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v1.GetMemory().GetUsage().GetUsage() + v2.GetMemory().GetUsage()
}

// TestSandboxFails has a pod that cannot be: the reason is told, and nothing is left of it.
func TestSandboxFails(t *testing.T) {
	before := processes("containerd-shim-runsc-v1\x00")
	_, err := tryPod(t, "runsc-sandbox", func(c *cri.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"kernel.nonesuch": "1"}
	})
	if err == nil || !strings.Contains(err.Error(), "kernel.nonesuch") {
		t.Fatalf("a pod with a sysctl that is not there: %v", err)
	}
	for i := 0; len(processes("containerd-shim-runsc-v1\x00")) > len(before); i++ {
		if i == 100 {
			t.Fatal("its shim is left")
		}
		time.Sleep(100 * time.Millisecond)
	}
	left, _ := os.ReadDir(bundleOf(""))
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if len(left) > 0 || strings.Contains(string(mounts), bundleOf("")) {
		t.Errorf("left: %v", left)
	}
}

// TestSandboxShimKilled is TestShimKilled where nobody asks for the containers of the pod one by one.
func TestSandboxShimKilled(t *testing.T) {
	p := newPod(t, "runsc-sandbox")
	id := p.start(container("sleep 1000"))
	shims := processes("containerd-shim-runsc-v1\x00-namespace\x00k8s.io\x00-id\x00" + p.id)
	if len(shims) != 1 {
		t.Fatalf("%d shims of the pod", len(shims))
	}
	if err := unix.Kill(shims[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if st := p.end(id); st.ExitCode == 0 {
		t.Errorf("exit code %d", st.ExitCode)
	}
	gone(t, p.id, id)
	for _, name := range []string{p.id, id} {
		if _, err := os.Stat("/run/containerd/runsc/k8s.io/" + name); !os.IsNotExist(err) {
			t.Errorf("the state of %s is left: %v", name, err)
		}
	}
	if mounts, _ := os.ReadFile("/proc/self/mounts"); strings.Contains(string(mounts), p.id+"/shm") {
		t.Error("/dev/shm of the pod is left")
	}
}
