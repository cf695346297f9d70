package container

import (
	"errors"
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/isolate"
	"ringfort/runsc/spec"
)

// A Tree is what the host has of a container's files. The process by which the host knows a container whose Sentry is
// another's, or is not to be seen, has them for its root: engines copy files by entering its mount namespace (podman cp),
// and must find there neither the host's files nor any that the container has not.
type Tree struct {
	Root     string      `json:"root"`
	ReadOnly bool        `json:"readOnly"`
	Mounts   []TreeMount `json:"mounts"`
}

// A TreeMount is one mount of the container.
type TreeMount struct {
	Destination string `json:"destination"`
	// Source is a path of the host, "" for what the Sentry alone has: nothing can be read or written there.
	Source    string `json:"source,omitempty"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
	Recursive bool   `json:"recursive,omitempty"`
}

// tree describes the files of the container, nil if its mount namespace is not its own.
func (b *birth) tree() *Tree {
	if ns, ok := spec.Namespace(b.Spec, specs.MountNamespace); !ok || ns.Path != "" || ordinary() {
		return nil
	}
	t := &Tree{Root: b.Spec.Root.Path, ReadOnly: b.Spec.Root.Readonly || b.opts.Overlay == "memory"}
	for i := range b.Spec.Mounts {
		m := &b.Spec.Mounts[i]
		tm := TreeMount{Destination: m.Destination}
		if spec.IsBind(m) {
			e := exportOf(m)
			tm.Source, tm.ReadOnly, tm.Recursive = m.Source, e.ReadOnly, e.Recursive
		}
		t.Mounts = append(t.Mounts, tm)
	}
	return t
}

// enter makes the tree all that this process can see, and takes its capabilities away. Its mount namespace must be its own.
func (t *Tree) enter() error {
	if err := isolate.PrivateMounts(); err != nil {
		return err
	}
	root, err := cloneMount(t.Root, true, t.ReadOnly)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	mounts := make([]int, len(t.Mounts))
	for i := range t.Mounts {
		m := &t.Mounts[i]
		if m.Source == "" {
			mounts[i], err = isolate.EmptyTmpfs(unix.MOUNT_ATTR_RDONLY)
		} else {
			mounts[i], err = cloneMount(m.Source, m.Recursive, m.ReadOnly)
		}
		if err != nil {
			return err
		}
		defer unix.Close(mounts[i])
	}
	if err := isolate.PivotInto(root, "/proc"); err != nil { // where our own program was found
		return err
	}
	for i, m := range t.Mounts {
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
		at, err := unix.Openat2(root, path.Clean(m.Destination), &how)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue // below what the Sentry alone has
		}
		if err == nil {
			err = unix.MoveMount(mounts[i], "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
			unix.Close(at)
		}
		if err != nil && err != unix.ENOTDIR { // a directory over a file or the other way round: the Sentry has said so
			return fmt.Errorf("mount %s: %w", m.Destination, err)
		}
	}
	return isolate.KeepCapabilities()
}

// cloneMount makes a detached copy of what is mounted at a path.
func cloneMount(source string, recursive, readOnly bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, flags)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", source, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	if err == nil && readOnly {
		err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("attributes of %s: %w", source, err)
	}
	return fd, nil
}
