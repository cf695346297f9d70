package containerd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// handlers are the runtimes a case runs with. runc is the oracle: what it cannot do is no case.
var handlers = []string{"runc", "runsc", "runsc-sandbox", "runsc-cli"}

// each runs a case with every handler.
func each(t *testing.T, f func(t *testing.T, handler string)) {
	for _, h := range handlers {
		t.Run(h, func(t *testing.T) { f(t, h) })
	}
}

func TestLife(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		c := container("echo out; echo err >&2; trap 'echo bye; exit 5' TERM; while :; do sleep 0.1; done")
		id := p.start(c)
		p.says(c, "out\n")
		p.says(c, "err\n")
		if st := p.status(id); st.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("state %v", st.State)
		}
		if out, code := p.exec(id, "sh", "-c", "hostname; echo no >&2; exit 3"); code != 3 || out != "the-pod\nno\n" {
			t.Errorf("exec: %d, %q", code, out)
		}
		ctx, cancel := limited()
		defer cancel()
		if _, err := lab.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "100"}, Timeout: 1}); err == nil {
			t.Error("an exec beyond its time ends well")
		}
		if _, err := lab.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 30}); err != nil {
			t.Fatal(err)
		}
		if st := p.end(id); st.ExitCode != 5 {
			t.Errorf("exit code %d, reason %s", st.ExitCode, st.Reason)
		}
		p.says(c, "bye\n")
		if code, _ := p.run(container("exit 7")); code != 7 {
			t.Errorf("exit code %d, not 7", code)
		}
		if _, err := p.tryStart(container("", func(c *cri.ContainerConfig) { c.Command = []string{"nonesuch"} })); err == nil || !strings.Contains(err.Error(), "nonesuch") {
			t.Errorf("no such program: %v", err)
		}
		if _, err := lab.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
	})
}

func TestStreams(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		ctx, cancel := limited()
		defer cancel()
		id := p.start(container("sleep 1000"))
		r, err := lab.runtime.Exec(ctx, &cri.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", "cat; echo e >&2; exit 4"}, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		out, errout, err := p.stream(r.Url, "some input\n", false)
		if out != "some input\n" || errout != "e\n" || err == nil || !strings.Contains(err.Error(), "exit code 4") {
			t.Errorf("exec: %q, %q, %v", out, errout, err)
		}
		r, err = lab.runtime.Exec(ctx, &cri.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", "test -t 0 && read x && echo got $x"}, Tty: true, Stdin: true, Stdout: true})
		if err != nil {
			t.Fatal(err)
		}
		if out, _, err := p.stream(r.Url, "y\n", true); !strings.Contains(out, "got y") || err != nil {
			t.Errorf("exec with a terminal: %q, %v", out, err)
		}
		c := container("read line; echo got $line; sleep 1000", func(c *cri.ContainerConfig) { c.Stdin, c.StdinOnce = true, false })
		id = p.start(c)
		a, err := lab.runtime.Attach(ctx, &cri.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		go p.stream(a.Url, "attached\n", false)
		p.says(c, "got attached\n")
		// A container with a terminal of its own.
		c = container("test -t 1 && echo terminal; sleep 0.2", func(c *cri.ContainerConfig) { c.Tty, c.Stdin = true, true })
		if code, log := p.run(c); code != 0 || !strings.Contains(log, "terminal") {
			t.Errorf("a container with a terminal: %d, %q", code, log)
		}
	})
}

// TestPod has the containers of a pod share what they shall.
func TestPod(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		dir := t.TempDir()
		volume := func(readonly bool) func(*cri.ContainerConfig) {
			return func(c *cri.ContainerConfig) {
				c.Mounts = append(c.Mounts, &cri.Mount{ContainerPath: "/vol", HostPath: dir, Readonly: readonly})
			}
		}
		if code, log := p.run(container("echo from init > /vol/init", volume(false))); code != 0 {
			t.Fatalf("init container: %d, %s", code, log)
		}
		a := p.start(container("nc -l -p 8000 -e cat /vol/init & sleep 1000", volume(false)))
		b := p.start(container("sleep 1000", volume(true)))
		if got := p.sh(b, "cat /vol/init"); got != "from init" {
			t.Errorf("the volume has %q", got)
		}
		if out, code := p.exec(b, "touch", "/vol/x"); code == 0 {
			t.Errorf("a read-only volume is written to: %s", out)
		}
		got := ""
		for range 100 {
			if got, _ = p.exec(b, "nc", "127.0.0.1", "8000"); got == "from init\n" {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if got != "from init\n" {
			t.Errorf("over the loopback of the pod comes %q", got)
		}
		if got := p.sh(b, "ps | grep -c '[s]leep 1000'"); got != "1" {
			t.Errorf("a container sees %s processes of others", got)
		}
		p.sh(a, "ipcmk -S 1 2>/dev/null || true; echo > /dev/shm/file")
		p.sh(b, "test -e /dev/shm/file")
		ip := p.ip()
		if got := p.sh(b, "ip -4 addr show eth0"); !strings.Contains(got, ip) {
			t.Errorf("the address of the pod is %s, inside\n%s", ip, got)
		}
	})
}

// ip is the pod's address.
func (p *pod) ip() string {
	p.Helper()
	ctx, cancel := limited()
	defer cancel()
	r, err := lab.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		p.Fatal(err)
	}
	return r.Status.Network.Ip
}

func TestSharedPID(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		share := cri.NamespaceMode_POD
		p := newPod(t, h, func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = share })
		shared := func(c *cri.ContainerConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = share }
		p.start(container("sleep 1001; true", shared))
		b := p.start(container("sleep 1002; true", shared))
		got, pause := "", "sleep 1000000"
		if h == "runsc-sandbox" { // which takes no image for it, and looks after orphans
			pause = "/pause"
			p.sh(b, "(sh -c 'sleep 0.2 & echo' &)")
		}
		for range 100 { // until all have come so far
			if got = p.sh(b, "ps"); strings.Contains(got, "sleep 1001") && strings.Contains(got, pause) && !strings.Contains(got, "sleep 0.2") {
				if strings.Contains(p.sh(b, "cat /proc/[0-9]*/stat"), ") Z ") {
					t.Error("nobody waits for an orphan")
				}
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("ps says\n%s", got)
	})
}

func TestPortForward(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		id := p.start(container("mkdir /www; head -c 3000000 /dev/zero > /www/zeros; exec httpd -f -p 8080 -h /www"))
		for range 200 {
			if _, code := p.exec(id, "grep", "-q", ":1F90 ", "/proc/net/tcp", "/proc/net/tcp6"); code == 0 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		port, stop := p.forward(8080)
		defer stop()
		for range 3 {
			client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/zeros", port))
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if n != 3000000 || err != nil {
				t.Errorf("through the forwarded port come %d bytes, %v", n, err)
			}
		}
		// Where nobody listens a connection is refused.
		refused, stop2 := p.forward(8081)
		defer stop2()
		if conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", refused), 10*time.Second); err == nil {
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("a port without listener says %d bytes", n)
			}
			conn.Close()
		}
	})
}

func TestStats(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		id := p.start(container("x=$(head -c 8000000 /dev/zero | tr '\\0' x); while :; do :; done"))
		ctx, cancel := limited()
		defer cancel()
		for range 300 {
			r, err := lab.runtime.ContainerStats(ctx, &cri.ContainerStatsRequest{ContainerId: id})
			if err != nil {
				t.Fatal(err)
			}
			s := r.Stats
			if s.Cpu != nil && s.Cpu.UsageCoreNanoSeconds.GetValue() > 100e6 && s.Memory != nil && s.Memory.WorkingSetBytes.GetValue() > 4<<20 {
				p.exec(id, "nc", "-w", "1", "10.97.0.1", "9") // something goes over the network
				r, err := lab.runtime.PodSandboxStats(ctx, &cri.PodSandboxStatsRequest{PodSandboxId: p.id})
				if err != nil {
					t.Fatal(err)
				}
				if n := r.Stats.Linux.Network; n == nil || n.DefaultInterface.GetTxBytes().GetValue() == 0 || len(r.Stats.Linux.Containers) != 1 {
					t.Errorf("statistics of the pod: %v", r.Stats)
				}
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		r, _ := lab.runtime.ContainerStats(ctx, &cri.ContainerStatsRequest{ContainerId: id})
		t.Errorf("a busy container has %v", r)
	})
}

func TestMemoryLimit(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		c := container("x=0123456789abcdef; while :; do x=$x$x; done", func(c *cri.ContainerConfig) {
			c.Linux.Resources.MemoryLimitInBytes = 48 << 20
		})
		st := p.end(p.start(c))
		if st.ExitCode != 137 || st.Reason != "OOMKilled" {
			t.Errorf("exit code %d, reason %s", st.ExitCode, st.Reason)
		}
		if code, _ := p.run(container("true")); code != 0 {
			t.Errorf("another container of the pod then: %d", code)
		}
	})
}

// hostLimit reads a file of the container's cgroup on the host.
func (p *pod) hostLimit(id, v1, v2 string) string {
	p.Helper()
	for _, name := range []string{
		"/sys/fs/cgroup/" + strings.SplitN(v1, ".", 2)[0] + p.conf.Linux.CgroupParent + "/" + id + "/" + v1,
		"/sys/fs/cgroup" + p.conf.Linux.CgroupParent + "/" + id + "/" + v2,
	} {
		if data, err := os.ReadFile(name); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	p.Errorf("no file %s or %s", v1, v2)
	return ""
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		id := p.start(container("sleep 1000", func(c *cri.ContainerConfig) {
			c.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, MemoryLimitInBytes: 64 << 20}
		}))
		if got := p.hostLimit(id, "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(got, "50000") {
			t.Errorf("quota %q", got)
		}
		if got := p.hostLimit(id, "memory.limit_in_bytes", "memory.max"); got != strconv.Itoa(64<<20) {
			t.Errorf("memory %q", got)
		}
		ctx, cancel := limited()
		defer cancel()
		_, err := lab.runtime.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{
			ContainerId: id, Linux: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 70000, MemoryLimitInBytes: 96 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.hostLimit(id, "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(got, "70000") {
			t.Errorf("quota %q after the update", got)
		}
		if got := p.hostLimit(id, "memory.limit_in_bytes", "memory.max"); got != strconv.Itoa(96<<20) {
			t.Errorf("memory %q after the update", got)
		}
		if got := p.sh(id, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -n1"); got != strconv.Itoa(96<<20) {
			t.Errorf("memory %q inside after the update", got)
		}
	})
}

// TestSecurity has the settings of a security context that show inside.
func TestSecurity(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h, func(c *cri.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "80", "kernel.msgmax": "12345"}
		})
		context := func(f func(*cri.LinuxContainerSecurityContext)) func(*cri.ContainerConfig) {
			return func(c *cri.ContainerConfig) { f(c.Linux.SecurityContext) }
		}
		profile := filepath.Join(t.TempDir(), "seccomp.json")
		os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`), 0o644)
		none := func(c *cri.LinuxContainerSecurityContext) {}
		for _, x := range []struct {
			name, script, want string
			set                func(*cri.LinuxContainerSecurityContext)
		}{
			{"sysctl of the network", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "80\n", none},
			{"sysctl of IPC", "cat /proc/sys/kernel/msgmax", "12345\n", none},
			{"capabilities added", "grep CapEff /proc/self/status | cut -f2", "", func(c *cri.LinuxContainerSecurityContext) {
				c.Capabilities = &cri.Capability{AddCapabilities: []string{"NET_ADMIN", "SYS_TIME"}, DropCapabilities: []string{"CHOWN"}}
			}},
			{"a capability works", "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu", "1400\n", func(c *cri.LinuxContainerSecurityContext) {
				c.Capabilities = &cri.Capability{AddCapabilities: []string{"NET_ADMIN"}}
			}},
			{"a capability is missing", "chown 1 /tmp 2>/dev/null || echo no", "no\n", func(c *cri.LinuxContainerSecurityContext) {
				c.Capabilities = &cri.Capability{DropCapabilities: []string{"ALL"}}
			}},
			{"default profile", "grep Seccomp: /proc/self/status | cut -f2", "2\n", none},
			{"no profile", "grep Seccomp: /proc/self/status | cut -f2", "0\n", func(c *cri.LinuxContainerSecurityContext) {
				c.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
			}},
			{"own profile", "mkdir /tmp/d 2>/dev/null || echo no", "no\n", func(c *cri.LinuxContainerSecurityContext) {
				c.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: profile}
			}},
			{"masked path", "wc -c < /proc/interrupts", "0\n", none},
			{"read-only path", "(echo 1 > /proc/sys/kernel/msgmax) 2>/dev/null || echo no", "no\n", none},
			{"user", "id -u; id -g; id -G", "1000\n2000\n2000 3000\n", func(c *cri.LinuxContainerSecurityContext) {
				c.RunAsUser, c.RunAsGroup, c.SupplementalGroups = &cri.Int64Value{Value: 1000}, &cri.Int64Value{Value: 2000}, []int64{3000}
			}},
			{"read-only root", "touch /x 2>/dev/null || echo no", "no\n", func(c *cri.LinuxContainerSecurityContext) { c.ReadonlyRootfs = true }},
			{"no new privileges", "grep NoNewPrivs /proc/self/status | cut -f2", "1\n", func(c *cri.LinuxContainerSecurityContext) { c.NoNewPrivs = true }},
		} {
			code, log := p.run(container(x.script, context(x.set)))
			if x.name == "capabilities added" {
				x.want = capabilities // as runc has them
				if h == "runc" {
					capabilities, x.want = log, log
				}
			}
			if code != 0 || log != x.want {
				t.Errorf("%s: exit code %d, %q, not %q", x.name, code, log, x.want)
			}
		}
	})
}

// capabilities are those that runc gives.
var capabilities string

func TestPrivileged(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h, func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
		code, log := p.run(container("mkdir /m && mount -t tmpfs tmpfs /m && echo mounted", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{Privileged: true, NamespaceOptions: c.Linux.SecurityContext.NamespaceOptions}
		}))
		if code != 0 || log != "mounted\n" {
			t.Errorf("exit code %d, %q", code, log)
		}
	})
}

// TestHostNetwork has a pod in the network of the host.
func TestHostNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "from the host\n")
			c.Close()
		}
	}()
	each(t, func(t *testing.T, h string) {
		if h == "runsc-sandbox" {
			t.Skip("containerd 2.2.9 dies of a nil pointer (v2.NewBundle) of such a pod, before it asks any shim")
		}
		p := newPod(t, h, func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
			c.Hostname = ""
		})
		id := p.start(container("sleep 1000", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
		}))
		if got := p.sh(id, fmt.Sprintf("nc 127.0.0.1 %d", l.Addr().(*net.TCPAddr).Port)); got != "from the host" {
			t.Errorf("from a listener of the host comes %q", got)
		}
		host, _ := os.Hostname()
		if got := p.sh(id, "hostname"); got != host {
			t.Errorf("host name %q, not %q", got, host)
		}
	})
}

// TestDebian has Debian's containerd, 1.6, start the shim, which it can only if the shim tells its address as those of its
// time did.
func TestDebian(t *testing.T) {
	const program = "/usr/bin/containerd"
	if out, err := exec.Command(program, "--version").CombinedOutput(); err != nil || !strings.Contains(string(out), " 1.6.") {
		t.Fatalf("no containerd 1.6 of Debian: run `test/install.sh engines` once: %s%v", out, err)
	}
	old := &daemon{dir: t.TempDir(), program: program, config: config16, bridge: "rf-lab1"}
	if err := old.setUp(); err != nil {
		t.Fatal(err)
	}
	if err := old.start(); err != nil {
		old.stop()
		t.Fatal(err)
	}
	now := lab
	lab = old
	t.Cleanup(func() { old.takeDown(); lab = now })
	all := handlers
	handlers = []string{"runsc"}
	defer func() { handlers = all }()
	for name, f := range map[string]func(*testing.T){
		"life": TestLife, "streams": TestStreams, "pod": TestPod, "port-forward": TestPortForward, "stats": TestStats, "memory": TestMemoryLimit,
	} {
		t.Run(name, f)
	}
}

// TestPropagation has a mount that the host makes in a volume appear inside, and names what cannot be done the other way.
func TestPropagation(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(unix.Mount(dir, dir, "", unix.MS_BIND, ""), unix.Mount("", dir, "", unix.MS_SHARED, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	with := func(how cri.MountPropagation) func(*cri.ContainerConfig) {
		return func(c *cri.ContainerConfig) {
			c.Mounts = append(c.Mounts, &cri.Mount{ContainerPath: "/vol", HostPath: dir, Propagation: how})
		}
	}
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		id := p.start(container("sleep 1000", with(cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER)))
		at := filepath.Join(dir, h)
		if err := errors.Join(os.Mkdir(at, 0o755), unix.Mount("tmpfs", at, "tmpfs", 0, ""), os.WriteFile(filepath.Join(at, "file"), []byte("late\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
		if got := p.sh(id, "cat /vol/"+h+"/file"); got != "late" {
			t.Errorf("in a mount of the host is %q", got)
		}
		if h == "runc" {
			return
		}
		if _, err := p.tryStart(container("true", with(cri.MountPropagation_PROPAGATION_BIDIRECTIONAL))); err == nil || !strings.Contains(err.Error(), "cannot appear on the host") {
			t.Errorf("a mount that is to appear on the host: %v", err)
		}
	})
}

// TestUserNamespace has a pod whose root is nobody's on the host, with a volume whose owners are shifted likewise. The runc
// of Debian 12 cannot do that.
func TestUserNamespace(t *testing.T) {
	const first = 65536
	ids := []*cri.IDMapping{{HostId: first, ContainerId: 0, Length: 65536}}
	users := &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids}
	for _, h := range []string{"runsc", "runsc-sandbox", "runsc-cli"} {
		t.Run(h, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "of-root"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			p := newPod(t, h, func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = users })
			script := "id -u; cat /proc/self/uid_map; touch /tmp/x /vol/y && stat -c %u /tmp/x /vol/of-root"
			code, log := p.run(container(script, func(c *cri.ContainerConfig) {
				c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = users
				c.Mounts = append(c.Mounts, &cri.Mount{ContainerPath: "/vol", HostPath: dir, UidMappings: ids, GidMappings: ids})
			}))
			if f := strings.Join(strings.Fields(log), " "); code != 0 || f != "0 0 65536 65536 0 0" {
				t.Errorf("exit code %d, %q", code, log)
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, "y"), &st); err != nil || st.Uid != 0 {
				t.Errorf("a file made in the volume is of %d on the host, %v", st.Uid, err)
			}
		})
	}
}

// TestRestart has containerd go away and come back while pods run: one container goes on, and one ends meanwhile.
func TestRestart(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		if h == "runsc-cli" {
			return // that is another's shim
		}
		p := newPod(t, h)
		dir := t.TempDir()
		c := container("echo begun; while ! test -e /tmp/go; do sleep 0.1; done; echo went on; exit 9")
		id := p.start(c)
		p.says(c, "begun")
		brief := p.start(container("while ! test -e /vol/go; do sleep 0.1; done; touch /vol/gone; exit 6", func(c *cri.ContainerConfig) {
			c.Mounts = append(c.Mounts, &cri.Mount{ContainerPath: "/vol", HostPath: dir})
		}))
		lab.stop()
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
			t.Error(err)
		}
		for i := 0; i < 300; i++ {
			if _, err := os.Stat(filepath.Join(dir, "gone")); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := lab.start(); err != nil {
			t.Fatal(err)
		}
		if st := p.status(id); st.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Fatalf("after the restart the container is %v", st.State)
		}
		if st := p.state(); st != cri.PodSandboxState_SANDBOX_READY {
			t.Fatalf("after the restart the pod is %v", st)
		}
		if st := p.end(brief); st.ExitCode != 6 && h != "runc" { // whose shim may say 255
			t.Errorf("exit code %d of a container that has ended without containerd", st.ExitCode)
		}
		if code, log := p.run(container("echo new")); code != 0 || log != "new\n" {
			t.Errorf("a container that is new: %d, %q", code, log)
		}
		p.sh(id, "touch /tmp/go")
		if st := p.end(id); st.ExitCode != 9 {
			t.Errorf("exit code %d", st.ExitCode)
		}
		p.says(c, "went on")
	})
}

// processes lists those of the host whose command line has a text.
func processes(text string) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		if data, _ := os.ReadFile(name); strings.Contains(string(data), text) {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone waits until nothing on the host bears the name of a pod or container.
func gone(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		for i := 0; len(processes(id)) > 0; i++ {
			if i == 300 {
				t.Errorf("processes of %s are left: %v", id, processes(id))
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// TestShimKilled has the shim end without a word: containerd is told that the pod has ended, and nothing is left of it.
func TestShimKilled(t *testing.T) {
	p := newPod(t, "runsc")
	id := p.start(container("sleep 1000"))
	shims := processes("containerd-shim-runsc-v1\x00-namespace\x00k8s.io\x00-id\x00" + p.id)
	if len(shims) != 1 {
		t.Fatalf("%d shims of the pod", len(shims))
	}
	sockets, _ := filepath.Glob("/run/containerd/s/*")
	if err := unix.Kill(shims[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if st := p.end(id); st.ExitCode == 0 {
		t.Errorf("exit code %d", st.ExitCode)
	}
	gone(t, p.id, id)
	for i := 0; ; i++ {
		left, _ := filepath.Glob("/run/containerd/s/*")
		if len(left) < len(sockets) {
			break
		}
		if i == 100 {
			t.Errorf("the socket of the shim is left: %v", left)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestStuckSentry stops the Sentry of a pod as a fault would: it is found and killed, and its containers have ended.
func TestStuckSentry(t *testing.T) {
	for _, h := range []string{"runsc", "runsc-sandbox"} {
		t.Run(h, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, h)
			id := p.start(container("sleep 1000"))
			sentries := processes("runsc\x00boot\x00" + p.id)
			if len(sentries) != 1 {
				t.Fatalf("%d Sentries of the pod", len(sentries))
			}
			if err := unix.Kill(sentries[0], unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			for i := 0; p.status(id).State == cri.ContainerState_CONTAINER_RUNNING; i++ {
				if i == 240 {
					t.Fatal("the shim does not find out")
				}
				time.Sleep(time.Second)
			}
			if st := p.end(id); st.ExitCode != 137 {
				t.Errorf("exit code %d", st.ExitCode)
			}
			for i := 0; p.state() != cri.PodSandboxState_SANDBOX_NOTREADY; i++ { // kubelet would make a new one
				if i == 100 {
					t.Fatalf("containerd has the pod as %v", p.state())
				}
				time.Sleep(100 * time.Millisecond)
			}
			log, _ := os.ReadFile(filepath.Join(lab.dir, "log"))
			said := false
			for _, line := range strings.Split(string(log), "\n") {
				said = said || strings.Contains(line, "has not answered for") && strings.Contains(line, p.id)
			}
			if !said {
				t.Error("containerd's log does not say that the sandbox was killed")
			}
		})
	}
}

// TestMany has pods started and stopped at once; nothing is left of any.
func TestMany(t *testing.T) {
	const pods = 12
	ids := make(chan string, 3*pods)
	t.Run("all", func(t *testing.T) {
		for i := range pods {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				p := newPod(t, []string{"runsc", "runsc-sandbox"}[i%2])
				ids <- p.id
				a := p.start(container("sleep 1000"))
				b := container("echo $((6 * 7)); exit 4")
				code, log := p.run(b)
				if code != 4 || log != "42\n" {
					t.Errorf("exit code %d, %q", code, log)
				}
				if got := p.sh(a, "echo on"); got != "on" {
					t.Errorf("exec says %q", got)
				}
				ids <- a
			})
		}
	})
	close(ids)
	for id := range ids {
		gone(t, id)
	}
	left, _ := filepath.Glob("/run/containerd/runsc/k8s.io/*")
	for _, dir := range left {
		if data, _ := os.ReadFile(filepath.Join(dir, "state.json")); strings.Contains(string(data), lab.dir) {
			t.Errorf("left: %s", dir)
		}
	}
}

// ctr runs containerd's own client, which asks the shim for what CRI has no word for.
func ctr(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := limited()
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tools(), "bin", "ctr"), append([]string{"-a", filepath.Join(lab.dir, "c.sock"), "-n", "k8s.io"}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestTask has what a task of containerd can do beside a pod: logs by URI, pause, metrics, checkpoint.
func TestTask(t *testing.T) {
	dir := t.TempDir()
	logger := filepath.Join(dir, "logger")
	if err := os.WriteFile(logger, []byte("#!/bin/sh\nexec 5>&-\nexec cat <&3 >"+dir+"/binary\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, uri := range []string{"file://" + dir + "/file", "binary://" + logger} {
		id := fmt.Sprintf("rf-task-%d-%d", os.Getpid(), i)
		out, err := ctr(t, "run", "-d", "--runtime", "io.containerd.runsc.v1", "--log-uri", uri, "docker.io/lab/bb:1", id, "sh", "-c", "echo said; sleep 1000")
		if err != nil {
			t.Fatalf("%s: %s", uri, out)
		}
		t.Cleanup(func() {
			ctr(t, "task", "kill", "-s", "KILL", id)
			for range 100 {
				if _, err := ctr(t, "task", "delete", id); err == nil {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if out, err := ctr(t, "container", "delete", id); err != nil {
				t.Errorf("delete: %s", out)
			}
			gone(t, id)
		})
		file := filepath.Join(dir, strings.SplitN(uri, ":", 2)[0])
		for i := 0; ; i++ {
			if data, _ := os.ReadFile(file); string(data) == "said\n" {
				break
			}
			if i == 200 {
				data, _ := os.ReadFile(file)
				t.Errorf("%s has %q", uri, data)
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if i > 0 {
			continue
		}
		status := func(want string) {
			t.Helper()
			if out, err := ctr(t, "task", "list"); err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if out, err := ctr(t, "task", "pause", id); err != nil {
			t.Errorf("pause: %s", out)
		}
		status("PAUSED")
		if out, err := ctr(t, "task", "resume", id); err != nil {
			t.Errorf("resume: %s", out)
		}
		status("RUNNING")
		if out, err := ctr(t, "task", "metrics", id); err != nil || !strings.Contains(out, "memory.usage") && !strings.Contains(out, "memory.usage_in_bytes") {
			t.Errorf("metrics: %v\n%s", err, out)
		}
		if out, err := ctr(t, "task", "ps", id); err != nil || len(strings.Split(strings.TrimSpace(out), "\n")) < 2 {
			t.Errorf("ps: %v\n%s", err, out)
		}
		if out, err := ctr(t, "task", "checkpoint", id); err == nil || !strings.Contains(out, "checkpoint is not supported by runsc") {
			t.Errorf("checkpoint: %v\n%s", err, out)
		}
	}
}

// TestResize has the window of a terminal change.
func TestResize(t *testing.T) {
	each(t, func(t *testing.T, h string) {
		p := newPod(t, h)
		ctx, cancel := limited()
		defer cancel()
		id := p.start(container("sleep 1000"))
		script := "i=0; while [ $i -lt 300 ] && [ \"$(stty size)\" != '41 101' ]; do sleep 0.1; i=$((i + 1)); done; stty size"
		r, err := lab.runtime.Exec(ctx, &cri.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", script}, Tty: true, Stdin: true, Stdout: true})
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := p.stream(r.Url, " ", true)
		if !strings.Contains(out, "41 101") || err != nil {
			t.Errorf("the window is %q, %v", out, err)
		}
	})
}
