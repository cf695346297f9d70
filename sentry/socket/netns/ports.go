package netns

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Ports finds the TCP listeners of a namespace by their port, for connections
// that stay inside it. The zero Ports is empty. Its lock is a leaf.
type Ports struct {
	mu   sync.RWMutex
	by   map[uint16][]any
	turn atomic.Uint64

	changes uint64        // so many
	changed chan struct{} // closed by the next one; nil if nobody waits
}

// told counts a change and wakes those who wait for one. mu is held.
func (p *Ports) told() {
	p.changes++
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// All returns every listener by its port, how many changes there were, and a
// channel that is closed by the next one.
func (p *Ports) All() (by map[uint16][]any, changes uint64, next <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return maps.Clone(p.by), p.changes, p.changed
}

// Turn counts up, for a choice between listeners of the same address.
func (p *Ports) Turn() uint64 { return p.turn.Add(1) }

// Add enters a listener.
func (p *Ports) Add(port uint16, l any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = make(map[uint16][]any)
	}
	p.by[port] = append(slices.Clip(p.by[port]), l)
	p.told()
}

// Remove takes a listener out; it does nothing if it is not there.
func (p *Ports) Remove(port uint16, l any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told()
	left := slices.DeleteFunc(slices.Clone(p.by[port]), func(o any) bool { return o == l })
	if len(left) == 0 {
		delete(p.by, port)
		return
	}
	p.by[port] = left
}

// At returns the listeners at a port; the slice is not to be changed.
func (p *Ports) At(port uint16) []any {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.by[port]
}
