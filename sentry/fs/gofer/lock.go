package goferfs

import (
	"math"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
)

// The locks of a sandbox on a file that others have as well are on descriptors of their own: open file descriptions, which
// the gofer has opened and does not keep, so that they end with the Sentry, however that ends. There is one for each kind
// of lock, for only records need the right to write, and nobody can execute what another has open for writing.

var _ vfs.HostLocker = (*inode)(nil)

// LocksOnHost reports whether others than this sandbox can lock the file. Of what is no regular file there is no
// descriptor to lock.
func (in *inode) LocksOnHost() bool { return in.fs.shared && in.Type() == unix.S_IFREG }

// withLocks calls f with a descriptor for locks, which is opened at the first use: for writing, if that can be.
func (in *inode) withLocks(slot *int, write bool, f func(fd int) error) error {
	fid, err := in.getFID()
	if err != nil {
		return err
	}
	in.lockMu.Lock()
	defer in.lockMu.Unlock()
	if *slot <= 0 {
		if *slot, err = in.openLocks(fid, write); err != nil {
			return err
		}
	}
	for {
		switch err := f(*slot); err {
		case unix.EINTR:
		case unix.EACCES: // as good as EAGAIN (fcntl(2))
			return unix.EAGAIN
		default:
			return err
		}
	}
}

func (in *inode) openLocks(fid FID, write bool) (int, error) {
	if write {
		fd, err := in.fs.openData(fid, unix.O_RDWR)
		switch err {
		case unix.EROFS, unix.EACCES, unix.EPERM, unix.ETXTBSY:
			// Nobody here can have the file open for writing, which locks for writing need.
		default:
			return fd, err
		}
	}
	return in.fs.openData(fid, unix.O_RDONLY)
}

// dropLocks closes the descriptors, and ends all locks with them.
func (in *inode) dropLocks() {
	in.lockMu.Lock()
	defer in.lockMu.Unlock()
	for _, slot := range []*int{&in.flockFD, &in.recordFD} {
		if *slot > 0 {
			unix.Close(*slot)
			*slot = 0
		}
	}
}

// HostFlock changes the lock of flock(2).
func (in *inode) HostFlock(op int) error {
	return in.withLocks(&in.flockFD, in.writers(), func(fd int) error { return unix.Flock(fd, op|unix.LOCK_NB) })
}

// writers reports whether somebody here has, or had, the file open for writing. Then the lock may be as well, which network
// file systems want for an exclusive one.
func (in *inode) writers() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.data != nil && in.data.rw.Load() >= 0
}

// HostLock changes the lock of a range.
func (in *inode) HostLock(typ int16, start, end int64) error {
	fl := flockOf(typ, start, end)
	return in.withLocks(&in.recordFD, true, func(fd int) error { return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &fl) })
}

// flockOf is what fcntl(2) takes of a lock.
func flockOf(typ int16, start, end int64) unix.Flock_t {
	fl := unix.Flock_t{Type: typ, Whence: unix.SEEK_SET, Start: start}
	if end != vfs.LockEOF {
		fl.Len = end - start
	}
	return fl
}

// HostTestLock finds a lock in the way. A process outside has no number here.
func (in *inode) HostTestLock(r vfs.RecordLock) (*vfs.RecordLock, error) {
	fl := flockOf(unix.F_RDLCK, r.Start, r.End)
	if r.Write {
		fl.Type = unix.F_WRLCK
	}
	err := in.withLocks(&in.recordFD, true, func(fd int) error { return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &fl) })
	if err != nil || fl.Type == unix.F_UNLCK {
		return nil, err
	}
	o := &vfs.RecordLock{Start: fl.Start, End: vfs.LockEOF, Write: fl.Type == unix.F_WRLCK, PID: min(fl.Pid, 0)}
	if fl.Len > 0 && fl.Start <= math.MaxInt64-fl.Len {
		o.End = fl.Start + fl.Len
	}
	return o, nil
}
