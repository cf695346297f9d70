package kubernetes

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringfort/test/harness"
)

// tools is where test/install.sh puts Kubernetes and containerd.
func tools() string {
	if d := os.Getenv("RINGFORT_ENGINES"); d != "" {
		return d
	}
	return "/var/cache/ringfort/engines"
}

// A node is a Kubernetes in a directory of its own.
type node struct {
	dir   string
	procs []*daemon
	// hostPorts says that the host has chains of CNI's portmap which are not ours.
	hostPorts bool
	ports     struct{ etcd, peer, api, kubelet, proxy int }
}

// A daemon is a process of a node.
type daemon struct {
	*exec.Cmd
	ended chan struct{}
}

var lab *node

func TestMain(m *testing.M) { os.Exit(mainCode(m)) }

func mainCode(m *testing.M) int {
	defer harness.Cleanup()
	if os.Geteuid() != 0 {
		fmt.Println("test/engines/kubernetes needs root: skipped")
		return 0
	}
	if os.Getenv("RUNSC") == "" {
		fmt.Println("set RUNSC to the binary under test, with containerd-shim-runsc-v1 beside it")
		return 1
	}
	dir, err := os.MkdirTemp("", "rf-k8s-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	lab = &node{dir: dir, hostPorts: exec.Command("iptables", "-t", "nat", "-S", "CNI-HOSTPORT-DNAT").Run() == nil}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() { // whoever loses patience shall find a clean machine all the same
		fmt.Println(<-stop)
		lab.takeDown()
		os.RemoveAll(dir)
		os.Exit(1)
	}()
	code := 1
	if err := lab.start(); err != nil {
		fmt.Println(err)
	} else {
		code = m.Run()
	}
	lab.takeDown()
	if code != 0 && os.Getenv("KEEP") != "" {
		fmt.Println("kept:", dir)
		return code
	}
	os.RemoveAll(dir)
	return code
}

const containerdConfig = `version = 3
root = "DIR/containerd"
state = "DIR/run"
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
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc]
  runtime_type = "io.containerd.runsc.v1"
  privileged_without_host_devices = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc-sandbox]
  runtime_type = "io.containerd.runsc.v1"
  sandboxer = "shim"
  privileged_without_host_devices = true
`

const network = `{"cniVersion":"1.0.0","name":"rf-k8s","plugins":[
{"type":"bridge","bridge":"rf-k8s0","isGateway":true,"ipMasq":true,"hairpinMode":true,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"PODS"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"DIR/ipam"}},
{"type":"portmap","capabilities":{"portMappings":true}}]}`

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://GATEWAY:API", insecure-skip-tls-verify: true}}]
users: [{name: lab, user: {token: lab}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://DIR/c.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
address: GATEWAY
port: KUBELET
healthzPort: 0
resolvConf: ""
clusterDNS: [NAMESERVER]
clusterDomain: cluster.local
enforceNodeAllocatable: []
evictionHard: {memory.available: 1Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
allowedUnsafeSysctls: ["kernel.msg*"]
seccompDefault: true
syncFrequency: 5s
`

// proxyConfig has the machine's limits on connections left alone.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: DIR/kubeconfig}
clusterCIDR: PODS
hostnameOverride: localhost
bindAddress: GATEWAY
healthzBindAddress: ""
metricsBindAddress: "GATEWAY:PROXY"
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {localhostNodePorts: false, masqueradeAll: true, minSyncPeriod: 0s}
`

// Addresses of the cluster: the API server and kubelet listen where pods reach them, and nobody else but the host.
const (
	bridge     = "rf-k8s0"
	pods       = "10.96.128.0/24"
	gateway    = "10.96.128.1"
	services   = "10.96.0.0/24"
	clusterDNS = "10.96.0.10"
)

// makeBridge makes the bridge of the pods before there is any: the CNI plugin finds it.
func makeBridge() error {
	for _, args := range []string{"link add " + bridge + " type bridge", "addr add " + gateway + "/24 dev " + bridge, "link set " + bridge + " up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return nil
}

// start runs everything until the node is ready.
func (n *node) start() error {
	if _, err := os.Stat(filepath.Join(tools(), "bin", "kubelet")); err != nil {
		return fmt.Errorf("%w: run `test/install.sh engines` once", err)
	}
	if err := makeBridge(); err != nil {
		return err
	}
	var held []net.Listener // until all are there, for they shall differ
	for _, p := range []*int{&n.ports.etcd, &n.ports.peer, &n.ports.api, &n.ports.kubelet, &n.ports.proxy} {
		l, err := net.Listen("tcp", gateway+":0")
		if err != nil {
			return err
		}
		*p = l.Addr().(*net.TCPAddr).Port
		held = append(held, l)
	}
	for _, l := range held {
		l.Close()
	}
	text := strings.NewReplacer("DIR", n.dir, "API", fmt.Sprint(n.ports.api), "KUBELET", fmt.Sprint(n.ports.kubelet),
		"PROXY", fmt.Sprint(n.ports.proxy), "GATEWAY", gateway, "PODS", pods, "NAMESERVER", clusterDNS)
	for name, data := range map[string]string{
		"config.toml": containerdConfig, "cni/10-lab.conflist": network, "kubeconfig": kubeconfig, "kubelet.yaml": kubeletConfig,
		"proxy.yaml": proxyConfig,
		"tokens":     "lab,lab,lab,system:masters\n",
	} {
		file := filepath.Join(n.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text.Replace(data)), 0o600); err != nil {
			return err
		}
	}
	return errors.Join(n.key(), n.run())
}

// key makes the key of service accounts.
func (n *node) key() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return os.WriteFile(filepath.Join(n.dir, "sa.key"), data, 0o600)
}

// run starts the daemons in turn.
func (n *node) run() error {
	f := fmt.Sprintf
	kube := "--kubeconfig=" + filepath.Join(n.dir, "kubeconfig")
	steps := []struct {
		name  string
		args  []string
		ready func() error
	}{
		{"etcd", []string{"--data-dir=" + n.dir + "/etcd", f("--listen-client-urls=http://127.0.0.1:%d", n.ports.etcd),
			f("--advertise-client-urls=http://127.0.0.1:%d", n.ports.etcd), f("--listen-peer-urls=http://127.0.0.1:%d", n.ports.peer),
			f("--initial-advertise-peer-urls=http://127.0.0.1:%d", n.ports.peer), f("--initial-cluster=default=http://127.0.0.1:%d", n.ports.peer),
			"--unsafe-no-fsync"}, nil},
		{"kube-apiserver", []string{f("--etcd-servers=http://127.0.0.1:%d", n.ports.etcd), f("--secure-port=%d", n.ports.api), "--bind-address=" + gateway, "--advertise-address=" + gateway, "--kubelet-preferred-address-types=InternalIP",
			"--cert-dir=" + n.dir + "/certs", "--token-auth-file=" + n.dir + "/tokens", "--authorization-mode=AlwaysAllow", "--allow-privileged",
			"--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=" + services, "--service-account-issuer=https://lab",
			"--service-account-key-file=" + n.dir + "/sa.key", "--service-account-signing-key-file=" + n.dir + "/sa.key"},
			func() error { _, err := n.kubectl("", "get", "--raw", "/readyz"); return err }},
		{"kube-controller-manager", []string{kube, "--service-account-private-key-file=" + n.dir + "/sa.key", "--secure-port=0", "--leader-elect=false"}, nil},
		{"kube-scheduler", []string{kube, "--secure-port=0", "--leader-elect=false"}, nil},
		{"kube-proxy", []string{"--config", n.dir + "/proxy.yaml"}, func() error {
			r, err := http.Get(f("http://%s:%d/proxyMode", gateway, n.ports.proxy))
			if err == nil {
				r.Body.Close()
			}
			return err
		}},
		{"containerd", []string{"--config", n.dir + "/config.toml"}, func() error { _, err := os.Stat(n.dir + "/c.sock"); return err }},
	}
	for _, s := range steps {
		if err := n.launch(s.name, s.args, s.ready); err != nil {
			return err
		}
	}
	for image, cmd := range map[string][]string{"docker.io/lab/pause:1": {"/bin/sleep", "1000000"}, "docker.io/library/busybox:1.36": {"/bin/sh"}} {
		if err := harness.LoadImage(filepath.Join(tools(), "bin", "ctr"), n.dir+"/c.sock", image, cmd...); err != nil {
			return err
		}
	}
	return n.launch("kubelet", []string{kube, "--config=" + n.dir + "/kubelet.yaml", "--root-dir=" + n.dir + "/kubelet", "--hostname-override=localhost", "--node-ip=" + gateway, "--containerd=" + n.dir + "/c.sock",
		"--cert-dir=" + n.dir + "/kubelet-certs"}, func() error {
		out, err := n.kubectl("", "get", "node", "localhost", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out != "True" {
			err = fmt.Errorf("node is ready: %q", out)
		}
		return err
	})
}

// launch starts a daemon and waits until it is ready.
func (n *node) launch(name string, args []string, ready func() error) error {
	out, err := os.Create(filepath.Join(n.dir, name+".log"))
	if err != nil {
		return err
	}
	defer out.Close()
	program := filepath.Join(tools(), "bin", name)
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: run `test/install.sh engines` once", err)
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(os.Getenv("RUNSC"))+":"+filepath.Join(tools(), "bin")+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	d := &daemon{cmd, make(chan struct{})}
	go func() { cmd.Wait(); close(d.ended) }()
	n.procs = append(n.procs, d)
	if ready == nil {
		return nil
	}
	for range 450 {
		if err = ready(); err == nil {
			return nil
		}
		select {
		case <-d.ended:
			err = fmt.Errorf("ended: %v", cmd.ProcessState)
		case <-time.After(200 * time.Millisecond):
			continue
		}
		break
	}
	log, _ := os.ReadFile(out.Name())
	return fmt.Errorf("%s: %w\n%s", name, err, log[max(0, len(log)-3000):])
}

// kubectl runs a command against the node.
func (n *node) kubectl(stdin string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(tools(), "bin", "kubectl"), append([]string{"--kubeconfig=" + filepath.Join(n.dir, "kubeconfig")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	late := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() }) // for a hang; it is no measure
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, &errout)
	}
	return out.String(), nil
}

// takeDown removes the pods, then ends the daemons, the last first.
func (n *node) takeDown() {
	if len(n.procs) >= 7 {
		n.kubectl("", "delete", "pods,services", "--all", "--grace-period=1", "--timeout=60s")
		for range 900 { // kubelet takes them down, sandboxes that shims have made once in a minute
			// The bundles of containers, and of sandboxes that shims have made.
			if left, _ := filepath.Glob(n.dir + "/run/io.containerd.*/k8s.io/*"); len(left) == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	for i := len(n.procs) - 1; i >= 0; i-- {
		p := n.procs[i]
		p.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { p.Process.Kill() })
		<-p.ended
		late.Stop()
	}
	exec.Command(filepath.Join(tools(), "bin", "kube-proxy"), "--cleanup").Run()
	removeChains()
	if !n.hostPorts {
		removeHostPorts()
	}
	exec.Command("ip", "link", "del", bridge).Run()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], n.dir) {
			syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/kubepods", "/sys/fs/cgroup/kubepods"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			removeGroups(dir)
		}
	}
}

// removeChains removes what kubelet has left in the host's firewall; the proxy removes what is its own.
func removeChains() {
	for _, args := range []string{
		"-t filter -D INPUT -j KUBE-FIREWALL", "-t filter -D OUTPUT -j KUBE-FIREWALL", "-t filter -F KUBE-FIREWALL", "-t filter -X KUBE-FIREWALL",
		"-t filter -X KUBE-KUBELET-CANARY", "-t nat -X KUBE-KUBELET-CANARY", "-t mangle -X KUBE-KUBELET-CANARY",
		"-t mangle -F KUBE-IPTABLES-HINT", "-t mangle -X KUBE-IPTABLES-HINT",
	} {
		for _, program := range []string{"iptables", "ip6tables"} {
			exec.Command(program, strings.Fields(args)...).Run()
		}
	}
}

// removeHostPorts removes the chains that CNI's portmap shares among all pods of a host and leaves for the next.
func removeHostPorts() {
	const nat = "-t nat "
	for _, args := range []string{
		nat + "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT", nat + "-D OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
		nat + "-F CNI-HOSTPORT-DNAT", nat + "-X CNI-HOSTPORT-DNAT", nat + "-F CNI-HOSTPORT-MASQ", nat + "-F CNI-HOSTPORT-SETMARK", nat + "-X CNI-HOSTPORT-SETMARK",
	} {
		exec.Command("iptables", strings.Fields(args)...).Run()
	}
	exec.Command("iptables", "-t", "nat", "-D", "POSTROUTING", "-m", "comment", "--comment", "CNI portfwd requiring masquerade", "-j", "CNI-HOSTPORT-MASQ").Run()
	exec.Command("iptables", "-t", "nat", "-X", "CNI-HOSTPORT-MASQ").Run()
}

// removeGroups removes a cgroup with those below.
func removeGroups(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeGroups(filepath.Join(dir, e.Name()))
		}
	}
	os.Remove(dir)
}
