package docker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A testCase is a feature of Docker: a script whose output has to be the same with runc and with runsc.
type testCase struct {
	name   string
	script string
	// want is a regular expression that the output of both must match: what runc prints could be wrong as well.
	want string
	// alone says why runc is not run beside it: its output is another there, or there is none.
	alone string
	// lossy says that docker may lose an event that the output tells of (again).
	lossy bool
}

// caseLimit ends a script that hangs.
const caseLimit = 90 * time.Second

// prelude is what scripts begin with. $C is a name for the case's container, which also labels all that is made;
// run and up start one in the foreground or behind; ex runs a command in it; host is a command in the daemon's network namespace.
const prelude = `
set -u
exec 2>&1
run() { docker run --runtime=$RT --rm --label $C "$@"; }
up() { docker run --runtime=$RT -d --label $C --name $C "$@" >/dev/null; }
ex() { docker exec $C "$@"; }
host() { nsenter --target $NS --net -- "$@"; }
pty() { script -qec "$*" /dev/null | tr -d '\000' | sed 's,\^@,,g'; return ${PIPESTATUS[0]}; }
# eventually runs a command until it succeeds, for 20 s.
eventually() { for i in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "never: $*"; }
state() { docker inspect -f "{{.State.$1}}" $C; }
`

// run runs a case with a runtime and returns what it printed.
func (d *daemon) run(t *testing.T, c *testCase, runtime string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%s-%d", c.name, runtime, os.Getpid())
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", prelude+c.script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host(), "RT="+runtime, "C="+name, "D="+dir, fmt.Sprintf("NS=%d", d.pid()),
		"RUNSC="+d.runsc, "LC_ALL=C", "PATH=/usr/bin:/usr/sbin:/bin:/sbin")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	defer d.clean(t, name)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("%s: not done after %s", runtime, caseLimit)
	} else if err != nil {
		out = fmt.Appendf(out, "(%v)\n", err)
	}
	// Names differ between the two, and a terminal's lines end in \r\n. The client tells of a race of its own.
	text := strings.ReplaceAll(strings.ReplaceAll(string(out), name, "NAME"), "\r", "")
	return canceled.ReplaceAllString(text, "")
}

var canceled = regexp.MustCompile(`(?m)^time=.*error waiting for container: context canceled.*\n`)

// clean removes what a case has left.
func (d *daemon) clean(t *testing.T, label string) {
	for _, kind := range []struct{ list, remove string }{
		{"ps -aq --filter label=", "rm -fv"}, {"network ls -q --filter label=", "network rm"},
		{"volume ls -q --filter label=", "volume rm -f"}, {"images -q --filter label=", "rmi -f"},
	} {
		ids, err := d.docker(append(strings.Fields(kind.list[:len(kind.list)-len("label=")]), "label="+label)...)
		if err != nil {
			t.Error(err)
		}
		if list := strings.Fields(ids); len(list) > 0 {
			if _, err := d.docker(append(strings.Fields(kind.remove), list...)...); err != nil {
				t.Error(err)
			}
		}
	}
}

// again returns what a case prints with a runtime: anew if it is not as expected, for the event that says that a container was
// killed for memory can come after that container's end, with any runtime, and is lost then.
func (d *daemon) again(t *testing.T, c *testCase, runtime string, re *regexp.Regexp) (text string) {
	t.Helper()
	for range 3 {
		if text = d.run(t, c, runtime); re.MatchString(text) {
			break
		}
	}
	return text
}

func TestCases(t *testing.T) {
	d := theDaemon(t)
	seen := map[string]bool{}
	for i := range cases {
		c := &cases[i]
		if seen[c.name] {
			t.Fatalf("two cases %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			re := regexp.MustCompile(`(?s)^` + c.want + `$`)
			var got string
			if c.lossy {
				got = d.again(t, c, "runsc", re)
			} else {
				got = d.run(t, c, "runsc")
			}
			want := got
			if c.alone == "" {
				want = d.again(t, c, "runc", re)
			}
			if c.alone == "" && !re.MatchString(want) {
				t.Errorf("the case is wrong: with runc, want %s, got\n%s", c.want, want)
			}
			if got != want {
				t.Errorf("runc:\n%s\nrunsc:\n%s", want, got)
			} else if !re.MatchString(got) {
				t.Errorf("want %s, got\n%s", c.want, got)
			}
		})
	}
	if len(cases) < 58 {
		t.Errorf("%d cases, want at least 58", len(cases))
	}
}
