package gofer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/gofer/wire"
)

// message is a whole request.
func message(typ uint8, fields func(e *wire.Encoder)) []byte {
	var e wire.Encoder
	e.Reset()
	fields(&e)
	e.Finish(0, typ, 1)
	return e.B
}

// FuzzServer sends bytes of any kind behind a proper greeting, as a hostile Sentry would. The server ends when the peer
// does, and what lies beside its export stays as it was.
func FuzzServer(f *testing.F) {
	fid := func(fid uint32, more ...byte) func(*wire.Encoder) {
		return func(e *wire.Encoder) { e.U32(fid); e.B = append(e.B, more...) }
	}
	walk := message(wire.TWalkAttr, walkReq(0, 1, wire.NoOpen, "sub", "file"))
	open := message(wire.TWalkAttr, walkReq(0, 2, unix.O_RDWR, "file"))
	var all []byte
	for typ := range 256 {
		if handlers[typ] == nil || typ == wire.TVersion {
			continue
		}
		m := append(append([]byte{}, walk...), message(uint8(typ), fid(1, make([]byte, 64)...))...)
		f.Add(m)
		all = append(all, m...)
		f.Add(message(uint8(typ), fid(0, 4, 0, 'n', 'a', 'm', 'e', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)))
	}
	f.Add(append(all, open...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	top := f.TempDir()
	secret := filepath.Join(top, "secret")
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := filepath.Join(top, "export")
		os.RemoveAll(dir)
		for _, err := range []error{
			os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "file"), []byte("a"), 0o644),
			os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("b"), 0o644), os.Symlink("..", filepath.Join(dir, "up")),
			os.WriteFile(secret, []byte("secret"), 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		exchange(t, dir, data)
		if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
			t.Errorf("beside the export: %q, %v", b, err)
		}
		if list, err := os.ReadDir(top); err != nil || len(list) != 2 {
			t.Errorf("beside the export: %v, %v", list, err)
		}
	})
}

// exchange serves dir to a peer that greets, sends data and hangs up.
func exchange(t *testing.T, dir string, data []byte) {
	root, err := os.OpenFile(dir, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2][2]*os.File
	for i, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = [2]*os.File{os.NewFile(uintptr(p[0]), "peer"), os.NewFile(uintptr(p[1]), "server")}
		defer ends[i][0].Close()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = Serve(root, ends[0][1], ends[1][1], Options{})
	}()
	for _, peer := range []*os.File{ends[0][0], ends[1][0]} {
		go func() {
			var b [4096]byte
			for {
				if n, err := peer.Read(b[:]); n <= 0 || err != nil {
					return
				}
			}
		}()
	}
	hello := message(wire.TVersion, func(e *wire.Encoder) { e.U32(1 << 30); e.Str(wire.VersionExt) })
	hello = append(hello, message(wire.TAttach, func(e *wire.Encoder) {
		e.U32(0)
		e.U32(wire.NoFID)
		e.Str("")
		e.Str("")
		e.U32(0)
	})...)
	_, _ = ends[0][0].Write(append(hello, data...))
	_ = unix.Shutdown(int(ends[0][0].Fd()), unix.SHUT_WR)
	select {
	case <-ended:
	case <-time.After(20 * time.Second): // for ever
		t.Fatal("the server does not end")
	}
}
