package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestShared tries a source of either kind: only one that is shared on the host has somebody to share with.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host   uintptr
		option string
		refuse bool
	}{
		{unix.MS_PRIVATE, "rshared", false},
		{unix.MS_SHARED, "rshared", true},
		{unix.MS_SHARED, "shared", true},
		{unix.MS_SHARED, "rslave", false},
	} {
		if err := unix.Mount("", dir, "", c.host, ""); err != nil {
			t.Fatal(err)
		}
		s := &specs.Spec{Mounts: []specs.Mount{{Destination: "/x", Source: below, Options: []string{"rbind", c.option}}}}
		err := checkShared(s)
		if (err != nil) != c.refuse || err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("host %#x, %s: %v", c.host, c.option, err)
		}
	}
}
