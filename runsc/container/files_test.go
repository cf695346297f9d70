package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/gofer/wire"
	"ringfort/runsc/control"
	goferfs "ringfort/sentry/fs/gofer"
)

// fileWork uses every request of the gofer, from under the Sentry's filter against the gofer's. All it says is errors.
func fileWork(m *control.MountConn) error {
	c, err := goferfs.NewClient(m.Conn, m.FDs)
	if err != nil {
		return err
	}
	root, err := c.Attach()
	if err != nil {
		return err
	}
	_, d, _, err := c.Make(root, &goferfs.NewFile{Name: "d", Mode: unix.S_IFDIR | 0o755, UID: 5, GID: 6}, true, wire.NoOpen, nil)
	if err != nil {
		return fmt.Errorf("mkdir: %w", err)
	}
	_, f, fd, err := c.Make(d, &goferfs.NewFile{Name: "f", Mode: unix.S_IFREG | 0o4711, UID: 7, GID: 8}, true, unix.O_RDWR, nil)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	_, err = unix.Pwrite(fd, []byte("data"), 0)
	note("pwrite", err)
	b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	note("mmap", err)
	if err == nil && !bytes.HasPrefix(b, []byte("data")) {
		errs = append(errs, errors.New("the mapping does not show what was written"))
	}
	note("fsync", unix.Fsync(fd))
	note("ftruncate", unix.Ftruncate(fd, 100))
	unix.Close(fd)
	for _, n := range []goferfs.NewFile{
		{Name: "l", Mode: unix.S_IFLNK | 0o777, Target: "/etc/shadow"}, {Name: "p", Mode: unix.S_IFIFO | 0o600},
		{Name: "n", Mode: unix.S_IFCHR | 0o600, Rdev: unix.Mkdev(1, 3)}, {Name: "s", Mode: unix.S_IFSOCK | 0o600},
	} {
		_, _, _, err := c.Make(d, &n, false, wire.NoOpen, nil)
		note("make "+n.Name, err)
	}
	r, err := c.Walk(root, []string{"d", "f"}, true, unix.O_RDONLY)
	note("walk", err)
	if err == nil && r.FD >= 0 {
		unix.Close(r.FD)
	}
	_, err = c.SetAttr(f, &goferfs.Change{
		Valid: wire.SetMode | wire.SetUID | wire.SetGID | wire.SetSize | wire.SetMTime | wire.SetMTimeVal, Mode: 0o755, UID: 1, GID: 1,
		Size: 2, MTime: wire.Time{Sec: 1000},
	})
	note("setattr", err)
	note("rename", c.Rename(d, "f", root, "g", unix.RENAME_NOREPLACE, nil))
	note("link", c.Link(f, d, "h"))
	_, _, err = c.Readdir(d, 0)
	note("readdir", err)
	note("setxattr", c.SetXattr(f, "user.k", []byte("v"), 0))
	_, err = c.GetXattr(f, "user.k")
	note("getxattr", err)
	_, err = c.ListXattr(f)
	note("listxattr", err)
	note("removexattr", c.RemoveXattr(f, "user.k"))
	note("sync", c.Sync(f))
	note("sync of a directory", c.Sync(d))
	note("allocate", c.Allocate(f, 0, 0, 4096))
	note("unlink", c.Unlink(d, "h", 0))
	_, err = c.StatFS(root)
	note("statfs", err)
	for _, name := range []string{"..", "a/b", ""} {
		if r, err := c.Walk(root, []string{name}, true, wire.NoOpen); err == nil && r.Err == 0 && len(r.Nodes) > 0 {
			errs = append(errs, fmt.Errorf("walk to %q got somewhere", name))
		}
	}
	return errors.Join(errs...)
}

func TestFilesThroughFilters(t *testing.T) {
	opts := testOptions(t)
	co := bundle(t, "files")
	co.Spec.Root.Readonly = false
	out, err := os.Create(filepath.Join(co.Bundle, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	old := os.Stdout
	os.Stdout = out
	code, err := Run(opts, testID(), co, false)
	os.Stdout = old
	said, _ := os.ReadFile(out.Name())
	if code != 0 || err != nil || len(said) > 0 {
		t.Errorf("exit code %d, %v, it says\n%s", code, err, said)
	}
	if data, err := os.ReadFile(filepath.Join(co.Spec.Root.Path, "g")); err != nil || !strings.HasPrefix(string(data), "da\x00") {
		t.Errorf("the host sees %q, %v", data, err)
	}
}
