package pgalloc

import (
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// Hold is Lookup with a reference for the caller on the pages found, so that they can be read or written with no lock
// held: give them back with File.DecRef(Pages(r)).
func (o *Object) Hold(off, n uint64) (r memmap.Range, length uint64, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	r, length, ok = o.lookup(off, n)
	if ok {
		o.f.IncRef(Pages(r))
	}
	return r, length, ok
}

// Pages rounds r out to whole pages.
func Pages(r memmap.Range) memmap.Range {
	r.Start &^= usermem.PageMask
	r.End = (r.End + usermem.PageMask) &^ usermem.PageMask
	return r
}
