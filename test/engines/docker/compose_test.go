package docker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCompose brings up a web server, Redis and PostgreSQL, which find each other by name, lets visitors come, stops
// all and finds the visitors' data again.
func TestCompose(t *testing.T) {
	d := theDaemon(t)
	compose := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "docker-compose", append([]string{"--no-ansi"}, args...)...)
		cmd.Dir = "testdata/compose"
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host(), "RUNTIME=runsc", "PORT=18333",
			fmt.Sprintf("COMPOSE_PROJECT_NAME=lab%d", os.Getpid()), "PATH=/usr/bin:/usr/sbin:/bin:/sbin")
		cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("docker-compose %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { compose("down", "--volumes", "--timeout", "3") })
	visit := func(n int) {
		t.Helper()
		want := fmt.Sprintf("redis :%d, postgres %d\n", n, n)
		var got []byte
		for range 100 {
			got, _ = exec.Command("nsenter", "--target", fmt.Sprint(d.pid()), "--net", "--",
				"busybox", "wget", "-qO-", "http://127.0.0.1:18333/").CombinedOutput()
			if string(got) == want {
				return
			}
			if strings.HasPrefix(string(got), "redis") {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("visitor %d: %q, want %q", n, got, want)
	}
	compose("up", "--detach")
	visit(1)
	visit(2)
	compose("stop", "--timeout", "10")
	compose("up", "--detach")
	visit(3)
	if t.Failed() {
		t.Log(compose("logs"))
	}
}
