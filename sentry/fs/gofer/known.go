package goferfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// A directory whose names are all known answers for those it has not without a round trip: it was listed, or made here
// and so empty, and what was changed here since is known, too. Nobody else changes it (Options.Shared is not set), or
// the superblock is in doubt; then nothing is known any more.

// maxKnown is how many names are kept for that in each file system.
const maxKnown = 1 << 18

// exactNames are the host file systems in which a name is found by its very bytes and no other way, but in directories
// somebody on the host has had fold case (chattr +F); none can be made here.
var exactNames = map[uint32]bool{
	unix.OVERLAYFS_SUPER_MAGIC: true, unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true,
	unix.BTRFS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true,
}

// absent reports whether the directory is known not to have name. in.mu is held, what is in doubt dropped.
func (in *inode) absent(name string) bool {
	if in.names == nil && !in.knowNames() {
		return false
	}
	_, ok := in.names[name]
	return !ok
}

// exact reports whether the directory's names are what their bytes are.
func (in *inode) exact() bool { return in.fs.exact && in.key.dev == in.fs.root.key.dev }

// knowNames makes names of the listing, if that can be and is allowed. in.mu is held.
func (in *inode) knowNames() bool {
	if in.listing == nil || in.partial || !in.exact() {
		return false
	}
	n := int64(len(in.listing))
	if in.fs.known.Add(n) > maxKnown {
		in.fs.known.Add(-n)
		return false
	}
	in.names = make(map[string]struct{}, n)
	for i := range in.listing {
		in.names[in.listing[i].Name] = struct{}{}
	}
	return true
}

// knowEmpty notes that the directory was made just now.
func (in *inode) knowEmpty() {
	if in.fs.shared || !in.exact() {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.names == nil && in.listing == nil {
		in.names = map[string]struct{}{}
	}
}

// forgetNames gives up knowing the names. in.mu is held.
func (in *inode) forgetNames() {
	in.fs.known.Add(-int64(len(in.names)))
	in.names = nil
}

// changed notes that name is now in the directory, or not any more. The listing is not what it was.
func (in *inode) changed(name string, there bool) {
	in.fs.gen.Add(1)
	in.spoil()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dropDoubtful()
	if in.names == nil {
		in.knowNames()
	}
	in.listing = nil
	delete(in.seen, name)
	if in.names == nil {
		return
	}
	before := len(in.names)
	if there {
		in.names[strings.Clone(name)] = struct{}{} // name is part of a path that may be long
	} else {
		delete(in.names, name)
	}
	if in.fs.known.Add(int64(len(in.names)-before)) > maxKnown {
		in.forgetNames()
	}
}

// unsure notes that a change of name failed, with who knows what effect.
func (in *inode) unsure(name string) {
	in.fs.gen.Add(1)
	in.spoil()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.listing = nil
	delete(in.seen, name)
	in.forgetNames()
}
