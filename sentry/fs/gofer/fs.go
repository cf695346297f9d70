package goferfs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/platform/fdroom"
	"ringfort/sentry/vfs"
)

// Options say how an export is mounted.
type Options struct {
	// Shared: others change the files too (a volume), so every name and attribute is asked for again. Else the
	// container has them to itself and what was once seen stays true.
	Shared bool
	// Source is the device field of /proc/mounts.
	Source string
	// IDs maps the owners of files.
	IDs *IDMap
	// Type is what /proc/mounts calls the file system; "" is 9p.
	Type string
}

// fileSystem is one export of a gofer.
type fileSystem struct {
	sb     vfs.Superblock
	client *Client
	shared bool
	ids    *IDMap
	root   *inode

	// inodes finds the one inode of a host file. mu is a leaf.
	mu     sync.Mutex
	inodes map[inoKey]*inode
	devs   map[uint64]uint64 // host devices, numbered in order of appearance

	kept      keptFiles
	unsettled unsettled

	// gen counts changes to directories: what was listed while one went on is not kept.
	gen     atomic.Uint64
	treeRun atomic.Int32 // listings of a walk through a tree so far
	wanted  atomic.Bool  // a file was looked up since that began
	streams streams
	ahead   aheadFDs

	layered bool         // on overlayfs: an open file may be one below that it is not any more
	exact   bool         // names are what their bytes are (exactNames)
	known   atomic.Int64 // names in all the names of inodes
}

// inoKey is a host file's identity.
type inoKey struct{ dev, ino uint64 }

// New attaches to the gofer at the other end of conn and fds, which it owns from then on, and returns the file
// system. The root is a directory or, of a bind mount of one file, that file.
func New(conn, fds *os.File, o Options) (*vfs.Superblock, error) {
	client, err := NewClient(conn, fds)
	if err != nil {
		return nil, err
	}
	fs := &fileSystem{client: client, shared: o.Shared, ids: o.IDs, inodes: map[inoKey]*inode{}, devs: map[uint64]uint64{}}
	fs.kept.limit()
	fs.sb.Type = o.Type
	if fs.sb.Type == "" {
		fs.sb.Type = "9p"
	}
	fs.sb.Source = o.Source
	fs.sb.Dev = vfs.NewDev()
	fs.sb.NoNegative, fs.sb.Settled = o.Shared, !o.Shared
	fs.sb.StatFSFunc = fs.statFS
	fs.sb.ReleaseFunc = func() { client.Close(); fs.ahead.clear(); fdroom.CloseAll() }
	fs.sb.SyncFunc = func(vfs.Caller) error { return fs.syncAll() }
	fid, err := client.Attach()
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("attaching to the gofer: %w", err)
	}
	r, err := client.Walk(fid, nil, false, wire.NoOpen)
	if err == nil && len(r.Nodes) != 1 {
		err = r.Err
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("reading the attributes of the gofer's root: %w", err)
	}
	r.Nodes[0].FID = fid
	if st, err := client.StatFS(fid); err == nil {
		fs.sb.Magic = int64(st.Type)
		fs.layered = st.Type == unix.OVERLAYFS_SUPER_MAGIC
		fs.exact = !fs.shared && exactNames[st.Type]
	}
	fs.root = fs.inode(&r.Nodes[0], nil, "")
	fs.sb.SetRoot(fs.root)
	return &fs.sb, nil
}

func (fs *fileSystem) statFS(vfs.Caller) (unix.Statfs_t, error) {
	fid, err := fs.root.getFID()
	if err != nil {
		return unix.Statfs_t{}, err
	}
	st, err := fs.client.StatFS(fid)
	if err != nil {
		return unix.Statfs_t{}, err
	}
	return unix.Statfs_t{
		Type: int64(st.Type), Bsize: int64(st.BlockSize), Frsize: int64(st.BlockSize), Blocks: st.Blocks, Bfree: st.Free,
		Bavail: st.Available, Files: st.Files, Ffree: st.FilesFree, Namelen: int64(st.NameLen),
		Fsid: unix.Fsid{Val: [2]int32{int32(st.FSID), int32(st.FSID >> 32)}},
	}, nil
}

// syncAll writes back every file that is open for writing.
func (fs *fileSystem) syncAll() error {
	var dirty []*inode
	fs.mu.Lock()
	for _, in := range fs.inodes {
		if in.dirty.Load() && in.TryIncRef() {
			dirty = append(dirty, in)
		}
	}
	fs.mu.Unlock()
	var errs []error
	for _, in := range dirty {
		errs = append(errs, in.sync(false))
		vfs.DecRefInode(in)
	}
	return errors.Join(errs...)
}

// ino makes one number of a host file's identity: files of further host file systems under the root get numbers no
// other has.
func (fs *fileSystem) ino(k inoKey) uint64 {
	n, ok := fs.devs[k.dev]
	if !ok {
		n = uint64(len(fs.devs))
		fs.devs[k.dev] = n
	}
	return k.ino + n<<48
}

// inode returns the inode of a file, with a reference for the caller; n.FID goes to it. parent and name are where it
// was found, for one whose fid is not known.
func (fs *fileSystem) inode(n *Node, parent *inode, name string) *inode {
	key := inoKey{n.Dev, n.Ino}
	fs.mu.Lock()
	in := fs.inodes[key]
	if in == nil || in.Type() != n.Mode&unix.S_IFMT || !in.TryIncRef() {
		// None, or one being destroyed, or the number was used again for another file.
		in = &inode{fs: fs, key: key, fid: n.FID, target: n.Target, haveTarget: n.Target != ""}
		in.epoch.Store(fs.sb.Epoch())
		in.listEpoch = fs.sb.Epoch()
		uid, gid := fs.ids.owner(n.UID, n.GID)
		in.Init(&fs.sb, fs.ino(key), n.Mode, uid, gid)
		if n.FID == NoFID {
			parent.IncRef()
			in.parent, in.name = parent, name
			in.listed = n.listed
		}
		if n.sub != nil {
			in.setListing(n.sub)
		}
		in.setAttr(&n.Attr)
		fs.inodes[key] = in
		fs.mu.Unlock()
		return in
	}
	fs.mu.Unlock()
	in.mu.Lock()
	if in.fid == NoFID {
		in.adoptFID(n.FID)
	} else {
		fs.client.Forget(n.FID)
	}
	in.mu.Unlock()
	if fs.shared {
		in.setAttr(&n.Attr)
	}
	return in
}
