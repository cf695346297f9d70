package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"ringfort/test/harness"
)

// tools is where test/install.sh puts containerd.
func tools() string {
	if d := os.Getenv("RINGFORT_ENGINES"); d != "" {
		return d
	}
	return "/var/cache/ringfort/engines"
}

// A daemon is a containerd in a directory of its own.
type daemon struct {
	dir     string
	program string // "": the one that test/install.sh has built
	config  string
	bridge  string
	cmd     *exec.Cmd
	conn    *grpc.ClientConn
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

var lab *daemon

func TestMain(m *testing.M) { os.Exit(mainCode(m)) }

func mainCode(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Println("test/engines/containerd needs root: skipped")
		return 0
	}
	if os.Getenv("RUNSC") == "" {
		fmt.Println("set RUNSC to the binary under test, with containerd-shim-runsc-v1 beside it")
		return 1
	}
	dir, err := os.MkdirTemp("", "rf-containerd-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	lab = &daemon{dir: dir, config: config, bridge: "rf-lab0"}
	err = lab.setUp()
	if err == nil {
		err = lab.start()
	}
	if err != nil {
		fmt.Println(err)
		lab.stop()
		return 1
	}
	code := m.Run()
	lab.takeDown()
	if code != 0 && os.Getenv("KEEP") != "" {
		keep := dir + ".log"
		os.Rename(filepath.Join(dir, "log"), keep)
		fmt.Println("log of containerd:", keep)
	}
	return code
}

const config = `version = 3
root = "DIR/root"
state = "DIR/state"
[grpc]
  address = "DIR/c.sock"
[ttrpc]
  address = "DIR/c.sock.ttrpc"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "docker.io/lab/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "DIR/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc]
  runtime_type = "io.containerd.runsc.v1"
  privileged_without_host_devices = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc-sandbox]
  runtime_type = "io.containerd.runsc.v1"
  sandboxer = "shim"
  privileged_without_host_devices = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc-cli]
  runtime_type = "io.containerd.runc.v2"
  privileged_without_host_devices = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc-cli.options]
    BinaryName = "RUNSC"
    Root = "DIR/runsc-cli"
`

// config16 is config for containerd 1.6, Debian's.
const config16 = `version = 2
root = "DIR/root"
state = "DIR/state"
[grpc]
  address = "DIR/c.sock"
[ttrpc]
  address = "DIR/c.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/lab/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "DIR/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runsc]
  runtime_type = "io.containerd.runsc.v1"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`

const network = `{"cniVersion":"1.0.0","name":"rf-lab","plugins":[
{"type":"bridge","bridge":"BRIDGE","isGateway":true,"ipMasq":true,"hairpinMode":true,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.97.NET.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"DIR/ipam"}},
{"type":"portmap","capabilities":{"portMappings":true}}]}`

// setUp writes what containerd reads.
func (d *daemon) setUp() error {
	if err := os.Chmod(d.dir, 0o755); err != nil { // for root of a user namespace
		return err
	}
	text := strings.NewReplacer("DIR", d.dir, "RUNSC", os.Getenv("RUNSC"), "BRIDGE", d.bridge, "NET", d.bridge[len(d.bridge)-1:])
	for name, data := range map[string]string{"config.toml": d.config, "cni/10-lab.conflist": network} {
		file := filepath.Join(d.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text.Replace(data)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// start runs containerd until it answers, and gives it the images if it has none.
func (d *daemon) start() error {
	bin := filepath.Join(tools(), "bin")
	if _, err := os.Stat(filepath.Join(bin, "containerd")); err != nil {
		return fmt.Errorf("%w: run `test/install.sh engines` once", err)
	}
	out, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	program := d.program
	if program == "" {
		program = filepath.Join(bin, "containerd")
	}
	d.cmd = exec.Command(program, "--config", filepath.Join(d.dir, "config.toml"))
	d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(os.Getenv("RUNSC"))+":"+bin+":"+os.Getenv("PATH"))
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = d.dir, out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	if d.conn == nil {
		d.conn, err = grpc.NewClient("unix://"+filepath.Join(d.dir, "c.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		d.runtime, d.images = cri.NewRuntimeServiceClient(d.conn), cri.NewImageServiceClient(d.conn)
	}
	if err := d.ready(); err != nil {
		return err
	}
	have, err := d.images.ListImages(context.Background(), &cri.ListImagesRequest{})
	if err != nil || len(have.Images) > 0 {
		return err
	}
	return errors.Join(d.load("docker.io/lab/pause:1", "/bin/sleep", "1000000"), d.load("docker.io/lab/bb:1", "/bin/sh"))
}

func (d *daemon) ready() (err error) {
	for range 300 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		var st *cri.StatusResponse
		st, err = d.runtime.Status(ctx, &cri.StatusRequest{})
		cancel()
		if err == nil {
			good := true
			for _, c := range st.Status.Conditions {
				good = good && (c.Status || c.Type != "RuntimeReady" && c.Type != "NetworkReady")
			}
			if good {
				return nil
			}
			err = fmt.Errorf("containerd is not ready: %v", st.Status.Conditions)
		}
		time.Sleep(100 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-2000):])
}

// stop ends containerd; what it has started stays.
func (d *daemon) stop() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { d.cmd.Process.Kill() })
	d.cmd.Wait()
	late.Stop()
	d.cmd = nil
}

// takeDown removes every pod, the daemon and the bridge.
func (d *daemon) takeDown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if pods, err := d.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}); err == nil {
		for _, p := range pods.Items {
			d.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.Id})
			d.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.Id})
		}
	}
	d.stop()
	exec.Command("ip", "link", "del", d.bridge).Run()
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/*/rf-cri")
	for _, dir := range append(cgroups, "/sys/fs/cgroup/rf-cri") {
		os.Remove(dir)
	}
}

// load gives containerd an image with busybox that runs cmd.
func (d *daemon) load(name string, cmd ...string) error {
	ctr := filepath.Join(tools(), "bin", "ctr")
	if d.program != "" {
		ctr = filepath.Join(filepath.Dir(d.program), "ctr") // they belong together
	}
	return harness.LoadImage(ctr, filepath.Join(d.dir, "c.sock"), name, cmd...)
}
