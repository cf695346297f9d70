package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/wait"
)

// Description is an open file description (open(2)): what descriptors refer
// to. It is reference counted: each descriptor, mapping and operation in
// progress holds one reference.
//
// Lock order: offMu comes before every lock of the File.
type Description struct {
	refs  atomic.Int64
	file  File
	path  Path          // where it was opened; anonymous files have a path of their own
	flags atomic.Uint32 // O_* status flags and access mode

	// positional is set if the file has an offset (it is a Seeker or DirReader).
	positional bool
	offMu      sync.Mutex
	off        int64
	shared     OffsetSharer // nil unless the offset is shared with others
	discards   bool         // it is a Discarder

	wrote bool // counted among the inode's writers
	execs bool // counted among those that forbid writers

	async asyncState

	repeats repeats

	watchers releaseWatchers
}

// settable are the flags F_SETFL can change (fcntl(2)).
const settable = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// NewDescription returns a description of file, opened at path with flags
// (those of open(2)), with one reference. It takes over the caller's reference on path.
func NewDescription(file File, path Path, flags uint32) *Description {
	d := &Description{file: file, path: path}
	d.flags.Store(flags &^ (unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_CLOEXEC))
	_, seeks := file.(Seeker)
	_, lists := file.(DirReader)
	d.positional = seeks || lists
	d.shared, _ = file.(OffsetSharer)
	_, d.discards = file.(Discarder)
	d.refs.Store(1)
	path.dentry.inode.Base().opens.Add(1)
	return d
}

// File returns what is behind the description.
func (d *Description) File() File { return d.file }

// Path returns where the file was opened.
func (d *Description) Path() Path { return d.path }

// Flags returns the status flags and access mode.
func (d *Description) Flags() uint32 { return d.flags.Load() }

// NonBlocking reports O_NONBLOCK.
func (d *Description) NonBlocking() bool { return d.flags.Load()&unix.O_NONBLOCK != 0 }

// SetFlags is F_SETFL.
func (d *Description) SetFlags(flags uint32) error {
	if s, ok := d.file.(FlagSetter); ok {
		if err := s.SetFlags(flags); err != nil {
			return err
		}
	}
	for {
		old := d.flags.Load()
		if d.flags.CompareAndSwap(old, old&^settable|flags&settable) {
			d.Disturb()
			return nil
		}
	}
}

// Readable reports whether the description was opened for reading.
func (d *Description) Readable() bool {
	f := d.flags.Load()
	return f&unix.O_PATH == 0 && f&unix.O_ACCMODE != unix.O_WRONLY
}

// Writable reports whether the description was opened for writing.
func (d *Description) Writable() bool {
	f := d.flags.Load()
	return f&unix.O_PATH == 0 && f&unix.O_ACCMODE != unix.O_RDONLY
}

// IncRef takes a reference; the caller holds one already.
func (d *Description) IncRef() { d.refs.Add(1) }

// TryIncRef takes a reference unless the last one is gone.
func (d *Description) TryIncRef() bool {
	for {
		n := d.refs.Load()
		if n == 0 {
			return false
		}
		if d.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// DecRef drops a reference; with the last one the file is released.
func (d *Description) DecRef(c Caller) {
	if d.refs.Add(-1) == 0 {
		d.notifyReleased()
		d.release(c)
	}
}

// learnOffset asks for the offset of a file that shares it. d.offMu is held.
func (d *Description) learnOffset() {
	if d.shared != nil {
		d.off = d.shared.SharedOffset()
	}
}

// Read reads at the description's offset and advances it.
func (d *Description) Read(c Caller, dst usermem.Seq) (int64, error) {
	if !d.Readable() {
		return 0, unix.EBADF
	}
	if !d.positional {
		n, err := d.file.Read(c, d, dst, 0)
		if err != unix.EAGAIN {
			d.Disturb() // who hears of what was read must not find nothing
		}
		if n > 0 {
			d.notify(unix.IN_ACCESS)
		}
		return n, err
	}
	d.offMu.Lock()
	defer d.offMu.Unlock()
	d.learnOffset()
	d.Disturb() // at the beginning: who asks for the offset from now on waits until it has moved
	n, err := d.file.Read(c, d, dst, d.off)
	if n > 0 {
		d.off += n
		d.notify(unix.IN_ACCESS)
	}
	return n, err
}

// Write writes at the description's offset and advances it.
func (d *Description) Write(c Caller, src usermem.Seq) (int64, error) {
	if !d.Writable() {
		return 0, unix.EBADF
	}
	if !d.positional || d.discards {
		n, _, err := d.file.Write(c, d, src, 0)
		if n > 0 {
			d.notify(unix.IN_MODIFY)
		}
		return n, err
	}
	d.offMu.Lock()
	defer d.offMu.Unlock()
	d.learnOffset()
	d.Disturb() // as Read
	n, end, err := d.file.Write(c, d, src, d.off)
	if n > 0 {
		d.off = end
		d.notify(unix.IN_MODIFY)
	}
	return n, err
}

// ReadAt is pread(2).
func (d *Description) ReadAt(c Caller, dst usermem.Seq, off int64) (int64, error) {
	if !d.Readable() {
		return 0, unix.EBADF
	}
	if !d.positional {
		return 0, unix.ESPIPE
	}
	n, err := d.file.Read(c, d, dst, off)
	if n > 0 {
		d.notify(unix.IN_ACCESS)
	}
	return n, err
}

// WriteAt is pwrite(2). As on Linux, O_APPEND wins over off.
func (d *Description) WriteAt(c Caller, src usermem.Seq, off int64) (int64, error) {
	if !d.Writable() {
		return 0, unix.EBADF
	}
	if !d.positional {
		return 0, unix.ESPIPE
	}
	n, _, err := d.file.Write(c, d, src, off)
	if n > 0 {
		d.notify(unix.IN_MODIFY)
	}
	return n, err
}

// Seek is lseek(2).
func (d *Description) Seek(c Caller, off int64, whence int32) (int64, error) {
	if d.flags.Load()&unix.O_PATH != 0 {
		return 0, unix.EBADF
	}
	s, ok := d.file.(Seeker)
	if !ok {
		return 0, unix.ESPIPE
	}
	d.offMu.Lock()
	defer d.offMu.Unlock()
	d.learnOffset()
	n, err := s.Seek(c, d, off, whence, d.off)
	if err == nil && n != d.off {
		d.off = n
		d.Disturb()
	}
	return n, err
}

// ReadDir calls emit for directory entries from the description's position on.
func (d *Description) ReadDir(c Caller, emit func(e Dirent) bool) error {
	r, ok := d.file.(DirReader)
	if !ok {
		return unix.ENOTDIR
	}
	if d.path.dentry.Deleted() {
		return unix.ENOENT
	}
	d.offMu.Lock()
	defer d.offMu.Unlock()
	pos, err := r.ReadDir(c, d, d.off, emit)
	d.off = pos
	return err
}

// Poll returns which events in mask are ready.
func (d *Description) Poll(mask wait.Events) wait.Events {
	ev := d.file.Poll(mask | wait.Err | wait.HUp)
	if ev&arrivals != 0 {
		d.Disturb() // who is told must not find nothing
	}
	return ev
}

// Queue returns the queue notified of readiness changes, nil if there are none.
func (d *Description) Queue() *wait.Queue { return d.file.Queue() }
