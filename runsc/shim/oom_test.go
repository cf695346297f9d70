package shim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	stats2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	shimplatform "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/pkg/stdio"
	"github.com/containerd/go-runc"
)

// A fakeGroup is a directory with the files of a cgroup of version 2, for machines whose memory is not in one.
type fakeGroup struct {
	*testing.T
	dir string
}

func newGroup(t *testing.T) (*fakeGroup, *cgroup2.Manager) {
	g := &fakeGroup{t, t.TempDir()}
	g.write("cgroup.events", "populated 1\nfrozen 0\n")
	g.kills(0)
	g.write("memory.current", "4096000\n")
	g.write("memory.max", "8192000\n")
	g.write("memory.stat", "anon 1024\nfile 2048\ninactive_file 512\n")
	g.write("cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n")
	g.write("pids.current", "7\n")
	m, err := cgroup2.Load("/", cgroup2.WithMountpoint(g.dir))
	if err != nil {
		t.Fatal(err)
	}
	return g, m
}

func (g *fakeGroup) write(name, text string) {
	g.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o644); err != nil {
		g.Fatal(err)
	}
}

func (g *fakeGroup) kills(n int) {
	g.write("memory.events", fmt.Sprintf("low 0\nhigh 0\nmax %d\noom %d\noom_kill %d\n", n, n, n))
}

// fakeService has a container in a cgroup.
func fakeService(t *testing.T, m *cgroup2.Manager) (*service, *container) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	platform, err := shimplatform.NewPlatform()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { platform.Close() })
	init := process.New("c", &runc.Runc{}, stdio.Stdio{})
	init.Platform = platform
	c := &container{id: "c", init: init, cgroup: m, idle: make(chan struct{})}
	return &service{ctx: ctx, events: make(chan any, 10), containers: map[string]*container{"c": c}}, c
}

// next is the next event; the limit is for one that never comes.
func next(t *testing.T, s *service) any {
	t.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event comes")
	}
	return nil
}

// TestKills2 has the host kill in a cgroup of version 2: it is told of once for each, and not for another's.
func TestKills2(t *testing.T) {
	g, m := newGroup(t)
	s, c := fakeService(t, m)
	s.watchMemory(c)
	for n := 1; n <= 2; n++ {
		g.kills(n)
		if e, ok := next(t, s).(*eventtypes.TaskOOM); !ok || e.ContainerID != "c" {
			t.Errorf("after kill %d comes %v", n, e)
		}
	}
	g.write("cgroup.events", "populated 0\n")
	if len(s.events) > 0 {
		t.Errorf("nobody was killed, but %v", <-s.events)
	}
}

// TestKillBeforeEnd has a container end of a kill that nobody has seen: it is told of first, and only once.
func TestKillBeforeEnd(t *testing.T) {
	for _, seen := range []bool{false, true} {
		g, m := newGroup(t)
		s, c := fakeService(t, m)
		g.kills(1)
		if seen {
			if err := (killNews{s}).Publish(s.ctx, "", &eventtypes.TaskOOM{ContainerID: "c"}); err != nil {
				t.Fatal(err)
			}
		}
		s.ended(member{c, c.init, ""}, runc.Exit{Pid: 1, Status: 137})
		if e, ok := next(t, s).(*eventtypes.TaskOOM); !ok {
			t.Errorf("seen %v: first %v", seen, e)
		}
		if e, ok := next(t, s).(*eventtypes.TaskExit); !ok || e.ExitStatus != 137 {
			t.Errorf("seen %v: then %v", seen, e)
		}
	}
}

// TestMetrics2 has the statistics of a cgroup of version 2 in the type that containerd's CRI reads.
func TestMetrics2(t *testing.T) {
	_, m := newGroup(t)
	got, err := statsOf(m)
	if err != nil {
		t.Fatal(err)
	}
	v, ok := got.(*stats2.Metrics)
	if !ok {
		t.Fatalf("statistics of type %T", got)
	}
	if v.Memory.Usage != 4096000 || v.Memory.UsageLimit != 8192000 || v.Memory.InactiveFile != 512 || v.CPU.UsageUsec != 1500 || v.Pids.Current != 7 {
		t.Errorf("memory %v, cpu %v, pids %v", v.Memory, v.CPU, v.Pids)
	}
	if _, err := statsOf(nil); err == nil {
		t.Error("a container without a cgroup has statistics")
	}
}
