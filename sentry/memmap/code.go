package memmap

import (
	"bytes"
	"sync"
	"sync/atomic"

	"ringfort/platform"
	"ringfort/sentry/usermem"
)

// Coded is a Mappable that programs are run from. It keeps what is known of its code.
type Coded interface {
	Mappable
	Code() *Code
}

// Code is what is known of the call sites in an object: where they are, and pages that have them patched, which all address
// spaces map that find the object's own pages to be what they were made from. The zero Code knows nothing.
//
// mu is a leaf.
type Code struct {
	mu    sync.Mutex
	seen  map[uint64]uint8     // how many processes have trapped at a site, by the offset behind it
	pages map[uint64]*CodePage // by offset
	file  File                 // of their frames
	busy  atomic.Bool
}

// Ran notes that a program that begins with this object has trapped n times in one process, in which nothing was patched from
// the start.
func (c *Code) Ran(n int64) {
	if n >= busyTraps && !c.busy.Load() {
		c.busy.Store(true)
	}
}

// Busy reports whether a program that begins with this object traps often: then to map a few pages more costs less than it
// saves.
func (c *Code) Busy() bool { return c.busy.Load() }

// CodePage is a page of code with patched call sites. It does not change.
type CodePage struct {
	Offset   uint64 // in the object
	Original []byte // what the object had there
	Frame    Range
	Sites    []KnownSite
}

// KnownSite is a patched call site.
type KnownSite struct {
	platform.KnownSite
	End uint64 // offset in the object behind the SYSCALL
}

const (
	// knownAfter is how many processes have to trap at a site.
	knownAfter = 4
	// busyTraps is how many traps make a program one that traps often.
	busyTraps = 100
	// maxSeen is how many sites are counted in an object, maxCodePages how many of its pages are patched.
	maxSeen, maxCodePages = 512, 32
)

// Saw notes that a process has trapped for the first time at the site that ends at an offset. It reports, once, that this is
// worth being known.
func (c *Code) Saw(end uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.seen[end]
	if n == 0 && len(c.seen) == maxSeen || n == knownAfter {
		return false
	}
	if c.seen == nil {
		c.seen = map[uint64]uint8{}
	}
	c.seen[end] = n + 1
	return n+1 == knownAfter
}

// Add makes a site known that is patched by writing patch before its end, in the page at offset, which is original. frame is
// a page of file, the same each time, that is filled and taken over. It reports whether the site was added; if not, frame is
// still the caller's.
func (c *Code) Add(file File, frame Range, into []byte, offset uint64, original []byte, s KnownSite) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.pages[offset]
	if old == nil && len(c.pages) == maxCodePages {
		return false
	}
	p := &CodePage{Offset: offset, Original: original, Frame: frame}
	if old != nil && bytes.Equal(old.Original, original) {
		p.Sites = append(p.Sites, old.Sites...)
	}
	p.Sites = append(p.Sites, s)
	copy(into, original)
	for _, s := range p.Sites {
		copy(into[s.Start(offset):], s.Patch)
	}
	if c.pages == nil {
		c.pages = map[uint64]*CodePage{}
	}
	c.pages[offset], c.file = p, file
	if old != nil {
		file.DecRef(old.Frame)
	}
	return true
}

// Start is where in the page at offset the site begins.
func (s *KnownSite) Start(offset uint64) uint64 { return s.End - uint64(s.Back) - offset }

// Within returns the pages in n bytes from off on, with a reference on each frame.
func (c *Code) Within(off, n uint64) (pages []*CodePage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, p := range c.pages {
		if at >= off && at+usermem.PageSize <= off+n {
			c.file.IncRef(p.Frame)
			pages = append(pages, p)
		}
	}
	return pages
}

// Drop forgets everything.
func (c *Code) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pages {
		c.file.DecRef(p.Frame)
	}
	c.pages, c.seen = nil, nil
}
