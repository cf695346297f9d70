package goferfs

import (
	"fmt"
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

// Of many files the ones opened last keep their descriptors, and so does one that is opened again and again.
func TestKeepDescriptors(t *testing.T) {
	const most = 60
	const files = most + most/2
	host := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(host, fmt.Sprint(i)), []byte(fmt.Sprint(i)), 0644); err != nil {
			t.Fatal(err)
		}
	}
	sb := newFS(t, host, Options{})
	c := vfstest.New(sb)
	fs := sb.Root().Inode().(*inode).fs
	fs.kept.most = most
	read := func(i int) {
		t.Helper()
		if s, err := c.Read(fmt.Sprint("/", i)); s != fmt.Sprint(i) || err != nil {
			t.Fatalf("file %d: %q %v", i, s, err)
		}
	}
	for i := range files {
		read(i)
		if i%10 == 0 {
			read(7)
		}
	}
	if n, last := keptOf(t, c, fs, fmt.Sprint("/", files-1)); n > most || n < most/2 || !last {
		t.Errorf("%d files keep descriptors, the last: %v", n, last)
	}
	if _, often := keptOf(t, c, fs, "/7"); !often {
		t.Error("a file that is opened often does not keep its descriptor")
	}
	if _, once := keptOf(t, c, fs, "/8"); once {
		t.Error("a file opened once, long ago, keeps its descriptor")
	}
	// One that is unlinked while it has a place, and the place used again.
	check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/7", false), nil)
	for i := range files {
		if i != 7 {
			read(i)
		}
	}
	if n, _ := keptOf(t, c, fs, "/8"); n > most {
		t.Errorf("%d files keep descriptors", n)
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
