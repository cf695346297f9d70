package podman

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/test/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.Cleanup()
	os.Exit(code)
}

// steps run one after the other; want is a regular expression of the whole output. p is podman with the runtime.
var steps = []struct{ name, script, want string }{
	{"run", `p run --rm lab/bb:1 sh -c 'uname -v; exit 3'; echo $?`, "#1 SMP Ringfort\n3\n"},
	{"failing start", `p run --rm lab/bb:1 nope; echo $?`, "Error:[^\n]*exec: .nope.: executable file not found[^\n]*\n127\n"},
	{"network", `p run --rm --cap-add NET_RAW lab/bb:1 sh -c 'ip -4 addr show eth0 | grep -c "inet 10.88"; ping -c 1 -W 2 10.88.0.1 | grep -o "1 packets received"'`, "1\n1 packets received\n"},
	{"publish", `p run -d --name web -p 127.0.0.1:18444:80 lab/bb:1 sh -c 'mkdir /w; echo page >/w/index.html; echo ready; exec httpd -f -h /w' >/dev/null
for i in $(seq 100); do p logs web | grep -q ready && break; sleep 0.1; done; sleep 0.2; busybox wget -qO- http://127.0.0.1:18444/`, "page\n"},
	{"exec", `p exec web echo hi; echo data | p exec -i web cat; p exec -u 1 web id -u; p exec web sh -c 'exit 7'; echo $?`, "hi\ndata\n1\n7\n"},
	{"inspect", `p ps --format '{{.Names}}'; p inspect -f '{{.State.Status}} {{.OCIRuntime}}' web | sed 's,/.*/,,'; p stats --no-stream --format '{{.Name}}' web`, "web\nrunning runsc\\S*\nweb\n"},
	{"pause", `p pause web; p inspect -f '{{.State.Status}}' web; p unpause web; p exec web echo on`, "web\npaused\nweb\non\n"},
	{"stop", `p stop -t 1 web 2>/dev/null; p inspect -f '{{.State.ExitCode}}' web; p diff web | grep index; p commit -q web lab/kept:1 >/dev/null; p run --rm lab/kept:1 cat /w/index.html; p rm web; p rmi lab/kept:1 >/dev/null`, "web\n137\nA /w/index.html\npage\nweb\n"},
	{"terminal", `pty "podman $OPTIONS run --rm -it lab/bb:1 sh -c 'tty; exit 4'"; echo $?`, "/dev/pts/0\n4\n"},
	{"limits", `p run --rm --memory 64m --cpus 0.5 --pids-limit 9 lab/bb:1 sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max'`, "67108864\n50000\n9\n"},
	{"settings", `mkdir v; echo f >v/f; p run --rm --hostname h --add-host x:1.2.3.4 --dns 9.9.9.9 --ulimit nofile=100 --cap-drop all --security-opt no-new-privileges --shm-size 1m --tmpfs /t --read-only --init -v $PWD/v:/v:ro lab/bb:1 sh -c '
exec 2>&1; hostname; grep -c 1.2.3.4 /etc/hosts; cat /etc/resolv.conf; ulimit -n; stat -f -c %b /dev/shm; grep CapEff /proc/self/status; cat /v/f; echo >/v/g; echo >/x; ps -o args | sed -n 2p'`,
		"h\n1\nnameserver 9.9.9.9\n100\n256\nCapEff:.0000000000000000\nf\n[^\n]*Read-only[^\n]*\n[^\n]*Read-only[^\n]*\n/run/podman-init[^\n]*\n"},
	{"pod", `p pod create --name pod >/dev/null; p run -d --pod pod --name in lab/bb:1 sh -c 'mkdir /w; echo inpod >/w/index.html; exec httpd -f -h /w' >/dev/null; sleep 1; p run --rm --pod pod lab/bb:1 wget -qO- http://127.0.0.1/; p pod rm -f -t 0 pod >/dev/null; p ps -aq | wc -l`, "inpod\n0\n"},
	{"systemd", `p run --rm --systemd=always lab/bb:1 sh -c 'echo $container; mount | grep -c "tmpfs on /run "; ls -d /sys/fs/cgroup/systemd; kill -l RTMIN+3 2>&1 | head -1'; p create -q --name sd --systemd=always lab/bb:1 sh -c 'trap "exit 9" 37; while :; do sleep 0.1; done' >/dev/null; p start sd >/dev/null; sleep 0.5; p stop -t 5 sd >/dev/null; p inspect -f '{{.State.ExitCode}}' sd; p rm sd`, "podman\n1\n/sys/fs/cgroup/systemd\n.*9\nsd\n"},
	{"cp", `mkdir vol; for o in "" --pid=host; do p run -d $o -v $PWD/vol:/v -v $PWD/vol:/ro:ro --name c lab/bb:1 sh -c 'trap "exit 7" TERM; echo here >/tmp/out; while :; do sleep 0.1; done' >/dev/null
n=zz-podman-cp-$$; echo in >$n; p cp $n c:/tmp/$n; ls /tmp/$n 2>&1 | grep -c "No such"; p exec c cat /tmp/$n; p cp c:/tmp/out got; cat got; p cp $n c:/v/new; cat vol/new; p exec c cat /v/new; p cp $n c:/ro/not 2>&1 | grep -o "read-only file system" | head -1; p cp $n c:/dev/shm/ 2>&1 | grep -c Error
p exec c sh -c 'echo more >>/tmp/'$n; p cp c:/tmp/$n - | tar xO; p stop -t 5 c >/dev/null; p inspect -f '{{.State.ExitCode}}' c; p rm c; rm -f $n /tmp/$n got vol/new; done`, "(1\nin\nhere\nin\nin\nread-only file system\n1\nin\nmore\n7\nc\n){2}"},
	{"cp pod", `p pod create --name cpod >/dev/null; p run -d --pod cpod --name c lab/bb:1 sleep 1000 >/dev/null; n=zz-podman-cp-$$; echo in >$n; p cp $n c:/tmp/$n; ls /tmp/$n 2>&1 | grep -c "No such"; rm -f /tmp/$n; p exec c cat /tmp/$n; p kill -s KILL c; p wait c; p pod rm -f -t 0 cpod >/dev/null; rm $n`, "1\nin\nc\n137\n"},
	{"network none", `p run --rm --network none lab/bb:1 ls /sys/class/net`, "lo\n"},
	{"volume", `p volume create vol >/dev/null; p run --rm -v vol:/d lab/bb:1 sh -c 'echo kept >/d/f'; p run --rm -v vol:/d lab/bb:1 cat /d/f; p volume rm vol`, "kept\nvol\n"},
}

// prelude is what steps begin with. pty runs a command in a terminal; at the end of its own input script(1) types a NUL there,
// which whoever has the terminal at that time shows, or not.
const prelude = `exec 2>&1
p() { podman $OPTIONS "$@"; }
pty() { script -qec "$1" /dev/null | tr -d '\000\r' | sed 's,\^@,,g'; return ${PIPESTATUS[0]}; }
`

// limit ends a step that hangs.
const limit = time.Minute

func TestPodman(t *testing.T) {
	if _, err := exec.LookPath("podman"); err != nil {
		t.Fatalf("%v: run `test/install.sh engines` once", err)
	}
	dir := t.TempDir()
	options := "--root " + dir + "/root --runroot " + dir + "/run --tmpdir " + dir + "/tmp --cgroup-manager cgroupfs --storage-driver overlay --runtime " + harness.Runsc(t)
	env := append(os.Environ(), "OPTIONS="+options, "LC_ALL=C", "PATH=/usr/bin:/usr/sbin:/bin:/sbin")
	// One shell in namespaces of its own holds them for all steps.
	holder := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", "ip link set lo up; echo; exec sleep 1000")
	holder.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	ready, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ready.Read(make([]byte, 1))
	step := func(script string) string {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(holder.Process.Pid), "--net", "--mount", "--wd="+dir, "--",
			"bash", "-c", prelude+script)
		cmd.Env = env
		cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		cmd.WaitDelay = time.Second
		out, _ := cmd.CombinedOutput()
		if ctx.Err() != nil {
			t.Errorf("not done after %s", limit)
		}
		return string(out)
	}
	t.Cleanup(func() {
		if out := step("p rm -af -t 0 >/dev/null; p pod rm -af >/dev/null; umount " + dir + "/root/overlay 2>/dev/null; true"); out != "" {
			t.Log(out)
		}
		holder.Process.Kill()
		holder.Wait()
		removeCgroups(t)
	})
	if out := step(image); !strings.HasPrefix(out, "ok") {
		t.Fatal(out)
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if got := step(s.script); !regexp.MustCompile(`(?s)^` + s.want + `$`).MatchString(got) {
				t.Errorf("want %s, got\n%s", s.want, got)
			}
		})
	}
}

// image makes lab/bb:1.
const image = `mkdir -p bb/bin bb/etc bb/tmp bb/root; chmod 1777 bb/tmp; cp /bin/busybox bb/bin/
for a in $(/bin/busybox --list); do [ -e bb/bin/$a ] || ln -s busybox bb/bin/$a; done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\n' >bb/etc/passwd; printf 'root:x:0:\ndaemon:x:1:\n' >bb/etc/group
tar -C bb -c . | p import -c CMD=/bin/sh - lab/bb:1 >/dev/null 2>import.log && echo ok || cat import.log`

// removeCgroups takes away the cgroup that podman leaves, and those in it, deepest first.
func removeCgroups(t *testing.T) {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/libpod_parent")
	for _, top := range tops {
		var dirs []string
		filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		}
	}
}
