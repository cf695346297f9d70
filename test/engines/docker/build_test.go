package docker

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestBuild builds an image with the classic builder, whose steps run in containers of the default runtime, ours. What
// the steps have written, removed and changed of owners, modes and links is in the layers.
func TestBuild(t *testing.T) {
	d := theDaemon(t)
	cmd := exec.Command("/usr/bin/docker", "build", "--build-arg", "WHO=me", "--tag", "lab/built:1", "testdata/build")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host(), "DOCKER_BUILDKIT=0")
	out, err := cmd.CombinedOutput()
	t.Cleanup(func() { d.docker("rmi", "-f", "lab/built:1") })
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := d.docker("run", "--rm", "lab/built:1"); got != "built for me\n" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	// runc looks at what our steps have left.
	const look = `cat /out/kernel /who; cd /out; for f in prog a a/b a/hard a/link; do stat -c '%A %U %h %n' $f; done; readlink a/link; ls /bin/yes; tail -1 /etc/passwd`
	got, err := d.docker("run", "--rm", "--runtime", "runc", "--entrypoint", "sh", "lab/built:1", "-c", "exec 2>&1; "+look)
	want := `#1 SMP Ringfort\ndaemon\n-rwxr-xr-x daemon 2 prog\ndrwxr-xr-x daemon 3 a\ndrwxr-xr-x daemon 2 a/b\n-rwxr-xr-x daemon 2 a/hard\nlrwxrwxrwx daemon 1 a/link\n../prog\nls: /bin/yes: No such[^\n]*\n#gone\n`
	if !regexp.MustCompile(`(?s)^`+want+`$`).MatchString(got) || err != nil {
		t.Errorf("want %s, got\n%s%v", want, got, err)
	}
}
