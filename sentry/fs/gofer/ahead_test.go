package goferfs

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/gofer"
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
	if n := arrived(fs); n > maxAhead {
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
		most = max(most, arrived(fs))
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

// smallDirs makes n directories with two files each.
func smallDirs(t *testing.T, n int) (host string) {
	t.Helper()
	host = t.TempDir()
	for i := range n {
		dir := filepath.Join(host, fmt.Sprintf("d%02d", i%7), fmt.Sprintf("d%02d", i))
		if err := os.MkdirAll(dir, 0755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(dir+name), 0644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return host
}

// readTree reads all files below dir in an order and tells the most descriptors ahead.
func readTree(t *testing.T, c *vfstest.Caller, fs *fileSystem, host, dir string, by order) (most int) {
	t.Helper()
	names, err := c.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	switch by {
	case byName:
		slices.Sort(names)
	case byInode:
		number := func(name string) uint64 {
			var st unix.Stat_t
			_ = unix.Lstat(filepath.Join(host, dir, name), &st)
			return st.Ino
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	}
	for _, n := range names {
		path := filepath.Join(dir, n)
		if st, err := os.Lstat(filepath.Join(host, path)); err != nil || st.IsDir() {
			most = max(most, readTree(t, c, fs, host, path, by))
			continue
		}
		data, _ := os.ReadFile(filepath.Join(host, path))
		if got, err := c.Read(path); got != string(data) || err != nil {
			t.Errorf("%s: %q %v", path, got, err)
		}
		most = max(most, arrived(fs))
	}
	return most
}

// Files of the directories that follow come ahead, too, in every order, the first time and, with no descriptors left, the
// second.
func TestOpenAheadAcross(t *testing.T) {
	host := smallDirs(t, 200)
	for by := range orders {
		sb := newFS(t, host, Options{})
		c := vfstest.New(sb)
		fs := sb.Root().Inode().(*inode).fs
		for _, d := range []string{"", "/d00", "/d01", "/d02", "/d03", "/d04", "/d05", "/d06"} { // so that all are known
			if _, err := c.List("/" + d); err != nil {
				t.Fatal(err)
			}
		}
		for pass := range 2 {
			if most := readTree(t, c, fs, host, "/", by); most < 16 {
				t.Errorf("pass %d, order %d: at most %d descriptors came ahead", pass, by, most)
			}
			fs.mu.Lock()
			var ins []*inode
			for _, in := range fs.inodes {
				ins = append(ins, in)
			}
			fs.mu.Unlock()
			for _, in := range ins {
				in.mu.Lock()
				in.closeData()
				in.mu.Unlock()
			}
		}
	}
}

// A walk that looks at no file lists them without attributes; they are there when they are wanted after all.
func TestListBare(t *testing.T) {
	host := smallDirs(t, 200)
	if err := os.Symlink("one", filepath.Join(host, "d03/d03/link")); err != nil {
		t.Fatal(err)
	}
	sb := newFS(t, host, Options{})
	c := vfstest.New(sb)
	fs := sb.Root().Inode().(*inode).fs
	var walk func(dir string)
	walk = func(dir string) {
		names, err := c.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if path := filepath.Join(dir, n); n[0] == 'd' {
				walk(path)
			}
		}
	}
	walk("/")
	bare := 0
	for _, in := range fs.inodes {
		if in.bare {
			bare++
		}
	}
	if bare < 100 {
		t.Errorf("%d directories are listed bare", bare)
	}
	_, err := c.Read("/d03/d10/three")
	check(t, "a name that is not there", err, unix.ENOENT)
	if s, err := c.Read("/d03/d03/link"); err != nil || s == "" {
		t.Errorf("through a link: %q %v", s, err)
	}
	readTree(t, c, fs, host, "/", byListing)
	still := 0
	for _, in := range fs.inodes {
		if in.bare {
			still++
		}
	}
	if still > bare/4 {
		t.Errorf("%d of %d directories are still bare", still, bare)
	}
	for i := range 200 {
		path := fmt.Sprintf("d%02d/d%02d/two", i%7, i)
		st, err := statName(c, "/"+path)
		want, _ := os.Lstat(filepath.Join(host, path))
		if err != nil || st.Size != uint64(want.Size()) {
			t.Errorf("%s: %d bytes %v, the host has %d", path, st.Size, err, want.Size())
		}
	}
}

// A link's target comes with the listing.
func TestListedLink(t *testing.T) {
	host := t.TempDir()
	if err := os.Symlink("first", filepath.Join(host, "link")); err != nil {
		t.Fatal(err)
	}
	c := vfstest.New(newFS(t, host, Options{}))
	if _, err := c.List("/"); err != nil {
		t.Fatal(err)
	}
	p, err := vfs.Walk(c, vfs.Path{}, "/link", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.DecRef()
	in := p.Inode().(*inode)
	if s, err := in.Readlink(c); s != "first" || err != nil || in.fid != NoFID {
		t.Errorf("%q %v, fid %d", s, err, in.fid)
	}
}

// Who opens all files that it comes by gets those of the directories that follow along with their listing.
func TestOpenedWithListing(t *testing.T) {
	host := smallDirs(t, 300)
	for by := range orders {
		sb := newServed(t, host, Options{}, gofer.Options{NoDevices: true})
		c := vfstest.New(sb)
		fs := sb.Root().Inode().(*inode).fs
		along := 0
		for i := range 7 {
			readTree(t, c, fs, host, fmt.Sprintf("/d%02d", i), by)
			if fs.streams.along != nil {
				along++
			}
		}
		if along < 3 {
			t.Errorf("order %d: files came along with listings of %d of 7 directories", by, along)
		}
		if n := arrived(fs); n > maxAhead {
			t.Errorf("%d descriptors are kept ahead", n)
		}
	}
}

// Once files came along and none of them was wanted, no more come.
func TestOpenedForNothing(t *testing.T) {
	sb := newFS(t, t.TempDir(), Options{})
	fs := sb.Root().Inode().(*inode).fs
	fs.streams.last.run = maxRun
	if !fs.streams.opensAll(&fs.ahead) {
		t.Fatal("a program that opens all files is not known as one")
	}
	fs.streams.listed().used = true
	if !fs.streams.opensAll(&fs.ahead) {
		t.Error("files that came along are thought to be of no use")
	}
	fs.streams.listed()
	for range 2 {
		if fs.streams.opensAll(&fs.ahead) {
			t.Error("files come along again although none was used")
		}
	}
}

// A descriptor that came with a listing is closed if a name was changed meanwhile, or if the file is written to.
func TestOpenedAndChanged(t *testing.T) {
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "file"), []byte("x"), 0644); err != nil {
		t.Fatal(err)
	}
	sb := newFS(t, host, Options{})
	c := vfstest.New(sb)
	fs := sb.Root().Inode().(*inode).fs
	var st unix.Stat_t
	check(t, "stat", unix.Stat(filepath.Join(host, "file"), &st), nil)
	key := inoKey{st.Dev, st.Ino}
	put := func(gen uint64) {
		t.Helper()
		fd, err := unix.Open(filepath.Join(host, "file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		check(t, "open", err, nil)
		fs.ahead.putListed(&donations{fds: []int{fd}, keys: []inoKey{key}}, fs.streams.listed(), &fs.gen, gen)
	}
	put(fs.gen.Load() - 1)
	if n := arrived(fs) + descriptors(t, host); n != 0 {
		t.Errorf("%d descriptors are kept of a listing that may not be true", n)
	}
	for _, change := range []struct {
		what string
		do   func() error
	}{
		{"write", func() error { return c.Write("/file", "other") }},
		{"truncate", func() error {
			p, err := vfs.Walk(c, vfs.Path{}, "/file", 0)
			if err != nil {
				return err
			}
			defer p.DecRef()
			in := p.Inode().(*inode)
			in.mu.Lock()
			in.closeData()
			in.mu.Unlock()
			return in.SetAttr(c, &vfs.SetAttr{Mask: vfs.SetSize})
		}},
		{"unlink", func() error { return vfs.Unlink(c, vfs.Path{}, "/file", false) }},
	} {
		put(fs.gen.Load())
		if arrived(fs) != 1 {
			t.Fatalf("%s: no descriptor came", change.what)
		}
		before := fs.gen.Load()
		check(t, change.what, change.do(), nil)
		if n := arrived(fs); n != 0 {
			t.Errorf("%s: %d descriptors are ahead", change.what, n)
		}
		if change.what == "unlink" {
			break
		}
		put(before)
		if n := arrived(fs); n != 0 {
			t.Errorf("%s: %d descriptors came with a listing from before it", change.what, n)
		}
	}
}
