package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/names"
	"ringfort/sentry/steady"
)

// Inode is a file of a file system, whatever its names. Embed InodeBase for the state all have and the errors Linux
// gives for what a type of file does not do.
//
// Permissions, read-only mounts, names' lengths and existence have been checked by the caller of all methods that
// change anything; the directory lock of every dentry concerned is held. Stat, Open and reading methods are called
// without locks.
type Inode interface {
	// Base returns the embedded state.
	Base() *InodeBase
	// Stat fills in st. InodeBase.FillStat does what the base knows.
	Stat(c Caller, st *unix.Statx_t) error
	// SetAttr changes what a.Mask says and updates the base.
	SetAttr(c Caller, a *SetAttr) error
	// Open makes the file behind a new description. It is not called for FIFOs, sockets and devices. O_TRUNC has
	// been done.
	Open(c Caller, at Path, flags uint32) (File, error)
	// Readlink returns the target of a symbolic link.
	Readlink(c Caller) (string, error)

	// Lookup returns the file named name in this directory with a reference for the caller; ENOENT if there is none.
	Lookup(c Caller, name string) (Inode, error)
	// Create makes a file, which must not exist, and returns it with a reference for the caller.
	Create(c Caller, name string, a *CreateArgs) (Inode, error)
	// Link gives target, of the same file system, another name in this directory.
	Link(c Caller, name string, target Inode) error
	// Unlink removes the name of child, a directory if rmdir (ENOTEMPTY is its to find).
	Unlink(c Caller, name string, child Inode, rmdir bool) error
	// Rename moves child to newDir, of the same file system, over replaced (nil if nothing is there). With
	// RENAME_EXCHANGE in flags the two change places.
	Rename(c Caller, name string, child Inode, newDir Inode, newName string, replaced Inode, flags uint32) error

	// GetXattr and its kin are the extended attributes; name includes its namespace. ENODATA: not there.
	GetXattr(c Caller, name string) ([]byte, error)
	SetXattr(c Caller, name string, value []byte, flags uint32) error
	ListXattr(c Caller) ([]string, error)
	RemoveXattr(c Caller, name string) error

	// Destroy is called once, when the last reference is gone.
	Destroy()
}

// Optional abilities of an Inode.
type (
	// PathLooker looks several names up at once, one below the other.
	PathLooker interface {
		// LookupPath returns the files of as many of names as it found, each with a reference; it stops after a
		// symbolic link. An error is about the first name only (a later one will be looked up again on its own).
		// intent is NoIntent or the flags with which the last is going to be opened.
		LookupPath(c Caller, names []string, intent uint32) ([]Inode, error)
	}
	// Revalidator is an inode whose dentry may be out of date.
	Revalidator interface {
		// Valid reports whether parent still has this file under name.
		Valid(c Caller, parent Inode, name string) bool
	}
	// MagicLink is a symbolic link that leads somewhere without a path walk (/proc/PID/fd/N).
	MagicLink interface {
		// Follow returns the place with a reference for the caller.
		Follow(c Caller) (Path, error)
	}
	// Lister is a directory that can be listed without being opened: a layer of an overlay.
	Lister interface {
		// Entries returns all entries but the dots; their Next is of no meaning.
		Entries(c Caller) ([]Dirent, error)
	}
	// TmpfileMaker is a directory that O_TMPFILE works on.
	TmpfileMaker interface {
		// Tmpfile makes a regular file without a name.
		Tmpfile(c Caller, a *CreateArgs) (Inode, error)
	}
	// StatFSer is an inode that knows better than its superblock what statfs(2) says.
	StatFSer interface {
		StatFS(c Caller) (unix.Statfs_t, error)
	}
	// PermGranter is an inode that is open to some whom the mode bits refuse.
	PermGranter interface {
		Grants(c Caller) bool
	}
	// PermChecker is an inode with permission rules of its own, on top of the mode bits.
	PermChecker interface {
		CheckPerm(c Caller, mask uint32) error
	}
)

// NoIntent is LookupPath's intent if nothing is going to be opened.
const NoIntent = ^uint32(0)

// CreateArgs says what Create makes.
type CreateArgs struct {
	Mode   uint32 // type and permissions, umask applied, set-group-ID inherited
	UID    auth.KUID
	GID    auth.KGID
	Rdev   uint64
	Target string // of a symbolic link
	// Intent is how a regular file is going to be opened at once, NoIntent if it is not.
	Intent uint32
	// Data is what the file system itself wants to know: OpenHow's.
	Data any
}

// Bits of SetAttr.Mask.
const (
	SetMode = 1 << iota
	SetUID
	SetGID
	SetSize
	SetATime
	SetMTime
	// KillSetID drops set-ID bits as a change of owner does; it is gone when SetAttr is called.
	KillSetID
)

// SetAttr is a change of attributes. Times are nanoseconds since 1970, "now" resolved by the caller.
type SetAttr struct {
	Mask  uint32
	Mode  uint32 // permission bits only
	UID   auth.KUID
	GID   auth.KGID
	Size  int64
	ATime int64
	MTime int64
	// ATimeNow and MTimeNow tell that the time was not given but is the present.
	ATimeNow, MTimeNow bool
}

// InodeBase is the part all inodes share. Mode, owner and link count are read without a lock by permission checks;
// the file system keeps them up to date.
type InodeBase struct {
	sb    *Superblock
	ino   uint64
	refs  atomic.Int64
	mode  atomic.Uint32
	uid   atomic.Uint32
	gid   atomic.Uint32
	nlink atomic.Uint32
	Rdev  uint64 // of a device

	// writers counts open descriptions for writing, or, below zero, those that forbid them (ETXTBSY).
	writers atomic.Int32

	// opens counts open descriptions; gone says how far the end of an inode without names has got (see notify.go).
	opens atomic.Int32
	gone  atomic.Int32

	// noCaps is the time of change at which the file had no security.capability, 0 if that is not known.
	noCaps atomic.Int64
	// hasCaps is set once security.capability was set through this inode.
	hasCaps atomic.Bool

	locks    atomic.Pointer[lockState]
	watches  atomic.Pointer[watchSet]
	endpoint atomic.Pointer[endpointBox]
}

type endpointBox struct{ v any }

// Init prepares the base: one reference and one link. Call it before the inode is published.
func (b *InodeBase) Init(sb *Superblock, ino uint64, mode uint32, uid auth.KUID, gid auth.KGID) {
	b.sb, b.ino = sb, ino
	b.refs.Store(1)
	b.mode.Store(mode)
	b.uid.Store(uint32(uid))
	b.gid.Store(uint32(gid))
	b.nlink.Store(1)
}

// Base returns b.
func (b *InodeBase) Base() *InodeBase { return b }

// Superblock returns the file system instance the inode is of.
func (b *InodeBase) Superblock() *Superblock { return b.sb }

// Ino returns the inode number.
func (b *InodeBase) Ino() uint64 { return b.ino }

// Mode returns type and permissions.
func (b *InodeBase) Mode() uint32 { return b.mode.Load() }

// SetMode stores type and permissions.
func (b *InodeBase) SetMode(m uint32) { b.mode.Store(m) }

// Type returns the S_IFMT bits.
func (b *InodeBase) Type() uint32 { return b.mode.Load() & unix.S_IFMT }

// IsDir reports whether it is a directory.
func (b *InodeBase) IsDir() bool { return b.Type() == unix.S_IFDIR }

// UID returns the owner.
func (b *InodeBase) UID() auth.KUID { return auth.KUID(b.uid.Load()) }

// GID returns the group.
func (b *InodeBase) GID() auth.KGID { return auth.KGID(b.gid.Load()) }

// SetOwner stores owner and group.
func (b *InodeBase) SetOwner(uid auth.KUID, gid auth.KGID) {
	b.uid.Store(uint32(uid))
	b.gid.Store(uint32(gid))
}

// Nlink returns the link count.
func (b *InodeBase) Nlink() uint32 { return b.nlink.Load() }

// SetNlink stores the link count.
func (b *InodeBase) SetNlink(n uint32) { b.nlink.Store(n) }

// AddNlink changes the link count and returns it.
func (b *InodeBase) AddNlink(n int32) uint32 { return b.nlink.Add(uint32(n)) }

// Refs returns the number of references, for a file system's own cache.
func (b *InodeBase) Refs() int64 { return b.refs.Load() }

// IncRef takes a reference; the caller holds one already.
func (b *InodeBase) IncRef() { b.refs.Add(1) }

// TryIncRef takes a reference unless the last one is gone.
func (b *InodeBase) TryIncRef() bool {
	for {
		n := b.refs.Load()
		if n <= 0 {
			return false
		}
		if b.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// DecRefInode drops a reference to in and destroys it with the last.
func DecRefInode(in Inode) {
	if in.Base().refs.Add(-1) == 0 {
		in.Destroy()
	}
}

// Endpoint returns what was bound to the inode: a socket's endpoint or a FIFO's pipe; nil if nothing is.
func (b *InodeBase) Endpoint() any {
	if e := b.endpoint.Load(); e != nil {
		return e.v
	}
	return nil
}

// SetEndpoint binds an object to the inode; nil unbinds.
func (b *InodeBase) SetEndpoint(v any) {
	if v == nil {
		b.endpoint.Store(nil)
		return
	}
	b.endpoint.Store(&endpointBox{v})
}

// EndpointOr binds what mk makes unless something is bound, and returns what is bound then.
func (b *InodeBase) EndpointOr(mk func() any) any {
	for {
		if e := b.endpoint.Load(); e != nil {
			return e.v
		}
		if e := (&endpointBox{mk()}); b.endpoint.CompareAndSwap(nil, e) {
			return e.v
		}
	}
}

// FillStat fills in what the base knows: type, mode, owner, links, numbers.
func (b *InodeBase) FillStat(st *unix.Statx_t) {
	st.Mask |= unix.STATX_TYPE | unix.STATX_MODE | unix.STATX_NLINK | unix.STATX_UID | unix.STATX_GID | unix.STATX_INO
	st.Blksize = 4096
	st.Mode = uint16(b.mode.Load())
	st.Nlink = b.nlink.Load()
	st.Uid, st.Gid = b.uid.Load(), b.gid.Load()
	st.Ino = b.ino
	if b.sb != nil {
		st.Dev_major, st.Dev_minor = unix.Major(b.sb.Dev), unix.Minor(b.sb.Dev)
	}
	if t := b.Type(); t == unix.S_IFCHR || t == unix.S_IFBLK {
		st.Rdev_major, st.Rdev_minor = unix.Major(b.Rdev), unix.Minor(b.Rdev)
	}
}

// The defaults.

// Stat fills in what the base knows.
func (b *InodeBase) Stat(_ Caller, st *unix.Statx_t) error {
	b.FillStat(st)
	st.Mask |= unix.STATX_BASIC_STATS
	return nil
}

// SetAttr returns EPERM, as kernel-made trees do.
func (*InodeBase) SetAttr(Caller, *SetAttr) error { return unix.EPERM }

// Open returns ENXIO.
func (*InodeBase) Open(Caller, Path, uint32) (File, error) { return nil, unix.ENXIO }

// Readlink returns EINVAL.
func (*InodeBase) Readlink(Caller) (string, error) { return "", unix.EINVAL }

// Lookup returns ENOTDIR.
func (*InodeBase) Lookup(Caller, string) (Inode, error) { return nil, unix.ENOTDIR }

// Create returns EPERM, as kernel-made trees do.
func (*InodeBase) Create(Caller, string, *CreateArgs) (Inode, error) { return nil, unix.EPERM }

// Link returns EPERM.
func (*InodeBase) Link(Caller, string, Inode) error { return unix.EPERM }

// Unlink returns EPERM.
func (*InodeBase) Unlink(Caller, string, Inode, bool) error { return unix.EPERM }

// Rename returns EPERM.
func (*InodeBase) Rename(Caller, string, Inode, Inode, string, Inode, uint32) error {
	return unix.EPERM
}

// GetXattr returns EOPNOTSUPP.
func (*InodeBase) GetXattr(Caller, string) ([]byte, error) { return nil, unix.EOPNOTSUPP }

// SetXattr returns EOPNOTSUPP.
func (*InodeBase) SetXattr(Caller, string, []byte, uint32) error { return unix.EOPNOTSUPP }

// ListXattr returns none.
func (*InodeBase) ListXattr(Caller) ([]string, error) { return nil, nil }

// RemoveXattr returns EOPNOTSUPP.
func (*InodeBase) RemoveXattr(Caller, string) error { return unix.EOPNOTSUPP }

// Destroy does nothing.
func (*InodeBase) Destroy() {}

// Superblock is one instance of a file system, which may be mounted at several places.
type Superblock struct {
	Type   string // as in /proc/mounts
	Source string // the device field of /proc/mounts
	// RootName is the root's path within a larger file system of the host, as mountinfo shows it; "" for "/".
	RootName string
	Dev      uint64 // st_dev
	Magic    int64  // f_type of statfs(2)
	// Options are the file system's own mount options, as /proc/mounts shows them, without a leading comma.
	Options string
	// NoNegative says that names not found must be looked up anew each time.
	NoNegative bool
	// Settled says that names and permissions change by calls of this package alone, but for Doubt.
	Settled bool
	// MaxDentries bounds the unused dentries kept; 0 is DefaultMaxDentries.
	MaxDentries int
	// StatFSFunc answers statfs(2); nil: only type, block size and name length.
	StatFSFunc func(c Caller) (unix.Statfs_t, error)
	// SyncFunc writes everything back (syncfs(2)); nil: nothing to do.
	SyncFunc func(c Caller) error
	// ReleaseFunc is called when the last mount is gone.
	ReleaseFunc func()

	root     *Dentry
	epoch    atomic.Uint32
	mounts   atomic.Int64
	renameMu sync.Mutex

	cacheMu sync.Mutex
	cache   []*Dentry // all hashed dentries, oldest first
}

// DefaultMaxDentries is how many dentries a file system keeps at most, if unused.
const DefaultMaxDentries = 1 << 16

// nextDev numbers file systems without a device; Linux gives them major 0.
var nextDev atomic.Uint64

// NewDev returns a new anonymous device number.
func NewDev() uint64 { return unix.Mkdev(0, uint32(nextDev.Add(1))) }

// SetRoot makes root, whose reference it takes over, the root directory (or the single file) of sb.
func (sb *Superblock) SetRoot(root Inode) { sb.root = newDentry(sb, root, nil, "/") }

// Doubt has everything that is cached asked for again when it is next used: somebody may have changed the files behind
// the file system's back. A Revalidator compares Epoch to the one in which it was last told.
func (sb *Superblock) Doubt() {
	names.Begin(names.World)
	defer names.End()
	sb.epoch.Add(1)
	steady.DisturbAll()
}

// Epoch counts the calls of Doubt.
func (sb *Superblock) Epoch() uint32 { return sb.epoch.Load() }

// Root returns the root dentry.
func (sb *Superblock) Root() *Dentry { return sb.root }

// StatFS answers statfs(2).
func (sb *Superblock) StatFS(c Caller) (unix.Statfs_t, error) {
	if sb.StatFSFunc != nil {
		return sb.StatFSFunc(c)
	}
	return unix.Statfs_t{Type: sb.Magic, Bsize: 4096, Frsize: 4096, Namelen: 255}, nil
}
