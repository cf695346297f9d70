package docker

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/test/harness"
)

// A daemon is a Docker daemon of the test's own.
type daemon struct {
	dir   string // all it has, on disk
	runsc string
	keep  bool // it goes on after the test
}

var (
	once   sync.Once
	shared *daemon
	failed error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil && !shared.keep {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	harness.Cleanup()
	os.Exit(code)
}

// theDaemon returns the one that all tests share.
func theDaemon(t *testing.T) *daemon {
	t.Helper()
	once.Do(func() { shared, failed = begin(t) })
	if failed != nil {
		t.Fatal(failed)
	}
	return shared
}

func begin(t *testing.T) (*daemon, error) {
	for _, tool := range []string{"/usr/bin/docker", "dockerd", "runc", "docker-compose"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: run `test/install.sh engines` once", err)
		}
	}
	root := harness.NeedEngines(t)
	d := &daemon{dir: os.Getenv("RINGFORT_DOCKER"), runsc: harness.Runsc(t)}
	d.keep = d.dir != ""
	if !d.keep {
		d.dir = filepath.Join(os.TempDir(), fmt.Sprintf("ringfort-docker-0x%x", rand.Text()[:8]))
	}
	if d.alive() {
		return d, nil
	}
	if err := d.start(); err != nil {
		d.stop()
		return nil, err
	}
	if err := d.images(root); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *daemon) host() string { return "unix://" + d.dir + "/docker.sock" }

// alive tells whether a daemon of an earlier run answers.
func (d *daemon) alive() bool {
	_, err := d.docker("version")
	return err == nil
}

// pid returns the PID of the daemon.
func (d *daemon) pid() int {
	data, err := os.ReadFile(d.dir + "/dockerd.pid")
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return n
}

// docker runs the client and returns its output.
func (d *daemon) docker(args ...string) (string, error) {
	cmd := exec.Command("/usr/bin/docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host())
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, errout.String())
	}
	return out.String(), nil
}

// start starts the daemon and waits until it answers. `runsc install` writes its configuration.
func (d *daemon) start() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	conf := d.dir + "/daemon.json"
	settings, err := json.Marshal(map[string]any{"log-level": "warn", "shutdown-timeout": 5})
	if err == nil {
		err = os.WriteFile(conf, settings, 0o600)
	}
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"--default"}, {"--runtime", "runsc-follow", "--", "--follow-links"}} {
		args = append([]string{"install", "--config-file", conf}, args...)
		if out, err := exec.Command(d.runsc, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("runsc %v: %w: %s", args, err, out)
		}
	}
	log, err := os.Create(d.dir + "/dockerd.log")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c",
		`ip link set lo up; sysctl -qw net.ipv4.ip_forward=1; exec dockerd "$@"`, "sh",
		"--config-file", conf, "--data-root", d.dir+"/data", "--exec-root", d.dir+"/exec", "--pidfile", d.dir+"/dockerd.pid",
		"--host", d.host(), "--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", d.cgroup())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	for range 300 {
		if d.alive() {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	return fmt.Errorf("dockerd did not start:\n%s", text)
}

// cgroup is the parent of all containers' cgroups.
func (d *daemon) cgroup() string { return "/" + filepath.Base(d.dir) }

// images makes lab/bb:1 of busybox and lab/deb:1 of the Debian root with servers.
func (d *daemon) images(debian string) error {
	bb := d.dir + "/busybox"
	script := `set -e
mkdir -p $1/bin $1/etc $1/tmp $1/root $1/var/tmp; chmod 1777 $1/tmp
cp /bin/busybox $1/bin/
for a in $(/bin/busybox --list); do [ -e $1/bin/$a ] || ln -s busybox $1/bin/$a; done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >$1/etc/passwd
printf 'root:x:0:\ndaemon:x:1:\nstaff:x:50:daemon\nnogroup:x:65534:\n' >$1/etc/group
tar -C $1 -c . | docker import --change 'CMD ["/bin/sh"]' - lab/bb:1
tar -C $2 --exclude='./dev/*' -c . | docker import --change 'CMD ["/bin/bash"]' - lab/deb:1`
	cmd := exec.Command("sh", "-c", script, "sh", bb, debian)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host(), "PATH=/usr/bin:/usr/sbin:/bin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("images: %w: %s", err, out)
	}
	return nil
}

// stop ends the daemon and takes away all that it has made.
func (d *daemon) stop() error {
	if ids, err := d.docker("ps", "-aq"); err == nil {
		if list := strings.Fields(ids); len(list) > 0 {
			d.docker(append([]string{"rm", "-fv"}, list...)...)
		}
	}
	if pid := d.pid(); pid > 0 {
		unix.Kill(pid, unix.SIGTERM)
		for i := 0; unix.Kill(pid, 0) == nil; i++ {
			if i == 300 {
				unix.Kill(pid, unix.SIGKILL)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	left := leftovers(d.dir)
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + d.cgroup())
	for _, g := range groups {
		filepath.WalkDir(g, func(p string, e os.DirEntry, err error) error { return nil })
		if err := os.Remove(g); err != nil {
			left = append(left, err.Error())
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		left = append(left, err.Error())
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	return nil
}

// leftovers lists processes that still speak of the daemon's directory.
func leftovers(dir string) (left []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		data, err := os.ReadFile(p)
		if err == nil && bytes.Contains(data, []byte(dir)) {
			left = append(left, string(bytes.ReplaceAll(data, []byte{0}, []byte{' '})))
		}
	}
	return left
}
