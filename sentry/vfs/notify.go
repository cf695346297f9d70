package vfs

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/steady"
)

// watchSet is the inotify watches on one inode.
type watchSet struct {
	mu      sync.Mutex
	watches []*watch
	mark    steady.Mark // disturbed when there is one more
}

func (b *InodeBase) watchSet() *watchSet {
	for {
		if s := b.watches.Load(); s != nil {
			return s
		}
		b.watches.CompareAndSwap(nil, &watchSet{})
	}
}

// send gives an event to the watches of in.
func (b *InodeBase) send(mask uint32, cookie uint32, name string) {
	s := b.watches.Load()
	if s == nil {
		return
	}
	s.mu.Lock()
	hit := make([]*watch, 0, len(s.watches))
	for _, w := range s.watches {
		if w.mask.Load()&mask&unix.IN_ALL_EVENTS != 0 || mask&(unix.IN_IGNORED|unix.IN_UNMOUNT) != 0 {
			hit = append(hit, w)
		}
	}
	s.mu.Unlock()
	for _, w := range hit {
		w.deliver(mask, cookie, name)
	}
}

// noteUnwatched reports whether nobody watches the inode, which remains so for as long as the stamp holds.
func (b *InodeBase) noteUnwatched() (steady.Stamp, bool) {
	s := b.watchSet()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark.Note(), len(s.watches) == 0
}

func (s *watchSet) remove(w *watch) {
	s.mu.Lock()
	s.watches = slices.DeleteFunc(s.watches, func(o *watch) bool { return o == w })
	s.mu.Unlock()
}

// notify tells watchers that the description was read or written. Those of the directory hear of it unless the file is a
// special one.
func (d *Description) notify(mask uint32) {
	in := d.path.dentry.inode.Base()
	switch in.Type() {
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
		in.send(mask, 0, "")
		return
	}
	p := d.path.dentry.Parent()
	if in.watches.Load() == nil && (p == nil || p.inode.Base().watches.Load() == nil) {
		return
	}
	notifyPath(d.path, mask)
}

// notifyPath tells the watchers of the file at p, and of the directory it is in.
func notifyPath(p Path, mask uint32) {
	d := p.dentry
	b := d.inode.Base()
	l := d.loc.Load()
	parentWatched := l.parent != nil && l.parent.inode.Base().watches.Load() != nil
	if b.watches.Load() == nil && !parentWatched {
		return
	}
	if b.IsDir() {
		mask |= unix.IN_ISDIR
	}
	if parentWatched && !d.gone.Load() {
		l.parent.inode.Base().send(mask, 0, l.name)
	}
	b.send(mask, 0, "")
}

// notifyChild tells the watchers of a directory about an entry.
func notifyChild(dir, child *Dentry, mask uint32) {
	if dir.inode.Base().watches.Load() == nil {
		return
	}
	if child.inode.Base().IsDir() {
		mask |= unix.IN_ISDIR
	}
	dir.inode.Base().send(mask, 0, child.Name())
}

// notifyInode tells the watchers of a file itself.
func notifyInode(in Inode, mask uint32) {
	b := in.Base()
	if b.watches.Load() == nil {
		return
	}
	if b.IsDir() {
		mask |= unix.IN_ISDIR
	}
	b.send(mask, 0, "")
}

// notifyGone tells about the removal of name, of the file in, from dir.
func notifyGone(dir *Dentry, in Inode, name string) {
	mask := uint32(unix.IN_DELETE)
	if in.Base().IsDir() {
		mask |= unix.IN_ISDIR
	}
	notifyReplaced(in)
	dir.inode.Base().send(mask, 0, name)
}

// What gone of an inode says.
const (
	named     = iota // or made without a name
	nameless         // the last name was removed; its users are still there
	forgotten        // its watchers know
)

// notifyReplaced tells the watchers of a file that a name of it is gone; with the last name and the last open
// description the watches go too.
func notifyReplaced(in Inode) {
	b := in.Base()
	if !b.IsDir() {
		notifyInode(in, unix.IN_ATTRIB)
		if b.Nlink() > 0 {
			return
		}
	}
	b.gone.CompareAndSwap(named, nameless)
	if b.opens.Load() == 0 {
		notifyUnused(in)
	}
}

// notifyUnused tells the watchers of a file without names that its last user has gone.
func notifyUnused(in Inode) {
	b := in.Base()
	if b.gone.Load() != nameless || !b.gone.CompareAndSwap(nameless, forgotten) {
		return
	}
	notifyInode(in, unix.IN_DELETE_SELF)
	b.dropWatches()
}

// dropWatches ends all watches of an inode that is gone.
func (b *InodeBase) dropWatches() {
	s := b.watches.Load()
	if s == nil {
		return
	}
	s.mu.Lock()
	all := s.watches
	s.watches = nil
	s.mu.Unlock()
	for _, w := range all {
		w.owner.forget(w)
	}
}

// notifyMove tells about a rename.
func notifyMove(from Inode, oldName string, to Inode, newName string, in Inode, isDir, cookie uint32) {
	from.Base().send(unix.IN_MOVED_FROM|isDir, cookie, oldName)
	to.Base().send(unix.IN_MOVED_TO|isDir, cookie, newName)
	in.Base().send(unix.IN_MOVE_SELF|isDir, 0, "")
}
