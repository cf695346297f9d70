package fsutil

import (
	"sort"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// Tree makes inodes of a file system the kernel makes up.
type Tree struct {
	SB   vfs.Superblock
	next atomic.Uint64
}

// NewTree returns a tree of a file system type; give it its root with SB.SetRoot.
func NewTree(typ string, magic int64) *Tree {
	t := &Tree{}
	t.SB.Type, t.SB.Source, t.SB.Magic, t.SB.Dev = typ, typ, magic, vfs.NewDev()
	t.SB.NoNegative = true // what is not there now may be a moment later
	return t
}

// NextIno returns a new inode number.
func (t *Tree) NextIno() uint64 { return t.next.Add(1) }

// Node is the state and behaviour all made-up inodes share. Owner, if set, says whose the file is now; Alive whether
// it still exists.
type Node struct {
	vfs.InodeBase
	Owner func() (auth.KUID, auth.KGID)
	Alive func() bool
	Grant func(c vfs.Caller) bool // whom the mode bits may not refuse; nil: nobody
	made  int64
}

// InitNode prepares the inode of a package of its own: its type and permissions are mode.
func (t *Tree) InitNode(n *Node, c vfs.Caller, mode uint32) { t.init(n, c, mode) }

func (t *Tree) init(n *Node, c vfs.Caller, mode uint32) {
	n.Init(&t.SB, t.NextIno(), mode, 0, 0)
	n.made = vfs.Now(c)
}

// Grants implements vfs.PermGranter.
func (n *Node) Grants(c vfs.Caller) bool { return n.Grant != nil && n.Grant(c) }

// Valid reports whether the file still exists.
func (n *Node) Valid(vfs.Caller, vfs.Inode, string) bool {
	if n.Alive != nil && !n.Alive() {
		return false
	}
	n.own()
	return true
}

func (n *Node) own() {
	if n.Owner != nil {
		n.SetOwner(n.Owner())
	}
}

// Stat tells what is known.
func (n *Node) Stat(_ vfs.Caller, st *unix.Statx_t) error {
	n.own()
	n.FillStat(st)
	st.Mask |= unix.STATX_BASIC_STATS
	st.Blksize = 1024
	t := vfs.StatxTime(n.made)
	st.Atime, st.Mtime, st.Ctime = t, t, t
	return nil
}

// Text is a file whose contents Gen makes at each reading from the start.
type Text struct {
	Node
	// Gen returns the contents for a reader.
	Gen func(c vfs.Caller) (string, error)
	// Put takes what is written at once; nil: EIO, as reading-only files of proc say.
	Put func(c vfs.Caller, data string) error
	// MayOpen, if set, is asked when the file is opened.
	MayOpen func(c vfs.Caller) error
}

// NewText makes a file of the given permissions.
func (t *Tree) NewText(c vfs.Caller, perm uint32, gen func(c vfs.Caller) (string, error)) *Text {
	f := &Text{Gen: gen}
	t.init(&f.Node, c, unix.S_IFREG|perm)
	return f
}

// Open opens the file.
func (f *Text) Open(c vfs.Caller, _ vfs.Path, _ uint32) (vfs.File, error) {
	if f.MayOpen != nil {
		if err := f.MayOpen(c); err != nil {
			return nil, err
		}
	}
	return &textFile{f: f}, nil
}

// SetAttr accepts a truncation, which shells do, of files that can be written.
func (f *Text) SetAttr(_ vfs.Caller, a *vfs.SetAttr) error {
	if a.Mask == vfs.SetSize && f.Put != nil {
		return nil
	}
	return unix.EPERM
}

// textFile is an open Text.
type textFile struct {
	vfs.FileBase
	f  *Text
	mu sync.Mutex
	// text is what the last reading from the start made.
	text string
	made bool
}

func (t *textFile) Read(c vfs.Caller, _ *vfs.Description, dst usermem.Seq, off int64) (int64, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	t.mu.Lock()
	if off == 0 || !t.made {
		t.mu.Unlock()
		s, err := t.f.Gen(c) // may look at this very description
		if err != nil {
			return 0, err
		}
		t.mu.Lock()
		t.text, t.made = s, true
	}
	text := t.text
	t.mu.Unlock()
	if off >= int64(len(text)) {
		return 0, nil
	}
	n, err := dst.CopyOut([]byte(text[off:min(int64(len(text)), off+int64(dst.Len()))]))
	return int64(n), err
}

// maxPut is the most one write to a made-up file may be.
const maxPut = 64 << 10

func (t *textFile) Write(c vfs.Caller, _ *vfs.Description, src usermem.Seq, off int64) (int64, int64, error) {
	if t.f.Put == nil {
		return 0, off, unix.EIO
	}
	b := make([]byte, min(src.Len(), maxPut))
	n, err := src.CopyIn(b)
	if err != nil {
		return 0, off, err
	}
	if err := t.f.Put(c, string(b[:n])); err != nil {
		return 0, off, err
	}
	return int64(n), off + int64(n), nil
}

func (t *textFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	if whence == unix.SEEK_END {
		return 0, unix.EINVAL
	}
	return vfs.SeekSize(off, whence, cur, 0)
}

// Ioctl knows nothing.
func (t *textFile) Ioctl(vfs.Caller, *vfs.Description, uint32, arch.Argument) (uintptr, error) {
	return 0, unix.ENOTTY
}

// Sync has nothing to do.
func (t *textFile) Sync(vfs.Caller, bool) error { return nil }

// Link is a symbolic link whose target is made at each reading.
type Link struct {
	Node
	To func(c vfs.Caller) (string, error)
	// Jump, if set, leads somewhere without a path walk.
	Jump func(c vfs.Caller) (vfs.Path, error)
}

// NewLink makes a link.
func (t *Tree) NewLink(c vfs.Caller, to func(c vfs.Caller) (string, error)) *Link {
	l := &Link{To: to}
	t.init(&l.Node, c, unix.S_IFLNK|0777)
	return l
}

// NewStaticLink makes a link to the same place always.
func (t *Tree) NewStaticLink(c vfs.Caller, to string) *Link {
	return t.NewLink(c, func(vfs.Caller) (string, error) { return to, nil })
}

// Readlink returns the target.
func (l *Link) Readlink(c vfs.Caller) (string, error) { return l.To(c) }

// Follow jumps; EINVAL if the target is an ordinary path.
func (l *Link) Follow(c vfs.Caller) (vfs.Path, error) {
	if l.Jump == nil {
		return vfs.Path{}, unix.EINVAL
	}
	return l.Jump(c)
}

// Dir is a directory: fixed entries, and more that come and go.
type Dir struct {
	Node
	fixed []fixedEntry
	index map[string]vfs.Inode
	// Find makes the inode of an entry that is not fixed (ENOENT: none), with a reference for the caller; nil: there
	// are no others.
	Find func(c vfs.Caller, name string) (vfs.Inode, error)
	// List returns the entries that are not fixed, ordered by Pos, which must be at least FirstPos.
	List func(c vfs.Caller) ([]Entry, error)
	// MayOpen, if set, is asked when the directory is opened or looked into.
	MayOpen func(c vfs.Caller) error
	// Dirs, if set, returns how many of the entries that are not fixed are
	// directories and counted as links.
	Dirs func() uint32

	// Entries that are made when somebody wants them, see SetParts; mu guards nodes.
	parts    []Part
	makePart func(c vfs.Caller, i int) vfs.Inode
	mu       sync.Mutex
	nodes    []vfs.Inode
}

// Part is a fixed entry that is made when somebody looks for it.
type Part struct {
	Name string
	Dir  bool // a directory
}

// SetParts adds fixed entries, behind those of Add: make returns the i-th when it is needed first, with a reference that
// the directory takes over. The list stays the caller's, and is not changed. Only before the directory is published.
func (d *Dir) SetParts(parts []Part, make func(c vfs.Caller, i int) vfs.Inode) {
	d.parts, d.makePart = parts, make
	for i := range parts {
		if parts[i].Dir {
			d.AddNlink(1)
		}
	}
}

// part returns the i-th of the parts.
func (d *Dir) part(c vfs.Caller, i int) vfs.Inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nodes == nil {
		d.nodes = make([]vfs.Inode, len(d.parts))
	}
	if d.nodes[i] == nil {
		d.nodes[i] = d.makePart(c, i)
	}
	return d.nodes[i]
}

// Stat tells what is known.
func (d *Dir) Stat(c vfs.Caller, st *unix.Statx_t) error {
	err := d.Node.Stat(c, st)
	if d.Dirs != nil {
		st.Nlink += d.Dirs()
	}
	return err
}

type fixedEntry struct {
	name string
	in   vfs.Inode
}

// Entry is a directory entry that is not fixed.
type Entry struct {
	Name string
	Ino  uint64
	Type uint8
	Pos  int64
}

// FirstPos is the lowest position of an entry that is not fixed; fixed ones come before.
const FirstPos = 1 << 10

// NewDir makes a directory.
func (t *Tree) NewDir(c vfs.Caller, perm uint32) *Dir {
	d := &Dir{}
	t.init(&d.Node, c, unix.S_IFDIR|perm)
	d.SetNlink(2)
	return d
}

// Add adds a fixed entry; the directory takes over the reference. It returns the directory. Only before it is published.
func (d *Dir) Add(name string, in vfs.Inode) *Dir {
	d.fixed = append(d.fixed, fixedEntry{name, in})
	if d.index == nil {
		d.index = map[string]vfs.Inode{}
	}
	d.index[name] = in
	if in.Base().IsDir() {
		d.AddNlink(1)
	}
	return d
}

// Get returns a fixed entry, nil if there is none.
func (d *Dir) Get(name string) vfs.Inode { return d.index[name] }

// Destroy gives up the fixed entries.
func (d *Dir) Destroy() {
	for _, e := range d.fixed {
		vfs.DecRefInode(e.in)
	}
	for _, in := range d.nodes {
		if in != nil {
			vfs.DecRefInode(in)
		}
	}
}

// Lookup finds an entry.
func (d *Dir) Lookup(c vfs.Caller, name string) (vfs.Inode, error) {
	if d.MayOpen != nil {
		if err := d.MayOpen(c); err != nil {
			return nil, err
		}
	}
	if in := d.index[name]; in != nil {
		in.Base().IncRef()
		return in, nil
	}
	for i := range d.parts {
		if d.parts[i].Name == name {
			in := d.part(c, i)
			in.Base().IncRef()
			return in, nil
		}
	}
	if d.Find == nil {
		return nil, unix.ENOENT
	}
	return d.Find(c, name)
}

// Create, in a tree the kernel makes, is refused as if the name could not exist.
func (d *Dir) Create(vfs.Caller, string, *vfs.CreateArgs) (vfs.Inode, error) { return nil, unix.ENOENT }

// Open opens the directory.
func (d *Dir) Open(c vfs.Caller, _ vfs.Path, _ uint32) (vfs.File, error) {
	if d.MayOpen != nil {
		if err := d.MayOpen(c); err != nil {
			return nil, err
		}
	}
	return &dirFile{d: d}, nil
}

// dirFile is an open Dir.
type dirFile struct {
	vfs.FileBase
	d *Dir
}

func (*dirFile) Read(vfs.Caller, *vfs.Description, usermem.Seq, int64) (int64, error) {
	return 0, unix.EISDIR
}

// ReadDir lists the fixed entries, then the others.
func (f *dirFile) ReadDir(c vfs.Caller, d *vfs.Description, pos int64, emit func(vfs.Dirent) bool) (int64, error) {
	pos, ok := vfs.EmitDots(d, pos, emit)
	if !ok {
		return pos, nil
	}
	all := len(f.d.fixed) + len(f.d.parts)
	for i := int(min(pos-2, int64(all))); i < all; i++ {
		e := f.d.entry(c, i)
		b := e.in.Base()
		if !emit(vfs.Dirent{Name: e.name, Ino: b.Ino(), Type: vfs.DirentType(b.Mode()), Next: int64(i) + 3}) {
			return pos, nil
		}
		pos = int64(i) + 3
	}
	if f.d.List == nil {
		return pos, nil
	}
	list, err := f.d.List(c)
	if err != nil {
		return pos, err
	}
	from := sort.Search(len(list), func(i int) bool { return list[i].Pos >= pos })
	for _, e := range list[from:] {
		if !emit(vfs.Dirent{Name: e.Name, Ino: e.Ino, Type: e.Type, Next: e.Pos + 1}) {
			break
		}
		pos = e.Pos + 1
	}
	return pos, nil
}

// entry returns the i-th of the entries that are fixed.
func (d *Dir) entry(c vfs.Caller, i int) fixedEntry {
	if i < len(d.fixed) {
		return d.fixed[i]
	}
	i -= len(d.fixed)
	return fixedEntry{d.parts[i].Name, d.part(c, i)}
}

func (f *dirFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	return vfs.SeekDir(off, whence, cur)
}

// Sync has nothing to do.
func (f *dirFile) Sync(vfs.Caller, bool) error { return nil }
