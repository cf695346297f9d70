package gofer

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
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

// listReq fills in a TList of path below fid 1.
func listReq(path string, newFID, count uint32, flags uint8, more ...string) func(*wire.Encoder) {
	return func(e *wire.Encoder) {
		e.U32(1)
		e.U32(newFID)
		e.Str(path)
		e.U32(count)
		e.U8(flags)
		e.U16(uint16(len(more)))
		for _, path := range more {
			e.Str(path)
		}
	}
}

// openReq fills in a TOpenMany below fid 1.
func openReq(paths ...string) func(*wire.Encoder) {
	return func(e *wire.Encoder) {
		e.U32(1)
		e.U16(uint16(len(paths)))
		for _, path := range paths {
			e.Str(path)
		}
	}
}

// A hostile Sentry asks TList and TOpenMany for what is outside, for what is no directory, and with wrong numbers.
func TestListRefuses(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "export")
	for _, d := range []string{dir, filepath.Join(dir, "sub"), filepath.Join(dir, "sub/deep")} {
		if err := os.Mkdir(d, 0755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../..", filepath.Join(dir, "sub/up")); err != nil {
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
		{"sub", 1, unix.EBUSY}, {"link/sub", 2, unix.ELOOP}, {"sub//deep", 2, unix.EINVAL}, {"/sub", 2, unix.EINVAL},
		{"sub/", 2, unix.EINVAL}, {"sub/../sub", 2, unix.EINVAL}, {"sub/./deep", 2, unix.EINVAL}, {"link/../sub", 2, unix.EINVAL},
		{"sub/up", 2, unix.ELOOP}, {"sub/up/export", 2, unix.ELOOP}, {strings.Repeat("a", 256), 2, unix.ENAMETOOLONG},
		{strings.Repeat("a/", 3000) + "a", 2, unix.ENAMETOOLONG},
	} {
		rtyp, d := r.call(wire.TList, listReq(tc.name, tc.newFID, 4096, wire.ListDeep))
		if got := unix.Errno(d.U32()); rtyp != wire.RLError || got != tc.want && !(tc.want == unix.ELOOP && got == unix.ENOTDIR) {
			t.Errorf("list %q as %d: type %d, %v; want %v", tc.name, tc.newFID, rtyp, got, tc.want)
		}
	}
	if rtyp, d := r.call(wire.TList, listReq("sub", wire.NoFID, 4096, 0, make([]string, wire.MaxMore+1)...)); rtyp != wire.RLError || unix.Errno(d.U32()) != unix.EINVAL {
		t.Error("too many further directories are listed")
	}
	for _, n := range []uint16{0, wire.MaxOpenMany + 1, 2} { // the last: two names promised, one there
		rtyp, d := r.call(wire.TOpenMany, func(e *wire.Encoder) { e.U32(1); e.U16(n); e.Str("file") })
		if got := unix.Errno(d.U32()); rtyp != wire.RLError || got != unix.EINVAL {
			t.Errorf("%d names: type %d, %v", n, rtyp, got)
		}
	}
	// Nothing but a regular file comes, and no error of one name hides another's.
	_, d := r.call(wire.TOpenMany, openReq("fifo", "link", "sub", "../export/file", "none", "sub/up", "sub/up/secret", "sub/deep/../../../secret",
		"link/deep", "/etc/passwd", ""))
	d.U16()
	for i, want := range []unix.Errno{unix.ENXIO, unix.ENXIO, unix.ENXIO, unix.EINVAL, unix.ENOENT, unix.ENXIO, unix.ENOTDIR, unix.EINVAL,
		unix.ENOTDIR, unix.EINVAL, unix.EINVAL} {
		if got := unix.Errno(d.U32()); got != want {
			t.Errorf("name %d: %v, want %v", i, got, want)
		}
		d.U64()
		d.U64()
	}
	// Further directories that are not what they should be are left out.
	rtyp, d := r.call(wire.TList, listReq("sub/deep", wire.NoFID, 1<<16, wire.ListDeep, "..", "link", "fifo", "sub/up", "sub/deep/../..", "none"))
	if rtyp != wire.TList+1 || d.Len() != 16+1+4 {
		t.Errorf("a listing of further directories: type %d and %d bytes", rtyp, d.Len())
	}
}

// listed is a directory of a reply to TList.
type listed struct {
	dirno   uint32
	entries []string // name and kind, or target
	bare    int
}

// takeListed takes n entries.
func takeListed(t *testing.T, d *wire.Decoder, dirno, n uint32) listed {
	t.Helper()
	l := listed{dirno: dirno}
	for range n {
		d.U64()
		name := d.Str()
		if kind := d.U8(); kind != 0 {
			l.bare++
			d.U64()
		} else {
			var a wire.Attr
			d.Attr(&a)
			if a.Mode&unix.S_IFMT == unix.S_IFLNK {
				name += ">" + d.Str()
			}
		}
		l.entries = append(l.entries, name)
	}
	if d.Err() != nil {
		t.Fatal("a short reply")
	}
	slices.Sort(l.entries)
	return l
}

// Directories below and beside come along, numbered, with the targets of links, and bare ones without attributes.
func TestListMore(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/b", "c/d", "e"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"a/f", "a/g", "a/b/h", "c/d/i", "c/d/j"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("to/nowhere", filepath.Join(dir, "c/l")); err != nil {
		t.Fatal(err)
	}
	conn, _ := export(t, dir, Options{})
	r := &raw{t, conn}
	hello(t, r)
	for _, flags := range []uint8{wire.ListDeep, wire.ListDeep | wire.ListBare} {
		_, d := r.call(wire.TList, listReq("a", wire.NoFID, 1<<16, flags, "none", "c", "e", "c/d"))
		d.U64()
		d.U64()
		if state := d.U8(); state != wire.ListEnd {
			t.Fatalf("state %d", state)
		}
		got, bare := []listed{takeListed(t, &d, 0, d.U32())}, 0
		for d.Len() > 0 {
			no, n := d.U32(), d.U32()
			got = append(got, takeListed(t, &d, no, n))
		}
		for i := range got {
			bare += got[i].bare
			got[i].bare = 0
		}
		want := []listed{
			{0, []string{"b", "f", "g"}, 0}, {5, []string{"h"}, 0}, {2, []string{"d", "l>to/nowhere"}, 0}, {6, []string{"i", "j"}, 0},
			{3, nil, 0}, {4, []string{"i", "j"}, 0},
		}
		if flags&wire.ListBare != 0 {
			want[2].entries[1] = "l"
			if bare != 7 { // all but the first
				t.Errorf("%d entries are bare", bare)
			}
		} else if bare != 0 {
			t.Errorf("%d entries are bare", bare)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("flags %d: %v, want %v", flags, got, want)
		}
	}
}

// openedWith returns what can be read from the descriptors that came with a reply, sorted.
func openedWith(t *testing.T, fds *os.File) (contents []string) {
	t.Helper()
	var pkt [2]byte
	oob := make([]byte, 2048)
	_, n, _, _, err := unix.Recvmsg(int(fds.Fd()), pkt[:], oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	got, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range got {
		b := make([]byte, 16)
		n, err := unix.Pread(fd, b, 0)
		if err != nil {
			t.Error(err)
		}
		contents = append(contents, string(b[:max(n, 0)]))
		unix.Close(fd)
	}
	slices.Sort(contents)
	return contents
}

// openKinds counts the entries of a whole reply to TList that come with descriptors, and the directories.
func openKinds(t *testing.T, d *wire.Decoder) (open, dirs int) {
	t.Helper()
	d.U64()
	d.U64()
	d.U8()
	for n := d.U32(); ; n = d.U32() {
		dirs++
		for range n {
			d.U64()
			d.Str()
			if d.U8() == wire.EntryOpen {
				open++
			}
			var a wire.Attr
			if d.Attr(&a); a.Mode&unix.S_IFMT == unix.S_IFLNK {
				d.Str()
			}
		}
		if d.Err() != nil {
			t.Fatal("a short reply")
		}
		if d.Len() == 0 {
			return open, dirs
		}
		d.U32()
	}
}

// Regular files that are not empty are opened along with a listing, nothing else is, and no more than may be; those of a
// directory that finds no room are let go of.
func TestListOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/sub"), 0755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"a/one": "1", "a/none": "", "a/sub/two": "2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0644); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "a/fifo"), 0644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("one", filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	conn, fds := export(t, dir, Options{NoDevices: true})
	r := &raw{t, conn}
	hello(t, r)
	size := 0 // of the last reply
	list := func(count uint32, flags uint8) (open, dirs int) {
		t.Helper()
		rtyp, d := r.call(wire.TList, listReq("a", wire.NoFID, count, flags))
		if rtyp&^wire.Donated != (wire.TList+1)&^wire.Donated {
			t.Fatalf("type %d, %v", rtyp, unix.Errno(d.U32()))
		}
		size = d.Len()
		return openKinds(t, &d)
	}
	list(1<<16, 0)
	for _, c := range []struct {
		count uint32
		flags uint8
		dirs  int
		want  []string
	}{
		{1 << 16, wire.ListDeep, 2, nil},
		{1 << 16, wire.ListDeep | wire.ListOpen, 2, []string{"1", "2"}},
		{1 << 16, wire.ListOpen, 1, []string{"1"}},
		{uint32(size) + 30, wire.ListDeep | wire.ListOpen, 1, []string{"1"}}, // sub finds no room
	} {
		open, dirs := list(c.count, c.flags)
		if got := openedWith(t, fds); open != len(c.want) || dirs != c.dirs || !slices.Equal(got, c.want) {
			t.Errorf("%d bytes, flags %d: %d entries of %d directories come with %q; want %q of %d", c.count, c.flags, open, dirs, got, c.want, c.dirs)
		}
	}
	for i := range wire.MaxListOpen + 10 {
		if err := os.WriteFile(filepath.Join(dir, "a", strconv.Itoa(i)), []byte("x"), 0644); err != nil {
			t.Fatal(err)
		}
	}
	open, dirs := list(1<<18, wire.ListDeep|wire.ListOpen)
	if got := openedWith(t, fds); open != wire.MaxListOpen || len(got) != open || dirs != 1 {
		t.Errorf("%d entries of %d directories come with %d descriptors", open, dirs, len(got))
	}
	if n := openBelowHere(t, dir); n > 2 {
		t.Errorf("%d files below are still open", n)
	}
	// Where devices can be, nothing is opened by its name.
	conn, fds = export(t, dir, Options{})
	r = &raw{t, conn}
	hello(t, r)
	if open, _ := list(1<<16, wire.ListOpen); open != 0 || openedWith(t, fds) != nil {
		t.Errorf("%d entries come with descriptors from a tree that may have devices", open)
	}
}

// openBelowHere counts what this process has open below dir.
func openBelowHere(t *testing.T, dir string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, dir+"/") {
			n++
		}
	}
	return n
}
