package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A pod is what the sandbox service was asked for: a sandbox whose first process is a pause of ours, and the files that
// its containers share. Containerd makes these for sandboxes of its own and leaves them to whoever serves its sandbox API.
type pod struct {
	id, bundle, netns string
	conf              *cri.PodSandboxConfig
	started           time.Time // zero: not yet
}

// Names in the bundle of a pod.
const (
	rootName     = "pause" // containerd wants rootfs to be empty at the end
	shmName      = "shm"
	hostnameName = "hostname"
	hostsName    = "hosts"
	resolvName   = "resolv.conf"
	// shmSize is what a pod can have in /dev/shm, as with containerd's own sandboxes.
	shmSize = 64 << 20
)

// newPod reads a request.
func newPod(r *sandbox.CreateSandboxRequest) (*pod, error) {
	p := &pod{id: r.SandboxID, bundle: r.BundlePath, netns: r.NetnsPath, conf: &cri.PodSandboxConfig{}}
	if len(r.Rootfs) > 0 {
		return nil, fmt.Errorf("a root file system for the sandbox itself: runsc takes none: %w", errdefs.ErrNotImplemented)
	}
	if r.Options.GetTypeUrl() == "" {
		return p, nil
	}
	given, err := typeurl.UnmarshalAny(r.Options)
	if err != nil {
		return nil, fmt.Errorf("options of the sandbox: %w", err)
	}
	conf, ok := given.(*cri.PodSandboxConfig)
	if !ok {
		return nil, fmt.Errorf("options of the sandbox are of type %T, not those of CRI: %w", given, errdefs.ErrInvalidArgument)
	}
	p.conf = conf
	return p, nil
}

// namespaces are the options by which a pod shares namespaces with the host.
func (p *pod) namespaces() *cri.NamespaceOption {
	return p.conf.GetLinux().GetSecurityContext().GetNamespaceOptions()
}

// prepare writes the bundle. What it has mounted cleanUp takes away.
func (p *pod) prepare() error {
	s, err := p.spec()
	if err != nil {
		return err
	}
	if err := writeSpec(p.bundle, s); err != nil {
		return err
	}
	root := filepath.Join(p.bundle, rootName)
	if err := os.Mkdir(root, 0o711); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "pause"), pauseProgram(), 0o555); err != nil {
		return err
	}
	if err := p.writeFiles(); err != nil {
		return err
	}
	if p.namespaces().GetIpc() == cri.NamespaceMode_NODE {
		return nil
	}
	shm := filepath.Join(p.bundle, shmName)
	if err := os.Mkdir(shm, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("shm", shm, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%d", shmSize)); err != nil {
		return fmt.Errorf("mount /dev/shm of the pod: %w", err)
	}
	return nil
}

// cleanUp takes away the mounts of a pod's bundle.
func cleanUp(bundle string) error {
	err := unix.Unmount(filepath.Join(bundle, shmName), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == unix.ENOENT || err == unix.EINVAL { // there is none
		return nil
	}
	return err
}

// writeFiles writes the names and the resolver's configuration that containers of the pod see in /etc.
func (p *pod) writeFiles() error {
	hostname := p.conf.GetHostname()
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return err
		}
	}
	hosts, err := readOptional("/etc/hosts")
	if err != nil {
		return err
	}
	var resolv []byte
	if dns := p.conf.GetDnsConfig(); dns != nil {
		resolv = resolvConf(dns)
	} else if resolv, err = readOptional("/etc/resolv.conf"); err != nil {
		return err
	}
	for name, data := range map[string][]byte{hostnameName: []byte(hostname + "\n"), hostsName: hosts, resolvName: resolv} {
		if err := os.WriteFile(filepath.Join(p.bundle, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readOptional reads a file of the host, which need not be there.
func readOptional(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// resolvConf is resolv.conf(5) of what kubelet wants.
func resolvConf(c *cri.DNSConfig) []byte {
	var b strings.Builder
	if len(c.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.Searches, " "))
	}
	for _, server := range c.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(c.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(c.Options, " "))
	}
	return []byte(b.String())
}

// spec is the OCI configuration of the pod's first container.
func (p *pod) spec() (*specs.Spec, error) {
	linux := &specs.Linux{
		Sysctl: p.sysctls(), CgroupsPath: cgroupsPath(p.conf.GetLinux().GetCgroupParent(), p.id),
		Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}},
	}
	options := p.namespaces()
	add := func(kind specs.LinuxNamespaceType, mode cri.NamespaceMode, path string) {
		if mode != cri.NamespaceMode_NODE {
			linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
		}
	}
	add(specs.NetworkNamespace, options.GetNetwork(), p.netns)
	add(specs.UTSNamespace, options.GetNetwork(), "")
	add(specs.IPCNamespace, options.GetIpc(), "")
	add(specs.PIDNamespace, options.GetPid(), "")
	if users := options.GetUsernsOptions(); users != nil && users.Mode == cri.NamespaceMode_POD {
		add(specs.UserNamespace, users.Mode, "")
		linux.UIDMappings, linux.GIDMappings = idMappings(users.Uids), idMappings(users.Gids)
	} else if users != nil && users.Mode != cri.NamespaceMode_NODE {
		return nil, fmt.Errorf("user namespace mode %v: %w", users.Mode, errdefs.ErrInvalidArgument)
	}
	meta := p.conf.GetMetadata()
	oom := -998 // as that of containerd's own sandboxes: the pod ends with its sandbox
	return &specs.Spec{
		Version: specs.Version, Hostname: p.conf.GetHostname(), Root: &specs.Root{Path: rootName, Readonly: true},
		Process: &specs.Process{
			Args: []string{"/pause"}, Cwd: "/", NoNewPrivileges: true, OOMScoreAdj: &oom, Capabilities: &specs.LinuxCapabilities{},
		},
		Linux: linux,
		Annotations: map[string]string{
			"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": p.id,
			"io.kubernetes.cri.sandbox-name": meta.GetName(), "io.kubernetes.cri.sandbox-namespace": meta.GetNamespace(),
			"io.kubernetes.cri.sandbox-uid": meta.GetUid(),
		},
	}, nil
}

// sysctls are those of the pod, and those that containerd gives to pods by default.
func (p *pod) sysctls() map[string]string {
	all := map[string]string{}
	options := p.namespaces()
	if options.GetNetwork() != cri.NamespaceMode_NODE {
		all["net.ipv4.ip_unprivileged_port_start"] = "0"
		if options.GetUsernsOptions().GetMode() != cri.NamespaceMode_POD || options.GetUsernsOptions() == nil {
			all["net.ipv4.ping_group_range"] = "0 2147483647"
		}
	}
	for name, value := range p.conf.GetLinux().GetSysctls() {
		all[name] = value
	}
	return all
}

func idMappings(list []*cri.IDMapping) (to []specs.LinuxIDMapping) {
	for _, m := range list {
		to = append(to, specs.LinuxIDMapping{ContainerID: m.ContainerId, HostID: m.HostId, Size: m.Length})
	}
	return to
}

// cgroupsPath is where CRI has the cgroup of a container; the parent is a slice where systemd has cgroups.
func cgroupsPath(parent, id string) string {
	switch {
	case parent == "":
		return ""
	case strings.HasSuffix(path.Base(parent), ".slice"):
		return path.Base(parent) + ":cri-containerd:" + id
	}
	return path.Join(parent, id)
}

// lend gives a container of the pod the files that its configuration has nothing else for.
func (p *pod) lend(bundle string) error {
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return err
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(data, s); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	mode := "rw"
	if s.Root != nil && s.Root.Readonly {
		mode = "ro"
	}
	for destination, name := range map[string]string{"/etc/hostname": hostnameName, "/etc/hosts": hostsName, "/etc/resolv.conf": resolvName} {
		if hasMount(s, destination) {
			continue
		}
		m := specs.Mount{Destination: destination, Type: "bind", Source: filepath.Join(p.bundle, name), Options: []string{"rbind", "rprivate", mode}}
		if s.Linux != nil {
			m.UIDMappings, m.GIDMappings = s.Linux.UIDMappings, s.Linux.GIDMappings
		}
		s.Mounts = append(s.Mounts, m)
	}
	for i := range s.Mounts {
		// The standard one, which would be the container's alone.
		if m := &s.Mounts[i]; path.Clean(m.Destination) == "/dev/shm" && m.Type == "tmpfs" && p.namespaces().GetIpc() != cri.NamespaceMode_NODE {
			*m = specs.Mount{Destination: m.Destination, Type: "bind", Source: filepath.Join(p.bundle, shmName), Options: []string{"rbind", "rprivate", "rw"}}
		}
	}
	return writeSpec(bundle, s)
}

func hasMount(s *specs.Spec, destination string) bool {
	for _, m := range s.Mounts {
		if path.Clean(m.Destination) == destination {
			return true
		}
	}
	return false
}

func writeSpec(bundle string, s *specs.Spec) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600)
}
