package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// nsFile is an open namespace file, what setns(2) takes.
type nsFile struct {
	vfs.FileBase
	kind uint64
	ns   any
	name string
	ino  uint64
}

// Namespace returns the CLONE_NEW* flag of the kind and the namespace.
func (f *nsFile) Namespace() (uint64, any) { return f.kind, f.ns }

// counted is a namespace that ends with its last user; an open file is one.
type counted interface {
	IncRef()
	DecRef()
}

// Reopen lets the file be opened through the link.
func (f *nsFile) Reopen(vfs.Caller, uint32) (vfs.File, error) {
	g := *f
	if n, ok := g.ns.(counted); ok {
		n.IncRef()
	}
	return &g, nil
}

// Bind implements vfs.Bindable.
func (f *nsFile) Bind() vfs.File {
	g, _ := f.Reopen(nil, 0) // never fails
	return g
}

// Release gives the namespace up.
func (f *nsFile) Release(vfs.Caller) {
	if n, ok := f.ns.(counted); ok {
		n.DecRef()
	}
}

// Stat shows the namespace's number, by which two are told apart.
func (f *nsFile) Stat(_ vfs.Caller, st *unix.Statx_t) error {
	st.Ino = f.ino
	st.Dev_major, st.Dev_minor = unix.Major(vfs.NamespaceDev()), unix.Minor(vfs.NamespaceDev())
	return nil
}

// inoed is what all namespaces have.
type inoed interface{ Inode() uint64 }

// Numbers of the namespaces there is only one of (include/linux/proc_ns.h).
const (
	timeNSIno = 0xEFFFFFFA
)

// nsKinds are the links of /proc/PID/ns.
var nsKinds = []struct {
	name, kind string
	flag       uint64
	get        func(t *kernel.Task) any
	ino        uint64 // of a kind without namespaces
}{
	{"cgroup", "cgroup", unix.CLONE_NEWCGROUP, func(t *kernel.Task) any { return t.CgroupNS() }, 0},
	{"ipc", "ipc", unix.CLONE_NEWIPC, func(t *kernel.Task) any { return t.IPCNS() }, 0},
	{"mnt", "mnt", unix.CLONE_NEWNS, func(t *kernel.Task) any { return t.MountNS() }, 0},
	{"net", "net", unix.CLONE_NEWNET, func(t *kernel.Task) any { return t.NetNS() }, 0},
	{"pid", "pid", unix.CLONE_NEWPID, func(t *kernel.Task) any { return t.PIDNS() }, 0},
	{"pid_for_children", "pid", unix.CLONE_NEWPID, func(t *kernel.Task) any { return t.ChildPIDNS() }, 0},
	{"time", "time", unix.CLONE_NEWTIME, nil, timeNSIno},
	{"time_for_children", "time", unix.CLONE_NEWTIME, nil, timeNSIno},
	{"user", "user", unix.CLONE_NEWUSER, func(t *kernel.Task) any { return t.UserNS() }, 0},
	{"uts", "uts", unix.CLONE_NEWUTS, func(t *kernel.Task) any { return t.UTSNS() }, 0},
}

// nsDir is /proc/PID/ns.
func (o dirOf) nsDir(c vfs.Caller) *fsutil.Dir {
	d := o.dir(c, 0511)
	for _, k := range nsKinds {
		get := func() (any, uint64, bool) {
			if k.get == nil {
				return nil, k.ino, true
			}
			ns, ok := k.get(o.t).(inoed)
			if !ok || isNil(ns) {
				return nil, 0, false
			}
			return ns, ns.Inode(), true
		}
		d.Add(k.name, o.link(c, func(c vfs.Caller) (string, error) {
			if err := mayTrace(c, o.t); err != nil {
				return "", err
			}
			_, ino, ok := get()
			if !ok {
				return "", unix.ENOENT
			}
			return fmt.Sprintf("%s:[%d]", k.kind, ino), nil
		}, func(c vfs.Caller) (vfs.Path, error) {
			if err := mayTrace(c, o.t); err != nil {
				return vfs.Path{}, err
			}
			ns, ino, ok := get()
			if !ok {
				return vfs.Path{}, unix.ENOENT
			}
			f := &nsFile{kind: k.flag, ns: ns, name: k.kind, ino: ino}
			return vfs.NewAnonPath(f, fmt.Sprintf("%s:[%d]", k.kind, ino), unix.S_IFREG|0444, 0, 0), nil
		}))
	}
	return d
}

// isNil reports whether an interface holds a nil namespace: the task has exited.
func isNil(ns any) bool {
	switch n := ns.(type) {
	case *vfs.MountNamespace:
		return n == nil
	case *kernel.IPCNamespace:
		return n == nil
	case *kernel.CgroupNamespace:
		return n == nil
	case *kernel.UTSNamespace:
		return n == nil
	case *kernel.PIDNamespace:
		return n == nil
	}
	return false
}

// idMap is /proc/PID/uid_map or gid_map.
func (o dirOf) idMap(c vfs.Caller, group bool) *fsutil.Text {
	f := o.text(c, 0644, func(c vfs.Caller) (string, error) { return formatIDMap(c, o.t.UserNS(), group), nil })
	f.Put = func(c vfs.Caller, s string) error { return putIDMap(c, o.t.UserNS(), group, s) }
	return f
}

// setgroups is /proc/PID/setgroups.
func (o dirOf) setgroups(c vfs.Caller) *fsutil.Text {
	f := o.text(c, 0644, func(vfs.Caller) (string, error) {
		if o.t.UserNS().Setgroups() {
			return "allow\n", nil
		}
		return "deny\n", nil
	})
	f.Put = func(c vfs.Caller, s string) error {
		ns := o.t.UserNS()
		if c != nil && !c.Creds().HasCapIn(unix.CAP_SYS_ADMIN, ns) {
			return unix.EPERM
		}
		switch trim(s) {
		case "allow":
			if !ns.Setgroups() {
				return unix.EPERM
			}
			return nil
		case "deny":
			if !ns.DenySetgroups() {
				return unix.EPERM
			}
			return nil
		}
		return unix.EINVAL
	}
	return f
}
