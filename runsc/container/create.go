package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/boot"
	"ringfort/runsc/control"
	"ringfort/runsc/export"
	"ringfort/runsc/isolate"
	"ringfort/runsc/spec"
	"ringfort/sentry/auth"
)

// CreateOptions are those of `create` and `run`.
type CreateOptions struct {
	Bundle        string
	PidFile       string
	ConsoleSocket string
	PreserveFDs   int
	// Spec replaces the bundle's config.json (`runsc do`); it has been checked.
	Spec *specs.Spec
	// Relay keeps the master of the console for Run instead of sending it to a socket.
	Relay bool
}

// A birth is a container while it is created: what has to be undone when a step fails.
type birth struct {
	*Container
	create     *CreateOptions
	sandbox    *sandboxRef // that it joins; nil: one of its own
	sentry     *child
	gofer      *child
	keeper     *child // of a container that joins a sandbox
	keeperConn *os.File
	forwarder  *child          // of a pod
	follower   *child          // with Options.FollowLinks
	client     *control.Client // first connection to the Sentry
	master     *os.File        // of the console
	files      []*os.File      // to close when all is done
	log        *os.File
	nest       *nursery      // the cgroups that the container's processes are born in
	nestErr    error         // why there are none
	entered    chan struct{} // closed when cgroupErr is known
	cgroupErr  error
	network    network
	scrape     func() error  // scrapeNetwork, once
	scraping   bool          // since before hand
	uidMap     []auth.Extent // of the container's user namespace
	gidMap     []auth.Extent
	rootUID    uint32 // of the container, as the gofer sees it
	rootGID    uint32
	goferUIDs  []auth.Extent // of the gofer's user namespace, where an ordinary user needs help with it
	goferGIDs  []auth.Extent
	args       control.CreateArgs // for the Sentry, gathered step by step
}

// network is what was decided about the sandbox's network namespace.
type network struct {
	fresh bool     // a new namespace, made with the Sentry
	host  bool     // that of the host: the Sentry makes sockets of the host's
	join  *os.File // the namespace to join
}

// Create makes a container that waits for Start. The caller must Close it.
func Create(opts *Options, id string, co *CreateOptions) (*Container, error) {
	b, err := create(opts, id, co)
	if err != nil {
		return nil, err
	}
	if err := b.keep(); err != nil {
		b.abort()
		return nil, err
	}
	b.done()
	return b.Container, nil
}

// create does all of Create but the last step; the sandbox still depends on this process.
func create(opts *Options, id string, co *CreateOptions) (_ *birth, err error) {
	bundle, err := filepath.Abs(co.Bundle)
	if err != nil {
		return nil, err
	}
	s := co.Spec
	if s == nil {
		if s, err = spec.Load(bundle); err != nil {
			return nil, err
		}
	}
	if s.Process.Terminal && co.ConsoleSocket == "" && !co.Relay {
		return nil, errors.New("cannot allocate tty if runsc will detach without setting console socket")
	}
	if !s.Process.Terminal && co.ConsoleSocket != "" {
		return nil, errors.New("cannot use console socket if runsc will not detach or allocate tty")
	}
	if err := checkShared(s); err != nil {
		return nil, err
	}
	c, err := claim(opts, id)
	if err != nil {
		return nil, err
	}
	c.Spec = s
	c.Bundle, c.Rootfs, c.Created, c.Owner = bundle, s.Root.Path, time.Now().UTC(), owner()
	c.Status, c.SystemdCgroup = control.Creating, opts.SystemdCgroup
	b := &birth{Container: c, create: co}
	go func() { _, _ = c.cgroupManager() }() // it looks around for a while
	defer func() {
		if err != nil {
			b.abort()
		}
	}()
	if b.sandbox, err = findSandbox(opts, s); err != nil {
		return nil, err
	}
	steps := []func() error{b.identities, b.hostNames, b.record, b.decideNetwork, b.launchBoth, b.hooksBefore, b.hand}
	if b.sandbox != nil {
		b.Sandbox, b.Sentry = b.sandbox.root.ID, b.sandbox.root.Sentry
		steps = []func() error{b.identities, b.record, b.joinSandbox, b.hooksBefore, b.handOver}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func owner() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return strconv.Itoa(os.Geteuid())
}

// record writes what has to be known to clean up, before there is anything to clean up.
func (b *birth) record() error {
	b.Cgroup, b.CgroupsPath = true, b.Spec.Linux.CgroupsPath
	if err := b.writeJSON(spec.ConfigName, b.Spec); err != nil {
		return err
	}
	return b.save()
}

// decideNetwork finds out which network namespace the Sentry is born in.
func (b *birth) decideNetwork() error {
	ns, ok := spec.NetworkNamespace(b.Spec)
	if b.opts.Network == "none" || ok && ns.Path == "" {
		b.network.fresh = true
		return nil
	}
	if !ok {
		b.network.host = true
		return nil
	}
	f, err := os.Open(ns.Path)
	if err != nil {
		return fmt.Errorf("linux.namespaces: network: %w", err)
	}
	b.files = append(b.files, f)
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return fmt.Errorf("linux.namespaces: %s is not a network namespace", ns.Path)
	}
	if sameFile(ns.Path, "/proc/self/ns/net") {
		b.network.host = true
		return nil
	}
	b.network.join = f
	return nil
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// launchBoth starts gofer and Sentry side by side, in the cgroups that are made for them, and what else can be done
// while they come up.
func (b *birth) launchBoth() error {
	if err := b.openLog(); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	startGofer, err := b.prepareGofer(null)
	if err != nil {
		return err
	}
	b.nest, b.nestErr = b.makeCgroup()
	defer b.nest.close()
	b.entered = make(chan struct{})
	var serving <-chan error
	gofer := async(func() (err error) {
		serving, err = startGofer(b.nest)
		return err
	})
	sentryErr := b.launchSentry(null)
	if err := <-gofer; err != nil {
		close(b.entered)
		return err
	}
	if sentryErr == nil {
		b.Sentry, b.Init, b.Gofer = b.sentry.id, b.sentry.id, b.gofer.id
		sentryErr = b.launchStandIn(null)
	}
	if sentryErr != nil {
		close(b.entered)
	} else {
		sentryErr = b.configureSentry()
	}
	err = <-serving
	if sentryErr != nil {
		return b.explain(sentryErr, b.sentry)
	}
	if err != nil {
		return b.explain(err, b.gofer)
	}
	<-b.entered
	if b.cgroupErr != nil {
		return b.cgroupErr
	}
	return b.showPids(b.Sentry.PID, b.Init.PID)
}

// async runs f, and says on the channel how that went.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// configureSentry sets the limits of the cgroups, and has the Sentry build its kernel beside that.
func (b *birth) configureSentry() error {
	joined := make(chan struct{})
	go func() {
		b.cgroupErr = b.enterCgroup(b.nest, b.nestErr, sync.OnceFunc(func() { close(joined) }), b.pids()...)
		close(b.entered)
	}()
	score := b.setOOMScore()
	// Once it has its configuration the Sentry starts processes for applications, whose memory would count outside of
	// the cgroup.
	<-joined
	b.scrape = sync.OnceValue(b.scrapeNetwork)
	if !b.hooksBeforeHand() {
		b.scraping = true
		go b.scrape()
	}
	err := b.client.Configure(b.config())
	_ = writeOOMScore(b.sentry.Pid, score) // as far as the host lets us
	return err
}

// prepareGofer gathers what the gofer is to serve. What it returns starts the gofer in the cgroups of nest; the channel
// says when it serves, or why it does not.
func (b *birth) prepareGofer(null *os.File) (start func(nest *nursery) (<-chan error, error), err error) {
	mounts, exports, theirs, err := b.exports()
	if err != nil {
		closeFiles(theirs)
		return nil, err
	}
	b.args.Mounts = mounts
	ours, goferTheirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		closeFiles(theirs)
		return nil, err
	}
	theirs = append([]*os.File{goferTheirs}, theirs...)
	// The slack is for its runtime's monitor, as isolate.RelaxMonitor has it; the gofer lacks CAP_SYS_NICE, and times nothing more finely.
	l := &launchSpec{args: []string{"runsc", "gofer", b.ID}, files: append([]*os.File{null, null, b.log}, theirs...), attr: goferAttr(), slack: isolate.MonitorSlack}
	if !ordinary() {
		l.bound = append([]int{unix.CAP_SYS_ADMIN}, export.Capabilities...)
	}
	if b.goferUIDs != nil {
		l.attr.UidMappings, l.attr.GidMappings, l.attr.Credential = nil, nil, nil
		// Without a map it is nobody's program, which would lose its capabilities.
		for _, c := range append([]int{unix.CAP_SYS_ADMIN}, export.Capabilities...) {
			l.attr.AmbientCaps = append(l.attr.AmbientCaps, uintptr(c))
		}
	}
	conf := export.Config{WorkDir: b.path, Exports: exports, MountPoints: b.mountPoints(), UID: b.rootUID, GID: b.rootGID, HostSockets: b.opts.HostUDS == "open"}
	return func(nest *nursery) (<-chan error, error) {
		defer closeFiles(theirs)
		l.nest = nest
		var err error
		if b.gofer, err = launch(l); err == nil && b.goferUIDs != nil {
			err = b.mapGofer()
		}
		if err != nil {
			ours.Close()
			return nil, err
		}
		return async(func() error { return configure(ours, conf) }), nil
	}, nil
}

// configure sends a configuration and waits until the process is ready.
func configure(conn *os.File, conf any) error {
	cl, err := control.NewClient(conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.Configure(conf)
}

// openLog opens what the processes of the sandbox write messages and last words to.
func (b *birth) openLog() error {
	b.LogFile = b.opts.debugLogFile(b.ID)
	if b.LogFile == "" {
		b.LogFile = filepath.Join(b.path, logName)
	}
	f, err := os.OpenFile(b.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log of the sandbox: %w", err)
	}
	b.log = f
	return nil
}

// launchSentry starts the Sentry with its console, sockets and the file for its exit status.
func (b *birth) launchSentry(null *os.File) error {
	listener, err := b.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	exit, err := b.openExit()
	if err != nil {
		return err
	}
	defer exit.Close()
	ours, theirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer theirs.Close()
	files := []*os.File{null, null, b.log, theirs, listener, exit}
	console := 0
	if b.Spec.Process.Terminal {
		master, replica, err := newConsole(b.Spec.Process.ConsoleSize)
		if err != nil {
			ours.Close()
			return err
		}
		b.master = master
		b.args.Console = replica
		b.files = append(b.files, replica)
		files = append(files, replica)
		console = boot.ConsoleFD
	}
	b.sentry, err = launch(&launchSpec{
		args: []string{"runsc", "boot", b.ID}, files: files, attr: sentryAttr(b.network.fresh, console), netNS: b.network.join,
		nest: b.nest,
	})
	if err != nil {
		ours.Close()
		return err
	}
	b.client, err = control.NewClient(ours)
	return err
}

// exitRoom is the most that RecordExit writes, in bytes.
const exitRoom = 16

// openExit makes the file for the exit status, with room for it should the disk be full by then.
func (b *birth) openExit() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(b.path, exitName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	// What is written over will be there: file systems that allocate late have put the room aside. To allocate it now
	// would cost the removal of the file a wait for the disk.
	if _, err := f.WriteString(strings.Repeat(" ", exitRoom)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// setOOMScore asks the host to prefer, or spare, the sandbox as the container
// wants it. Processes that run applications inherit the score the Sentry has
// while it is configured; the score it is to have from then on is returned. It
// is lower: when memory is short the application shall end by SIGKILL, as it
// would natively, not its whole sandbox.
func (b *birth) setOOMScore() (later int) {
	// So much that the Sentry comes after all others even if it has touched all the memory there may be, which counts as
	// 1000; -1000 would mean never (proc_pid_oom_score_adj(5)).
	const lead = 1000
	adj := 0
	if a := b.Spec.Process.OOMScoreAdj; a != nil {
		adj = *a
		for _, p := range []*child{b.sentry, b.gofer} {
			if err := writeOOMScore(p.Pid, adj); err != nil {
				b.opts.warn("process.oomScoreAdj: %v", err)
			}
		}
	}
	later = max(adj-lead, -999)
	if writeOOMScore(b.sentry.Pid, later) != nil {
		// Without CAP_SYS_RESOURCE a score goes up, and back to where it was.
		_ = writeOOMScore(b.sentry.Pid, min(adj+lead, 1000))
		return adj
	}
	_ = writeOOMScore(b.sentry.Pid, adj)
	return later
}

func writeOOMScore(pid, adj int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(adj)), 0)
}

// config is the Sentry's configuration.
func (b *birth) config() *boot.Config {
	memory, _ := limits(b.Spec)
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		b.opts.warn("%v", err)
	}
	clocksource, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		b.opts.warn("%v", err)
	}
	var info unix.Sysinfo_t
	unix.Sysinfo(&info)
	var cpus unix.CPUSet
	unix.SchedGetaffinity(0, &cpus)
	return &boot.Config{
		ID: b.ID, Platform: b.opts.Platform, Debug: b.opts.Debug, Strace: b.opts.Strace, LogFormat: b.opts.LogFormat,
		Network: b.networkKind(), NumCPU: max(1, cpus.Count()), MemoryLimit: memory,
		HostMemory: int64(info.Totalram) * int64(info.Unit), CPUInfo: string(cpuinfo), HasTerminal: b.Spec.Process.Terminal,
		Clocksource: strings.TrimSpace(string(clocksource)), UIDMap: b.uidMap, GIDMap: b.gidMap, ForwardOwn: b.forwardOwn(),
	}
}

// exports lists what the gofer serves: the root and every bind mount, with a pair of sockets each.
func (b *birth) exports() (mounts []control.MountConn, exports []export.Export, theirs []*os.File, err error) {
	s := b.Spec
	add := func(m control.MountConn, e export.Export) {
		var a, z [2]*os.File
		if err == nil {
			if a[0], z[0], err = socketpair(unix.SOCK_STREAM); err == nil {
				a[1], z[1], err = socketpair(unix.SOCK_SEQPACKET)
			}
		}
		m.Conn, m.FDs = a[0], a[1]
		mounts, exports, theirs = append(mounts, m), append(exports, e), append(theirs, z[0], z[1])
		b.files = append(b.files, a[0], a[1])
	}
	overlay := b.opts.Overlay == "memory"
	readonly := s.Root.Readonly || overlay
	add(control.MountConn{Index: -1, Destination: "/", Source: s.Root.Path, ReadOnly: readonly, Exclusive: true},
		export.Export{Source: s.Root.Path, Recursive: true, ReadOnly: readonly, RecursiveReadOnly: overlay})
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if !spec.IsBind(m) {
			continue
		}
		st, serr := os.Stat(m.Source)
		if serr != nil {
			return nil, nil, theirs, fmt.Errorf("mounts[%d].source: %s: %w", i, m.Destination, serr)
		}
		e := exportOf(m)
		if spec.IsEmptyDir(m.Source) {
			// Other containers of the pod write to it: they and this one shall have one file system, which the
			// mount makes read-only for this one.
			e.ReadOnly, e.RecursiveReadOnly = false, false
		}
		add(control.MountConn{
			Index: i, Destination: m.Destination, Source: m.Source, ReadOnly: e.ReadOnly, IsFile: !st.IsDir(), Key: volumeKey(st, &e),
		}, e)
	}
	return mounts, exports, theirs, err
}

// volumeKey names what a bind mount shows, for the Sentry to find that two are the same.
func volumeKey(st os.FileInfo, e *export.Export) string {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d %t %t %t %#x", sys.Dev, sys.Ino, e.Recursive, e.RecursiveReadOnly, e.Slave, e.Attr)
}

// exportOf reads the options of a bind mount that concern the host's side.
func exportOf(m *specs.Mount) export.Export {
	e := export.Export{Source: m.Source}
	for _, o := range m.Options {
		switch o {
		case "rbind":
			e.Recursive = true
		case "bind":
			e.Recursive = false
		case "ro":
			e.ReadOnly = true
		case "rw":
			e.ReadOnly = false
		case "rro":
			e.ReadOnly, e.RecursiveReadOnly = true, true
		case "slave", "rslave", "shared", "rshared":
			e.Slave = true
		case "private", "rprivate":
			e.Slave = false
		case "noatime":
			e.Attr |= unix.MOUNT_ATTR_NOATIME
		case "strictatime":
			e.Attr |= unix.MOUNT_ATTR_STRICTATIME
		case "nodiratime":
			e.Attr |= unix.MOUNT_ATTR_NODIRATIME
		}
	}
	return e
}

// mountPoints lists the destinations that are in the root file system itself, so that they are there when it is
// read-only for the Sentry. Nothing is made on the host when writes are to stay in memory.
func (b *birth) mountPoints() []export.MountPoint {
	if b.opts.Overlay == "memory" {
		return nil
	}
	var points []export.MountPoint
	for i := range b.Spec.Mounts {
		m := &b.Spec.Mounts[i]
		inside := false
		for j := range b.Spec.Mounts[:i] {
			d := strings.TrimSuffix(filepath.Clean(b.Spec.Mounts[j].Destination), "/") + "/"
			inside = inside || strings.HasPrefix(filepath.Clean(m.Destination)+"/", d) && d != "/"
		}
		if inside || filepath.Clean(m.Destination) == "/" {
			continue
		}
		file := false
		if spec.IsBind(m) {
			st, err := os.Stat(m.Source)
			file = err == nil && !st.IsDir()
		}
		points = append(points, export.MountPoint{Path: m.Destination, File: file})
	}
	return points
}

// hooksBeforeHand reports whether hooksBefore has something to do.
func (b *birth) hooksBeforeHand() bool {
	h := b.Spec.Hooks
	//lint:ignore SA1019 see hooksBefore
	return h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0
}

// hooksBefore runs the hooks that may still change what the container will find, above all its network.
func (b *birth) hooksBefore() error {
	h := b.Spec.Hooks
	if h == nil {
		return nil
	}
	state := b.ociState(specs.StateCreating, b.Init.PID)
	// These hooks are older than the status "creating", and were said to run once the container is created.
	created := b.ociState(specs.StateCreated, b.Init.PID)
	//lint:ignore SA1019 docker sets up the network in such a hook
	if err := b.runHooks("prestart", h.Prestart, created, ""); err != nil {
		return err
	}
	if err := b.runHooks("createRuntime", h.CreateRuntime, state, ""); err != nil {
		return err
	}
	return b.runHooks("createContainer", h.CreateContainer, state, b.netPath())
}

// netPath names the network namespace of the Sentry, "" for our own: who is not the host's root could not enter that.
func (b *birth) netPath() string {
	if b.network.host {
		return ""
	}
	return fmt.Sprintf("/proc/%d/ns/net", b.Sentry.PID)
}

// hand gives the container to the Sentry.
func (b *birth) hand() error {
	a := &b.args
	a.ID, a.Spec, a.Overlay = b.ID, b.Spec, b.opts.Overlay
	a.MemoryLimit, a.CPUQuota = limits(b.Spec)
	if b.sandbox == nil {
		a.MaxTasks = b.maxTasks()
	}
	if !b.Spec.Process.Terminal {
		a.Stdio = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	}
	preserved, env := preservedFiles(b.create.PreserveFDs)
	a.Preserved = preserved
	if len(env) > 0 {
		s := *b.Spec
		p := *s.Process
		p.Env = append(p.Env[:len(p.Env):len(p.Env)], env...)
		s.Process, a.Spec = &p, &s
	}
	if b.sandbox == nil {
		if err := b.scrape(); err != nil {
			return err
		}
	}
	if err := b.client.Create(a); err != nil {
		return b.explain(err, b.sentry)
	}
	if b.sandbox == nil && b.keeper != nil {
		if err := b.configureKeeper(false); err != nil {
			return err
		}
	}
	if b.sandbox == nil {
		if err := b.launchForwarder(); err != nil {
			return fmt.Errorf("listeners of the pod on the host: %w", err)
		}
		if err := b.launchFollower(); err != nil {
			return err
		}
	}
	if b.create.ConsoleSocket != "" {
		return sendConsole(b.create.ConsoleSocket, b.master)
	}
	return nil
}

// preservedFiles finds the descriptors from 3 on that are to be passed, and what the environment says of them
// (--preserve-fds; sd_listen_fds(3)).
func preservedFiles(n int) (files []*os.File, env []string) {
	if l, err := strconv.Atoi(os.Getenv("LISTEN_FDS")); err == nil && l > 0 {
		env = []string{"LISTEN_FDS=" + strconv.Itoa(l), "LISTEN_PID=1"}
		if names := os.Getenv("LISTEN_FDNAMES"); names != "" {
			env = append(env, "LISTEN_FDNAMES="+names)
		}
		n += l
	}
	for fd := 3; fd < 3+n; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "preserved"))
	}
	return files, env
}

// keep makes the container outlive this process: from here on it exists.
func (b *birth) keep() error {
	b.Status = control.Created
	if err := b.save(); err != nil {
		return err
	}
	if b.create.PidFile != "" {
		if err := WritePidFile(b.create.PidFile, b.Init.PID); err != nil {
			return err
		}
	}
	if err := b.client.Keep(); err != nil {
		return b.explain(err, b.sentry)
	}
	return nil
}

// WritePidFile writes a PID so that a reader sees all of it or no file.
func WritePidFile(file string, pid int) error {
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	return os.Rename(tmp, file)
}

// done lets go of what only the creation needed.
func (b *birth) done() {
	if b.client != nil {
		b.client.Close()
		b.client = nil
	}
	if b.master != nil && !b.create.Relay {
		b.master.Close()
	}
	closeFiles(b.files)
	b.files = nil
	if b.log != nil {
		b.log.Close()
	}
	if b.keeperConn != nil {
		b.keeperConn.Close()
		b.keeperConn = nil
	}
	if b.sandbox != nil && b.sandbox.root != nil {
		b.sandbox.root.Close()
		b.sandbox.root = nil
	}
}

// abort undoes a creation.
func (b *birth) abort() {
	b.sentry.stop()
	if b.scraping {
		_ = b.scrape() // until it is done with b
	}
	b.keeper.stop()
	b.forwarder.stop()
	b.follower.stop()
	b.done() // what a sandbox that was joined has of the container goes with the connection
	b.gofer.stop()
	b.releaseNetwork()
	if b.entered != nil {
		<-b.entered
		b.removeCgroup()
	}
	if b.Spec != nil && b.Spec.Hooks != nil && (b.sentry != nil || b.keeper != nil) {
		b.poststop()
	}
	if err := b.remove(); err != nil {
		b.opts.warn("%v", err)
	}
	b.Close()
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
