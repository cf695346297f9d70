package goferfs

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
	"ringfort/sentry/vfs"
)

const (
	// maxSeen is how many entries' attributes are kept from a listing.
	maxSeen = 1 << 16
	// bareMisses is how many files of a directory listed bare are asked for before it is listed again, if it has more
	// than bareLarge.
	bareMisses = 2
	bareLarge  = 512
	// peekAfter is how many names that are not in a directory are asked for one by one before its names are listed, if
	// peekRoom bytes of reply (about four hundred) hold them.
	peekAfter = 3
	peekRoom  = 16 << 10
)

// Listing a directory that is known from a listing itself is a walk through a tree. From the second such on the gofer
// is asked for the directories below and beside as well, for more of them each time; and if the program has not looked
// at a single file so far, from the third on for no attributes of files.
const (
	firstRoom = 16 << 10
	deepFrom  = 2
	bareFrom  = 3
)

// listHow says how much of a reply a listing of in may take, and what shall come. in.mu is held.
//
// Where a program opens all files that it comes by they are opened along with the listing (wire.ListOpen), which takes less
// than to open them when their attributes are known.
func (in *inode) listHow(attrs bool) (room uint32, flags uint8) {
	fs := in.fs
	if fs.shared || in.fid != NoFID && !attrs {
		return wire.MessageSize, 0
	}
	run := fs.treeRun.Add(1)
	if run < deepFrom {
		fs.wanted.Store(attrs)
		return wire.MessageSize, 0
	}
	if flags = wire.ListDeep; run >= bareFrom && !fs.wanted.Load() {
		flags |= wire.ListBare
	} else if fs.streams.opensAll(&fs.ahead) {
		flags |= wire.ListOpen
	}
	return uint32(min(wire.MessageSize, firstRoom<<min(run, 8))), flags
}

// list returns the directory's whole contents, with all attributes if attrs is set.
func (in *inode) list(attrs bool) ([]Entry, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dropDoubtful()
	return in.listLocked(attrs)
}

func (in *inode) listLocked(attrs bool) ([]Entry, error) {
	if in.listing != nil && !(attrs && in.bare) {
		return in.listing, nil
	}
	gen := in.fs.gen.Load()
	room, flags := in.listHow(attrs)
	l, beside, err := in.ask(room, flags)
	if err == unix.EMFILE || err == unix.ENFILE {
		in.fs.ahead.clear()
		in.fs.sb.Shrink()
		l, beside, err = in.ask(room, 0)
	}
	if err != nil {
		return nil, err
	}
	if len(l.opened.fds) > 0 {
		in.fs.ahead.putListed(&l.opened, in.fs.streams.listed(), &in.fs.gen, gen)
	}
	for l.State&wire.ListEnd == 0 {
		fid, err := in.getFIDLocked()
		if err != nil {
			return nil, err
		}
		part, state, err := in.fs.client.Readdir(fid, l.Entries[len(l.Entries)-1].Next)
		if err != nil {
			return nil, err
		}
		l.Entries = append(l.Entries, part...)
		l.State = l.State&wire.ListPartial | state
	}
	if !in.fs.shared {
		in.remember(&l, gen)
		in.fs.rememberBeside(in.parent, beside, l.More, gen)
	}
	return l.Entries, nil
}

// ask has the gofer list in, and tells which directories beside it may have come along. in.mu is held.
func (in *inode) ask(room uint32, flags uint8) (l Listing, more beside, err error) {
	if in.fid == NoFID {
		r := ListRequest{New: NoFID, Room: room, Flags: flags}
		up, err := in.lockUp()
		if err != nil {
			return l, more, err
		}
		r.Dir, r.Path = up.fid, up.prefix+in.name
		if flags&wire.ListDeep != 0 {
			more = up.dirs[0].beside(in, flags)
			for _, i := range more.at {
				e := &more.list[i]
				r.More, r.Devs = append(r.More, up.prefix+e.Name), append(r.Devs, e.Attr.Dev)
			}
		}
		up.unlock()
		l, err = in.fs.client.List(&r)
		up.release()
		if err == nil && l.key == in.key {
			return l, more, nil
		}
		if err == unix.EMFILE || err == unix.ENFILE {
			return l, more, err
		}
		closeAll(l.opened.fds)
		// Something on the way was moved, perhaps: go by the fid.
	}
	fid, err := in.getFIDLocked()
	if err != nil {
		return l, more, err
	}
	l, err = in.fs.client.List(&ListRequest{Dir: fid, New: NoFID, Room: room, Flags: flags})
	if err == nil && l.key != in.key {
		closeAll(l.opened.fds)
		err = unix.ESTALE
	}
	return l, beside{}, err
}

// upward is the way from a file that has no fid to the first directory above that has: dirs from the file's own to
// that one, locked; prefix is the path from that one to the file's own, with a slash at the end unless it is empty.
type upward struct {
	dirs   []*inode
	fid    FID
	prefix string
}

// maxUp is how many directories an upward has; the last of so many is given a fid.
const maxUp = 16

// lockUp finds the way up from in, which has no fid. in.mu is held.
func (in *inode) lockUp() (upward, error) {
	var up upward
	for p := in.parent; ; p = p.parent {
		p.mu.Lock()
		up.dirs = append(up.dirs, p)
		if p.fid == NoFID && len(up.dirs) < maxUp {
			up.prefix = p.name + "/" + up.prefix
			continue
		}
		fid, err := p.getFIDLocked()
		if up.fid = fid; err != nil {
			up.unlock()
			return up, err
		}
		p.IncRef()
		return up, nil
	}
}

func (u *upward) unlock() {
	for _, p := range u.dirs {
		p.mu.Unlock()
	}
}

// release lets go of the directory that has the fid.
func (u *upward) release() { vfs.DecRefInode(u.dirs[len(u.dirs)-1]) }

// beside is directories of a listing, by their indices.
type beside struct {
	list []Entry
	at   []int
}

// beside returns the directories listed after ch whose contents are not known. p.mu and ch.mu are held.
func (p *inode) beside(ch *inode, flags uint8) (b beside) {
	at := p.listedAt(ch)
	if at < 0 {
		return b
	}
	b.list = p.listing
	for i := at + 1; i < len(b.list) && len(b.at) < wire.MaxMore; i++ {
		e := &b.list[i]
		if !e.isDir() || e.Sub != nil {
			continue
		}
		if _, unused := p.seen[e.Name]; unused || p.fs.wantsListing(e.key(), flags) {
			b.at = append(b.at, i)
		}
	}
	return b
}

// listedAt returns the place of ch in the listing of its directory p, -1 if there is none. The mu of both are held.
func (p *inode) listedAt(ch *inode) int {
	if at := ch.listed - 1; at >= 0 && at < len(p.listing) && p.listing[at].Name == ch.name {
		return at
	}
	return -1
}

// wantsListing reports whether a directory in use could use a listing.
func (fs *fileSystem) wantsListing(key inoKey, flags uint8) bool {
	in := fs.get(key)
	if in == nil {
		return false
	}
	defer vfs.DecRefInode(in)
	if !in.mu.TryLock() {
		return false
	}
	defer in.mu.Unlock()
	return in.listing == nil || in.bare && flags&wire.ListBare == 0
}

// get returns the inode of a file with a reference, nil if there is none.
func (fs *fileSystem) get(key inoKey) *inode {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if in := fs.inodes[key]; in != nil && in.TryIncRef() {
		return in
	}
	return nil
}

// contents are those of a directory in use.
type contents struct {
	in   *inode
	list []Entry
}

// remember keeps a listing and the attributes in it, unless the count of changes is not gen any more. in.mu is held.
func (in *inode) remember(l *Listing, gen uint64) {
	fs := in.fs
	if len(l.Entries) > maxSeen {
		return
	}
	fs.mu.Lock()
	if fs.gen.Load() != gen {
		fs.mu.Unlock()
		return
	}
	used := fs.prune(l.Entries, nil)
	in.setListing(l.Entries)
	in.partial = l.State&wire.ListPartial != 0
	in.forgetNames()
	fs.mu.Unlock()
	fs.handOver(used, gen)
}

// rememberBeside keeps what came along of the directories beside one of directory p, unless the count of changes is
// not gen any more. The lock of the one is held.
func (fs *fileSystem) rememberBeside(p *inode, b beside, lists [][]Entry, gen uint64) {
	if p == nil || len(lists) == 0 {
		return
	}
	var used []contents
	p.mu.Lock()
	fs.mu.Lock()
	if fs.gen.Load() == gen {
		same := len(p.listing) == len(b.list) && &p.listing[0] == &b.list[0]
		for i, list := range lists {
			if list == nil {
				continue
			}
			e := &b.list[b.at[i]]
			if in := fs.inodes[e.key()]; in != nil && in.TryIncRef() {
				used = append(used, contents{in, list})
			} else if _, unused := p.seen[e.Name]; unused && same {
				used = fs.prune(list, used)
				e.Sub = list
			}
		}
	}
	fs.mu.Unlock()
	p.mu.Unlock()
	fs.handOver(used, gen)
}

// setListing makes list what is known of the directory. Attributes are believed until they are looked up: but a file
// that is in use knows its own, and of one with several names a change through another would go unseen. in.mu, unless
// nobody knows in yet, and fs.mu are held.
func (in *inode) setListing(list []Entry) {
	in.listing, in.seenIn, in.bare, in.misses, in.partial = list, list, false, 0, false
	known := 0
	for i := range list {
		if !list[i].Bare {
			known++
		}
	}
	in.bare = known < len(list)
	in.seen = make(map[string]int32, known)
	for i := range list {
		e := &list[i]
		if e.Bare {
			continue
		}
		if (e.Attr.Nlink == 1 || e.isDir()) && in.fs.inodes[e.key()] == nil {
			in.seen[e.Name] = int32(i)
		}
	}
}

// prune takes out the contents that came along of directories in use, and adds them, with references, to used. fs.mu
// is held.
func (fs *fileSystem) prune(all []Entry, used []contents) []contents {
	for i := range all {
		e := &all[i]
		if e.Sub == nil {
			continue
		}
		if in := fs.inodes[e.key()]; in == nil {
			used = fs.prune(e.Sub, used)
			continue
		} else if in.TryIncRef() {
			used = append(used, contents{in, e.Sub})
		}
		e.Sub = nil
	}
	return used
}

// handOver gives directories in use what was listed of them, if they have nothing better and the count of changes is
// still gen: who changes one after that has it forget the listing. The locks of directories above may be held.
func (fs *fileSystem) handOver(used []contents, gen uint64) {
	for len(used) > 0 {
		c := used[len(used)-1]
		used = used[:len(used)-1]
		if in := c.in; in.mu.TryLock() {
			in.dropDoubtful()
			fs.mu.Lock()
			if fs.gen.Load() == gen && (in.listing == nil || in.bare) {
				used = fs.prune(c.list, used)
				in.setListing(c.list)
				in.forgetNames()
			}
			fs.mu.Unlock()
			in.mu.Unlock()
		}
		vfs.DecRefInode(c.in)
	}
}

// fromListing makes the inode of a single name from what a listing told, nil if that is not enough. ENOENT: the first
// of names is known not to be there.
func (in *inode) fromListing(names []string, intent uint32) (*inode, error) {
	if in.fs.shared {
		return nil, nil
	}
	in.mu.Lock()
	in.dropDoubtful()
	i, ok := in.lookSeen(names[0])
	if !ok {
		in.peek()
		absent := in.absent(names[0])
		in.mu.Unlock()
		if absent {
			return nil, unix.ENOENT
		}
		return nil, nil
	}
	delete(in.seen, names[0])
	e := &in.seenIn[i]
	sub := e.Sub
	e.Sub = nil
	in.mu.Unlock()
	if !e.isDir() && !in.fs.wanted.Load() {
		in.fs.wanted.Store(true)
	}
	// To go on, unless what is there is known, or to open for writing, takes a round trip anyway.
	if len(names) > 1 && sub == nil || len(names) == 1 && e.Attr.Mode&unix.S_IFMT == unix.S_IFREG && intent != vfs.NoIntent &&
		openIntent(intent) != unix.O_RDONLY {
		return nil, nil
	}
	return in.fs.inode(&Node{Attr: e.Attr, Target: e.Target, FID: NoFID, listed: int(i) + 1, sub: sub}, in, names[0]), nil
}

// lookSeen finds a name among those whose attributes are known. A directory of which only the names are is listed once
// more if files of it are wanted. in.mu is held.
func (in *inode) lookSeen(name string) (int32, bool) {
	i, ok := in.seen[name]
	if ok || !in.bare || in.absent(name) {
		return i, ok
	}
	in.fs.wanted.Store(true)
	if in.misses++; in.misses < bareMisses && len(in.listing) > bareLarge {
		return 0, false
	}
	if _, err := in.listLocked(true); err != nil {
		return 0, false // the lookup that follows tells why
	}
	i, ok = in.seen[name]
	return i, ok
}

// missed notes that a name was asked for that is not in the directory.
func (in *inode) missed() {
	in.mu.Lock()
	in.asked++
	in.mu.Unlock()
}

// peek learns the names of a directory of which nothing is known and one is missed after the other, if they are few:
// programs look for the same in each directory of a path. in.mu is held.
func (in *inode) peek() {
	if in.listing != nil || in.names != nil || in.asked < peekAfter || in.peeked || !in.exact() {
		return
	}
	in.peeked = true
	gen := in.fs.gen.Load()
	l, _, err := in.ask(peekRoom, wire.ListNames)
	if err != nil || l.State != wire.ListEnd || in.fs.gen.Load() != gen {
		return
	}
	in.listing = l.Entries // for a moment: there are no attributes in it
	in.knowNames()
	in.listing = nil
}

// dropDoubtful forgets what was listed before the last doubt. in.mu is held.
func (in *inode) dropDoubtful() {
	if e := in.fs.sb.Epoch(); in.listEpoch != e {
		in.listing, in.seen, in.seenIn, in.bare = nil, nil, nil, false
		in.asked, in.peeked = 0, false
		in.forgetNames()
		in.listEpoch = e
	}
}
