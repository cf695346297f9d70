package vfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// WalkFlags say how a path is walked.
type WalkFlags uint32

// Flags of Walk.
const (
	// FollowLast follows a symbolic link in the last component.
	FollowLast WalkFlags = 1 << iota
	// WantDir fails with ENOTDIR unless a directory is reached.
	WantDir
	// AllowEmpty lets an empty name mean the start itself (AT_EMPTY_PATH).
	AllowEmpty
	// The RESOLVE_* flags of openat2(2).
	NoXDev
	NoMagicLinks
	NoSymlinks
	Beneath
	InRoot
	OnlyCached
)

const (
	maxLinks    = 40  // symbolic links followed in one walk (path_resolution(7))
	maxRestarts = 100 // because of evictions
	nameMax     = 255
)

// errRestart: a dentry was evicted under the walk.
const errRestart = unix.Errno(4095)

// walker is a walk in progress. Its place holds no references: see doc.go.
type walker struct {
	c     Caller
	flags WalkFlags
	root  Path // not above here
	start Path // for Beneath
	at    Path
	// A magic link's target was reached with a reference, given up at the end.
	held  Path
	links int
	// intent is handed to PathLooker for the last component.
	intent uint32
	trail  *trail // nil if nobody wants to know
	// Of a walk to the parent: the last component, and whether slashes followed it.
	last     string
	trailing bool
	scratch  []string
}

// Walk resolves name from at (the working directory if zero) and returns the place with a reference for the caller.
func Walk(c Caller, at Path, name string, flags WalkFlags) (Path, error) {
	w := walker{c: c, flags: flags, intent: NoIntent}
	return w.toEnd(at, name)
}

func (w *walker) toEnd(at Path, name string) (p Path, err error) {
	for range maxRestarts {
		if err = w.begin(at, name); err == nil {
			err = w.walk(name, false)
		}
		if err == nil {
			if w.at.dentry.inode == nil {
				err = unix.ENOENT
			} else if w.flags&WantDir != 0 && !w.at.dentry.inode.Base().IsDir() {
				err = unix.ENOTDIR
			} else if w.at.tryIncRef() {
				p = w.at
			} else {
				err = errRestart
			}
		}
		w.end()
		if err != errRestart {
			return p, err
		}
	}
	return Path{}, unix.EAGAIN
}

// walkParent resolves all but the last component of name. It returns the directory with a reference, the component
// ("." and ".." among them, "" for the root directory itself), and whether slashes follow it.
func walkParent(c Caller, at Path, name string, flags WalkFlags) (dir Path, last string, trailing bool, err error) {
	w := walker{c: c, flags: flags, intent: NoIntent}
	for range maxRestarts {
		if err = w.begin(at, name); err == nil {
			err = w.walk(name, true)
		}
		if err == nil {
			if w.at.tryIncRef() {
				dir = w.at
			} else {
				err = errRestart
			}
		}
		w.end()
		if err != errRestart {
			return dir, w.last, w.trailing, err
		}
	}
	return Path{}, "", false, unix.EAGAIN
}

// begin places the walker at the start of name.
func (w *walker) begin(at Path, name string) error {
	w.links, w.last, w.trailing = 0, "", false
	fs := w.c.FS()
	place := fs.place.Load()
	w.root = place.root
	if at.IsZero() {
		at = place.cwd
	}
	w.start = at
	if w.flags&InRoot != 0 {
		w.root = at
	}
	if name == "" {
		if w.flags&AllowEmpty == 0 {
			return unix.ENOENT
		}
		w.at = at
		return nil
	}
	if name[0] == '/' {
		if w.flags&Beneath != 0 {
			return unix.EXDEV
		}
		at = w.root
	}
	w.at = at
	return nil
}

func (w *walker) end() {
	w.held.DecRef()
	w.held = Path{}
}

// walk goes through the components of name; with parent it stops before the last.
func (w *walker) walk(name string, parent bool) error {
	var stack []string // what is left to do after the links being followed
	rest := name
	for {
		rest = strings.TrimLeft(rest, "/")
		for rest == "" && len(stack) > 0 {
			rest = strings.TrimLeft(stack[len(stack)-1], "/")
			stack = stack[:len(stack)-1]
		}
		if rest == "" {
			return nil
		}
		comp, after := rest, ""
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			comp, after = rest[:i], rest[i:]
		}
		rest = strings.TrimLeft(after, "/")
		last := rest == ""
		for i := len(stack) - 1; last && i >= 0; i-- {
			last = strings.TrimLeft(stack[i], "/") == ""
		}
		trailing := last && (after != "" || trailingIn(stack))
		in := w.at.dentry.inode
		if in == nil {
			return unix.ENOENT
		}
		if !in.Base().IsDir() {
			return unix.ENOTDIR
		}
		if w.trail != nil {
			w.trail.search(w.at.dentry)
		}
		if err := CheckPerm(w.c, w.c.Creds(), in, MayExec); err != nil {
			return err
		}
		if last && parent {
			w.last, w.trailing = comp, trailing
			return nil
		}
		if len(comp) > nameMax {
			return unix.ENAMETOOLONG
		}
		if comp == "." {
			if trailing {
				w.flags |= WantDir
			}
			continue
		}
		if comp == ".." {
			if err := w.up(); err != nil {
				return err
			}
			continue
		}
		child, err := w.child(comp, rest)
		if err != nil {
			return err
		}
		if w.trail != nil {
			w.trail.last = comp
		}
		if child.inode != nil && child.inode.Base().Type() == unix.S_IFLNK && child.mounts.Load() == 0 &&
			(!last || trailing || w.flags&FollowLast != 0) {
			target, err := w.follow(child)
			if err != nil {
				return err
			}
			if after != "" {
				stack = append(stack, after)
			}
			rest = target
			if target == "" { // a magic link: we are there
				if last && trailing {
					w.flags |= WantDir
				}
			}
			continue
		}
		if err := w.enter(child); err != nil {
			return err
		}
		if trailing {
			if in := w.at.dentry.inode; in == nil {
				return unix.ENOENT
			} else if !in.Base().IsDir() {
				return unix.ENOTDIR
			}
		}
	}
}

// trailingIn reports whether slashes are all that is left on the stack.
func trailingIn(stack []string) bool {
	for _, s := range stack {
		if s != "" {
			return true
		}
	}
	return false
}

// enter goes to child of the present directory, and through what is mounted on it.
func (w *walker) enter(child *Dentry) error {
	m, d := topmost(w.at.mount, child)
	if m != w.at.mount && w.flags&NoXDev != 0 {
		return unix.EXDEV
	}
	w.at = Path{m, d}
	return nil
}

// up goes to the parent directory, not above the root.
func (w *walker) up() error {
	if w.flags&Beneath != 0 && w.at == w.start {
		return unix.EXDEV
	}
	if w.at == w.root {
		return nil
	}
	m, d := w.at.mount, w.at.dentry
	for d == m.root {
		at := m.at.Load()
		if at == nil {
			w.at = Path{m, d}
			return nil
		}
		if w.flags&NoXDev != 0 {
			return unix.EXDEV
		}
		m, d = at.parent, at.point
		if (Path{m, d}) == w.root {
			w.at = w.root
			return nil
		}
	}
	if p := d.Parent(); p != nil {
		d = p
	}
	m, d = topmost(m, d)
	w.at = Path{m, d}
	return nil
}

// child finds name in the present directory; the dentry may be negative.
func (w *walker) child(name, rest string) (*Dentry, error) {
	dir := w.at.dentry
	if ch := dir.cached(name); ch != nil {
		if !ch.used.Load() {
			ch.used.Store(true)
		}
		if w.valid(dir, ch, name) {
			return ch, nil
		}
	}
	if w.flags&OnlyCached != 0 {
		return nil, unix.EAGAIN
	}
	if !dir.TryIncRef() {
		return nil, errRestart
	}
	defer dir.DecRef()
	dir.dirMu.Lock()
	defer dir.dirMu.Unlock()
	return w.lookupLocked(dir, name, rest)
}

// lookupLocked asks the file system for name in dir, whose dirMu is held, unless the cache knows by now. rest is what
// the walk goes on with.
func (w *walker) lookupLocked(dir *Dentry, name, rest string) (*Dentry, error) {
	if ch := dir.cached(name); ch != nil {
		if w.valid(dir, ch, name) {
			return ch, nil
		}
		dir.remove(ch)
	}
	epoch := dir.sb.Epoch()
	if dir.Deleted() {
		return nil, unix.ENOENT
	}
	if pl, ok := dir.inode.(PathLooker); ok {
		return w.lookupMany(dir, pl, name, rest, epoch)
	}
	in, err := dir.inode.Lookup(w.c, name)
	if err == unix.ENOENT {
		if dir.sb.NoNegative {
			return &Dentry{sb: dir.sb}, nil
		}
		return dir.addNegative(name, epoch), nil
	}
	if err != nil {
		return nil, err
	}
	return dir.add(name, in), nil
}

// valid reports whether ch, found in the cache under name, is still what dir has there.
func (w *walker) valid(dir, ch *Dentry, name string) bool {
	if ch.inode == nil {
		return ch.epoch == dir.sb.Epoch()
	}
	r, ok := ch.inode.(Revalidator)
	return !ok || ch.mounts.Load() > 0 || r.Valid(w.c, dir.inode, name)
}

// lookupMany looks up name and as many of the names after it as are plain, in an epoch of the superblock.
func (w *walker) lookupMany(dir *Dentry, pl PathLooker, name, rest string, epoch uint32) (*Dentry, error) {
	names := append(w.scratch[:0], name)
	for rest != "" && len(names) < 32 {
		comp, after, _ := strings.Cut(rest, "/")
		if comp == "." || comp == ".." || len(comp) > nameMax {
			break
		}
		if comp != "" {
			names = append(names, comp)
		}
		rest = after
	}
	w.scratch = names
	intent := uint32(NoIntent)
	if rest == "" {
		intent = w.intent
	}
	ins, err := pl.LookupPath(w.c, names, intent)
	if err == unix.ENOENT || err == nil && len(ins) == 0 {
		if dir.sb.NoNegative {
			return &Dentry{sb: dir.sb}, nil
		}
		return dir.addNegative(name, epoch), nil
	}
	if err != nil {
		return nil, err
	}
	first := dir.add(name, ins[0])
	// The rest are below a dentry nobody else has seen for longer than this lock is held; if somebody was quicker,
	// what we know is not needed.
	for d, i := first, 1; i < len(ins); i++ {
		if !d.TryIncRef() {
			for _, in := range ins[i:] {
				DecRefInode(in)
			}
			break
		}
		d.dirMu.Lock()
		ch := d.cached(names[i])
		if ch == nil {
			ch = d.add(names[i], ins[i])
		} else {
			DecRefInode(ins[i])
		}
		d.dirMu.Unlock()
		d.DecRef()
		d = ch
	}
	return first, nil
}

// follow reads a symbolic link. It returns what is to be walked next, "" if the walker is where the link leads.
func (w *walker) follow(link *Dentry) (string, error) {
	if w.flags&NoSymlinks != 0 || w.at.mount.flags.Load()&unix.MS_NOSYMFOLLOW != 0 {
		return "", unix.ELOOP
	}
	if w.links++; w.links > maxLinks {
		return "", unix.ELOOP
	}
	if m, ok := link.inode.(MagicLink); ok {
		if w.flags&NoMagicLinks != 0 {
			return "", unix.ELOOP
		}
		p, err := m.Follow(w.c)
		if err == nil && (w.flags&(Beneath|InRoot) != 0 || w.flags&NoXDev != 0 && p.mount != w.at.mount) {
			p.DecRef()
			err = unix.EXDEV
		}
		if err != unix.EINVAL { // EINVAL: an ordinary link after all (/proc/self)
			if err != nil {
				return "", err
			}
			w.held.DecRef()
			w.held, w.at = p, p
			return "", nil
		}
	}
	target, err := link.inode.Readlink(w.c)
	if err != nil {
		return "", err
	}
	if target == "" {
		return "", unix.ENOENT
	}
	if target[0] == '/' {
		if w.flags&Beneath != 0 {
			return "", unix.EXDEV
		}
		if w.flags&NoXDev != 0 && w.root.mount != w.at.mount {
			return "", unix.EXDEV
		}
		w.at = w.root
	}
	return target, nil
}
