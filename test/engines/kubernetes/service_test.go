package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nameServer runs CoreDNS in a sandbox, behind the address that kubelet writes into every pod's resolv.conf. It watches
// the API server through the Service of it.
const nameServer = `apiVersion: v1
kind: ConfigMap
metadata: {name: coredns}
data:
  Corefile: |
    .:53 {
      errors
      ready
      kubernetes cluster.local {
        kubeconfig /etc/coredns/kubeconfig
      }
    }
  kubeconfig: |
    apiVersion: v1
    kind: Config
    clusters: [{name: lab, cluster: {server: "https://kubernetes-address", insecure-skip-tls-verify: true}}]
    users: [{name: lab, user: {token: lab}}]
    contexts: [{name: lab, context: {cluster: lab, user: lab}}]
    current-context: lab
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns}
spec:
  clusterIP: NAMESERVER
  selector: {app: dns}
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: v1
kind: Pod
metadata: {name: dns, labels: {app: dns}}
spec:
  runtimeClassName: runsc
  dnsPolicy: Default
  containers:
    - name: dns
      image: busybox:1.36
      imagePullPolicy: IfNotPresent
      command: ["/coredns", "-conf", "/etc/coredns/Corefile"]
      readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
      volumeMounts: [{name: conf, mountPath: /etc/coredns}, {name: program, mountPath: /coredns}]
  volumes:
    - {name: conf, configMap: {name: coredns}}
    - {name: program, hostPath: {path: PROGRAM, type: File}}
`

// servers is where test/install.sh puts a Debian root.
func servers() string {
	if d := os.Getenv("RINGFORT_ENGINES_ROOTFS"); d != "" {
		return d
	}
	return "/var/cache/ringfort/engines12"
}

// TestService has pods reach a Service by its address and by its names, over TCP and UDP, on both sides of the sandbox.
func TestService(t *testing.T) {
	class(t)
	must(t, "", "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	api := must(t, "", "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	must(t, strings.NewReplacer("kubernetes-address", api, "PROGRAM", filepath.Join(tools(), "bin", "coredns"), "NAMESERVER", clusterDNS).Replace(nameServer), "apply", "-f", "-")
	must(t, "", "wait", "--for=condition=Ready", "pod/dns", "--timeout=90s")
	address := must(t, "", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	// The resolver of glibc, by /etc/resolv.conf; that of a static busybox does not look for names.
	libraries := fmt.Sprintf(`,"volumes":[{"name":"usr","hostPath":{"path":%q}}]`, filepath.Join(servers(), "usr"))
	mounts := `,"volumeMounts":[{"name":"usr","mountPath":"/usr","readOnly":true},{"name":"usr","mountPath":"/lib64","subPath":"lib64","readOnly":true},{"name":"usr","mountPath":"/lib","subPath":"lib","readOnly":true}]`
	must(t, pod("client", "sleep 1000", libraries, mounts), "apply", "-f", "-")
	must(t, "", "wait", "--for=condition=Ready", "pod/client", "--timeout=90s")
	fetch := func(want, script string) {
		t.Helper()
		out, err := "", error(nil)
		for range 40 { // until the proxy knows of the pod
			if out, err = lab.kubectl("", "exec", "client", "--", "sh", "-c", script); err == nil && strings.Contains(out, want) {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		t.Errorf("%s: %q, %v", script, out, err)
	}
	const page = "hello from a sandbox"
	fetch(page, "wget -qO- http://"+address+"/index.html")
	fetch(address, "nslookup -type=a web.default.svc.cluster.local")
	for _, name := range []string{"web", "web.default", "web.default.svc.cluster.local"} {
		fetch(page, "wget -qO- http://$(/usr/bin/getent ahostsv4 "+name+" | head -n1 | cut -d' ' -f1)/index.html")
	}
	fetch("not there", "/usr/bin/getent ahostsv4 nobody || echo not there")
	if got := get(t, "http://"+address+"/index.html"); got != page+"\n" {
		t.Errorf("from the host the service says %q", got)
	}
	// The pod behind a service reaches it too, which is itself.
	if got := must(t, "", "exec", "web", "-c", "server", "--", "wget", "-qO-", "http://"+address+"/index.html"); got != page {
		t.Errorf("the pod behind the service hears %q", got)
	}
	// Without a pod behind it a service refuses.
	must(t, "", "delete", "pod", "web", "--grace-period=1", "--timeout=60s")
	fetch("refused", fmt.Sprintf("wget -qO- http://%s/index.html 2>&1 || true", address))
	must(t, "", "delete", "pods", "--all", "--grace-period=1", "--timeout=60s")
	must(t, "", "delete", "service", "kube-dns")
}
