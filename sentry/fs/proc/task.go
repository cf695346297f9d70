package proc

import (
	"sort"
	"strconv"

	"golang.org/x/sys/unix"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/fsutil"
	"ringfort/sentry/kernel"
	"ringfort/sentry/vfs"
)

func sortEntries(list []fsutil.Entry) {
	sort.Slice(list, func(i, j int) bool { return list[i].Pos < list[j].Pos })
}

// taskIno gives a task's directory a number that does not change.
func taskIno(t *kernel.Task) uint64 { return uint64(t.TID())<<20 | 1<<52 }

// dirOf is the /proc/PID or /proc/PID/task/TID being made for a task.
type dirOf struct {
	*procFS
	t       *kernel.Task
	process bool // /proc/PID: of the whole process
}

// taskFile is an entry of /proc/PID or /proc/PID/task/TID.
type taskFile struct {
	name string
	in   where
	dir  bool
	make func(o dirOf, c vfs.Caller) vfs.Inode
}

// where an entry is.
type where uint8

const (
	everywhere where = iota
	ofProcess        // in /proc/PID only
	ofThread         // in /proc/PID/task/TID only
)

// taskFiles are all entries, in order.
func taskFiles() []taskFile {
	text := func(perm uint32, gen func(o dirOf, c vfs.Caller) (string, error)) func(dirOf, vfs.Caller) vfs.Inode {
		return func(o dirOf, c vfs.Caller) vfs.Inode {
			return o.text(c, perm, func(c vfs.Caller) (string, error) { return gen(o, c) })
		}
	}
	fixed := func(perm uint32, s string) func(dirOf, vfs.Caller) vfs.Inode {
		return text(perm, func(dirOf, vfs.Caller) (string, error) { return s, nil })
	}
	secret := func(perm uint32, gen func(o dirOf, c vfs.Caller) (string, error)) func(dirOf, vfs.Caller) vfs.Inode {
		return func(o dirOf, c vfs.Caller) vfs.Inode {
			return o.secret(c, perm, func(c vfs.Caller) (string, error) { return gen(o, c) })
		}
	}
	return []taskFile{
		{"attr", everywhere, true, func(o dirOf, c vfs.Caller) vfs.Inode { return o.attrDir(c) }},
		{"autogroup", ofProcess, false, fixed(0644, "/autogroup-1 nice 0\n")},
		{"auxv", everywhere, false, secret(0400, dirOf.auxv)},
		{"cgroup", everywhere, false, fixed(0444, "0::/\n")},
		{"children", ofThread, false, text(0444, dirOf.children)},
		{"clear_refs", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode {
			f := o.text(c, 0200, func(vfs.Caller) (string, error) { return "", unix.EINVAL })
			f.Put = func(vfs.Caller, string) error { return nil } // there are no referenced bits to clear
			return f
		}},
		{"cmdline", everywhere, false, text(0444, dirOf.cmdline)},
		{"comm", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode {
			f := o.text(c, 0644, func(vfs.Caller) (string, error) { return o.t.Name() + "\n", nil })
			f.Put = o.setComm
			return f
		}},
		{"coredump_filter", everywhere, false, fixed(0644, "00000033\n")},
		{"cwd", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode {
			return o.jump(c, func(fs *vfs.FSContext) vfs.Path { return fs.Cwd() })
		}},
		{"environ", everywhere, false, secret(0400, dirOf.environ)},
		{"exe", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.exe(c) }},
		{"fd", everywhere, true, func(o dirOf, c vfs.Caller) vfs.Inode { return o.fdDir(c, false) }},
		{"fdinfo", everywhere, true, func(o dirOf, c vfs.Caller) vfs.Inode { return o.fdDir(c, true) }},
		{"gid_map", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.idMap(c, true) }},
		{"io", everywhere, false, secret(0400, dirOf.io)},
		{"limits", everywhere, false, text(0444, dirOf.limits)},
		{"loginuid", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode {
			f := o.text(c, 0644, func(vfs.Caller) (string, error) { return "4294967295", nil })
			f.Put = func(vfs.Caller, string) error { return nil } // kept by audit only, which there is none of
			return f
		}},
		{"maps", everywhere, false, secret(0444, dirOf.maps)},
		{"mem", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.mem(c) }},
		{"mountinfo", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.mounts(c, (*vfs.MountNamespace).FormatMountInfo) }},
		{"mounts", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.mounts(c, (*vfs.MountNamespace).FormatMounts) }},
		{"mountstats", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.mounts(c, (*vfs.MountNamespace).FormatMountStats) }},
		{"net", everywhere, true, func(o dirOf, c vfs.Caller) vfs.Inode { return o.netDir(c) }},
		{"ns", everywhere, true, func(o dirOf, c vfs.Caller) vfs.Inode { return o.nsDir(c) }},
		{"oom_adj", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode {
			return o.oom(c, 0644, func(n int32) int32 { return n * 17 / 1000 })
		}},
		{"oom_score", everywhere, false, text(0444, dirOf.oomScore)},
		{"oom_score_adj", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.oom(c, 0644, func(n int32) int32 { return n }) }},
		{"personality", everywhere, false, secret(0400, dirOf.personality)},
		{"projid_map", everywhere, false, fixed(0644, "         0          0 4294967295\n")},
		{"root", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode {
			return o.jump(c, func(fs *vfs.FSContext) vfs.Path { return fs.Root() })
		}},
		{"schedstat", everywhere, false, text(0444, dirOf.schedstat)},
		{"sessionid", everywhere, false, fixed(0444, "4294967295")},
		{"setgroups", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.setgroups(c) }},
		{"smaps", everywhere, false, secret(0444, dirOf.smaps)},
		{"smaps_rollup", everywhere, false, secret(0444, dirOf.smapsRollup)},
		{"stack", everywhere, false, secret(0400, func(dirOf, vfs.Caller) (string, error) { return "", nil })},
		{"stat", everywhere, false, text(0444, dirOf.stat)},
		{"statm", everywhere, false, text(0444, dirOf.statm)},
		{"status", everywhere, false, text(0444, dirOf.status)},
		{"syscall", everywhere, false, secret(0400, dirOf.syscall)},
		{"task", ofProcess, true, func(o dirOf, c vfs.Caller) vfs.Inode { return o.taskList(c) }},
		{"timers", ofProcess, false, fixed(0444, "")},
		{"timerslack_ns", ofProcess, false, fixed(0666, "50000\n")},
		{"uid_map", everywhere, false, func(o dirOf, c vfs.Caller) vfs.Inode { return o.idMap(c, false) }},
		{"wchan", everywhere, false, fixed(0444, "0")},
	}
}

// Made by init, for the functions in them refer to them.
var processFiles, threadFiles []taskFile
var processParts, threadParts []fsutil.Part

func init() {
	for _, f := range taskFiles() {
		part := fsutil.Part{Name: f.name, Dir: f.dir}
		if f.in != ofThread {
			processFiles, processParts = append(processFiles, f), append(processParts, part)
		}
		if f.in != ofProcess {
			threadFiles, threadParts = append(threadFiles, f), append(threadParts, part)
		}
	}
}

// taskDir makes /proc/PID of t's process, or /proc/PID/task/TID. Of its entries programs look at one or two.
func (p *procFS) taskDir(c vfs.Caller, t *kernel.Task, process bool) *fsutil.Dir {
	o := dirOf{p, t, process}
	d := o.dir(c, 0555)
	files, parts := processFiles, processParts
	if !process {
		files, parts = threadFiles, threadParts
	}
	d.SetParts(parts, func(c vfs.Caller, i int) vfs.Inode { return files[i].make(o, c) })
	return d
}

// owner returns whose the files are: root's of a process that may not be dumped (proc(5)).
func (o dirOf) owner() (auth.KUID, auth.KGID) {
	if m := o.t.MM(); m != nil && m.GetInfo().Dumpable != 1 {
		return auth.RootKUID, auth.RootKGID
	}
	cr := o.t.Creds()
	return cr.EUID, cr.EGID
}

// alive reports whether the task's number still means the task.
func (o dirOf) alive() bool {
	id := o.ns.IDOfTask(o.t)
	return id != 0 && o.ns.TaskWithID(id) == o.t
}

// node makes a node belong to the task.
func (o dirOf) node(n *fsutil.Node) {
	n.Owner, n.Alive = o.owner, o.alive
	n.Valid(nil, nil, "")
}

func (o dirOf) dir(c vfs.Caller, perm uint32) *fsutil.Dir {
	d := o.NewDir(c, perm)
	o.node(&d.Node)
	return d
}

func (o dirOf) text(c vfs.Caller, perm uint32, gen func(c vfs.Caller) (string, error)) *fsutil.Text {
	f := o.NewText(c, perm, func(c vfs.Caller) (string, error) {
		if !o.alive() {
			return "", unix.ESRCH
		}
		return gen(c)
	})
	o.node(&f.Node)
	return f
}

// secret is a file that only those may read who may trace the task.
func (o dirOf) secret(c vfs.Caller, perm uint32, gen func(c vfs.Caller) (string, error)) *fsutil.Text {
	f := o.text(c, perm, gen)
	f.MayOpen = func(c vfs.Caller) error { return mayTrace(c, o.t) }
	return f
}

func (o dirOf) link(c vfs.Caller, to func(c vfs.Caller) (string, error), jump func(c vfs.Caller) (vfs.Path, error)) *fsutil.Link {
	l := o.NewLink(c, to)
	l.Jump = jump
	o.node(&l.Node)
	return l
}

// pathLink is a link that shows a path and jumps there.
func (o dirOf) pathLink(c vfs.Caller, get func() (vfs.Path, error)) *fsutil.Link {
	return o.link(c, func(c vfs.Caller) (string, error) {
		if err := mayTrace(c, o.t); err != nil {
			return "", err
		}
		p, err := get()
		if err != nil {
			return "", err
		}
		defer p.DecRef()
		return p.String(c), nil
	}, func(c vfs.Caller) (vfs.Path, error) {
		if err := mayTrace(c, o.t); err != nil {
			return vfs.Path{}, err
		}
		return get()
	})
}

// jump is a link to a place of the task's file system context.
func (o dirOf) jump(c vfs.Caller, get func(fs *vfs.FSContext) vfs.Path) *fsutil.Link {
	return o.pathLink(c, func() (vfs.Path, error) {
		fs := o.t.FS()
		if fs == nil {
			return vfs.Path{}, unix.ENOENT
		}
		return get(fs), nil
	})
}

// exe is the link to the program.
func (o dirOf) exe(c vfs.Caller) *fsutil.Link {
	return o.pathLink(c, func() (vfs.Path, error) {
		m := o.t.MM()
		if m == nil {
			return vfs.Path{}, unix.ENOENT
		}
		f, ok := m.GetInfo().Exe.(*kernel.MappedFile)
		if !ok || f == nil {
			return vfs.Path{}, unix.ENOENT
		}
		p := f.Description().Path()
		p.IncRef()
		return p, nil
	})
}

// taskList is /proc/PID/task.
func (o dirOf) taskList(c vfs.Caller) *fsutil.Dir {
	d := o.dir(c, 0555)
	d.Dirs = func() uint32 { return uint32(len(o.t.ThreadGroup().Tasks())) }
	d.Find = func(c vfs.Caller, name string) (vfs.Inode, error) {
		id, err := parsePID(name)
		if err != nil {
			return nil, err
		}
		t := o.ns.TaskWithID(id)
		if t == nil || t.ThreadGroup() != o.t.ThreadGroup() {
			return nil, unix.ENOENT
		}
		return o.taskDir(c, t, false), nil
	}
	d.List = func(vfs.Caller) ([]fsutil.Entry, error) {
		var list []fsutil.Entry
		for _, t := range o.t.ThreadGroup().Tasks() {
			if id := o.ns.IDOfTask(t); id > 0 {
				list = append(list, fsutil.Entry{Name: itoa(id), Ino: taskIno(t) + 1, Type: unix.DT_DIR, Pos: fsutil.FirstPos + int64(id)})
			}
		}
		sortEntries(list)
		return list, nil
	}
	return d
}

// attrDir is /proc/PID/attr, whose files say that no security module is there.
func (o dirOf) attrDir(c vfs.Caller) *fsutil.Dir {
	d := o.dir(c, 0555)
	for _, name := range [...]string{"current", "prev", "exec", "fscreate", "keycreate", "sockcreate"} {
		d.Add(name, o.text(c, 0666, func(vfs.Caller) (string, error) { return "", unix.EINVAL }))
	}
	return d
}

func (o dirOf) setComm(c vfs.Caller, s string) error {
	if t := taskOf(c); t != nil && t.ThreadGroup() != o.t.ThreadGroup() {
		return unix.EINVAL
	}
	for len(s) > 0 && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
	}
	o.t.SetName(s)
	return nil
}

func (o dirOf) mounts(c vfs.Caller, format func(*vfs.MountNamespace, vfs.Path) string) *fsutil.Text {
	return o.text(c, 0444, func(vfs.Caller) (string, error) {
		ns, fs := o.t.MountNS(), o.t.FS()
		if ns == nil || fs == nil {
			return "", unix.EINVAL
		}
		root := fs.Root()
		defer root.DecRef()
		return format(ns, root), nil
	})
}

func (o dirOf) oom(c vfs.Caller, perm uint32, show func(int32) int32) *fsutil.Text {
	f := o.text(c, perm, func(vfs.Caller) (string, error) {
		return itoa(show(o.t.ThreadGroup().OOMScoreAdj())) + "\n", nil
	})
	f.Put = func(c vfs.Caller, s string) error {
		n, err := strconv.ParseInt(trim(s), 10, 32)
		if err != nil {
			return unix.EINVAL
		}
		if show(1000) != 1000 { // oom_adj: -17 to 15
			if n < -17 || n > 15 {
				return unix.EINVAL
			}
			n = n * 1000 / 17
		}
		if n < -1000 || n > 1000 {
			return unix.EINVAL
		}
		tg := o.t.ThreadGroup()
		if int32(n) < tg.OOMScoreAdj() && c != nil && !c.Creds().HasCap(unix.CAP_SYS_RESOURCE) {
			return unix.EACCES
		}
		tg.SetOOMScoreAdj(int32(n))
		return nil
	}
	return f
}
