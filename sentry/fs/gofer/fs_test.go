package goferfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/gofer"
	"ringfort/sentry/fs/overlay"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// newFS exports dir and returns the file system of it.
func newFS(t testing.TB, dir string, o Options) *vfs.Superblock {
	t.Helper()
	return newServed(t, dir, o, gofer.Options{})
}

// newServed is newFS with options of the gofer.
func newServed(t testing.TB, dir string, o Options, served gofer.Options) *vfs.Superblock {
	t.Helper()
	if err := os.Chmod(dir, 0755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenFile(dir, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [4]*os.File
	for i, typ := range [...]int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ends[i], ends[i+2] = os.NewFile(uintptr(p[0]), "client"), os.NewFile(uintptr(p[1]), "server")
	}
	done := make(chan error, 1)
	go func() { done <- gofer.Serve(root, ends[2], ends[3], served) }()
	sb, err := New(ends[0], ends[1], o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sb.ReleaseFunc()
		if err := <-done; err != nil {
			t.Errorf("gofer: %v", err)
		}
	})
	return sb
}

func newMemory(t testing.TB) *pgalloc.File {
	t.Helper()
	mem, err := pgalloc.New()
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// eachFS runs a test on every kind of file system that can be written to.
func eachFS(t *testing.T, f func(t *testing.T, c *vfstest.Caller)) {
	t.Run("tmpfs", func(t *testing.T) { f(t, vfstest.New(tmpfs.New(newMemory(t), tmpfs.Options{Mode: 0755}))) })
	t.Run("exclusive", func(t *testing.T) { f(t, vfstest.New(newFS(t, t.TempDir(), Options{}))) })
	t.Run("overlay", func(t *testing.T) {
		f(t, vfstest.New(overlay.New(newMemory(t), newFS(t, t.TempDir(), Options{}))))
	})
	t.Run("shared", func(t *testing.T) { f(t, vfstest.New(newFS(t, t.TempDir(), Options{Shared: true}))) })
}

func check(t *testing.T, what string, err error, want error) {
	t.Helper()
	if err != want && !(want == nil && err == nil) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestNames(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		check(t, "mkdir", c.Mkdir("/d", 0755), nil)
		check(t, "mkdir again", c.Mkdir("/d", 0755), unix.EEXIST)
		check(t, "mkdir /", c.Mkdir("/", 0755), unix.EEXIST)
		check(t, "mkdir with slash", c.Mkdir("/d/e/", 0755), nil)
		check(t, "mkdir in nothing", c.Mkdir("/x/y", 0755), unix.ENOENT)
		check(t, "write", c.Write("/d/f", "hello"), nil)
		if s, err := c.Read("/d/f"); s != "hello" || err != nil {
			t.Errorf("read %q %v", s, err)
		}
		_, err := c.Read("/d/nope")
		check(t, "read nothing", err, unix.ENOENT)
		_, err = c.Read("/d/f/x")
		check(t, "through a file", err, unix.ENOTDIR)
		_, err = c.Read("/d/f/")
		check(t, "file with slash", err, unix.ENOTDIR)
		check(t, "long name", c.Mkdir("/"+strings.Repeat("a", 256), 0755), unix.ENAMETOOLONG)
		check(t, "longest name", c.Mkdir("/"+strings.Repeat("a", 255), 0755), nil)
		check(t, "symlink", c.Symlink("../f", "/d/e/l"), nil)
		if s, err := c.Read("/d/e/l"); s != "hello" || err != nil {
			t.Errorf("through link %q %v", s, err)
		}
		check(t, "loop", c.Symlink("loop", "/loop"), nil)
		_, err = c.Read("/loop")
		check(t, "read loop", err, unix.ELOOP)
		_, err = c.Open("/d/e/l", unix.O_RDONLY|unix.O_NOFOLLOW, 0)
		check(t, "nofollow", err, unix.ELOOP)
		_, err = c.Open("/d/e/l", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0644)
		check(t, "exclusive over a link", err, unix.EEXIST)
		check(t, "dangling", c.Symlink("/d/made", "/dangling"), nil)
		check(t, "create through a link", c.Write("/dangling", "new"), nil)
		if s, err := c.Read("/d/made"); s != "new" || err != nil {
			t.Errorf("made %q %v", s, err)
		}
		for _, w := range []struct{ name, want string }{
			{"/d/./e/../f", "/d/f"}, {"//d///e", "/d/e"}, {"/../../d", "/d"}, {"d/e/..", "/d"}, {"/d/e/l", "/d/f"}, {"/.", "/"},
		} {
			if got, err := c.Walk(w.name, vfs.FollowLast); got != w.want || err != nil {
				t.Errorf("walk %q: %q %v, want %q", w.name, got, err, w.want)
			}
		}
		names, err := c.List("/d")
		slices.Sort(names)
		if fmt.Sprint(names) != "[e f made]" || err != nil {
			t.Errorf("list: %v %v", names, err)
		}
		check(t, "rmdir full", vfs.Unlink(c, vfs.Path{}, "/d", true), unix.ENOTEMPTY)
		check(t, "rmdir file", vfs.Unlink(c, vfs.Path{}, "/d/f", true), unix.ENOTDIR)
		check(t, "unlink dir", vfs.Unlink(c, vfs.Path{}, "/d/e", false), unix.EISDIR)
		check(t, "rmdir .", vfs.Unlink(c, vfs.Path{}, "/d/.", true), unix.EINVAL)
		check(t, "rmdir ..", vfs.Unlink(c, vfs.Path{}, "/d/e/..", true), unix.ENOTEMPTY)
		check(t, "unlink link", vfs.Unlink(c, vfs.Path{}, "/d/e/l", false), nil)
		check(t, "rmdir", vfs.Unlink(c, vfs.Path{}, "/d/e/", true), nil)
		check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/d/f", false), nil)
		check(t, "unlink again", vfs.Unlink(c, vfs.Path{}, "/d/f", false), unix.ENOENT)
		check(t, "make it again", c.Write("/d/f", "again"), nil)
	})
}

func TestResolve(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		check(t, "mkdir", c.Mkdir("/a", 0755), nil)
		check(t, "mkdir", c.Mkdir("/a/b", 0755), nil)
		check(t, "write", c.Write("/top", "t"), nil)
		check(t, "write", c.Write("/a/top", "a"), nil)
		check(t, "link", c.Symlink("/top", "/a/abs"), nil)
		check(t, "link", c.Symlink("../top", "/a/rel"), nil)
		at, err := vfs.Walk(c, vfs.Path{}, "/a", 0)
		check(t, "walk", err, nil)
		defer at.DecRef()
		for _, w := range []struct {
			name  string
			flags vfs.WalkFlags
			want  string
			err   error
		}{
			{"b/../top", vfs.Beneath, "/a/top", nil},
			{"../top", vfs.Beneath, "", unix.EXDEV},
			{"/top", vfs.Beneath, "", unix.EXDEV},
			{"abs", vfs.Beneath | vfs.FollowLast, "", unix.EXDEV},
			{"rel", vfs.Beneath | vfs.FollowLast, "", unix.EXDEV},
			{"../../top", vfs.InRoot, "/a/top", nil},
			{"/top", vfs.InRoot, "/a/top", nil},
			{"abs", vfs.InRoot | vfs.FollowLast, "/a/top", nil},
			{"rel", vfs.NoSymlinks | vfs.FollowLast, "", unix.ELOOP},
			{"rel", vfs.NoSymlinks, "/a/rel", nil},
			{"", 0, "", unix.ENOENT},
			{"", vfs.AllowEmpty, "/a", nil},
			{"top", vfs.WantDir, "", unix.ENOTDIR},
		} {
			p, err := vfs.Walk(c, at, w.name, w.flags)
			got := ""
			if err == nil {
				got = p.String(c)
				p.DecRef()
			}
			if got != w.want || err != w.err {
				t.Errorf("%q %x: %q %v, want %q %v", w.name, w.flags, got, err, w.want, w.err)
			}
		}
	})
}

func TestRename(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		mv := func(a, b string, flags uint32) error { return vfs.Rename(c, vfs.Path{}, a, vfs.Path{}, b, flags) }
		for _, d := range []string{"/d", "/e", "/d/sub", "/e/full", "/e/full/x"} {
			check(t, d, c.Mkdir(d, 0755), nil)
		}
		check(t, "write", c.Write("/d/f", "f"), nil)
		check(t, "write", c.Write("/e/g", "g"), nil)
		check(t, "noreplace", mv("/d/f", "/e/g", unix.RENAME_NOREPLACE), unix.EEXIST)
		check(t, "exchange", mv("/d/f", "/e/g", unix.RENAME_EXCHANGE), nil)
		if s, _ := c.Read("/d/f"); s != "g" {
			t.Errorf("after exchange: %q", s)
		}
		check(t, "exchange dir and file", mv("/d/f", "/e/full", unix.RENAME_EXCHANGE), nil)
		check(t, "and back", mv("/d/f", "/e/full", unix.RENAME_EXCHANGE), nil)
		open, err := c.Open("/e/g", unix.O_RDWR, 0)
		check(t, "open", err, nil)
		check(t, "replace", mv("/d/f", "/e/g", 0), nil)
		if s, _ := c.Read("/e/g"); s != "g" {
			t.Errorf("after replace: %q", s)
		}
		b := make([]byte, 5)
		if n, err := open.ReadAt(c, usermem.BytesSeq(b), 0); string(b[:n]) != "f" || err != nil {
			t.Errorf("replaced file reads %q %v", b[:n], err)
		}
		if st, err := open.Stat(c); st.Nlink != 0 || err != nil {
			t.Errorf("replaced file has %d links %v", st.Nlink, err)
		}
		check(t, "chmod of a nameless file", open.SetStat(c, &vfs.SetAttr{Mask: vfs.SetMode, Mode: 0600}), nil)
		open.DecRef(c)
		_, err = c.Read("/d/f")
		check(t, "old name", err, unix.ENOENT)
		check(t, "dir into itself", mv("/d", "/d/sub/x", 0), unix.EINVAL)
		check(t, "over an ancestor", mv("/e/full/x", "/e", 0), unix.ENOTEMPTY)
		check(t, "over full", mv("/d/sub", "/e/full", 0), unix.ENOTEMPTY)
		check(t, "over empty", mv("/d/sub", "/e/full/x", 0), nil)
		check(t, "dir over file", mv("/e/full", "/e/g", 0), unix.ENOTDIR)
		check(t, "file over dir", mv("/e/g", "/e/full", 0), unix.EISDIR)
		check(t, "file with slash", mv("/e/g", "/e/h/", 0), unix.ENOTDIR)
		check(t, "nothing", mv("/nope", "/x", 0), unix.ENOENT)
		check(t, "dots", mv("/d/.", "/x", 0), unix.EBUSY)
		p, err := vfs.Walk(c, vfs.Path{}, "/e/full", 0)
		check(t, "walk", err, nil)
		c.Context.SetCwd(p)
		p.DecRef()
		check(t, "move the working directory", mv("/e/full", "/d/moved", 0), nil)
		if s, err := c.Walk(".", 0); s != "/d/moved" || err != nil {
			t.Errorf("working directory: %q %v", s, err)
		}
		if s, err := c.Walk("..", 0); s != "/d" || err != nil {
			t.Errorf("its parent: %q %v", s, err)
		}
		check(t, "rmdir", vfs.Unlink(c, vfs.Path{}, "/d/moved/x", true), nil)
		check(t, "rmdir", vfs.Unlink(c, vfs.Path{}, "/d/moved", true), nil)
		check(t, "make in a removed directory", c.Mkdir("x", 0755), unix.ENOENT)
		if s, _ := c.Walk(".", 0); s != "/d/moved (deleted)" {
			t.Errorf("removed working directory: %q", s)
		}
	})
}

func TestLinksAndAttributes(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		check(t, "write", c.Write("/f", "data"), nil)
		p, err := vfs.Walk(c, vfs.Path{}, "/f", 0)
		check(t, "walk", err, nil)
		defer p.DecRef()
		check(t, "link", vfs.Link(c, p, vfs.Path{}, "/g"), nil)
		st, _ := vfs.Stat(c, p)
		if st.Nlink != 2 || st.Size != 4 || st.Mode != unix.S_IFREG|0644 {
			t.Errorf("stat: %+v", st)
		}
		q, _ := vfs.Walk(c, vfs.Path{}, "/g", 0)
		if q.Inode() != p.Inode() {
			t.Error("two names are two inodes")
		}
		q.DecRef()
		check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/f", false), nil)
		if s, err := c.Read("/g"); s != "data" || err != nil {
			t.Errorf("other name: %q %v", s, err)
		}
		check(t, "setattr", vfs.SetStat(c, p, &vfs.SetAttr{Mask: vfs.SetMode | vfs.SetMTime, Mode: 04755, MTime: 1e9}), nil)
		st, _ = vfs.Stat(c, p)
		if st.Mode != unix.S_IFREG|04755 || st.Mtime.Sec != 1 || st.Nlink != 1 {
			t.Errorf("stat: %o %d links %d", st.Mode, st.Mtime.Sec, st.Nlink)
		}
		check(t, "chown", vfs.SetStat(c, p, &vfs.SetAttr{Mask: vfs.SetUID | vfs.SetGID, UID: 1000, GID: 1000}), nil)
		st, _ = vfs.Stat(c, p)
		if st.Mode != unix.S_IFREG|0755 || st.Uid != 1000 {
			t.Errorf("chown leaves %o of %d", st.Mode, st.Uid)
		}
		u := c.As(2000)
		check(t, "chmod by another", vfs.SetStat(u, p, &vfs.SetAttr{Mask: vfs.SetMode, Mode: 0777}), unix.EPERM)
		check(t, "truncate by another", vfs.Truncate(u, p, 0), unix.EACCES)
		_, err = u.Open("/g", unix.O_RDWR, 0)
		check(t, "write by another", err, unix.EACCES)
		check(t, "create by another", u.Write("/new", ""), unix.EACCES)
		check(t, "truncate", vfs.Truncate(c, p, 8), nil)
		if s, _ := c.Read("/g"); s != "data\x00\x00\x00\x00" {
			t.Errorf("after truncate %q", s)
		}
		check(t, "sticky", c.Mkdir("/tmp", 0777), nil)
		tp, _ := vfs.Walk(c, vfs.Path{}, "/tmp", 0)
		check(t, "chmod", vfs.SetStat(c, tp, &vfs.SetAttr{Mask: vfs.SetMode, Mode: 03777}), nil)
		tp.DecRef()
		check(t, "user's file", u.Write("/tmp/u", "u"), nil)
		check(t, "removed by another", vfs.Unlink(c.As(3000), vfs.Path{}, "/tmp/u", false), unix.EPERM)
		if st, _ := statName(c, "/tmp/u"); st.Uid != 2000 || st.Gid != 0 {
			t.Errorf("owner of a file in a set-group-ID directory: %d %d", st.Uid, st.Gid)
		}
		if x := vfs.SetXattr(c, p, "user.k", []byte("v"), 0); x != nil && x != unix.EOPNOTSUPP {
			t.Error(x)
		} else if v, err := vfs.GetXattr(c, p, "user.k"); x == nil && (string(v) != "v" || err != nil) {
			t.Errorf("xattr %q %v", v, err)
		}
		_, err = vfs.GetXattr(c, p, "user.none")
		check(t, "no xattr", err, unix.ENODATA)
		d, err := vfs.Open(c, vfs.Path{}, "/tmp", vfs.OpenHow{Flags: unix.O_TMPFILE | unix.O_RDWR, Mode: 0600})
		check(t, "tmpfile", err, nil)
		if _, err := d.Write(c, usermem.BytesSeq([]byte("x"))); err != nil {
			t.Error(err)
		}
		d.DecRef(c)
		if l, _ := c.List("/tmp"); fmt.Sprint(l) != "[u]" {
			t.Errorf("tmpfile left %v", l)
		}
	})
}

func statName(c *vfstest.Caller, name string) (unix.Statx_t, error) {
	p, err := vfs.Walk(c, vfs.Path{}, name, vfs.FollowLast)
	if err != nil {
		return unix.Statx_t{}, err
	}
	defer p.DecRef()
	return vfs.Stat(c, p)
}

func TestData(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		d, err := c.Open("/f", unix.O_CREAT|unix.O_RDWR|unix.O_APPEND, 0644)
		check(t, "open", err, nil)
		defer d.DecRef(c)
		for _, s := range []string{"one", "two"} {
			if _, err := d.WriteAt(c, usermem.BytesSeq([]byte(s)), 0); err != nil {
				t.Error(err)
			}
		}
		if s, _ := c.Read("/f"); s != "onetwo" {
			t.Errorf("appending: %q", s)
		}
		w, err := c.Open("/f", unix.O_WRONLY, 0)
		check(t, "open", err, nil)
		defer w.DecRef(c)
		if n, err := w.Seek(c, 1<<20, unix.SEEK_END); n != 1<<20+6 || err != nil {
			t.Errorf("seek %d %v", n, err)
		}
		if n, err := w.Write(c, usermem.BytesSeq([]byte("end"))); n != 3 || err != nil {
			t.Errorf("write %d %v", n, err)
		}
		if n, err := w.Seek(c, 0, unix.SEEK_DATA); n != 0 || err != nil {
			t.Errorf("seek data %d %v", n, err)
		}
		if n, err := w.Seek(c, 0, unix.SEEK_END); n != 1<<20+9 || err != nil {
			t.Errorf("seek end %d %v", n, err)
		}
		_, err = w.Read(c, usermem.BytesSeq(make([]byte, 1)))
		check(t, "read write-only", err, unix.EBADF)
		st, _ := statName(c, "/f")
		if st.Size != 1<<20+9 {
			t.Errorf("size %d", st.Size)
		}
		c.Lim.Put(unix.RLIMIT_FSIZE, struct{ Cur, Max uint64 }{1<<20 + 10, 1 << 40})
		if n, err := w.Write(c, usermem.BytesSeq([]byte("xyz"))); n != 1 || err != nil {
			t.Errorf("write up to the limit: %d %v", n, err)
		}
		_, err = w.Write(c, usermem.BytesSeq([]byte("xyz")))
		check(t, "write beyond", err, unix.EFBIG)
		if len(c.Signals) != 1 {
			t.Errorf("signals %v", c.Signals)
		}
		c.Lim.Put(unix.RLIMIT_FSIZE, struct{ Cur, Max uint64 }{1 << 40, 1 << 40})
		check(t, "ftruncate", w.Truncate(c, 3), nil)
		if s, _ := c.Read("/f"); s != "one" {
			t.Errorf("after ftruncate: %q", s)
		}
		if s, ok := d.File().(vfs.Syncer); !ok || s.Sync(c, false) != nil {
			t.Error("sync")
		}
		x, err := vfs.OpenExec(c, vfs.Path{}, "/f", 0)
		check(t, "exec without x", err, unix.EACCES)
		_ = x
	})
}

func TestMounts(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		check(t, "mkdir", c.Mkdir("/m", 0755), nil)
		check(t, "mkdir", c.Mkdir("/b", 0755), nil)
		check(t, "write", c.Write("/m/under", ""), nil)
		m, _ := vfs.Walk(c, vfs.Path{}, "/m", 0)
		sb := tmpfs.New(newMemory(t), tmpfs.Options{})
		check(t, "mount", vfs.MountFS(c, sb, m, 0), nil)
		m.DecRef()
		check(t, "write", c.Write("/m/over", "x"), nil)
		_, err := c.Read("/m/under")
		check(t, "covered", err, unix.ENOENT)
		check(t, "rename across", vfs.Rename(c, vfs.Path{}, "/m/over", vfs.Path{}, "/x", 0), unix.EXDEV)
		check(t, "rmdir of a mount point", vfs.Unlink(c, vfs.Path{}, "/m", true), unix.EBUSY)
		_, err = c.Walk("/m/over", vfs.NoXDev)
		check(t, "NoXDev", err, unix.EXDEV)
		m, _ = vfs.Walk(c, vfs.Path{}, "/m", 0)
		b, _ := vfs.Walk(c, vfs.Path{}, "/b", 0)
		check(t, "bind", vfs.BindMount(c, m, b, false), nil)
		b.DecRef()
		b, _ = vfs.Walk(c, vfs.Path{}, "/b", 0)
		check(t, "read-only", vfs.Remount(c, b, unix.MS_RDONLY), nil)
		check(t, "write to a read-only mount", c.Write("/b/new", ""), unix.EROFS)
		check(t, "mkdir on a read-only mount", c.Mkdir("/b/d", 0755), unix.EROFS)
		check(t, "write to the other", c.Write("/m/new", ""), nil)
		if s, _ := c.Walk("/b/../m/new", 0); s != "/m/new" {
			t.Errorf("up from a mount: %q", s)
		}
		busy, _ := c.Open("/b/new", unix.O_RDONLY, 0)
		check(t, "unmount busy", vfs.Unmount(c, b, 0), unix.EBUSY)
		check(t, "detach", vfs.Unmount(c, b, unix.MNT_DETACH), nil)
		busy.DecRef(c)
		b.DecRef()
		check(t, "unmount", vfs.Unmount(c, m, 0), nil)
		m.DecRef()
		_, err = c.Read("/m/under")
		check(t, "uncovered", err, nil)
		if s := c.NS.FormatMounts(vfs.Path{}); strings.Count(s, "\n") != 1 {
			t.Errorf("mounts left:\n%s", s)
		}
	})
}

func TestLocks(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		check(t, "write", c.Write("/f", ""), nil)
		a, _ := c.Open("/f", unix.O_RDWR, 0)
		b, _ := c.Open("/f", unix.O_RDWR, 0)
		check(t, "flock", a.Flock(c, unix.LOCK_EX), nil)
		check(t, "flock other", b.Flock(c, unix.LOCK_SH|unix.LOCK_NB), unix.EAGAIN)
		done := make(chan error)
		u := c.As(0)
		go func() { done <- b.Flock(u, unix.LOCK_SH) }()
		a.DecRef(c)
		check(t, "waited", <-done, nil)
		o1, o2 := vfs.NewFDTable(), vfs.NewFDTable()
		l := func(o any, s, e int64, w bool) vfs.RecordLock {
			return vfs.RecordLock{Start: s, End: e, Write: w, Owner: o, PID: 7}
		}
		check(t, "lock", b.SetLock(c, l(o1, 0, 100, true), false), nil)
		check(t, "overlap", b.SetLock(c, l(o2, 50, 60, false), false), unix.EAGAIN)
		b.Unlock(l(o1, 50, 60, false))
		check(t, "hole", b.SetLock(c, l(o2, 50, 60, true), false), nil)
		if h, err := b.GetLock(l(o2, 0, vfs.LockEOF, true)); err != nil || h == nil || h.Start != 0 || h.End != 50 || h.PID != 7 {
			t.Errorf("getlk %+v", h)
		}
		b.DecRef(c)
	})
}

func TestInotify(t *testing.T) {
	eachFS(t, func(t *testing.T, c *vfstest.Caller) {
		n := vfs.NewInotify()
		root, _ := vfs.Walk(c, vfs.Path{}, "/", 0)
		_, err := n.AddWatch(root, unix.IN_ALL_EVENTS)
		root.DecRef()
		check(t, "watch", err, nil)
		check(t, "write", c.Write("/f", "x"), nil)
		check(t, "rename", vfs.Rename(c, vfs.Path{}, "/f", vfs.Path{}, "/g", 0), nil)
		check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/g", false), nil)
		b := make([]byte, 4096)
		k, err := n.Read(c, nil, usermem.BytesSeq(b), 0)
		check(t, "read", err, nil)
		var got []uint32
		for b = b[:k]; len(b) >= 16; {
			got = append(got, uint32(b[4])|uint32(b[5])<<8|uint32(b[6])<<16|uint32(b[7])<<24)
			b = b[16+int(b[12]):]
		}
		want := []uint32{unix.IN_CREATE, unix.IN_OPEN, unix.IN_MODIFY, unix.IN_CLOSE_WRITE, unix.IN_MOVED_FROM, unix.IN_MOVED_TO, unix.IN_DELETE}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("events %x, want %x", got, want)
		}
		n.Release(c)
	})
}

func TestListingThenStat(t *testing.T) {
	dir := t.TempDir()
	for i := range 500 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(fmt.Sprint(i)), 0644); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Symlink("7", filepath.Join(dir, "l"))
	c := vfstest.New(newFS(t, dir, Options{}))
	names, err := c.List("/")
	if len(names) != 501 || err != nil {
		t.Fatalf("%d names %v", len(names), err)
	}
	for i := range 500 {
		if st, err := statName(c, "/"+fmt.Sprint(i)); err != nil || st.Size != uint64(len(fmt.Sprint(i))) {
			t.Fatalf("stat %d: %v %v", i, st.Size, err)
		}
	}
	if s, err := c.Read("/l"); s != "7" || err != nil {
		t.Errorf("link from a listing: %q %v", s, err)
	}
	for i := range 500 {
		if s, err := c.Read("/" + fmt.Sprint(i)); s != fmt.Sprint(i) || err != nil {
			t.Fatalf("read %d: %q %v", i, s, err)
		}
		if err := vfs.Unlink(c, vfs.Path{}, "/"+fmt.Sprint(i), false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSharedSeesHost(t *testing.T) {
	dir := t.TempDir()
	c := vfstest.New(newFS(t, dir, Options{Shared: true}))
	f := filepath.Join(dir, "f")
	_, err := c.Read("/f")
	check(t, "not yet", err, unix.ENOENT)
	_ = os.WriteFile(f, []byte("one"), 0644)
	if s, err := c.Read("/f"); s != "one" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	_ = os.Remove(f)
	_ = os.WriteFile(f, []byte("another"), 0600)
	if s, err := c.Read("/f"); s != "another" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	if st, err := statName(c, "/f"); st.Mode != unix.S_IFREG|0600 || st.Size != 7 || err != nil {
		t.Errorf("%o %v", st.Mode, err)
	}
}

// TestDoubt changes an exclusive export from outside: what was cached is true until Doubt, and then is not.
func TestDoubt(t *testing.T) {
	dir := t.TempDir()
	sb := newFS(t, dir, Options{})
	c := vfstest.New(sb)
	file := func(name, text string, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.MkdirAll(filepath.Join(dir, "d/e"), 0755)
	file("old", "one", 0644)
	file("d/e/deep", "deep", 0644)
	for _, name := range []string{"/new", "/d/new"} {
		_, err := c.Read(name)
		check(t, name, err, unix.ENOENT)
	}
	for _, name := range []string{"/old", "/d/e/deep"} {
		if _, err := c.Read(name); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := c.List("/"); len(names) != 2 || err != nil {
		t.Fatal(names, err)
	}
	file("new", "two", 0644)
	file("d/new", "three", 0644)
	file("old", "longer", 0600)
	_ = os.RemoveAll(filepath.Join(dir, "d/e"))
	_, err := c.Read("/new")
	check(t, "a name cached as missing", err, unix.ENOENT)
	sb.Doubt()
	for name, want := range map[string]string{"/new": "two", "/d/new": "three", "/old": "longer"} {
		if s, err := c.Read(name); s != want || err != nil {
			t.Errorf("%s: %q %v", name, s, err)
		}
	}
	if st, err := statName(c, "/old"); st.Mode != unix.S_IFREG|0600 || st.Size != 6 || err != nil {
		t.Errorf("%o %d %v", st.Mode, st.Size, err)
	}
	_, err = c.Read("/d/e/deep")
	check(t, "removed", err, unix.ENOENT)
	if names, err := c.List("/"); len(names) != 3 || err != nil {
		t.Error(names, err)
	}
	f, _ := os.OpenFile(filepath.Join(dir, "new"), os.O_APPEND|os.O_WRONLY, 0)
	_, _ = f.WriteString(" and more")
	f.Close()
	sb.Doubt()
	if st, err := statName(c, "/new"); st.Size != 12 || err != nil {
		t.Errorf("appended to: %d %v", st.Size, err)
	}
}

func TestEviction(t *testing.T) {
	dir := t.TempDir()
	sb := newFS(t, dir, Options{})
	sb.MaxDentries = 50
	c := vfstest.New(sb)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			u := c.As(0)
			u.Cr = c.Cr
			for i := range 200 {
				d := fmt.Sprintf("/d%d-%d", g, i%20)
				_ = u.Mkdir(d, 0755)
				if err := u.Write(d+"/f", d); err != nil {
					t.Error(err)
				}
				if s, err := u.Read(d + "/../" + d + "/f"); s != d || err != nil {
					t.Errorf("%q %v", s, err)
				}
				if i%7 == 0 {
					if err := vfs.Unlink(u, vfs.Path{}, d+"/f", false); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestOverlayKeepsLower(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"d/sub", "gone/x", "e"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"d/f", "d/g", "d/sub/h", "top"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(f), 0644); err != nil {
			t.Fatal(err)
		}
	}
	c := vfstest.New(overlay.New(newMemory(t), newFS(t, dir, Options{})))
	st, _ := statName(c, "/d/f")
	check(t, "write over", c.Write("/d/f", "new"), nil)
	if s, err := c.Read("/d/f"); s != "new" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	if after, _ := statName(c, "/d/f"); after.Ino != st.Ino {
		t.Errorf("copying up changed the inode number: %d %d", st.Ino, after.Ino)
	}
	check(t, "unlink", vfs.Unlink(c, vfs.Path{}, "/d/g", false), nil)
	_, err := c.Read("/d/g")
	check(t, "unlinked", err, unix.ENOENT)
	check(t, "make anew", c.Write("/d/g", "anew"), nil)
	check(t, "rename a file", vfs.Rename(c, vfs.Path{}, "/top", vfs.Path{}, "/d/sub/top", 0), nil)
	check(t, "rename a lower directory", vfs.Rename(c, vfs.Path{}, "/e", vfs.Path{}, "/e2", 0), unix.EXDEV)
	check(t, "rmdir full", vfs.Unlink(c, vfs.Path{}, "/gone", true), unix.ENOTEMPTY)
	check(t, "rmdir", vfs.Unlink(c, vfs.Path{}, "/gone/x", true), nil)
	check(t, "rmdir", vfs.Unlink(c, vfs.Path{}, "/gone", true), nil)
	check(t, "mkdir again", c.Mkdir("/gone", 0755), nil)
	for name, want := range map[string]string{"/": "[d e gone]", "/d": "[f g sub]", "/d/sub": "[h top]", "/gone": "[]"} {
		l, err := c.List(name)
		slices.Sort(l)
		if fmt.Sprint(l) != want || err != nil {
			t.Errorf("list %s: %v %v, want %s", name, l, err, want)
		}
	}
	if s, err := c.Read("/d/sub/top"); s != "top" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	for _, f := range []string{"d/f", "d/g", "d/sub/h", "top"} {
		if b, err := os.ReadFile(filepath.Join(dir, f)); string(b) != f || err != nil {
			t.Errorf("the lower layer changed: %s: %q %v", f, b, err)
		}
	}
	if l, _ := os.ReadDir(filepath.Join(dir, "d")); len(l) != 3 {
		t.Errorf("the lower layer has %v", l)
	}
}

// layers mounts an overlay with a file below and returns its directory.
func layers(t *testing.T, name, data string) string {
	t.Helper()
	top := t.TempDir()
	err := unix.Mount("tmpfs", top, "tmpfs", 0, "")
	if err == unix.EPERM {
		t.Skip("mounting an overlay needs CAP_SYS_ADMIN")
	}
	check(t, "mount of a tmpfs", err, nil)
	t.Cleanup(func() { check(t, "umount", unix.Unmount(top, 0), nil) })
	for _, d := range []string{"below", "above", "work", "merged"} {
		check(t, "mkdir", os.Mkdir(filepath.Join(top, d), 0755), nil)
	}
	check(t, "write", os.WriteFile(filepath.Join(top, "below", name), []byte(data), 0644), nil)
	merged := filepath.Join(top, "merged")
	check(t, "mount of an overlay", unix.Mount("overlay", merged, "overlay", 0,
		fmt.Sprintf("lowerdir=%s/below,upperdir=%s/above,workdir=%s/work", top, top, top)), nil)
	t.Cleanup(func() { check(t, "umount", unix.Unmount(merged, unix.MNT_DETACH), nil) })
	return merged
}

// A file of an overlay that was opened for reading before it is changed shows the change where it is mapped, or read from
// the Sentry's own view, later on.
func TestChangedAbove(t *testing.T) {
	for _, test := range []struct {
		what   string
		change func(*testing.T, *vfstest.Caller)
		want   string
	}{
		{"written to", func(t *testing.T, c *vfstest.Caller) {
			d, err := vfs.Open(c, vfs.Path{}, "/file", vfs.OpenHow{Flags: unix.O_WRONLY})
			check(t, "open", err, nil)
			defer d.DecRef(c)
			_, err = d.Write(c, usermem.BytesSeq([]byte("new")))
			check(t, "write", err, nil)
		}, "newdef"},
		{"truncated and lengthened", func(t *testing.T, c *vfstest.Caller) {
			p, err := vfs.Walk(c, vfs.Path{}, "/file", 0)
			check(t, "walk", err, nil)
			defer p.DecRef()
			for _, n := range []int64{3, 6} {
				check(t, "truncate", p.Inode().SetAttr(c, &vfs.SetAttr{Mask: vfs.SetSize, Size: n}), nil)
			}
		}, "abc\x00\x00\x00"},
	} {
		c := vfstest.New(newFS(t, layers(t, "file", "abcdef"), Options{}))
		for range 10 { // often enough for a view
			if s, m := shown(t, c); s != "abcdef" || m != s {
				t.Fatalf("%q is read and %q is mapped", s, m)
			}
		}
		test.change(t, c)
		if s, m := shown(t, c); s != test.want || m != s {
			t.Errorf("%s, %q is read and %q is mapped", test.what, s, m)
		}
	}
}

// shown is what is read of "/file", which has six bytes, and what is mapped.
func shown(t *testing.T, c *vfstest.Caller) (read, mapped string) {
	t.Helper()
	d, err := vfs.Open(c, vfs.Path{}, "/file", vfs.OpenHow{Flags: unix.O_RDONLY})
	check(t, "open", err, nil)
	defer d.DecRef(c)
	m, err := d.File().(vfs.Mapper).Mappable(c, d)
	check(t, "map", err, nil)
	f, r, err := m.(*inode).Pages(0, usermem.PageSize, usermem.Read)
	check(t, "pages", err, nil)
	defer f.DecRef(r)
	b, err := unix.Mmap(int(f.Host().RO), 0, usermem.PageSize, unix.PROT_READ, unix.MAP_SHARED)
	check(t, "mmap", err, nil)
	defer unix.Munmap(b)
	read, err = c.Read("/file")
	check(t, "read", err, nil)
	return read, string(b[:6])
}
