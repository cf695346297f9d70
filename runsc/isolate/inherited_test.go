package isolate

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCloseInherited starts a process with one descriptor that it is meant to have and two that it is not.
func TestCloseInherited(t *testing.T) {
	if os.Getenv("INHERITS") != "" {
		own, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		if err := CloseInherited(4); err != nil {
			t.Fatal(err)
		}
		for fd := 3; fd < 6; fd++ {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if (err == nil) != (fd == 3) {
				t.Errorf("descriptor %d: %v", fd, err)
			}
		}
		if _, err := own.Stat(); err != nil {
			t.Errorf("a descriptor of the process itself: %v", err)
		}
		return
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := exec.Command("/proc/self/exe", fmt.Sprintf("-test.run=^%s$", t.Name()))
	cmd.Env = append(os.Environ(), "INHERITS=1")
	cmd.ExtraFiles = []*os.File{null, null, null}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
