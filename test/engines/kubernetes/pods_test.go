package kubernetes

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// must runs kubectl and fails the test unless it succeeds.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := lab.kubectl(stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// await asks for a field until it is want; the limit is for a hung pod, not a measure.
func await(t *testing.T, want string, args ...string) {
	t.Helper()
	out := ""
	for range 450 {
		out, _ = lab.kubectl("", args...)
		if strings.TrimSpace(out) == want {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	about, _ := lab.kubectl("", "describe", "pods")
	t.Fatalf("kubectl %s says %q, not %q\n%s", strings.Join(args, " "), out, want, about)
}

// manifests are those that the documentation has.
func manifests(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		all = append(all, block[:strings.Index(block, "```")])
	}
	if len(all) < 2 {
		t.Fatalf("docs/kubernetes.md has %d manifests", len(all))
	}
	return strings.Join(all, "---\n")
}

// class makes sure that the runtime class is there, and one like it whose sandboxes the shim makes.
func class(t *testing.T) {
	t.Helper()
	other := strings.NewReplacer("name: runsc", "name: runsc-sandbox", "handler: runsc", "handler: runsc-sandbox").Replace(manifestOf(t, "RuntimeClass"))
	must(t, manifests(t)+"---\n"+other, "apply", "-f", "-")
}

// TestDocumentation applies what docs/kubernetes.md has and uses the pod as people do.
func TestDocumentation(t *testing.T) {
	class(t)
	must(t, "", "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	if got := must(t, "", "exec", "web", "-c", "server", "--", "sh", "-c", "cat /www/index.html; cat /proc/version | cut -d' ' -f1,2"); !strings.HasPrefix(got, "hello from a sandbox\nLinux version") {
		t.Errorf("exec says %q", got)
	}
	if got := must(t, "", "logs", "web", "-c", "writer"); !strings.Contains(got, "cached") {
		t.Errorf("logs says %q", got)
	}
	ip := must(t, "", "get", "pod", "web", "-o", "jsonpath={.status.podIP}")
	if got := get(t, "http://"+ip+"/index.html"); got != "hello from a sandbox\n" {
		t.Errorf("from the host the pod says %q", got)
	}
	await(t, ip, "get", "endpoints", "web", "-o", "jsonpath={.subsets[0].addresses[0].ip}")
	if got := must(t, "", "exec", "web", "-c", "server", "--", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"); got != "80" {
		t.Errorf("sysctl is %q", got)
	}
	forwarded(t, "pod/web", 80, "hello from a sandbox\n")
	// The limits are on the host's cgroups: of the pod with its overhead, and of each container.
	uid := must(t, "", "get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
	id := strings.TrimPrefix(must(t, "", "get", "pod", "web", "-o", `jsonpath={.status.containerStatuses[?(@.name=="server")].containerID}`), "containerd://")
	pod := group(t, "pod"+uid, "memory.limit_in_bytes", "memory.max")
	if want := fmt.Sprint((64 + 64 + 64) << 20); pod != want {
		t.Errorf("memory of the pod %s, not %s", pod, want)
	}
	if got, want := group(t, "pod"+uid+"/"+id, "memory.limit_in_bytes", "memory.max"), fmt.Sprint(64<<20); got != want {
		t.Errorf("memory of the container %s, not %s", got, want)
	}
	if got := group(t, "pod"+uid+"/"+id, "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(got, "50000") {
		t.Errorf("CPU quota of the container %s, not 50000", got)
	}
	if got := must(t, "", "get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[*].restartCount}"); got != "0 0" {
		t.Errorf("restarts: %s", got)
	}
	must(t, "", "delete", "pod", "web", "--grace-period=1", "--timeout=60s")
}

// get fetches a page.
func get(t *testing.T, url string) string {
	t.Helper()
	// The certificate of kubelet is one of its own making.
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return string(body)
}

// forwarded talks to a pod through kubectl port-forward.
func forwarded(t *testing.T, what string, port int, want string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(filepath.Join(tools(), "bin", "kubectl"), "--kubeconfig="+lab.dir+"/kubeconfig", "port-forward", what, fmt.Sprintf("%d:%d", local, port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	got := ""
	for range 100 {
		if got = get(t, fmt.Sprintf("http://127.0.0.1:%d/index.html", local)); got == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("through port-forward comes %q", got)
}

// group reads a file of a cgroup somewhere below that of the node's pods.
func group(t *testing.T, path, v1, v2 string) string {
	t.Helper()
	for _, pattern := range []string{
		"/sys/fs/cgroup/" + strings.SplitN(v1, ".", 2)[0] + "/kubepods/%s" + path + "/" + v1,
		"/sys/fs/cgroup/kubepods/%s" + path + "/" + v2,
	} {
		for _, class := range []string{"", "burstable/", "besteffort/"} {
			if data, err := os.ReadFile(fmt.Sprintf(pattern, class)); err == nil {
				return strings.TrimSpace(string(data))
			}
		}
	}
	t.Errorf("no cgroup %s", path)
	return ""
}

// pod is a manifest of one container.
func pod(name, script, spec, container string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q},"spec":{"runtimeClassName":"runsc","restartPolicy":"Never"%s,
"containers":[{"name":"c","image":"busybox:1.36","imagePullPolicy":"IfNotPresent","command":["sh","-c",%q]%s}]}}`, name, spec, script, container)
}

// TestProbes has kubelet restart a container whose probe fails, and an ephemeral container look at it.
func TestProbes(t *testing.T) {
	class(t)
	manifest := strings.Replace(pod("sick", "touch /tmp/well; sleep 1000", "", `,"livenessProbe":{"exec":{"command":["test","-e","/tmp/well"]},"periodSeconds":1,"failureThreshold":1}`),
		`"restartPolicy":"Never"`, `"restartPolicy":"Always","terminationGracePeriodSeconds":1`, 1)
	must(t, manifest, "apply", "-f", "-")
	must(t, "", "wait", "--for=condition=Ready", "pod/sick", "--timeout=90s")
	must(t, "", "debug", "sick", "--image=busybox:1.36", "--image-pull-policy=IfNotPresent", "--target=c", "-c", "look", "--", "sh", "-c", "ps | grep '[s]leep 1000$'; sleep 1000")
	for range 300 {
		if out, _ := lab.kubectl("", "logs", "sick", "-c", "look"); strings.Contains(out, "sleep 1000") {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if out := must(t, "", "logs", "sick", "-c", "look"); !strings.Contains(out, "sleep 1000") {
		t.Errorf("the ephemeral container sees %q", out)
	}
	must(t, "", "exec", "sick", "-c", "c", "--", "rm", "/tmp/well")
	await(t, "1", "get", "pod", "sick", "-o", `jsonpath={.status.containerStatuses[?(@.name=="c")].restartCount}`)
	must(t, "", "wait", "--for=condition=Ready", "pod/sick", "--timeout=90s")
	must(t, "", "delete", "pod", "sick", "--grace-period=1", "--timeout=60s")
}

// TestStats has kubelet know what a busy container uses, as the metrics server asks it, and the cAdvisor in it.
func TestStats(t *testing.T) {
	class(t)
	for _, runtime := range []string{"runsc", "runsc-sandbox"} {
		t.Run(runtime, func(t *testing.T) { busy(t, runtime) })
	}
}

// busy runs a container that uses what it can.
func busy(t *testing.T, runtime string) {
	manifest := strings.Replace(pod("busy", "while :; do :; done", "", ""), `"runtimeClassName":"runsc"`, fmt.Sprintf(`"runtimeClassName":%q`, runtime), 1)
	must(t, manifest, "apply", "-f", "-")
	must(t, "", "wait", "--for=condition=Ready", "pod/busy", "--timeout=90s")
	for path, wanted := range map[string][]string{
		"/metrics/resource": {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"},
		"/metrics/cadvisor": {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_network_transmit_bytes_total"},
	} {
		said, missing := "", ""
		for range 200 {
			said, missing = get(t, fmt.Sprintf("https://%s:%d%s", gateway, lab.ports.kubelet, path)), ""
			for _, name := range wanted {
				if strings.Contains(name, "network") && runtime == "runsc-sandbox" {
					continue // cAdvisor takes these from the container of the sandbox, which is none of containerd's then
				}
				if metric(said, name) == 0 {
					missing = name
				}
			}
			if missing == "" {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		if missing != "" {
			t.Errorf("%s: a busy container has no %s:\n%s", path, missing, grep(said, `"busy"`))
		}
	}
	must(t, "", "delete", "pod", "busy", "--grace-period=1", "--timeout=60s")
}

// grep returns the lines of a text that have a word.
func grep(text, word string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return !strings.Contains(l, word) }), "\n")
}

// metric reads the highest value of the busy container, or its pod.
func metric(text, name string) (most float64) {
	for _, line := range strings.Split(text, "\n") {
		if labels, rest, ok := strings.Cut(line, "} "); ok && strings.HasPrefix(line, name+"{") && strings.Contains(labels, `pod="busy"`) {
			v, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			most = max(most, v)
		}
	}
	return most
}
