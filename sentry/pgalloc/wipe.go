package pgalloc

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// To touch a page that is not there takes the host longer than to clear many. What is there is asked of the file, not of
// the page tables, which know nothing of pages that are swapped out, as mincore(2) does not.

// data returns the first stretch of r the host has data of, which is empty if there is none; false if the host does not say.
func (f *File) data(r memmap.Range) (memmap.Range, bool) {
	start, err := unix.Seek(int(f.rw.Fd()), int64(r.Start), unix.SEEK_DATA)
	if err == unix.ENXIO || err == nil && uint64(start) >= r.End {
		return memmap.Range{Start: r.End, End: r.End}, true
	}
	if err != nil {
		return r, false
	}
	end, err := unix.Seek(int(f.rw.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return r, false
	}
	return memmap.Range{Start: max(r.Start, uint64(start)), End: min(r.End, uint64(end))}, true
}

// clear makes all pages of r clear.
func (f *File) clear(r memmap.Range) {
	const few, most = 1, 16 // pages, and stretches of them
	for n := 0; r.Len() > few*usermem.PageSize && n < most; n++ {
		part, ok := f.data(r)
		if !ok {
			break
		}
		clear(f.Bytes(part))
		r.Start = part.End
	}
	clear(f.Bytes(r))
}

// Wipe clears the pages of r that the host has data of, if these are at most most, and returns how many there were; false:
// there are more, or the host does not say. The caller holds all references on r.
func (f *File) Wipe(r memmap.Range, most int) (pages int, ok bool) {
	for r.Start < r.End {
		part, ok := f.data(r)
		if pages += int(part.Len() / usermem.PageSize); !ok || pages > most {
			return 0, false
		}
		clear(f.Bytes(part))
		r.Start = part.End
	}
	return pages, true
}
