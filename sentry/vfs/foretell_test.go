package vfs_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/overlay"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/names"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

func newMemory(t testing.TB) *pgalloc.File {
	t.Helper()
	mem, err := pgalloc.New()
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

func newTmpfs(t testing.TB) *vfs.Superblock {
	return tmpfs.New(newMemory(t), tmpfs.Options{Mode: 0755})
}

// generations returns those that changes move from now on.
func generations() *names.Generations {
	g := new(names.Generations)
	names.Share(g)
	return g
}

// do fails the test unless all went well.
func do(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// foretold is what Foretell returned.
type foretold struct {
	slot uint32
	err  error
	ok   bool
}

func foretell(c vfs.Caller, name string, flags vfs.WalkFlags, f func(vfs.Path) error) foretold {
	slot, err, ok := vfs.Foretell(c, name, flags, f)
	return foretold{slot, err, ok}
}

// ask walks as a system call does, after which everything on the way is cached.
func ask(c vfs.Caller, name string, flags vfs.WalkFlags, f func(vfs.Path) error) error {
	p, err := vfs.Walk(c, vfs.Path{}, name, flags)
	if err != nil {
		return err
	}
	defer p.DecRef()
	if f == nil {
		return nil
	}
	return f(p)
}

func isLink(p vfs.Path) error {
	if p.Inode().Base().Type() != unix.S_IFLNK {
		return unix.EINVAL
	}
	return nil
}

func is(vfs.Path) error { return unix.EEXIST }

func TestForetell(t *testing.T) {
	c := vfstest.New(newTmpfs(t))
	do(t, c.Mkdir("/d", 0755), c.Mkdir("/d/closed", 0700), c.Write("/d/f", "x"), c.Symlink("f", "/d/l"), c.Symlink("missing", "/d/dangling"),
		c.Symlink("/d", "/abs"), c.Symlink("loop", "/loop"))
	user := c.As(1000)
	const follow = vfs.FollowLast
	for _, v := range []struct {
		c     vfs.Caller
		name  string
		flags vfs.WalkFlags
		f     func(vfs.Path) error
		last  string // whose slot it is
		want  error
	}{
		{c, "/missing", follow, nil, "missing", unix.ENOENT},
		{c, "/missing/", follow, nil, "missing", unix.ENOENT},
		{c, "//missing//deep/er", follow, nil, "missing", unix.ENOENT},
		{c, "/d/missing", 0, nil, "missing", unix.ENOENT},
		{c, "/d/./../d/missing", 0, nil, "missing", unix.ENOENT},
		{c, "/d/f", follow, nil, "f", nil},
		{c, "/d/f/", follow, nil, "f", unix.ENOTDIR},
		{c, "/d/f/x", follow, nil, "f", unix.ENOTDIR},
		{c, "/d/f/..", follow, nil, "f", unix.ENOTDIR},
		{c, "/d/f", follow | vfs.WantDir, nil, "f", unix.ENOTDIR},
		{c, "/d/l", follow, nil, "f", nil},
		{c, "/d/l/x", follow, nil, "f", unix.ENOTDIR},
		{c, "/d/l", vfs.WantDir, nil, "l", unix.ENOTDIR},
		{c, "/d/dangling", follow, nil, "missing", unix.ENOENT},
		{c, "/d/dangling", 0, nil, "dangling", nil},
		{c, "/abs/missing", follow, nil, "missing", unix.ENOENT},
		{c, "/abs/l/x", follow, nil, "f", unix.ENOTDIR},
		{c, "/loop", follow, nil, "loop", unix.ELOOP},
		{c, "/d/f", 0, isLink, "f", unix.EINVAL},
		{c, "/d", 0, isLink, "d", unix.EINVAL},
		{c, "/d/l", 0, isLink, "l", nil},
		{c, "/d/dangling", 0, isLink, "dangling", nil},
		{c, "/d/missing", 0, isLink, "missing", unix.ENOENT},
		{c, "/d", 0, is, "d", unix.EEXIST},
		{c, "/d/l", 0, is, "l", unix.EEXIST},
		{c, "/d/missing", 0, is, "missing", unix.ENOENT},
		{c, "/d/closed/missing", 0, nil, "missing", unix.ENOENT},
		{user, "/d/closed/missing", 0, nil, "closed", unix.EACCES},
		{user, "/d/missing", 0, nil, "missing", unix.ENOENT},
		{c, "/" + strings.Repeat("n", 255), follow, nil, strings.Repeat("n", 255), unix.ENOENT},
	} {
		if err := ask(v.c, v.name, v.flags, v.f); err != v.want {
			t.Errorf("%s flags %d: a call returns %v, want %v", v.name, v.flags, err, v.want)
		}
		got := foretell(v.c, v.name, v.flags, v.f)
		if got.err != v.want || !got.ok || got.slot != names.Slot(v.last) {
			t.Errorf("%s flags %d: foretold %v, known %v, slot %d; want %v of %s, %d", v.name, v.flags, got.err, got.ok, got.slot, v.want, v.last, names.Slot(v.last))
		}
	}
	// No name is looked up, so none can change.
	for _, name := range []string{"/", "//", "/.", "/.."} {
		if got := foretell(c, name, follow, is); got.ok {
			t.Errorf("%s: foretold %v", name, got.err)
		}
	}
}

func TestForetellAsksNoFileSystem(t *testing.T) {
	c := vfstest.New(newTmpfs(t))
	do(t, c.Mkdir("/d", 0755))
	if got := foretell(c, "/d/missing", vfs.FollowLast, nil); got.ok {
		t.Errorf("what nobody asked for is foretold as %v", got.err)
	}
	if err := ask(c, "/d/missing", vfs.FollowLast, nil); err != unix.ENOENT {
		t.Fatal(err)
	}
	if got := foretell(c, "/d/missing", vfs.FollowLast, nil); !got.ok || got.err != unix.ENOENT {
		t.Errorf("asked for, it is foretold as %v, %v", got.err, got.ok)
	}
	c.FS().Root().Mount().Superblock().Doubt()
	if got := foretell(c, "/d/missing", vfs.FollowLast, nil); got.ok {
		t.Errorf("in doubt it is foretold as %v", got.err)
	}
}

func TestForetellUnsettled(t *testing.T) {
	unsettled := newTmpfs(t)
	unsettled.Settled = false
	c := vfstest.New(newTmpfs(t))
	do(t, c.Mkdir("/m", 0755), c.Mkdir("/d", 0755), c.Symlink("/m/missing", "/through"))
	at, err := vfs.Walk(c, vfs.Path{}, "/m", 0)
	do(t, err, vfs.MountFS(c, unsettled, at, 0))
	at.DecRef()
	do(t, c.Mkdir("/m/d", 0755), c.Symlink("/d", "/m/back"))
	for name, want := range map[string]bool{
		"/missing": true, "/d/missing": true, "/m/missing": false, "/m/d/missing": false, "/through": false,
		"/m/back/missing": false, "/m/d/../../d/missing": false,
	} {
		if err := ask(c, name, vfs.FollowLast, nil); err != unix.ENOENT {
			t.Fatalf("%s: %v", name, err)
		}
		if got := foretell(c, name, vfs.FollowLast, nil); got.ok != want {
			t.Errorf("%s: foretold %v, want %v", name, got.ok, want)
		}
	}
	// Nothing is looked up in /m, but it is searched, and its owner may shut it.
	user := c.As(1000)
	for _, name := range []string{"/m/../missing", "/m/."} {
		want := ask(user, name, 0, isLink)
		if got := foretell(user, name, 0, isLink); got.ok {
			t.Errorf("%s: foretold %v", name, got.err)
		}
		unsettled.Root().Inode().Base().SetMode(unix.S_IFDIR | 0700)
		if err := ask(user, name, 0, isLink); err == want || err != unix.EACCES {
			t.Errorf("%s: before %v, then %v", name, want, err)
		}
		unsettled.Root().Inode().Base().SetMode(unix.S_IFDIR | 0755)
	}
	if got := foretell(user, "/m", 0, isLink); !got.ok || got.err != unix.EINVAL {
		t.Errorf("a mount is no symbolic link: foretold %v, %v", got.err, got.ok)
	}
	root := newTmpfs(t)
	root.Settled = false
	c = vfstest.New(root)
	if err := ask(c, "/missing", 0, nil); err != unix.ENOENT {
		t.Fatal(err)
	}
	if got := foretell(c, "/missing", 0, nil); got.ok {
		t.Error("foretold in a root that is not settled")
	}
}

// world is a random tree that is changed in all manners; see TestForetellHolds.
type world struct {
	c      *vfstest.Caller // root
	more   func() *vfs.Superblock
	mounts int
}

func (w *world) dir(r *rand.Rand) string {
	return [...]string{"", "/a", "/b", "/a/a", "/a/b", "/b/a", "/c/a"}[r.IntN(7)]
}

func (w *world) name(r *rand.Rand) string {
	return w.dir(r) + "/" + [...]string{"a", "b", "c", "x", "y"}[r.IntN(5)]
}

// change changes something, or fails to.
func (w *world) change(r *rand.Rand) string {
	c, n, o := w.c, w.name(r), w.name(r)
	var err error
	what := ""
	switch k := r.IntN(13); k {
	case 0, 1:
		what, err = "mkdir "+n, c.Mkdir(n, 0755)
	case 2:
		what, err = "write "+n, c.Write(n, "x")
	case 3:
		target := [...]string{"a", "../b", "/a/b", "/b", "x", "/c"}[r.IntN(6)]
		what, err = "symlink "+target+" "+n, c.Symlink(target, n)
	case 4:
		what, err = "unlink "+n, vfs.Unlink(c, vfs.Path{}, n, false)
	case 5:
		what, err = "rmdir "+n, vfs.Unlink(c, vfs.Path{}, n, true)
	case 6, 7:
		flags := uint32(0)
		if k == 7 {
			flags = unix.RENAME_EXCHANGE
		}
		what, err = fmt.Sprint("rename ", n, " ", o, " ", flags), vfs.Rename(c, vfs.Path{}, n, vfs.Path{}, o, flags)
	case 12:
		fd, openErr := c.Open("/", unix.O_TMPFILE|unix.O_RDWR, 0600)
		if openErr == nil {
			defer fd.DecRef(c)
			what, err = "link a nameless file to "+n, vfs.Link(c, fd.Path(), vfs.Path{}, n)
		}
	default:
		var p vfs.Path
		if p, err = vfs.Walk(c, vfs.Path{}, n, 0); err != nil {
			return n + " is not there"
		}
		defer p.DecRef()
		switch k {
		case 8:
			mode := [...]uint32{0755, 0700, 0711}[r.IntN(3)]
			what, err = fmt.Sprintf("chmod %o %s", mode, n), vfs.SetStat(c, p, &vfs.SetAttr{Mask: vfs.SetMode, Mode: mode})
		case 9:
			what, err = "chown "+n, vfs.SetStat(c, p, &vfs.SetAttr{Mask: vfs.SetUID, UID: [...]auth.KUID{0, 1000}[r.IntN(2)]})
		case 10:
			if r.IntN(2) == 0 {
				what, err = "link "+n+" "+o, vfs.Link(c, p, vfs.Path{}, o)
			} else if w.mounts < 5 {
				if what, err = "mount "+n, vfs.MountFS(c, w.more(), p, 0); err == nil {
					w.mounts++
				}
			}
		case 11:
			if what, err = "unmount "+n, vfs.Unmount(c, p, unix.MNT_DETACH); err == nil {
				w.mounts--
			} else if o, openErr := vfs.Walk(c, vfs.Path{}, o, 0); openErr == nil && w.mounts < 5 {
				if what, err = "bind "+n, vfs.BindMount(c, p, o, r.IntN(2) == 0); err == nil {
					w.mounts++
				}
				o.DecRef()
			}
		}
	}
	return fmt.Sprint(what, ": ", err)
}

// question is a call that may be foretold.
type question struct {
	c     vfs.Caller
	name  string
	flags vfs.WalkFlags
	f     func(vfs.Path) error
}

// Whatever changes what calls return moves a generation that their answers depend on, and
// what is foretold is what they return.
func TestForetellHolds(t *testing.T) {
	for kind, make := range map[string]func() *vfs.Superblock{
		"tmpfs":   func() *vfs.Superblock { return newTmpfs(t) },
		"overlay": func() *vfs.Superblock { return overlay.New(newMemory(t), newTmpfs(t)) },
	} {
		t.Run(kind, func(t *testing.T) {
			for seed := range uint64(3) {
				hold(t, make, rand.New(rand.NewPCG(seed, 7)))
			}
		})
	}
}

func hold(t *testing.T, make func() *vfs.Superblock, r *rand.Rand) {
	g := generations()
	w := &world{c: vfstest.New(make()), more: func() *vfs.Superblock { return newTmpfs(t) }}
	if err := w.c.Mkdir("/a", 0755); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		foretold
		world, gen uint32
	}
	held := map[string]answer{}
	questions := map[string]question{}
	user := w.c.As(1000)
	known, voided := 0, 0
	for range 1500 {
		did := w.change(r)
		for is, a := range held {
			q := questions[is]
			if a.world != g[names.World].Load() || a.gen != g[a.slot].Load() {
				delete(held, is)
				voided++
			} else if err := ask(q.c, q.name, q.flags, q.f); err != a.err {
				t.Fatalf("after %s, %s returns %v, but %v was to hold until %d changes", did, is, err, a.err, a.slot)
			}
		}
		for range 20 {
			q := question{w.c, w.name(r), [...]vfs.WalkFlags{0, vfs.FollowLast, vfs.WantDir, vfs.FollowLast | vfs.WantDir}[r.IntN(4)], nil}
			q.name += [...]string{"", "", "/", "/x", "/..", "/../b", "/a/b"}[r.IntN(7)]
			as, then := "root", ""
			if r.IntN(2) == 0 {
				q.c, as = user, "user"
			}
			switch r.IntN(3) {
			case 0:
				q.f, then = isLink, "readlink"
			case 1:
				q.f, then = is, "mkdir"
			}
			is := fmt.Sprint(as, " ", q.name, " ", q.flags, " ", then)
			err := ask(q.c, q.name, q.flags, q.f)
			a := answer{foretell(q.c, q.name, q.flags, q.f), g[names.World].Load(), 0}
			if !a.ok {
				continue
			}
			known++
			if a.err != err {
				t.Fatalf("%s returns %v, but %v was foretold", is, err, a.err)
			}
			a.gen = g[a.slot].Load()
			questions[is], held[is] = q, a
		}
	}
	if known < 10000 || voided < 5000 || len(held) < 5 {
		t.Errorf("%d answers were known, %d voided, %d are left: the test asks for the wrong names", known, voided, len(held))
	}
}
