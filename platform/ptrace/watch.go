package ptrace

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watcher frees long-running threads from their core. It sleeps while no
// context exists and costs one look at the clock per context and period.
var watcher struct {
	mu      sync.Mutex
	pairs   map[*placement]bool
	running bool
}

// watch adds p to the pairs looked after.
func watch(p *placement) {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	if watcher.pairs == nil {
		watcher.pairs = make(map[*placement]bool)
	}
	watcher.pairs[p] = true
	if !watcher.running {
		watcher.running = true
		go watchPairs()
	}
}

func unwatch(p *placement) {
	watcher.mu.Lock()
	delete(watcher.pairs, p)
	watcher.mu.Unlock()
}

// watchPairs runs while any pair executes; the period grows when none does,
// so that an idle sandbox costs nothing worth counting.
func watchPairs() {
	period := freeAfter
	var everywhere unix.CPUSet
	for _, c := range cores {
		everywhere.Set(c)
	}
	for {
		time.Sleep(period)
		busy := false
		watcher.mu.Lock()
		if len(watcher.pairs) == 0 {
			watcher.running = false
			watcher.mu.Unlock()
			return
		}
		for p := range watcher.pairs {
			since := p.since.Load()
			if since == 0 || p.loose.Load() {
				continue
			}
			busy = true
			if now()-since > int64(freeAfter) {
				setAffinity(int(p.tid.Load()), &everywhere)
				p.loose.Store(true)
			}
		}
		watcher.mu.Unlock()
		if busy {
			period = freeAfter
		} else {
			period = min(period*2, time.Second)
		}
	}
}
