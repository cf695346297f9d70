package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// forkUntilRefused starts processes until the shell is refused one, and then says that it is still there. The shell
// itself ends with an error when it cannot fork, so it is a child that tries.
var forkUntilRefused = []string{"sh", "-c", "sh -c 'i=0; while [ $i -lt 2000 ]; do sleep 100 & i=$((i+1)); done'; kill -9 -1; echo alive"}

// TestThreadsRefused has the host refuse threads: by a pids cgroup above the container's, and by RLIMIT_NPROC.
// Applications are refused processes, and the sandbox goes on.
func TestThreadsRefused(t *testing.T) {
	check := func(t *testing.T, r result) {
		if r.code != 0 || !strings.HasSuffix(r.out, "alive\n") || !strings.Contains(r.errout, "can't fork") {
			t.Errorf("exit code %d, %q, %.300q", r.code, r.out, r.errout)
		}
	}
	for _, platform := range []string{"ptrace", "systrap"} {
		t.Run("cgroup/"+platform, func(t *testing.T) {
			e := newEnv(t)
			id := e.id()
			outer := "rf-cli-pids-" + id
			dir := "/sys/fs/cgroup/pids/" + outer
			if _, err := os.Stat("/sys/fs/cgroup/pids"); err != nil {
				dir = "/sys/fs/cgroup/" + outer
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Skip("needs a pids cgroup: ", err)
			}
			t.Cleanup(func() {
				// Other controllers of cgroup v1 have got the directory too.
				dirs, _ := filepath.Glob("/sys/fs/cgroup/*/" + outer)
				for _, d := range append(dirs, dir) {
					os.Remove(d)
				}
			})
			if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte("200"), 0); err != nil {
				t.Skip("needs a pids cgroup: ", err)
			}
			check(t, e.runsc("--platform", platform, "run", "--bundle", e.bundle(forkUntilRefused, func(s *specs.Spec) {
				s.Linux.CgroupsPath = "/" + outer + "/" + id
			}), id))
		})
		t.Run("rlimit/"+platform, func(t *testing.T) {
			e := newEnv(t)
			cmd := e.command("--platform", platform, "run", "--bundle", e.bundle(forkUntilRefused), e.id())
			cmd.Path, cmd.Args = "/usr/bin/prlimit", append([]string{"prlimit", "--nproc=200:200"}, cmd.Args...)
			check(t, e.finish(cmd))
		})
	}
}
