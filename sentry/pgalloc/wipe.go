package pgalloc

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// To touch a page that is not there takes the host longer than to clear many.

// data returns the first pages in a row of r that the host has, in memory or in swap; none: an empty range at r's end. false: the
// host does not say.
func (f *File) data(r memmap.Range) (memmap.Range, bool) {
	start, errno := f.seek(r.Start, unix.SEEK_DATA)
	switch {
	case errno == unix.ENXIO || errno == 0 && start >= r.End: // no data behind it (lseek(2))
		return memmap.Range{Start: r.End, End: r.End}, true
	case errno != 0:
		return memmap.Range{}, false
	}
	end, errno := f.seek(start, unix.SEEK_HOLE)
	return memmap.Range{Start: start, End: min(end, r.End)}, errno == 0
}

// seek is lseek(2); nobody reads or writes the file at its offset. The host looks over an 8 MiB hole in less than a
// microsecond, where mincore(2) takes ten: it looks at each page. But it looks at each page as well that is there, for a hole
// even at those far behind.
func (f *File) seek(off uint64, whence uintptr) (uint64, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_LSEEK, f.ro.Fd(), uintptr(off), whence)
	return uint64(n), errno
}

// aroundBytes is how much the host enters into the page table at a fault that reads (fault_around_bytes of Linux): so
// much as lies around it and is there.
const aroundBytes = 64 << 10

// reach has the host enter the pages of r, which are there, into our page table. To write to them faults once for each.
func (f *File) reach(r memmap.Range) {
	for off := r.Start; off < r.End; off = (off + aroundBytes) &^ (aroundBytes - 1) {
		atomic.LoadUint32((*uint32)(unsafe.Add(f.base, off)))
	}
}

// clear makes all pages of r clear. It returns how many bytes from the start on are there.
func (f *File) clear(r memmap.Range) (there uint64) {
	pages := int(r.Len() / usermem.PageSize)
	if pages > 1 && !f.Present(r) {
		if there, ok := f.wipe(r, pages); ok {
			return there
		}
	}
	f.clearThere(r)
	return r.Len()
}

// clearThere clears pages that are there, as they are known to be from then on.
func (f *File) clearThere(r memmap.Range) {
	f.reach(r)
	clear(f.Bytes(r))
	f.Note(r)
}

// Wipe clears the pages of r that are there, if these are at most most; false: there are more, or the host does not say which.
// It may have cleared some then. The caller holds all references on r.
func (f *File) Wipe(r memmap.Range, most int) bool {
	_, ok := f.wipe(r, most)
	return ok
}

// wipe is Wipe, and returns how many bytes from the start on are there.
func (f *File) wipe(r memmap.Range, most int) (there uint64, ok bool) {
	for start := r.Start; r.Start < r.End; {
		d, ok := f.data(r)
		if !ok || d.Len() > uint64(most)*usermem.PageSize {
			return 0, false
		}
		if d.Start == start {
			there = d.Len()
		}
		most -= int(d.Len() / usermem.PageSize)
		f.clearThere(d)
		r.Start = d.End
	}
	return there, true
}
