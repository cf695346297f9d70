package pgalloc

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/google/btree"
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// FileSize is the virtual size of a memory file: the most memory a sandbox can
// ever have. Only what is touched costs memory.
const FileSize = 256 << 30

// chunkPages is the number of pages whose counts are allocated together.
const chunkPages = 1 << 15

// maxDirty is how much freed but not yet cleared memory is kept for reuse
// before it is given back to the host, in bytes, where the host sets no limit.
const maxDirty = 16 << 20

// ErrNoMemory is returned by Allocate at the sandbox's limit.
var ErrNoMemory error = unix.ENOMEM

// File is the memory file. It implements memmap.File.
type File struct {
	ro, rw *os.File
	base   unsafe.Pointer // of the mapping, outside the Go heap
	counts [FileSize / usermem.PageSize / chunkPages]atomic.Pointer[[chunkPages]atomic.Int32]

	present [FileSize / usermem.PageSize / chunkPages]atomic.Pointer[present]
	brought atomic.Uint64 // bytes, see Brought

	used  atomic.Int64  // bytes with a count above zero
	limit atomic.Int64  // of used; 0 is none
	keep  atomic.Uint64 // how much may be dirty, in bytes
	tight atomic.Bool   // see Spare

	mu         sync.Mutex
	free       *btree.BTreeG[run] // clean or dirty, by start; neighbours of one kind are merged
	end        uint64             // everything from here on is clean
	size       uint64             // of the file; what lies beyond cannot be touched
	dirtyBytes uint64
	dirty      []run // freed lately: not clear, not in free
}

// run is a run of free bytes.
type run struct{ start, end uint64 }

func (r run) length() uint64 { return r.end - r.start }

func byStart(a, b run) bool { return a.start < b.start }

// New makes a memory file and maps it.
func New() (*File, error) {
	rw, folios, err := openBacking()
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	ro, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", rw.Fd()))
	if err != nil {
		return nil, fmt.Errorf("reopen the memory file read-only: %w", err)
	}
	addr, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, FileSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_NORESERVE, rw.Fd(), 0)
	if errno != 0 {
		return nil, fmt.Errorf("map the memory file: %w", errno)
	}
	base := *(*unsafe.Pointer)(unsafe.Pointer(&addr))
	f := &File{ro: ro, rw: rw, base: base, free: btree.NewG(16, byStart)}
	if !folios {
		f.size = FileSize
	}
	f.keep.Store(maxDirty)
	return f, nil
}

// Spare says that the host gives some of those who use f no more than n bytes: little of it may lie idle from now on.
func (f *File) Spare(n int64) {
	f.keep.Store(min(f.keep.Load(), uint64(n)/64))
	f.tight.Store(true)
}

// SetLimit bounds the memory in use, in bytes; 0 removes the bound.
func (f *File) SetLimit(n int64) { f.limit.Store(n) }

// Limit returns the bound on memory in use, 0 if there is none.
func (f *File) Limit() int64 { return f.limit.Load() }

// Used returns the memory in use, in bytes.
func (f *File) Used() int64 { return f.used.Load() }

// Host returns the descriptors to map the file through.
func (f *File) Host() platform.HostFile {
	return platform.HostFile{RO: int32(f.ro.Fd()), RW: int32(f.rw.Fd())}
}

// Allocate returns a run of n bytes (a page multiple), cleared, each page with
// a count of one, aligned to align (a power of two, at least a page).
func (f *File) Allocate(n, align uint64) (memmap.Range, error) {
	r, _, err := f.AllocateTold(n, align, !f.tight.Load())
	return r, err
}

// AllocateTold is Allocate, and tells how many bytes from the start on are there already: to map them takes no more memory.
// With dense all of it will be used, and new memory is found at once, for whoever calls.
func (f *File) AllocateTold(n, align uint64, dense bool) (r memmap.Range, there uint64, err error) {
	r, clean, err := f.allocate(n, align, dense)
	if err == nil && !clean {
		there = f.clear(r)
	}
	return r, there, err
}

// AllocateDirty is Allocate for a caller that overwrites every byte before it shows the pages to anybody: they may hold what
// another process has left. dense is as for AllocateTold.
func (f *File) AllocateDirty(n, align uint64, dense bool) (memmap.Range, error) {
	r, clean, err := f.allocate(n, align, dense)
	if err == nil && !clean {
		f.reach(r)
	}
	return r, err
}

// allocate is Allocate; unless clean, the pages are not clear yet.
func (f *File) allocate(n, align uint64, dense bool) (r memmap.Range, clean bool, err error) {
	if n == 0 || n%usermem.PageSize != 0 {
		return memmap.Range{}, false, errors.New("pgalloc: length is not a page multiple")
	}
	if used, limit := f.used.Add(int64(n)), f.limit.Load(); limit > 0 && used > limit {
		f.used.Add(-int64(n))
		return memmap.Range{}, false, ErrNoMemory
	}
	f.mu.Lock()
	r, clean, ok := f.take(n, max(align, usermem.PageSize), dense)
	f.mu.Unlock()
	if !ok {
		f.used.Add(-int64(n))
		return memmap.Range{}, false, ErrNoMemory
	}
	f.eachCount(r, func(c *atomic.Int32) bool { c.Store(1); return false })
	return r, clean, nil
}

// dirtyLooks is how many of the runs freed last are looked at for one of a few pages to use again: about as many as two
// small processes leave. For more than manyPages all are: to find new pages takes the host some 3 µs each, ten times as long
// as to clear those it has.
const (
	dirtyLooks = 64
	manyPages  = 16
)

// reusable returns the index in f.dirty of a run for n bytes, -1 if there is none: the latest of that very size, or else
// the smallest, so that what the next process of a kind needs is there. f.mu is held.
func (f *File) reusable(n, align uint64) int {
	best, size := -1, uint64(0)
	last := len(f.dirty) - dirtyLooks
	if n > manyPages*usermem.PageSize {
		last = 0
	}
	for i := len(f.dirty) - 1; i >= max(0, last); i-- {
		d := f.dirty[i]
		l := d.end - d.start
		if l < n || d.start&(align-1) != 0 || best >= 0 && l >= size {
			continue
		}
		best, size = i, l
		if l == n {
			break
		}
	}
	return best
}

// Freed reports whether there is memory for n bytes, a page multiple, that was freed lately.
func (f *File) Freed(n uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reusable(n, usermem.PageSize) >= 0
}

// take finds a run of n bytes. f.mu is held.
func (f *File) take(n, align uint64, dense bool) (r memmap.Range, clean, ok bool) {
	// A run freed a moment ago is in the caches and faulted in: best.
	if i := f.reusable(n, align); i >= 0 {
		d := f.dirty[i]
		r = memmap.Range{Start: d.start, End: d.start + n}
		f.dirtyBytes -= n
		if d.start += n; d.start == d.end {
			f.dirty = append(f.dirty[:i], f.dirty[i+1:]...)
		} else {
			f.dirty[i] = d
		}
		return r, false, true
	}
	tries := 0
	var found run
	var at uint64
	f.free.Ascend(func(e run) bool {
		start := (e.start + align - 1) &^ (align - 1)
		if start+n <= e.end {
			found, at, ok = e, start, true
			return false
		}
		tries++
		return tries < 128
	})
	if ok {
		f.free.Delete(found)
		if found.start < at {
			f.free.ReplaceOrInsert(run{found.start, at})
		}
		if at+n < found.end {
			f.free.ReplaceOrInsert(run{at + n, found.end})
		}
		return memmap.Range{Start: at, End: at + n}, true, true
	}
	start := (f.end + align - 1) &^ (align - 1)
	if start+n > FileSize || !f.extend(start+n, dense) {
		return memmap.Range{}, false, false
	}
	if f.end < start {
		f.insertFree(run{f.end, start})
	}
	f.end = start + n
	return memmap.Range{Start: start, End: start + n}, true, true
}

// insertFree adds a clean run, merging it with its neighbours. f.mu is held.
func (f *File) insertFree(r run) {
	f.free.DescendLessOrEqual(r, func(p run) bool {
		if p.end == r.start {
			r.start = p.start
			f.free.Delete(p)
		}
		return false
	})
	f.free.AscendGreaterOrEqual(r, func(n run) bool {
		if n.start == r.end {
			r.end = n.end
			f.free.Delete(n)
		}
		return false
	})
	f.free.ReplaceOrInsert(r)
}

// eachCount calls fn with the count of each page of r; fn returns whether that
// page became free. The free pages are returned to the allocator.
func (f *File) eachCount(r memmap.Range, fn func(c *atomic.Int32) bool) {
	freeFrom := uint64(0)
	freeing := false
	flush := func(end uint64) {
		if freeing {
			f.release(run{freeFrom, end})
			freeing = false
		}
	}
	for off := r.Start; off < r.End; off += usermem.PageSize {
		if fn(f.count(off / usermem.PageSize)) {
			if !freeing {
				freeFrom, freeing = off, true
			}
		} else {
			flush(off)
		}
	}
	flush(r.End)
}

func (f *File) count(page uint64) *atomic.Int32 {
	p := &f.counts[page/chunkPages]
	c := p.Load()
	if c == nil {
		p.CompareAndSwap(nil, new([chunkPages]atomic.Int32))
		c = p.Load()
	}
	return &c[page%chunkPages]
}

// IncRef takes a reference on every page of r; the caller holds one already.
func (f *File) IncRef(r memmap.Range) {
	for p := r.Start / usermem.PageSize; p < r.End/usermem.PageSize; p++ {
		f.count(p).Add(1)
	}
}

// DecRef drops a reference on every page of r.
func (f *File) DecRef(r memmap.Range) {
	f.eachCount(r, func(c *atomic.Int32) bool {
		n := c.Add(-1)
		if n < 0 {
			panic("pgalloc: page freed twice")
		}
		return n == 0
	})
}

// Unshared reports whether the caller's is the only reference on the page at
// offset off, so that a copy-on-write may take the page over.
func (f *File) Unshared(off uint64) bool { return f.count(off/usermem.PageSize).Load() == 1 }

// release makes r free: kept dirty for quick reuse, or given back to the host.
func (f *File) release(r run) {
	f.used.Add(-int64(r.end - r.start))
	f.mu.Lock()
	keep := f.keep.Load()
	if r.length() <= keep/4 {
		f.dirty = append(f.dirty, r)
		f.dirtyBytes += r.length()
		if f.dirtyBytes <= keep && len(f.dirty) < 1024 {
			f.mu.Unlock()
			return
		}
		old := f.dirty[:len(f.dirty)/2+1]
		punch := slices.Clone(old)
		f.dirty = append(f.dirty[:0], f.dirty[len(old):]...)
		for _, p := range punch {
			f.dirtyBytes -= p.length()
		}
		f.mu.Unlock()
		for _, p := range merged(punch) {
			f.punch(p)
		}
		return
	}
	f.mu.Unlock()
	f.punch(r)
}

// merged sorts runs and joins neighbours: what processes shared after a fork comes back page by page.
func merged(runs []run) []run {
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.start, b.start) })
	out := runs[:1]
	for _, r := range runs[1:] {
		if last := &out[len(out)-1]; last.end == r.start {
			last.end = r.end
		} else {
			out = append(out, r)
		}
	}
	return out
}

// punch gives r back to the host and makes it clean.
func (f *File) punch(r run) {
	err := unix.Fallocate(int(f.rw.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE,
		int64(r.start), int64(r.end-r.start))
	if err != nil {
		clear(f.Bytes(memmap.Range{Start: r.start, End: r.end}))
	}
	f.forget(memmap.Range{Start: r.start, End: r.end})
	f.mu.Lock()
	f.insertFree(r)
	f.mu.Unlock()
}

// Bytes returns the Sentry's view of r. Its contents change under the reader:
// the application writes them too.
func (f *File) Bytes(r memmap.Range) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(f.base, r.Start)), r.Len())
}

// Internal returns the Sentry's view of r.
func (f *File) Internal(r memmap.Range, _ usermem.Access) (usermem.Block, error) {
	if r.End > FileSize || r.Start > r.End {
		return usermem.Block{}, unix.EFAULT
	}
	return usermem.Block{Ptr: unsafe.Add(f.base, r.Start), Len: int(r.Len())}, nil
}
