package kernel

import "ringfort/sentry/mm"

// RegisterMembarrier notes that the process uses expedited barriers (membarrier(2)).
func (tg *ThreadGroup) RegisterMembarrier() { tg.barriers.Store(true) }

// MembarrierRegistered reports whether it does.
func (tg *ThreadGroup) MembarrierRegistered() bool { return tg.barriers.Load() }

// Barrier makes every running task of m, or of the sandbox if m is nil, leave
// user code once, which is a full memory barrier for it (membarrier(2)).
func (k *Kernel) Barrier(m *mm.MemoryManager) {
	for _, t := range k.rootPIDNS.Tasks() {
		if m == nil || t.MM() == m {
			t.ctxMu.RLock()
			t.ctx.Interrupt()
			t.ctxMu.RUnlock()
		}
	}
}
