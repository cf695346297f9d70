package kubernetes

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestInit has init containers decide about a pod: one that fails, and one that stays beside the others.
func TestInit(t *testing.T) {
	class(t)
	one := func(name, script, more string) string {
		return fmt.Sprintf(`{"name":%q,"image":"busybox:1.36","imagePullPolicy":"IfNotPresent","command":["sh","-c",%q]%s}`, name, script, more)
	}
	must(t, pod("fails", "echo never", `,"initContainers":[`+one("i", "exit 4", "")+`]`, ""), "apply", "-f", "-")
	stays := `,"initContainers":[` + one("first", "echo first > /v/x", fmt.Sprintf(scratchMount, "")) + "," +
		one("beside", "cat /v/x; echo ready > /v/y; trap 'exit 0' TERM; while :; do sleep 0.1; done", `,"restartPolicy":"Always","startupProbe":{"exec":{"command":["test","-e","/v/y"]},"periodSeconds":1}`+fmt.Sprintf(scratchMount, "")) + "]" + scratch
	must(t, pod("stays", "cat /v/y", stays, fmt.Sprintf(scratchMount, "")), "apply", "-f", "-")
	await(t, "Failed 4", "get", "pod", "fails", "-o", "jsonpath={.status.phase} {.status.initContainerStatuses[0].state.terminated.exitCode}")
	await(t, "Succeeded", "get", "pod", "stays", "-o", "jsonpath={.status.phase}")
	for container, want := range map[string]string{"beside": "first", "c": "ready"} {
		if got := must(t, "", "logs", "stays", "-c", container); got != want {
			t.Errorf("the log of %s has %q, not %q", container, got, want)
		}
	}
	must(t, "", "delete", "pods", "--all", "--grace-period=1", "--timeout=60s")
}

// TestLive has what people do with a pod that runs: attach, copy files, look at the log of a container that has ended,
// change what it mounts, reach it by a port of the host.
func TestLive(t *testing.T) {
	class(t)
	l, err := net.Listen("tcp", gateway+":0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	must(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"key":"old"}}`, "apply", "-f", "-")
	defer must(t, "", "delete", "configmap", "settings")
	script := "echo begun; httpd -p 80 -h /conf; while read x; do echo got $x; done"
	manifest := pod("live", script, `,"volumes":[{"name":"conf","configMap":{"name":"settings"}}]`,
		fmt.Sprintf(`,"stdin":true,"ports":[{"containerPort":80,"hostPort":%d}],"volumeMounts":[{"name":"conf","mountPath":"/conf"}]`, port))
	must(t, strings.Replace(manifest, `"restartPolicy":"Never"`, `"restartPolicy":"Always"`, 1), "apply", "-f", "-")
	must(t, "", "wait", "--for=condition=Ready", "pod/live", "--timeout=90s")
	if got := get(t, fmt.Sprintf("http://%s:%d/key", gateway, port)); got != "old" {
		t.Errorf("by the port of the host comes %q", got)
	}
	must(t, "some words\n", "attach", "-i", "live")
	await(t, "begun\ngot some words", "logs", "live")
	if got := must(t, "in and out", "exec", "-i", "live", "--", "cat"); got != "in and out" {
		t.Errorf("cat says %q", got)
	}
	if out, err := lab.kubectl("", "exec", "live", "--", "sh", "-c", "exit 7"); err == nil || !strings.Contains(err.Error(), "exit code 7") {
		t.Errorf("exec of what fails: %q, %v", out, err)
	}
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	if err := os.WriteFile(filepath.Join(dir, "to"), []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "", "cp", filepath.Join(dir, "to"), "live:/tmp/there")
	must(t, "", "cp", "live:/tmp/there", filepath.Join(dir, "back"))
	if got, err := os.ReadFile(filepath.Join(dir, "back")); string(got) != big {
		t.Errorf("back come %d bytes, %v", len(got), err)
	}
	must(t, "", "patch", "configmap", "settings", "-p", `{"data":{"key":"new"}}`)
	await(t, "new", "exec", "live", "--", "cat", "/conf/key")
	must(t, "", "delete", "pod", "live", "--grace-period=1", "--timeout=60s")
}

// TestRestarts has a container that ends again and again: its log of before is there, and kubelet waits longer each time.
func TestRestarts(t *testing.T) {
	class(t)
	manifest := strings.Replace(pod("again", "echo run $(cat /v/n 2>/dev/null); echo x >> /v/n; test $(wc -l < /v/n) -gt 1 && sleep 1000; exit 5", scratch, fmt.Sprintf(scratchMount, "")),
		`"restartPolicy":"Never"`, `"restartPolicy":"Always"`, 1)
	must(t, manifest, "apply", "-f", "-")
	await(t, "1 5", "get", "pod", "again", "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}")
	must(t, "", "wait", "--for=condition=Ready", "pod/again", "--timeout=90s")
	for what, args := range map[string][]string{"run": {"logs", "again", "--previous"}, "run x": {"logs", "again"}} {
		got := ""
		for range 100 {
			if got = must(t, "", args...); got == what {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got != what {
			t.Errorf("%v: %q, not %q", args, got, what)
		}
	}
	must(t, "", "delete", "pod", "again", "--grace-period=1", "--timeout=60s")
}

// TestTermination has a pod be told of its end, first by its hook and then by a signal, and be waited for.
func TestTermination(t *testing.T) {
	class(t)
	dir := t.TempDir()
	spec := fmt.Sprintf(`,"terminationGracePeriodSeconds":60,"volumes":[{"name":"v","hostPath":{"path":%q}}]`, dir)
	hook := `,"lifecycle":{"preStop":{"exec":{"command":["sh","-c","echo hook >> /v/said"]}}}` + fmt.Sprintf(scratchMount, "")
	must(t, pod("told", "trap 'echo signal >> /v/said; sleep 1; echo end >> /v/said; exit 0' TERM; touch /v/up; while :; do sleep 0.1; done", spec, hook), "apply", "-f", "-")
	must(t, "", "wait", "--for=condition=Ready", "pod/told", "--timeout=90s")
	await(t, "yes", "exec", "told", "--", "sh", "-c", "test -e /v/up && echo yes")
	must(t, "", "delete", "pod", "told", "--timeout=90s")
	if said, err := os.ReadFile(filepath.Join(dir, "said")); string(said) != "hook\nsignal\nend\n" {
		t.Errorf("it has said %q, %v", said, err)
	}
}
