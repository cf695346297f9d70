package goferfs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// keptOf tells how many files keep descriptors nobody uses, and whether name is one of them.
func keptOf(t *testing.T, c *vfstest.Caller, fs *fileSystem, name string) (n int, kept bool) {
	t.Helper()
	p, err := vfs.Walk(c, vfs.Path{}, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.DecRef()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, in := range fs.inodes {
		if in.kept.Load() && in.hasData.Load() {
			n++
		}
	}
	in := p.Inode().(*inode)
	return n, in.kept.Load() && in.hasData.Load()
}

// manyFiles makes a file system with n files, named by numbers and having them as contents, and returns what reads one.
func manyFiles(t *testing.T, n int) (*vfstest.Caller, *fileSystem, func(int)) {
	t.Helper()
	host := t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(host, fmt.Sprint(i)), []byte(fmt.Sprint(i)), 0644); err != nil {
			t.Fatal(err)
		}
	}
	sb := newFS(t, host, Options{})
	c := vfstest.New(sb)
	return c, sb.Root().Inode().(*inode).fs, func(i int) {
		t.Helper()
		if s, err := c.Read(fmt.Sprint("/", i)); s != fmt.Sprint(i) || err != nil {
			t.Fatalf("file %d: %q %v", i, s, err)
		}
	}
}

// Who reads more files than keep descriptors again and again finds most of them, and one that is opened more often than
// the others gets a place.
func TestKeepDescriptors(t *testing.T) {
	const most = 60
	const files = most + most/4
	c, fs, read := manyFiles(t, files)
	fs.kept.most = most
	for i := range files {
		read(i)
	}
	kept := map[int]bool{}
	for i := range files {
		_, kept[i] = keptOf(t, c, fs, fmt.Sprint("/", i))
	}
	found := 0
	for i := range files {
		if _, still := keptOf(t, c, fs, fmt.Sprint("/", i)); still && kept[i] {
			found++
		}
		read(i)
	}
	if n, _ := keptOf(t, c, fs, "/1"); n > most || found < most-most/4 {
		t.Errorf("%d files keep descriptors, %d were found again", n, found)
	}
	for range admitOne * most {
		read(files - 1)
		read(files - 2)
	}
	if _, often := keptOf(t, c, fs, fmt.Sprint("/", files-1)); !often {
		t.Error("a file that is opened often does not keep its descriptor")
	}
	// One that is unlinked while it has a place, and the place used again.
	check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/7", false), nil)
	for i := range admitOne * files {
		if i%files != 7 {
			read(i % files)
		}
	}
	if n, _ := keptOf(t, c, fs, "/8"); n > most {
		t.Errorf("%d files keep descriptors", n)
	}
}

func TestKeptLimit(t *testing.T) {
	var files unix.Rlimit
	check(t, "getrlimit", unix.Getrlimit(unix.RLIMIT_NOFILE, &files), nil)
	var k keptFiles
	k.limit()
	if want := min(maxKept, int(min(files.Cur, math.MaxInt32)/8*5)); k.most != want {
		t.Errorf("%d files keep descriptors, want %d", k.most, want)
	}
}

// Half of what is kept is let go of when descriptors become scarce.
func TestShrinkDescriptors(t *testing.T) {
	const files = 100
	c, fs, read := manyFiles(t, files)
	for i := range files {
		read(i)
	}
	if n, _ := keptOf(t, c, fs, "/1"); n != files {
		t.Fatalf("%d of %d files keep descriptors", n, files)
	}
	fs.kept.scarce = 0
	read(0)
	if n, first := keptOf(t, c, fs, "/0"); n > files/2 || n < files/2-1 || first {
		t.Errorf("%d files keep descriptors when they are scarce, the last that was used: %v", n, first)
	}
}

// Tasks that open, read and close more files than keep descriptors, at once, read what is there.
func TestKeepDescriptorsAtOnce(t *testing.T) {
	const most, files, tasks = 60, 90, 8
	host := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(host, fmt.Sprint(i)), []byte(fmt.Sprint(i)), 0644); err != nil {
			t.Fatal(err)
		}
	}
	sb := newFS(t, host, Options{})
	sb.Root().Inode().(*inode).fs.kept.most = most
	var wg sync.WaitGroup
	for task := range tasks {
		c := vfstest.New(sb)
		wg.Go(func() {
			for i := range 20 * files {
				i = (i*(task+1) + task*10) % files
				if s, err := c.Read(fmt.Sprint("/", i)); s != fmt.Sprint(i) || err != nil && err != unix.EAGAIN {
					t.Errorf("file %d: %q %v", i, s, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n, _ := keptOf(t, vfstest.New(sb), sb.Root().Inode().(*inode).fs, "/1"); n > most {
		t.Errorf("%d files keep descriptors", n)
	}
}

// A file system that is unmounted holds on to no file of the host: it may be unmounted there, too.
func TestUnmountedKeepsNothing(t *testing.T) {
	top, host := t.TempDir(), t.TempDir()
	check(t, "mkdir", os.Mkdir(filepath.Join(top, "mnt"), 0755), nil)
	c := vfstest.New(newFS(t, top, Options{}))
	for i := range 50 {
		if err := os.WriteFile(filepath.Join(host, fmt.Sprint(i)), []byte("x"), 0644); err != nil {
			t.Fatal(err)
		}
	}
	at, err := vfs.Walk(c, vfs.Path{}, "/mnt", 0)
	check(t, "walk", err, nil)
	check(t, "mount", vfs.MountFS(c, newFS(t, host, Options{}), at, 0), nil)
	at.DecRef()
	for i := range 50 {
		if s, err := c.Read(fmt.Sprint("/mnt/", i)); s != "x" || err != nil {
			t.Fatalf("%q %v", s, err)
		}
	}
	if at, err = vfs.Walk(c, vfs.Path{}, "/mnt", 0); err != nil {
		t.Fatal(err)
	}
	if n := descriptors(t, host); n < 50 {
		t.Fatalf("%d descriptors are kept", n)
	}
	err = vfs.Unmount(c, at, 0)
	at.DecRef()
	check(t, "umount", err, nil)
	if n := descriptors(t, host); n > 0 {
		t.Errorf("%d descriptors are still open", n)
	}
}
