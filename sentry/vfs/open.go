package vfs

import (
	"golang.org/x/sys/unix"
	"ringfort/sentry/names"
)

// OpenHow are the arguments of openat2(2).
type OpenHow struct {
	Flags   uint32
	Mode    uint32
	Resolve uint64
	// Data is handed to the file system that makes the file (mq_open(2)).
	Data any
}

// OpenFIFO opens a FIFO; package fs/pipe sets it.
var OpenFIFO func(c Caller, in Inode, flags uint32) (File, error)

// walkFlagsOf translates RESOLVE_*.
func walkFlagsOf(resolve uint64) (f WalkFlags) {
	for _, r := range [...]struct {
		bit  uint64
		flag WalkFlags
	}{
		{unix.RESOLVE_NO_XDEV, NoXDev}, {unix.RESOLVE_NO_MAGICLINKS, NoMagicLinks}, {unix.RESOLVE_NO_SYMLINKS, NoSymlinks},
		{unix.RESOLVE_BENEATH, Beneath}, {unix.RESOLVE_IN_ROOT, InRoot}, {resolveCached, OnlyCached},
	} {
		if resolve&r.bit != 0 {
			f |= r.flag
		}
	}
	return f
}

// resolveCached is RESOLVE_CACHED (openat2(2)).
const resolveCached = 0x20

const oTmpfile = unix.O_TMPFILE &^ unix.O_DIRECTORY

// Open is open(2) of name from at (zero: the working directory).
func Open(c Caller, at Path, name string, how OpenHow) (*Description, error) {
	flags := how.Flags
	if flags&unix.O_PATH != 0 {
		flags &= unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	}
	if flags&oTmpfile != 0 {
		return openTmpfile(c, at, name, &how)
	}
	wf := walkFlagsOf(how.Resolve)
	if flags&unix.O_NOFOLLOW == 0 {
		wf |= FollowLast
	}
	if flags&unix.O_DIRECTORY != 0 {
		wf |= WantDir
	}
	if flags&unix.O_CREAT != 0 {
		if flags&unix.O_DIRECTORY != 0 {
			return nil, unix.EINVAL
		}
		return openCreate(c, at, name, &how, wf)
	}
	w := walker{c: c, flags: wf, intent: flags}
	if flags&unix.O_PATH != 0 {
		w.intent = NoIntent
	}
	p, err := w.toEnd(at, name)
	if err != nil {
		// A symbolic link not followed is no directory, and says which of the two was the reason.
		return nil, err
	}
	d, err := OpenPath(c, p, flags)
	p.DecRef()
	return d, err
}

// openCreate is open(2) with O_CREAT.
func openCreate(c Caller, at Path, name string, how *OpenHow, wf WalkFlags) (*Description, error) {
	for range maxRestarts {
		d, err := tryOpenCreate(c, at, name, how, wf)
		if err != errRestart {
			return d, err
		}
	}
	return nil, unix.EAGAIN
}

func tryOpenCreate(c Caller, at Path, name string, how *OpenHow, wf WalkFlags) (*Description, error) {
	flags := how.Flags
	w := walker{c: c, flags: wf, intent: flags &^ (unix.O_CREAT | unix.O_EXCL)}
	if err := w.begin(at, name); err != nil {
		return nil, err
	}
	defer w.end()
	for {
		if err := w.walk(name, true); err != nil {
			return nil, err
		}
		switch {
		case w.last == "" || w.last == "." || w.last == ".." || w.trailing:
			return nil, unix.EISDIR
		case len(w.last) > nameMax:
			return nil, unix.ENAMETOOLONG
		}
		dir := w.at
		if !dir.tryIncRef() {
			return nil, errRestart
		}
		child, created, err := w.findOrMake(dir, how)
		if err != nil {
			dir.DecRef()
			return nil, err
		}
		if created {
			defer dir.DecRef()
			p := Path{dir.mount, child}
			defer p.DecRef()
			notifyChild(dir.dentry, child, unix.IN_CREATE)
			return openInode(c, p, flags&^unix.O_TRUNC)
		}
		if flags&unix.O_EXCL != 0 {
			dir.DecRef()
			return nil, unix.EEXIST
		}
		if child.inode.Base().Type() == unix.S_IFLNK && child.mounts.Load() == 0 {
			dir.DecRef()
			if flags&unix.O_NOFOLLOW != 0 {
				return nil, unix.ELOOP
			}
			next, err := w.follow(child)
			if err != nil {
				return nil, err
			}
			if next != "" {
				name = next
				w.last = ""
				continue
			}
		} else {
			err := w.enter(child)
			dir.DecRef()
			if err != nil {
				return nil, err
			}
		}
		p := w.at
		if !p.tryIncRef() {
			return nil, errRestart
		}
		defer p.DecRef()
		return OpenPath(c, p, flags)
	}
}

// findOrMake finds the walker's last component in dir or makes a regular file of it. A made one comes with a
// reference.
func (w *walker) findOrMake(dir Path, how *OpenHow) (child *Dentry, created bool, err error) {
	d := dir.dentry
	if !d.inode.Base().IsDir() {
		return nil, false, unix.ENOTDIR
	}
	if ch := d.cached(w.last); ch != nil && ch.inode != nil {
		if _, ok := ch.inode.(Revalidator); !ok {
			return ch, false, nil
		}
	}
	if w.flags&OnlyCached != 0 {
		return nil, false, unix.EAGAIN
	}
	d.dirMu.Lock()
	defer d.dirMu.Unlock()
	for try := 0; ; try++ {
		// Where nothing is known of absent names, an exclusive creation finds out by itself.
		if how.Flags&unix.O_EXCL != 0 && d.sb.NoNegative && d.cached(w.last) == nil && try == 0 && !d.Deleted() &&
			!dir.mount.ReadOnly() && mayCreate(w.c, dir) == nil {
			child = &Dentry{sb: d.sb}
		} else {
			child, err = w.lookupLocked(d, w.last, "")
		}
		if err != nil || child.inode != nil {
			return child, false, err
		}
		if dir.mount.ReadOnly() {
			return nil, false, unix.EROFS
		}
		if err := mayCreate(w.c, dir); err != nil {
			return nil, false, err
		}
		a := &CreateArgs{Intent: how.Flags, Data: how.Data}
		mode := unix.S_IFREG | how.Mode&07777&^w.c.FS().Umask()
		a.UID, a.GID, a.Mode = newOwner(w.c, d.inode.Base(), mode)
		child, err = d.create(w.c, w.last, a)
		if err == unix.EEXIST && try < 10 { // made on the host meanwhile
			d.replaceNegative(w.last)
			continue
		}
		if err != nil {
			return nil, false, err
		}
		child.refs.Add(1)
		dir.mount.refs.Add(1)
		return child, true, nil
	}
}

// create makes a file in d, whose dirMu is held.
func (d *Dentry) create(c Caller, name string, a *CreateArgs) (*Dentry, error) {
	beginName(name, nil)
	defer names.End()
	in, err := d.inode.Create(c, name, a)
	if err != nil {
		return nil, err
	}
	d.replaceNegative(name)
	return d.add(name, in), nil
}

func openTmpfile(c Caller, at Path, name string, how *OpenHow) (*Description, error) {
	if how.Flags&unix.O_DIRECTORY == 0 || how.Flags&unix.O_CREAT != 0 || how.Flags&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, unix.EINVAL
	}
	p, err := Walk(c, at, name, walkFlagsOf(how.Resolve)|FollowLast|WantDir)
	if err != nil {
		return nil, err
	}
	defer p.DecRef()
	tm, ok := p.Inode().(TmpfileMaker)
	if !ok {
		return nil, unix.EOPNOTSUPP
	}
	if p.mount.ReadOnly() {
		return nil, unix.EROFS
	}
	if err := mayCreate(c, p); err != nil {
		return nil, err
	}
	a := &CreateArgs{Intent: how.Flags}
	a.UID, a.GID, a.Mode = newOwner(c, p.Inode().Base(), unix.S_IFREG|how.Mode&07777&^c.FS().Umask())
	in, err := tm.Tmpfile(c, a)
	if err != nil {
		return nil, err
	}
	d := newDentry(p.dentry.sb, in, p.dentry, "#"+utoa(in.Base().Ino()))
	d.gone.Store(true)
	d.refs.Add(1)
	np := Path{p.mount, d}
	p.mount.refs.Add(1)
	defer np.DecRef()
	return openInode(c, np, how.Flags&^(unix.O_TMPFILE|unix.O_TRUNC))
}

// OpenPath opens the file at p, checking permissions; it takes its own reference on p.
func OpenPath(c Caller, p Path, flags uint32) (*Description, error) {
	in := p.dentry.inode
	b := in.Base()
	t := b.Type()
	if flags&unix.O_PATH != 0 {
		p.IncRef()
		return NewDescription(pathFile{}, p, flags), nil
	}
	var mask uint32
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		mask = MayRead
	case unix.O_WRONLY:
		mask = MayWrite
	default:
		mask = MayRead | MayWrite
	}
	if flags&unix.O_TRUNC != 0 {
		mask |= MayWrite
	}
	switch t {
	case unix.S_IFLNK:
		return nil, unix.ELOOP
	case unix.S_IFDIR:
		if mask&MayWrite != 0 || flags&unix.O_CREAT != 0 {
			return nil, unix.EISDIR
		}
	case unix.S_IFSOCK:
		if err := CheckPerm(c, c.Creds(), in, mask); err != nil {
			return nil, err
		}
		return nil, unix.ENXIO
	case unix.S_IFCHR, unix.S_IFBLK:
		if p.mount.flags.Load()&unix.MS_NODEV != 0 {
			return nil, unix.EACCES
		}
	}
	if mask&MayWrite != 0 && (t == unix.S_IFREG || t == unix.S_IFDIR) && p.mount.ReadOnly() {
		return nil, unix.EROFS
	}
	if err := CheckPerm(c, c.Creds(), in, mask); err != nil {
		return nil, err
	}
	if flags&unix.O_NOATIME != 0 && !OwnerOrCapable(c.Creds(), b) {
		return nil, unix.EPERM
	}
	return openInode(c, p, flags)
}

// openInode opens the file at p without asking for permission.
func openInode(c Caller, p Path, flags uint32) (*Description, error) {
	in := p.dentry.inode
	b := in.Base()
	t := b.Type()
	writes := t == unix.S_IFREG && flags&unix.O_ACCMODE != unix.O_RDONLY
	if t == unix.S_IFREG && (writes || flags&unix.O_TRUNC != 0) && !b.getWrite() {
		return nil, unix.ETXTBSY
	}
	if t == unix.S_IFREG && flags&unix.O_TRUNC != 0 {
		err := in.SetAttr(c, &SetAttr{Mask: SetSize})
		if err != nil || !writes {
			b.putWrite()
		}
		if err != nil {
			return nil, err
		}
	}
	var f File
	var err error
	switch t {
	case unix.S_IFIFO:
		if OpenFIFO == nil {
			return nil, unix.ENXIO
		}
		f, err = OpenFIFO(c, in, flags)
	case unix.S_IFCHR, unix.S_IFBLK:
		f, err = openDevice(c, p, flags)
	case unix.S_IFSOCK:
		if _, ok := in.(*AnonInode); !ok {
			err = unix.ENXIO
			break
		}
		fallthrough
	default:
		f, err = in.Open(c, p, flags)
	}
	if err != nil {
		if writes {
			b.putWrite()
		}
		return nil, err
	}
	p.IncRef()
	d := NewDescription(f, p, flags)
	d.wrote = writes
	notifyPath(p, unix.IN_OPEN)
	if t == unix.S_IFREG && flags&unix.O_TRUNC != 0 {
		notifyPath(p, unix.IN_MODIFY)
	}
	return d, nil
}

// OpenExec opens a file to execute it: a regular file with execute permission on a mount that allows it. As long as
// the description lives the file cannot be opened for writing. flags are AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH.
func OpenExec(c Caller, at Path, name string, flags uint32) (*Description, error) {
	w := walker{c: c, intent: unix.O_RDONLY}
	if flags&unix.AT_SYMLINK_NOFOLLOW == 0 {
		w.flags |= FollowLast
	}
	if flags&unix.AT_EMPTY_PATH != 0 {
		w.flags |= AllowEmpty
	}
	p, err := w.toEnd(at, name)
	if err != nil {
		return nil, err
	}
	defer p.DecRef()
	in := p.Inode()
	b := in.Base()
	if b.Type() == unix.S_IFLNK {
		return nil, unix.ELOOP
	}
	if b.Type() != unix.S_IFREG || p.mount.flags.Load()&unix.MS_NOEXEC != 0 {
		return nil, unix.EACCES
	}
	if err := CheckPerm(c, c.Creds(), in, MayExec); err != nil {
		return nil, err
	}
	if !b.denyWrite() {
		return nil, unix.ETXTBSY
	}
	f, err := in.Open(c, p, unix.O_RDONLY)
	if err != nil {
		b.allowWrite()
		return nil, err
	}
	p.IncRef()
	d := NewDescription(f, p, unix.O_RDONLY)
	d.execs = true
	notifyPath(p, unix.IN_OPEN)
	return d, nil
}

// getWrite counts a writer, unless the file is being executed.
func (b *InodeBase) getWrite() bool {
	for {
		n := b.writers.Load()
		if n < 0 {
			return false
		}
		if b.writers.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (b *InodeBase) putWrite() { b.writers.Add(-1) }

// denyWrite counts an execution, unless somebody writes the file.
func (b *InodeBase) denyWrite() bool {
	for {
		n := b.writers.Load()
		if n > 0 {
			return false
		}
		if b.writers.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

func (b *InodeBase) allowWrite() { b.writers.Add(1) }

// pathFile is behind an O_PATH description: it can do nothing.
type pathFile struct{ FileBase }
