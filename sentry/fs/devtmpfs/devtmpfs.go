// Package devtmpfs is the file system of device nodes as the kernel makes it: a tmpfs with the nodes of the devices
// there are. It owns their names, numbers and modes only; it holds no locks.
package devtmpfs

import (
	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/tmpfs"
	"ringfort/sentry/pgalloc"
	"ringfort/sentry/vfs"
)

// nodes are the devices every sandbox has (Documentation/admin-guide/devices.txt).
var nodes = []struct {
	name         string
	mode         uint32
	major, minor uint32
}{
	{"null", 0666, 1, 3}, {"zero", 0666, 1, 5}, {"full", 0666, 1, 7}, {"random", 0666, 1, 8}, {"urandom", 0666, 1, 9},
	{"kmsg", 0644, 1, 11}, {"tty", 0666, 5, 0}, {"console", 0600, 5, 1}, {"ptmx", 0666, 5, 2},
}

// links are the symbolic links and dirs the directories programs expect beside them.
var (
	links = [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}}
	dirs  = []struct {
		name string
		mode uint32
	}{{"pts", 0755}, {"shm", 01777}, {"mqueue", 01777}}
)

// New returns one with its nodes in mem.
func New(mem *pgalloc.File) (*vfs.Superblock, error) {
	sb := tmpfs.New(mem, tmpfs.Options{Mode: 0755, Type: "devtmpfs", Source: "devtmpfs"})
	root := sb.Root().Inode()
	add := func(name string, a vfs.CreateArgs) error {
		a.Intent = vfs.NoIntent
		in, err := root.Create(nil, name, &a)
		if err == nil {
			vfs.DecRefInode(in)
		}
		return err
	}
	for _, n := range nodes {
		if err := add(n.name, vfs.CreateArgs{Mode: unix.S_IFCHR | n.mode, Rdev: unix.Mkdev(n.major, n.minor)}); err != nil {
			return nil, err
		}
	}
	for _, l := range links {
		if err := add(l[0], vfs.CreateArgs{Mode: unix.S_IFLNK | 0777, Target: l[1]}); err != nil {
			return nil, err
		}
	}
	for _, d := range dirs {
		if err := add(d.name, vfs.CreateArgs{Mode: unix.S_IFDIR | d.mode}); err != nil {
			return nil, err
		}
	}
	return sb, nil
}
