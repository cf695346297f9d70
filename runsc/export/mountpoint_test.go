package export

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMountPoint has links in the root that point out of it.
func TestMountPoint(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	outside := filepath.Join(dir, "outside")
	for _, d := range []string{root, outside, filepath.Join(root, "etc")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink(outside, filepath.Join(root, "abs"))
	os.Symlink("../outside", filepath.Join(root, "rel"))
	os.Symlink("etc", filepath.Join(root, "good"))
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, c := range []struct {
		point MountPoint
		made  string // "" for nothing
		file  bool
	}{
		{MountPoint{Path: "/a/b/c"}, "a/b/c", false},
		{MountPoint{Path: "/etc/resolv.conf", File: true}, "etc/resolv.conf", true},
		{MountPoint{Path: "/good/hosts", File: true}, "etc/hosts", true},
		{MountPoint{Path: "/../../x"}, "x", false},
		{MountPoint{Path: "/rel/y"}, "", false},
		{MountPoint{Path: "/abs/y"}, "", false},
		{MountPoint{Path: "/etc/hosts/below"}, "", false},
		{MountPoint{Path: "/"}, "", false},
	} {
		makeMountPoint(fd, c.point, 0, 0)
		if c.made == "" {
			continue
		}
		st, err := os.Lstat(filepath.Join(root, c.made))
		if err != nil || st.IsDir() == c.file {
			t.Errorf("%+v: %v", c.point, err)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("made outside of the root: %v", left)
	}
}
