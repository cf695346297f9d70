package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"ringfort/test/netns"
)

// host runs a command of the host that has to succeed.
func (e *env) host(args ...string) string {
	e.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		e.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// netns makes a network namespace of a name; it goes at the end of the test.
func (e *env) netns(name string) string {
	e.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		e.Skip("needs iproute2")
	}
	name = fmt.Sprintf("rfcli%d%s", os.Getpid()%100000, name)
	netns.New(e, name)
	return name
}

// The near end of the cable is in a namespace of the test, the far end is given to a container.
const (
	nearAddr = "10.79.0.1"
	farAddr  = "10.79.0.2"
)

// cable returns the script that lays a cable from near to the namespace of a process.
func cable(near, far string) string {
	return fmt.Sprintf(`ip -n %[1]s link add host0 type veth peer name eth0 netns %[2]s && ip -n %[1]s addr add %[3]s/24 dev host0 && ip -n %[1]s link set host0 up`,
		near, far, nearAddr)
}

// answers reports whether the far end answers.
func answers(near string) bool {
	return exec.Command("ip", "netns", "exec", near, "/bin/busybox", "ping", "-c1", "-W5", farAddr).Run() == nil
}

func (e *env) pid(id string) string {
	var st struct{ Pid int }
	if err := json.Unmarshal([]byte(e.must("state", id)), &st); err != nil || st.Pid == 0 {
		e.Fatal(err, st)
	}
	return fmt.Sprint(st.Pid)
}

func inNet(path string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = path
			}
		}
	}
}

// TestJoinedNetwork runs two containers in turn, and then side by side in one sandbox, in a namespace that outlives them.
// As long as one has the links the host's stack is silent; afterwards it has them back as they were.
func TestJoinedNetwork(t *testing.T) {
	e := newEnv(t)
	near, far := e.netns("n"), e.netns("f")
	e.host("sh", "-ec", cable(near, far)+fmt.Sprintf(" && ip -n %[1]s addr add %[2]s/24 dev eth0 && ip -n %[1]s link set eth0 up && ip -n %[1]s link set lo up", far, farAddr))
	join := inNet("/run/netns/" + far)
	qdisc := func() string { return e.host("tc", "-n", far, "qdisc", "show", "dev", "eth0") }
	before := qdisc()
	if !answers(near) {
		t.Fatal("the host's own stack does not answer")
	}
	for range 2 {
		id := e.id()
		e.must("create", "--bundle", e.bundle([]string{"sleep", "100"}, join), id)
		e.must("start", id)
		if !answers(near) {
			t.Error("the sandbox does not answer")
		}
		if !strings.Contains(qdisc(), "clsact") {
			t.Errorf("the host's stack was not silenced: %s", qdisc())
		}
		e.must("delete", "--force", id)
		if now := qdisc(); now != before {
			t.Errorf("left on the link: %q, before %q", now, before)
		}
		if !answers(near) {
			t.Error("the host's own stack does not answer any more")
		}
	}
	first, second := e.id(), e.id()
	e.must("create", "--bundle", e.bundle([]string{"sleep", "100"}, join), first)
	e.must("create", "--bundle", e.bundle([]string{"sleep", "100"}, join), second)
	e.must("delete", "--force", second)
	if !strings.Contains(qdisc(), "clsact") {
		t.Error("the links were given back while a container has them")
	}
	e.must("delete", "--force", first)
	if now := qdisc(); now != before {
		t.Errorf("left on the link: %q, before %q", now, before)
	}
	failed := e.id()
	if r := e.runsc("create", "--bundle", e.bundle([]string{"/no/such/program"}, join), failed); r.code == 0 {
		t.Error("a program that is not there was started")
	}
	if now := qdisc(); now != before {
		t.Errorf("left on the link by a creation that failed: %q, before %q", now, before)
	}
}

// TestNetworkOfEngine lays the cable when engines do: docker in a prestart hook, others between create and start.
func TestNetworkOfEngine(t *testing.T) {
	up := fmt.Sprintf(` && nsenter --net=/proc/$pid/ns/net sh -ec 'ip addr add %s/24 dev eth0; ip link set eth0 up'`, farAddr)
	see := []string{"sh", "-c", "cat /proc/net/route; echo; cat /proc/net/dev; sleep 100"}
	t.Run("prestart", func(t *testing.T) {
		e := newEnv(t)
		near := e.netns("n")
		hook := specs.Hook{
			Path: "/bin/sh", Args: []string{"sh", "-ec", `pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/'); ` + cable(near, "$pid") + up},
			Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		}
		id := e.id()
		e.must("create", "--bundle", e.bundle(see, func(s *specs.Spec) {
			//lint:ignore SA1019 docker sets up the network in such a hook
			s.Hooks = &specs.Hooks{Prestart: []specs.Hook{hook}}
		}), id)
		e.must("start", id)
		if !answers(near) {
			t.Error("the sandbox does not answer")
		}
	})
	t.Run("between", func(t *testing.T) {
		e := newEnv(t)
		near := e.netns("n")
		id := e.id()
		e.must("create", "--bundle", e.bundle(see, func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{
				"net.ipv4.ip_unprivileged_port_start": "7", "net.ipv4.ping_group_range": "0 2147483647", "kernel.shmmax": "123456", "fs.mqueue.msg_max": "11",
			}
		}), id)
		e.host("sh", "-ec", "pid="+e.pid(id)+"; "+cable(near, "$pid")+up)
		e.must("start", id)
		if !answers(near) {
			t.Error("the sandbox does not answer")
		}
		r := e.runsc("exec", id, "cat", "/proc/net/dev", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/shmmax", "/proc/sys/fs/mqueue/msg_max")
		if !strings.Contains(r.out, "eth0:") || !strings.HasSuffix(r.out, "\n7\n123456\n11\n") {
			t.Errorf("inside: %+v", r)
		}
		if r := e.runsc("exec", id, "ls", "/sys/class/net"); !strings.Contains(r.out, "eth0") {
			t.Errorf("/sys/class/net: %+v", r)
		}
	})
}
