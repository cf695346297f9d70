package proc

import (
	"strconv"

	"golang.org/x/sys/unix"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

// Identity is what uname(2) says, too.
type Identity struct{ Release, Version string }

// procFS is one mounted proc.
type procFS struct {
	*fsutil.Tree
	k   *kernel.Kernel
	ns  *kernel.PIDNamespace // whose processes it shows, by their numbers in it
	id  Identity
	sys *sysctls
}

// New returns a proc of the processes in ns.
func New(k *kernel.Kernel, ns *kernel.PIDNamespace, id Identity) *vfs.Superblock {
	p := &procFS{Tree: fsutil.NewTree("proc", unix.PROC_SUPER_MAGIC), k: k, ns: ns, id: id, sys: sysctlsOf(k)}
	p.SB.MaxDentries = 2048
	root := p.NewDir(nil, 0555)
	p.addGlobal(root)
	root.Add("self", p.NewLink(nil, p.self)).Add("thread-self", p.NewLink(nil, p.threadSelf))
	root.Add("mounts", p.NewStaticLink(nil, "self/mounts")).Add("net", p.NewStaticLink(nil, "self/net"))
	root.Find = func(c vfs.Caller, name string) (vfs.Inode, error) {
		id, err := parsePID(name)
		if err != nil {
			return nil, err
		}
		// Any thread can be found by number, only leaders are listed (proc(5)).
		t := ns.TaskWithID(id)
		if t == nil {
			return nil, unix.ENOENT
		}
		return p.taskDir(c, t, true), nil
	}
	root.List = func(c vfs.Caller) ([]fsutil.Entry, error) {
		var list []fsutil.Entry
		for _, tg := range ns.ThreadGroups() {
			id := ns.IDOfThreadGroup(tg)
			if id <= 0 {
				continue
			}
			list = append(list, fsutil.Entry{Name: itoa(id), Ino: taskIno(tg.Leader()), Type: unix.DT_DIR, Pos: fsutil.FirstPos + int64(id)})
		}
		sortEntries(list)
		return list, nil
	}
	p.SB.SetRoot(root)
	return &p.SB
}

func itoa[T ~int | ~int32 | ~int64 | ~uint32 | ~uint64](n T) string {
	return strconv.FormatInt(int64(n), 10)
}

// parsePID reads a process number as the kernel writes it: no sign, no leading zero.
func parsePID(name string) (int32, error) {
	n, err := strconv.ParseInt(name, 10, 32)
	if err != nil || n <= 0 || itoa(n) != name {
		return 0, unix.ENOENT
	}
	return int32(n), nil
}

// taskOf returns the task behind a caller, nil if it is the kernel.
func taskOf(c vfs.Caller) *kernel.Task {
	t, _ := c.(*kernel.Task)
	return t
}

// mayTrace checks that a reader may look into t (ptrace(2), PTRACE_MODE_READ); the kernel may.
func mayTrace(c vfs.Caller, t *kernel.Task) error {
	if r := taskOf(c); r != nil && !r.MayTrace(t) {
		return unix.EACCES
	}
	return nil
}

func (p *procFS) self(c vfs.Caller) (string, error) {
	t := taskOf(c)
	if t == nil {
		return "", unix.ENOENT
	}
	id := p.ns.IDOfThreadGroup(t.ThreadGroup())
	if id == 0 {
		return "", unix.ENOENT
	}
	return itoa(id), nil
}

func (p *procFS) threadSelf(c vfs.Caller) (string, error) {
	t := taskOf(c)
	s, err := p.self(c)
	if err != nil {
		return "", err
	}
	return s + "/task/" + itoa(p.ns.IDOfTask(t)), nil
}
