package goferfs

import (
	"bytes"
	"slices"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// Entry is a directory entry with its file's attributes.
type Entry struct {
	Name string
	Next uint64 // the offset from which the following entry is read
	// Attr of one listed bare has but Dev, Ino and the type of Mode.
	Attr wire.Attr
	Bare bool
	// Target is where a symbolic link leads, if that was told.
	Target string
	// Sub is the contents of a directory, if they came along; not nil then.
	Sub []Entry
}

func (e *Entry) isDir() bool { return e.Attr.Mode&unix.S_IFMT == unix.S_IFDIR }

func (e *Entry) key() inoKey { return inoKey{e.Attr.Dev, e.Attr.Ino} }

// Readdir reads entries (without "." and "..") from off, 0 being the start, and tells the state (wire.ListEnd).
func (c *Client) Readdir(f FID, off uint64) (entries []Entry, state uint8, err error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(f))
	k.req.U64(off)
	k.req.U32(wire.MessageSize)
	if err := c.do(k, wire.TReaddirAttr); err != nil {
		return nil, 0, err
	}
	d := wire.NewDecoder(k.reply)
	state = d.U8()
	n := d.U32()
	if entries, err = takeEntries(&d, n, 0, nil); err != nil || n == 0 && state&wire.ListEnd == 0 {
		return nil, 0, unix.EIO
	}
	return entries, state, nil
}

// leastEntry is the size of an entry with a name of one byte and no attributes.
const leastEntry = 8 + 3 + 1 + 8

// donations are descriptors that come with entries, in their order.
type donations struct {
	fds  []int
	keys []inoKey // of those that were taken
}

// takeEntries takes n entries of a directory on device dev. Their names share memory. With, unless nil, are the
// descriptors that may come with them.
func takeEntries(d *wire.Decoder, n uint32, dev uint64, with *donations) ([]Entry, error) {
	if int64(n)*leastEntry > int64(d.Len()) {
		return nil, unix.EIO
	}
	entries := make([]Entry, n)
	names := make([]byte, 0, 16*n)
	ends := make([]int, n)
	for i := range entries {
		e := &entries[i]
		e.Next = d.U64()
		name := d.Name()
		if len(name) == 0 || name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.') || bytes.IndexByte(name, '/') >= 0 {
			return nil, unix.EIO
		}
		names = append(names, name...)
		ends[i] = len(names)
		typ := d.U8()
		if typ != 0 && typ != wire.EntryOpen {
			e.Bare = true
			e.Attr.Mode, e.Attr.Dev, e.Attr.Ino = uint32(typ)<<12&unix.S_IFMT, dev, d.U64()
			if e.isDir() {
				return nil, unix.EIO
			}
			continue
		}
		d.Attr(&e.Attr)
		if e.Attr.Mode&unix.S_IFMT == unix.S_IFLNK {
			e.Target = d.Str()
		}
		if typ == wire.EntryOpen && !with.take(e) {
			return nil, unix.EIO
		}
	}
	if d.Err() != nil {
		return nil, unix.EIO
	}
	all, at := string(names), 0
	for i, end := range ends {
		entries[i].Name, at = all[at:end], end
	}
	return entries, nil
}

// take gives the next descriptor to a file; false if there is none, or it is no regular file.
func (w *donations) take(e *Entry) bool {
	if w == nil || len(w.keys) == len(w.fds) || e.Attr.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	w.keys = append(w.keys, e.key())
	return true
}

// Listing is a directory's entries.
type Listing struct {
	Entries []Entry
	State   uint8 // wire.ListEnd, wire.ListPartial
	key     inoKey
	// More are the contents of the further directories asked for, nil of those that did not come.
	More [][]Entry
	// opened are descriptors that came along. Whoever has the listing takes them or closes them.
	opened donations
}

// ListRequest says what List shall bring.
type ListRequest struct {
	Dir  FID
	Path string // from Dir to the directory, "" if it is that itself
	New  FID    // is the directory's from then on, if Path is not empty; NoFID: none
	Room uint32 // bytes of the reply, at most
	// Flags are wire.ListDeep, with which directories below come along, and those at More, of devices Devs, as far
	// as there is room, wire.ListOpen, with which files are opened, and wire.ListBare.
	Flags uint8
	More  []string
	Devs  []uint64
}

// List reads a directory from the start. If it fails New is not in use.
func (c *Client) List(r *ListRequest) (l Listing, err error) {
	k := c.newCall()
	defer c.release(k)
	k.req.U32(uint32(r.Dir))
	k.req.U32(uint32(r.New))
	k.req.Str(r.Path)
	k.req.U32(r.Room)
	k.req.U8(r.Flags)
	k.req.U16(uint16(len(r.More)))
	for _, path := range r.More {
		k.req.Str(path)
	}
	if err := c.do(k, wire.TList); err != nil {
		c.unusedFID(r.New)
		return l, err
	}
	d := wire.NewDecoder(k.reply)
	l.key = inoKey{d.U64(), d.U64()}
	l.State = d.U8()
	n := d.U32()
	l.opened.fds = slices.Clone(k.fds)
	l.Entries, err = takeEntries(&d, n, l.key.dev, &l.opened)
	if err == nil && n == 0 && l.State&wire.ListEnd == 0 {
		err = unix.EIO
	}
	if err == nil {
		err = l.takeBelow(&d, r.Devs)
	}
	if err == nil && len(l.opened.keys) < len(l.opened.fds) {
		err = unix.EIO
	}
	if err != nil {
		closeAll(k.fds)
		l.opened = donations{}
		c.Forget(r.New)
	}
	return l, err
}

// takeBelow takes what follows the entries of the directory asked for: those of others, further ones, which are on
// devices devs, and of directories among the entries.
func (l *Listing) takeBelow(d *wire.Decoder, devs []uint64) error {
	if d.Len() == 0 {
		return nil
	}
	l.More = make([][]Entry, len(devs))
	var dirs []*Entry
	note := func(entries []Entry) {
		for i := range entries {
			if e := &entries[i]; e.isDir() {
				dirs = append(dirs, e)
			}
		}
	}
	note(l.Entries)
	for d.Len() > 0 {
		no, n := int64(d.U32())-1, d.U32()
		var dev uint64
		var to *[]Entry
		switch below := no - int64(len(devs)); {
		case no < 0 || below >= int64(len(dirs)):
			return unix.EIO
		case below >= 0:
			dev, to = dirs[below].Attr.Dev, &dirs[below].Sub
		default:
			dev, to = devs[no], &l.More[no]
		}
		if *to != nil {
			return unix.EIO
		}
		sub, err := takeEntries(d, n, dev, &l.opened)
		if err != nil {
			return err
		}
		*to = sub
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

// OpenMany opens regular files below a directory for reading, wire.MaxOpenMany at most, and returns what became of
// each.
func (c *Client) OpenMany(dir FID, paths []string) ([]Opened, error) {
	o := c.newOpening(dir, paths)
	c.begin(o.k, wire.TOpenMany)
	c.rouse()
	return o.End()
}

// Opening is an OpenMany under way.
type Opening struct {
	c     *Client
	k     *call
	paths int
}

// BeginOpenMany has the gofer begin with an OpenMany, and does not wait for it. End has to be called, or the
// descriptors of the reply stay where nobody finds them.
func (c *Client) BeginOpenMany(dir FID, paths []string) *Opening {
	o := c.newOpening(dir, paths)
	c.begin(o.k, wire.TOpenMany)
	if !c.rouse() {
		c.prod()
	}
	return o
}

func (c *Client) newOpening(dir FID, paths []string) *Opening {
	k := c.newCall()
	k.req.U32(uint32(dir))
	k.req.U16(uint16(len(paths)))
	for _, path := range paths {
		k.req.Str(path)
	}
	return &Opening{c, k, len(paths)}
}

// End waits for the reply, and returns what became of each file. It is called once.
func (o *Opening) End() ([]Opened, error) {
	c, k := o.c, o.k
	defer c.release(k)
	if err := c.end(k, wire.TOpenMany); err != nil {
		return nil, err
	}
	out := make([]Opened, 0, o.paths)
	d := wire.NewDecoder(k.reply)
	n, used := int(d.U16()), 0
	for range min(n, o.paths) {
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
	if d.Err() != nil || n != o.paths || used != len(k.fds) {
		closeAll(k.fds)
		return nil, unix.EIO
	}
	return out, nil
}
