package inet

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ringfort/sentry/socket"
	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// A byte sent within a namespace and received costs no allocation.
func TestLocalAllocs(t *testing.T) {
	c, ns := setup(t)
	cl, sv := connected(t, c, ns, unix.AF_INET)
	defer cl.Release(c)
	defer sv.Release(c)
	if cl.(*Socket).link.Load() == nil {
		t.Fatal("the connection is the stack's")
	}
	src, dst := usermem.BytesSeq(make([]byte, 512)), usermem.BytesSeq(make([]byte, 512))
	args, got := &socket.SendArgs{}, &socket.Received{}
	if n := testing.AllocsPerRun(100, func() {
		if n, err := cl.Send(c, src, args); n != 512 || err != nil {
			t.Fatal(n, err)
		}
		if sv.Poll(wait.Readable) == 0 {
			t.Fatal("not readable")
		}
		if n, err := sv.Recv(c, dst, 0, got); n != 512 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a send, a poll and a receive", n)
	}
}

// Ends that are closed while the other sends, receives and connects do no harm.
func TestLocalClosing(t *testing.T) {
	c, ns := setup(t)
	l := open(t, c, ns, unix.AF_INET, unix.SOCK_STREAM)
	if err := l.Bind(c, loopback(unix.AF_INET, 0)); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(c, 2); err != nil {
		t.Fatal(err)
	}
	name, _ := l.Name(c, false)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				s, err := New(c, ns, unix.AF_INET, unix.SOCK_STREAM, 0)
				if err != nil {
					t.Error(err)
					return
				}
				switch err := s.Connect(c, name); err {
				case unix.EINPROGRESS, unix.ECONNREFUSED:
				default:
					t.Errorf("connect: %v", err)
				}
				_, _ = s.Send(c, usermem.BytesSeq(make([]byte, 100)), &socket.SendArgs{Flags: unix.MSG_NOSIGNAL})
				s.Poll(wait.All)
				s.Release(c)
			}
		})
	}
	wg.Go(func() {
		for range 300 {
			n, _, err := l.Accept(c)
			if err != nil {
				continue
			}
			_, _ = n.Recv(c, usermem.BytesSeq(make([]byte, 50)), 0, &socket.Received{})
			_ = n.Shutdown(c, unix.SHUT_WR)
			n.Release(c)
		}
	})
	wg.Wait()
	l.Release(c)
	if left := ns.Listeners.At(l.local.Load().port); len(left) != 0 {
		t.Errorf("%d listeners are left", len(left))
	}
}
