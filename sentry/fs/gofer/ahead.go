package goferfs

import (
	"sync"

	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

const (
	maxAhead = 256 // descriptors of files opened before anybody asked
	// nearBy is how far apart two files opened one after the other may lie in a listing to be taken for a walk
	// through it: entries in between may be of no interest to the program.
	nearBy = 16
	maxRun = 5 // 1<<maxRun is wire.MaxOpenMany
)

// aheadFDs keeps descriptors of files that are likely to be opened next. The oldest gives way. mu is a leaf.
type aheadFDs struct {
	mu   sync.Mutex
	fds  map[inoKey]int
	ring [maxAhead]inoKey // in the order of put
	next int
}

// put takes over fd.
func (a *aheadFDs) put(key inoKey, fd int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.fds[key]; ok {
		unix.Close(fd)
		return
	}
	if a.fds == nil {
		a.fds = map[inoKey]int{}
	}
	old := &a.ring[a.next]
	a.next = (a.next + 1) % maxAhead
	if fd, ok := a.fds[*old]; ok {
		delete(a.fds, *old)
		unix.Close(fd)
	}
	*old = key
	a.fds[key] = fd
}

// take hands over the descriptor of a file, -1 if there is none.
func (a *aheadFDs) take(key inoKey) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	fd, ok := a.fds[key]
	if !ok {
		return -1
	}
	delete(a.fds, key)
	return fd
}

// drop closes the descriptor of a file that is no more.
func (a *aheadFDs) drop(key inoKey) {
	if fd := a.take(key); fd >= 0 {
		unix.Close(fd)
	}
}

// clear closes all.
func (a *aheadFDs) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, fd := range a.fds {
		delete(a.fds, key)
		unix.Close(fd)
	}
}

// openFirst gets a descriptor for reading of a file known from its directory's listing only, in one round trip and
// without a fid. A program that goes through the directory gets those that follow with it. in.mu is held.
func (in *inode) openFirst() (int, error) {
	p := in.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.namesFrom(in)
	opened, err := in.fs.openMany(p, names)
	if err != nil {
		return -1, err
	}
	for _, o := range opened[1:] {
		if o.fd >= 0 {
			in.fs.ahead.put(o.key, o.fd)
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

// namesFrom returns the name of in and those of the files to be opened with it. p.mu is held.
func (p *inode) namesFrom(in *inode) []string {
	names := append(make([]string, 0, 8), in.name)
	at := in.listed - 1
	if at < 0 || at >= len(p.listing) || p.listing[at].Name != in.name {
		p.fs.openRun.Store(0)
		return names
	}
	run := p.fs.openRun.Load()
	switch {
	case p.cursor == 0 && p.firstFile(at): // whatever was true of the directory before
	case at >= p.cursor && at-p.cursor <= nearBy && p.cursor > 0:
		run = min(run+1, maxRun)
	default:
		run = 0
	}
	p.fs.openRun.Store(run)
	p.cursor = at + 1
	for i := at + 1; i < len(p.listing) && len(names) < 1<<run; i++ {
		e := &p.listing[i]
		if e.Attr.Mode&unix.S_IFMT == unix.S_IFREG && e.Attr.Size > 0 {
			names = append(names, e.Name)
			p.cursor = i + 1
		}
	}
	return names
}

// firstFile reports whether no file worth opening is listed before index at, which is not far from the start.
func (p *inode) firstFile(at int) bool {
	for i := range at {
		if i > nearBy || p.listing[i].Attr.Mode&unix.S_IFMT == unix.S_IFREG && p.listing[i].Attr.Size > 0 {
			return false
		}
	}
	return true
}

// openMany is Client.OpenMany in directory p, which gets its fid by that if it has none. p.mu is held.
func (fs *fileSystem) openMany(p *inode, names []string) ([]Opened, error) {
	for try := 0; ; try++ {
		at, err := p.place()
		if err != nil {
			return nil, err
		}
		opened, err := fs.client.OpenMany(at, names, make([]Opened, 0, len(names)))
		if err == nil {
			p.adoptFID(at.New)
		}
		first := err
		if err == nil {
			first = opened[0].errno
		}
		if try == 0 && (first == unix.EMFILE || first == unix.ENFILE) {
			for _, o := range opened {
				if o.fd >= 0 {
					unix.Close(o.fd)
				}
			}
			names = names[:1]
			fs.ahead.clear()
			fs.sb.Shrink()
			continue
		}
		return opened, err
	}
}

// place says how the gofer finds the directory in: by its fid, or by its name, getting one. in.mu is held.
func (in *inode) place() (Place, error) {
	if in.fid != NoFID {
		return Place{Dir: in.fid, New: NoFID}, nil
	}
	dir, err := in.parent.getFID()
	if err != nil {
		return Place{}, err
	}
	return Place{Dir: dir, Name: in.name, New: in.fs.client.newFID()}, nil
}

// Listing a directory that is known from a listing itself is a walk through a tree. From the second such on the gofer
// is asked for the directories below as well, for more of them each time.
const (
	firstRoom = 16 << 10
	deepFrom  = 2
)

// listRoom says how much of a reply a listing of in may take and whether it shall go deep. in.mu is held.
func (in *inode) listRoom() (room uint32, deep bool) {
	if in.fs.shared || in.fid != NoFID {
		return wire.MessageSize, false
	}
	run := in.fs.treeRun.Add(1)
	if run < deepFrom {
		return wire.MessageSize, false
	}
	return uint32(min(wire.MessageSize, firstRoom<<min(run, 8))), true
}
