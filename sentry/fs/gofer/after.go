package goferfs

import "ringfort/gofer/wire"

// Some programs that put one file after the other into a directory look at the directory in between. What it is like
// then comes along with the answer to the change, to save asking for it.

// heedFor is for how many changes of a directory that is the case after somebody looked at it.
const heedFor = 8

// after is what a directory is like after a change to it.
type after struct {
	attr   wire.Attr // all zero if the host could not tell
	wanted bool
	spoils uint32 // of the directory, before the change
}

// heed begins a change of the directory, whose dirMu is held until follow.
func (in *inode) heed() (a after) {
	a.spoils = in.spoils.Load()
	if n := in.heeds.Load(); n > 0 {
		a.wanted = true
		in.heeds.Store(n - 1)
	}
	return a
}

// want is where the attributes are to be put, nil if nobody wants them.
func (a *after) want() *wire.Attr {
	if !a.wanted {
		return nil
	}
	return &a.attr
}

// follow takes over what the host said. The change itself has been noted, by changed, and nothing else since heed, or
// the host will be asked. Who may do what in the directory is not among it, so that it cannot undo a chmod(2) that
// overtook it.
func (in *inode) follow(a *after) {
	if !a.wanted || (inoKey{a.attr.Dev, a.attr.Ino}) != in.key {
		return
	}
	in.mu.Lock() // who asks the host meanwhile may get an older answer
	defer in.mu.Unlock()
	in.attrMu.Lock()
	to := &in.attr
	to.Size, to.Blocks = a.attr.Size, a.attr.Blocks
	to.ATime, to.MTime, to.CTime = a.attr.ATime, a.attr.MTime, a.attr.CTime
	in.attrMu.Unlock()
	in.setSize(int64(a.attr.Size))
	in.SetNlink(a.attr.Nlink)
	in.told.Disturb()
	in.stale.Store(false)
	if in.spoils.Load() != a.spoils+1 {
		in.spoil()
	}
}

// looked notes that somebody looks at the directory; changed says that it changed since.
func (in *inode) looked(changed bool) {
	if n := in.heeds.Load(); n != heedFor && (n > 0 || changed) {
		in.heeds.Store(heedFor)
	}
}
