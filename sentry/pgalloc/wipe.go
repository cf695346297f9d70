package pgalloc

import (
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
// microsecond, where mincore(2) takes ten: it looks at each page.
func (f *File) seek(off uint64, whence uintptr) (uint64, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_LSEEK, f.ro.Fd(), uintptr(off), whence)
	return uint64(n), errno
}

// clear makes all pages of r clear.
func (f *File) clear(r memmap.Range) {
	if r.Len() <= usermem.PageSize || !f.Wipe(r, int(r.Len()/usermem.PageSize)) {
		clear(f.Bytes(r))
	}
}

// Wipe clears the pages of r that are there, if these are at most most; false: there are more, or the host does not say which.
// It may have cleared some then. The caller holds all references on r.
func (f *File) Wipe(r memmap.Range, most int) bool {
	for r.Start < r.End {
		d, ok := f.data(r)
		if !ok || d.Len() > uint64(max(most, 0))*usermem.PageSize {
			return false
		}
		most -= int(d.Len() / usermem.PageSize)
		clear(f.Bytes(d))
		r.Start = d.End
	}
	return true
}
