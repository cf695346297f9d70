package kernel

import (
	"slices"

	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/mm"
)

// mourn has the processes in m end when the host has ended what runs them: at once, not when they next want to run, for
// the host may have done so for want of memory, which is theirs until then.
func (k *Kernel) mourn(m *mm.MemoryManager) {
	if as, ok := m.AddressSpace().(platform.Mortal); ok {
		as.OnDeath(func() { go k.bury(m) })
	}
}

// bury kills the processes in m.
func (k *Kernel) bury(m *mm.MemoryManager) {
	ns := k.rootPIDNS
	var victims []*ThreadGroup
	ns.mu.Lock()
	for _, t := range ns.tasks {
		if t.mmp.Load() == m && !slices.Contains(victims, t.tg) {
			victims = append(victims, t.tg)
		}
	}
	ns.mu.Unlock()
	for _, tg := range victims {
		tg.kill(ExitStatus{Signal: int32(unix.SIGKILL)})
	}
	for _, tg := range victims {
		t := tg.Leader()
		pid := t.ThreadGroupID()
		<-tg.done // to write takes memory, and theirs is free only now
		k.log.Warn("application killed: its host process has ended, for want of memory perhaps", "pid", pid, "comm", t.Name())
	}
}

// Bring has the process of t make pages of the memory file present (mm.MemoryManager.Bring).
func (t *Task) Bring(r memmap.Range) error {
	if m := t.MM(); m != nil {
		return m.Bring(r)
	}
	return nil
}
