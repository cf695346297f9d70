package vfs

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/steady"
)

// Programs open a file, read all of it, and close it. Once one has done so, what its next file has is shown to it when it
// opens that: then a platform's stub answers read(2) by itself. The offset follows when the task next comes to the
// kernel. It is that of a description which nobody else can have; who looks from outside, in /proc/PID/fdinfo, may see the old one.

// Shower is a File whose content is the same until something happens to it.
type Shower interface {
	// Show copies all that the file has to b, and returns how much that is. It has that for as long as the stamp holds. 0: it is
	// empty, has too much, or nobody knows.
	Show(b []byte) (int, steady.Stamp)
	// Shown is called when some of that was read.
	Shown()
}

// HandOut says that the content of d, which one descriptor means, is about to be read without us, after HandOutNothing. It
// returns the stamp of that. The only task that uses the table calls it.
func (t *FDTable) HandOut(d *Description) steady.Stamp {
	t.handed.Store(d)
	return d.Note()
}

// HandOutNothing has what was handed out read by calls again.
func (t *FDTable) HandOutNothing() {
	if t.handed.Load() == nil {
		return
	}
	if d := t.handed.Swap(nil); d != nil {
		d.Disturb()
	}
}

// HandedOut notes that n bytes were read of d, a Shower that was handed out.
func (d *Description) HandedOut(n int64) {
	d.offMu.Lock()
	d.Disturb()
	d.off += n
	d.offMu.Unlock()
	d.notify(unix.IN_ACCESS)
	d.file.(Shower).Shown()
}

// Steady reports whether nobody can write to the file but by opening it, or by its name.
func (b *InodeBase) Steady() bool { return b.writers.Load() <= 0 }
