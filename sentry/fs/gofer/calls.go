package goferfs

import (
	"strings"

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
// with it, else the descriptor is -1.
func (c *Client) Make(f FID, m *NewFile, wantFID bool, open uint32) (a wire.Attr, newF FID, fd int, err error) {
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
	if err := c.do(k, wire.TMake); err != nil {
		c.unusedFID(newF)
		return a, NoFID, -1, err
	}
	d := wire.NewDecoder(k.reply)
	d.Attr(&a)
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

// Entry is a directory entry with its file's attributes.
type Entry struct {
	Name string
	Next uint64 // the offset from which the following entry is read
	Attr wire.Attr
	// Sub is the contents of a directory, if they came along; not nil then.
	Sub []Entry
}

// Readdir reads entries (without "." and "..") from off, 0 being the start, and tells whether these were the last.
func (c *Client) Readdir(f FID, off uint64) (entries []Entry, eof bool, err error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U64(off)
	k.req.U32(wire.MessageSize)
	if err := c.do(k, wire.TReaddirAttr); err != nil {
		return nil, false, err
	}
	d := wire.NewDecoder(k.reply)
	eof = d.U8() != 0
	n := d.U32()
	if entries, err = takeEntries(&d, n); err != nil || n == 0 && !eof {
		return nil, false, unix.EIO
	}
	return entries, eof, nil
}

// takeEntries takes n entries of a directory, which d's owner bounded.
func takeEntries(d *wire.Decoder, n uint32) ([]Entry, error) {
	if int64(n)*wire.AttrSize > int64(d.Len()) {
		return nil, unix.EIO
	}
	entries := make([]Entry, n)
	for i := range entries {
		e := &entries[i]
		e.Next, e.Name = d.U64(), d.Str()
		d.Attr(&e.Attr)
		if d.Err() != nil || e.Name == "" || e.Name == "." || e.Name == ".." || strings.IndexByte(e.Name, '/') >= 0 {
			return nil, unix.EIO
		}
	}
	return entries, nil
}

// Place names a directory for List and OpenMany: Dir itself, or the entry Name of it, which gets New as its fid.
type Place struct {
	Dir  FID
	Name string
	New  FID
}

func (p *Place) put(k *call) {
	k.req.U32(uint32(p.Dir))
	k.req.U32(uint32(p.New))
	k.req.Str(p.Name)
}

// List reads a directory from the start, with room bytes at most, and tells whether that was all, and which file it
// is. With deep it brings directories below, too, as far as there is room. If it fails p.New is not in use.
func (c *Client) List(p Place, room uint32, deep bool) (entries []Entry, eof bool, key inoKey, err error) {
	k := c.newCall()
	defer c.release(k)
	p.put(k)
	k.req.U32(room)
	if deep {
		k.req.U8(1)
	} else {
		k.req.U8(0)
	}
	if err := c.do(k, wire.TList); err != nil {
		c.unusedFID(p.New)
		return nil, false, key, err
	}
	d := wire.NewDecoder(k.reply)
	key = inoKey{d.U64(), d.U64()}
	eof = d.U8() != 0
	n := d.U32()
	if entries, err = takeEntries(&d, n); err == nil && d.Err() == nil && (eof || n > 0) {
		err = takeBelow(&d, entries)
	} else {
		err = unix.EIO
	}
	if err != nil {
		c.Forget(p.New)
	}
	return entries, eof, key, err
}

// takeBelow takes what follows the entries of the directory asked for: those of directories among them.
func takeBelow(d *wire.Decoder, entries []Entry) error {
	var dirs []*Entry
	note := func(entries []Entry) {
		for i := range entries {
			if e := &entries[i]; e.Attr.Mode&unix.S_IFMT == unix.S_IFDIR {
				dirs = append(dirs, e)
			}
		}
	}
	if d.Len() > 0 {
		note(entries)
	}
	for d.Len() > 0 {
		no, n := d.U32(), d.U32()
		if d.Err() != nil || no == 0 || int64(no) > int64(len(dirs)) || dirs[no-1].Sub != nil {
			return unix.EIO
		}
		sub, err := takeEntries(d, n)
		if err != nil {
			return err
		}
		dirs[no-1].Sub = sub
		note(sub)
	}
	return nil
}

// Opened is a file that OpenMany opened.
type Opened struct {
	key   inoKey
	errno unix.Errno
	fd    int // -1: it could not be opened
}

// OpenMany opens regular files of a directory for reading, wire.MaxOpenMany at most, and adds what became of each to
// out. If it fails p.New is not in use.
func (c *Client) OpenMany(p Place, names []string, out []Opened) ([]Opened, error) {
	k := c.newCall()
	defer c.release(k)
	p.put(k)
	k.req.U16(uint16(len(names)))
	for _, name := range names {
		k.req.Str(name)
	}
	if err := c.do(k, wire.TOpenMany); err != nil {
		c.unusedFID(p.New)
		return out, err
	}
	d := wire.NewDecoder(k.reply)
	n, used, old := int(d.U16()), 0, len(out)
	for range min(n, len(names)) {
		o := Opened{errno: unix.Errno(d.U32()), key: inoKey{d.U64(), d.U64()}, fd: -1}
		switch {
		case o.errno == 0 && used < len(k.fds):
			o.fd = k.fds[used]
			used++
		case o.errno == 0 || o.errno >= 4096:
			o.errno = unix.EIO
		}
		out = append(out, o)
	}
	if d.Err() != nil || n != len(names) || used != len(k.fds) {
		closeAll(k.fds)
		c.Forget(p.New)
		return out[:old], unix.EIO
	}
	return out, nil
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

// Rename moves an entry; flags are those of renameat2(2) but RENAME_WHITEOUT.
func (c *Client) Rename(oldDir FID, oldName string, newDir FID, newName string, flags uint32) error {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(oldDir))
	k.req.Str(oldName)
	k.req.U32(uint32(newDir))
	k.req.Str(newName)
	k.req.U32(flags)
	return c.do(k, wire.TRename)
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
