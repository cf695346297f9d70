package vfs

import (
	"golang.org/x/sys/unix"
	"ringfort/sentry/names"
)

// trail is what a walk has come by.
type trail struct {
	last   string // the last component that was looked up
	unsure bool   // something on the way may change behind our back
}

// search notes that the walk searches dir.
func (t *trail) search(dir *Dentry) { t.unsure = t.unsure || !dir.sb.Settled }

// Foretell reports what the walk of name, an absolute path, and then f at its end, return
// until a name of slot changes (package names). ok is false if that is not known: f must
// depend on nothing but the names and permissions on the way and the types of files. It
// asks no file system.
func Foretell(c Caller, name string, flags WalkFlags, f func(Path) error) (slot uint32, err error, ok bool) {
	t := trail{}
	w := walker{c: c, flags: flags | OnlyCached, intent: NoIntent, trail: &t}
	p, err := w.toEnd(Path{}, name)
	if err == nil {
		if f != nil {
			err = f(p)
		}
		p.DecRef()
	}
	return names.Slot(t.last), err, !t.unsure && t.last != "" && err != unix.EAGAIN
}

// beginName begins a change of name, which is in's so far (nil: nobody's). Paths lead on
// through directories and symbolic links.
func beginName(name string, in Inode) {
	slot := names.Slot(name)
	if in != nil {
		if t := in.Base().Type(); t == unix.S_IFDIR || t == unix.S_IFLNK {
			slot = names.World
		}
	}
	names.Begin(slot)
}
