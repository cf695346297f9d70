package pgalloc

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// present says of each page of a chunk whether it is known to be there: that the host need not find memory for it.
type present [chunkPages / 64]atomic.Uint64

// eachWord calls fn with the words for the pages of r and the bits that mean them, as long as it returns true.
func (f *File) eachWord(r memmap.Range, fn func(w *atomic.Uint64, bits uint64) bool) {
	first, last := r.Start/usermem.PageSize, (r.End+usermem.PageSize-1)/usermem.PageSize
	for page := first; page < last; {
		c := &f.present[page/chunkPages]
		p := c.Load()
		if p == nil {
			c.CompareAndSwap(nil, new(present))
			p = c.Load()
		}
		n := min(64-page%64, last-page)
		if !fn(&p[page%chunkPages/64], (1<<n-1)<<(page%64)) {
			return
		}
		page += n
	}
}

// Present reports whether all pages of r are known to be there.
func (f *File) Present(r memmap.Range) bool {
	all := true
	f.eachWord(r, func(w *atomic.Uint64, bits uint64) bool {
		all = w.Load()&bits == bits
		return all
	})
	return all
}

// Note says that all pages of r are there.
func (f *File) Note(r memmap.Range) {
	f.eachWord(r, func(w *atomic.Uint64, bits uint64) bool { w.Or(bits); return true })
}

// forget says that the pages of r are not there any more.
func (f *File) forget(r memmap.Range) {
	f.eachWord(r, func(w *atomic.Uint64, bits uint64) bool { w.And(^bits); return true })
}

// Probe is Present after a look at the host's pages.
func (f *File) Probe(r memmap.Range) bool {
	vec := make([]byte, r.Len()/usermem.PageSize)
	if len(vec) == 0 {
		return true
	}
	_, _, errno := unix.RawSyscall(unix.SYS_MINCORE, uintptr(f.base)+uintptr(r.Start), uintptr(r.Len()), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return false
	}
	for _, v := range vec {
		if v&1 == 0 {
			return false
		}
	}
	f.Note(r)
	return true
}

// hideAfter is how much is brought before the Sentry forgets, see Brought, in bytes.
const hideAfter = 8 << 20

// Brought says that an application's host process has made all pages of r present. Now and then the Sentry's page tables
// are cleared of the file, whose pages stay: what it has touched counts as the Sentry's as well, and where the host looks
// for who has most memory, that shall not be the Sentry.
func (f *File) Brought(r memmap.Range) {
	f.Note(r)
	if f.brought.Add(r.Len()) < hideAfter {
		return
	}
	f.brought.Store(0)
	f.mu.Lock()
	end := f.end
	f.mu.Unlock()
	_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, uintptr(f.base), uintptr(end), unix.MADV_DONTNEED)
}
