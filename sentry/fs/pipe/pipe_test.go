package pipe

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/socket/sockettest"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// ends returns the two ends of a pipe and descriptions of them.
func ends(flags uint32) (c *sockettest.Caller, r, w *File, rd, wd *vfs.Description) {
	r, w = NewEnds()
	return sockettest.New(), r, w, vfs.NewAnonDescription(r, "pipe:[%d]", unix.S_IFIFO|0600, unix.O_RDONLY|flags),
		vfs.NewAnonDescription(w, "pipe:[%d]", unix.S_IFIFO|0600, unix.O_WRONLY|flags)
}

func put(t *testing.T, c *sockettest.Caller, d *vfs.Description, s string) (int64, error) {
	t.Helper()
	return d.Write(c, usermem.BytesSeq([]byte(s)))
}

func get(t *testing.T, c *sockettest.Caller, d *vfs.Description, n int) (string, error) {
	t.Helper()
	b := make([]byte, n)
	m, err := d.Read(c, usermem.BytesSeq(b))
	return string(b[:m]), err
}

func TestStream(t *testing.T) {
	c, r, w, rd, wd := ends(0)
	if _, err := get(t, c, rd, 10); err != unix.EAGAIN {
		t.Errorf("empty: %v", err)
	}
	for _, s := range []string{"hello ", "world"} {
		if n, err := put(t, c, wd, s); n != int64(len(s)) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if s, err := get(t, c, rd, 8); s != "hello wo" || err != nil {
		t.Errorf("read %q, %v", s, err)
	}
	if ev := r.Poll(wait.All); ev != wait.Readable {
		t.Errorf("poll %#x", ev)
	}
	w.Release(c)
	if s, err := get(t, c, rd, 8); s != "rld" || err != nil {
		t.Errorf("read %q, %v", s, err)
	}
	if s, err := get(t, c, rd, 8); s != "" || err != nil {
		t.Errorf("end of file: %q, %v", s, err)
	}
	if ev := r.Poll(wait.All); ev != wait.HUp {
		t.Errorf("poll at end %#x", ev)
	}
}

func TestFull(t *testing.T) {
	c, _, w, rd, wd := ends(0)
	if n, err := put(t, c, wd, strings.Repeat("x", DefaultSize+100)); n != DefaultSize || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	if _, err := put(t, c, wd, "x"); err != unix.EAGAIN {
		t.Errorf("full: %v", err)
	}
	if ev := w.Poll(wait.All); ev != 0 {
		t.Errorf("poll %#x", ev)
	}
	get(t, c, rd, 100)
	// A write of at most PIPE_BUF is whole or not at all.
	if _, err := put(t, c, wd, strings.Repeat("y", 101)); err != unix.EAGAIN {
		t.Errorf("atomic write: %v", err)
	}
	if n, err := put(t, c, wd, strings.Repeat("y", 5000)); n != 100 || err != nil {
		t.Errorf("large write: %d, %v", n, err)
	}
	get(t, c, rd, AtomicSize)
	if ev := w.Poll(wait.All); ev != wait.Writable {
		t.Errorf("poll %#x", ev)
	}
}

func TestBrokenPipe(t *testing.T) {
	c, r, w, _, wd := ends(0)
	r.Release(c)
	if _, err := put(t, c, wd, "x"); err != unix.EPIPE {
		t.Errorf("write: %v", err)
	}
	if s := c.Signals(); len(s) != 1 || s[0] != int32(unix.SIGPIPE) {
		t.Errorf("signals %v", s)
	}
	if ev := w.Poll(wait.All); ev != wait.Err|wait.Writable {
		t.Errorf("poll %#x", ev)
	}
}

func TestPackets(t *testing.T) {
	c, _, _, rd, wd := ends(unix.O_DIRECT)
	put(t, c, wd, "one")
	put(t, c, wd, "second")
	for _, want := range []string{"on", "second"} {
		if s, err := get(t, c, rd, map[string]int{"on": 2, "second": 100}[want]); s != want || err != nil {
			t.Errorf("read %q, %v, want %q", s, err, want)
		}
	}
	if _, err := get(t, c, rd, 1); err != unix.EAGAIN {
		t.Errorf("empty: %v", err)
	}
}

func TestSetSize(t *testing.T) {
	p := New()
	for _, c := range []struct {
		n          uint32
		privileged bool
		want       int
		err        error
	}{
		{0, false, 4096, nil}, {4097, false, 8192, nil}, {1 << 20, false, 1 << 20, nil},
		{1<<20 + 1, false, 0, unix.EPERM}, {1<<20 + 1, true, 1 << 21, nil}, {1<<31 + 1, true, 0, unix.EINVAL},
	} {
		if n, err := p.SetSize(c.n, c.privileged); n != c.want || err != c.err {
			t.Errorf("SetSize(%d, %v) = %d, %v", c.n, c.privileged, n, err)
		}
	}
}

func TestRingKeepsOrder(t *testing.T) {
	c, _, _, rd, wd := ends(0)
	var in, out bytes.Buffer
	b := byte(0)
	for i := range 3000 {
		chunk := make([]byte, 1+i*37%5000)
		for j := range chunk {
			b++
			chunk[j] = b
		}
		n, _ := wd.Write(c, usermem.BytesSeq(chunk))
		in.Write(chunk[:max(n, 0)])
		s, _ := get(t, c, rd, 1+i*53%4000)
		out.WriteString(s)
	}
	for {
		s, err := get(t, c, rd, 4096)
		if err != nil {
			break
		}
		out.WriteString(s)
	}
	if !bytes.Equal(in.Bytes(), out.Bytes()) {
		t.Error("bytes came out otherwise than they went in")
	}
}

func TestTransfer(t *testing.T) {
	c, r1, _, rd1, wd1 := ends(0)
	_, r2, w2, rd2, _ := ends(0)
	put(t, c, wd1, "abcdef")
	if n, err := Transfer(r1.Pipe(), w2.Pipe(), 3, true); n != 3 || err != nil {
		t.Fatalf("tee: %d, %v", n, err)
	}
	if n, err := Transfer(r1.Pipe(), w2.Pipe(), 4, false); n != 4 || err != nil {
		t.Fatalf("splice: %d, %v", n, err)
	}
	if s, _ := get(t, c, rd2, 100); s != "abcabcd" {
		t.Errorf("got %q", s)
	}
	if s, _ := get(t, c, rd1, 100); s != "ef" {
		t.Errorf("left %q", s)
	}
	if _, err := Transfer(r1.Pipe(), r1.Pipe(), 1, false); err != unix.EINVAL {
		t.Errorf("onto itself: %v", err)
	}
	r2.Release(c)
	put(t, c, wd1, "x")
	if _, err := Transfer(r1.Pipe(), w2.Pipe(), 1, false); err != unix.EPIPE {
		t.Errorf("no reader: %v", err)
	}
}
