package mqueue

import (
	"sort"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// times are the three times of an inode, which change together here.
type times struct{ at atomic.Int64 }

func (t *times) stamp(c vfs.Caller) { t.at.Store(vfs.Now(c)) }

func (t *times) fill(st *unix.Statx_t) {
	now := vfs.StatxTime(t.at.Load())
	st.Mask |= unix.STATX_BASIC_STATS
	st.Atime, st.Mtime, st.Ctime = now, now, now
}

// directory is the root, the only directory.
type directory struct {
	vfs.InodeBase
	times
	ns *Namespace

	mu     sync.Mutex
	queues map[string]*Queue // with a reference each
	cookie int64
}

// entrySize is what a queue adds to the size of the directory.
const entrySize = 20

// Stat tells everything.
func (d *directory) Stat(_ vfs.Caller, st *unix.Statx_t) error {
	d.FillStat(st)
	d.fill(st)
	d.mu.Lock()
	st.Size = uint64(len(d.queues)) * entrySize
	d.mu.Unlock()
	return nil
}

// SetAttr changes mode and owner.
func (d *directory) SetAttr(c vfs.Caller, a *vfs.SetAttr) error {
	d.ApplyAttr(a)
	d.stamp(c)
	return nil
}

// Lookup finds a queue.
func (d *directory) Lookup(_ vfs.Caller, name string) (vfs.Inode, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[name]
	if q == nil {
		return nil, unix.ENOENT
	}
	q.IncRef()
	return q, nil
}

// Create makes a queue; a.Data is the *Attr of mq_open(2), if it was given one.
func (d *directory) Create(c vfs.Caller, name string, a *vfs.CreateArgs) (vfs.Inode, error) {
	if a.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, unix.EPERM
	}
	attr, _ := a.Data.(*Attr)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queues[name] != nil {
		return nil, unix.EEXIST
	}
	q, err := d.ns.newQueue(c, a, attr)
	if err != nil {
		return nil, err
	}
	d.cookie++
	q.cookie = d.cookie
	d.queues[name] = q
	d.stamp(c)
	q.IncRef() // the directory's and the caller's
	return q, nil
}

// Unlink removes a name; the queue goes when nobody has it open.
func (d *directory) Unlink(c vfs.Caller, name string, in vfs.Inode, _ bool) error {
	d.mu.Lock()
	q := d.queues[name]
	if q == nil || vfs.Inode(q) != in {
		d.mu.Unlock()
		return unix.ENOENT
	}
	delete(d.queues, name)
	d.mu.Unlock()
	d.stamp(c)
	q.AddNlink(-1)
	vfs.DecRefInode(q)
	return nil
}

// release drops all queues, once the last mount is gone.
func (d *directory) release() {
	d.mu.Lock()
	queues := d.queues
	d.queues = map[string]*Queue{}
	d.mu.Unlock()
	for _, q := range queues {
		vfs.DecRefInode(q)
	}
}

// Open opens the directory.
func (d *directory) Open(vfs.Caller, vfs.Path, uint32) (vfs.File, error) { return &dirFile{d: d}, nil }

// dirFile is the open directory.
type dirFile struct {
	vfs.FileBase
	d *directory
}

func (*dirFile) Read(vfs.Caller, *vfs.Description, usermem.Seq, int64) (int64, error) {
	return 0, unix.EISDIR
}

// ReadDir lists the queues in the order of their creation.
func (f *dirFile) ReadDir(_ vfs.Caller, d *vfs.Description, pos int64, emit func(vfs.Dirent) bool) (int64, error) {
	pos, ok := vfs.EmitDots(d, pos, emit)
	if !ok {
		return pos, nil
	}
	const first = 1 // position of cookie c is first + c: the dots are at 0 and 1
	var list []vfs.Dirent
	f.d.mu.Lock()
	for name, q := range f.d.queues {
		if q.cookie+first >= pos {
			list = append(list, vfs.Dirent{Name: name, Ino: q.Ino(), Type: unix.DT_REG, Next: q.cookie + first + 1})
		}
	}
	f.d.mu.Unlock()
	sort.Slice(list, func(i, j int) bool { return list[i].Next < list[j].Next })
	for _, e := range list {
		if !emit(e) {
			break
		}
		pos = e.Next
	}
	return pos, nil
}

// Seek moves among positions.
func (f *dirFile) Seek(_ vfs.Caller, _ *vfs.Description, off int64, whence int32, cur int64) (int64, error) {
	return vfs.SeekDir(off, whence, cur)
}

// Sync has nothing to do.
func (f *dirFile) Sync(vfs.Caller, bool) error { return nil }
