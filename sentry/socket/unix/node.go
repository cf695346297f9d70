package unixsock

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/vfs"
)

// makeNode makes a socket file called name and binds s to it. EADDRINUSE if
// the name exists. The path has a reference for the caller.
func makeNode(c vfs.Caller, name string, s *Socket) (vfs.Path, error) {
	args := vfs.CreateArgs{Mode: unix.S_IFSOCK | 0777}
	err := vfs.Make(c, vfs.Path{}, name, args, func(in vfs.Inode) { in.Base().SetEndpoint(s) })
	if err == unix.EEXIST {
		err = unix.EADDRINUSE
	}
	if err != nil {
		return vfs.Path{}, err
	}
	// The path keeps the inode, and with it the binding, in memory.
	p, err := vfs.Walk(c, vfs.Path{}, name, 0)
	if err != nil {
		return vfs.Path{}, err
	}
	if p.Inode().Base().Endpoint() != any(s) {
		p.DecRef()
		return vfs.Path{}, unix.ENOENT // removed or replaced at once
	}
	return p, nil
}

// lookUp returns what is bound to the socket file called name, nil if that is
// nothing. Connecting takes write permission (unix(7), "Pathname socket
// ownership and permissions").
func lookUp(c vfs.Caller, name string) (any, error) {
	p, err := walk(c, name)
	if err != nil {
		return nil, err
	}
	defer p.DecRef()
	return p.Inode().Base().Endpoint(), nil
}

// walk finds a socket file that the caller may connect to. The path has a reference for the caller.
func walk(c vfs.Caller, name string) (vfs.Path, error) {
	p, err := vfs.Walk(c, vfs.Path{}, name, vfs.FollowLast)
	if err != nil {
		return vfs.Path{}, err
	}
	if err = vfs.CheckPerm(c, c.Creds(), p.Inode(), vfs.MayWrite); err == nil && p.Inode().Base().Type() != unix.S_IFSOCK {
		err = unix.ECONNREFUSED
	}
	if err != nil {
		p.DecRef()
		return vfs.Path{}, err
	}
	return p, nil
}
