package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/vfs"
)

// file returns the task's description fd, with a reference; nil if there is none.
func (o dirOf) file(fd int32) *vfs.Description {
	tab := o.t.FDs()
	if tab == nil {
		return nil
	}
	return tab.Get(fd)
}

// fdDir is /proc/PID/fd or, with info, fdinfo.
func (o dirOf) fdDir(c vfs.Caller, info bool) *fsutil.Dir {
	d := o.dir(c, 0500)
	d.MayOpen = func(c vfs.Caller) error { return mayTrace(c, o.t) }
	// A process sees its own descriptors even when its files in /proc are
	// root's, as after setuid(2).
	d.Grant = func(c vfs.Caller) bool {
		r := taskOf(c)
		return r != nil && r.ThreadGroup() == o.t.ThreadGroup()
	}
	d.Find = func(c vfs.Caller, name string) (vfs.Inode, error) {
		var fd int32
		if name != "0" {
			var err error
			if fd, err = parsePID(name); err != nil {
				return nil, err
			}
		}
		f := o.file(fd)
		if f == nil {
			return nil, unix.ENOENT
		}
		defer f.DecRef(c)
		if info {
			return o.fdInfo(c, fd), nil
		}
		return o.fdLink(c, fd, f), nil
	}
	d.List = func(c vfs.Caller) ([]fsutil.Entry, error) {
		tab := o.t.FDs()
		if tab == nil {
			return nil, nil
		}
		typ := uint8(unix.DT_LNK)
		if info {
			typ = unix.DT_REG
		}
		var list []fsutil.Entry
		for _, fd := range tab.FDs() {
			list = append(list, fsutil.Entry{Name: itoa(fd), Ino: taskIno(o.t) + 16 + uint64(fd), Type: typ, Pos: fsutil.FirstPos + int64(fd)})
		}
		return list, nil
	}
	return d
}

// fdLink is /proc/PID/fd/N. Its permissions tell what the descriptor is open for.
func (o dirOf) fdLink(c vfs.Caller, fd int32, f *vfs.Description) *fsutil.Link {
	get := func(c vfs.Caller) (vfs.Path, error) {
		if err := mayTrace(c, o.t); err != nil {
			return vfs.Path{}, err
		}
		d := o.file(fd)
		if d == nil {
			return vfs.Path{}, unix.ENOENT
		}
		defer d.DecRef(c)
		p := d.Path()
		p.IncRef()
		return p, nil
	}
	l := o.link(c, func(c vfs.Caller) (string, error) {
		p, err := get(c)
		if err != nil {
			return "", err
		}
		defer p.DecRef()
		return p.String(c), nil
	}, get)
	mode := uint32(0100)
	if f.Readable() {
		mode |= 0400
	}
	if f.Writable() {
		mode |= 0200
	}
	l.SetMode(unix.S_IFLNK | mode)
	// A descriptor closed and opened again is another file: the number alone does not say.
	ino := f.Inode().Base()
	l.Alive = func() bool {
		d := o.file(fd)
		if d == nil {
			return false
		}
		same := d.Inode().Base() == ino
		d.DecRef(nil)
		return same && o.alive()
	}
	return l
}

// fdInfo is /proc/PID/fdinfo/N.
func (o dirOf) fdInfo(c vfs.Caller, fd int32) *fsutil.Text {
	f := o.text(c, 0400, func(c vfs.Caller) (string, error) {
		d := o.file(fd)
		if d == nil {
			return "", unix.ENOENT
		}
		defer d.DecRef(c)
		flags := d.Flags()
		if o.t.FDs().CloseOnExec(fd) {
			flags |= unix.O_CLOEXEC
		}
		off, mnt := int64(0), 0
		if d.Positional() {
			off = d.Offset()
		}
		if m := d.Path().Mount(); m != nil {
			mnt = m.ID
		}
		s := fmt.Sprintf("pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n", off, flags, mnt, d.Inode().Base().Ino())
		if i, ok := d.File().(vfs.FDInfo); ok {
			s += i.FDInfo()
		}
		return s, nil
	})
	f.Alive = func() bool {
		d := o.file(fd)
		if d != nil {
			d.DecRef(nil)
		}
		return d != nil
	}
	return f
}
