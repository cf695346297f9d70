package vfs

import "sync"

// A ReleaseWatcher is told when a description goes away. An epoll set is one:
// it holds no reference on what it watches (epoll(7), question 6).
type ReleaseWatcher interface {
	// Released is called once the last reference is gone, before the file's
	// own Release, with no locks held.
	Released(d *Description)
}

// releaseWatchers are the watchers of a description. Its lock is a leaf.
type releaseWatchers struct {
	mu   sync.Mutex
	list []ReleaseWatcher
}

// AddReleaseWatcher makes w hear of the release of d; the caller holds a
// reference. Adding a watcher twice makes it hear once.
func (d *Description) AddReleaseWatcher(w ReleaseWatcher) {
	d.watchers.mu.Lock()
	defer d.watchers.mu.Unlock()
	for _, o := range d.watchers.list {
		if o == w {
			return
		}
	}
	d.watchers.list = append(d.watchers.list, w)
}

// RemoveReleaseWatcher undoes AddReleaseWatcher. The watcher may still be in
// Released when it returns.
func (d *Description) RemoveReleaseWatcher(w ReleaseWatcher) {
	d.watchers.mu.Lock()
	defer d.watchers.mu.Unlock()
	for i, o := range d.watchers.list {
		if o == w {
			last := len(d.watchers.list) - 1
			d.watchers.list[i] = d.watchers.list[last]
			d.watchers.list[last] = nil
			d.watchers.list = d.watchers.list[:last]
			return
		}
	}
}

// notifyReleased tells the watchers.
func (d *Description) notifyReleased() {
	d.watchers.mu.Lock()
	list := d.watchers.list
	d.watchers.list = nil
	d.watchers.mu.Unlock()
	for _, w := range list {
		w.Released(d)
	}
}
