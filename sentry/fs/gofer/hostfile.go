package goferfs

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	"ringfort/platform"
	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
)

const pageMask = usermem.PageMask

func pageUp(n uint64) uint64 { return (n + pageMask) &^ pageMask }

// hostFile is the donated descriptors of one regular file. It implements memmap.File: its offsets are the file's own.
type hostFile struct {
	refs    atomic.Int64 // the inode's, and one for each page handed out
	ro, rw  atomic.Int32 // -1 if there is none
	rereads rereads
	// below: ro may be of a file below, and not of what is written to (overlayfs); above: it is of that. The inode's mu
	// guards them.
	below, above bool

	mu      sync.Mutex
	old     []int32                   // were ro once; mappings under way may name them
	windows []*window                 // the Sentry's own views, kept until the end
	last    [2]atomic.Pointer[window] // which view found, for reading and for writing
}

// window is a mapping of part of the file in the Sentry.
type window struct {
	start, end uint64
	base       unsafe.Pointer
	fd         int32 // it was mapped from
	write      bool
}

// windowSize is the least the Sentry maps of a file at once, a power of two.
const windowSize = 1 << 20

// windowCount is how many windows there are: the host bounds the mappings of a process.
var windowCount atomic.Int64

func newHostFile() *hostFile {
	h := &hostFile{}
	h.refs.Store(1)
	h.ro.Store(-1)
	h.rw.Store(-1)
	return h
}

// any returns a descriptor that can be read.
func (h *hostFile) any() int {
	if fd := h.ro.Load(); fd >= 0 {
		return int(fd)
	}
	return int(h.rw.Load())
}

// renew puts another descriptor in the place of ro, for what is mapped from now on.
func (h *hostFile) renew(ro int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.old = append(h.old, h.ro.Swap(ro))
}

// viewed reports whether the Sentry has views of the file.
func (h *hostFile) viewed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.windows) > 0
}

// drop gives up n references, and with the last hands the descriptors to closeFD.
func (h *hostFile) drop(n int64, closeFD func(fd int)) {
	if h.refs.Add(-n) != 0 {
		return
	}
	for _, fd := range append(h.old, h.ro.Load(), h.rw.Load()) {
		if fd >= 0 {
			closeFD(int(fd))
		}
	}
	windowCount.Add(-int64(len(h.windows)))
	for _, w := range h.windows {
		_, _, _ = unix.Syscall(unix.SYS_MUNMAP, uintptr(w.base), uintptr(w.end-w.start), 0)
	}
	h.windows = nil
}

// Host returns the descriptors.
func (h *hostFile) Host() platform.HostFile {
	return platform.HostFile{RO: h.ro.Load(), RW: h.rw.Load()}
}

// IncRef keeps the file open.
func (h *hostFile) IncRef(r memmap.Range) { h.refs.Add(int64(r.Len() / usermem.PageSize)) }

// DecRef undoes it.
func (h *hostFile) DecRef(r memmap.Range) {
	h.drop(int64(r.Len()/usermem.PageSize), closeNow)
}

func closeNow(fd int) { unix.Close(fd) }

// Internal maps r into the Sentry. The host may shorten the file at any time: touching the block may fault.
func (h *hostFile) Internal(r memmap.Range, at usermem.Access) (usermem.Block, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.windows {
		if w.shows(r) && (w.write || !at.Write) {
			return w.block(r), nil
		}
	}
	fd := int32(h.any())
	if at.Write {
		fd = h.rw.Load()
	}
	w, err := h.mapWindow(r, fd, at.Write)
	if err != nil {
		return usermem.Block{}, err
	}
	return w.block(r), nil
}

// view maps r into the Sentry as the descriptor sees it that is best informed: on
// overlayfs a file that was first opened for reading is another one than that which
// is written to.
func (h *hostFile) view(r memmap.Range, write bool) (usermem.Block, error) {
	last := &h.last[0]
	if write {
		last = &h.last[1]
	}
	fd := h.rw.Load()
	if fd < 0 && !write {
		fd = h.ro.Load()
	}
	if w := last.Load(); w != nil && w.fd == fd && w.shows(r) {
		return w.block(r), nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.windows {
		if w.fd == fd && w.shows(r) && (w.write || !write) {
			last.Store(w)
			return w.block(r), nil
		}
	}
	w, err := h.mapWindow(r, fd, write)
	if err != nil {
		return usermem.Block{}, err
	}
	last.Store(w)
	return w.block(r), nil
}

// mapWindow makes a window that shows r. h.mu is held.
func (h *hostFile) mapWindow(r memmap.Range, fd int32, write bool) (*window, error) {
	w := &window{start: r.Start &^ (windowSize - 1), end: (r.End + windowSize - 1) &^ (windowSize - 1), fd: fd, write: write}
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	if fd < 0 || w.end < w.start {
		return nil, unix.EFAULT
	}
	p, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, uintptr(w.end-w.start), uintptr(prot), unix.MAP_SHARED, uintptr(fd), uintptr(w.start))
	if errno != 0 {
		return nil, errno
	}
	w.base = *(*unsafe.Pointer)(unsafe.Pointer(&p))
	h.windows = append(h.windows, w)
	windowCount.Add(1)
	return w, nil
}

// shows reports whether r is in w.
func (w *window) shows(r memmap.Range) bool { return w.start <= r.Start && r.End <= w.end }

func (w *window) block(r memmap.Range) usermem.Block {
	return usermem.Block{Ptr: unsafe.Add(w.base, r.Start-w.start), Len: int(r.Len()), Unsafe: true}
}

// Pages hands out the file's own pages.
func (in *inode) Pages(off, n uint64, at usermem.Access) (memmap.File, memmap.Range, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.needFD(at.Write); err != nil {
		return nil, memmap.Range{}, err
	}
	if in.fs.shared || in.stale.Load() {
		var st unix.Stat_t
		if err := unix.Fstat(in.data.any(), &st); err != nil {
			return nil, memmap.Range{}, err
		}
		in.setSize(st.Size)
	}
	end := pageUp(uint64(in.size.Load()))
	if off >= end {
		return nil, memmap.Range{}, memmap.ErrBeyondEnd
	}
	if at.Write {
		in.spoil()
		in.dirty.Store(true)
	}
	r := memmap.Range{Start: off, End: off + min(n, end-off)}
	in.data.IncRef(r)
	return in.data, r, nil
}

// PagesReady implements memmap.Ready.
func (in *inode) PagesReady() {}

// Code implements memmap.Coded.
func (in *inode) Code() *memmap.Code { return &in.code }

// AddMapping notes a mapping, which keeps the descriptors.
func (in *inode) AddMapping(s memmap.Space, r usermem.Range, off uint64, writable bool) error {
	in.mappings.Add(s, r, off, writable)
	return nil
}

// RemoveMapping forgets it.
func (in *inode) RemoveMapping(s memmap.Space, r usermem.Range, off uint64, writable bool) {
	in.mappings.Remove(s, r, off, writable)
}

// Sync writes the file's pages to the disk.
func (in *inode) Sync(_, _ uint64) error { return in.sync(true) }

// A mover is a transfer under way. Movers are pooled, with the function that
// needs them, because what Seq.Blocks is given escapes.
type mover struct {
	fd    int
	pos   int64
	trap  uintptr
	flags int
	step  func([]usermem.Block) (int, error) // move
	iov   [16]unix.Iovec

	view unsafe.Pointer                     // what show copies from next, and fill to
	copy func([]usermem.Block) (int, error) // show
	in   *inode                             // of a write, else nil
	fill func([]usermem.Block) (int, error) // put
}

var movers = sync.Pool{New: func() any {
	m := new(mover)
	m.step, m.copy, m.fill = m.move, m.show, m.put
	return m
}}

// transfer reads or writes all of s at off of fd, through the memory s names. The count is what was done. Of a file that
// is written to, in keeps what is written through a view out meanwhile.
func transfer(s usermem.Seq, at usermem.Access, fd int, off int64, trap uintptr, flags int, in *inode) (int, error) {
	m := movers.Get().(*mover)
	m.fd, m.pos, m.trap, m.flags, m.in = fd, off, trap, flags, in
	n, err := s.Blocks(at, m.step)
	m.in = nil
	movers.Put(m)
	return n, err
}

// move reads or writes blocks.
func (m *mover) move(bs []usermem.Block) (int, error) {
	total := 0
	for len(bs) > 0 {
		n, want := min(len(bs), len(m.iov)), 0
		for i, b := range bs[:n] {
			m.iov[i].Base = (*byte)(b.Ptr)
			m.iov[i].SetLen(b.Len)
			want += b.Len
		}
		got, errno := m.call(bs[:n])
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0 && total > 0:
			return total, nil
		case errno != 0:
			return 0, errno
		}
		bs = bs[n:]
		total += int(got)
		m.pos += int64(got)
		if int(got) < want {
			break
		}
	}
	return total, nil
}

// call makes one host call for blocks, which stand in m.iov. For a single one there is
// a cheaper call.
func (m *mover) call(bs []usermem.Block) (uintptr, unix.Errno) {
	if m.in != nil {
		m.in.rewrites.mu.RLock()
		defer m.in.rewrites.mu.RUnlock()
	}
	if len(bs) == 1 && m.flags == 0 {
		trap := uintptr(unix.SYS_PREAD64)
		if m.trap == unix.SYS_PWRITEV2 {
			trap = unix.SYS_PWRITE64
		}
		got, _, errno := unix.Syscall6(trap, uintptr(m.fd), uintptr(bs[0].Ptr), uintptr(bs[0].Len), uintptr(m.pos), 0, 0)
		return got, errno
	}
	// The position in two halves: pos_l, pos_h (preadv2(2)); on 64 bits the first holds all of it.
	got, _, errno := unix.Syscall6(m.trap, uintptr(m.fd), uintptr(unsafe.Pointer(&m.iov)), uintptr(len(bs)), uintptr(m.pos), 0, uintptr(m.flags))
	return got, errno
}

// tmpName returns a name nobody has.
func tmpName() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return ".ringfort-" + hex.EncodeToString(b[:])
}
