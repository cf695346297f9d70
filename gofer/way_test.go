package gofer

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// Of a path that is longer than what is held of a way each name counts, also behind one that begins alike.
func TestLongWay(t *testing.T) {
	dir := t.TempDir()
	deep := strings.Repeat("d/", maxWay+3)
	want := map[string]string{}
	for _, way := range []string{deep, deep[2:], deep + "e/", deep[:2*maxWay] + "e/", deep[:2*(maxWay-1)] + "e/", "e/"} {
		if err := os.MkdirAll(filepath.Join(dir, way), 0o755); err != nil {
			t.Fatal(err)
		}
		want[way+"file"] = way
		if err := os.WriteFile(filepath.Join(dir, way, "file"), []byte(way), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(base)
	var s server
	for range 5 { // in several orders
		for path, text := range want {
			fd, err := s.openBelow(base, path, openFlags)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			f := os.NewFile(uintptr(fd), path)
			got, err := io.ReadAll(f)
			f.Close()
			if string(got) != text || err != nil {
				t.Errorf("%s is %q, %v", path, got, err)
			}
			if n := len(s.way.steps); n > maxWay {
				t.Errorf("%d directories are held open", n)
			}
		}
	}
	s.leave()
	if n := openBelowHere(t, dir); n != 0 {
		t.Errorf("%d directories are still open", n)
	}
}
