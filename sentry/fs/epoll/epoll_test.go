package epoll

import (
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/fs/eventfd"
	"ringfort/sentry/socket/sockettest"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

func event() (*eventfd.EventFD, *vfs.Description) {
	e := eventfd.New(0, false)
	return e, vfs.NewAnonDescription(e, "anon_inode:[eventfd]", 0600, unix.O_RDWR)
}

// drain reads the counter.
func drain(c vfs.Caller, d *vfs.Description) {
	d.Read(c, usermem.BytesSeq(make([]byte, 8)))
}

func ready(e *Epoll) int {
	var out [4]Event
	return e.Wait(out[:])
}

func TestTriggers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events uint32
		// ready counts: after a change, asked again, after a second change, after drain
		want [4]int
	}{
		{"level", unix.EPOLLIN, [4]int{1, 1, 1, 0}},
		{"edge", unix.EPOLLIN | unix.EPOLLET, [4]int{1, 0, 1, 0}},
		{"one-shot", unix.EPOLLIN | unix.EPOLLONESHOT, [4]int{1, 0, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := sockettest.New()
			f, d := event()
			e := New()
			if err := e.Add(c, 3, d, Event{Events: tc.events}); err != nil {
				t.Fatal(err)
			}
			if n := ready(e); n != 0 {
				t.Errorf("%d ready at first", n)
			}
			var got [4]int
			f.Add(1)
			got[0] = ready(e)
			got[1] = ready(e)
			f.Add(1)
			got[2] = ready(e)
			drain(c, d)
			got[3] = ready(e)
			if got != tc.want {
				t.Errorf("ready %v, want %v", got, tc.want)
			}
		})
	}
}

func TestControlErrors(t *testing.T) {
	c := sockettest.New()
	_, d := event()
	e := New()
	ev := Event{Events: unix.EPOLLIN}
	check := func(what string, err, want error) {
		t.Helper()
		if err != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("modify unknown", e.Modify(3, d, ev), unix.ENOENT)
	check("delete unknown", e.Delete(3, d), unix.ENOENT)
	check("add", e.Add(c, 3, d, ev), nil)
	check("add twice", e.Add(c, 3, d, ev), unix.EEXIST)
	check("add as another descriptor", e.Add(c, 4, d, ev), nil)
	check("exclusive one-shot", e.Add(c, 5, d, Event{Events: unix.EPOLLEXCLUSIVE | unix.EPOLLONESHOT}), unix.EINVAL)
	check("delete", e.Delete(3, d), nil)
	check("delete twice", e.Delete(3, d), unix.ENOENT)
}

func TestRearmOneShot(t *testing.T) {
	c := sockettest.New()
	f, d := event()
	e := New()
	e.Add(c, 3, d, Event{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
	f.Add(1)
	if ready(e) != 1 || ready(e) != 0 {
		t.Fatal("did not fire once")
	}
	if err := e.Modify(3, d, Event{Events: unix.EPOLLIN | unix.EPOLLONESHOT}); err != nil {
		t.Fatal(err)
	}
	if ready(e) != 1 {
		t.Error("not ready after rearming")
	}
}

func TestClosedDescriptionLeaves(t *testing.T) {
	c := sockettest.New()
	f, d := event()
	e := New()
	e.Add(c, 3, d, Event{Events: unix.EPOLLIN})
	f.Add(1)
	d.DecRef(c)
	if ready(e) != 0 || len(e.items) != 0 {
		t.Error("a closed description is still there")
	}
}

func TestNested(t *testing.T) {
	c := sockettest.New()
	f, d := event()
	inner, outer := New(), New()
	id := vfs.NewAnonDescription(inner, "anon_inode:[eventpoll]", 0600, unix.O_RDWR)
	od := vfs.NewAnonDescription(outer, "anon_inode:[eventpoll]", 0600, unix.O_RDWR)
	if err := inner.Add(c, 3, d, Event{Events: unix.EPOLLIN}); err != nil {
		t.Fatal(err)
	}
	if err := outer.Add(c, 4, id, Event{Events: unix.EPOLLIN}); err != nil {
		t.Fatal(err)
	}
	if err := inner.Add(c, 5, od, Event{Events: unix.EPOLLIN}); err != unix.ELOOP {
		t.Errorf("circle: %v", err)
	}
	if ready(outer) != 0 {
		t.Error("ready at first")
	}
	go f.Add(1)
	if !c.Await(outer.Queue(), wait.Readable, func() bool { return ready(outer) == 1 }) {
		t.Error("not woken through the inner set")
	}
	drain(c, d)
	if ready(outer) != 0 {
		t.Error("still ready")
	}
}

func TestRoundRobin(t *testing.T) {
	c := sockettest.New()
	e := New()
	for i := range 3 {
		f, d := event()
		f.Add(1)
		e.Add(c, int32(i), d, Event{Events: unix.EPOLLIN, Data: [8]byte{byte(i)}})
	}
	seen := map[byte]int{}
	for range 6 {
		var out [1]Event
		if e.Wait(out[:]) != 1 {
			t.Fatal("nothing ready")
		}
		seen[out[0].Data[0]]++
	}
	for i := range byte(3) {
		if seen[i] != 2 {
			t.Errorf("item %d was reported %d times of 6", i, seen[i])
		}
	}
}

// A set that is used all the time allocates nothing, and finds what it has to
// delete among many without looking at them.
func TestSteadyState(t *testing.T) {
	c := sockettest.New()
	e := New()
	for fd := range int32(1000) {
		_, d := event()
		if err := e.Add(c, fd, d, Event{Events: unix.EPOLLIN}); err != nil {
			t.Fatal(err)
		}
	}
	f, d := event()
	f.Add(1)
	var out [4]Event
	if n := testing.AllocsPerRun(100, func() {
		if err := e.Add(c, 2000, d, Event{Events: unix.EPOLLIN}); err != nil {
			t.Fatal(err)
		}
		if n := e.Wait(out[:]); n != 1 {
			t.Fatalf("%d ready", n)
		}
		if err := e.Modify(2000, d, Event{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
			t.Fatal(err)
		}
		if err := e.Delete(2000, d); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for add, wait, modify and delete", n)
	}
}

// One description under several descriptors is several items.
func TestSameDescription(t *testing.T) {
	c := sockettest.New()
	e := New()
	f, d := event()
	f.Add(1)
	for fd := range int32(3) {
		if err := e.Add(c, fd, d, Event{Events: unix.EPOLLIN}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Add(c, 1, d, Event{}); err != unix.EEXIST {
		t.Errorf("again: %v", err)
	}
	for _, fd := range []int32{1, 2, 0} {
		if err := e.Delete(fd, d); err != nil {
			t.Errorf("delete %d: %v", fd, err)
		}
		if err := e.Delete(fd, d); err != unix.ENOENT {
			t.Errorf("delete %d again: %v", fd, err)
		}
	}
	if n := ready(e); n != 0 || len(e.items) != 0 {
		t.Errorf("%d ready, %d left", n, len(e.items))
	}
	_ = e.Add(c, 1, d, Event{Events: unix.EPOLLIN})
	_ = e.Add(c, 2, d, Event{Events: unix.EPOLLIN})
	d.DecRef(c)
	if n := ready(e); n != 0 || len(e.items) != 0 {
		t.Errorf("%d ready, %d left after the description is gone", n, len(e.items))
	}
}
