package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// patience bounds every request, for a hung sandbox; it is no measure.
const patience = 90 * time.Second

var serial atomic.Int32

// A pod is a sandbox made over CRI.
type pod struct {
	*testing.T
	conf *cri.PodSandboxConfig
	id   string
}

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// podConfig is a sandbox as kubelet asks for.
func podConfig(t *testing.T, change ...func(*cri.PodSandboxConfig)) *cri.PodSandboxConfig {
	n := serial.Add(1)
	name := fmt.Sprintf("rf-%d-%d", os.Getpid(), n)
	c := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "default"},
		Hostname:     "the-pod",
		LogDirectory: t.TempDir(),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/rf-cri/" + name,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
		},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// tryPod runs a sandbox.
func tryPod(t *testing.T, handler string, change ...func(*cri.PodSandboxConfig)) (*pod, error) {
	t.Helper()
	p := &pod{T: t, conf: podConfig(t, change...)}
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.conf, RuntimeHandler: handler})
	if err != nil {
		return nil, err
	}
	p.id = r.PodSandboxId
	t.Cleanup(func() {
		ctx, cancel := limited()
		defer cancel()
		if _, err := lab.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
			t.Errorf("stop the pod: %v", err)
		}
		if _, err := lab.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
			t.Errorf("remove the pod: %v", err)
		}
		cgroups, _ := filepath.Glob("/sys/fs/cgroup/*" + p.conf.Linux.CgroupParent)
		for _, dir := range append(cgroups, "/sys/fs/cgroup"+p.conf.Linux.CgroupParent) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("cgroup of the pod: %v", err)
			}
		}
	})
	return p, nil
}

func newPod(t *testing.T, handler string, change ...func(*cri.PodSandboxConfig)) *pod {
	t.Helper()
	p, err := tryPod(t, handler, change...)
	if err != nil {
		t.Fatalf("run a pod: %v", err)
	}
	return p
}

// container is a container's configuration that runs a shell script.
func container(script string, change ...func(*cri.ContainerConfig)) *cri.ContainerConfig {
	name := fmt.Sprintf("c%d", serial.Add(1))
	c := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name}, Image: &cri.ImageSpec{Image: "docker.io/lab/bb:1"},
		Command: []string{"sh", "-c", script}, LogPath: name + ".log",
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
				MaskedPaths:      []string{"/proc/kcore", "/proc/keys", "/proc/interrupts"},
				ReadonlyPaths:    []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			},
		},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (p *pod) tryStart(c *cri.ContainerConfig) (string, error) {
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, Config: c, SandboxConfig: p.conf})
	if err != nil {
		return "", err
	}
	_, err = lab.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: r.ContainerId})
	return r.ContainerId, err
}

// start creates and starts a container.
func (p *pod) start(c *cri.ContainerConfig) string {
	p.Helper()
	id, err := p.tryStart(c)
	if err != nil {
		p.Fatalf("start a container: %v", err)
	}
	return id
}

func (p *pod) status(id string) *cri.ContainerStatus {
	p.Helper()
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		p.Fatalf("status: %v", err)
	}
	return r.Status
}

// end waits for the end of a container.
func (p *pod) end(id string) *cri.ContainerStatus {
	p.Helper()
	for range 900 {
		if st := p.status(id); st.State == cri.ContainerState_CONTAINER_EXITED {
			return st
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.Fatalf("container %s does not end", id)
	return nil
}

// run runs a container to its end and returns its exit code and log.
func (p *pod) run(c *cri.ContainerConfig) (int32, string) {
	p.Helper()
	st := p.end(p.start(c))
	return st.ExitCode, p.log(c)
}

// log is what a container has said, without the times.
func (p *pod) log(c *cri.ContainerConfig) string {
	data, err := os.ReadFile(filepath.Join(p.conf.LogDirectory, c.LogPath))
	if err != nil {
		p.Error(err)
	}
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if f := strings.SplitN(line, " ", 4); len(f) == 4 {
			b.WriteString(f[3] + "\n")
		}
	}
	return b.String()
}

// says waits until a container's log has a text.
func (p *pod) says(c *cri.ContainerConfig, text string) {
	p.Helper()
	for range 600 {
		if strings.Contains(p.log(c), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.Fatalf("the log has %q, not %q", p.log(c), text)
}

// exec runs a command to its end.
func (p *pod) exec(id string, cmd ...string) (string, int32) {
	p.Helper()
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: cmd, Timeout: 60})
	if err != nil {
		p.Fatalf("exec %q: %v", cmd, err)
	}
	return string(r.Stdout) + string(r.Stderr), r.ExitCode
}

// sh is exec of a script that must succeed.
func (p *pod) sh(id, script string) string {
	p.Helper()
	out, code := p.exec(id, "sh", "-c", script)
	if code != 0 {
		p.Errorf("%q: exit code %d: %s", script, code, out)
	}
	return strings.TrimSpace(out)
}

// sizes is a remotecommand.TerminalSizeQueue.
type sizes func() *remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize { return s() }

// stream carries streams to and from a URL of containerd.
func (p *pod) stream(address string, in string, tty bool) (string, string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", err
	}
	e, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := limited()
	defer cancel()
	var out, errout bytes.Buffer
	sized := false
	o := remotecommand.StreamOptions{Stdout: &out, Tty: tty}
	if in != "" {
		o.Stdin = strings.NewReader(in)
		if tty { // the end of the input would be that of everything
			r, w := io.Pipe()
			defer w.Close()
			go io.WriteString(w, in)
			o.Stdin = r
			o.TerminalSizeQueue = sizes(func() *remotecommand.TerminalSize {
				if sized {
					<-ctx.Done()
					return nil
				}
				sized = true
				return &remotecommand.TerminalSize{Width: 101, Height: 41}
			})
		}
	}
	if !tty {
		o.Stderr = &errout
	}
	err = e.StreamWithContext(ctx, o)
	return out.String(), errout.String(), err
}

// forward makes a port of the pod one of ours, and returns it.
func (p *pod) forward(port int) (local uint16, stop func()) {
	p.Helper()
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.PortForward(ctx, &cri.PortForwardRequest{PodSandboxId: p.id, Port: []int32{int32(port)}})
	if err != nil {
		p.Fatal(err)
	}
	u, err := url.Parse(r.Url)
	if err != nil {
		p.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		p.Fatal(err)
	}
	quit, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.NewOnAddresses(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u),
		[]string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, quit, ready, io.Discard, io.Discard)
	if err != nil {
		p.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		p.Fatalf("port-forward: %v", err)
	case <-time.After(patience):
		p.Fatal("port-forward hangs")
	}
	ports, err := f.GetPorts()
	if err != nil {
		p.Fatal(err)
	}
	return ports[0].Local, func() { close(quit) }
}
