package export

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// makeMountPoint creates what is missing of a mount's destination. Every step is resolved inside of the container's
// root, so that a link in there cannot lead to the host.
func makeMountPoint(root int, m MountPoint, uid, gid uint32) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	names := strings.Split(strings.Trim(path.Clean(m.Path), "/"), "/")
	parent, err := unix.Openat2(root, ".", &how)
	if err != nil {
		return err
	}
	defer func() { unix.Close(parent) }()
	for i, name := range names {
		so := strings.Join(names[:i+1], "/")
		fd, err := unix.Openat2(root, so, &how)
		if err == unix.ENOENT {
			if m.File && i == len(names)-1 {
				err = unix.Mknodat(parent, name, unix.S_IFREG|0o644, 0)
			} else {
				err = unix.Mkdirat(parent, name, 0o755)
			}
			if err == nil && uid|gid != 0 {
				err = unix.Fchownat(parent, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
			}
			if err == nil {
				fd, err = unix.Openat2(root, so, &how)
			}
		}
		if err != nil {
			return err
		}
		unix.Close(parent)
		parent = fd
	}
	return nil
}
