package shim

import (
	"context"

	"github.com/containerd/cgroups/v3/cgroup1"
	stats1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"
	stats2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/log"
)

// watchMemory has containerd told when the host kills an application of the container for want of memory.
func (s *service) watchMemory(c *container) {
	switch cg := c.cgroup.(type) {
	case cgroup1.Cgroup:
		if err := s.oom.Add(c.id, cg); err != nil {
			log.G(s.ctx).WithError(err).WithField("id", c.id).Warn("watch for the end of memory")
		}
	case *cgroup2.Manager:
		news, errs := cg.EventChan()
		go s.watchMemory2(c, news, errs)
	}
}

// watchMemory2 is watchMemory for cgroups v2. It ends with the cgroup.
func (s *service) watchMemory2(c *container, news <-chan cgroup2.Event, errs <-chan error) {
	for {
		select {
		case e := <-news:
			s.outOfMemory(c, e.OOMKill)
		case err := <-errs:
			if err != nil {
				log.G(s.ctx).WithError(err).WithField("id", c.id).Warn("watch for the end of memory")
			}
			return // what may still be in news lastKills finds
		case <-s.ctx.Done():
			return
		}
	}
}

// outOfMemory tells of kills, of which there have been so many by now.
func (s *service) outOfMemory(c *container, kills uint64) {
	c.mu.Lock()
	fresh := kills > c.kills
	c.kills = max(c.kills, kills)
	c.mu.Unlock()
	if fresh {
		s.tell(c, &eventtypes.TaskOOM{ContainerID: c.id})
	}
}

// lastKills tells of a kill that nobody has told of when the container ends: it is why the container has ended, and to be
// known before that.
func (s *service) lastKills(c *container) {
	c.mu.Lock()
	told := c.kills > 0
	c.mu.Unlock()
	if told || c.cgroup == nil {
		return
	}
	stats, err := statsOf(c.cgroup)
	if err != nil {
		return // it has gone
	}
	switch m := stats.(type) {
	case *stats1.Metrics:
		s.outOfMemory(c, m.GetMemoryOomControl().GetOomKill())
	case *stats2.Metrics:
		s.outOfMemory(c, m.GetMemoryEvents().GetOomKill())
	}
}

// killNews takes the news that containerd's watcher of cgroups v1 has, so that they keep their order among others.
type killNews struct{ s *service }

// Publish implements events.Publisher.
func (k killNews) Publish(_ context.Context, _ string, e events.Event) error {
	oom, ok := e.(*eventtypes.TaskOOM)
	if !ok {
		return nil
	}
	c, err := k.s.find(oom.ContainerID)
	if err != nil {
		return nil // deleted by now
	}
	c.mu.Lock()
	kills := c.kills + 1
	c.mu.Unlock()
	k.s.outOfMemory(c, kills)
	return nil
}
