package pgalloc

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// To touch a page that is not there takes the host longer than to clear many.

// askPages is how many pages the host is asked about at once.
const askPages = 256

// there tells of each page of r, askPages at most, whether the host has it in vec; false: the host does not say.
func (f *File) there(r memmap.Range, vec *[askPages]byte) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MINCORE, uintptr(unsafe.Add(f.base, r.Start)), uintptr(r.Len()), uintptr(unsafe.Pointer(vec)))
	if errno != 0 {
		return false
	}
	// A page that is swapped out is not in core (mincore(2)). Where there is no swap now there was none before.
	var info unix.Sysinfo_t
	_, _, errno = unix.RawSyscall(unix.SYS_SYSINFO, uintptr(unsafe.Pointer(&info)), 0, 0)
	return errno == 0 && info.Totalswap == 0
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
	var vec [askPages]byte
	for r.Start < r.End {
		part := memmap.Range{Start: r.Start, End: min(r.End, r.Start+askPages*usermem.PageSize)}
		if !f.there(part, &vec) {
			return false
		}
		b := f.Bytes(part)
		for i := range len(b) / usermem.PageSize {
			if vec[i]&1 == 0 {
				continue
			}
			if most--; most < 0 {
				return false
			}
			clear(b[i*usermem.PageSize : (i+1)*usermem.PageSize])
		}
		r.Start = part.End
	}
	return true
}
