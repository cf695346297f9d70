package goferfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// tree makes directories of directories of files below dir.
func tree(t *testing.T, dir string, levels int) {
	t.Helper()
	for i := range 12 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d", i)), []byte(fmt.Sprint(dir, i)), 0644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		sub := filepath.Join(dir, fmt.Sprintf("dir%d", i))
		if err := os.Mkdir(sub, 0755); err != nil {
			t.Fatal(err)
		}
		if levels > 1 {
			tree(t, sub, levels-1)
		}
	}
}

// walkTree reads all directories and files below dir, and changes some on the way as before says.
func walkTree(t *testing.T, c *vfstest.Caller, host, dir string, before func(dir string)) (files int) {
	t.Helper()
	if before != nil {
		before(dir)
	}
	names, err := c.List(dir)
	if err != nil {
		t.Fatalf("list %s: %v", dir, err)
	}
	want, err := os.ReadDir(filepath.Join(host, dir))
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, e := range want {
		there = append(there, e.Name())
	}
	slices.Sort(there)
	if sorted := slices.Sorted(slices.Values(names)); !slices.Equal(sorted, there) {
		t.Errorf("%s lists %q, the host has %q", dir, sorted, there)
	}
	for _, n := range names {
		path := filepath.Join(dir, n)
		st, err := os.Lstat(filepath.Join(host, path))
		if err != nil {
			continue
		}
		if st.IsDir() {
			files += walkTree(t, c, host, path, before)
			continue
		}
		data, _ := os.ReadFile(filepath.Join(host, path))
		if got, err := c.Read(path); err != nil || got != string(data) {
			t.Errorf("%s: %q %v, the host has %q", path, got, err, data)
		}
		files++
	}
	return files
}

// A walk through a tree reads it in a few round trips, and every file in it is what the host has.
func TestWalkTree(t *testing.T) {
	host := t.TempDir()
	tree(t, host, 4)
	sb := newFS(t, host, Options{})
	c := vfstest.New(sb)
	if n := walkTree(t, c, host, "/", nil); n != 12*(1+3+9+27) {
		t.Errorf("%d files", n)
	}
	fs := sb.Root().Inode().(*inode).fs
	if fs.treeRun.Load() > 12 {
		t.Errorf("%d of 121 directories were asked for", fs.treeRun.Load())
	}
	if n := len(fs.ahead.fds); n > maxAhead {
		t.Errorf("%d descriptors are kept ahead", n)
	}
}

// What is changed in the sandbox below a directory whose contents came along is seen.
func TestWalkTreeChanging(t *testing.T) {
	host := t.TempDir()
	tree(t, host, 4)
	c := vfstest.New(newFS(t, host, Options{}))
	n := 0
	walkTree(t, c, host, "/", func(dir string) {
		n++
		name := filepath.Join(dir, fmt.Sprint("new", n))
		check(t, "write "+name, c.Write(name, "new"), nil)
		check(t, "overwrite", c.Write(filepath.Join(dir, "file3"), "other and longer than it was before"), nil)
		switch err := vfs.Unlink(c, vfs.Path{}, filepath.Join(dir, "file5"), false); err {
		case nil, unix.ENOENT:
		default:
			t.Errorf("unlink: %v", err)
		}
		_ = vfs.Rename(c, vfs.Path{}, filepath.Join(dir, "file7"), vfs.Path{}, filepath.Join(dir, "file8"), 0)
		// Below, by a path of several names, before anybody has listed it.
		_ = c.Write(filepath.Join(dir, "dir1", "deep"), "deep")
		_ = vfs.Unlink(c, vfs.Path{}, filepath.Join(dir, "dir2", "file1"), false)
	})
}

// Files opened one after the other in the order of a listing come several at a time, and an unlinked one's
// descriptor is not kept.
func TestOpenAhead(t *testing.T) {
	host := t.TempDir()
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(host, fmt.Sprintf("f%02d", i)), []byte(fmt.Sprint(i)), 0644); err != nil {
			t.Fatal(err)
		}
	}
	sb := newFS(t, host, Options{})
	c := vfstest.New(sb)
	names, err := c.List("/")
	if err != nil {
		t.Fatal(err)
	}
	fs := sb.Root().Inode().(*inode).fs
	most := 0
	for i, n := range names {
		data, _ := os.ReadFile(filepath.Join(host, n))
		if got, err := c.Read("/" + n); got != string(data) || err != nil {
			t.Errorf("%s: %q %v", n, got, err)
		}
		most = max(most, len(fs.ahead.fds))
		if i == 60 {
			check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/"+names[61], false), nil)
			check(t, "write", c.Write("/"+names[61], "again"), nil)
		}
	}
	if most < 16 {
		t.Errorf("at most %d descriptors came ahead", most)
	}
	if s, err := c.Read("/" + names[61]); s != "again" || err != nil {
		t.Errorf("a file made again reads %q %v", s, err)
	}
}
