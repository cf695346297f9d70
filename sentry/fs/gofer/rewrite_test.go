package goferfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"ringfort/sentry/limits"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// rewriting is a file that is written through a view.
type rewriting struct {
	*testing.T
	c    *vfstest.Caller
	d    *vfs.Description
	f    *regFile
	host string
}

func newRewriting(t *testing.T, size int, o Options) *rewriting {
	t.Helper()
	return newRewritingIn(t, t.TempDir(), size, o)
}

func newRewritingIn(t *testing.T, dir string, size int, o Options) *rewriting {
	t.Helper()
	r := &rewriting{T: t, c: vfstest.New(newFS(t, dir, o)), host: filepath.Join(dir, "f")}
	r.open(unix.O_CREAT)
	r.timed(false)
	r.write(0, 'a', size)
	return r
}

func (r *rewriting) open(flags uint32) {
	r.Helper()
	d, err := r.c.Open("/f", flags|unix.O_RDWR, 0600)
	if err != nil {
		r.Fatal(err)
	}
	r.d, r.f = d, d.File().(*regFile)
	r.Cleanup(func() { d.DecRef(r.c) })
}

// write writes n bytes and tells whether that was by the view.
func (r *rewriting) write(off int64, b byte, n int) bool {
	r.Helper()
	w := &r.f.in.rewrites
	r.f.in.settleQuietly()
	if got, err := r.d.WriteAt(r.c, usermem.BytesSeq(bytes.Repeat([]byte{b}, n)), off); got != int64(n) || err != nil {
		r.Fatalf("write of %d at %d: %d, %v", n, off, got, err)
	}
	return w.owed.Load()
}

// settleQuietly settles as the timer does.
func (in *inode) settleQuietly() {
	in.mu.Lock()
	in.rewrites.looked = 0
	in.touch()
	in.mu.Unlock()
}

// warm writes until a view is used.
func (r *rewriting) warm(off int64, n int) {
	r.Helper()
	for i := range 2 * (rewriteAfter + rewriteLooked) {
		if r.write(off, byte(i), n) {
			return
		}
	}
	r.Fatal("no write was by a view")
}

// still checks that no more writes are by the view.
func (r *rewriting) still(what string, n int) {
	r.Helper()
	for range 2 * rewriteAfter {
		if r.write(0, 'x', n) {
			r.Fatalf("%s: a write was by a view", what)
		}
	}
}

// timed says whether the timer settles.
func (r *rewriting) timed(on bool) {
	u := &r.f.in.fs.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files = nil; !on {
		u.files = []*inode{r.f.in} // so that no more are waited for
	}
}

func (r *rewriting) read() {
	r.Helper()
	if n, err := r.d.ReadAt(r.c, usermem.BytesSeq(make([]byte, 1)), 0); n != 1 || err != nil {
		r.Fatalf("read: %d, %v", n, err)
	}
}

func (r *rewriting) contents() []byte {
	r.Helper()
	b, err := os.ReadFile(r.host)
	if err != nil {
		r.Fatal(err)
	}
	return b
}

func (r *rewriting) hostTime() time.Time {
	r.Helper()
	st, err := os.Stat(r.host)
	if err != nil {
		r.Fatal(err)
	}
	return st.ModTime()
}

func (r *rewriting) mtime() time.Time {
	r.Helper()
	st, err := r.d.Stat(r.c)
	if err != nil {
		r.Fatal(err)
	}
	if c := time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec)); c.Before(time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec))) {
		r.Errorf("changed %v, before the contents", c)
	}
	return time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec))
}

// tick lets the host's clock go on, which its times are taken from.
func tick() { time.Sleep(30 * time.Millisecond) }

func TestRewriteIsSeen(t *testing.T) {
	r := newRewriting(t, 10000, Options{})
	r.warm(100, 5000)
	m, err := unix.Mmap(r.f.h.any(), 0, 10000, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	for i := range 10 {
		if !r.write(100, byte(i), 5000) && i == 0 {
			t.Error("not by the view")
		}
		want := bytes.Repeat([]byte{'a'}, 10000)
		copy(want[100:], bytes.Repeat([]byte{byte(i)}, 5000))
		got := make([]byte, 10000)
		if n, err := r.d.ReadAt(r.c, usermem.BytesSeq(got), 0); n != 10000 || err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d, %v, or other bytes", n, err)
		}
		if !bytes.Equal(m, want) || !bytes.Equal(r.contents(), want) {
			t.Error("the host sees other bytes")
		}
	}
	check(t, "sync", r.f.Sync(r.c, false), nil)
	r.f.in.rewrites.again.Store(rewriteAfter)
	if !r.write(0, 'q', 1) || !r.f.in.dirty.Load() {
		t.Error("the next sync passes the file by")
	}
}

func TestRewriteTimes(t *testing.T) {
	for _, how := range []string{"looked at", "closed", "synced", "waited for", "by the gofer", "read"} {
		t.Run(how, func(t *testing.T) {
			r := newRewriting(t, 4096, Options{})
			r.warm(0, 4096)
			for range 2 * rereadAfter {
				r.read()
			}
			r.f.in.rewrites.again.Store(rewriteAfter)
			before := r.mtime()
			r.timed(how == "waited for")
			tick()
			if !r.write(0, 'b', 4096) && how != "waited for" {
				t.Fatal("not by the view")
			}
			switch how {
			case "looked at":
				if !r.mtime().After(before) {
					t.Error("the time stands still")
				}
			case "closed":
				d, err := r.c.Open("/f", unix.O_RDONLY, 0)
				check(t, "open", err, nil)
				d.DecRef(r.c)
			case "synced":
				check(t, "sync", r.f.Sync(r.c, true), nil)
			case "waited for":
				for !r.hostTime().After(before) {
					time.Sleep(time.Millisecond)
				}
			case "by the gofer":
				r.f.in.fs.unsettled.never.Store(true)
				r.mtime()
			case "read":
				r.read()
				st, err := r.d.Stat(r.c)
				check(t, "stat", err, nil)
				if st.Atime.Sec < st.Mtime.Sec || st.Atime.Sec == st.Mtime.Sec && st.Atime.Nsec < st.Mtime.Nsec {
					t.Error("read before it was written")
				}
			}
			if !r.hostTime().After(before) || !r.mtime().Equal(r.hostTime()) {
				t.Errorf("%v before, then %v, on the host %v", before, r.mtime(), r.hostTime())
			}
			if how == "by the gofer" {
				r.still("a host without times", 4096)
			}
		})
	}
}

// Times keep being those of the last write: they do not move when nothing is written.
func TestRewriteTimeStays(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	for range 3 {
		r.warm(0, 4096)
		at := r.mtime()
		tick()
		if r.write(0, 'c', 4096); !r.mtime().After(at) {
			t.Error("the time stands still")
		}
		at = r.mtime()
		tick()
		if !r.mtime().Equal(at) {
			t.Error("the time moves")
		}
	}
}

func TestRewriteThenSetTimes(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	r.warm(0, 4096)
	r.write(0, 'b', 4096)
	check(t, "futimens", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetMTime, MTime: 5e9}), nil)
	tick()
	r.f.in.settleQuietly()
	if r.mtime().Unix() != 5 || r.hostTime().Unix() != 5 {
		t.Errorf("the time is %v, on the host %v", r.mtime(), r.hostTime())
	}
	if r.warm(0, 4096); r.mtime().Unix() == 5 {
		t.Error("the time stands still")
	}
}

// Who looks after each write is better off with the host's.
func TestRewriteLookedAt(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	views := 0
	for range 2 * rewriteMost {
		if _, err := r.d.WriteAt(r.c, usermem.BytesSeq(make([]byte, 4096)), 0); err != nil {
			t.Fatal(err)
		}
		if r.f.in.rewrites.owed.Load() {
			views++
		}
		r.mtime()
	}
	if views < 2 || views > 10 {
		t.Errorf("%d writes were by the view", views)
	}
}

// What the host has shortened meanwhile is written by it.
func TestRewriteFaults(t *testing.T) {
	r := newRewriting(t, 12288, Options{})
	r.warm(4096, 8192)
	r.f.in.settleQuietly()
	if err := os.Truncate(r.host, 4096); err != nil {
		t.Fatal(err)
	}
	r.write(4096, 'b', 8192)
	want := append(bytes.Repeat([]byte{'a'}, 4096), bytes.Repeat([]byte{'b'}, 8192)...)
	if !bytes.Equal(r.contents(), want) {
		t.Errorf("%d bytes, or others", len(r.contents()))
	}
}

// To settle makes no file longer that others have shortened.
func TestRewriteSettlesShort(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	r.warm(0, 4096)
	if err := os.Truncate(r.host, 10); err != nil {
		t.Fatal(err)
	}
	before := r.hostTime()
	tick()
	if r.mtime(); len(r.contents()) != 10 || !r.hostTime().After(before) {
		t.Errorf("%d bytes, at %v", len(r.contents()), r.hostTime())
	}
}

// Where there is no room for what was never written the host says so.
func TestRewriteOfAHole(t *testing.T) {
	dir := t.TempDir()
	switch err := unix.Mount("rewrite", dir, "tmpfs", 0, "size=64k"); err {
	case nil:
	case unix.EPERM:
		t.Skip("needs the right to mount a tmpfs")
	default:
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // not all descriptors are closed
	r := newRewritingIn(t, dir, 1, Options{})
	r.write(1<<20, 'b', 4096)
	r.warm(1<<20, 4096)
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if n, err := r.d.WriteAt(r.c, usermem.BytesSeq(make([]byte, 4096)), 8192); n != 0 || err != unix.ENOSPC {
		t.Errorf("%d, %v", n, err)
	}
	if !r.write(1<<20, 'c', 4096) {
		t.Error("what is there is no longer written through the view")
	}
}

func TestRewriteThenTruncate(t *testing.T) {
	r := newRewriting(t, 5000, Options{})
	r.warm(0, 5000)
	r.f.in.settleQuietly()
	check(t, "truncate", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetSize, Size: 100}), nil)
	r.write(50, 'b', 100)
	check(t, "truncate", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetSize, Size: 200}), nil)
	want := append(bytes.Repeat([]byte{'b'}, 150), make([]byte, 50)...)
	if got := r.contents(); !bytes.Equal(got[50:], want[50:]) || len(got) != 200 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if r.write(100, 'c', 200); len(r.contents()) != 300 {
		t.Error("the write beyond the end is lost")
	}
	r.warm(0, 300)
	if err := r.f.Allocate(r.c, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 300); err != nil {
		t.Fatal(err)
	}
	if r.write(0, 'd', 300); !bytes.Equal(r.contents(), bytes.Repeat([]byte{'d'}, 300)) {
		t.Error("other bytes")
	}
}

func TestRewriteThenCollapse(t *testing.T) {
	r := newRewriting(t, 12388, Options{})
	r.warm(0, 12388)
	r.f.in.settleQuietly()
	switch err := r.f.Allocate(r.c, unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096); err {
	case nil:
	case unix.EOPNOTSUPP:
		t.Skip("the file system cannot take a range out of a file")
	default:
		t.Fatal(err)
	}
	if r.write(8200, 'z', 1000); len(r.contents()) != 9200 {
		t.Errorf("%d bytes", len(r.contents()))
	}
}

// What comes between the parts of a write counts.
func TestRewriteOvertaken(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	r.warm(0, 4096)
	r.f.in.settleQuietly()
	w := &r.f.in.rewrites
	from, to := make([]byte, 4096), make([]byte, 4096)
	m := &mover{in: r.f.in, pos: 1, view: unsafe.Pointer(&to[0])}
	b := []usermem.Block{{Ptr: unsafe.Pointer(&from[0]), Len: len(from)}}
	if n, err := m.put(b); n != 0 || err == nil {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	w.mu.RLock()
	m.pos = 0
	if n, err := m.put(b); n != 0 || err == nil {
		t.Errorf("while the file changes: %d, %v", n, err)
	}
	w.mu.RUnlock()
	w.mu.Lock()
	w.again.Store(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.write(0, 'h', 4096)
	}()
	time.Sleep(20 * time.Millisecond)
	select {
	case <-done:
		t.Error("the host writes in the middle of a write to the view")
	default:
	}
	w.mu.Unlock()
	<-done
	w.again.Store(rewriteAfter)
	changes := w.changes.Load()
	check(t, "setxattr", r.f.in.SetXattr(r.c, "user.a", []byte("b"), 0), nil)
	if r.f.wrote(4096, changes); w.limit.Load() != 0 {
		t.Error("a change between a write and its end is missed")
	}
}

func TestRewriteTakesSetID(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	r.warm(0, 4096)
	check(t, "chmod", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetMode, Mode: 06755}), nil)
	u := r.c.As(1000)
	if _, err := r.d.WriteAt(u, usermem.BytesSeq(make([]byte, 4096)), 0); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(r.host); st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		t.Errorf("after a write: %v", st.Mode())
	}
	check(t, "chmod", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetMode, Mode: 04755}), nil)
	r.still("set-user-ID", 4096)
}

func TestRewriteLeavesToTheHost(t *testing.T) {
	r := newRewriting(t, 4096, Options{})
	r.warm(0, 4096)
	r.open(unix.O_SYNC)
	r.still("O_SYNC", 100)
	r.open(unix.O_APPEND)
	if r.write(0, 'b', 100); len(r.contents()) < 4196 {
		t.Error("not appended")
	}
	r.open(0)
	if r.write(4000, 'c', 4096); len(r.contents()) != 8096 {
		t.Error("the write beyond the end is lost")
	}
	r.warm(0, 4096)
	r.f.in.settleQuietly()
	if _, err := r.d.WriteAt(r.c, usermem.BytesSeq(make([]byte, 10)), -1); err != unix.EINVAL || r.f.in.rewrites.owed.Load() {
		t.Errorf("before the beginning: %v, or by the view", err)
	}
	s := newRewriting(t, 4096, Options{Shared: true})
	s.still("a shared file", 4096)
	big := newRewriting(t, 4096, Options{})
	check(t, "truncate", big.d.SetStat(big.c, &vfs.SetAttr{Mask: vfs.SetSize, Size: rereadFile + 1}), nil)
	big.still("a big file", 4096)
}

func TestRewriteObeysTheLimit(t *testing.T) {
	r := newRewriting(t, 8192, Options{})
	r.warm(0, 8192)
	r.c.Lim.Put(unix.RLIMIT_FSIZE, limits.Limit{Cur: 1000, Max: 1000})
	b := bytes.Repeat([]byte{'l'}, 8192)
	if n, err := r.d.WriteAt(r.c, usermem.BytesSeq(b), 0); n != 1000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := r.d.WriteAt(r.c, usermem.BytesSeq(b), 1000); n != 0 || err != unix.EFBIG || len(r.c.Signals) != 1 {
		t.Errorf("%d, %v, signals %v", n, err, r.c.Signals)
	}
	if got := r.contents(); got[999] != 'l' || got[1000] == 'l' {
		t.Error("other bytes")
	}
}

func TestRewriteEndsWithTheDescriptors(t *testing.T) {
	before := windowCount.Load()
	r := newRewriting(t, 4096, Options{})
	r.warm(0, 4096)
	if windowCount.Load() != before+1 {
		t.Errorf("%d windows", windowCount.Load()-before)
	}
	r.write(0, 'e', 4096)
	reopen := func() {
		r.f.in.mu.Lock()
		r.f.in.closeData()
		r.f.in.mu.Unlock()
		if windowCount.Load() != before || r.f.in.rewrites.owed.Load() {
			t.Errorf("%d windows remain", windowCount.Load()-before)
		}
		h, err := r.f.in.open(true)
		check(t, "open", err, nil)
		r.f.h = h
	}
	reopen()
	r.warm(0, 4096)
	r.f.in.settleQuietly()
	r.mtime()
	r.f.in.rewrites.again.Store(rewriteAfter)
	if reopen(); r.write(0, 'e', 4096) {
		t.Error("a descriptor opened anew is mapped at once")
	}
}

// Writers through the view, truncation and the host's writes do not mix: what is beyond the end is never written, and a
// write is there as a whole or not.
func TestRewriteTogether(t *testing.T) {
	const n = 4096 + 100
	r := newRewriting(t, n, Options{})
	r.warm(0, n)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			b := bytes.Repeat([]byte{'A' + byte(w)}, n)
			for i := range 2000 {
				if got, err := r.d.WriteAt(r.c, usermem.BytesSeq(b[:n-i%2*50]), 0); err != nil || got < n-50 {
					t.Errorf("write: %d, %v", got, err)
				}
				if _, err := r.d.Stat(r.c); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for range 500 {
		check(t, "truncate", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetSize, Size: 4096 + 10}), nil)
		check(t, "truncate", r.d.SetStat(r.c, &vfs.SetAttr{Mask: vfs.SetSize, Size: 8000}), nil)
		got := r.contents()
		if len(got) != 8000 || !bytes.Equal(got[n:], make([]byte, 8000-n)) {
			t.Fatalf("%d bytes, and beyond the last write %q", len(got), got[n:])
		}
	}
	wg.Wait()
	got := r.contents()
	for i := range got[:4096+10] {
		if got[i] != got[0] {
			t.Fatalf("byte %d is %q, the first %q", i, got[i], got[0])
		}
	}
}
