package goferfs

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxAhead is how many descriptors of files opened before anybody asked are kept.
	maxAhead = 512
	// maxFlights is how many batches of them may be under way at a time.
	maxFlights = maxStreams
	// landAfter is when a batch is taken in that nobody has asked for.
	landAfter = 100 * time.Millisecond
)

// aheadFDs keeps descriptors of files that are likely to be opened next. The oldest gives way. Only the Client's locks
// come after mu.
type aheadFDs struct {
	mu      sync.Mutex
	fds     map[inoKey]aheadFD
	ring    [maxAhead]inoKey // in the order of put
	next    int
	flights []*flight
	timed   bool // sweep is going to be called
}

// aheadFD is a descriptor and the batch with which it came.
type aheadFD struct {
	fd int
	of *stream
}

// flight is a batch of files that the gofer is about to open, or has opened, without anybody waiting for it. What is
// to be known of a file from its having no name any more is known while it is under way, too: drop strikes it out, and
// a descriptor is that of the file which was meant, or is closed.
type flight struct {
	opening *Opening
	keys    []inoKey // what is to be opened, zero if it is not wanted any more; guarded by aheadFDs.mu
	of      *stream
	landed  sync.Once
}

// put takes over fd.
func (a *aheadFDs) put(key inoKey, fd aheadFD) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.putLocked(key, fd)
}

func (a *aheadFDs) putLocked(key inoKey, fd aheadFD) {
	if _, ok := a.fds[key]; ok {
		unix.Close(fd.fd)
		return
	}
	if a.fds == nil {
		a.fds = map[inoKey]aheadFD{}
	}
	old := &a.ring[a.next]
	a.next = (a.next + 1) % maxAhead
	if fd, ok := a.fds[*old]; ok {
		delete(a.fds, *old)
		unix.Close(fd.fd)
	}
	*old = key
	a.fds[key] = fd
}

// putListed takes over the descriptors that came with a listing, of a stream, if the count of changes is still gen. Who takes
// a file its name moves the count on first, and drops what is here then.
func (a *aheadFDs) putListed(d *donations, of *stream, count *atomic.Uint64, gen uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if count.Load() != gen {
		closeAll(d.fds)
		return
	}
	for i, fd := range d.fds {
		a.putLocked(d.keys[i], aheadFD{fd, of})
	}
}

// wasted reports whether no file of a stream's batch was taken.
func (a *aheadFDs) wasted(of *stream) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !of.used
}

// take hands over the descriptor of a file, -1 if there is none. It waits for one that is under way. of is the stream
// whose next batch may be asked for now, if any: this file is the first of its batch to be taken.
func (a *aheadFDs) take(key inoKey) (fd int, of *stream) {
	for {
		a.mu.Lock()
		f, ok := a.fds[key]
		if ok {
			delete(a.fds, key)
			if f.of != nil && !f.of.used {
				f.of.used, of = true, f.of
			}
			a.mu.Unlock()
			return f.fd, of
		}
		fl := a.under(key)
		a.mu.Unlock()
		if fl == nil {
			return -1, nil
		}
		a.land(fl)
	}
}

// under returns the batch under way in which a file is. mu is held.
func (a *aheadFDs) under(key inoKey) *flight {
	for _, fl := range a.flights {
		if slices.Contains(fl.keys, key) {
			return fl
		}
	}
	return nil
}

// begin has the gofer open files below dir, unless enough are under way. It does not wait. mu is held until the request
// has left: who loses a file its name after that finds it under way, and who did before has told the gofer first.
func (a *aheadFDs) begin(c *Client, dir FID, paths []string, keys []inoKey, of *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.flights) >= maxFlights {
		return
	}
	a.flights = append(a.flights, &flight{opening: c.BeginOpenMany(dir, paths), keys: keys, of: of})
	if !a.timed {
		a.timed = true
		time.AfterFunc(landAfter, a.sweep)
	}
}

// land waits for a batch, unless somebody else has, and takes it in.
func (a *aheadFDs) land(fl *flight) {
	fl.landed.Do(func() {
		opened, _ := fl.opening.End() // what did not come is asked for when it is wanted
		a.mu.Lock()
		defer a.mu.Unlock()
		a.flights = slices.DeleteFunc(a.flights, func(f *flight) bool { return f == fl })
		for i, o := range opened {
			switch {
			case o.fd < 0:
			case o.key == fl.keys[i]:
				a.putLocked(o.key, aheadFD{o.fd, fl.of})
			default:
				unix.Close(o.fd)
			}
		}
	})
}

// sweep takes in what is under way: descriptors in sockets count against the user on the host.
func (a *aheadFDs) sweep() {
	a.mu.Lock()
	flights := slices.Clone(a.flights)
	a.timed = len(flights) > 0
	if a.timed {
		time.AfterFunc(landAfter, a.sweep)
	}
	a.mu.Unlock()
	for _, fl := range flights {
		a.land(fl)
	}
}

// has reports whether there is a descriptor of a file, or going to be.
func (a *aheadFDs) has(key inoKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.fds[key]
	return ok || a.under(key) != nil
}

// drop closes the descriptor of a file that is no more, or not what it was.
func (a *aheadFDs) drop(key inoKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f, ok := a.fds[key]; ok {
		delete(a.fds, key)
		unix.Close(f.fd)
	}
	for _, fl := range a.flights {
		if i := slices.Index(fl.keys, key); i >= 0 {
			fl.keys[i] = inoKey{}
		}
	}
}

// clear closes all, after waiting for what is under way.
func (a *aheadFDs) clear() {
	a.mu.Lock()
	for key, f := range a.fds {
		delete(a.fds, key)
		unix.Close(f.fd)
	}
	flights := slices.Clone(a.flights)
	for _, fl := range flights {
		clear(fl.keys)
	}
	a.mu.Unlock()
	for _, fl := range flights {
		a.land(fl)
	}
}
