package goferfs

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// A directory that was listed, or made here, answers for names it has not by itself, until there is doubt: what the host
// did meanwhile is not seen. Where others change it, too, it is.
func TestAbsentNames(t *testing.T) {
	for _, shared := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "listed"), 0755); err != nil {
			t.Fatal(err)
		}
		sb := newFS(t, dir, Options{Shared: shared})
		c := vfstest.New(sb)
		if _, err := c.List("/listed"); err != nil {
			t.Fatal(err)
		}
		check(t, "mkdir", c.Mkdir("/made", 0755), nil)
		check(t, "write", c.Write("/made/mine", "mine"), nil)
		want := error(nil)
		if !shared {
			want = unix.ENOENT
		}
		for _, d := range []string{"listed", "made"} {
			name := filepath.Join(d, "hosts")
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0644); err != nil {
				t.Fatal(err)
			}
			_, err := c.Read("/" + name)
			check(t, fmt.Sprintf("%s (shared: %v)", name, shared), err, want)
		}
		sb.Doubt()
		for _, d := range []string{"listed", "made"} {
			_, err := c.Read("/" + d + "/hosts")
			check(t, d+" in doubt", err, nil)
		}
		if s, err := c.Read("/made/mine"); s != "mine" || err != nil {
			t.Errorf("%q %v", s, err)
		}
	}
}

// Where many names were looked for the rest are known not to be there, if the directory is small.
func TestAbsentAfterMany(t *testing.T) {
	for _, files := range []int{20, 3000} {
		dir := t.TempDir()
		for i := range files {
			if err := os.Symlink("x", filepath.Join(dir, fmt.Sprint("link", i))); err != nil {
				t.Fatal(err)
			}
		}
		sb := newFS(t, dir, Options{})
		c := vfstest.New(sb)
		look := func(name string, want error) {
			t.Helper()
			p, err := vfs.Walk(c, vfs.Path{}, name, 0)
			check(t, fmt.Sprintf("%s of %d", name, files), err, want)
			if err == nil {
				p.DecRef()
			}
		}
		for i := range peekAfter {
			look(fmt.Sprint("/none", i), unix.ENOENT)
		}
		for i := range 10 {
			look(fmt.Sprint("/link", i), nil)
		}
		check(t, "make", c.Mkdir("/link", 0755), nil)
		look("/link", nil)
		if err := os.Mkdir(filepath.Join(dir, "hosts"), 0755); err != nil {
			t.Fatal(err)
		}
		if want := error(unix.ENOENT); files == 20 {
			look("/hosts", want)
			sb.Doubt()
		}
		look("/hosts", nil)
		look("/link", nil)
	}
}

// A name the host made behind the back of a directory that knows better is found when the attempt to make it fails.
func TestAbsentNameMade(t *testing.T) {
	dir := t.TempDir()
	c := vfstest.New(newFS(t, dir, Options{}))
	check(t, "mkdir", c.Mkdir("/d", 0755), nil)
	if err := os.WriteFile(filepath.Join(dir, "d/f"), []byte("hosts"), 0644); err != nil {
		t.Fatal(err)
	}
	_, err := c.Open("/d/f", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0644)
	check(t, "exclusively", err, unix.EEXIST)
	if s, err := c.Read("/d/f"); s != "hosts" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d/g"), nil, 0644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read("/d/g"); err != nil {
		t.Errorf("after the first surprise nothing is taken for known, but: %v", err)
	}
}

// fumbler changes a tree in all the ways there are and compares what is seen with what the host has.
type fumbler struct {
	t    *testing.T
	r    *rand.Rand
	c    *vfstest.Caller
	host string
	sb   *vfs.Superblock
}

func (f *fumbler) name() string {
	name := ""
	for range 1 + f.r.Intn(3) {
		name += fmt.Sprint("/", string(rune('a'+f.r.Intn(4))))
	}
	return name
}

func (f *fumbler) step() string {
	a, b := f.name(), f.name()
	var err error
	var what string
	switch f.r.Intn(12) {
	case 0, 1:
		what, err = "mkdir "+a, f.c.Mkdir(a, 0755)
	case 2, 3:
		what, err = "write "+a, f.c.Write(a, a)
	case 4:
		what, err = "unlink "+a, vfs.Unlink(f.c, vfs.Path{}, a, f.r.Intn(2) == 0)
	case 5:
		flags := []uint32{0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[f.r.Intn(3)]
		what, err = fmt.Sprintf("rename %s %s %d", a, b, flags), vfs.Rename(f.c, vfs.Path{}, a, vfs.Path{}, b, flags)
	case 6:
		p, werr := vfs.Walk(f.c, vfs.Path{}, a, 0)
		if err = werr; err == nil {
			err = vfs.Link(f.c, p, vfs.Path{}, b)
			p.DecRef()
		}
		what = "link " + a + " " + b
	case 7:
		what, err = "symlink "+a, f.c.Symlink("a/b", a)
	case 8, 9:
		_, err = f.c.List(a)
		what = "list " + a
	case 10:
		what = "shrink"
		f.sb.Shrink()
		f.sb.Shrink()
	case 11:
		d, oerr := f.c.Open("/", unix.O_TMPFILE|unix.O_RDWR, 0600)
		if err = oerr; err == nil {
			d.DecRef(f.c)
		}
		what = "tmpfile"
	}
	return fmt.Sprint(what, ": ", err)
}

// compare looks at a name, and at a whole directory now and then.
func (f *fumbler) compare() string {
	a := f.name()
	want, herr := os.Lstat(filepath.Join(f.host, a))
	p, err := vfs.Walk(f.c, vfs.Path{}, a, 0)
	if herr == nil != (err == nil) {
		// Links on the way mean other things here than on the host.
		if resolved, _ := filepath.EvalSymlinks(filepath.Dir(filepath.Join(f.host, a))); resolved == filepath.Dir(filepath.Join(f.host, a)) {
			return fmt.Sprintf("%s: %v, the host says %v", a, err, herr)
		}
	}
	if err != nil {
		return ""
	}
	defer p.DecRef()
	st, err := vfs.Stat(f.c, p)
	if herr == nil && (err != nil || st.Size != uint64(want.Size()) && want.Mode().IsRegular() || uint32(st.Mode)&unix.S_IFDIR == unix.S_IFDIR != want.IsDir()) {
		return fmt.Sprintf("%s: %+v %v, the host has %v", a, st, err, want)
	}
	if herr == nil && want.IsDir() {
		names, err := f.c.List(a)
		entries, herr := os.ReadDir(filepath.Join(f.host, a))
		var there []string
		for _, e := range entries {
			there = append(there, e.Name())
		}
		slices.Sort(names)
		if slices.Sort(there); !slices.Equal(names, there) {
			return fmt.Sprintf("%s lists %q %v, the host has %q %v", a, names, err, there, herr)
		}
	}
	return ""
}

// Whatever is changed, what is known of directories stays true.
func TestKnownNamesFumbling(t *testing.T) {
	for seed := range int64(12) {
		f := &fumbler{t: t, r: rand.New(rand.NewSource(seed)), host: t.TempDir()}
		for _, d := range []string{"a/a", "a/b", "b/a", "c"} {
			if err := os.MkdirAll(filepath.Join(f.host, d), 0755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(f.host, d, "d"), []byte("d"), 0644); err != nil {
				t.Fatal(err)
			}
		}
		f.sb = newFS(t, f.host, Options{})
		f.c = vfstest.New(f.sb)
		var log []string
		for range 300 {
			log = append(log, f.step())
			if bad := f.compare(); bad != "" {
				t.Fatalf("seed %d: %s\nafter:\n%s", seed, bad, strings.Join(log, "\n"))
			}
		}
		fs := f.sb.Root().Inode().(*inode).fs
		known := int64(0)
		fs.mu.Lock()
		for _, in := range fs.inodes {
			known += int64(len(in.names))
		}
		fs.mu.Unlock()
		if got := fs.known.Load(); got != known {
			t.Errorf("seed %d: %d names are counted, there are %d", seed, got, known)
		}
	}
}
