package pgalloc

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// growMax is the most an Object allocates ahead of what was asked, in bytes.
const growMax = 256 << 10

// Object is a sparse array of pages of the memory file: the contents of a
// tmpfs file, of shared anonymous memory, of a System V segment. It knows
// nothing of a size in bytes; its owner does.
//
// Object.mu is a leaf but for File.mu.
type Object struct {
	f     *File
	quota *Quota
	used  atomic.Uint64 // bytes in runs; changed with mu held
	mu    sync.RWMutex
	runs  []extent // sorted by off, not overlapping
}

// extent says that [off, off+len(at)) of the object is in at.
type extent struct {
	off uint64
	at  memmap.Range
}

func (e extent) end() uint64 { return e.off + e.at.Len() }

// NewObject returns an empty object in f whose pages are counted in quota.
func NewObject(f *File, quota *Quota) *Object { return &Object{f: f, quota: quota} }

// File returns the memory file the pages are in.
func (o *Object) File() *File { return o.f }

// search returns the index of the first run that ends after off.
func (o *Object) search(off uint64) int {
	return sort.Search(len(o.runs), func(i int) bool { return o.runs[i].end() > off })
}

// Lookup returns where [off, off+n) is, or a shorter start of it: either pages
// (ok) or a hole (not ok) of the length returned. It takes no reference;
// Acquire does.
func (o *Object) Lookup(off, n uint64) (r memmap.Range, length uint64, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.lookup(off, n)
}

func (o *Object) lookup(off, n uint64) (r memmap.Range, length uint64, ok bool) {
	i := o.search(off)
	if i == len(o.runs) {
		return r, n, false
	}
	e := o.runs[i]
	if off < e.off {
		return r, min(n, e.off-off), false
	}
	length = min(n, e.end()-off)
	start := e.at.Start + (off - e.off)
	return memmap.Range{Start: start, End: start + length}, length, true
}

// With calls fn with the bytes of the pages that hold [off, off+n), piece by
// piece, nil for a hole with its length. The pages cannot go away meanwhile;
// fn must not call back into o. fn returns false to stop.
func (o *Object) With(off, n uint64, fn func(b []byte, length int) bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for n > 0 {
		r, length, ok := o.lookup(off, n)
		var b []byte
		if ok {
			b = o.f.Bytes(r)
		}
		if !fn(b, int(length)) {
			return
		}
		off += length
		n -= length
	}
}

// Acquire returns the pages that hold [off, off+n), page multiples, or a
// shorter start of it, allocating them if need be, with a reference for the
// caller on each. limit is the page-rounded end beyond which nothing is
// allocated ahead. Where the quota is short of room it allocates no more than the
// page at off.
func (o *Object) Acquire(off, n, limit uint64) (memmap.Range, error) {
	o.mu.RLock()
	r, _, ok := o.lookup(off, n)
	if ok {
		o.f.IncRef(r)
	}
	o.mu.RUnlock()
	if ok {
		return r, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	least := n
	if !o.quota.Roomy(n) {
		least = usermem.PageSize
	}
	r, err := o.fill(off, least, n, limit)
	if err == nil {
		o.f.IncRef(r)
	}
	return r, err
}

// Missing returns how many bytes of [off, off+n), rounded out to pages, have none.
func (o *Object) Missing(off, n uint64) (missing uint64) {
	end := (off + n + usermem.PageMask) &^ usermem.PageMask
	o.mu.RLock()
	defer o.mu.RUnlock()
	for off &^= usermem.PageMask; off < end; {
		_, length, ok := o.lookup(off, end-off)
		if !ok {
			missing += length
		}
		off += length
	}
	return missing
}

// Fill backs [off, off+n), rounded out to pages. It returns how many of the n
// bytes have pages, and if those are not all of them, why.
func (o *Object) Fill(off, n, limit uint64) (uint64, error) {
	end := (off + n + usermem.PageMask) &^ usermem.PageMask
	o.mu.Lock()
	defer o.mu.Unlock()
	for at := off &^ usermem.PageMask; at < end; {
		r, err := o.fill(at, end-at, end-at, limit)
		if err != nil {
			return max(at, off) - off, err
		}
		at += r.Len()
	}
	return n, nil
}

// fill backs a start of [off, off+n), a hole in it for at least the first least
// bytes of it, and returns where it is: what the quota leaves room for, ENOSPC
// if that is nothing. o.mu is held.
func (o *Object) fill(off, least, n, limit uint64) (memmap.Range, error) {
	r, _, ok := o.lookup(off, n)
	if ok {
		return r, nil
	}
	_, hole, _ := o.lookup(off, least)
	want := o.quota.take(o.ahead(off, hole, limit))
	if want == 0 {
		return r, unix.ENOSPC
	}
	at, err := o.f.Allocate(want, usermem.PageSize)
	if err != nil && want > hole {
		o.quota.give(want - hole)
		want = hole
		at, err = o.f.Allocate(want, usermem.PageSize)
	}
	if err != nil {
		o.quota.give(want)
		return r, err
	}
	o.used.Add(want)
	i := o.search(off)
	if i > 0 && o.runs[i-1].end() == off && o.runs[i-1].at.End == at.Start {
		o.runs[i-1].at.End = at.End
	} else {
		o.runs = slices.Insert(o.runs, i, extent{off, at})
	}
	at.End = at.Start + min(n, at.Len())
	return at, nil
}

// ahead returns how much to allocate for a hole at off: as much more as the
// object has before it, within bounds, so that a file written bit by bit ends
// in few runs. o.mu is held.
func (o *Object) ahead(off, hole, limit uint64) uint64 {
	i := o.search(off)
	if i == 0 || o.runs[i-1].end() != off {
		return hole
	}
	want := min(growMax, max(o.runs[i-1].at.Len(), hole), max(limit, off)-off)
	if want <= hole || !o.quota.Roomy(want) {
		return hole
	}
	_, free, _ := o.lookup(off, want)
	return max(hole, free)
}

// Punch frees the pages wholly within [off, end) and clears the rest of it.
func (o *Object) Punch(off, end uint64) {
	first := (off + usermem.PageMask) &^ usermem.PageMask
	last := end &^ usermem.PageMask
	if first > last {
		o.clear(off, end)
		return
	}
	o.clear(off, first)
	o.clear(last, end)
	o.drop(first, last)
}

// clear zeroes the backed bytes of [off, end).
func (o *Object) clear(off, end uint64) {
	if off < end {
		o.With(off, end-off, func(b []byte, _ int) bool { clear(b); return true })
	}
}

// drop frees the pages of [off, end), page multiples.
func (o *Object) drop(off, end uint64) {
	if off >= end {
		return
	}
	var freed []memmap.Range
	o.mu.Lock()
	i := o.search(off)
	j := i
	var keep []extent
	for ; j < len(o.runs) && o.runs[j].off < end; j++ {
		e := o.runs[j]
		cut := e
		if e.off < off {
			k := off - e.off
			keep = append(keep, extent{e.off, memmap.Range{Start: e.at.Start, End: e.at.Start + k}})
			cut = extent{off, memmap.Range{Start: e.at.Start + k, End: e.at.End}}
		}
		if cut.end() > end {
			k := end - cut.off
			keep = append(keep, extent{end, memmap.Range{Start: cut.at.Start + k, End: cut.at.End}})
			cut.at.End = cut.at.Start + k
		}
		freed = append(freed, cut.at)
	}
	o.runs = slices.Replace(o.runs, i, j, keep...)
	for _, r := range freed {
		o.used.Add(-r.Len())
	}
	o.mu.Unlock()
	for _, r := range freed {
		o.f.DecRef(r)
		o.quota.give(r.Len())
	}
}

// Release frees every page.
func (o *Object) Release() { o.drop(0, ^uint64(0)&^usermem.PageMask) }

// Used returns the bytes backed by pages.
func (o *Object) Used() uint64 { return o.used.Load() }
