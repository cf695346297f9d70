package goferfs

import (
	"sync/atomic"
	"unsafe"

	"gvisor.dev/gvisor/pkg/safecopy"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// What is read again and again is copied from the Sentry's own view of the file, which
// saves the host call. A file that is read once from end to end is better read by the
// host: a view costs more than it saves.

const (
	// rereadAfter is how many reads have to be of what was read before.
	rereadAfter = 4
	// rereadMax is how much is copied at once; the host is quicker at more.
	rereadMax = 64 << 10
	// rereadFile is the largest file that is viewed for that.
	rereadFile = 16 << 20
	// rereadWindows is how many views there may be at most, for whatever they are used.
	rereadWindows = 4096
)

// rereads tells whether a file's data is read again while its descriptor is kept: one that is opened anew for each time
// would be viewed anew as well. The counts of concurrent readers may be lost.
type rereads struct {
	end   atomic.Int64 // where the data read so far ends
	again atomic.Int32 // how many reads were of that
}

// read notes a read by the host that ended at end.
func (r *rereads) read(end int64) {
	if end > r.end.Load() {
		r.end.Store(end)
	} else if r.again.Load() < rereadAfter {
		r.again.Add(1)
	}
}

// written has the host make the next read: it may owe the file a new access time.
func (r *rereads) written() {
	if r.again.Load() >= rereadAfter {
		r.again.Store(rereadAfter - 1)
	}
}

// reread reads all of dst at off from the Sentry's view of the file. If it cannot it
// returns false, whatever it has done to dst.
func (f *regFile) reread(dst usermem.Seq, off int64) (int64, bool) {
	in, n := f.in, int64(dst.Len())
	size := in.size.Load()
	if f.h.rereads.again.Load() < rereadAfter || n == 0 || n > rereadMax || size > rereadFile || n > size-off ||
		in.fs.shared || f.own >= 0 || windowCount.Load() > rereadWindows {
		return 0, false
	}
	b, err := f.h.view(memmap.Range{Start: uint64(off), End: uint64(off + n)}, false)
	if err != nil {
		return 0, false
	}
	m := movers.Get().(*mover)
	m.view = b.Ptr
	done, err := dst.Blocks(usermem.Write, m.copy)
	m.view = nil
	movers.Put(m)
	return n, err == nil && int64(done) == n
}

// show copies to blocks what m.view points to. The host may have shortened the file.
func (m *mover) show(bs []usermem.Block) (int, error) {
	total := 0
	for _, b := range bs {
		n, err := safecopy.Copy(b.Ptr, m.view, uintptr(b.Len))
		total += int(n)
		if err != nil {
			return total, err
		}
		m.view = unsafe.Add(m.view, n)
	}
	return total, nil
}
