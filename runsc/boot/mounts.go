package boot

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/spec"
	"ringfort/sentry/auth"
	goferfs "ringfort/sentry/fs/gofer"
	"ringfort/sentry/vfs"
)

// mountFlags are the MS_* flags of mount options; the second set is cleared.
var mountFlags = map[string]struct{ set, clear uint64 }{
	"ro": {set: unix.MS_RDONLY}, "rw": {clear: unix.MS_RDONLY}, "rro": {set: unix.MS_RDONLY},
	"nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
	"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV},
	"noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
	"noatime": {set: unix.MS_NOATIME}, "nodiratime": {set: unix.MS_NODIRATIME}, "relatime": {set: unix.MS_RELATIME},
	"strictatime": {set: unix.MS_STRICTATIME}, "nosymfollow": {set: unix.MS_NOSYMFOLLOW},
}

// propagations are the propagation types of mount options.
var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
}

// ignoredOptions are neither flags nor data: what they ask for is the case anyway.
var ignoredOptions = map[string]bool{
	"defaults": true, "bind": true, "rbind": true, "sync": true, "async": true, "dirsync": true, "atime": true, "diratime": true,
	"norelatime": true, "nostrictatime": true, "silent": true, "loud": true, "acl": true, "noacl": true, "symfollow": true, "rrw": true,
	"tmpcopyup": true, "copy-symlink": true, "remount": true, "idmap": true, "ridmap": true,
}

// parseOptions splits mount options into flags, propagation and data for the file system.
func parseOptions(options []string) (flags, propagation uint64, data string) {
	var rest []string
	for _, o := range options {
		if f, ok := mountFlags[o]; ok {
			flags = flags&^f.clear | f.set
		} else if p, ok := propagations[o]; ok {
			propagation = p
		} else if !ignoredOptions[o] {
			rest = append(rest, o)
		}
	}
	return flags, propagation, strings.Join(rest, ",")
}

// mountAll builds the container's mount namespace.
func (c *container) mountAll(a *control.CreateArgs) error {
	if len(a.Mounts) == 0 || a.Mounts[0].Index != -1 {
		return fmt.Errorf("no root file system was given")
	}
	root := a.Mounts[0]
	sb, err := goferfs.New(root.Conn, root.FDs, goferfs.Options{Shared: !root.Exclusive, Source: root.Source})
	if err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	if a.Overlay == "memory" {
		sb = overlayMemory(c.s.k, sb)
	} else {
		c.root = sb
	}
	c.ns = vfs.NewMountNamespace(sb, 0, c.s.k.InitUserNS())
	c.fs = vfs.NewFSContext(c.ns.Root(), c.ns.Root(), 0o022)
	byIndex := map[int]*control.MountConn{}
	for i := range a.Mounts[1:] {
		m := &a.Mounts[1+i]
		byIndex[m.Index] = m
	}
	for i := range a.Spec.Mounts {
		m := &a.Spec.Mounts[i]
		if err := c.mountOne(m, byIndex[i]); err != nil {
			return fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
		}
	}
	if err := c.makeDevices(); err != nil {
		return err
	}
	if err := c.maskPaths(); err != nil {
		return err
	}
	p := c.fs.Root()
	defer p.DecRef()
	if a.Spec.Root != nil && a.Spec.Root.Readonly {
		if err := vfs.SetMountFlags(c.caller(), p, unix.MS_RDONLY, 0, false); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	if a.Spec.Linux == nil || a.Spec.Linux.RootfsPropagation == "" {
		return nil
	}
	if err := c.propagate(p, propagations[a.Spec.Linux.RootfsPropagation]); err != nil {
		return fmt.Errorf("linux.rootfsPropagation: %w", err)
	}
	return nil
}

// propagate sets the propagation type of the mount at p, a set of MS_*.
func (c *container) propagate(p vfs.Path, kind uint64) error {
	return vfs.SetPropagation(c.caller(), p, kind&^unix.MS_REC, kind&unix.MS_REC != 0)
}

// mountOne performs one mount of the spec.
func (c *container) mountOne(m *specs.Mount, conn *control.MountConn) error {
	flags, propagation, data := parseOptions(m.Options)
	var sb *vfs.Superblock
	var err error
	if spec.IsBind(m) {
		if conn == nil {
			return fmt.Errorf("the gofer does not serve %s", m.Source)
		}
		var key string
		if sb, key, err = c.s.volumes.get(conn, idMap(c.spec, m)); key != "" {
			c.volumes = append(c.volumes, key)
		}
	} else {
		t := vfs.LookupFS(m.Type)
		if t == nil {
			return fmt.Errorf("no file system %q", m.Type)
		}
		sb, err = t.New(c.caller().InInitUserNS(), vfs.MountSource{Source: m.Source, Data: data})
	}
	if err != nil {
		return err
	}
	k := c.caller()
	dir := sb.Root().Inode().Base().Type() == unix.S_IFDIR
	if err := c.mountPoint(m.Destination, dir); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	p, err := vfs.Walk(k, vfs.Path{}, m.Destination, vfs.FollowLast)
	if err != nil {
		return err
	}
	defer p.DecRef()
	if err := vfs.MountFS(k, sb, p, flags); err != nil {
		return err
	}
	if propagation == 0 {
		return nil
	}
	q, err := vfs.Walk(k, vfs.Path{}, m.Destination, vfs.FollowLast)
	if err != nil {
		return err
	}
	defer q.DecRef()
	return c.propagate(q, propagation)
}

// mountPoint makes the directory or file that is going to be mounted over, if it is not there.
func (c *container) mountPoint(name string, dir bool) error {
	k := c.caller()
	if p, err := vfs.Walk(k, vfs.Path{}, name, vfs.FollowLast); err == nil {
		p.DecRef()
		return nil
	}
	if dir {
		return c.mkdirAll(name)
	}
	if err := c.mkdirAll(path.Dir(path.Clean(name))); err != nil {
		return err
	}
	return vfs.Make(k, vfs.Path{}, name, vfs.CreateArgs{Mode: unix.S_IFREG | 0o644, Intent: vfs.NoIntent}, nil)
}

// mkdirAll makes a directory and its parents.
func (c *container) mkdirAll(name string) error {
	k := c.caller()
	at := ""
	for _, part := range strings.Split(path.Clean("/"+name), "/")[1:] {
		if part == "" {
			continue
		}
		at += "/" + part
		err := vfs.Make(k, vfs.Path{}, at, vfs.CreateArgs{Mode: unix.S_IFDIR | 0o755, Intent: vfs.NoIntent}, nil)
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

// device is a node that every container has (runtime-spec, config-linux.md#default-devices).
type device struct {
	name         string
	kind         uint32
	major, minor uint32
	mode         uint32
	uid, gid     uint32 // of the container
}

var defaultDevices = []device{
	{"/dev/null", unix.S_IFCHR, 1, 3, 0o666, 0, 0}, {"/dev/zero", unix.S_IFCHR, 1, 5, 0o666, 0, 0}, {"/dev/full", unix.S_IFCHR, 1, 7, 0o666, 0, 0},
	{"/dev/random", unix.S_IFCHR, 1, 8, 0o666, 0, 0}, {"/dev/urandom", unix.S_IFCHR, 1, 9, 0o666, 0, 0}, {"/dev/tty", unix.S_IFCHR, 5, 0, 0o666, 0, 0},
}

var defaultLinks = [][2]string{
	{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
	{"/dev/ptmx", "pts/ptmx"},
}

// makeDevices makes the default devices, those of the spec, and the usual
// links, where /dev is a file system of the container's own.
func (c *container) makeDevices() error {
	k := c.caller()
	p, err := vfs.Walk(k, vfs.Path{}, "/dev", vfs.FollowLast)
	if err != nil {
		return nil // an image without /dev, and no mount on it
	}
	own := p.Mount().Superblock().Type != "9p" && p.Dentry() == p.Mount().Superblock().Root()
	p.DecRef()
	if !own {
		return nil
	}
	list := append([]device(nil), defaultDevices...)
	if c.spec.Linux != nil {
		for _, d := range c.spec.Linux.Devices {
			dev, err := specDevice(&d)
			if err != nil {
				return err
			}
			list = append(list, dev)
		}
	}
	for _, d := range list {
		if err := c.mkdirAll(path.Dir(d.name)); err != nil {
			return err
		}
		err := vfs.Make(k, vfs.Path{}, d.name, vfs.CreateArgs{
			Mode: d.kind | d.mode, Rdev: unix.Mkdev(d.major, d.minor), Intent: vfs.NoIntent,
		}, nil)
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("make %s: %w", d.name, err)
		}
		// The umask of the kernel's own context must not narrow the mode.
		if err := c.chmod(d.name, &d); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	for _, l := range defaultLinks {
		err := vfs.Make(k, vfs.Path{}, l[0], vfs.CreateArgs{Mode: unix.S_IFLNK | 0o777, Target: l[1], Intent: vfs.NoIntent}, nil)
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("link %s: %w", l[0], err)
		}
	}
	return nil
}

// chmod gives a node the mode and the owner of a device.
func (c *container) chmod(name string, d *device) error {
	k, ns := c.caller(), c.s.k.InitUserNS()
	p, err := vfs.Walk(k, vfs.Path{}, name, 0)
	if err != nil {
		return err
	}
	defer p.DecRef()
	attr := &vfs.SetAttr{Mask: vfs.SetMode, Mode: d.mode}
	if d.uid|d.gid != 0 {
		attr.Mask |= vfs.SetUID | vfs.SetGID
		var uok, gok bool
		attr.UID, uok = ns.KUID(d.uid)
		attr.GID, gok = ns.KGID(d.gid)
		if !uok || !gok {
			return fmt.Errorf("linux.devices: the user namespace does not map %d:%d", d.uid, d.gid)
		}
	}
	return vfs.SetStat(k, p, attr)
}

func specDevice(d *specs.LinuxDevice) (device, error) {
	kinds := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	kind, ok := kinds[d.Type]
	if !ok {
		return device{}, fmt.Errorf("linux.devices: %s: unknown type %q", d.Path, d.Type)
	}
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(*d.FileMode) & 0o7777
	}
	dev := device{d.Path, kind, uint32(d.Major), uint32(d.Minor), mode, 0, 0}
	if d.UID != nil {
		dev.uid = *d.UID
	}
	if d.GID != nil {
		dev.gid = *d.GID
	}
	return dev, nil
}

// maskPaths hides maskedPaths and makes readonlyPaths read-only.
func (c *container) maskPaths() error {
	if c.spec.Linux == nil {
		return nil
	}
	k := c.caller()
	null, nullErr := vfs.Walk(k, vfs.Path{}, "/dev/null", vfs.FollowLast)
	if nullErr == nil {
		defer null.DecRef()
	}
	for _, name := range c.spec.Linux.MaskedPaths {
		p, err := vfs.Walk(k, vfs.Path{}, name, vfs.FollowLast)
		if err != nil {
			continue // not there: nothing to hide
		}
		if p.Inode().Base().Type() == unix.S_IFDIR {
			var sb *vfs.Superblock
			if sb, err = vfs.LookupFS("tmpfs").New(k, vfs.MountSource{Source: "tmpfs", Data: "mode=755"}); err == nil {
				err = vfs.MountFS(k, sb, p, unix.MS_RDONLY)
			}
		} else if err = nullErr; err == nil {
			err = vfs.BindMount(k, null, p, false)
		}
		p.DecRef()
		if err != nil {
			return fmt.Errorf("linux.maskedPaths: %s: %w", name, err)
		}
	}
	for _, name := range c.spec.Linux.ReadonlyPaths {
		if err := c.makeReadonly(name); err != nil {
			return fmt.Errorf("linux.readonlyPaths: %s: %w", name, err)
		}
	}
	return nil
}

// makeReadonly mounts name over itself, read-only.
func (c *container) makeReadonly(name string) error {
	k := c.caller()
	p, err := vfs.Walk(k, vfs.Path{}, name, vfs.FollowLast)
	if err != nil {
		return nil // not there
	}
	err = vfs.BindMount(k, p, p, true)
	p.DecRef()
	if err != nil {
		return err
	}
	q, err := vfs.Walk(k, vfs.Path{}, name, vfs.FollowLast)
	if err != nil {
		return err
	}
	defer q.DecRef()
	return vfs.SetMountFlags(k, q, unix.MS_RDONLY, 0, true)
}

// idMap is how the owners of a mount's files are mapped, nil if they are not.
func idMap(s *specs.Spec, m *specs.Mount) *goferfs.IDMap {
	uids, gids := spec.IDMaps(s, m)
	if len(uids) == 0 {
		return nil
	}
	extents := func(list []specs.LinuxIDMapping) (to []auth.Extent) {
		for _, l := range list {
			to = append(to, auth.Extent{First: l.ContainerID, ParentFirst: l.HostID, Count: l.Size})
		}
		return to
	}
	return &goferfs.IDMap{UIDs: extents(uids), GIDs: extents(gids)}
}
