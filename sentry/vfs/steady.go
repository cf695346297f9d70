package vfs

import (
	"sync/atomic"

	"ringfort/sentry/steady"
	"ringfort/sentry/wait"
)

// Sized is a regular file whose size changes through its inode alone, and only there.
type Sized interface {
	// SizeMark returns what every change of the size disturbs; nil if the host changes it as well.
	SizeMark() *steady.Mark
}

// StatNoter is a File of which fstat(2) returns the same until something happens to it.
type StatNoter interface {
	// NoteStat is called before Stat; what that returns is so for as long as the stamp holds. It is false if nobody knows.
	NoteStat() (steady.Stamp, bool)
	// Size returns how long the file is, as far as that is known.
	Size() int64
}

// Discarder is a File that takes all that is written to it without a look at it, and has no offset that moves.
type Discarder interface {
	File
	// Discards does nothing.
	Discards()
}

// Discards reports whether the file is a Discarder.
func (d *Description) Discards() bool { return d.discards }

// NoteDiscards is called when a write to d, which Discards, has been done. It reports whether another one would return its
// length and nobody hear of it, and the stamps that hold as long as a descriptor means d and that is so.
func (d *Description) NoteDiscards() (stamps [2]steady.Stamp, ok bool) {
	stamps[0] = d.Note()
	stamps[1], ok = d.path.dentry.inode.Base().noteUnwatched()
	return stamps, ok
}

// repeats is how a description tells for how long calls about it return the same. It
// is disturbed by all that is done with the description and can be told by such a call,
// and when a descriptor ceases to mean it.
type repeats struct {
	mark  steady.Mark
	watch atomic.Pointer[wait.Waiter]
}

// arrivals are the events by which a file says that there may be more to read, or an error.
const arrivals = wait.Readable | wait.RdBand | wait.Pri | wait.RdHUp | wait.HUp | wait.Err

// NoteEmpty is called before a look whether there is anything to read. That there is
// nothing remains so for as long as the stamp holds.
func (d *Description) NoteEmpty() steady.Stamp {
	if q := d.file.Queue(); q != nil && d.repeats.watch.Load() == nil {
		w := &wait.Waiter{To: (*disturber)(d)}
		// Before watch is set: whoever finds it relies on it. Before the others: whoever is woken or gets SIGIO, and
		// then asks, must not find nothing, though it may run before the rest of the queue has been told.
		q.AddFirst(w, arrivals)
		if !d.repeats.watch.CompareAndSwap(nil, w) {
			w.Remove()
		}
	}
	return d.repeats.mark.Note()
}

// Note is called before a look at the offset of a Sized file, or before d gets a descriptor, which will
// mean it as long as the stamp holds.
func (d *Description) Note() steady.Stamp { return d.repeats.mark.Note() }

// Disturb is called when what a call about d returns may have changed otherwise than by
// an arrival.
func (d *Description) Disturb() { d.repeats.mark.Disturb() }

// disturber is a description that hears of arrivals.
type disturber Description

// Notify implements wait.Notifiee.
func (d *disturber) Notify(*wait.Waiter, wait.Events) { d.repeats.mark.Disturb() }

// unwatch ends that. The description has no users any more.
func (d *Description) unwatch() {
	if w := d.repeats.watch.Load(); w != nil {
		w.Remove()
	}
}
