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

// sameDir compares what Stat tells of a directory with what the host does.
func sameDir(t *testing.T, c *vfstest.Caller, what, name, host string) {
	t.Helper()
	st, err := statName(c, name)
	var want unix.Statx_t
	check(t, "statx", unix.Statx(unix.AT_FDCWD, host, 0, unix.STATX_BASIC_STATS, &want), nil)
	if err != nil || st.Mode != want.Mode || st.Nlink != want.Nlink || st.Size != want.Size || st.Blocks != want.Blocks ||
		st.Mtime != want.Mtime || st.Ctime != want.Ctime {
		t.Errorf("%s: %+v %v, the host says %+v", what, st, err, want)
	}
}

func chmod(c *vfstest.Caller, name string, mode uint32) error {
	p, err := vfs.Walk(c, vfs.Path{}, name, 0)
	if err == nil {
		err = vfs.SetStat(c, p, &vfs.SetAttr{Mask: vfs.SetMode, Mode: mode})
		p.DecRef()
	}
	return err
}

// Who looks at a directory after each change to it asks the gofer no more often than who does not, and sees what the
// host would show.
func TestLookedAtBetweenChanges(t *testing.T) {
	host := t.TempDir()
	sb := newFS(t, host, Options{})
	c, client := vfstest.New(sb), sb.Root().Inode().(*inode).fs.client
	check(t, "mkdir", c.Mkdir("/d", 0755), nil)
	check(t, "mkdir", c.Mkdir("/e", 0755), nil)
	d := filepath.Join(host, "d")
	sameDir(t, c, "at first", "/d", d)
	steps := []struct {
		what   string
		silent bool // its answer does not bring the directory's attributes
		change func(i int) error
	}{
		{"create", false, func(i int) error { return c.Write(fmt.Sprintf("/d/f%d", i), "data") }},
		{"rename", false, func(i int) error {
			return vfs.Rename(c, vfs.Path{}, fmt.Sprintf("/d/f%d", i), vfs.Path{}, fmt.Sprintf("/d/g%d", i), 0)
		}},
		{"mkdir", false, func(i int) error { return c.Mkdir(fmt.Sprintf("/d/dir%d", i), 0755) }},
		{"rename away", true, func(i int) error {
			return vfs.Rename(c, vfs.Path{}, fmt.Sprintf("/d/g%d", i), vfs.Path{}, fmt.Sprintf("/e/g%d", i), 0)
		}},
		{"rename back", false, func(i int) error {
			return vfs.Rename(c, vfs.Path{}, fmt.Sprintf("/e/g%d", i), vfs.Path{}, fmt.Sprintf("/d/g%d", i), 0)
		}},
		{"chmod", false, func(i int) error { return chmod(c, "/d", uint32(0700+i)) }},
		{"unlink", true, func(i int) error { return vfs.Unlink(c, vfs.Path{}, fmt.Sprintf("/d/g%d", i), false) }},
		{"rmdir", true, func(i int) error { return vfs.Unlink(c, vfs.Path{}, fmt.Sprintf("/d/dir%d", i), true) }},
	}
	for i := range 3 {
		for _, s := range steps {
			check(t, s.what, s.change(i), nil)
			sent := client.sent.Load()
			sameDir(t, c, s.what, "/d", d)
			if asked := client.sent.Load() != sent; asked != s.silent && i > 0 {
				t.Errorf("%s: the gofer was asked: %v", s.what, asked)
			}
		}
	}
}

// Changes and looks from several sides leave nothing behind that is not so.
func TestLookedAtDuringChanges(t *testing.T) {
	host := t.TempDir()
	c := vfstest.New(newFS(t, host, Options{}))
	check(t, "mkdir", c.Mkdir("/d", 0755), nil)
	for range 50 {
		var wg sync.WaitGroup
		for k := range 3 {
			wg.Go(func() {
				for i := range 10 {
					name := fmt.Sprintf("/d/%d-%d", k, i)
					check(t, "create", c.Write(name, "x"), nil)
					_, err := statName(c, "/d")
					check(t, "stat", err, nil)
					check(t, "rename", vfs.Rename(c, vfs.Path{}, name, vfs.Path{}, name+"x", 0), nil)
					if i%3 == 0 {
						check(t, "chmod", chmod(c, "/d", uint32(0700+k)), nil)
					}
					check(t, "unlink", vfs.Unlink(c, vfs.Path{}, name+"x", false), nil)
				}
				check(t, "create", c.Write(fmt.Sprintf("/d/last%d", k), "x"), nil)
			})
		}
		wg.Wait()
		sameDir(t, c, "in the end", "/d", filepath.Join(host, "d"))
		l, err := os.ReadDir(filepath.Join(host, "d"))
		if err != nil || len(l) != 3 {
			t.Fatalf("%d files are left, %v", len(l), err)
		}
		for k := range 3 {
			check(t, "unlink", vfs.Unlink(c, vfs.Path{}, fmt.Sprintf("/d/last%d", k), false), nil)
		}
	}
}
