package goferfs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// underWay is a file system of n files, names in the order of its listing, of which at have been read, and as many as
// that takes for some of the following to be under way.
type underWay struct {
	t     *testing.T
	sb    *vfs.Superblock
	c     *vfstest.Caller
	fs    *fileSystem
	host  string
	names []string
	at    int
}

// listening is gofer.Options of a gofer with a listener, if we may have one.
func listening() gofer.Options { return gofer.Options{Listener: os.Geteuid() == 0} }

func newUnderWay(t *testing.T, n, at int, o gofer.Options) *underWay {
	t.Helper()
	u := &underWay{t: t, host: t.TempDir()}
	for i := range n {
		name := fmt.Sprintf("f%03d", i)
		if err := os.WriteFile(filepath.Join(u.host, name), []byte(name), 0644); err != nil {
			t.Fatal(err)
		}
	}
	u.sb = newServed(t, u.host, Options{}, o)
	u.c = vfstest.New(u.sb)
	u.fs = u.sb.Root().Inode().(*inode).fs
	var err error
	if u.names, err = u.c.List("/"); err != nil {
		t.Fatal(err)
	}
	for u.at < at || len(u.flying()) == 0 {
		if u.at == len(u.names) {
			t.Fatal("nothing is ever under way")
		}
		u.read(u.at, u.names[u.at])
		u.at++
	}
	return u
}

// read checks what is in a file.
func (u *underWay) read(i int, want string) {
	u.t.Helper()
	if s, err := u.c.Read("/" + u.names[i]); s != want || err != nil {
		u.t.Errorf("%s: %q %v, want %q", u.names[i], s, err, want)
	}
}

// flying are the files under way.
func (u *underWay) flying() map[inoKey]bool {
	u.fs.ahead.mu.Lock()
	defer u.fs.ahead.mu.Unlock()
	keys := map[inoKey]bool{}
	for _, fl := range u.fs.ahead.flights {
		for _, k := range fl.keys {
			keys[k] = true
		}
	}
	return keys
}

// arrived counts the descriptors that are ahead.
func arrived(fs *fileSystem) int {
	fs.ahead.mu.Lock()
	defer fs.ahead.mu.Unlock()
	return len(fs.ahead.fds)
}

// first returns the first file under way after those that were read.
func (u *underWay) first() int {
	u.t.Helper()
	keys := u.flying()
	for i := u.at; i < len(u.names); i++ {
		if keys[u.key(i)] {
			return i
		}
	}
	u.t.Fatal("no file of the listing is under way")
	return 0
}

func (u *underWay) key(i int) inoKey {
	u.t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(u.host, u.names[i]), &st); err != nil {
		u.t.Fatal(err)
	}
	return inoKey{st.Dev, st.Ino}
}

// descriptors counts what this process has open below dir.
func descriptors(t *testing.T, dir string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && len(to) > len(dir)+1 && to[:len(dir)+1] == dir+"/" {
			n++
		}
	}
	return n
}

// While a program reads files of a batch the next is under way, and is waited for, not asked for again.
func TestUnderWay(t *testing.T) {
	for _, o := range []gofer.Options{{}, listening()} {
		u := newUnderWay(t, 400, 0, o)
		if !u.fs.isOpen(u.key(u.first())) {
			t.Error("what is under way would be opened again")
		}
		requests, sent := 0, u.fs.client.sent.Load()
		for ; u.at < len(u.names); u.at++ {
			u.read(u.at, u.names[u.at])
			if now := u.fs.client.sent.Load(); now != sent {
				requests, sent = requests+1, now
			}
			if n := len(u.flying()); n > 1<<maxRun {
				t.Fatalf("%d files are under way", n)
			}
		}
		if requests > 20 {
			t.Errorf("%d requests for 400 files", requests)
		}
	}
}

// A file that loses its name while it is under way is not kept, and one made anew under that name is another.
func TestUnderWayUnlinked(t *testing.T) {
	u := newUnderWay(t, 400, 60, gofer.Options{})
	i := u.first()
	key := u.key(i)
	check(t, "unlink", vfs.Unlink(u.c, vfs.Path{}, "/"+u.names[i], false), nil)
	check(t, "write", u.c.Write("/"+u.names[i], "again"), nil)
	// A file that replaces one, and one whose name another takes.
	check(t, "rename", vfs.Rename(u.c, vfs.Path{}, "/"+u.names[i+1], vfs.Path{}, "/"+u.names[i+2], 0), nil)
	check(t, "exchange", vfs.Rename(u.c, vfs.Path{}, "/"+u.names[i+3], vfs.Path{}, "/"+u.names[i+4], unix.RENAME_EXCHANGE), nil)
	u.read(i+5, u.names[i+5]) // is waited for
	if u.flying()[u.key(i+5)] {
		t.Error("what was waited for is still under way")
	}
	if u.fs.ahead.has(key) && key != u.key(i) {
		t.Error("the descriptor of a file without a name is kept")
	}
	u.read(i, "again")
	_, err := u.c.Read("/" + u.names[i+1])
	check(t, "the old name", err, unix.ENOENT)
	u.read(i+2, u.names[i+1])
	u.read(i+3, u.names[i+4])
	u.read(i+4, u.names[i+3])
}

// What was under way to a name that the host has given to another file is not taken for the one it was.
func TestUnderWayReplacedOnHost(t *testing.T) {
	u := newUnderWay(t, 400, 60, gofer.Options{})
	u.fs.ahead.clear()
	name := filepath.Join(u.host, u.names[u.at])
	old := u.key(u.at)
	if err := os.WriteFile(name+".new", []byte("other"), 0644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	u.fs.ahead.begin(u.fs.client, u.fs.root.fid, []string{u.names[u.at]}, []inoKey{old}, nil)
	if fd, _ := u.fs.ahead.take(old); fd >= 0 {
		t.Error("another file was taken for the one that was meant")
	}
	if n := descriptors(t, u.host); n > u.at+2 { // of the idle files, and the gofer's root
		t.Errorf("%d descriptors are open after %d files", n, u.at)
	}
}

// Nobody has to ask for what is under way for it to arrive.
func TestUnderWayAbandoned(t *testing.T) {
	for _, o := range []gofer.Options{{}, listening()} {
		u := newUnderWay(t, 400, 60, o)
		for deadline := time.Now().Add(time.Minute); len(u.flying()) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is under way for ever")
			}
		}
		if arrived(u.fs) == 0 {
			t.Error("nothing arrived")
		}
	}
}

// There is a bound to what is under way, whoever opens what.
func TestUnderWayBound(t *testing.T) {
	u := newUnderWay(t, 400, 60, gofer.Options{})
	for i := range 3 * maxFlights {
		u.fs.ahead.begin(u.fs.client, u.fs.root.fid, u.names[i:i+1], []inoKey{u.key(i)}, nil)
	}
	u.fs.ahead.mu.Lock()
	defer u.fs.ahead.mu.Unlock()
	if n := len(u.fs.ahead.flights); n > maxFlights {
		t.Errorf("%d batches are under way", n)
	}
}

// At the end nothing is left, be it under way, arrived, or lost on the way with the gofer.
func TestUnderWayEnd(t *testing.T) {
	for _, how := range []string{"release", "shrink", "gofer"} {
		u := newUnderWay(t, 400, 60, listening())
		i := u.first()
		sent := []unix.PollFd{{Fd: int32(u.fs.client.donateFD), Events: unix.POLLIN}}
		_, _ = unix.Poll(sent, 50) // unless they were taken in meanwhile
		switch how {
		case "release":
			u.sb.ReleaseFunc()
		case "shrink":
			u.fs.ahead.clear()
		case "gofer": // it has gone before anything was read
			_ = unix.Shutdown(u.fs.client.connFD, unix.SHUT_RDWR)
			_, _ = u.c.Read("/" + u.names[i]) // what was sent before may still arrive
			u.fs.ahead.clear()
		}
		var pkt [2]byte
		if n, _, err := unix.Recvfrom(u.fs.client.donateFD, pkt[:], unix.MSG_DONTWAIT); n > 0 {
			t.Errorf("%s: descriptors are left in the socket (%v)", how, err)
		}
		if n := len(u.flying()) + arrived(u.fs); n > 0 {
			t.Errorf("%s: %d files are ahead", how, n)
		}
		// Those that were read keep theirs.
		if n := descriptors(t, u.host); n > u.at+2 {
			t.Errorf("%s: %d descriptors are open after %d files", how, n, u.at)
		}
	}
}

// Several programs go through a tree while another changes it: each sees files that are whole, and none waits for ever.
func TestUnderWayTogether(t *testing.T) {
	host := t.TempDir()
	tree(t, host, 3)
	sb := newServed(t, host, Options{}, listening())
	within(t, "reading together", func() {
		var readers, writer sync.WaitGroup
		stop := make(chan struct{})
		writer.Go(func() {
			c := vfstest.New(sb)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("/dir%d/file%d", i%3, i%12)
				_ = c.Write(name, filepath.Join(host, fmt.Sprintf("dir%d", i%3))+fmt.Sprint(i%12))
				_ = vfs.Rename(c, vfs.Path{}, name, vfs.Path{}, name+"x", 0)
				_ = vfs.Unlink(c, vfs.Path{}, name+"x", false)
				if i%7 == 0 {
					sb.Shrink()
				}
			}
		})
		for range 4 {
			readers.Go(func() {
				c := vfstest.New(sb)
				for range 5 {
					readAll(t, c, host, "/")
				}
			})
		}
		readers.Wait()
		close(stop)
		writer.Wait()
	})
}

// readAll reads the files below dir, which hold their directory and number, or are gone or empty by now.
func readAll(t *testing.T, c *vfstest.Caller, host, dir string) {
	names, err := c.List(dir)
	if err != nil {
		t.Errorf("list %s: %v", dir, err)
	}
	for _, n := range names {
		path := filepath.Join(dir, n)
		if n[0] == 'd' {
			readAll(t, c, host, path)
			continue
		}
		got, err := c.Read(path)
		want := filepath.Join(host, dir) + n[len("file"):]
		if err == unix.ENOENT || got == "" || want[len(want)-1] == 'x' {
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", path, got, err, want)
		}
	}
}
