package kernel

import (
	"golang.org/x/sys/unix"

	"ringfort/sentry/arch"
	"ringfort/sentry/auth"
	"ringfort/sentry/limits"
	"ringfort/sentry/mm"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/usermem"
	"ringfort/sentry/vfs"
	"ringfort/sentry/wait"
)

// CloneArgs are the arguments of clone3(2).
type CloneArgs struct {
	Flags      uint64
	PIDFD      usermem.Addr
	ChildTID   usermem.Addr
	ParentTID  usermem.Addr
	ExitSignal int32
	Stack      uint64 // the new stack pointer, 0: the parent's
	TLS        uint64
	SetTID     []int32 // from the innermost namespace outward
}

// namespaceFlags ask for new namespaces.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID |
	unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// check refuses combinations clone(2) lists under EINVAL.
func (a *CloneArgs) check() error {
	f := a.Flags
	has := func(bits uint64) bool { return f&bits != 0 }
	switch {
	case has(unix.CLONE_SIGHAND) && !has(unix.CLONE_VM),
		has(unix.CLONE_THREAD) && !has(unix.CLONE_SIGHAND),
		has(unix.CLONE_FS) && has(unix.CLONE_NEWNS|unix.CLONE_NEWUSER),
		has(unix.CLONE_THREAD) && has(unix.CLONE_NEWUSER|unix.CLONE_NEWPID),
		has(unix.CLONE_NEWIPC) && has(unix.CLONE_SYSVSEM),
		has(unix.CLONE_PIDFD) && has(unix.CLONE_DETACHED),
		a.ExitSignal < 0 || a.ExitSignal > SignalMax:
		return unix.EINVAL
	case has(unix.CLONE_NEWTIME):
		return unix.EINVAL // time namespaces are a known gap
	}
	return nil
}

// Clone makes a task (clone(2), fork(2), vfork(2)). It returns the new task's
// ID in the caller's namespace.
func (t *Task) Clone(a *CloneArgs) (int32, error) {
	if err := a.check(); err != nil {
		return 0, err
	}
	n, err := t.newTask(a)
	if err != nil {
		return 0, err
	}
	tid := n.idIn(t.ids[0].ns)
	if a.Flags&unix.CLONE_PARENT_SETTID != 0 {
		_ = usermem.CopyOutVal(t.MM(), a.ParentTID, &tid) // as Linux: not an error of clone
	}
	var done chan struct{}
	if a.Flags&unix.CLONE_VFORK != 0 {
		done = make(chan struct{})
		n.vfork = done
	}
	if m := t.MM(); m.Stale() {
		// The child must not run while this process can still write pages that
		// are shared now.
		if err := m.Flush(t.ctx); err != nil {
			t.hostFailure("map memory", err)
		}
	}
	n.start()
	if done != nil {
		t.waitVfork(done)
	}
	return tid, nil
}

// waitVfork waits until the child execs or exits. Only death interrupts it.
func (t *Task) waitVfork(done chan struct{}) {
	t.idle()
	t.state.Store(StateSleep)
	t.stopCPU()
	defer t.startCPU()
	for {
		select {
		case <-done:
			t.state.Store(StateRunning)
			return
		case <-t.wake:
			if t.attention.Load()&attnKill != 0 {
				return
			}
		}
	}
}

// newTask makes a task that shares or copies t's things as a says. It is not
// started yet.
func (t *Task) newTask(a *CloneArgs) (_ *Task, err error) {
	k := t.k
	has := func(bits uint64) bool { return a.Flags&bits != 0 }
	creds, err := t.cloneCreds(a.Flags)
	if err != nil {
		return nil, err
	}
	if err := t.checkProcessLimit(creds); err != nil {
		return nil, err
	}
	n := &Task{k: k, wake: make(chan struct{}, 1), ctx: t.Platform().NewContext(&t.k.ready), regs: *t.Registers(), sched: t.childSched()}
	defer func() {
		if err != nil {
			n.discard(t)
		}
	}()
	n.started = k.Monotonic()
	n.state.Store(StateRunning)
	n.creds.Store(creds)
	n.name = t.Name()
	n.seccomp.Store(t.seccomp.Load())
	n.persona.Store(t.persona.Load())
	n.regs.Rax = 0
	if a.Stack != 0 {
		n.regs.Rsp = a.Stack
	}
	if has(unix.CLONE_SETTLS) {
		n.regs.FsBase = a.TLS
	}
	if has(unix.CLONE_CHILD_CLEARTID) {
		n.clearTID = a.ChildTID
	}
	if err := t.ctx.SaveFP(&t.fp); err != nil {
		return nil, err
	}
	n.fp = t.fp.Copy()
	if err := t.cloneNamespaces(n, a.Flags, creds); err != nil {
		return nil, err
	}
	if has(unix.CLONE_VM) {
		m := t.MM()
		m.IncUsers()
		n.mmp.Store(m)
		n.ctx.Inherit(t.ctx)
	} else {
		m, err := t.MM().Fork(t.Platform(), func() error { return t.MM().Flush(t.ctx) })
		if err != nil {
			return nil, unix.ENOMEM
		}
		n.mmp.Store(m)
		k.mourn(m)
	}
	if !has(unix.CLONE_VM) || has(unix.CLONE_VFORK) {
		n.altStack = t.altStack
	}
	if has(unix.CLONE_SYSVSEM) {
		t.shareUndo(n)
	}
	if has(unix.CLONE_CHILD_SETTID) {
		n.setTID = a.ChildTID
	}
	if has(unix.CLONE_FILES) {
		f := t.fds.Load()
		f.IncRef()
		n.fds.Store(f)
	} else {
		n.fds.Store(t.fds.Load().Copy())
	}
	if has(unix.CLONE_PIDFD) {
		if k.NewPIDFD == nil {
			return nil, unix.EINVAL
		}
	}
	if err := t.join(n, a); err != nil {
		return nil, err
	}
	if has(unix.CLONE_PIDFD) {
		fd, err := k.NewPIDFD(t, n.tg, 0)
		if err == nil {
			err = usermem.CopyOutVal(t.MM(), a.PIDFD, &fd)
		}
		if err != nil {
			t.unjoin(n)
			return nil, err
		}
	}
	return n, nil
}

// discard lets go of what a task that never ran holds. It has no process, so its
// files are closed by its maker, as in Linux.
func (n *Task) discard(maker vfs.Caller) {
	n.dropUndo()
	if f := n.fds.Load(); f != nil {
		f.DecRef(maker)
	}
	if m := n.mmp.Load(); m != nil {
		m.DecUsers()
	}
	if f := n.fs.Load(); f != nil {
		f.DecRef()
	}
	n.releaseNamespaces()
	n.ctx.Release()
}

// cloneCreds returns the credentials of a clone: t's, or those of a new user namespace.
func (t *Task) cloneCreds(flags uint64) (*auth.Credentials, error) {
	c := t.Creds()
	if flags&unix.CLONE_NEWUSER == 0 {
		return c, nil
	}
	return t.enterNewUserNS(c)
}

// enterNewUserNS returns c in a new user namespace, with all capabilities there.
func (t *Task) enterNewUserNS(c *auth.Credentials) (*auth.Credentials, error) {
	if t.FS().Chrooted(t.MountNS()) || !c.UserNS.MapsUID(c.EUID) || !c.UserNS.MapsGID(c.EGID) {
		return nil, unix.EPERM
	}
	ns, ok := c.UserNS.NewChild(c.EUID, c.EGID)
	if !ok {
		return nil, unix.ENOSPC
	}
	d := c.Copy()
	d.UserNS = ns
	d.Permitted, d.Effective, d.Bounding, d.Inheritable, d.Ambient = auth.AllCaps, auth.AllCaps, auth.AllCaps, 0, 0
	d.SecureBits, d.KeepCaps = 0, false
	return d, nil
}

// checkProcessLimit enforces RLIMIT_NPROC and the sandbox's own bound.
func (t *Task) checkProcessLimit(c *auth.Credentials) error {
	if t.k.live.Load() >= t.k.maxTask {
		return unix.EAGAIN
	}
	limit := t.tg.limits.Get(unix.RLIMIT_NPROC).Cur
	if limit == limits.Infinity || c.RUID == auth.RootKUID || c.HasRootCap(unix.CAP_SYS_RESOURCE) || c.HasRootCap(unix.CAP_SYS_ADMIN) {
		return nil
	}
	n := uint64(0)
	for _, o := range t.k.rootPIDNS.Tasks() {
		if o.Creds().RUID == c.RUID {
			n++
		}
	}
	if n >= limit {
		return unix.EAGAIN
	}
	return nil
}

// cloneNamespaces gives n its namespaces and file system context.
func (t *Task) cloneNamespaces(n *Task, flags uint64, c *auth.Credentials) error {
	if flags&namespaceFlags&^unix.CLONE_NEWUSER != 0 && !c.HasCap(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	k := t.k
	fs := t.fs.Load()
	if flags&unix.CLONE_FS != 0 {
		fs.IncRef()
	} else {
		fs = fs.Copy()
	}
	n.fs.Store(fs)
	mounts, uts, ipc, net, pid := t.mounts.Load(), t.uts.Load(), t.ipc.Load(), t.net.Load(), t.childNS.Load()
	if flags&unix.CLONE_NEWNS != 0 {
		mounts = mounts.Clone(fs, c.UserNS)
	} else {
		mounts.IncRef()
	}
	n.mounts.Store(mounts)
	if flags&unix.CLONE_NEWUTS != 0 {
		uts = k.NewUTSNS(uts, c.UserNS)
	}
	n.uts.Store(uts)
	if flags&unix.CLONE_NEWIPC != 0 {
		ipc = newIPCNamespace(k, c.UserNS)
	} else {
		ipc.IncRef()
	}
	n.ipc.Store(ipc)
	if flags&unix.CLONE_NEWNET != 0 {
		fresh, err := newNetNS(c.UserNS)
		if err != nil {
			return unix.ENOMEM
		}
		net = fresh
	} else if net != nil {
		net.IncRef()
	}
	n.net.Store(net)
	cgroup := t.cgroup.Load()
	if flags&unix.CLONE_NEWCGROUP != 0 {
		cgroup = k.newCgroupNS(c.UserNS)
	}
	n.cgroup.Store(cgroup)
	if flags&unix.CLONE_NEWPID != 0 {
		pid = newPIDNamespace(pid, c.UserNS)
		pid.inode = k.nsInode()
		if pid.level > auth.MaxUserNSDepth {
			return unix.ENOSPC
		}
	}
	n.childNS.Store(pid)
	return nil
}

func (t *Task) releaseNamespaces() {
	if ipc := t.ipc.Swap(nil); ipc != nil {
		ipc.DecRef()
	}
	if m := t.mounts.Load(); m != nil {
		m.DecRef()
	}
	if net := t.net.Swap(nil); net != nil {
		net.DecRef()
	}
}

// join gives n its IDs and its place in the tree of tasks.
func (t *Task) join(n *Task, a *CloneArgs) error {
	k := t.k
	k.tree.Lock()
	defer k.tree.Unlock()
	t.tg.sig.Lock()
	defer t.tg.sig.Unlock()
	if t.tg.groupExit || t.attention.Load()&attnSignal != 0 && (t.pending.set|t.tg.pending.set)&^t.mask != 0 && a.Flags&unix.CLONE_THREAD == 0 {
		// As Linux: a fork never misses a signal sent to the group before it.
		return wait.ErrRestartNoIntr
	}
	if !t.tg.container.count.add(true) {
		return unix.EAGAIN
	}
	if err := n.takeIDs(n.childNS.Load(), a.SetTID); err != nil {
		t.tg.container.count.remove()
		return err
	}
	n.mask = t.mask
	if a.Flags&unix.CLONE_THREAD != 0 {
		n.tg = t.tg
		t.tg.tasks = append(t.tg.tasks, n)
		if t.tg.stopping {
			t.tg.stopCount++
			n.attention.Or(attnStop)
		}
	} else {
		t.newGroup(n, a)
	}
	k.live.Add(1)
	k.forks.Add(1)
	return nil
}

// newGroup makes n the leader of a thread group that is a child of t's (or, with
// CLONE_PARENT, a sibling). Kernel.tree and t.tg.sig are held.
func (t *Task) newGroup(n *Task, a *CloneArgs) {
	tg := &ThreadGroup{
		k: t.k, limits: t.tg.limits.Copy(), tasks: []*Task{n}, exitSignal: a.ExitSignal,
		startTime: n.started, container: t.tg.container, done: make(chan struct{}),
	}
	tg.leader.Store(n)
	tg.oomScoreAdj.Store(t.tg.OOMScoreAdj())
	n.tg, tg.pid = tg, &PID{n.ids}
	if a.Flags&unix.CLONE_VM == 0 {
		n.MM().SetOwner(tg.pid)
	}
	switch {
	case a.Flags&unix.CLONE_SIGHAND != 0:
		t.tg.actions.refs.Add(1)
		tg.actions = t.tg.actions
	default:
		tg.actions = t.tg.actions.copy()
	}
	if a.Flags&unix.CLONE_CLEAR_SIGHAND != 0 {
		for i := range tg.actions.a {
			if tg.actions.a[i].Handler > SigIgn {
				tg.actions.a[i] = SigAction{}
			}
		}
	}
	if a.Flags&unix.CLONE_PARENT != 0 && t.tg.Parent() != nil {
		tg.parent.Store(t.tg.Parent())
		tg.parentTask, tg.exitSignal = t.tg.parentTask, t.tg.exitSignal
	} else {
		tg.parent.Store(t.tg)
		tg.parentTask = t
	}
	tg.sig.Lock()
	tg.watchCPU() // RLIMIT_CPU is inherited
	tg.sig.Unlock()
	p := tg.Parent()
	p.children = append(p.children, tg)
	t.k.joinGroup(tg, t.tg.group)
	if ns := n.ids[0].ns; ns.init == nil {
		ns.init, tg.reaper = tg, true
	}
}

// takeIDs gives n an ID in ns and each of its ancestors. want names some, from
// ns outward.
func (n *Task) takeIDs(ns *PIDNamespace, want []int32) error {
	i := 0
	for ; ns != nil; ns = ns.parent {
		w := int32(0)
		if i < len(want) {
			w = want[i]
		}
		i++
		id, ok := ns.allocate(n, w)
		if !ok {
			for _, e := range n.ids {
				e.ns.free(e.id)
			}
			n.ids = nil
			if w != 0 {
				return unix.EEXIST
			}
			if ns.dead {
				return unix.ENOMEM
			}
			return unix.EAGAIN
		}
		n.ids = append(n.ids, nsID{ns, id})
	}
	return nil
}

// unjoin takes back join for a task that never ran.
func (t *Task) unjoin(n *Task) {
	k := t.k
	k.tree.Lock()
	defer k.tree.Unlock()
	n.tg.sig.Lock()
	defer n.tg.sig.Unlock()
	n.exited = true
	if n.tg == t.tg {
		for i, o := range t.tg.tasks {
			if o == n {
				t.tg.tasks = append(t.tg.tasks[:i:i], t.tg.tasks[i+1:]...)
				break
			}
		}
		n.reapIDs()
		return
	}
	n.tg.tasks, n.tg.zombie = nil, true
	k.reap(n.tg)
}

// finishClone does the child's part of clone in its own context.
func (t *Task) finishClone() {
	if t.setTID != 0 {
		tid := t.TID()
		_ = usermem.CopyOutVal(t.MM(), t.setTID, &tid) // as Linux: not an error of clone
		t.setTID = 0
	}
}

// InitArgs describe the first process of a container, or one that runsc exec adds.
type InitArgs struct {
	Container *Container
	Creds     *auth.Credentials
	Limits    *limits.Set
	FDs       *vfs.FDTable // reference taken over
	FS        *vfs.FSContext
	Mounts    *vfs.MountNamespace
	UTS       *UTSNamespace
	IPC       *IPCNamespace
	Net       *netns.Namespace
	PIDNS     *PIDNamespace
	Umask     uint32
	Seccomp   []SeccompFilter
}

// CreateProcess makes a process without a parent, which runs what image says
// once Start is called on it.
func (k *Kernel) CreateProcess(a *InitArgs, load func(t *Task) (*Image, error)) (*ThreadGroup, error) {
	t := &Task{k: k, wake: make(chan struct{}, 1), ctx: a.Container.platform.NewContext(&k.ready), started: k.Monotonic()}
	t.state.Store(StateRunning)
	t.creds.Store(a.Creds)
	t.fds.Store(a.FDs)
	t.fs.Store(a.FS)
	a.Mounts.IncRef()
	t.mounts.Store(a.Mounts)
	t.uts.Store(a.UTS)
	a.IPC.IncRef()
	t.ipc.Store(a.IPC)
	if a.Net != nil {
		a.Net.IncRef()
	}
	t.net.Store(a.Net)
	t.cgroup.Store(k.rootCgroup)
	t.childNS.Store(a.PIDNS)
	tg := &ThreadGroup{
		k: k, limits: a.Limits, tasks: []*Task{t}, startTime: t.started, actions: newActions(),
		container: a.Container, awaited: true, done: make(chan struct{}), exitSignal: int32(unix.SIGCHLD),
	}
	tg.leader.Store(t)
	t.tg = tg
	tg.CPULimitChanged()
	im, err := load(t)
	if err != nil {
		t.discard(k.NewCaller(a.FS, a.Mounts))
		return nil, err
	}
	k.tree.Lock()
	err = t.takeIDs(a.PIDNS, nil)
	if err != nil {
		k.tree.Unlock()
		im.MM.DecUsers()
		t.discard(k.NewCaller(a.FS, a.Mounts))
		return nil, err
	}
	if a.PIDNS.init == nil {
		a.PIDNS.init, tg.reaper = tg, true
	}
	tg.pid = &PID{t.ids}
	k.newSession(tg)
	tg.container.count.add(false)
	k.live.Add(1)
	k.forks.Add(1)
	k.tree.Unlock()
	for i := range a.Seccomp {
		t.addSeccomp(&a.Seccomp[i])
	}
	t.install(im)
	if im.File != nil {
		im.File.DecRef(t)
	}
	return tg, nil
}

// Start begins the execution of a process made by CreateProcess.
func (tg *ThreadGroup) Start() { tg.Leader().start() }

// install puts a loaded program in t: a fresh address space and registers.
func (t *Task) install(im *Image) {
	im.MM.SetOwner(t.tg.pid)
	old := t.mmp.Swap(im.MM)
	t.k.mourn(im.MM)
	if old != nil {
		old.DecUsers()
	}
	*t.Registers() = arch.Registers{Rip: uint64(im.Entry), Rsp: uint64(im.Stack), Eflags: 0x202, Cs: arch.UserCS, Ss: arch.UserSS}
	t.fp.Reset()
	t.SetName(im.Name)
	if im.Creds != nil {
		t.creds.Store(im.Creds)
	}
	im.MM.SetInfo(func(i *mm.Info) {
		if im.Secure {
			i.Dumpable = 0
		}
	})
}
