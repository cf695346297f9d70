package vfs

import (
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// DeviceKind is character or block.
type DeviceKind uint8

// The kinds of devices.
const (
	CharDevice DeviceKind = iota
	BlockDevice
)

type deviceKey struct {
	kind         DeviceKind
	major, minor uint32
}

// AnyMinor registers a device for all minor numbers without one of their own.
const AnyMinor = ^uint32(0)

// DeviceOpener opens a device whose node is at p.
type DeviceOpener func(c Caller, p Path, flags uint32) (File, error)

var (
	deviceMu sync.RWMutex
	devices  = map[deviceKey]DeviceOpener{}
)

// RegisterDevice says what opening a device node of these numbers does.
func RegisterDevice(kind DeviceKind, major, minor uint32, open DeviceOpener) {
	deviceMu.Lock()
	devices[deviceKey{kind, major, minor}] = open
	deviceMu.Unlock()
}

// openDevice opens the device node at p; a device the sandbox does not have gives ENXIO, as Linux without a driver.
func openDevice(c Caller, p Path, flags uint32) (File, error) {
	b := p.dentry.inode.Base()
	k := deviceKey{CharDevice, unix.Major(b.Rdev), unix.Minor(b.Rdev)}
	if b.Type() == unix.S_IFBLK {
		k.kind = BlockDevice
	}
	deviceMu.RLock()
	open := devices[k]
	if open == nil {
		k.minor = AnyMinor
		open = devices[k]
	}
	deviceMu.RUnlock()
	if open == nil {
		return nil, unix.ENXIO
	}
	return open(c, p, flags)
}
