// Package memmap is the contract between address spaces (package mm) and what
// can be mapped into them: the sandbox's memory file and host files.
//
// A Mappable is an object with pages (a regular file, a shared memory
// segment). A File is where such pages physically are. Package mm asks a
// Mappable for the pages behind an offset, holds a reference on them for as
// long as it maps them, and hands the File's host descriptor to the platform.
//
// Lock order: locks of an mm.MemoryManager, then those of a Mappable, then
// those of a File.
package memmap

import (
	"ringfort/platform"
	"ringfort/sentry/usermem"
)

// Range is [Start, End) of a File, in bytes.
type Range struct{ Start, End uint64 }

// Len returns the length of r.
func (r Range) Len() uint64 { return r.End - r.Start }

// File is a host object that holds pages.
type File interface {
	// Host returns the descriptors to map the file through.
	Host() platform.HostFile
	// IncRef and DecRef count references on the pages of r. Files whose pages
	// need no counting do nothing but keep themselves open.
	IncRef(r Range)
	DecRef(r Range)
	// Internal returns the Sentry's own view of r, mapping it if need be; it is
	// valid while a reference on r is held.
	Internal(r Range, at usermem.Access) (usermem.Block, error)
}

// Exact is a Mappable that may be short of room, so that it is not to be asked
// for pages that nobody has touched.
type Exact interface {
	// Exact reports whether that is so for n bytes. It is called as the methods of Mappable.
	Exact(n uint64) bool
}

// Mappable is an object whose pages can be mapped. Methods are called with
// locks of a MemoryManager held and must not call back into one.
type Mappable interface {
	// Pages returns the File and the range of it that hold bytes
	// [off, off+n) of the object (off and n page multiples), or a shorter run of
	// at least one page from off. It takes a reference on the range for the
	// caller. If at.Write the caller is going to write through a shared
	// mapping. It returns ErrBeyondEnd for a page wholly beyond the end of the object.
	Pages(off, n uint64, at usermem.Access) (File, Range, error)
	// AddMapping and RemoveMapping tell the object that space maps [off, off+r.Len())
	// of it at r, so that a truncation can be carried to its mappings. A
	// removal may name part of what was added, or what several calls added side
	// by side: splits and merges of mappings are not told.
	AddMapping(space Space, r usermem.Range, off uint64, writable bool) error
	RemoveMapping(space Space, r usermem.Range, off uint64, writable bool)
	// Sync writes the object's bytes [off, off+n) back (msync(2) MS_SYNC).
	Sync(off, n uint64) error
}

// Ready is a Mappable whose pages are all there already: to hand out more of them than are needed costs nothing.
type Ready interface {
	Mappable
	PagesReady()
}

// Space is an address space as a Mappable sees it.
type Space interface {
	// Invalidate drops the translations of r that came from a Mappable (private
	// copies stay if keepPrivate), so that the next access asks Pages again. The
	// caller holds none of the locks that its Mappable methods take.
	Invalidate(r usermem.Range, keepPrivate bool)
	// Owner returns whose address space it is: what the kernel has set, nil
	// before that.
	Owner() any
}

// BusError is the type of ErrBeyondEnd.
type BusError struct{}

func (BusError) Error() string { return "page beyond the end of the mapped object" }

// ErrBeyondEnd is returned by Mappable.Pages for a page beyond the end: the
// access gets SIGBUS.
var ErrBeyondEnd error = BusError{}

// Identity names what is mapped, for /proc/PID/maps.
type Identity interface {
	// MappedName returns the path as the viewer, a vfs.Caller, sees it now, the device and
	// the inode number.
	MappedName(viewer any) (path string, dev uint64, ino uint64)
	IncRef()
	DecRef()
}
