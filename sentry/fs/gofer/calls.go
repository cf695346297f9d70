package goferfs

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// Node is what a walk tells of one file: its attributes and, for a symbolic link, where it points.
type Node struct {
	wire.Attr
	Target string
	FID    FID
	// Of one found in a listing: its index there, from 1, and, of a directory, its contents if they came along.
	listed int
	sub    []Entry
}

// WalkResult is the outcome of Walk.
type WalkResult struct {
	// Nodes are those reached, one a name (or the start itself if there were no names), each with a fid if wanted.
	// Fewer than names: the walk stopped, before a name for which Err says why, or after a symbolic link (Err is
	// then 0). Err with all the names walked is a failure to open.
	Nodes []Node
	Err   unix.Errno
	// FD is the donated descriptor, -1 if none.
	FD int
}

// Attach returns the fid of the export's root.
func (c *Client) Attach() (FID, error) {
	k := c.newCall()
	defer c.release(k)
	f := c.newFID()
	k.req.U32(uint32(f))
	k.req.U32(wire.NoFID)
	k.req.Str("")
	k.req.Str("")
	k.req.U32(0)
	if err := c.do(k, wire.TAttach); err != nil {
		c.unusedFID(f)
		return NoFID, err
	}
	return f, nil
}

// Walk goes through names from f in one round trip. open, unless wire.NoOpen, opens the last if it is a regular file.
// The error is one of the request as a whole.
func (c *Client) Walk(f FID, names []string, wantFIDs bool, open uint32) (WalkResult, error) {
	res := WalkResult{FD: -1, Nodes: make([]Node, 0, max(len(names), 1))}
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U32(open)
	k.req.U16(uint16(len(names)))
	var stack [8]FID
	fids := stack[:0]
	for _, name := range names {
		newF := NoFID
		if wantFIDs {
			newF = c.newFID()
		}
		fids = append(fids, newF)
		k.req.U32(uint32(newF))
		k.req.Str(name)
	}
	n := 0
	defer func() {
		for _, f := range fids[min(n, len(fids)):] {
			c.unusedFID(f)
		}
	}()
	if err := c.do(k, wire.TWalkAttr); err != nil {
		return res, err
	}
	d := wire.NewDecoder(k.reply)
	res.Err, res.FD = unix.Errno(d.U32()), k.fd
	n = int(d.U16())
	want := max(len(names), 1)
	for i := 0; i < n && i < want && d.Err() == nil; i++ {
		node := takeNode(&d)
		if node.FID = NoFID; i < len(fids) {
			node.FID = fids[i]
		}
		res.Nodes = append(res.Nodes, node)
	}
	if d.Err() != nil || n > want || n == 0 && res.Err == 0 || res.Err >= 4096 {
		n = len(fids)
		c.Drop(&res)
		return WalkResult{FD: -1}, unix.EIO
	}
	return res, nil
}

func takeNode(d *wire.Decoder) (n Node) {
	d.Attr(&n.Attr)
	if n.Mode&unix.S_IFMT == unix.S_IFLNK {
		n.Target = d.Str()
	}
	return n
}

// Drop lets go of all fids and the descriptor of a result.
func (c *Client) Drop(r *WalkResult) {
	for i := range r.Nodes {
		c.Forget(r.Nodes[i].FID)
	}
	if r.FD >= 0 {
		unix.Close(r.FD)
	}
}

// NewFile describes a file to be made; Mode holds its type.
type NewFile struct {
	Name           string
	Mode, UID, GID uint32
	Rdev           uint64
	Target         string // of a symbolic link
}

// Make makes a file in the directory f, exclusively. With open (unless wire.NoOpen) a regular file's descriptor comes
// with it, else the descriptor is -1. dir, unless nil, is set to the directory's attributes afterwards, or to none.
func (c *Client) Make(f FID, m *NewFile, wantFID bool, open uint32, dir *wire.Attr) (a wire.Attr, newF FID, fd int, err error) {
	newF = NoFID
	if wantFID {
		newF = c.newFID()
	}
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U32(uint32(newF))
	k.req.Str(m.Name)
	k.req.U32(m.Mode)
	k.req.U32(m.UID)
	k.req.U32(m.GID)
	k.req.U64(m.Rdev)
	k.req.Str(m.Target)
	k.req.U32(open)
	k.req.Bool(dir != nil)
	if err := c.do(k, wire.TMake); err != nil {
		c.unusedFID(newF)
		return a, NoFID, -1, err
	}
	d := wire.NewDecoder(k.reply)
	d.Attr(&a)
	if dir != nil {
		d.Attr(dir)
	}
	if d.Err() != nil {
		c.Drop(&WalkResult{Nodes: []Node{{FID: newF}}, FD: k.fd})
		return a, NoFID, -1, unix.EIO
	}
	return a, newF, k.fd, nil
}

// Open opens the regular file f and returns the donated descriptor.
func (c *Client) Open(f FID, flags uint32) (int, error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U32(flags)
	if err := c.do(k, wire.TOpenFD); err != nil {
		return -1, err
	}
	if k.fd < 0 {
		return -1, unix.EIO
	}
	return k.fd, nil
}

// Connect returns a socket of type typ that is connected to the unix socket f of the host.
func (c *Client) Connect(f FID, typ int) (int, error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U32(uint32(typ))
	if err := c.do(k, wire.TConnect); err != nil {
		return -1, err
	}
	if k.fd < 0 {
		return -1, unix.EIO
	}
	return k.fd, nil
}

// Change is what SetAttr sets; Valid holds wire.Set… bits.
type Change struct {
	Valid, Mode, UID, GID uint32
	Size                  uint64
	ATime, MTime          wire.Time
}

// SetAttr changes attributes and returns them all as they are then.
func (c *Client) SetAttr(f FID, ch *Change) (a wire.Attr, err error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U32(ch.Valid)
	k.req.U32(ch.Mode)
	k.req.U32(ch.UID)
	k.req.U32(ch.GID)
	k.req.U64(ch.Size)
	for _, t := range [...]wire.Time{ch.ATime, ch.MTime} {
		k.req.U64(uint64(t.Sec))
		k.req.U64(uint64(t.Nsec))
	}
	if err := c.do(k, wire.TChange); err != nil {
		return a, err
	}
	d := wire.NewDecoder(k.reply)
	d.Attr(&a)
	if d.Err() != nil {
		return a, unix.EIO
	}
	return a, nil
}

// StatFS is what statfs(2) tells.
type StatFS struct {
	Type, BlockSize                           uint32
	Blocks, Free, Available, Files, FilesFree uint64
	FSID                                      uint64
	NameLen                                   uint32
}

// StatFS asks about the file system f is on.
func (c *Client) StatFS(f FID) (st StatFS, err error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	if err := c.do(k, wire.TStatfs); err != nil {
		return st, err
	}
	d := wire.NewDecoder(k.reply)
	st = StatFS{
		Type: d.U32(), BlockSize: d.U32(), Blocks: d.U64(), Free: d.U64(), Available: d.U64(), Files: d.U64(),
		FilesFree: d.U64(), FSID: d.U64(), NameLen: d.U32(),
	}
	if d.Err() != nil {
		return st, unix.EIO
	}
	return st, nil
}

// Link makes a hard link to f in dir.
func (c *Client) Link(f, dir FID, name string) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(dir))
	k.req.U32(uint32(f))
	k.req.Str(name)
	return c.do(k, wire.TLink)
}

// Rename moves an entry; flags are those of renameat2(2) but RENAME_WHITEOUT. after, unless nil, is set to the attributes
// of newDir afterwards, or to none.
func (c *Client) Rename(oldDir FID, oldName string, newDir FID, newName string, flags uint32, after *wire.Attr) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(oldDir))
	k.req.Str(oldName)
	k.req.U32(uint32(newDir))
	k.req.Str(newName)
	k.req.U32(flags)
	k.req.Bool(after != nil)
	if err := c.do(k, wire.TRename); err != nil || after == nil {
		return err
	}
	d := wire.NewDecoder(k.reply)
	d.Attr(after)
	if d.Err() != nil {
		*after = wire.Attr{} // the entry has been moved nevertheless
	}
	return nil
}

// Unlink removes an entry, a directory's if flags is AT_REMOVEDIR.
func (c *Client) Unlink(dir FID, name string, flags uint32) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(dir))
	k.req.Str(name)
	k.req.U32(flags)
	return c.do(k, wire.TUnlinkat)
}

// Sync writes f to the disk.
func (c *Client) Sync(f FID) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	return c.do(k, wire.TFsync)
}

// Allocate is fallocate(2) on a regular file.
func (c *Client) Allocate(f FID, mode uint32, off, length uint64) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U32(mode)
	k.req.U64(off)
	k.req.U64(length)
	return c.do(k, wire.TAllocate)
}

// GetXattr returns the value of an extended attribute.
func (c *Client) GetXattr(f FID, name string) ([]byte, error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.Str(name)
	if err := c.do(k, wire.TGetXattr); err != nil {
		return nil, err
	}
	return takeBytes(k)
}

func takeBytes(k *call) ([]byte, error) {
	d := wire.NewDecoder(k.reply)
	b := append([]byte(nil), d.Bytes()...)
	if d.Err() != nil {
		return nil, unix.EIO
	}
	return b, nil
}

// SetXattr sets an extended attribute; flags as for setxattr(2).
func (c *Client) SetXattr(f FID, name string, value []byte, flags uint32) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.Str(name)
	k.req.U32(flags)
	k.req.Bytes(value)
	return c.do(k, wire.TSetXattr)
}

// ListXattr returns the names of all extended attributes, each ended by a NUL.
func (c *Client) ListXattr(f FID) ([]byte, error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	if err := c.do(k, wire.TListXattr); err != nil {
		return nil, err
	}
	return takeBytes(k)
}

// RemoveXattr removes an extended attribute.
func (c *Client) RemoveXattr(f FID, name string) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.Str(name)
	return c.do(k, wire.TRemoveXattr)
}
