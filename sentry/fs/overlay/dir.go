package overlay

import (
	"strconv"

	"golang.org/x/sys/unix"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// isOpaque reports whether an upper directory hides the one below.
func isOpaque(up vfs.Inode) bool {
	v, err := up.GetXattr(nil, opaqueXattr)
	return err == nil && string(v) == "y"
}

// lookIn looks a name up in a layer; nil if it is not there.
func lookIn(c vfs.Caller, dir vfs.Inode, name string) (vfs.Inode, error) {
	if dir == nil {
		return nil, nil
	}
	in, err := dir.Lookup(c, name)
	if err == unix.ENOENT {
		return nil, nil
	}
	return in, err
}

// Lookup finds an entry.
func (in *inode) Lookup(c vfs.Caller, name string) (vfs.Inode, error) {
	up, low := in.layers()
	u, err := lookIn(c, up, name)
	if err != nil {
		return nil, err
	}
	if u != nil && isWhiteout(u) {
		vfs.DecRefInode(u)
		return nil, unix.ENOENT
	}
	var l vfs.Inode
	if u == nil || u.Base().IsDir() && !isOpaque(u) {
		if l, err = lookIn(c, low, name); err != nil {
			if u != nil {
				vfs.DecRefInode(u)
			}
			return nil, err
		}
	}
	if u == nil && l == nil {
		return nil, unix.ENOENT
	}
	if u != nil && l != nil && !l.Base().IsDir() {
		vfs.DecRefInode(l)
		l = nil
	}
	return in.fs.inode(u, l, in, name), nil
}

// LookupPath looks several names up at once where only the lower layer has them.
func (in *inode) LookupPath(c vfs.Caller, names []string, intent uint32) ([]vfs.Inode, error) {
	up, low := in.layers()
	pl, ok := low.(vfs.PathLooker)
	if up != nil || !ok {
		one, err := in.Lookup(c, names[0])
		if err != nil {
			return nil, err
		}
		return []vfs.Inode{one}, nil
	}
	ins, err := pl.LookupPath(c, names, intent)
	if err != nil {
		return nil, err
	}
	parent := in
	for i, l := range ins {
		child := in.fs.inode(nil, l, parent, names[i])
		ins[i], parent = child, child
		// One that has been changed since hides what is below it: go on from it later.
		if u, _ := child.layers(); u != nil {
			for _, rest := range ins[i+1:] {
				vfs.DecRefInode(rest)
			}
			return ins[:i+1], nil
		}
	}
	return ins, nil
}

// clearWhiteout makes room for name in the upper directory; it reports whether something was hidden there.
func clearWhiteout(c vfs.Caller, up vfs.Inode, name string) (bool, error) {
	w, err := lookIn(c, up, name)
	if err != nil || w == nil {
		return false, err
	}
	defer vfs.DecRefInode(w)
	if !isWhiteout(w) {
		return false, unix.EEXIST
	}
	return true, up.Unlink(c, name, w, false)
}

// hide puts a whiteout over name if the lower layer has it. The upper directory has no such entry.
func (in *inode) hide(c vfs.Caller, name string) error {
	up, low := in.layers()
	l, err := lookIn(c, low, name)
	if err != nil || l == nil {
		return err
	}
	vfs.DecRefInode(l)
	w, err := up.Create(c, name, &vfs.CreateArgs{Mode: unix.S_IFCHR, Intent: vfs.NoIntent})
	if err == nil {
		vfs.DecRefInode(w)
	}
	return err
}

// Create makes a file in the upper layer.
func (in *inode) Create(c vfs.Caller, name string, a *vfs.CreateArgs) (vfs.Inode, error) {
	if a.Mode&unix.S_IFMT == unix.S_IFCHR && a.Rdev == 0 {
		return nil, unix.EPERM // it would be a whiteout
	}
	if err := in.copyUp(false); err != nil {
		return nil, err
	}
	up, _ := in.layers()
	hidden, err := clearWhiteout(c, up, name)
	if err != nil {
		return nil, err
	}
	child, err := up.Create(c, name, a)
	if err == nil && hidden && child.Base().IsDir() {
		err = child.SetXattr(c, opaqueXattr, []byte("y"), 0)
	}
	if err != nil {
		if hidden {
			_ = in.hide(c, name) // the first error is the one that counts
		}
		return nil, err
	}
	in.sync()
	return in.fs.inode(child, nil, in, name), nil
}

// Tmpfile makes a file without a name.
func (in *inode) Tmpfile(c vfs.Caller, a *vfs.CreateArgs) (vfs.Inode, error) {
	child, err := in.fs.upper.Root().Inode().(vfs.TmpfileMaker).Tmpfile(c, a)
	if err != nil {
		return nil, err
	}
	n := in.fs.inode(child, nil, in, "")
	n.removed = true
	return n, nil
}

// Link gives target another name in the upper layer.
func (in *inode) Link(c vfs.Caller, name string, target vfs.Inode) error {
	t, ok := target.(*inode)
	if !ok || t.fs != in.fs {
		return unix.EXDEV
	}
	if err := t.copyUp(true); err != nil {
		return err
	}
	if err := in.copyUp(false); err != nil {
		return err
	}
	up, _ := in.layers()
	if _, err := clearWhiteout(c, up, name); err != nil {
		return err
	}
	err := up.Link(c, name, t.real())
	t.sync()
	return err
}

// entries returns the merged contents of a directory.
func (in *inode) entries(c vfs.Caller) ([]vfs.Dirent, error) {
	up, low := in.layers()
	var out []vfs.Dirent
	hidden := map[string]bool{}
	if up != nil {
		list, err := up.(vfs.Lister).Entries(c)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			hidden[e.Name] = true
			u, err := lookIn(c, up, e.Name)
			if err != nil {
				return nil, err
			}
			if u == nil {
				continue
			}
			if !isWhiteout(u) {
				e.Ino = inoOf(u, nil)
				out = append(out, e)
			}
			vfs.DecRefInode(u)
		}
	}
	if low != nil {
		list, err := low.(vfs.Lister).Entries(c)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if !hidden[e.Name] {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// empty makes an upper directory that shows nothing really empty, so that it can be removed: whiteouts go.
func (in *inode) empty(c vfs.Caller) error {
	list, err := in.entries(c)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return unix.ENOTEMPTY
	}
	up, _ := in.layers()
	if up == nil {
		return nil
	}
	whiteouts, err := up.(vfs.Lister).Entries(c)
	if err != nil {
		return err
	}
	for _, e := range whiteouts {
		if _, err := clearWhiteout(c, up, e.Name); err != nil {
			return err
		}
	}
	return nil
}

// Unlink removes a name: from the upper layer, and with a whiteout from the lower.
func (in *inode) Unlink(c vfs.Caller, name string, child vfs.Inode, rmdir bool) error {
	ch, ok := child.(*inode)
	if !ok {
		return unix.EXDEV
	}
	if rmdir {
		if err := ch.empty(c); err != nil {
			return err
		}
	}
	if err := in.copyUp(false); err != nil {
		return err
	}
	dir, _ := in.layers()
	if up, _ := ch.layers(); up != nil {
		if err := dir.Unlink(c, name, up, rmdir); err != nil && err != unix.ENOENT {
			return err
		}
	}
	if err := in.hide(c, name); err != nil {
		return err
	}
	ch.lostName(rmdir)
	in.sync()
	return nil
}

// lostName notes that a name of the file is gone.
func (in *inode) lostName(dir bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.upper != nil {
		in.SetNlink(in.upper.Base().Nlink())
	} else if in.Nlink() > 0 {
		in.AddNlink(-1)
	}
	if dir {
		in.SetNlink(0)
	}
	if in.Nlink() == 0 {
		in.removed = true
	}
}

// Rename moves a file within the upper layer, after copying it up. Directories that exist below stay where they are.
func (in *inode) Rename(c vfs.Caller, name string, child, newDir vfs.Inode, newName string, replaced vfs.Inode, flags uint32) error {
	to, ok := newDir.(*inode)
	if !ok {
		return unix.EXDEV
	}
	ch := child.(*inode)
	var old *inode
	if replaced != nil {
		old = replaced.(*inode)
	}
	exchange := flags&unix.RENAME_EXCHANGE != 0
	for _, f := range [...]*inode{ch, old} {
		if f == nil || f == old && !exchange {
			continue
		}
		if _, low := f.layers(); f.IsDir() && low != nil {
			return unix.EXDEV
		}
		if err := f.copyUp(true); err != nil {
			return err
		}
	}
	if old != nil && !exchange && old.IsDir() {
		if err := old.empty(c); err != nil {
			return err
		}
	}
	for _, d := range [...]*inode{in, to} {
		if err := d.copyUp(false); err != nil {
			return err
		}
	}
	fromUp, _ := in.layers()
	toUp, _ := to.layers()
	var over vfs.Inode
	if old != nil {
		over, _ = old.layers()
	}
	if over == nil {
		if _, err := clearWhiteout(c, toUp, newName); err != nil {
			return err
		}
	}
	up := ch.real()
	if err := fromUp.Rename(c, name, up, toUp, newName, over, flags); err != nil {
		return err
	}
	if exchange {
		in.sync()
		to.sync()
		return nil
	}
	if up.Base().IsDir() {
		if err := up.SetXattr(c, opaqueXattr, []byte("y"), 0); err != nil {
			return err
		}
	}
	if err := in.hide(c, name); err != nil {
		return err
	}
	if old != nil {
		old.lostName(old.IsDir())
	}
	in.sync()
	to.sync()
	return nil
}

// dirFile is an open directory; it lists what was there when it was opened or rewound.
type dirFile struct {
	vfs.FileBase
	in   *inode
	list []vfs.Dirent // guarded by the description's offset lock
}

// Read returns EISDIR.
func (*dirFile) Read(vfs.Caller, *vfs.Description, usermem.Seq, int64) (int64, error) {
	return 0, unix.EISDIR
}

// ReadDir lists entries; the position is the index in the listing, after the two dots.
func (f *dirFile) ReadDir(c vfs.Caller, d *vfs.Description, pos int64, emit func(vfs.Dirent) bool) (int64, error) {
	if pos == 0 || f.list == nil {
		l, err := f.in.entries(c)
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
		e := f.list[i]
		e.Next = int64(i) + 3
		if !emit(e) {
			break
		}
		pos = e.Next
	}
	return pos, nil
}

// Seek moves among the entries.
func (f *dirFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	return vfs.SeekDir(off, whence, cur)
}

// Sync does nothing: what is above is in memory.
func (*dirFile) Sync(vfs.Caller, bool) error { return nil }
