package tmpfs

import (
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/steady"
	"ringfort/sentry/vfs"
)

// inode is a file of any type.
type inode struct {
	vfs.InodeBase
	fs                         *fileSystem
	atime, mtime, ctime, btime atomic.Int64

	mu     sync.RWMutex // what follows
	target string       // of a symbolic link
	xattrs map[string][]byte

	// Of a directory: entries by name, and in the order of their cookies. Removed ones stay in order until they are
	// more than half, so that positions in it are stable.
	children map[string]*entry
	order    []*entry
	gone     int
	cookie   int64

	// Of a regular file.
	obj      *pgalloc.Object
	size     atomic.Int64 // changed by setSize with mu held
	sized    steady.Mark  // of size
	seals    atomic.Uint32
	mappings fsutil.Mappings
}

// entry is a name in a directory. It holds a reference on the inode.
type entry struct {
	name   string
	in     *inode // nil: removed
	cookie int64
}

func (fs *fileSystem) newInode(c vfs.Caller, mode uint32, uid auth.KUID, gid auth.KGID) *inode {
	in := &inode{fs: fs}
	in.Init(&fs.sb, fs.nextIno.Add(1), mode, uid, gid)
	fs.inodes.Add(1)
	now := vfs.Now(c)
	in.atime.Store(now)
	in.mtime.Store(now)
	in.ctime.Store(now)
	in.btime.Store(now)
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		in.children = map[string]*entry{}
		in.cookie = 2 // after "." and ".."
		in.SetNlink(2)
	case unix.S_IFREG:
		in.obj = pgalloc.NewObject(fs.mem, fs.quota)
	}
	return in
}

// Destroy frees the pages of a file without names and users.
func (in *inode) Destroy() {
	in.fs.inodes.Add(-1)
	if in.obj != nil {
		in.obj.Release()
	}
}

// releaseTree drops the references of a directory on what is in it.
func (in *inode) releaseTree() {
	for _, e := range in.children {
		if e.in.IsDir() {
			e.in.releaseTree()
		}
		vfs.DecRefInode(e.in)
	}
	in.children, in.order = nil, nil
}

func (in *inode) touch(c vfs.Caller) {
	now := vfs.Now(c)
	in.mtime.Store(now)
	in.ctime.Store(now)
}

// Stat tells everything.
func (in *inode) Stat(_ vfs.Caller, st *unix.Statx_t) error {
	in.FillStat(st)
	st.Mask |= unix.STATX_BASIC_STATS | unix.STATX_BTIME
	st.Atime, st.Mtime = vfs.StatxTime(in.atime.Load()), vfs.StatxTime(in.mtime.Load())
	st.Ctime, st.Btime = vfs.StatxTime(in.ctime.Load()), vfs.StatxTime(in.btime.Load())
	switch in.Type() {
	case unix.S_IFREG:
		st.Size = uint64(in.size.Load())
		st.Blocks = in.obj.Used() / 512
	case unix.S_IFDIR:
		in.mu.RLock()
		st.Size = uint64(20 * (len(in.children) + 2)) // as Linux counts, so that empty ones are told from others
		in.mu.RUnlock()
	case unix.S_IFLNK:
		st.Size = uint64(len(in.target))
	}
	return nil
}

// SetAttr changes attributes.
func (in *inode) SetAttr(c vfs.Caller, a *vfs.SetAttr) error {
	if a.Mask&vfs.SetSize != 0 {
		if err := in.truncate(c, a.Size); err != nil {
			return err
		}
	}
	in.ApplyAttr(a)
	if a.Mask&vfs.SetATime != 0 {
		in.atime.Store(a.ATime)
	}
	if a.Mask&vfs.SetMTime != 0 {
		in.mtime.Store(a.MTime)
	}
	in.ctime.Store(vfs.Now(c))
	return nil
}

// Readlink returns the target.
func (in *inode) Readlink(vfs.Caller) (string, error) {
	if in.Type() != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	return in.target, nil
}

// Open opens a directory or a regular file.
func (in *inode) Open(_ vfs.Caller, _ vfs.Path, _ uint32) (vfs.File, error) {
	switch in.Type() {
	case unix.S_IFDIR:
		return &dirFile{in: in}, nil
	case unix.S_IFREG:
		return &regFile{in: in}, nil
	}
	return nil, unix.ENXIO
}

// Lookup finds an entry.
func (in *inode) Lookup(_ vfs.Caller, name string) (vfs.Inode, error) {
	if !in.IsDir() {
		return nil, unix.ENOTDIR
	}
	in.mu.RLock()
	defer in.mu.RUnlock()
	e := in.children[name]
	if e == nil {
		return nil, unix.ENOENT
	}
	e.in.IncRef()
	return e.in, nil
}

// insert adds an entry, which takes over a reference on child. in.mu is held.
func (in *inode) insert(name string, child *inode) {
	in.cookie++
	e := &entry{name, child, in.cookie}
	in.children[name] = e
	in.order = append(in.order, e)
}

// erase removes an entry and returns its inode with the reference. in.mu is held.
func (in *inode) erase(name string) *inode {
	e := in.children[name]
	if e == nil {
		return nil
	}
	child := e.in
	delete(in.children, name)
	e.in = nil
	if in.gone++; in.gone > 16 && in.gone > len(in.order)/2 {
		in.order = slices.DeleteFunc(in.order, func(e *entry) bool { return e.in == nil })
		in.gone = 0
	}
	return child
}

// Create makes a file of any type.
func (in *inode) Create(c vfs.Caller, name string, a *vfs.CreateArgs) (vfs.Inode, error) {
	if in.fs.opts.Inodes > 0 && uint64(in.fs.inodes.Load()) >= in.fs.opts.Inodes {
		return nil, unix.ENOSPC
	}
	child := in.fs.newInode(c, a.Mode, a.UID, a.GID)
	child.Rdev = a.Rdev
	child.target = a.Target
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.children[name] != nil {
		vfs.DecRefInode(child)
		return nil, unix.EEXIST
	}
	child.IncRef()
	in.insert(name, child)
	if child.IsDir() {
		in.AddNlink(1)
	}
	in.touch(c)
	return child, nil
}

// Tmpfile makes a regular file without a name.
func (in *inode) Tmpfile(c vfs.Caller, a *vfs.CreateArgs) (vfs.Inode, error) {
	child := in.fs.newInode(c, a.Mode, a.UID, a.GID)
	child.SetNlink(0)
	return child, nil
}

// Link adds a name.
func (in *inode) Link(c vfs.Caller, name string, target vfs.Inode) error {
	t, ok := target.(*inode)
	if !ok || t.fs != in.fs {
		return unix.EXDEV
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.children[name] != nil {
		return unix.EEXIST
	}
	t.IncRef()
	in.insert(name, t)
	t.AddNlink(1)
	t.ctime.Store(vfs.Now(c))
	in.touch(c)
	return nil
}

// Unlink removes a name.
func (in *inode) Unlink(c vfs.Caller, name string, child vfs.Inode, rmdir bool) error {
	ch, ok := child.(*inode)
	if !ok {
		return unix.EXDEV
	}
	if rmdir && !ch.empty() {
		return unix.ENOTEMPTY
	}
	in.mu.Lock()
	got := in.erase(name)
	in.mu.Unlock()
	if got == nil {
		return unix.ENOENT
	}
	in.dropped(c, got)
	in.touch(c)
	return nil
}

// dropped does what the loss of a name in in means for child, and gives up the entry's reference.
func (in *inode) dropped(c vfs.Caller, child *inode) {
	child.ctime.Store(vfs.Now(c))
	if child.IsDir() {
		child.SetNlink(0)
		in.AddNlink(-1)
	} else {
		child.AddNlink(-1)
	}
	vfs.DecRefInode(child)
}

func (in *inode) empty() bool {
	in.mu.RLock()
	defer in.mu.RUnlock()
	return len(in.children) == 0
}

// Rename moves child. The dentries of both directories are locked, so that two locks of inodes here meet no third.
func (in *inode) Rename(c vfs.Caller, name string, child, newDir vfs.Inode, newName string, replaced vfs.Inode, flags uint32) error {
	to, ok := newDir.(*inode)
	if !ok {
		return unix.EXDEV
	}
	ch := child.(*inode)
	var old *inode
	if replaced != nil {
		old = replaced.(*inode)
		if flags&unix.RENAME_EXCHANGE == 0 && old.IsDir() && !old.empty() {
			return unix.ENOTEMPTY
		}
	}
	in.mu.Lock()
	moved := in.erase(name)
	in.mu.Unlock()
	if moved == nil {
		return unix.ENOENT
	}
	to.mu.Lock()
	was := to.erase(newName)
	to.insert(newName, moved)
	to.mu.Unlock()
	if ch.IsDir() {
		in.AddNlink(-1)
		to.AddNlink(1)
	}
	if was != nil {
		if flags&unix.RENAME_EXCHANGE != 0 {
			in.mu.Lock()
			in.insert(name, was)
			in.mu.Unlock()
			if was.IsDir() {
				to.AddNlink(-1)
				in.AddNlink(1)
			}
			was.ctime.Store(vfs.Now(c))
		} else {
			to.dropped(c, was)
		}
	}
	ch.ctime.Store(vfs.Now(c))
	in.touch(c)
	to.touch(c)
	return nil
}

// GetXattr returns an extended attribute.
func (in *inode) GetXattr(_ vfs.Caller, name string) ([]byte, error) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	v, ok := in.xattrs[name]
	if !ok {
		return nil, unix.ENODATA
	}
	return v, nil
}

// SetXattr sets one.
func (in *inode) SetXattr(c vfs.Caller, name string, value []byte, flags uint32) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, have := in.xattrs[name]
	switch {
	case flags&unix.XATTR_CREATE != 0 && have:
		return unix.EEXIST
	case flags&unix.XATTR_REPLACE != 0 && !have:
		return unix.ENODATA
	case !have && len(in.xattrs) >= 128:
		return unix.ENOSPC // what is kept for an application is bounded
	}
	if in.xattrs == nil {
		in.xattrs = map[string][]byte{}
	}
	in.xattrs[name] = slices.Clone(value)
	in.NoteXattr(name)
	in.ctime.Store(vfs.Now(c))
	return nil
}

// ListXattr returns the names.
func (in *inode) ListXattr(vfs.Caller) ([]string, error) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	names := make([]string, 0, len(in.xattrs))
	for n := range in.xattrs {
		names = append(names, n)
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}

// RemoveXattr removes one.
func (in *inode) RemoveXattr(c vfs.Caller, name string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, ok := in.xattrs[name]; !ok {
		return unix.ENODATA
	}
	delete(in.xattrs, name)
	in.ctime.Store(vfs.Now(c))
	return nil
}

// Entries returns all entries.
func (in *inode) Entries(vfs.Caller) ([]vfs.Dirent, error) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	list := make([]vfs.Dirent, 0, len(in.children))
	for _, e := range in.order {
		if e.in != nil {
			list = append(list, vfs.Dirent{Name: e.name, Ino: e.in.Ino(), Type: vfs.DirentType(e.in.Mode())})
		}
	}
	return list, nil
}

// dirFile is an open directory.
type dirFile struct {
	vfs.FileBase
	in *inode
}

// Read returns EISDIR.
func (*dirFile) Read(vfs.Caller, *vfs.Description, seq, int64) (int64, error) {
	return 0, unix.EISDIR
}

// ReadDir lists entries; positions are cookies.
func (f *dirFile) ReadDir(c vfs.Caller, d *vfs.Description, pos int64, emit func(vfs.Dirent) bool) (int64, error) {
	in := f.in
	pos, ok := vfs.EmitDots(d, pos, emit)
	if !ok {
		return pos, nil
	}
	in.mu.RLock()
	defer in.mu.RUnlock()
	if now := vfs.Now(c); vfs.AtimeStale(d.Path().Mount(), d.Flags(), true, now, in.atime.Load(), in.mtime.Load(), in.ctime.Load()) {
		in.atime.Store(now)
	}
	i := sort.Search(len(in.order), func(i int) bool { return in.order[i].cookie > pos })
	for ; i < len(in.order); i++ {
		e := in.order[i]
		if e.in == nil {
			continue
		}
		if !emit(vfs.Dirent{Name: e.name, Ino: e.in.Ino(), Type: vfs.DirentType(e.in.Mode()), Next: e.cookie}) {
			break
		}
		pos = e.cookie
	}
	return pos, nil
}

// Seek moves among the entries.
func (f *dirFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	return vfs.SeekDir(off, whence, cur)
}

// Sync does nothing: memory is all there is.
func (*dirFile) Sync(vfs.Caller, bool) error { return nil }

// maxSize is the largest offset of a file (MAX_LFS_FILESIZE).
const maxSize = math.MaxInt64
