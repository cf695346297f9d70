package syscalls

import (
	"golang.org/x/sys/unix"
)

var namespaceCalls = []Call{
	{Nr: unix.SYS_UNSHARE, Name: "unshare", Func: Unshare, Args: []Arg{Hex}, Level: Partial, Note: "no time namespaces"},
	{Nr: unix.SYS_SETNS, Name: "setns", Func: Setns, Args: []Arg{FD, Hex}, Level: Partial, Note: "namespace files of /proc only, one at a time; no pidfd"},
}

// Unshare is unshare(2).
func Unshare(t *task, a arguments) (uintptr, error) { return 0, t.Unshare(a[0].Uint64()) }

// namespaceFile is an open /proc/PID/ns/* file.
type namespaceFile interface {
	// Namespace returns the CLONE_NEW* flag of the kind and the namespace.
	Namespace() (kind uint64, ns any)
}

// Setns is setns(2).
func Setns(t *task, a arguments) (uintptr, error) {
	d := t.GetFile(a[0].Int())
	if d == nil {
		return 0, unix.EBADF
	}
	defer d.DecRef(t)
	f, ok := d.File().(namespaceFile)
	if !ok {
		return 0, unix.EINVAL
	}
	kind, ns := f.Namespace()
	if want := a[1].Uint64(); want != 0 && want != kind {
		return 0, unix.EINVAL
	}
	return 0, t.SetNS(kind, ns)
}
