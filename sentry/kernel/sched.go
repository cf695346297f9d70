package kernel

// schedParams are what the scheduler calls set and get. The host schedules;
// these are kept for the application to read back.
type schedParams struct {
	policy   int32
	priority int32
	nice     int32
	affinity uint64 // 0: all processors
	ioprio   int32
	reset    bool // SCHED_RESET_ON_FORK
}

// Sched returns policy and static priority (sched_getscheduler(2)).
func (t *Task) Sched() (policy, priority int32) {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	return t.sched.policy, t.sched.priority
}

// SetSched sets policy and static priority, and whether children start without
// them; the caller has checked them.
func (t *Task) SetSched(policy, priority int32, reset bool) {
	t.nameMu.Lock()
	t.sched.policy, t.sched.priority, t.sched.reset = policy, priority, reset
	t.nameMu.Unlock()
}

// ResetOnFork reports SCHED_RESET_ON_FORK (sched_setscheduler(2)).
func (t *Task) ResetOnFork() bool {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	return t.sched.reset
}

// childSched returns the parameters of a clone (sched(7), "The reset-on-fork scheduling policy").
func (t *Task) childSched() schedParams {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	p := t.sched
	if p.reset {
		const fifo, rr = 1, 2
		if p.policy == fifo || p.policy == rr {
			p.policy, p.priority, p.nice = 0, 0, 0
		}
		p.nice, p.reset = max(p.nice, 0), false
	}
	return p
}

// Nice returns the nice value, -20 to 19.
func (t *Task) Nice() int32 {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	return t.sched.nice
}

// SetNice sets the nice value.
func (t *Task) SetNice(n int32) {
	t.nameMu.Lock()
	t.sched.nice = min(max(n, -20), 19)
	t.nameMu.Unlock()
}

// IOPrio returns the I/O priority (ioprio_get(2)).
func (t *Task) IOPrio() int32 {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	return t.sched.ioprio
}

// SetIOPrio sets the I/O priority.
func (t *Task) SetIOPrio(n int32) {
	t.nameMu.Lock()
	t.sched.ioprio = n
	t.nameMu.Unlock()
}

// Affinity returns the processors the task may use, bit n for processor n.
func (t *Task) Affinity() uint64 {
	t.nameMu.Lock()
	defer t.nameMu.Unlock()
	all := t.Container().CPUs()
	if mask := t.sched.affinity & all; mask != 0 {
		return mask
	}
	return all
}

// SetAffinity limits the task to processors; false if none of them exists.
func (t *Task) SetAffinity(mask uint64) bool {
	mask &= t.Container().CPUs()
	if mask == 0 {
		return false
	}
	t.nameMu.Lock()
	t.sched.affinity = mask
	t.nameMu.Unlock()
	return true
}

func (k *Kernel) allCPUs() uint64 {
	if k.cpus >= 64 {
		return ^uint64(0)
	}
	return 1<<k.cpus - 1
}
