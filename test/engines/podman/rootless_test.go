package podman

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/test/harness"
)

// user is who runs podman: a name and numbers that exist in the test's mount namespace alone.
const user = 54322

// view makes that namespace: a user with subordinate IDs, and a /dev/net/tun that is everybody's, as on most machines.
const view = `set -e
mount --make-rprivate /; mount --make-rshared /
cp /etc/passwd etc.passwd; echo "rfuser:x:$1:$1::$2:/bin/sh" >>etc.passwd; mount --bind etc.passwd /etc/passwd
cp /etc/group etc.group; echo "rfuser:x:$1:" >>etc.group; mount --bind etc.group /etc/group
for f in subuid subgid; do echo "rfuser:300000:65536" >etc.$f; touch /etc/$f; mount --bind etc.$f /etc/$f; done
mkdir -p /dev/net; mknod -m 666 tun c 10 200; touch /dev/net/tun; mount --bind tun /dev/net/tun
ip link set lo up; echo; exec sleep 1000`

// rootlessSteps are as steps, run by an ordinary user.
var rootlessSteps = []struct{ name, script, want string }{
	{"run", `p run --rm lab/bb:1 sh -c 'uname -v; id -u; exit 3'; echo $?`, "#1 SMP Ringfort\n0\n3\n"},
	{"users", `p run --rm --user 5:6 lab/bb:1 sh -c 'id -u; id -g'; p run --rm --userns=keep-id lab/bb:1 id -u; p run --rm --uidmap 0:0:1000 lab/bb:1 sh -c 'wc -l </proc/self/uid_map'`, "5\n6\n54322\n2\n"},
	{"files", `mkdir v; echo f >v/f; p run --rm -v $PWD/v:/v lab/bb:1 sh -c 'cat /v/f; id -u >/v/g; chown 7:8 /v/g; stat -c %u:%g /v/g'; stat -c %u:%g v/g; p unshare stat -c %u:%g v/g`, "f\n7:8\n300006:300007\n7:8\n"},
	{"network", `p run --rm --cap-add NET_RAW lab/bb:1 sh -c 'ip -4 addr show tap0 | grep -o "inet 10.0.2.100"; ping -c 1 -W 2 10.0.2.2 | grep -o "1 packets received"'`, "inet 10.0.2.100\n1 packets received\n"},
	{"detached", `p run -d --name web -p 127.0.0.1:18445:80 lab/bb:1 sh -c 'mkdir /w; echo page >/w/index.html; echo ready; exec httpd -f -h /w' >/dev/null
for i in $(seq 100); do p logs web | grep -q ready && break; sleep 0.1; done; sleep 0.2; busybox wget -qO- http://127.0.0.1:18445/
p exec web cat /w/index.html; echo data | p exec -i web cat; p exec web sh -c 'exit 7'; echo $?; p stop -t 0 web 2>/dev/null; p inspect -f '{{.State.ExitCode}}' web; p rm web`, "page\npage\ndata\n7\nweb\n137\nweb\n"},
	{"port handler", `p run -d --name web --network slirp4netns:port_handler=slirp4netns -p 127.0.0.1:18446:80 lab/bb:1 sh -c 'mkdir /w; echo page >/w/index.html; exec httpd -f -h /w' >/dev/null
sleep 1; busybox wget -qO- http://127.0.0.1:18446/; p rm -f -t 0 web`, "page\nweb\n"},
	{"network none", `p run --rm --network none lab/bb:1 ls /sys/class/net`, "lo\n"},
	{"pod", `p pod create --name pod >/dev/null; p run -d --pod pod --name in lab/bb:1 sh -c 'mkdir /w; echo inpod >/w/index.html; exec httpd -f -h /w' >/dev/null; sleep 1; p run --rm --pod pod lab/bb:1 wget -qO- http://127.0.0.1/; p pod rm -f -t 0 pod >/dev/null; p ps -aq | wc -l`, "inpod\n0\n"},
	{"network host", `p run --rm --network host lab/bb:1 sh -c 'ip -4 addr | grep -c "inet 127.0.0.1"'`, "1\n"},
	// Without podman: newuidmap gives the subordinate IDs to the gofer.
	{"runsc alone", `mkdir -p b/rootfs/bin b/rootfs/tmp; cp /bin/busybox b/rootfs/bin/; cat >b/config.json <<END
{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"cwd":"/tmp","user":{"uid":0,"gid":0},
"args":["/bin/busybox","sh","-c","busybox touch a; busybox chown 5:6 a; busybox stat -c %u:%g a"],"env":["PATH=/bin"],
"capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"]}},
"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"network"}],
"uidMappings":[{"hostID":54322,"size":1},{"containerID":1,"hostID":300000,"size":65536}],
"gidMappings":[{"hostID":54322,"size":1},{"containerID":1,"hostID":300000,"size":65536}]}}
END
${OPTIONS#--runtime } run --bundle b alone; stat -c %u:%g b/rootfs/tmp/a; ${OPTIONS#--runtime } list -q`, "5:6\n300004:300005\n"},
	{"terminal", `pty "podman $OPTIONS run --rm -it lab/bb:1 sh -c 'tty; exit 4'"; echo $?`, "/dev/pts/0\n4\n"},
}

// TestRootless runs podman as an ordinary user, without an option that is not podman's own.
func TestRootless(t *testing.T) {
	for _, program := range []string{"podman", "newuidmap", "slirp4netns"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: run `test/install.sh engines` once", err)
		}
	}
	dir, err := os.MkdirTemp("", "rfu") // short, for names of sockets, and not root's alone as t.TempDir is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	runsc := filepath.Join(dir, "runsc")
	home := filepath.Join(dir, "home")
	data, err := os.ReadFile(harness.Runsc(t))
	if err == nil {
		err = os.WriteFile(runsc, data, 0o755)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(home, "r"), 0o700)
	}
	for _, d := range []string{home, filepath.Join(home, "r")} {
		if err == nil {
			err = os.Chown(d, user, user)
		}
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command("unshare", "--net", "--mount", "sh", "-c", view, "sh", fmt.Sprint(user), home)
	holder.Dir, holder.Stderr = dir, os.Stderr
	holder.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	ready, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := ready.Read(make([]byte, 1)); n == 0 {
		t.Fatalf("the view of the user: %v", err)
	}
	step := func(script string) string {
		ctx, cancel := context.WithTimeout(context.Background(), 3*limit) // podman 4.3 at times waits 20 s for a conmon that has ended
		defer cancel()
		cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(holder.Process.Pid), "--net", "--mount", "--wd="+home, "--",
			"setpriv", "--reuid", fmt.Sprint(user), "--regid", fmt.Sprint(user), "--clear-groups",
			"bash", "-c", prelude+script)
		cmd.Env = []string{
			"OPTIONS=--runtime " + runsc, "HOME=" + home, "XDG_RUNTIME_DIR=" + home + "/r", "USER=rfuser", "LC_ALL=C", "PATH=/usr/bin:/usr/sbin:/bin:/sbin",
		}
		cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		cmd.WaitDelay = time.Second
		out, _ := cmd.CombinedOutput()
		if ctx.Err() != nil {
			t.Errorf("not done after %s", 3*limit)
		}
		return string(out)
	}
	t.Cleanup(func() {
		// The pause process that holds the user's namespaces ends with the migration.
		if out := step("p rm -af -t 0 >/dev/null; p pod rm -af >/dev/null; p system migrate; true"); out != "" {
			t.Log(out)
		}
		holder.Process.Kill()
		holder.Wait()
	})
	if out := step(image); !strings.HasPrefix(out, "ok") {
		t.Fatal(out)
	}
	for _, s := range rootlessSteps {
		t.Run(s.name, func(t *testing.T) {
			if got := step(s.script); !regexp.MustCompile(`(?s)^` + s.want + `$`).MatchString(got) {
				t.Errorf("want %s, got\n%s", s.want, got)
			}
		})
	}
}
