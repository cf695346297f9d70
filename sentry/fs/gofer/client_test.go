package goferfs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/gofer"
	"ringfort/gofer/wire"
)

// serve exports dir through a gofer in this process and returns a client of it. It has a listener if we may.
func serve(t testing.TB, dir string, opts gofer.Options) (*Client, FID) {
	t.Helper()
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
	opts.Listener = os.Geteuid() == 0
	go func() { done <- gofer.Serve(root, ends[2], ends[3], opts) }()
	c, err := NewClient(ends[0], ends[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := <-done; err != nil {
			t.Errorf("gofer: %v", err)
		}
	})
	f, err := c.Attach()
	if err != nil {
		t.Fatal(err)
	}
	return c, f
}

func TestClient(t *testing.T) {
	dir := t.TempDir()
	c, root := serve(t, dir, gofer.Options{})
	a, d, _, err := c.Make(root, &NewFile{Name: "d", Mode: unix.S_IFDIR | 02755, UID: 5, GID: 6}, true, wire.NoOpen, nil)
	if err != nil || a.Mode != unix.S_IFDIR|02755 || a.UID != 5 || a.GID != 6 {
		t.Fatalf("mkdir: %+v %v", a, err)
	}
	a, f, fd, err := c.Make(d, &NewFile{Name: "f", Mode: unix.S_IFREG | 04711, UID: 7, GID: 8}, true, unix.O_RDWR, nil)
	if err != nil || fd < 0 || a.Mode != unix.S_IFREG|04711 || a.UID != 7 {
		t.Fatalf("create: %+v %d %v", a, fd, err)
	}
	if _, err := unix.Pwrite(fd, []byte("data"), 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if _, _, _, err := c.Make(d, &NewFile{Name: "f", Mode: unix.S_IFREG}, false, unix.O_RDWR, nil); err != unix.EEXIST {
		t.Errorf("create over a file: %v", err)
	}
	if _, _, _, err := c.Make(d, &NewFile{Name: "l", Mode: unix.S_IFLNK | 0777, Target: "f"}, false, wire.NoOpen, nil); err != nil {
		t.Error(err)
	}
	r, err := c.Walk(root, []string{"d", "f"}, true, unix.O_RDONLY)
	if err != nil || len(r.Nodes) != 2 || r.Err != 0 || r.FD < 0 || r.Nodes[1].FID == NoFID || r.Nodes[1].Size != 4 {
		t.Fatalf("walk: %+v %v", r, err)
	}
	b := make([]byte, 10)
	if n, _ := unix.Pread(r.FD, b, 0); string(b[:n]) != "data" {
		t.Errorf("read %q", b[:n])
	}
	if _, err := unix.Pwrite(r.FD, b, 0); err != unix.EBADF {
		t.Errorf("writing a read-only descriptor: %v", err)
	}
	unix.Close(r.FD)
	r, err = c.Walk(root, []string{"d", "l", "x"}, true, wire.NoOpen)
	if err != nil || len(r.Nodes) != 2 || r.Err != 0 || r.Nodes[1].Target != "f" {
		t.Errorf("walk through a link: %+v %v", r, err)
	}
	r, err = c.Walk(root, []string{"d", "no", "x"}, true, wire.NoOpen)
	if err != nil || len(r.Nodes) != 1 || r.Err != unix.ENOENT {
		t.Errorf("walk to nothing: %+v %v", r, err)
	}
	a, err = c.SetAttr(f, &Change{
		Valid: wire.SetMode | wire.SetUID | wire.SetSize | wire.SetMTime | wire.SetMTimeVal, Mode: 06755, UID: 1, Size: 2,
		MTime: wire.Time{Sec: 1000, Nsec: 7},
	})
	if err != nil || a.Mode != unix.S_IFREG|06755 || a.UID != 1 || a.GID != 8 || a.Size != 2 || a.MTime != (wire.Time{Sec: 1000, Nsec: 7}) {
		t.Errorf("setattr: %+v %v", a, err)
	}
	if err := c.Rename(d, "f", root, "g", unix.RENAME_NOREPLACE, nil); err != nil {
		t.Error(err)
	}
	if err := c.Link(f, d, "h"); err != nil {
		t.Error(err)
	}
	ents, state, err := c.Readdir(d, 0)
	if err != nil || state != wire.ListEnd || len(ents) != 2 {
		t.Errorf("readdir %+v %v %v", ents, state, err)
	}
	if err := c.SetXattr(f, "user.k", []byte("v"), 0); err != nil && err != unix.EOPNOTSUPP {
		t.Error(err)
	} else if err == nil {
		if v, err := c.GetXattr(f, "user.k"); string(v) != "v" || err != nil {
			t.Errorf("xattr %q %v", v, err)
		}
		if v, err := c.ListXattr(f); string(v) != "user.k\x00" || err != nil {
			t.Errorf("xattrs %q %v", v, err)
		}
		if err := c.RemoveXattr(f, "user.k"); err != nil {
			t.Error(err)
		}
	}
	for _, err := range []error{c.Sync(f), c.Sync(d), c.Allocate(f, 0, 0, 4096), c.Unlink(d, "h", 0), c.Unlink(root, "g", 0)} {
		if err != nil {
			t.Error(err)
		}
	}
	// The file has no name any more, the fid still means it.
	if fd, err := c.Open(f, unix.O_RDWR); err != nil {
		t.Errorf("open unlinked: %v", err)
	} else {
		unix.Close(fd)
	}
	if _, err := c.StatFS(root); err != nil {
		t.Error(err)
	}
	c.Close()
	if _, err := c.Open(f, unix.O_RDONLY); err != unix.EIO {
		t.Errorf("after Close: %v", err)
	}
}

func TestClientConcurrent(t *testing.T) {
	dir := t.TempDir()
	for i := range 600 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%03d", i)), fmt.Appendf(nil, "%03d", i), 0644); err != nil {
			t.Fatal(err)
		}
	}
	c, root := serve(t, dir, gofer.Options{ReadOnly: true})
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			b := make([]byte, 4)
			for i := range 600 {
				i = (i + g*37) % 600
				r, err := c.Walk(root, []string{fmt.Sprintf("file%03d", i)}, i%2 == 0, unix.O_RDONLY)
				if err != nil || r.FD < 0 {
					t.Errorf("walk %d: %+v %v", i, r, err)
					return
				}
				if n, _ := unix.Pread(r.FD, b, 0); string(b[:n]) != fmt.Sprintf("%03d", i) {
					t.Errorf("descriptor of file %d holds %q", i, b[:n])
				}
				unix.Close(r.FD)
				c.Forget(r.Nodes[0].FID)
				if g == 0 && i%100 == 0 {
					if err := c.Sync(root); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if _, _, _, err := c.Make(root, &NewFile{Name: "x", Mode: unix.S_IFREG}, false, wire.NoOpen, nil); err != unix.EROFS {
		t.Errorf("create on a read-only export: %v", err)
	}
	if _, err := c.Walk(root, []string{"file000"}, false, unix.O_RDWR); err != nil {
		t.Error(err)
	}
}

func BenchmarkWalkOpen(b *testing.B) {
	dir := b.TempDir()
	_ = os.WriteFile(filepath.Join(dir, "f"), nil, 0644)
	c, root := serve(b, dir, gofer.Options{})
	for b.Loop() {
		r, err := c.Walk(root, []string{"f"}, false, unix.O_RDONLY)
		if err != nil || r.FD < 0 {
			b.Fatal(err)
		}
		unix.Close(r.FD)
	}
}
