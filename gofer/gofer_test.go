package gofer

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/hugelgupf/p9/p9"
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// export serves dir and returns the client's ends.
func export(t *testing.T, dir string, opts Options) (conn, fds *os.File) {
	t.Helper()
	root, err := os.OpenFile(dir, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(typ int) (*os.File, *os.File) {
		p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(p[0]), "a"), os.NewFile(uintptr(p[1]), "b")
	}
	conn, sconn := pair(unix.SOCK_STREAM)
	fds, sfds := pair(unix.SOCK_SEQPACKET)
	done := make(chan error, 1)
	go func() { done <- Serve(root, sconn, sfds, opts) }()
	t.Cleanup(func() {
		_ = unix.Shutdown(int(conn.Fd()), unix.SHUT_RDWR)
		<-done
		conn.Close()
		fds.Close()
	})
	return conn, fds
}

// raw speaks to the server byte by byte, as a hostile Sentry would.
type raw struct {
	t    *testing.T
	conn *os.File
}

func (r *raw) call(typ uint8, fields func(e *wire.Encoder)) (uint8, wire.Decoder) {
	r.t.Helper()
	var e wire.Encoder
	e.Reset()
	fields(&e)
	e.Finish(0, typ, 1)
	if _, err := r.conn.Write(e.B); err != nil {
		r.t.Fatal(err)
	}
	hdr := make([]byte, wire.HeaderSize)
	if _, err := readFull(r.conn, hdr); err != nil {
		r.t.Fatal(err)
	}
	size, rtyp, _ := wire.Header(hdr)
	body := make([]byte, size-wire.HeaderSize)
	if _, err := readFull(r.conn, body); err != nil {
		r.t.Fatal(err)
	}
	return rtyp, wire.NewDecoder(body)
}

func readFull(f *os.File, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := f.Read(b[n:])
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// errno sends a request that must fail.
func (r *raw) errno(typ uint8, fields func(e *wire.Encoder)) unix.Errno {
	r.t.Helper()
	rtyp, d := r.call(typ, fields)
	if rtyp != wire.RLError {
		return 0
	}
	return unix.Errno(d.U32())
}

func greet(t *testing.T, conn *os.File) *raw {
	t.Helper()
	r := &raw{t, conn}
	_, d := r.call(wire.TVersion, func(e *wire.Encoder) { e.U32(1 << 30); e.Str(wire.VersionExt) })
	if m, v := d.U32(), d.Str(); m != wire.MessageSize || v != wire.VersionExt {
		t.Fatalf("Rversion %d %q", m, v)
	}
	if e := r.errno(wire.TAttach, func(e *wire.Encoder) {
		e.U32(0)
		e.U32(wire.NoFID)
		e.Str("")
		e.Str("")
		e.U32(0)
	}); e != 0 {
		t.Fatal(e)
	}
	return r
}

func walkReq(fid, newFID, open uint32, names ...string) func(*wire.Encoder) {
	return func(e *wire.Encoder) {
		e.U32(fid)
		e.U32(open)
		e.U16(uint16(len(names)))
		for i, n := range names {
			num := uint32(wire.NoFID)
			if i == len(names)-1 {
				num = newFID
			}
			e.U32(num)
			e.Str(n)
		}
	}
}

func TestHostileRequests(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "export")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub"), 0755))
	must(os.WriteFile(filepath.Join(top, "secret"), []byte("x"), 0644))
	must(os.Symlink("/etc/shadow", filepath.Join(dir, "shadow")))
	must(os.Symlink("..", filepath.Join(dir, "up")))
	must(unix.Mkfifo(filepath.Join(dir, "fifo"), 0666))
	haveDev := unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0666, int(unix.Mkdev(1, 3))) == nil
	conn, fds := export(t, dir, Options{})
	r := greet(t, conn)

	walkErr := func(open uint32, names ...string) (n uint16, errno unix.Errno) {
		rtyp, d := r.call(wire.TWalkAttr, walkReq(0, 7, open, names...))
		if rtyp&wire.Donated != 0 && rtyp != wire.RLError && rtyp != wire.TWalkAttr+1 {
			t.Errorf("walk of %q: a descriptor was donated", names)
		}
		if rtyp == wire.RLError {
			return 0, unix.Errno(d.U32())
		}
		errno = unix.Errno(d.U32())
		n = d.U16()
		r.call(wire.TClunk, func(e *wire.Encoder) { e.U32(7) })
		return n, errno
	}
	for _, names := range [][]string{
		{".."}, {"sub", "..", "..", "secret"}, {"../secret"}, {"/etc/shadow"}, {""}, {"."}, {"sub/x"}, {"a\x00b"},
	} {
		if n, e := walkErr(unix.O_RDONLY, names...); e != unix.EINVAL || int(n) == len(names) {
			t.Errorf("walk %q: %d nodes, %v", names, n, e)
		}
	}
	if n, e := walkErr(unix.O_RDONLY, "shadow"); n != 1 || e != 0 {
		t.Errorf("a link itself may be looked at: %d %v", n, e)
	}
	if n, e := walkErr(unix.O_RDONLY, "up", "secret"); n != 1 || e != 0 {
		t.Errorf("walk through a link: %d nodes, %v", n, e)
	}
	for _, name := range []string{"shadow", "fifo", "null", "sub"} {
		if name == "null" && !haveDev {
			continue
		}
		r.call(wire.TWalkAttr, walkReq(0, 9, wire.NoOpen, name))
		for _, flags := range []uint32{unix.O_RDONLY, unix.O_RDWR, unix.O_PATH} {
			if e := r.errno(wire.TOpenFD, func(e *wire.Encoder) { e.U32(9); e.U32(flags) }); e != unix.ENXIO {
				t.Errorf("donate %s: %v, want ENXIO", name, e)
			}
		}
		r.call(wire.TClunk, func(e *wire.Encoder) { e.U32(9) })
	}
	for typ := 0; typ < 256; typ++ {
		if handlers[typ] == nil || typ == wire.TVersion || typ == wire.TFlush || typ == wire.TForget || typ == wire.TAttach || typ == wire.TListen {
			continue
		}
		if e := r.errno(uint8(typ), func(e *wire.Encoder) {
			e.U32(12345)
			e.B = append(e.B, make([]byte, 100)...)
		}); e != unix.EBADF {
			t.Errorf("message %d with a fid never issued: %v", typ, e)
		}
		if e := r.errno(uint8(typ), func(e *wire.Encoder) {}); e == 0 {
			t.Errorf("empty message %d succeeded", typ)
		}
	}
	if e := r.errno(wire.TListen, func(e *wire.Encoder) {}); e != unix.ENOSYS {
		t.Errorf("a listener that was not asked for by our side: %v", e)
	}
	if e := r.errno(250, func(e *wire.Encoder) {}); e != unix.ENOSYS {
		t.Errorf("unknown message: %v", e)
	}
	name := func(n string) func(*wire.Encoder) {
		return func(e *wire.Encoder) { e.U32(0); e.Str(n); e.U32(0) }
	}
	for _, n := range []string{"..", "sub/..", "", "."} {
		if e := r.errno(wire.TUnlinkat, name(n)); e != unix.EINVAL {
			t.Errorf("unlink %q: %v", n, e)
		}
	}
	if _, _, err := unix.Recvfrom(int(fds.Fd()), make([]byte, 8), unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("something was donated: %v", err)
	}
	var big [7]byte
	binary.LittleEndian.PutUint32(big[:], 1<<31)
	if _, err := conn.Write(big[:]); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(big[:]); n > 0 {
		t.Errorf("oversize message was answered: %d %v", n, err)
	}
}

func TestFIDLimit(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0755); err != nil {
		t.Fatal(err)
	}
	conn, _ := export(t, dir, Options{})
	r := greet(t, conn)
	var lim unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &lim)
	e := unix.Errno(0)
	for n := uint32(1); n <= wire.MaxFIDs+1 && e == 0; n++ {
		_, d := r.call(wire.TWalkAttr, walkReq(0, n, wire.NoOpen, "d"))
		e = unix.Errno(d.U32())
	}
	if e != unix.ENFILE && e != unix.EMFILE {
		t.Errorf("fids without end: %v", e)
	}
	if e := r.errno(wire.TClunk, func(e *wire.Encoder) { e.U32(1) }); e != 0 {
		t.Errorf("after that a clunk: %v", e)
	}
}

// TestPublicDialect drives the server with another implementation's client.
func TestPublicDialect(t *testing.T) {
	dir := t.TempDir()
	conn, _ := export(t, dir, Options{})
	c, err := p9.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	root, err := c.Attach("/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Mkdir("d", 0750, p9.NoUID, p9.GID(0)); err != nil {
		t.Fatal(err)
	}
	_, d, err := root.Walk([]string{"d"})
	if err != nil {
		t.Fatal(err)
	}
	_, dup, err := d.Walk(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, _, _, err := dup.Create("f", p9.ReadWrite, 0640, p9.NoUID, p9.GID(0))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.WriteAt([]byte("hello"), 3); n != 5 || err != nil {
		t.Fatalf("write: %d %v", n, err)
	}
	b := make([]byte, 100)
	if n, _ := f.ReadAt(b, 0); !bytes.Equal(b[:n], []byte("\x00\x00\x00hello")) {
		t.Errorf("read %q", b[:n])
	}
	if err := f.FSync(); err != nil {
		t.Error(err)
	}
	if err := f.SetAttr(p9.SetAttrMask{Size: true, Permissions: true}, p9.SetAttr{Size: 4, Permissions: 0604}); err != nil {
		t.Error(err)
	}
	if _, _, a, err := f.GetAttr(p9.AttrMaskAll); err != nil || a.Size != 4 || a.Mode != unix.S_IFREG|0604 || a.NLink != 1 {
		t.Errorf("getattr %+v %v", a, err)
	}
	if _, err := d.Symlink("../x", "l", p9.NoUID, 0); err != nil {
		t.Error(err)
	}
	_, l, err := d.Walk([]string{"l"})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := l.Readlink(); s != "../x" || err != nil {
		t.Errorf("readlink %q %v", s, err)
	}
	if err := d.Link(f, "g"); err != nil {
		t.Error(err)
	}
	if err := d.RenameAt("g", root, "h"); err != nil {
		t.Error(err)
	}
	if err := d.UnlinkAt("l", 0); err != nil {
		t.Error(err)
	}
	_, rd, _ := d.Walk(nil)
	if _, _, err := rd.Open(p9.ReadOnly); err != nil {
		t.Fatal(err)
	}
	ents, err := rd.Readdir(0, 8000)
	if err != nil || ents.Find("f") == nil || ents.Find("l") != nil || ents.Find("g") != nil {
		t.Errorf("readdir %v %v", ents, err)
	}
	if _, _, err := root.Walk([]string{"nope"}); err == nil {
		t.Error("walk to nothing")
	}
	if st, err := root.StatFS(); err != nil || st.BlockSize == 0 {
		t.Errorf("statfs %+v %v", st, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "h")); err != nil {
		t.Error(err)
	}
}
