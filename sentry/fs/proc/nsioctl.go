package proc

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/kernel"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
)

// owned is a namespace with an owner.
type owned interface{ UserNS() *auth.UserNamespace }

// Ioctl tells of the namespace's relatives (ioctl_ns(2)).
func (f *nsFile) Ioctl(c vfs.Caller, _ *vfs.Description, cmd uint32, arg arch.Argument) (uintptr, error) {
	t, ok := c.(*kernel.Task)
	if !ok {
		return 0, unix.ENOTTY
	}
	switch cmd {
	case unix.NS_GET_NSTYPE:
		return uintptr(f.kind), nil
	case unix.NS_GET_USERNS:
		return f.openUser(t)
	case unix.NS_GET_PARENT:
		switch ns := f.ns.(type) {
		case *auth.UserNamespace:
			return f.openUser(t)
		case *kernel.PIDNamespace:
			parent := ns.Parent()
			if parent == nil || !t.PIDNS().IsAncestorOf(parent) {
				return 0, unix.EPERM
			}
			return openNS(t, &nsFile{kind: unix.CLONE_NEWPID, ns: parent, name: "pid", ino: parent.Inode()})
		}
		return 0, unix.EINVAL
	case unix.NS_GET_OWNER_UID:
		ns, ok := f.ns.(*auth.UserNamespace)
		if !ok {
			return 0, unix.EINVAL
		}
		uid := t.UserNS().UID(ns.Owner())
		return 0, usermem.CopyOutVal(t.Memory(), usermem.Addr(arg.Pointer()), &uid)
	}
	return 0, unix.ENOTTY
}

// openUser opens the user namespace that owns the namespace (of a user
// namespace: its parent), if it is the caller's or below it.
func (f *nsFile) openUser(t *kernel.Task) (uintptr, error) {
	var u *auth.UserNamespace
	switch ns := f.ns.(type) {
	case *auth.UserNamespace:
		u = ns.Parent()
	case owned:
		u = ns.UserNS()
	}
	if u == nil || !t.UserNS().IsAncestorOf(u) {
		return 0, unix.EPERM
	}
	return openNS(t, &nsFile{kind: unix.CLONE_NEWUSER, ns: u, name: "user", ino: u.Inode()})
}

// openNS returns a descriptor of a namespace that needs no counting.
func openNS(t *kernel.Task, f *nsFile) (uintptr, error) {
	p := vfs.NewAnonPath(f, fmt.Sprintf("%s:[%d]", f.name, f.ino), unix.S_IFREG|0444, 0, 0)
	d := vfs.NewDescription(f, p, unix.O_RDONLY)
	defer d.DecRef(t)
	fd, err := t.NewFD(d, 0, true)
	return uintptr(fd), err
}
