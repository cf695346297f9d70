package kernel

import "sync/atomic"

// TaskCount counts the tasks of a container and bounds them, as the pids
// controller of cgroups does: zombies count until they are waited for.
type TaskCount struct {
	limit    atomic.Int64 // 0: none
	current  atomic.Int64
	peak     atomic.Int64
	refusals atomic.Int64
}

// NewTaskCount returns a count with a limit; 0 is none.
func NewTaskCount(limit int64) *TaskCount {
	c := &TaskCount{}
	c.SetLimit(limit)
	return c
}

// SetLimit changes the limit; tasks there are stay.
func (c *TaskCount) SetLimit(limit int64) { c.limit.Store(max(limit, 0)) }

// Limit returns the limit, 0 for none.
func (c *TaskCount) Limit() int64 { return c.limit.Load() }

// Current returns the number of tasks, Peak the most there were.
func (c *TaskCount) Current() int64 { return c.current.Load() }

// Peak returns the most tasks there were.
func (c *TaskCount) Peak() int64 { return c.peak.Load() }

// Refusals returns how many tasks were not made because of the limit.
func (c *TaskCount) Refusals() int64 { return c.refusals.Load() }

// add counts a task. A clone is refused beyond the limit; a process that comes
// from outside is not.
func (c *TaskCount) add(clone bool) bool {
	n := c.current.Add(1)
	if limit := c.limit.Load(); clone && limit > 0 && n > limit {
		c.current.Add(-1)
		c.refusals.Add(1)
		return false
	}
	for {
		old := c.peak.Load()
		if n <= old || c.peak.CompareAndSwap(old, n) {
			return true
		}
	}
}

func (c *TaskCount) remove() { c.current.Add(-1) }

// TaskCount returns the count of tasks of the container tg belongs to.
func (tg *ThreadGroup) TaskCount() *TaskCount { return tg.container.count }
