package cli

import (
	"strings"
	"testing"
	"time"
)

// TestSignalsOfInit checks what pid_namespaces(7) says of the first process of
// a PID namespace: a signal from outside reaches its handler; without one it is
// dropped, but for SIGKILL and SIGSTOP.
func TestSignalsOfInit(t *testing.T) {
	e := newEnv(t)
	start := func(script string) string {
		id := e.id()
		cmd := e.command("create", "--bundle", e.bundle([]string{"sh", "-c", script}), id)
		if r := e.finish(cmd); r.code != 0 {
			t.Fatalf("create: %s", r.errout)
		}
		e.must("start", id)
		e.await(id, "running")
		return id
	}
	proc := func(id, field string) string {
		return strings.TrimSpace(e.must("exec", id, "sh", "-c", "while read a b; do [ $a = "+field+": ] && echo $b; done < /proc/1/status; true"))
	}

	id := start("exec sleep 100")
	for _, sig := range []string{"TERM", "INT", "HUP", "USR1", "ALRM", "SEGV", "TSTP"} {
		e.must("kill", id, sig)
	}
	time.Sleep(200 * time.Millisecond)
	if got := e.status(id); got != "running" {
		t.Errorf("without a handler: %s", got)
	}
	if r := e.runsc("exec", id, "sh", "-c", "kill -9 1; kill -STOP 1; kill -TERM 1"); r.code != 0 {
		t.Errorf("kill from inside: exit code %d, %s", r.code, r.errout)
	}
	if got := proc(id, "State"); !strings.HasPrefix(got, "S") {
		t.Errorf("after SIGSTOP from inside: %s", got)
	}
	e.must("kill", id, "STOP")
	if got := proc(id, "State"); !strings.HasPrefix(got, "T") {
		t.Errorf("after SIGSTOP from outside: %s", got)
	}
	e.must("kill", id, "CONT")
	e.must("kill", id, "KILL")
	e.await(id, "stopped")
	if got := e.must("wait", id); !strings.Contains(got, `"exitStatus": 137`) {
		t.Errorf("wait says %s", got)
	}

	id = start("trap 'exit 7' TERM; while :; do sleep 1; done")
	for proc(id, "SigCgt") == "0000000000000000" {
		time.Sleep(10 * time.Millisecond)
	}
	e.must("kill", id, "TERM")
	e.await(id, "stopped")
	if got := e.must("wait", id); !strings.Contains(got, `"exitStatus": 7`) {
		t.Errorf("wait says %s", got)
	}
}
