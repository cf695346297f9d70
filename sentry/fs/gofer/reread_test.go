package goferfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
)

// What is read again and again is viewed, but not if a descriptor comes and goes with each time.
func TestRereadAnew(t *testing.T) {
	host := t.TempDir()
	data := strings.Repeat("x", 1000) // as much as Read asks for: only whole reads are from a view
	if err := os.WriteFile(filepath.Join(host, "f"), []byte(data), 0644); err != nil {
		t.Fatal(err)
	}
	c := vfstest.New(newFS(t, host, Options{}))
	p, err := vfs.Walk(c, vfs.Path{}, "/f", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.DecRef()
	in := p.Inode().(*inode)
	for _, anew := range []bool{true, false} {
		for range 3 * rereadAfter {
			if s, err := c.Read("/f"); s != data || err != nil {
				t.Fatalf("%d bytes, %v", len(s), err)
			}
			in.mu.Lock()
			if n := len(in.data.windows); anew && n > 0 {
				t.Errorf("%d views", n)
			}
			if anew {
				in.closeData()
			}
			in.mu.Unlock()
		}
	}
	if len(in.data.windows) == 0 {
		t.Error("a file that is read again and again is not viewed")
	}
}
