package syscalls

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

// base is where a relative path starts: what a dirfd argument means.
type base struct{ d *vfs.Description }

// baseOf looks up a dirfd. An absolute name needs none, whatever dirfd is.
func baseOf(t *task, dirfd int32, name string) (base, error) {
	if dirfd == unix.AT_FDCWD || name != "" && name[0] == '/' {
		return base{}, nil
	}
	d := t.GetFile(dirfd)
	if d == nil {
		return base{}, unix.EBADF
	}
	return base{d}, nil
}

// path returns the place; zero is the working directory.
func (b base) path() vfs.Path {
	if b.d == nil {
		return vfs.Path{}
	}
	return b.d.Path()
}

func (b base) release(t *task) {
	if b.d != nil {
		b.d.DecRef(t)
	}
}

// withName copies a path name in and calls f with it and where it starts.
func withName(t *task, dirfd int32, name addr, f func(at vfs.Path, name string) error) error {
	s, err := t.CopyInPath(name)
	if err != nil {
		return err
	}
	b, err := baseOf(t, dirfd, s)
	if err != nil {
		return err
	}
	defer b.release(t)
	return f(b.path(), s)
}

// withPath walks to a path name and calls f with the place. An empty name is the dirfd itself if flags allow it.
func withPath(t *task, dirfd int32, name addr, flags vfs.WalkFlags, f func(p vfs.Path) error) error {
	if flags&vfs.AllowEmpty != 0 && name == 0 {
		return withWalk(t, dirfd, "", flags, f)
	}
	s, err := t.CopyInPath(name)
	if err != nil {
		return err
	}
	return withWalk(t, dirfd, s, flags, f)
}

func withWalk(t *task, dirfd int32, name string, flags vfs.WalkFlags, f func(p vfs.Path) error) error {
	b, err := baseOf(t, dirfd, name)
	if err != nil {
		return err
	}
	defer b.release(t)
	p, err := vfs.Walk(t, b.path(), name, flags)
	if err != nil {
		return err
	}
	defer p.DecRef()
	return f(p)
}

// walkFlags translates AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH.
func walkFlags(at int32) vfs.WalkFlags {
	f := vfs.FollowLast
	if at&unix.AT_SYMLINK_NOFOLLOW != 0 {
		f = 0
	}
	if at&unix.AT_EMPTY_PATH != 0 {
		f |= vfs.AllowEmpty
	}
	return f
}
