package devpts

import (
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/sentry/auth"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// Device numbers (Documentation/admin-guide/devices.txt).
const (
	ptsMajor   = 136
	ttyMajor   = 5
	ttyMinor   = 0
	conMinor   = 1
	ptmxMinor  = 2
	maxPTYs    = 4096
	magicPTS   = 0x1cd1
	defaultPTY = 0o620
)

// instance is one devpts file system with its terminals.
type instance struct {
	k    *kernel.Kernel
	tree *fsutil.Tree
	root *fsutil.Dir
	mode uint32
	gid  auth.KGID

	mu    sync.Mutex
	terms map[uint32]*entry
}

// entry is a terminal and its node in the file system.
type entry struct {
	t    *terminal
	node *node
}

// node is the inode of a replica or of ptmx.
type node struct {
	fsutil.Node
	inst *instance
	t    *terminal // nil: ptmx
}

// SetAttr changes mode and owner, as grantpt(3) and login do.
func (n *node) SetAttr(_ vfs.Caller, a *vfs.SetAttr) error {
	if a.Mask&vfs.SetMode != 0 {
		n.SetMode(n.Mode()&unix.S_IFMT | a.Mode&07777)
	}
	uid, gid := n.UID(), n.GID()
	if a.Mask&vfs.SetUID != 0 {
		uid = a.UID
	}
	if a.Mask&vfs.SetGID != 0 {
		gid = a.GID
	}
	n.SetOwner(uid, gid)
	return nil
}

// New returns a devpts. mode and gid are those of new terminals, ptmxMode of ptmx.
func New(k *kernel.Kernel, c vfs.Caller, mode uint32, gid auth.KGID, ptmxMode uint32) *vfs.Superblock {
	i := &instance{k: k, tree: fsutil.NewTree("devpts", magicPTS), mode: mode, gid: gid, terms: map[uint32]*entry{}}
	i.root = i.tree.NewDir(c, 0o755)
	ptmx := &node{inst: i}
	i.tree.InitNode(&ptmx.Node, c, unix.S_IFCHR|ptmxMode)
	ptmx.Rdev = unix.Mkdev(ttyMajor, ptmxMinor)
	ns := c.Creds().UserNS
	if uid, ok := ns.KUID(0); ok {
		gid, _ := ns.KGID(0)
		ptmx.SetOwner(uid, gid)
	}
	i.root.Add("ptmx", ptmx)
	i.root.Find = i.find
	i.root.List = i.list
	i.tree.SB.SetRoot(i.root)
	return &i.tree.SB
}

// find looks a terminal up by its number.
func (i *instance) find(_ vfs.Caller, name string) (vfs.Inode, error) {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != name {
		return nil, unix.ENOENT
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	e := i.terms[uint32(n)]
	if e == nil {
		return nil, unix.ENOENT
	}
	e.node.IncRef()
	return e.node, nil
}

func (i *instance) list(vfs.Caller) ([]fsutil.Entry, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var list []fsutil.Entry
	for n, e := range i.terms {
		list = append(list, fsutil.Entry{Name: strconv.Itoa(int(n)), Ino: e.node.Ino(), Type: unix.DT_CHR, Pos: fsutil.FirstPos + int64(n)})
	}
	slices.SortFunc(list, func(a, b fsutil.Entry) int { return int(a.Pos - b.Pos) })
	return list, nil
}

// newTerminal makes a terminal owned by the caller.
func (i *instance) newTerminal(c vfs.Caller) (*terminal, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := uint32(0)
	for i.terms[n] != nil {
		n++
	}
	if n >= maxPTYs {
		return nil, unix.ENOSPC
	}
	t := &terminal{k: i.k, inst: i, index: n, mode: defaultTermios(), speed: speeds{38400, 38400}, master: true, locked: true}
	nd := &node{inst: i, t: t}
	i.tree.InitNode(&nd.Node, c, unix.S_IFCHR|i.mode)
	nd.Rdev = unix.Mkdev(ptsMajor, n)
	nd.SetOwner(c.Creds().FSUID, i.gid)
	nd.Alive = func() bool { return !t.hungUp() }
	i.terms[n] = &entry{t, nd}
	return t, nil
}

func (i *instance) remove(t *terminal) {
	i.mu.Lock()
	e := i.terms[t.index]
	delete(i.terms, t.index)
	i.mu.Unlock()
	if e != nil {
		vfs.DecRefInode(e.node)
	}
}

// openIndex opens the replica of t as a description whose path is its name in
// the file system.
func (i *instance) openIndex(c vfs.Caller, t *terminal, flags uint32) (*vfs.Description, error) {
	f, err := t.openReplica(c, flags)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	e := i.terms[t.index]
	i.mu.Unlock()
	if e == nil {
		f.Release(c)
		return nil, unix.EIO
	}
	e.node.IncRef()
	p := vfs.NewNamelessPath(e.node, "/dev/pts/"+strconv.Itoa(int(t.index)))
	return vfs.NewDescription(f, p, flags), nil
}

// Register makes the terminal devices known to the VFS.
func Register(k *kernel.Kernel) {
	vfs.RegisterDevice(vfs.CharDevice, ttyMajor, ptmxMinor, openPTMX)
	vfs.RegisterDevice(vfs.CharDevice, ttyMajor, ttyMinor, openTTY)
	vfs.RegisterDevice(vfs.CharDevice, ptsMajor, vfs.AnyMinor, func(c vfs.Caller, p vfs.Path, flags uint32) (vfs.File, error) {
		n, ok := p.Inode().(*node)
		if !ok || n.t == nil {
			return nil, unix.ENXIO // a node made by hand, outside devpts
		}
		return n.t.openReplica(c, flags)
	})
	vfs.RegisterFS(&vfs.FSType{Name: "devpts", UserMount: true, New: func(c vfs.Caller, s vfs.MountSource) (*vfs.Superblock, error) {
		mode, gid, ptmx, err := parseOptions(c, s.Data)
		if err != nil {
			return nil, err
		}
		return New(k, c, mode, gid, ptmx), nil
	}})
}

func openPTMX(c vfs.Caller, p vfs.Path, _ uint32) (vfs.File, error) {
	n, ok := p.Inode().(*node)
	if !ok {
		return nil, unix.ENXIO
	}
	t, err := n.inst.newTerminal(c)
	if err != nil {
		return nil, err
	}
	return &masterFile{t: t}, nil
}

// openTTY opens /dev/tty: the caller's controlling terminal.
func openTTY(c vfs.Caller, _ vfs.Path, flags uint32) (vfs.File, error) {
	task, ok := c.(*kernel.Task)
	if !ok {
		return nil, unix.ENXIO
	}
	s := task.ThreadGroup().Session()
	if s == nil {
		return nil, unix.ENXIO
	}
	t, ok := task.Kernel().TTYOf(s).(*terminal)
	if !ok {
		return nil, unix.ENXIO
	}
	return t.openReplica(c, flags|unix.O_NOCTTY)
}
