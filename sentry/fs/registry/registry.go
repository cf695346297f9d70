// Package registry knows the file systems mount(2) can make, by name. It is filled at boot and only read after.
package registry

import (
	"sort"
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
)

// Maker makes a file system for mount(2): source is its first argument, data its last.
type Maker func(c vfs.Caller, source, data string) (*vfs.Superblock, error)

// Type is a kind of file system.
type Type struct {
	Name string
	Make Maker
	// NoDevice is "nodev" in /proc/filesystems: it needs no block device.
	NoDevice bool
	// UserNS says that root of a user namespace may mount it (FS_USERNS_MOUNT).
	UserNS bool
}

var (
	mu    sync.RWMutex
	types = map[string]Type{}
)

// Register makes a file system known.
func Register(t Type) {
	mu.Lock()
	types[t.Name] = t
	mu.Unlock()
}

// Get returns a file system by name; ENODEV if there is none, as mount(2) says.
func Get(name string) (Type, error) {
	mu.RLock()
	defer mu.RUnlock()
	t, ok := types[name]
	if !ok {
		return t, unix.ENODEV
	}
	return t, nil
}

// List returns all, by name.
func List() []Type {
	mu.RLock()
	defer mu.RUnlock()
	out := make([]Type, 0, len(types))
	for _, t := range types {
		out = append(out, t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
