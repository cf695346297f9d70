package vfs

import (
	"sort"
	"sync"
)

// MountSource is what mount(2) gives a file system to make an instance from.
type MountSource struct {
	Source string // the device argument
	Data   string // comma-separated options that are not the mount's own
}

// FSType is a kind of file system that mount(2) knows by name.
type FSType struct {
	Name string
	// New makes an instance (mount(2)). EINVAL for options it does not know.
	New func(c Caller, s MountSource) (*Superblock, error)
	// UserMount is set if a user namespace's root may mount it.
	UserMount bool
}

var (
	fsTypesMu sync.RWMutex
	fsTypes   = map[string]*FSType{}
)

// RegisterFS makes a kind of file system known.
func RegisterFS(t *FSType) {
	fsTypesMu.Lock()
	fsTypes[t.Name] = t
	fsTypesMu.Unlock()
}

// LookupFS returns the kind called name, nil if there is none (ENODEV).
func LookupFS(name string) *FSType {
	fsTypesMu.RLock()
	defer fsTypesMu.RUnlock()
	return fsTypes[name]
}

// FSNames returns the names of all kinds, sorted (/proc/filesystems).
func FSNames() []string {
	fsTypesMu.RLock()
	defer fsTypesMu.RUnlock()
	names := make([]string, 0, len(fsTypes))
	for n := range fsTypes {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
