package goferfs

import (
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/platform/fdroom"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

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
	if child, err := in.fromListing(names, intent); err != nil {
		return nil, err
	} else if child != nil {
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
		switch r.Err {
		case unix.EINVAL:
			r.Err = unix.ENOENT // a name no host file can have
		case unix.ENOENT:
			in.missed()
		}
		return nil, r.Err
	}
	ins := make([]vfs.Inode, len(r.Nodes))
	parent := in
	for i := range r.Nodes {
		n := in.fs.inode(&r.Nodes[i], parent, names[i])
		ins[i], parent = n, n
	}
	if r.Err == unix.ENOENT {
		parent.missed()
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
	after := in.heed()
	attr, newFID, fd, err := in.fs.client.Make(fid, &m, true, open, after.want())
	if err == unix.EMFILE || err == unix.ENFILE {
		in.fs.sb.Shrink()
		attr, newFID, fd, err = in.fs.client.Make(fid, &m, true, open, after.want())
	}
	if err != nil {
		in.unsure(name)
		return nil, err
	}
	in.changed(name, true)
	in.follow(&after)
	child := in.fs.inode(&Node{Attr: attr, FID: newFID, Target: a.Target}, in, name)
	child.setAttr(&attr)
	if child.IsDir() {
		child.knowEmpty()
	}
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
		in.unsure(name)
		return err
	}
	in.changed(name, true)
	t.AddNlink(1)
	t.spoil()
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
		if err != unix.ENOTEMPTY {
			in.unsure(name)
		}
		return err
	}
	in.changed(name, false)
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
	in.spoil()
	if in.Nlink() == 0 {
		// The host may give the number to another file as soon as we let go of this one.
		in.fs.mu.Lock()
		if in.fs.inodes[in.key] == in {
			delete(in.fs.inodes, in.key)
		}
		in.fs.mu.Unlock()
		in.fs.ahead.drop(in.key)
		fdroom.CloseAll() // one may be of this file, whose blocks are to be free
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
	after := to.heed()
	if err := in.fs.client.Rename(fromFID, name, toFID, newName, flags, after.want()); err != nil {
		in.unsure(name)
		to.unsure(newName)
		return err
	}
	in.changed(name, flags&unix.RENAME_EXCHANGE != 0)
	to.changed(newName, true)
	if to == in {
		after.spoils++ // by the first of the two
	}
	to.follow(&after)
	ch.spoil()
	if old != nil {
		if flags&unix.RENAME_EXCHANGE == 0 {
			old.lostName(old.IsDir())
		}
		old.spoil()
	}
	return nil
}

// Entries returns all entries.
func (in *inode) Entries(vfs.Caller) ([]vfs.Dirent, error) {
	l, err := in.list(false)
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
		l, err := f.in.list(false)
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
