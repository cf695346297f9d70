package control

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// member makes a container of the sandbox that is not its first one over cl.
func member(t *testing.T, cl *Client, id string) (exit string) {
	t.Helper()
	exit = filepath.Join(t.TempDir(), "exit")
	f, err := os.Create(exit)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null := open(t)
	a := &CreateArgs{
		ID: id, Spec: &specs.Spec{Process: &specs.Process{}}, Stdio: [3]*os.File{null, null, null}, Exit: f,
		Cgroups: []*os.File{null, null}, Join: Namespaces{Net: "c"},
	}
	if err := cl.Create(a); err != nil {
		t.Fatal(err)
	}
	return exit
}

// recorded waits for the wait status in a file.
func recorded(t *testing.T, file, want string) {
	t.Helper()
	var data []byte
	for range 500 {
		if data, _ = os.ReadFile(file); string(data) == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("recorded is %q, not %q", data, want)
}

// TestMember has a container of a pod outlive the connection that made it only when it is told to.
func TestMember(t *testing.T) {
	var got *CreateArgs
	srv, _ := serve(t, &stub{
		create: func(a *CreateArgs) error { got = a; return nil },
		wait:   func(int32) (WaitStatus, error) { select {} },
	})
	first := connect(t, srv)
	exit := member(t, first, "cut-off")
	if len(got.Cgroups) != 2 || got.Exit == nil || got.Join.Net != "c" || got.Join.PID != "" {
		t.Errorf("created with %+v", got)
	}
	first.Close()
	recorded(t, exit, "9\n")
	second := connect(t, srv)
	member(t, second, "kept")
	if err := second.Keep(); err != nil {
		t.Fatal(err)
	}
	second.Close()
	third := connect(t, srv)
	if st, err := third.Status("kept"); err != nil || st != Created {
		t.Errorf("kept is %s, %v", st, err)
	}
	if _, err := third.Status("cut-off"); kind(err) != KindNotFound {
		t.Errorf("cut off: %v", err)
	}
}

// TestWaitFor has a container killed when the one who stands for it has gone.
func TestWaitFor(t *testing.T) {
	signals := make(chan int32, 1)
	srv, cl := serve(t, &stub{
		create: func(*CreateArgs) error { return nil }, wait: func(int32) (WaitStatus, error) { select {} }, signals: signals,
	})
	member(t, cl, "a")
	if err := cl.Start("a"); err != nil {
		t.Fatal(err)
	}
	keeper := connect(t, srv)
	if err := keeper.c.send(&request{Method: "wait", Args: []byte(`{"id":"a","kill":true}`)}, nil); err != nil { // as WaitFor does
		t.Fatal(err)
	}
	keeper.Close()
	select {
	case s := <-signals:
		if s != int32(unix.SIGKILL) {
			t.Errorf("signal %#x, not SIGKILL to process 0", s)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing is killed")
	}
}

// TestEndAll has the end of the first container be the end of all.
func TestEndAll(t *testing.T) {
	srv, cl := serve(t, &stub{create: func(*CreateArgs) error { return nil }, wait: func(int32) (WaitStatus, error) { select {} }})
	exit := member(t, cl, "a")
	if err := cl.Start("a"); err != nil {
		t.Fatal(err)
	}
	told := make(chan WaitStatus, 1)
	waiter := connect(t, srv)
	go func() {
		ws, _ := waiter.Wait("a", 0)
		told <- ws
	}()
	srv.EndAll()
	select {
	case ws := <-told:
		if ws.ExitCode() != 137 {
			t.Errorf("exit code %d", ws.ExitCode())
		}
	case <-time.After(10 * time.Second):
		t.Error("who waits is not told")
	}
	recorded(t, exit, "9\n")
}
