// Package memdev owns the devices of major number 1: null, zero, full, random,
// urandom and kmsg. It holds no locks and no state.
package memdev

import (
	"crypto/rand"

	"golang.org/x/sys/unix"

	"ringfort/sentry/memmap"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Major is the major number of the memory devices; the minors are Linux's
// (Documentation/admin-guide/devices.txt).
const Major = 1

// Minor numbers.
const (
	Null    = 3
	Zero    = 5
	Full    = 7
	Random  = 8
	URandom = 9
	KMsg    = 11
)

// Register makes the devices known to the VFS.
func Register() {
	for minor, f := range map[uint32]vfs.File{Null: &null{}, Zero: &zero{}, Full: &full{}, Random: &random{}, URandom: &random{}, KMsg: &null{}} {
		vfs.RegisterDevice(vfs.CharDevice, Major, minor, func(vfs.Caller, vfs.Path, uint32) (vfs.File, error) { return f, nil })
	}
}

// seeker is what all of them do with lseek(2): nothing.
type seeker struct{ vfs.FileBase }

func (seeker) Seek(_ vfs.Caller, _ *vfs.Description, _ int64, _ int32, _ int64) (int64, error) {
	return 0, nil
}

// swallow is a write that goes nowhere.
func swallow(src usermem.Seq, off int64) (int64, int64, error) {
	return int64(src.Len()), off, nil
}

type null struct{ seeker }

func (*null) Read(vfs.Caller, *vfs.Description, usermem.Seq, int64) (int64, error) { return 0, nil }

func (*null) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	return swallow(src, off)
}

// Discards implements vfs.Discarder.
func (*null) Discards() {}

type zero struct{ seeker }

func (*zero) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	n, err := dst.Zero()
	return int64(n), err
}

func (*zero) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	return swallow(src, off)
}

// Mappable returns nil: a mapping of /dev/zero is anonymous memory.
func (*zero) Mappable(vfs.Caller, *vfs.Description) (memmap.Mappable, error) { return nil, nil }

type full struct{ zero }

func (*full) Write(_ vfs.Caller, _ *vfs.Description, _ usermem.Seq, off int64) (int64, int64, error) {
	return 0, off, unix.ENOSPC
}

type random struct{ seeker }

func (*random) Read(_ vfs.Caller, _ *vfs.Description, dst usermem.Seq, _ int64) (int64, error) {
	buf := make([]byte, min(dst.Len(), 64<<10))
	rand.Read(buf)
	n, err := dst.CopyOut(buf)
	return int64(n), err
}

func (*random) Write(_ vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	return swallow(src, off)
}
