package vfs_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/vfs/vfstest"
	"ringfort/sentry/wait"
)

// stream is a file that has what was put into it.
type stream struct {
	vfs.FileBase
	queue wait.Queue
	has   int64
}

func (s *stream) Queue() *wait.Queue { return &s.queue }

func (s *stream) Poll(mask wait.Events) wait.Events {
	if s.has > 0 {
		return mask & wait.Readable
	}
	return 0
}

func (s *stream) Read(vfs.Caller, *vfs.Description, usermem.Seq, int64) (int64, error) {
	n := s.has
	if s.has = 0; n == 0 {
		return 0, unix.EAGAIN
	}
	return n, nil
}

// Everything that a caller could be told about a stream, or that takes it from its descriptor, ends what was noted.
func TestNoteEmpty(t *testing.T) {
	c := vfstest.New(newTmpfs(t))
	s := &stream{}
	d := vfs.NewAnonDescription(s, "stream", 0600, unix.O_RDWR)
	fds := vfs.NewFDTable()
	install := func() int32 {
		fd, err := fds.Install(d, 0, false, 100)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	fd := install()
	for _, step := range []struct {
		name  string
		do    func()
		holds bool
	}{
		{"nothing", func() {}, true},
		{"a read that finds nothing", func() { d.Read(c, usermem.BytesSeq(make([]byte, 8))) }, true},
		{"a poll that finds nothing", func() { d.Poll(wait.Readable) }, true},
		{"room to write", func() { s.queue.Notify(wait.Writable) }, true},
		{"another descriptor", func() { install() }, true},
		{"an arrival", func() { s.queue.Notify(wait.Readable) }, false},
		{"an end", func() { s.queue.Notify(wait.RdHUp) }, false},
		{"an error", func() { s.queue.Notify(wait.Err) }, false},
		{"a poll that finds something", func() { s.has = 1; d.Poll(wait.Readable) }, false},
		{"a read that finds something", func() { s.has = 1; d.Read(c, usermem.BytesSeq(make([]byte, 8))) }, false},
		{"flags", func() { d.SetFlags(unix.O_NONBLOCK) }, false},
		{"a descriptor closed", func() { fds.Close(c, fd) }, false},
		{"a descriptor replaced", func() {
			fds.InstallAt(c, vfs.NewAnonDescription(&stream{}, "other", 0600, unix.O_RDWR), 1, false, 100)
		}, false},
		{"descriptors closed", func() { install(); fds.CloseRange(c, 0, 50) }, false},
	} {
		stamp := d.NoteEmpty()
		if step.do(); stamp.Holds() != step.holds {
			t.Errorf("after %s what was noted holds: %v", step.name, !step.holds)
		}
	}
}

// sink is a file that takes everything.
type sink struct{ vfs.FileBase }

func (*sink) Discards() {}

func (*sink) Seek(vfs.Caller, *vfs.Description, int64, int32, int64) (int64, error) { return 0, nil }

func (*sink) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	return int64(src.Len()), off, nil
}

// That a write goes nowhere is so until a descriptor means something else or somebody watches; writes do not end it.
func TestNoteDiscards(t *testing.T) {
	c := vfstest.New(newTmpfs(t))
	d := vfs.NewAnonDescription(&sink{}, "sink", 0600, unix.O_RDWR)
	fds, watcher := vfs.NewFDTable(), vfs.NewInotify()
	fd, err := fds.Install(d, 0, false, 100)
	if err != nil || !d.Discards() {
		t.Fatalf("a sink at %d: discards %v, %v", fd, d.Discards(), err)
	}
	var wd int32
	watch := func() { wd, _ = watcher.AddWatch(d.Path(), unix.IN_MODIFY) }
	for _, step := range []struct {
		name        string
		do          func()
		holds, then bool // so far; from now on
	}{
		{"a write", func() { d.Write(c, usermem.BytesSeq(make([]byte, 8))) }, true, true},
		{"a write at an offset", func() { d.WriteAt(c, usermem.BytesSeq(make([]byte, 8)), 3) }, true, true},
		{"a watch", watch, false, false},
		{"the end of the watch", func() { watcher.RemoveWatch(wd) }, true, true},
		{"another watch", watch, false, false},
		{"the end of the watcher", func() { watcher.Release(c) }, true, true},
		{"a descriptor closed", func() { fds.Close(c, fd) }, false, true},
	} {
		stamps, _ := d.NoteDiscards()
		step.do()
		if holds := stamps[0].Holds() && stamps[1].Holds(); holds != step.holds {
			t.Errorf("after %s what was noted holds: %v", step.name, holds)
		}
		if _, ok := d.NoteDiscards(); ok != step.then {
			t.Errorf("after %s another write goes nowhere: %v", step.name, ok)
		}
	}
}

// An offset and a size that were noted are so until they change.
func TestNoteOffset(t *testing.T) {
	c := vfstest.New(newTmpfs(t))
	if err := c.Write("/file", "0123456789"); err != nil {
		t.Fatal(err)
	}
	open := func(flags uint32) *vfs.Description {
		d, err := c.Open("/file", flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d, other := open(unix.O_RDWR), open(unix.O_RDWR)
	size := d.File().(vfs.Sized).SizeMark()
	seek := func(off int64, whence int32) {
		if _, err := d.Seek(c, off, whence); err != nil {
			t.Fatal(err)
		}
	}
	seek(5, unix.SEEK_SET)
	for _, step := range []struct {
		name           string
		do             func()
		offset, length bool // hold
	}{
		{"a seek that moves nothing", func() { seek(5, unix.SEEK_SET); seek(-5, unix.SEEK_END); seek(0, unix.SEEK_CUR) }, true, true},
		{"a seek that fails", func() { d.Seek(c, -1, unix.SEEK_SET) }, true, true},
		{"a read at an offset", func() { d.ReadAt(c, usermem.BytesSeq(make([]byte, 3)), 0) }, true, true},
		{"another's seek", func() { other.Seek(c, 1, unix.SEEK_SET) }, true, true},
		{"a seek", func() { seek(1, unix.SEEK_CUR) }, false, true},
		{"a read", func() { d.Read(c, usermem.BytesSeq(make([]byte, 3))) }, false, true},
		{"a transfer", func() { d.WithOffset(func(off int64) int64 { return off + 1 }) }, false, true},
		{"another's write at the end", func() { other.WriteAt(c, usermem.BytesSeq([]byte("x")), 20) }, true, false},
		{"a change of size", func() { other.Truncate(c, 7) }, true, false},
		{"a write", func() { seek(0, unix.SEEK_END); d.Write(c, usermem.BytesSeq([]byte("x"))) }, false, false},
		{"an open that truncates", func() { open(unix.O_RDWR | unix.O_TRUNC) }, true, false},
	} {
		offset, length := d.Note(), size.Note()
		step.do()
		if offset.Holds() != step.offset {
			t.Errorf("after %s the offset holds: %v", step.name, !step.offset)
		}
		if length.Holds() != step.length {
			t.Errorf("after %s the size holds: %v", step.name, !step.length)
		}
	}
}
