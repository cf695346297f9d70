package goferfs

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/memmap"
	"ringfort/sentry/steady"
	"ringfort/sentry/vfs"
)

// inode is a host file.
//
// Lock order: dirMu of vfs, inode.rewrites.mu, inode.mu, inode.lockMu, aheadFDs.mu, the Client's. attrMu is a leaf.
type inode struct {
	vfs.InodeBase
	fs  *fileSystem
	key inoKey

	// stale: the host knows attributes (times, size, links) better than attr does.
	stale atomic.Bool
	// spoils counts what made attributes stale, or set them, before stale said so.
	spoils atomic.Uint32
	heeds  atomic.Int32 // see heed
	// asking: the host is being asked, or told, though stale and rewrites.owed no longer say so. Changed under mu.
	asking atomic.Bool
	// dirty: written to since the last sync.
	dirty    atomic.Bool
	size     atomic.Int64 // of a regular file
	sized    steady.Mark  // of size
	told     steady.Mark  // of what Stat tells, disturbed by spoil and setAttr
	rewrites rewrites
	// checked is when the host was last asked, since start.
	checked atomic.Int64
	// epoch is the superblock's in which name and attributes were last known to be true.
	epoch atomic.Uint32

	attrMu sync.Mutex
	attr   wire.Attr

	mu sync.Mutex // what follows
	// fid may be unknown of a file seen in a listing only; then parent (with a reference) and name lead to it.
	fid        FID
	parent     *inode
	name       string
	listed     int // its place in parent's listing, from 1; 0 if it was not found there
	target     string
	haveTarget bool

	data    *hostFile   // descriptors of a regular file, nil if none
	hasData atomic.Bool // data is not nil; read without mu
	opens   int         // open files and mappings that use data
	kept    atomic.Bool // data is kept though nobody uses it; changed under mu
	slot    int         // in fs.kept, whose mu guards it, if in stands there
	again   bool        // opened again since it was last considered for giving way; guarded like slot

	// flockFD and recordFD are the descriptors that hold the sandbox's locks on a file of others, too; below 1: not open.
	// lockMu, which guards them, comes after mu.
	lockMu            sync.Mutex
	flockFD, recordFD int

	// seen is what a listing of this directory told about entries nobody has looked up since: its indices.
	seen   map[string]int32
	seenIn []Entry
	// listing is the directory's whole contents, nil if not known.
	listing []Entry
	partial bool // entries are missing in listing
	bare    bool // listing has no attributes of files
	misses  int  // files that were wanted of a bare listing
	asked   int  // names that were asked for and were not there
	peeked  bool // the names were asked for since
	// names are all there are, nil if that is not known.
	names map[string]struct{}
	// listEpoch is the superblock's in which listing, seen and names were true.
	listEpoch uint32

	// appendMu makes the end of an appending write known to its writer.
	appendMu sync.Mutex
	mappings fsutil.Mappings
	code     memmap.Code
}

// setSize changes the size and returns what it was.
func (in *inode) setSize(n int64) (old int64) {
	if old = in.size.Swap(n); old != n {
		in.sized.Disturb()
	}
	return old
}

// setAttr stores what the host said.
func (in *inode) setAttr(a *wire.Attr) {
	in.attrMu.Lock()
	in.attr = *a
	in.attrMu.Unlock()
	in.SetMode(in.Type() | a.Mode&07777)
	in.SetOwner(in.fs.ids.owner(a.UID, a.GID))
	in.SetNlink(a.Nlink)
	in.Rdev = a.Rdev
	in.setSize(int64(a.Size))
	if in.fs.shared {
		in.checked.Store(int64(time.Since(start)))
	}
	in.told.Disturb()
}

// spoil notes that the host has other attributes than we.
func (in *inode) spoil() {
	in.spoils.Add(1)
	in.stale.Store(true)
	in.told.Disturb()
}

// adoptFID gives in a fid it did not have. in.mu is held.
func (in *inode) adoptFID(fid FID) {
	if fid == NoFID {
		return
	}
	in.fid = fid
	if p := in.parent; p != nil {
		in.parent = nil
		vfs.DecRefInode(p)
	}
}

// getFID returns the fid, asking the gofer for it the first time.
func (in *inode) getFID() (FID, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.getFIDLocked()
}

func (in *inode) getFIDLocked() (FID, error) {
	if in.fid != NoFID {
		return in.fid, nil
	}
	return in.learnFID(wire.NoOpen)
}

// learnFID walks to the file from its directory, and opens it unless open is wire.NoOpen. in.mu is held.
func (in *inode) learnFID(open uint32) (FID, error) {
	pfid, err := in.parent.getFID()
	if err != nil {
		return NoFID, err
	}
	r, err := in.fs.walk(pfid, []string{in.name}, open)
	if err != nil {
		return NoFID, err
	}
	if len(r.Nodes) == 0 {
		return NoFID, r.Err
	}
	n := &r.Nodes[0]
	if (inoKey{n.Dev, n.Ino}) != in.key {
		in.fs.client.Drop(&r)
		return NoFID, unix.ESTALE
	}
	in.adoptFID(n.FID)
	if r.FD >= 0 {
		in.putFD(r.FD, open&unix.O_ACCMODE != unix.O_RDONLY)
	}
	if n.Target != "" {
		in.target, in.haveTarget = n.Target, true
	}
	return in.fid, nil
}

// walk is Client.Walk with fids; if either side is out of descriptors it drops cached files and tries once more.
func (fs *fileSystem) walk(f FID, names []string, open uint32) (WalkResult, error) {
	r, err := fs.client.Walk(f, names, true, open)
	if err == nil && !(len(r.Nodes) < len(names) && (r.Err == unix.EMFILE || r.Err == unix.ENFILE)) {
		return r, nil
	}
	if err == nil {
		fs.client.Drop(&r)
	} else if err != unix.EMFILE && err != unix.ENFILE {
		return r, err
	}
	fs.sb.Shrink()
	return fs.client.Walk(f, names, true, open)
}

// Destroy lets the gofer forget the file.
func (in *inode) Destroy() {
	in.fs.mu.Lock()
	if in.fs.inodes[in.key] == in {
		delete(in.fs.inodes, in.key)
	}
	in.fs.mu.Unlock()
	in.code.Drop()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closeData()
	in.dropLocks()
	in.forgetNames()
	in.fs.client.Forget(in.fid)
	in.fid = NoFID
	if p := in.parent; p != nil {
		in.parent = nil
		vfs.DecRefInode(p)
	}
}

// refresh brings the attributes up to date if they may not be.
func (in *inode) refresh() error {
	epoch := in.fs.sb.Epoch()
	if !in.fs.shared && !in.stale.Load() && !in.asking.Load() && in.epoch.Load() == epoch {
		return nil
	}
	in.epoch.Store(epoch)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.data != nil {
		return in.fromData()
	}
	fid, err := in.getFIDLocked()
	if err != nil {
		return err
	}
	in.asking.Store(true)
	defer in.asking.Store(false)
	in.stale.Store(false)
	r, err := in.fs.client.Walk(fid, nil, false, wire.NoOpen)
	if err != nil {
		in.spoil()
		return err
	}
	in.setAttr(&r.Nodes[0].Attr)
	return nil
}

// fromData learns the attributes from the descriptor at hand, which is fifty times cheaper than to ask the gofer.
// in.mu is held.
func (in *inode) fromData() error {
	in.asking.Store(true)
	defer in.asking.Store(false)
	in.stale.Store(false)
	in.settleLocked()
	var st unix.Stat_t
	if err := unix.Fstat(in.data.any(), &st); err != nil {
		in.spoil()
		return err
	}
	in.setStat(&st)
	return nil
}

// setStat stores what the host said of a descriptor here. The owner is not believed: it is shown as the Sentry's own
// user namespace maps it, which is not at all.
func (in *inode) setStat(st *unix.Stat_t) {
	in.attrMu.Lock()
	a := in.attr
	in.attrMu.Unlock()
	a.Mode, a.Nlink = st.Mode, uint32(st.Nlink)
	a.Size, a.Blocks = uint64(st.Size), uint64(st.Blocks)
	a.ATime = wire.Time{Sec: st.Atim.Sec, Nsec: uint32(st.Atim.Nsec)}
	a.MTime = wire.Time{Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)}
	a.CTime = wire.Time{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)}
	in.setAttr(&a)
}

func statxTime(t wire.Time) unix.StatxTimestamp { return unix.StatxTimestamp{Sec: t.Sec, Nsec: t.Nsec} }

// Stat tells everything.
func (in *inode) Stat(_ vfs.Caller, st *unix.Statx_t) error {
	if in.IsDir() && !in.fs.shared { // of what others change as well the host is asked each time
		in.looked(in.stale.Load())
	}
	if err := in.refresh(); err != nil {
		return err
	}
	in.FillStat(st)
	in.attrMu.Lock()
	a := &in.attr
	st.Mask |= unix.STATX_BASIC_STATS
	st.Blksize = a.BlockSize
	st.Size, st.Blocks = a.Size, a.Blocks
	st.Atime, st.Mtime, st.Ctime = statxTime(a.ATime), statxTime(a.MTime), statxTime(a.CTime)
	if a.BTime != (wire.Time{}) {
		st.Mask |= unix.STATX_BTIME
		st.Btime = statxTime(a.BTime)
	}
	in.attrMu.Unlock()
	return nil
}

// SetAttr changes attributes.
func (in *inode) SetAttr(_ vfs.Caller, a *vfs.SetAttr) error {
	in.hold()
	defer in.rewrites.mu.RUnlock()
	ch := Change{Mode: a.Mode & 07777, Size: uint64(a.Size)}
	if a.Mask&(vfs.SetUID|vfs.SetGID) != 0 {
		uid, gid := a.UID, a.GID
		if a.Mask&vfs.SetUID == 0 {
			uid = in.UID()
		}
		if a.Mask&vfs.SetGID == 0 {
			gid = in.GID()
		}
		var err error
		if ch.UID, ch.GID, err = in.fs.ids.host(uid, gid); err != nil {
			return err
		}
	}
	for _, m := range [...]struct{ from, to uint32 }{
		{vfs.SetMode, wire.SetMode}, {vfs.SetUID, wire.SetUID}, {vfs.SetGID, wire.SetGID}, {vfs.SetSize, wire.SetSize},
		{vfs.SetATime, wire.SetATime | wire.SetATimeVal}, {vfs.SetMTime, wire.SetMTime | wire.SetMTimeVal},
	} {
		if a.Mask&m.from != 0 {
			ch.Valid |= m.to
		}
	}
	ch.ATime, ch.MTime = wireTime(a.ATime), wireTime(a.MTime)
	if a.ATimeNow {
		ch.Valid &^= wire.SetATimeVal
	}
	if a.MTimeNow {
		ch.Valid &^= wire.SetMTimeVal
	}
	if a.Mask&vfs.SetSize != 0 && in.truncateHere(&ch) {
		if ch.Valid &^= wire.SetSize; ch.Valid == 0 {
			return nil
		}
	}
	fid, err := in.getFID()
	if err != nil {
		return err
	}
	old := in.size.Load()
	spoils := in.spoils.Add(1)
	attr, err := in.fs.client.SetAttr(fid, &ch)
	if err != nil {
		return err
	}
	in.setAttr(&attr)
	in.stale.Store(false)
	if in.spoils.Load() != spoils {
		in.spoil() // what happened meanwhile may not be among them
	}
	in.mu.Lock()
	if in.data != nil {
		in.data.rereads.written() // the times of the last read and change are others than the host has seen
		if ch.Valid&wire.SetSize != 0 {
			in.raised()
			_ = in.renew() // if it fails it is tried again before the file is mapped
		}
	}
	in.mu.Unlock()
	if ch.Valid&wire.SetSize != 0 {
		in.forgetAhead()
		in.truncated(old, a.Size)
	}
	return nil
}

func wireTime(ns int64) wire.Time {
	t := vfs.StatxTime(ns)
	return wire.Time{Sec: t.Sec, Nsec: t.Nsec}
}

// truncateHere changes the size through a writable descriptor at hand, if there is one.
func (in *inode) truncateHere(ch *Change) bool {
	in.mu.Lock()
	if in.data == nil || in.data.rw.Load() < 0 {
		in.mu.Unlock()
		return false
	}
	err := unix.Ftruncate(int(in.data.rw.Load()), int64(ch.Size))
	in.mu.Unlock()
	if err != nil {
		return false
	}
	old := in.setSize(int64(ch.Size))
	in.attrMu.Lock()
	in.attr.Size = ch.Size
	in.attrMu.Unlock()
	in.spoil()
	in.dirty.Store(true)
	in.truncated(old, int64(ch.Size))
	return true
}

// truncated carries a new size to the mappings.
func (in *inode) truncated(old, size int64) {
	if size < old {
		in.mappings.Invalidate(pageUp(uint64(size)), ^uint64(0)&^pageMask, false)
	}
}

// Readlink returns the target.
func (in *inode) Readlink(vfs.Caller) (string, error) {
	if in.Type() != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.haveTarget {
		if _, err := in.getFIDLocked(); err != nil {
			return "", err
		}
		if !in.haveTarget {
			return "", unix.EIO
		}
	}
	return in.target, nil
}

// ConnectHost connects to the process of the host that listens on a socket file. ECONNREFUSED if there is none, or if the
// gofer must not.
func (in *inode) ConnectHost(typ int) (int, error) {
	fid, err := in.getFID()
	if err != nil {
		return -1, err
	}
	return in.fs.client.Connect(fid, typ)
}

// GetXattr asks the gofer.
func (in *inode) GetXattr(_ vfs.Caller, name string) ([]byte, error) {
	fid, err := in.getFID()
	if err != nil {
		return nil, err
	}
	return in.fs.client.GetXattr(fid, name)
}

// SetXattr asks the gofer.
func (in *inode) SetXattr(_ vfs.Caller, name string, value []byte, flags uint32) error {
	fid, err := in.getFID()
	if err != nil {
		return err
	}
	in.hold()
	defer in.rewrites.mu.RUnlock()
	in.spoil()
	return in.fs.client.SetXattr(fid, name, value, flags)
}

// ListXattr asks the gofer.
func (in *inode) ListXattr(vfs.Caller) ([]string, error) {
	if t := in.Type(); t != unix.S_IFREG && t != unix.S_IFDIR {
		return nil, nil
	}
	fid, err := in.getFID()
	if err != nil {
		return nil, err
	}
	b, err := in.fs.client.ListXattr(fid)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range strings.Split(string(b), "\x00") {
		if n != "" && !strings.HasPrefix(n, "system.") && !strings.HasPrefix(n, "security.selinux") {
			names = append(names, n)
		}
	}
	return names, nil
}

// RemoveXattr asks the gofer.
func (in *inode) RemoveXattr(_ vfs.Caller, name string) error {
	fid, err := in.getFID()
	if err != nil {
		return err
	}
	in.hold()
	defer in.rewrites.mu.RUnlock()
	in.spoil()
	return in.fs.client.RemoveXattr(fid, name)
}

// StatFS asks about the host file system the file is on.
func (in *inode) StatFS(c vfs.Caller) (unix.Statfs_t, error) { return in.fs.statFS(c) }
