package kubernetes

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An end is a pod that runs to its end: how it ended, what is in its log, and its termination message.
type end struct{ name, script, spec, container, reason, log, message string }

const (
	// scratch is a volume, and scratchMount what has a container mount it.
	scratch      = `,"volumes":[{"name":"v","emptyDir":{}}]`
	scratchMount = `,"volumeMounts":[{"name":"v","mountPath":"/v"%s}]`
	// noMkdir is a seccomp profile.
	noMkdir = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`
	// Files of cgroups have other names in version 1.
	memoryLimit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
	cpuQuota    = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
)

func ends(host string) []end {
	mount := func(more string) string { return fmt.Sprintf(scratchMount, more) }
	security := func(s string) string { return `,"securityContext":{` + s + `}` }
	return []end{
		{"exit", "echo bye; exit 3", "", "", "Error 3", "bye", ""},
		{"done", "echo bye", "", "", "Completed 0", "bye", ""},
		{"memory", "x=0123456789abcdef; while :; do x=$x$x; done", "", `,"resources":{"limits":{"memory":"48Mi"}}`, "OOMKilled 137", "", ""},
		{"limits", memoryLimit + "; " + cpuQuota, "", `,"resources":{"limits":{"memory":"48Mi","cpu":"500m"}}`, "Completed 0", "50331648\n50000", ""},
		{"user", "id -u; id -g; touch /x 2>/dev/null || echo no", security(`"runAsUser":1000,"runAsGroup":2000`),
			security(`"readOnlyRootFilesystem":true,"capabilities":{"drop":["ALL"]},"allowPrivilegeEscalation":false`), "Completed 0", "1000\n2000\nno", ""},
		{"groups", "id -G; touch /v/x && stat -c %g /v/x", security(`"runAsUser":1000,"runAsGroup":1000,"fsGroup":2000,"supplementalGroups":[3000]`) + scratch, mount(""),
			"Completed 0", "1000 2000 3000\n2000", ""},
		{"capability", "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu", "", security(`"capabilities":{"add":["NET_ADMIN"]}`), "Completed 0", "1400", ""},
		{"capabilities", "grep Cap /proc/self/status", "", security(`"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}`), "Completed 0",
			"CapInh:\t0000000000000000\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t0000000000000000", ""},
		{"escalation", "grep NoNewPrivs /proc/self/status | cut -f2", "", security(`"allowPrivilegeEscalation":false`), "Completed 0", "1", ""},
		{"privileged", "mkdir /m && mount -t tmpfs tmpfs /m && echo mounted", "", security(`"privileged":true`), "Completed 0", "mounted", ""},
		{"seccomp", "grep Seccomp: /proc/self/status | cut -f2; unshare -U true 2>/dev/null || echo no", "", "", "Completed 0", "2\nno", ""},
		{"unconfined", "grep Seccomp: /proc/self/status | cut -f2", security(`"seccompProfile":{"type":"Unconfined"}`), "", "Completed 0", "0", ""},
		{"profile", "mkdir /tmp/d 2>/dev/null || echo no", "", security(`"seccompProfile":{"type":"Localhost","localhostProfile":"no-mkdir.json"}`), "Completed 0", "no", ""},
		{"masked", "cat /proc/interrupts /proc/keys 2>/dev/null | wc -c; ls /sys/firmware | wc -l; (echo 1 > /proc/sys/kernel/msgmax) 2>/dev/null || echo no", "", "", "Completed 0", "0\n0\nno", ""},
		{"message", "echo because > /dev/termination-log; exit 1", "", "", "Error 1", "", "because"},
		{"fallback", "echo so; exit 1", "", `,"terminationMessagePolicy":"FallbackToLogsOnError"`, "Error 1", "so", "so"},
		{"processes", "sleep 1; ps | grep -c '[s]leep 1000000'", `,"shareProcessNamespace":true`, "", "Completed 0", "1", ""},
		{"users", "id -u; test $(awk '{print $2}' /proc/self/uid_map) -gt 0 && echo shifted; touch /v/x && stat -c %u /v/x", `,"hostUsers":false` + scratch, mount(""), "Completed 0", "0\nshifted\n0", ""},
		{"sysctl", "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start", security(`"sysctls":[{"name":"kernel.msgmax","value":"54321"}]`), "", "Completed 0", "54321\n0", ""},
		{"host", "wget -qO- http://" + host + "; ip -o addr show dev " + bridge + " | grep -c " + gateway + "/", `,"hostNetwork":true`, "", "Completed 0", "from the host\n1", ""},
		{"names", "hostname; grep -c \"^$IP.names\" /etc/hosts; grep -c cluster.local /etc/resolv.conf", "",
			`,"env":[{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}]`, "Completed 0", "names\n1\n1", ""},
		{"hook", "while ! test -e /tmp/p; do sleep 0.1; done; echo hooked", "", `,"lifecycle":{"postStart":{"exec":{"command":["touch","/tmp/p"]}}}`, "Completed 0", "hooked", ""},
		{"subpath", "touch /v/x && ls /v", scratch, mount(`,"subPath":"a/b"`), "Completed 0", "x", ""},
	}
}

// TestEnds has pods that run to their end with runc, which is the oracle, and with runsc.
func TestEnds(t *testing.T) {
	class(t)
	profiles := filepath.Join(lab.dir, "kubelet/seccomp")
	if err := os.MkdirAll(profiles, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profiles, "no-mkdir.json"), []byte(noMkdir), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the host\n") }))
	for _, runtime := range []string{"runc", "runsc", "runsc-sandbox"} {
		t.Run(runtime, func(t *testing.T) {
			all := ends(l.Addr().String())
			var made strings.Builder
			for _, c := range all {
				if !c.skipped(runtime) {
					made.WriteString(c.manifest(runtime) + "\n---\n")
				}
			}
			t.Cleanup(func() { must(t, "", "delete", "pods", "--all", "--grace-period=1", "--timeout=60s") })
			must(t, made.String(), "create", "-f", "-")
			for _, c := range all {
				if !c.skipped(runtime) {
					c.check(t)
				}
			}
		})
	}
}

// skipped tells of what the runc of Debian 12 cannot do, of a pod that containerd 2.2.9 dies of when a shim makes its
// sandbox, and of one that looks for the process of an image which such a sandbox does not have.
func (c *end) skipped(runtime string) bool {
	return runtime == "runc" && c.name == "users" || runtime == "runsc-sandbox" && (c.name == "host" || c.name == "processes")
}

func (c *end) manifest(runtime string) string {
	class := fmt.Sprintf(`"runtimeClassName":%q,`, runtime)
	if runtime == "runc" {
		class = ""
	}
	return strings.Replace(pod(c.name, c.script, c.spec, c.container), `"runtimeClassName":"runsc",`, class, 1)
}

// check waits for the end.
func (c *end) check(t *testing.T) {
	t.Helper()
	const state = ".status.containerStatuses[0].state.terminated"
	await(t, c.reason, "get", "pod", c.name, "-o", "jsonpath={"+state+".reason} {"+state+".exitCode}")
	if got := must(t, "", "logs", c.name); got != c.log {
		t.Errorf("%s: the log has %q, not %q", c.name, got, c.log)
	}
	if got := must(t, "", "get", "pod", c.name, "-o", "jsonpath={"+state+".message}"); got != c.message {
		t.Errorf("%s: termination message %q, not %q", c.name, got, c.message)
	}
}
