package goferfs

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/safecopy"

	"ringfort/gofer/wire"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

// What is written again and again is copied to the Sentry's own view of the file, which
// saves the host call. The pages are the ones of the host's page cache, so everybody
// sees the bytes at once and fsync(2) finds them. What a write does besides is seen to
// here: the host learns of the file's new times before anybody looks at them (settle),
// and writes that would do more than replace bytes are the host's.

const (
	// rewriteAfter is how many writes have to be of what was written before.
	rewriteAfter = 4
	// rewriteLooked is how many more it takes after somebody looked at what such a
	// write owed, and twice as many each time until the timer comes first, up to
	// rewriteMost: to settle costs as much as some writes, with the timer as many.
	rewriteLooked = 64
	rewriteMost   = 4096
	// rewriteNever is what a file that cannot be mapped starts from again.
	rewriteNever = -1 << 31
	// settleAfter is how long the host may not know of a write, if nobody looks: less
	// than a tick of its clock, which is what its times are exact to.
	settleAfter = 2 * time.Millisecond
	// badAddress is where the Sentry never has memory (mmap_min_addr).
	badAddress = 8
)

// rewrites tells whether a file's data is written again while its descriptor is kept, as
// rereads does of reading, and until where a view may be written to. The counts of concurrent writers may be lost.
type rewrites struct {
	end   atomic.Int64 // where the data written so far ends
	again atomic.Int32 // how many writes were of that

	// mu is held by who writes to a view, and for reading by those who write otherwise
	// or change what limit follows from. The former only tries for it, because
	// the application's memory is locked then. It comes before inode.mu.
	mu sync.RWMutex
	// limit is the size the file has at least, if a write within does nothing but
	// replace bytes, else 0. Changed under mu.
	limit atomic.Int64
	// changes counts what made limit 0.
	changes atomic.Int64

	// owed: the host's times of the file do not tell of what was written. Taken back
	// under inode.mu.
	owed atomic.Bool
	at   atomic.Int64 // a byte that the host has written: there is no hole
	// looked is rewriteLooked as it has become. Under inode.mu.
	looked int32
}

// rewrite writes all of src at off to the Sentry's view of the file. If it cannot it
// returns false, whatever it has done: the host is to write the same once more.
func (f *regFile) rewrite(src usermem.Seq, off int64) bool {
	w, n := &f.in.rewrites, int64(src.Len())
	if off < 0 || n > rereadMax || n > min(w.limit.Load(), w.end.Load())-off || w.again.Load() < rewriteAfter || f.own >= 0 ||
		f.in.fs.unsettled.never.Load() || windowCount.Load() > rereadWindows {
		return false
	}
	b, err := f.h.view(memmap.Range{Start: uint64(off), End: uint64(off + n)}, true)
	if err != nil {
		w.again.Store(rewriteNever)
		return false
	}
	m := movers.Get().(*mover)
	m.view, m.in, m.pos = b.Ptr, f.in, off
	done, err := src.Blocks(usermem.Read, m.fill)
	m.view, m.in = nil, nil
	movers.Put(m)
	f.h.rereads.written()
	return err == nil && int64(done) == n
}

// put copies blocks to what m.view points to. The host may refuse the pages: the file
// has a hole there and the disk is full, or it cannot be read.
func (m *mover) put(bs []usermem.Block) (int, error) {
	w := &m.in.rewrites
	if !w.mu.TryLock() {
		return 0, unix.EAGAIN
	}
	defer w.mu.Unlock()
	total := 0
	for _, b := range bs {
		if int64(b.Len) > w.limit.Load()-m.pos {
			return total, unix.EAGAIN
		}
		m.in.owe()
		n, err := safecopy.Copy(m.view, b.Ptr, uintptr(b.Len))
		total += int(n)
		if !m.in.dirty.Load() {
			m.in.dirty.Store(true) // not before: a sync that goes on may miss the bytes
		}
		if err != nil {
			return total, err
		}
		m.pos += int64(n)
		m.view = unsafe.Add(m.view, n)
	}
	return total, nil
}

// owe notes, before bytes are replaced, that the host does not know the time of it.
func (in *inode) owe() {
	w := &in.rewrites
	if !w.owed.Load() && w.owed.CompareAndSwap(false, true) {
		in.fs.unsettled.add(in)
	}
	if !in.stale.Load() {
		in.spoil()
	}
}

// wrote notes a write by the host that ended at end, and sees whether the next one of
// the same may do without. changes is what was counted before it: what a write takes
// from a file, set-ID bits and capabilities, this one took, unless they came back.
func (f *regFile) wrote(end, changes int64) {
	in := f.in
	w := &in.rewrites
	if end > w.end.Load() {
		w.end.Store(end)
		return
	}
	if w.again.Load() < rewriteAfter && w.again.Add(1) < rewriteAfter {
		return
	}
	if end <= w.limit.Load() || in.fs.shared || !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	var st unix.Stat_t
	if w.changes.Load() == changes && unix.Fstat(int(f.h.rw.Load()), &st) == nil && st.Size <= rereadFile {
		w.at.Store(end - 1)
		w.limit.Store(st.Size)
	}
}

// forget has as many writes counted anew before a view is made.
func (w *rewrites) forget() {
	if w.again.Load() > 0 {
		w.again.Store(0)
	}
}

// hold ends the writing to views and settles what is owed for it, before something
// happens to the file that must come after these writes or that limit does not outlive.
// It returns with rewrites.mu held for reading.
func (in *inode) hold() {
	w := &in.rewrites
	w.mu.RLock()
	w.changes.Add(1)
	w.limit.Store(0)
	in.mu.Lock()
	in.settleLocked()
	in.mu.Unlock()
}

// settle makes the host's times of the file tell of all that was written, because
// somebody looks at them.
func (in *inode) settle() {
	if in.rewrites.owed.Load() || in.asking.Load() {
		in.mu.Lock()
		in.settleLocked()
		in.mu.Unlock()
	}
}

// settleLocked is settle with in.mu held.
func (in *inode) settleLocked() {
	w := &in.rewrites
	if !w.owed.Load() {
		return
	}
	w.looked = min(max(2*w.looked, rewriteLooked), rewriteMost)
	if w.again.Load() > 0 {
		w.again.Store(rewriteAfter - w.looked)
	}
	in.touch()
}

// touch has the host set the times of what is owed for. in.mu is held.
func (in *inode) touch() {
	w := &in.rewrites
	was := in.asking.Swap(true) // whoever looks meanwhile waits
	defer in.asking.Store(was)
	if !w.owed.Swap(false) || in.data == nil || !in.fs.unsettled.never.Load() && in.touchHere() {
		return
	}
	w.again.Store(rewriteAfter - rewriteLooked)
	if fid, err := in.getFIDLocked(); err == nil {
		_, _ = in.fs.client.SetAttr(fid, &Change{Valid: wire.SetMTime}) // there is nobody left to tell
	}
}

// touchHere is touch without the gofer, if that can be. Only the owner of a file can set
// just one of its times by utimensat(2), and the Sentry is nobody there. But who may
// write may also fail to write: the host has noted the time by when it finds the data out
// of reach. That is custom, not law, so the result is looked at; where it is another no
// view is written to any more. The byte must be there, or the host makes the file longer.
func (in *inode) touchHere() bool {
	fd, at := int(in.data.rw.Load()), in.rewrites.at.Load()
	var now unix.Timespec
	var st unix.Stat_t
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil || unix.Fstat(fd, &st) != nil || st.Size <= at {
		return false
	}
	_, _, errno := unix.Syscall6(unix.SYS_PWRITE64, uintptr(fd), badAddress, 1, uintptr(at), 0, 0)
	if errno == unix.EFAULT && unix.Fstat(fd, &st) == nil && !before(st.Mtim, now) && !before(st.Ctim, now) {
		return true
	}
	in.fs.unsettled.never.Store(true)
	return false
}

func before(a, b unix.Timespec) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }

// unsettled are the files that owe the host a time. mu is a leaf.
type unsettled struct {
	never atomic.Bool // the host does not note a time as touch wants it

	mu    sync.Mutex
	files []*inode // some may owe nothing any more
	spare []*inode
	timer *time.Timer
}

// add has in settled before long.
func (u *unsettled) add(in *inode) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files = append(u.files, in)
	switch {
	case len(u.files) > 1:
	case u.timer == nil:
		u.timer = time.AfterFunc(settleAfter, u.settle)
	default:
		u.timer.Reset(settleAfter)
	}
}

// settle settles all.
func (u *unsettled) settle() {
	u.mu.Lock()
	files := u.files
	u.files, u.spare = u.spare[:0], nil
	u.mu.Unlock()
	for _, in := range files {
		in.mu.Lock()
		if in.rewrites.owed.Load() {
			in.rewrites.looked = 0
			in.touch()
		}
		in.mu.Unlock()
	}
	clear(files)
	u.mu.Lock()
	u.spare = files[:0]
	u.mu.Unlock()
}
