package boot

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/platform"
	"ringfort/runsc/control"
	"ringfort/runsc/spec"
	"ringfort/sentry/auth"
	"ringfort/sentry/fs/devpts"
	"ringfort/sentry/fs/host"
	"ringfort/sentry/kernel"
	"ringfort/sentry/limits"
	"ringfort/sentry/socket/netns"
	"ringfort/sentry/vfs"
)

// container is a container in the sandbox.
type container struct {
	s     *sandbox
	id    string
	spec  *specs.Spec
	ns    *vfs.MountNamespace
	root  *vfs.Superblock // of the gofer's export, nil under an overlay
	fs    *vfs.FSContext  // root and working directory of the kernel's own walks
	kc    *kernel.Container
	group platform.Group // of a container that is not the sandbox's first, else nil
	pidns *kernel.PIDNamespace
	uts   *kernel.UTSNamespace
	ipc   *kernel.IPCNamespace
	net   *netns.Namespace
	init  *kernel.ThreadGroup
	// volumes are those mounted that other containers may mount as well.
	volumes []string

	// mu protects what follows; it is a leaf.
	mu      sync.Mutex
	started bool
	gone    bool
	execs   map[int32]*kernel.ThreadGroup
	// consoles are the terminals of processes that runsc started.
	consoles map[*kernel.ThreadGroup]*devpts.Console
}

// newContainer mounts the container's files and loads its program.
func newContainer(s *sandbox, a *control.CreateArgs) (_ *container, err error) {
	c := &container{s: s, id: a.ID, spec: a.Spec, execs: map[int32]*kernel.ThreadGroup{}, consoles: map[*kernel.ThreadGroup]*devpts.Console{}}
	defer func() {
		if err != nil {
			c.letGo()
		}
	}()
	if err := c.place(a); err != nil {
		return nil, err
	}
	if err := c.namespaces(a); err != nil {
		return nil, err
	}
	if err := c.mountAll(a); err != nil {
		return nil, err
	}
	if err := c.setSysctls(); err != nil {
		return nil, err
	}
	tg, err := c.load(a.Spec.Process, a.Stdio, a.Console, a.Preserved)
	if err != nil {
		return nil, err
	}
	c.init = tg
	return c, nil
}

// place has the host charge what the container's applications use to the container's own cgroups. Those of the
// sandbox's first container are where the Sentry is.
func (c *container) place(a *control.CreateArgs) error {
	defer closeFiles(a.Cgroups)
	var p platform.Platform
	if a.ID != c.s.conf.ID {
		g, err := c.s.k.Platform().(platform.Grouper).NewGroup()
		if err != nil {
			return fmt.Errorf("processes of the container: %w", err)
		}
		c.group, p = g, g
		for _, f := range a.Cgroups {
			if _, err := fmt.Fprintf(f, "%d\n", g.PID()); err != nil {
				return fmt.Errorf("put the container's processes into its cgroup: %w", err)
			}
		}
	}
	c.kc = c.s.k.NewContainer(a.ID, kernel.NewTaskCount(pidsLimit(a.Spec)), p)
	c.kc.SetLimits(a.MemoryLimit, a.CPUQuota)
	c.kc.SetCPUs(cpusOf(a.Spec))
	c.kc.SetShares(sharesOf(a.Spec))
	c.kc.AfterSleep(c.doubt)
	return nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (c *container) caller() *kernel.Caller {
	return c.s.k.NewCaller(c.fs, c.ns).InContainer(c.kc, c.pidns, c.uts, c.ipc)
}

// start lets the first process run.
func (c *container) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started {
		return &control.Error{Text: fmt.Sprintf("container %q has been started already", c.id), Kind: control.KindNotRunning}
	}
	c.started = true
	c.init.Start()
	go func() {
		// The end of its init is the end of the container, whose PID namespace may be another's and live on.
		<-c.init.Done()
		c.kc.Signal(int32(unix.SIGKILL))
	}()
	return nil
}

// exec starts another process in the container.
func (c *container) exec(a *control.ExecArgs) (int32, error) {
	c.doubt()
	tg, err := c.load(a.Process, a.Stdio, a.Console, a.Preserved)
	if err != nil {
		return 0, err
	}
	pid := c.pidns.IDOfThreadGroup(tg)
	c.mu.Lock()
	c.execs[pid] = tg
	c.mu.Unlock()
	tg.Start()
	return pid, nil
}

// doubt has the root's files asked for again. Engines write into the root of a container that runs (docker cp), and do
// not tell; who did so and now has the container do something wants it seen, and so does a program that sleeps and looks
// again.
func (c *container) doubt() {
	if c.root != nil {
		c.root.Doubt()
	}
}

// release lets go of what the container has. Its processes have been killed; what they hold goes with them.
func (c *container) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	if !c.started {
		c.init.Start() // it has been killed: it goes by itself
	}
	left := []*kernel.ThreadGroup{c.init}
	for _, tg := range c.execs {
		left = append(left, tg)
	}
	go func() {
		for _, tg := range left {
			<-tg.Done()
			c.s.k.Reap(tg)
		}
		c.letGo()
	}()
}

// letGo gives up everything but the processes.
func (c *container) letGo() {
	c.s.volumes.drop(c.volumes)
	if c.fs != nil {
		c.fs.DecRef()
		c.ns.DecRef()
	}
	if c.ipc != nil {
		c.ipc.DecRef()
	}
	if c.net != nil {
		c.net.DecRef()
	}
	if c.kc != nil {
		c.kc.Release()
	}
	if c.group != nil {
		c.group.Release()
	}
}

// load makes a process that runs p, not started yet.
func (c *container) load(p *specs.Process, stdio [3]*os.File, console *os.File, preserved []*os.File) (*kernel.ThreadGroup, error) {
	if p == nil {
		return nil, errors.New("config.json: process: is missing, so there is nothing to start")
	}
	creds, err := c.credentials(p)
	if err != nil {
		return nil, err
	}
	fds := vfs.NewFDTable()
	con, err := c.openStdio(fds, p, stdio, console, preserved)
	if err != nil {
		fds.DecRef(c.caller())
		return nil, err
	}
	fs, err := c.processFS(p)
	if err != nil {
		fds.DecRef(c.caller())
		return nil, err
	}
	lim, err := processLimits(p)
	if err != nil {
		return nil, err
	}
	filters, err := seccompFilters(c.spec)
	if err != nil {
		return nil, err
	}
	args := &kernel.InitArgs{
		Container: c.kc, Creds: creds, Limits: lim, FDs: fds, FS: fs, Mounts: c.ns, UTS: c.uts,
		IPC: c.ipc, Net: c.net, PIDNS: c.pidns, Seccomp: filters,
	}
	tg, err := c.s.k.CreateProcess(args, func(t *kernel.Task) (*kernel.Image, error) { return c.image(t, p) })
	if err != nil {
		return nil, err
	}
	if con != nil {
		con.Control(tg)
		c.mu.Lock()
		c.consoles[tg] = con
		c.mu.Unlock()
	}
	if p.OOMScoreAdj != nil {
		tg.SetOOMScoreAdj(int32(*p.OOMScoreAdj))
	}
	return tg, nil
}

// image finds args[0] as execvp(3) would and loads it.
func (c *container) image(t *kernel.Task, p *specs.Process) (*kernel.Image, error) {
	name := p.Args[0]
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range strings.Split(envPath(p.Env), ":") {
			candidates = append(candidates, path.Join("/", dir, name))
		}
	}
	var worst error = unix.ENOENT
	for _, file := range candidates {
		d, err := vfs.OpenExec(t, vfs.Path{}, file, 0)
		if err == nil {
			im, err := c.s.k.Load(t, &kernel.LoadArgs{Path: file, File: d, Argv: p.Args, Envv: c.environ(p)})
			d.DecRef(t)
			if err != nil {
				return nil, execError(name, err)
			}
			return im, nil
		}
		if err != unix.ENOENT && err != unix.ENOTDIR {
			worst = err
		}
	}
	if worst == unix.ENOENT && !strings.Contains(name, "/") {
		return nil, &control.Error{Text: fmt.Sprintf("exec: %q: executable file not found in $PATH", name), Exit: 127}
	}
	return nil, execError(name, worst)
}

// execError gives an execve(2) failure the exit code of a shell.
func execError(name string, err error) error {
	exit := 126
	var text string
	switch err {
	case unix.ENOENT:
		exit, text = 127, "no such file or directory"
	case unix.EACCES:
		text = "permission denied"
	case unix.ENOEXEC:
		text = "exec format error"
	default:
		text = err.Error()
	}
	return &control.Error{Text: fmt.Sprintf("exec: %q: %s", name, text), Exit: exit}
}

// envPath returns the search path of an environment.
func envPath(env []string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

// openStdio puts the inherited descriptors into the table. With a terminal it
// returns the console.
func (c *container) openStdio(fds *vfs.FDTable, p *specs.Process, stdio [3]*os.File, console *os.File, preserved []*os.File) (*devpts.Console, error) {
	k := c.caller()
	var con *devpts.Console
	if p.Terminal {
		var d *vfs.Description
		var err error
		if con, d, err = c.openConsole(k, console, p); err != nil {
			return nil, err
		}
		defer d.DecRef(k)
		for fd := range int32(3) {
			if err := fds.InstallAt(k, d, fd, false, maxFD); err != nil {
				return nil, err
			}
		}
	} else {
		for fd, f := range stdio {
			if f == nil {
				continue
			}
			if err := installHost(k, fds, f, int32(fd)); err != nil {
				return nil, err
			}
		}
	}
	for i, f := range preserved {
		if err := installHost(k, fds, f, int32(3+i)); err != nil {
			return nil, err
		}
	}
	return con, nil
}

// maxFD bounds the descriptors a process starts with.
const maxFD = 1 << 20

func installHost(k *kernel.Caller, fds *vfs.FDTable, f *os.File, fd int32) error {
	d, err := host.New(f)
	if err != nil {
		return fmt.Errorf("standard descriptor %d: %w", fd, err)
	}
	defer d.DecRef(k)
	return fds.InstallAt(k, d, fd, false, maxFD)
}

// processFS returns root, working directory and umask of a process.
func (c *container) processFS(p *specs.Process) (*vfs.FSContext, error) {
	k := c.caller()
	cwd := p.Cwd
	if cwd == "" {
		cwd = "/"
	}
	at, err := vfs.Walk(k, vfs.Path{}, cwd, vfs.FollowLast)
	if err == unix.ENOENT {
		if err = c.mkdirAll(cwd); err == nil {
			at, err = vfs.Walk(k, vfs.Path{}, cwd, vfs.FollowLast)
		}
	}
	if err == nil && at.Inode().Base().Type() != unix.S_IFDIR {
		at.DecRef()
		err = unix.ENOTDIR
	}
	if err != nil {
		return nil, fmt.Errorf("process.cwd: %s: %w", cwd, err)
	}
	umask := uint32(0o022)
	if p.User.Umask != nil {
		umask = *p.User.Umask & 0o777
	}
	return vfs.NewFSContext(c.fs.Root(), at, umask), nil
}

// credentials returns the identity p asks for.
func (c *container) credentials(p *specs.Process) (*auth.Credentials, error) {
	ns := c.s.k.InitUserNS()
	uid, ok := ns.KUID(p.User.UID)
	if !ok {
		return nil, fmt.Errorf("process.user.uid: linux.uidMappings do not map %d", p.User.UID)
	}
	gid, ok := ns.KGID(p.User.GID)
	if !ok {
		return nil, fmt.Errorf("process.user.gid: linux.gidMappings do not map %d", p.User.GID)
	}
	cr := &auth.Credentials{
		RUID: uid, EUID: uid, SUID: uid, FSUID: uid, RGID: gid, EGID: gid, SGID: gid, FSGID: gid,
		NoNewPrivs: p.NoNewPrivileges, UserNS: ns,
	}
	for _, g := range p.User.AdditionalGids {
		k, ok := ns.KGID(g)
		if !ok {
			return nil, fmt.Errorf("process.user.additionalGids: linux.gidMappings do not map %d", g)
		}
		cr.Groups = append(cr.Groups, k)
	}
	if caps := p.Capabilities; caps != nil {
		cr.Bounding, cr.Effective, cr.Permitted = capSet(caps.Bounding), capSet(caps.Effective), capSet(caps.Permitted)
		cr.Inheritable, cr.Ambient = capSet(caps.Inheritable), capSet(caps.Ambient)
	}
	return cr, nil
}

// capSet returns the set of named capabilities; names have been checked.
func capSet(names []string) (s auth.CapSet) {
	for _, n := range names {
		if nr := spec.CapabilityNumber(n); nr >= 0 {
			s |= auth.CapOf(nr)
		}
	}
	return s
}

// rlimits are the names of resource limits (runtime-spec, config.md#posix-process).
var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

func processLimits(p *specs.Process) (*limits.Set, error) {
	set := limits.New()
	for _, l := range p.Rlimits {
		nr, ok := rlimits[l.Type]
		if !ok {
			return nil, fmt.Errorf("process.rlimits: unknown limit %q", l.Type)
		}
		set.Put(nr, limits.Limit{Cur: l.Soft, Max: l.Hard})
	}
	return set, nil
}
