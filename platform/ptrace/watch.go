package ptrace

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watcher frees long-running threads from their core. It rests while no thread
// runs that it could free, and costs one look at the clock per context and
// period otherwise.
var watcher struct {
	mu    sync.Mutex
	pairs map[*placement]bool
	awake atomic.Bool
}

// restAfter is how many looks in a row find nothing before the watcher rests.
const restAfter = 16

// watch adds p to the pairs looked after.
func watch(p *placement) {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	if watcher.pairs == nil {
		watcher.pairs = make(map[*placement]bool)
	}
	watcher.pairs[p] = true
}

func unwatch(p *placement) {
	watcher.mu.Lock()
	delete(watcher.pairs, p)
	watcher.mu.Unlock()
}

// wakeWatcher is called after a pair said that it runs (placement.since).
func wakeWatcher() {
	if !watcher.awake.Load() && watcher.awake.CompareAndSwap(false, true) {
		go watchPairs()
	}
}

// watchPairs looks at the pairs until none has run for a while.
func watchPairs() {
	var everywhere unix.CPUSet
	for _, c := range cores {
		everywhere.Set(c)
	}
	for idle := 0; idle < restAfter; {
		time.Sleep(freeAfter)
		if idle++; freePairs(&everywhere) {
			idle = 0
		}
	}
	watcher.awake.Store(false)
	// A pair that began to run before it could see that nobody is awake.
	if freePairs(&everywhere) {
		wakeWatcher()
	}
}

// freePairs lets threads that have run for long run on any core of set. It
// reports whether any runs that is still tied to one.
func freePairs(set *unix.CPUSet) (busy bool) {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	for p := range watcher.pairs {
		since := p.since.Load()
		if since == 0 || p.loose.Load() {
			continue
		}
		busy = true
		if now()-since > int64(freeAfter) {
			setAffinity(int(p.tid.Load()), set)
			p.loose.Store(true)
		}
	}
	return busy
}
