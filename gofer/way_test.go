package gofer

import (
	"os"
	"path/filepath"
	"testing"

	"ringfort/gofer/wire"
)

// The way of one path serves the next of the same request, and none of a later request.
func TestWayIsForOneRequest(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/b", "c/b"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"a/b/one": "1", "a/b/two": "22", "c/b/one": "333"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conn, _ := export(t, dir, Options{})
	r := &raw{t, conn}
	hello(t, r)
	inodes := func(paths ...string) (list []uint64) {
		_, d := r.call(wire.TOpenMany, openReq(paths...))
		for range d.U16() {
			if errno := d.U32(); errno != 0 {
				t.Errorf("open %q: errno %d", paths, errno)
			}
			d.U64()
			list = append(list, d.U64())
		}
		return list
	}
	first := inodes("a/b/one", "a/b/two", "c/b/one", "a/b/one")
	if len(first) != 4 || first[0] != first[3] || first[0] == first[1] || first[0] == first[2] {
		t.Fatalf("inodes %d of a/b/one, a/b/two, c/b/one, a/b/one", first)
	}
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "c"), filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if again := inodes("a/b/one"); len(again) != 1 || again[0] != first[2] {
		t.Errorf("a/b/one is inode %d now, want %d, for another directory is there", again, first[2])
	}
}
