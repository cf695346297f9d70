package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

var syncCalls = []Call{
	{Nr: unix.SYS_SYNC, Name: "sync", Func: Sync},
	{Nr: unix.SYS_SYNCFS, Name: "syncfs", Func: Syncfs, Args: []Arg{FD}},
	{Nr: unix.SYS_FSYNC, Name: "fsync", Func: Fsync, Args: []Arg{FD}},
	{Nr: unix.SYS_FDATASYNC, Name: "fdatasync", Func: Fdatasync, Args: []Arg{FD}},
	{Nr: unix.SYS_SYNC_FILE_RANGE, Name: "sync_file_range", Func: SyncFileRange, Args: []Arg{FD, Offset, Offset, Hex}},
}

// Sync is sync(2), which knows no errors.
func Sync(t *task, _ arguments) (uintptr, error) {
	for _, sb := range t.MountNS().Superblocks() {
		if sb.SyncFunc != nil {
			_ = sb.SyncFunc(t) // sync(2) always succeeds
		}
	}
	return 0, nil
}

// Syncfs is syncfs(2).
func Syncfs(t *task, a arguments) (uintptr, error) {
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	if sb := d.Inode().Base().Superblock(); sb.SyncFunc != nil {
		return 0, sb.SyncFunc(t)
	}
	return 0, nil
}

// Fsync is fsync(2).
func Fsync(t *task, a arguments) (uintptr, error) { return syncFile(t, a[0].Int(), false) }

// Fdatasync is fdatasync(2).
func Fdatasync(t *task, a arguments) (uintptr, error) { return syncFile(t, a[0].Int(), true) }

func syncFile(t *task, fd int32, dataOnly bool) (uintptr, error) {
	d := t.GetIOFile(fd)
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	s, ok := d.File().(vfs.Syncer)
	if !ok {
		return 0, unix.EINVAL
	}
	return 0, s.Sync(t, dataOnly)
}

// SyncFileRange is sync_file_range(2): it writes back more than asked, the whole file.
func SyncFileRange(t *task, a arguments) (uintptr, error) {
	const known = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if a[3].Int()&^known != 0 || a[1].Int64() < 0 || a[2].Int64() < 0 || a[1].Int64()+a[2].Int64() < 0 {
		return 0, unix.EINVAL
	}
	d := t.GetIOFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	switch d.Inode().Base().Type() {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFBLK, unix.S_IFLNK:
	default:
		return 0, unix.ESPIPE
	}
	if s, ok := d.File().(vfs.Syncer); ok && a[3].Int()&^unix.SYNC_FILE_RANGE_WRITE != 0 {
		return 0, s.Sync(t, true)
	}
	return 0, nil
}
