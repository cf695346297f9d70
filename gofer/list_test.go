package gofer

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// hello agrees on the extension and attaches fid 1.
func hello(t *testing.T, r *raw) {
	t.Helper()
	r.call(wire.TVersion, func(e *wire.Encoder) { e.U32(wire.MessageSize); e.Str(wire.VersionExt) })
	r.call(wire.TAttach, func(e *wire.Encoder) { e.U32(1); e.U32(wire.NoFID); e.Str(""); e.Str(""); e.U32(0) })
}

func place1(e *wire.Encoder, name string, newFID uint32) {
	e.U32(1)
	e.U32(newFID)
	e.Str(name)
}

// A hostile Sentry asks TList and TOpenMany for what is outside, for what is no directory, and with wrong numbers.
func TestListRefuses(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "export")
	for _, d := range []string{dir, filepath.Join(dir, "sub")} {
		if err := os.Mkdir(d, 0755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0644); err != nil {
		t.Fatal(err)
	}
	conn, _ := export(t, dir, Options{})
	r := &raw{t, conn}
	hello(t, r)
	for _, tc := range []struct {
		name   string
		newFID uint32
		want   unix.Errno
	}{
		{"..", 2, unix.EINVAL}, {".", 2, unix.EINVAL}, {"sub/..", 2, unix.EINVAL}, {"a\x00b", 2, unix.EINVAL},
		{"link", 2, unix.ELOOP}, {"fifo", 2, unix.ENOTDIR}, {"file", 2, unix.ENOTDIR}, {"none", 2, unix.ENOENT},
		{"sub", 1, unix.EBUSY}, {"sub", wire.NoFID, unix.EINVAL},
	} {
		for _, typ := range []uint8{wire.TList, wire.TOpenMany} {
			rtyp, d := r.call(typ, func(e *wire.Encoder) {
				place1(e, tc.name, tc.newFID)
				if typ == wire.TList {
					e.U32(4096)
					e.U8(1)
				} else {
					e.U16(1)
					e.Str("file")
				}
			})
			if got := unix.Errno(d.U32()); rtyp != wire.RLError || got != tc.want && !(tc.want == unix.ELOOP && got == unix.ENOTDIR) {
				t.Errorf("message %#x of %q as %d: type %d, %v; want %v", typ, tc.name, tc.newFID, rtyp, got, tc.want)
			}
		}
	}
	for _, n := range []uint16{0, wire.MaxOpenMany + 1, 2} { // the last: two names promised, one there
		rtyp, d := r.call(wire.TOpenMany, func(e *wire.Encoder) { place1(e, "", wire.NoFID); e.U16(n); e.Str("file") })
		if got := unix.Errno(d.U32()); rtyp != wire.RLError || got != unix.EINVAL {
			t.Errorf("%d names: type %d, %v", n, rtyp, got)
		}
	}
	// Nothing but a regular file comes, and no error of one name hides another's.
	_, d := r.call(wire.TOpenMany, func(e *wire.Encoder) {
		place1(e, "", wire.NoFID)
		names := []string{"fifo", "link", "sub", "../export/file", "none"}
		e.U16(uint16(len(names)))
		for _, n := range names {
			e.Str(n)
		}
	})
	d.U16()
	for i, want := range []unix.Errno{unix.ENXIO, unix.ENXIO, unix.ENXIO, unix.EINVAL, unix.ENOENT} {
		if got := unix.Errno(d.U32()); got != want {
			t.Errorf("name %d: %v, want %v", i, got, want)
		}
		d.U64()
		d.U64()
	}
}
