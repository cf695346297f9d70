package goferfs

import (
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// maxSeen is how many entries' attributes are kept from a listing.
const maxSeen = 1 << 16

// Lookup finds one entry.
func (in *inode) Lookup(c vfs.Caller, name string) (vfs.Inode, error) {
	ins, err := in.LookupPath(c, []string{name}, vfs.NoIntent)
	if err != nil {
		return nil, err
	}
	return ins[0], nil
}

// LookupPath walks several names in one round trip, opening the last if that is the intent.
func (in *inode) LookupPath(_ vfs.Caller, names []string, intent uint32) ([]vfs.Inode, error) {
	if child := in.fromListing(names, intent); child != nil {
		return []vfs.Inode{child}, nil
	}
	in.fs.treeRun.Store(0)
	fid, err := in.getFID()
	if err != nil {
		return nil, err
	}
	open := openIntent(intent)
	r, err := in.fs.walk(fid, names, open)
	if err != nil {
		return nil, err
	}
	if len(r.Nodes) == 0 {
		if r.Err == unix.EINVAL {
			r.Err = unix.ENOENT // a name no host file can have
		}
		return nil, r.Err
	}
	ins := make([]vfs.Inode, len(r.Nodes))
	parent := in
	for i := range r.Nodes {
		n := in.fs.inode(&r.Nodes[i], parent, names[i])
		ins[i], parent = n, n
	}
	if r.FD >= 0 {
		parent.adoptFD(r.FD, open&unix.O_ACCMODE == unix.O_RDWR)
	}
	return ins, nil
}

// openIntent is how the gofer is asked to open for flags: what is going to be written is opened for both.
func openIntent(flags uint32) uint32 {
	switch {
	case flags == vfs.NoIntent:
		return wire.NoOpen
	case flags&unix.O_ACCMODE == unix.O_RDONLY:
		return unix.O_RDONLY
	}
	return unix.O_RDWR
}

// fromListing makes the inode of a single name from what a listing told, nil if that is not enough.
func (in *inode) fromListing(names []string, intent uint32) *inode {
	if in.fs.shared {
		return nil
	}
	in.mu.Lock()
	in.dropDoubtful()
	i, ok := in.seen[names[0]]
	if !ok {
		in.mu.Unlock()
		return nil
	}
	delete(in.seen, names[0])
	e := &in.seenIn[i]
	sub := e.Sub
	e.Sub = nil
	in.mu.Unlock()
	// To go on, or to open for writing, takes a round trip anyway.
	if len(names) > 1 || e.Attr.Mode&unix.S_IFMT == unix.S_IFREG && intent != vfs.NoIntent && openIntent(intent) != unix.O_RDONLY {
		return nil
	}
	return in.fs.inode(&Node{Attr: e.Attr, FID: NoFID, listed: int(i) + 1, sub: sub}, in, names[0])
}

// dropDoubtful forgets what was listed before the last doubt. in.mu is held.
func (in *inode) dropDoubtful() {
	if e := in.fs.sb.Epoch(); in.listEpoch != e {
		in.listing, in.seen, in.seenIn, in.cursor = nil, nil, nil, 0
		in.listEpoch = e
	}
}

// Valid reports whether the host still has this file under name. Without sharing it has, but after a doubt.
func (in *inode) Valid(_ vfs.Caller, parent vfs.Inode, name string) bool {
	epoch := in.fs.sb.Epoch()
	if !in.fs.shared && in.epoch.Load() == epoch {
		return true
	}
	p, ok := parent.(*inode)
	if !ok {
		return true
	}
	if in.fs.shared && in.IsDir() && time.Since(start)-time.Duration(in.checked.Load()) < dirTrust {
		return true
	}
	pfid, err := p.getFID()
	if err != nil {
		return false
	}
	r, err := in.fs.client.Walk(pfid, []string{name}, false, wire.NoOpen)
	if err != nil || len(r.Nodes) == 0 || (inoKey{r.Nodes[0].Dev, r.Nodes[0].Ino}) != in.key {
		return false
	}
	in.setAttr(&r.Nodes[0].Attr)
	in.epoch.Store(epoch)
	in.mu.Lock()
	if r.Nodes[0].Target != "" {
		in.target = r.Nodes[0].Target
	}
	in.mu.Unlock()
	return true
}

// dirTrust is for how long a directory of a shared file system is taken to be where it was last seen: each component
// of a path would cost a round trip otherwise. What is at the end of a path is asked for each time.
const dirTrust = 20 * time.Millisecond

// start is what inode.checked counts from.
var start = time.Now()

// changed notes that the directory's entries are not what they were; names are those concerned.
func (in *inode) changed(names ...string) {
	in.fs.gen.Add(1)
	in.stale.Store(true)
	in.mu.Lock()
	in.listing, in.cursor = nil, 0
	for _, n := range names {
		delete(in.seen, n)
	}
	in.mu.Unlock()
}

// Create makes a file of any type.
func (in *inode) Create(_ vfs.Caller, name string, a *vfs.CreateArgs) (vfs.Inode, error) {
	uid, gid, err := in.fs.ids.host(a.UID, a.GID)
	if err != nil {
		return nil, err
	}
	fid, err := in.getFID()
	if err != nil {
		return nil, err
	}
	m := NewFile{Name: name, Mode: a.Mode, UID: uid, GID: gid, Rdev: a.Rdev, Target: a.Target}
	open := uint32(wire.NoOpen)
	if a.Intent != vfs.NoIntent && a.Mode&unix.S_IFMT == unix.S_IFREG {
		open = openIntent(a.Intent)
	}
	attr, newFID, fd, err := in.fs.client.Make(fid, &m, true, open)
	if err == unix.EMFILE || err == unix.ENFILE {
		in.fs.sb.Shrink()
		attr, newFID, fd, err = in.fs.client.Make(fid, &m, true, open)
	}
	if err != nil {
		return nil, err
	}
	in.changed(name)
	child := in.fs.inode(&Node{Attr: attr, FID: newFID, Target: a.Target}, in, name)
	child.setAttr(&attr)
	if fd >= 0 {
		child.adoptFD(fd, open == unix.O_RDWR)
	}
	return child, nil
}

// Link gives target another name.
func (in *inode) Link(_ vfs.Caller, name string, target vfs.Inode) error {
	t, ok := target.(*inode)
	if !ok || t.fs != in.fs {
		return unix.EXDEV
	}
	fid, err := t.getFID()
	if err != nil {
		return err
	}
	dir, err := in.getFID()
	if err != nil {
		return err
	}
	if err := in.fs.client.Link(fid, dir, name); err != nil {
		return err
	}
	in.changed(name)
	t.AddNlink(1)
	t.stale.Store(true)
	return nil
}

// keepFID makes sure that a file which is about to lose its name can still be reached, if anybody uses it.
func (in *inode) keepFID() error {
	if in.Refs() <= 1 && in.Nlink() <= 1 {
		return nil
	}
	_, err := in.getFID()
	return err
}

// Unlink removes a name.
func (in *inode) Unlink(_ vfs.Caller, name string, child vfs.Inode, rmdir bool) error {
	ch, ok := child.(*inode)
	if !ok {
		return unix.EXDEV
	}
	if err := ch.keepFID(); err != nil {
		return err
	}
	fid, err := in.getFID()
	if err != nil {
		return err
	}
	flags := uint32(0)
	if rmdir {
		flags = unix.AT_REMOVEDIR
	}
	if err := in.fs.client.Unlink(fid, name, flags); err != nil {
		return err
	}
	in.changed(name)
	ch.lostName(rmdir)
	return nil
}

// lostName notes that one name of a file is gone.
func (in *inode) lostName(dir bool) {
	if dir {
		in.SetNlink(0)
	} else if in.Nlink() > 0 {
		in.AddNlink(-1)
	}
	in.stale.Store(true)
	if in.Nlink() == 0 {
		// The host may give the number to another file as soon as we let go of this one.
		in.fs.mu.Lock()
		if in.fs.inodes[in.key] == in {
			delete(in.fs.inodes, in.key)
		}
		in.fs.mu.Unlock()
		in.fs.ahead.drop(in.key)
	}
}

// Rename moves a file.
func (in *inode) Rename(_ vfs.Caller, name string, child, newDir vfs.Inode, newName string, replaced vfs.Inode, flags uint32) error {
	to, ok := newDir.(*inode)
	if !ok || to.fs != in.fs {
		return unix.EXDEV
	}
	ch := child.(*inode)
	if _, err := ch.getFID(); err != nil { // its name is about to lead nowhere
		return err
	}
	var old *inode
	if replaced != nil {
		old = replaced.(*inode)
		keep := old.keepFID
		if flags&unix.RENAME_EXCHANGE != 0 {
			keep = func() error { _, err := old.getFID(); return err }
		}
		if err := keep(); err != nil {
			return err
		}
	}
	fromFID, err := in.getFID()
	if err != nil {
		return err
	}
	toFID, err := to.getFID()
	if err != nil {
		return err
	}
	if err := in.fs.client.Rename(fromFID, name, toFID, newName, flags); err != nil {
		return err
	}
	in.changed(name)
	to.changed(newName)
	ch.stale.Store(true)
	if old != nil {
		if flags&unix.RENAME_EXCHANGE == 0 {
			old.lostName(old.IsDir())
		}
		old.stale.Store(true)
	}
	return nil
}

// list returns the directory's whole contents.
func (in *inode) list() ([]Entry, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dropDoubtful()
	if in.listing != nil {
		return in.listing, nil
	}
	gen := in.fs.gen.Load()
	room, deep := in.listRoom()
	at, err := in.place()
	if err != nil {
		return nil, err
	}
	all, eof, key, err := in.fs.client.List(at, room, deep)
	if err == unix.EMFILE || err == unix.ENFILE {
		in.fs.ahead.clear()
		in.fs.sb.Shrink()
		if at, err = in.place(); err != nil {
			return nil, err
		}
		all, eof, key, err = in.fs.client.List(at, room, false)
	}
	if err != nil {
		return nil, err
	}
	if key != in.key {
		in.fs.client.Forget(at.New)
		return nil, unix.ESTALE
	}
	in.adoptFID(at.New)
	for !eof {
		var part []Entry
		if part, eof, err = in.fs.client.Readdir(in.fid, all[len(all)-1].Next); err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	if !in.fs.shared {
		in.remember(all, gen)
	}
	return all, nil
}

// remember keeps a listing and the attributes in it, unless the count of changes is not gen any more. in.mu is held.
func (in *inode) remember(all []Entry, gen uint64) {
	if len(all) > maxSeen {
		return
	}
	fs := in.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.gen.Load() != gen {
		return
	}
	fs.prune(all)
	in.listing, in.cursor = all, 0
	in.seenIn, in.seen = all, fs.unused(all)
}

// unused returns the indices of those entries whose attributes can be believed until they are looked up: a file that
// is in use knows its own; of one with several names a change through another would go unseen. fs.mu is held.
func (fs *fileSystem) unused(all []Entry) map[string]int32 {
	seen := make(map[string]int32, len(all))
	for i := range all {
		a := &all[i].Attr
		if (a.Nlink == 1 || a.Mode&unix.S_IFMT == unix.S_IFDIR) && fs.inodes[inoKey{a.Dev, a.Ino}] == nil {
			seen[all[i].Name] = int32(i)
		}
	}
	return seen
}

// prune forgets the contents that came along of directories in use: somebody may be changing them. fs.mu is held.
func (fs *fileSystem) prune(all []Entry) {
	for i := range all {
		e := &all[i]
		if e.Sub == nil {
			continue
		}
		if fs.inodes[inoKey{e.Attr.Dev, e.Attr.Ino}] != nil {
			e.Sub = nil
			continue
		}
		fs.prune(e.Sub)
	}
}

// Entries returns all entries.
func (in *inode) Entries(vfs.Caller) ([]vfs.Dirent, error) {
	l, err := in.list()
	if err != nil {
		return nil, err
	}
	out := make([]vfs.Dirent, len(l))
	in.fs.mu.Lock()
	defer in.fs.mu.Unlock()
	for i := range l {
		a := &l[i].Attr
		out[i] = vfs.Dirent{Name: l[i].Name, Ino: in.fs.ino(inoKey{a.Dev, a.Ino}), Type: vfs.DirentType(a.Mode)}
	}
	return out, nil
}

// dirFile is an open directory. It lists what was there when it was opened or rewound.
type dirFile struct {
	vfs.FileBase
	in   *inode
	list []Entry // guarded by the description's offset lock
}

// Read returns EISDIR.
func (*dirFile) Read(vfs.Caller, *vfs.Description, usermem.Seq, int64) (int64, error) {
	return 0, unix.EISDIR
}

// ReadDir lists entries; the position is the index in the listing, after the two dots.
func (f *dirFile) ReadDir(_ vfs.Caller, d *vfs.Description, pos int64, emit func(vfs.Dirent) bool) (int64, error) {
	if pos == 0 || f.list == nil {
		l, err := f.in.list()
		if err != nil {
			return pos, err
		}
		f.list = l
	}
	pos, ok := vfs.EmitDots(d, pos, emit)
	if !ok {
		return pos, nil
	}
	for i := int(min(pos-2, int64(len(f.list)))); i < len(f.list); i++ {
		e := &f.list[i]
		de := vfs.Dirent{Name: e.Name, Type: vfs.DirentType(e.Attr.Mode), Next: int64(i) + 3}
		f.in.fs.mu.Lock()
		de.Ino = f.in.fs.ino(inoKey{e.Attr.Dev, e.Attr.Ino})
		f.in.fs.mu.Unlock()
		if !emit(de) {
			break
		}
		pos = de.Next
	}
	return pos, nil
}

// Seek moves among the entries.
func (f *dirFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	return vfs.SeekDir(off, whence, cur)
}

// Sync writes the directory to the disk.
func (f *dirFile) Sync(_ vfs.Caller, dataOnly bool) error { return f.in.sync(dataOnly) }
