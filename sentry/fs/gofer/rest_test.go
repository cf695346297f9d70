package goferfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer"
	"ringfort/gofer/wire"
)

// rested is serve for tests that need a gofer with a listener.
func rested(t *testing.T, dir string) (*Client, FID) {
	t.Helper()
	c, root := serve(t, dir, gofer.Options{})
	if c.listener.Load() < 0 {
		t.Skip("the host gives no listener that wakes on one core (root and Linux 6.6 are needed)")
	}
	return c, root
}

// within fails the test if do takes for ever.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatalf("%s: it hangs", what)
	}
}

// TestRestManyCallers has callers at once ask for what is answered at once, what is answered beside, and more than the
// socket holds.
func TestRestManyCallers(t *testing.T) {
	dir := t.TempDir()
	const files, callers, rounds = 600, 24, 30
	long := strings.Repeat("x", 200)
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(long, i)), []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, root := rested(t, dir)
	within(t, "many callers", func() {
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for range rounds {
					if err := oneCall(c, root, i, long, files); err != nil {
						t.Errorf("caller %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// oneCall makes a call of a kind that depends on i.
func oneCall(c *Client, root FID, i int, long string, files int) error {
	switch i % 3 {
	case 0:
		l, err := c.List(&ListRequest{Dir: root, New: NoFID, Room: wire.MessageSize})
		if err != nil || l.State != wire.ListEnd || len(l.Entries) != files {
			return fmt.Errorf("list: %d entries, state %d, %w", len(l.Entries), l.State, err)
		}
	case 1:
		return c.Sync(root)
	default:
		r, err := c.Walk(root, []string{fmt.Sprint(long, i)}, true, unix.O_RDONLY)
		if err != nil || r.Err != 0 || r.FD < 0 {
			return fmt.Errorf("walk: %+v %w", r, err)
		}
		c.Drop(&r)
	}
	return nil
}

// TestRestForgets sends more than the socket holds to a gofer that sleeps, from nobody who waits for a reply.
func TestRestForgets(t *testing.T) {
	c, root := rested(t, t.TempDir())
	within(t, "forgetting", func() {
		for range 300 * forgetBatch {
			c.Forget(c.newFID())
		}
		if _, err := c.Walk(root, nil, false, wire.NoOpen); err != nil {
			t.Error(err)
		}
	})
}

// TestRestCloseWhileCalled hangs up under callers: each gets EIO, and the gofer ends (see serve).
func TestRestCloseWhileCalled(t *testing.T) {
	c, root := rested(t, t.TempDir())
	within(t, "hanging up", func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := c.Walk(root, nil, false, wire.NoOpen); err != nil {
						if err != unix.EIO {
							t.Errorf("after the end: %v, want EIO", err)
						}
						return
					}
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		c.Close()
		wg.Wait()
	})
}
