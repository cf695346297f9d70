package goferfs

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/sentry/vfs"
)

// A program that goes through directories opens one file after the other, in the order of the listings, of the names
// or of the inode numbers, and those of a directory when it comes by. Who opens a file it was expected to open next gets
// twice as many of the following at once as before; and as soon as it takes the first of those, the gofer goes on with as
// many that follow them, while the program is busy with what it has.

const (
	maxStreams = 4 // programs doing so at a time
	// nearBy is how many of the files that follow a program may leave out.
	nearBy    = 16
	maxRun    = 6       // 1<<maxRun is wire.MaxOpenMany
	maxSorted = 4096    // entries of a directory that is sorted
	maxLooked = 1 << 12 // entries looked at for one batch
	maxDown   = 16      // directories, one below the other, that are gone through
)

// order is one in which a program may go through a directory.
type order int

const (
	byListing order = iota
	byName
	byInode
	orders
)

// stream is a program opening files.
type stream struct {
	// expect is what it may open next: of a new stream in each order, nearBy places for each.
	expect []inoKey
	run    int // 1<<run files are opened at once
	order  order
	used   bool // of a batch: a file of it was taken; guarded by aheadFDs.mu
}

// streams finds the stream a file belongs to. Only aheadFDs.mu comes after mu.
type streams struct {
	mu   sync.Mutex
	all  [maxStreams]stream
	next int // the one that gives way
	last stream
	// along is that of files opened along with the last listing, nil if none were.
	along *stream
}

// find returns the stream of a file that is being opened, a new one if it is of none. first: no file of its directory
// worth opening is listed before.
func (s *streams) find(key inoKey, first bool) stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		st := &s.all[i]
		if at := slices.Index(st.expect, key); at >= 0 {
			found := stream{run: min(st.run+1, maxRun), order: st.order}
			if st.run == 0 {
				found.order = order(at / nearBy)
			}
			*st = stream{}
			s.next = i
			return found
		}
	}
	if first {
		return stream{run: s.last.run, order: s.last.order}
	}
	return stream{}
}

// put notes what is expected of a stream, instead of a file that was expected of it before.
func (s *streams) put(st stream, before inoKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if slices.Contains(s.all[i].expect, before) {
			s.next = i
			break
		}
	}
	s.all[s.next] = st
	s.next = (s.next + 1) % maxStreams
	s.last = stream{run: st.run, order: st.order}
}

// opensAll reports whether a program opens all files that it comes by. The files of the last listing were not opened for
// nothing, if any were. ahead.mu comes after mu.
func (s *streams) opensAll(ahead *aheadFDs) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.along != nil && ahead.wasted(s.along) {
		s.last = stream{}
	}
	s.along = nil
	return s.last.run == maxRun
}

// listed returns the stream of files that were opened along with a listing.
func (s *streams) listed() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.along = &stream{run: maxRun, order: s.last.order}
	return s.along
}

// openFirst gets a descriptor for reading of a file known from its directory's listing only, in one round trip and
// without a fid. A program that goes through directories gets those that follow with it. in.mu is held.
func (in *inode) openFirst() (int, error) {
	fs := in.fs
	up, err := in.lockUp()
	if err != nil {
		return -1, err
	}
	b := batch{fs: fs, paths: []string{up.prefix + in.name}, keys: []inoKey{in.key}}
	st := b.gather(in, &up)
	up.unlock()
	b.release()
	opened, err := fs.openMany(up.fid, b.paths)
	up.release()
	if err != nil {
		return -1, err
	}
	for _, o := range opened[1:] {
		if o.fd >= 0 {
			fs.ahead.put(o.key, aheadFD{o.fd, st})
		}
	}
	o := opened[0]
	if o.errno != 0 {
		return -1, o.errno
	}
	if o.key != in.key {
		unix.Close(o.fd)
		return -1, unix.ESTALE
	}
	return o.fd, nil
}

// openNext has the gofer open what follows the batch that in came with, and does not wait. in.mu is held.
func (in *inode) openNext(st *stream) {
	if in.fid != NoFID {
		return // the way up is not known
	}
	up, err := in.lockUp()
	if err != nil {
		return
	}
	b := batch{fs: in.fs}
	next := &stream{run: min(st.run+1, maxRun), order: st.order}
	b.follow(in, &up, next)
	up.unlock()
	b.release()
	if len(b.paths) > 0 {
		in.fs.ahead.begin(in.fs.client, up.fid, b.paths, b.keys, next)
	}
	up.release()
}

// openMany is Client.OpenMany. If either side is out of descriptors it drops cached files and tries once more, for the
// first alone.
func (fs *fileSystem) openMany(dir FID, paths []string) ([]Opened, error) {
	opened, err := fs.client.OpenMany(dir, paths)
	first := err
	if err == nil && opened[0].errno != 0 {
		first = opened[0].errno
	}
	if first != unix.EMFILE && first != unix.ENFILE {
		return opened, err
	}
	for _, o := range opened {
		if o.fd >= 0 {
			unix.Close(o.fd)
		}
	}
	fs.ahead.clear()
	fs.sb.Shrink()
	return fs.client.OpenMany(dir, paths[:1])
}

// batch is files to be opened at once, and those expected after them.
type batch struct {
	fs     *fileSystem
	want   int // paths
	most   int // expected files
	order  order
	paths  []string
	keys   []inoKey // of paths
	expect []inoKey
	looked int
	used   []*inode // references to be dropped once no locks are held
}

// release drops the references b has. No locks are held but one of a file.
func (b *batch) release() {
	for _, in := range b.used {
		vfs.DecRefInode(in)
	}
}

// gather adds to b what the program opening in, whose place is known from the way up, will open next. It returns the
// stream, nil if there is none.
func (b *batch) gather(in *inode, up *upward) *stream {
	p := up.dirs[0]
	at := p.listedAt(in)
	if at < 0 {
		return nil
	}
	st := b.fs.streams.find(in.key, firstFile(p.listing, at))
	if st.run > 0 {
		b.follow(in, up, &st)
		return &st
	}
	for b.order = range orders {
		b.most = (int(b.order) + 1) * nearBy
		b.upward(in, up)
		for len(b.expect) < b.most {
			b.expect = append(b.expect, inoKey{})
		}
	}
	st.expect = b.expect
	b.fs.streams.put(st, in.key)
	return nil
}

// follow adds to b what a program of a known stream will open after in.
func (b *batch) follow(in *inode, up *upward, st *stream) {
	b.want, b.most, b.order = 1<<st.run, nearBy, st.order
	b.upward(in, up)
	was := in.key
	if len(b.keys) > 0 {
		was = b.keys[0]
	}
	b.fs.streams.put(stream{expect: b.expect, run: st.run, order: st.order}, was)
}

// firstFile reports whether no file worth opening is listed before index at, which is not far from the start.
func firstFile(list []Entry, at int) bool {
	for i := range at {
		if i > nearBy || list[i].worth() {
			return false
		}
	}
	return true
}

// worth reports whether the entry is a file worth being opened before anybody asks.
func (e *Entry) worth() bool {
	return e.Attr.Mode&unix.S_IFMT == unix.S_IFREG && e.Attr.Size > 0 && !e.Bare
}

// upward goes on behind in, in its directory and in those above.
func (b *batch) upward(in *inode, up *upward) {
	prefix, ch := up.prefix, in
	for i, p := range up.dirs {
		if at := p.listedAt(ch); at < 0 || !b.through(p.listing, at, prefix, maxDown) {
			return
		}
		if i+1 < len(up.dirs) {
			prefix = prefix[:len(prefix)-len(p.name)-1]
		}
		ch = p
	}
}

// through goes through a listing, behind an index unless that is -1. It returns false when b is full. The lock of the
// directory, or of one above with which it came along, is held.
func (b *batch) through(list []Entry, at int, prefix string, levels int) bool {
	if b.order == byListing {
		for i := at + 1; i < len(list); i++ {
			if !b.entry(&list[i], prefix, levels) {
				return false
			}
		}
		return true
	}
	if len(list) > maxSorted {
		return false
	}
	less := func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) }
	if b.order == byInode {
		less = func(a, b *Entry) int { return cmp.Compare(a.Attr.Ino, b.Attr.Ino) }
	}
	var rest []*Entry
	for i := range list {
		if e := &list[i]; (e.isDir() || e.worth()) && (at < 0 || less(e, &list[at]) > 0) {
			rest = append(rest, e)
		}
	}
	slices.SortFunc(rest, less)
	for _, e := range rest {
		if !b.entry(e, prefix, levels) {
			return false
		}
	}
	return true
}

// entry adds a file, or those of a directory. It returns false when b is full.
func (b *batch) entry(e *Entry, prefix string, levels int) bool {
	if b.looked++; b.looked > maxLooked {
		return false
	}
	switch {
	case e.isDir():
		return levels == 0 || b.directory(e, prefix+e.Name+"/", levels-1)
	case !e.worth() || b.fs.isOpen(e.key()):
	case len(b.paths) < b.want:
		b.paths, b.keys = append(b.paths, prefix+e.Name), append(b.keys, e.key())
	default:
		b.expect = append(b.expect, e.key())
	}
	return len(b.expect) < b.most
}

// directory goes through a directory, if its contents are known.
func (b *batch) directory(e *Entry, prefix string, levels int) bool {
	if e.Sub != nil {
		return b.through(e.Sub, -1, prefix, levels)
	}
	in := b.fs.get(e.key())
	if in == nil {
		return true
	}
	b.used = append(b.used, in)
	if !in.mu.TryLock() { // the order is the other way round
		return true
	}
	defer in.mu.Unlock()
	in.dropDoubtful()
	return b.through(in.listing, -1, prefix, levels)
}

// isOpen reports whether there is a descriptor of a file, if that can be told now.
func (fs *fileSystem) isOpen(key inoKey) bool {
	if fs.ahead.has(key) {
		return true
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	in := fs.inodes[key]
	return in != nil && in.hasData.Load()
}
