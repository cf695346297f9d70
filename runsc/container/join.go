package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/spec"
)

// A sandboxRef is the sandbox that a container joins.
type sandboxRef struct {
	root *Container // its first container, opened
	join control.Namespaces
}

// findSandbox decides whether a container gets a sandbox of its own (nil) or joins one.
func findSandbox(opts *Options, s *specs.Spec) (*sandboxRef, error) {
	id := spec.SandboxID(s)
	if id == "" {
		var err error
		if id, err = namedSandbox(opts, s); err != nil {
			return nil, err
		}
	}
	if id == "" {
		return nil, nil
	}
	root, err := Open(opts, id)
	if err != nil {
		return nil, fmt.Errorf("join sandbox %s: %w", id, err)
	}
	ref := &sandboxRef{root: root}
	if err := ref.check(s); err != nil {
		root.Close()
		return nil, fmt.Errorf("join sandbox %s: %w", id, err)
	}
	return ref, nil
}

// namedSandbox finds the sandbox that has a namespace which the configuration wants by its path, "" if none of ours has.
// Engines ask so for a container that shares another's network, processes or IPC (docker run --network=container:ID):
// two kernels can have none of these in common, so the one that is there takes the container in.
func namedSandbox(opts *Options, s *specs.Spec) (string, error) {
	for i, ns := range s.Linux.Namespaces {
		switch ns.Type {
		case specs.NetworkNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace:
		default:
			continue
		}
		if ns.Path == "" || ns.Type == specs.NetworkNamespace && sameFile(ns.Path, "/proc/self/ns/net") {
			continue // the host's network is everybody's
		}
		id, err := sandboxWith(opts, ns)
		if err != nil {
			return "", err
		}
		if id != "" {
			return id, sharesItsNetwork(opts, s, id, ns.Type)
		}
		if pid := pidOfPath(ns.Path); ns.Type == specs.NetworkNamespace && pid != 0 && !sameFile(fmt.Sprintf("/proc/%d/ns/pid", pid), "/proc/self/ns/pid") {
			return "", fmt.Errorf("linux.namespaces[%d].path: %s is the network of another runtime's container: its kernel and ours cannot both have the links", i, ns.Path)
		}
	}
	return "", nil
}

// sharesItsNetwork makes sure that a container which shares something of a sandbox shares its network: a Sentry has one.
func sharesItsNetwork(opts *Options, s *specs.Spec, sandbox string, kind specs.LinuxNamespaceType) error {
	if net, ok := spec.NetworkNamespace(s); ok && net.Path != "" {
		if id, err := sandboxWith(opts, net); err != nil || id == sandbox {
			return err
		}
	}
	return fmt.Errorf("linux.namespaces: who shares the %s namespace of container %s has to share its network as well (docker: --network=container:ID)", kind, sandbox)
}

// sandboxWith finds the sandbox of the live container that a namespace's path means.
func sandboxWith(opts *Options, ns specs.LinuxNamespace) (string, error) {
	ids, err := List(opts)
	if err != nil {
		return "", err
	}
	pid := pidOfPath(ns.Path)
	inode := uint64(0)
	if ns.Type == specs.NetworkNamespace {
		if inode, err = inodeOf(ns.Path); err != nil {
			return "", fmt.Errorf("linux.namespaces: network: %w", err)
		}
	}
	for _, id := range ids {
		c, err := Open(opts, id)
		if err != nil {
			continue // one that is being made or removed
		}
		found := c.Init.alive() && (pid != 0 && c.Init.PID == pid || inode != 0 && c.Sandbox == "" && c.hasNetwork(inode))
		if c.Sandbox != "" {
			id = c.Sandbox
		}
		c.Close()
		if found {
			return id, nil
		}
	}
	return "", nil
}

// hasNetwork tells whether the container's Sentry is in a network namespace.
func (c *Container) hasNetwork(inode uint64) bool {
	n, err := inodeOf(fmt.Sprintf("/proc/%d/ns/net", c.Sentry.PID))
	return err == nil && n == inode && c.Sentry.alive()
}

// check makes sure that the sandbox lives, and finds out whose namespaces the container shares.
func (r *sandboxRef) check(s *specs.Spec) error {
	if r.root.Sandbox != "" {
		return fmt.Errorf("container %s is itself one of sandbox %s", r.root.ID, r.root.Sandbox)
	}
	if st := r.root.Current(); st != control.Running && st != control.Created && st != control.Paused {
		return &control.Error{Text: fmt.Sprintf("it is %s", st), Kind: control.KindNotRunning}
	}
	// What a configuration does not ask to be new is the host's for runc; here it is the sandbox's.
	r.join = control.Namespaces{PID: r.root.ID, IPC: r.root.ID, UTS: r.root.ID, Net: r.root.ID}
	fields := map[specs.LinuxNamespaceType]*string{
		specs.PIDNamespace: &r.join.PID, specs.IPCNamespace: &r.join.IPC, specs.UTSNamespace: &r.join.UTS, specs.NetworkNamespace: &r.join.Net,
	}
	for i, ns := range s.Linux.Namespaces {
		to := fields[ns.Type]
		if to == nil {
			continue
		}
		if ns.Path == "" {
			*to = ""
			continue
		}
		id, err := r.owner(ns)
		if err != nil {
			return fmt.Errorf("linux.namespaces[%d].path: %w", i, err)
		}
		*to = id
	}
	return nil
}

// owner finds the container of the sandbox whose namespace a path means. The processes of a container that the host
// sees are the Sentry and stand-ins, so a path names a process rather than a namespace.
func (r *sandboxRef) owner(ns specs.LinuxNamespace) (string, error) {
	if ns.Type == specs.NetworkNamespace {
		if inode, err := inodeOf(ns.Path); err == nil && (inode == r.root.NetInode || sameFile(ns.Path, fmt.Sprintf("/proc/%d/ns/net", r.root.Sentry.PID))) {
			return r.root.ID, nil
		}
	}
	pid := pidOfPath(ns.Path)
	if pid != 0 && (pid == r.root.Sentry.PID || pid == r.root.Init.PID) {
		return r.root.ID, nil
	}
	ids, err := List(r.root.opts)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		c, err := Open(r.root.opts, id)
		if err != nil {
			continue
		}
		found := pid != 0 && c.Init.PID == pid && c.Sandbox == r.root.ID && c.Init.alive()
		c.Close()
		if found {
			return id, nil
		}
	}
	return "", fmt.Errorf("%s is not the %s namespace of a container of this sandbox", ns.Path, ns.Type)
}

// pidOfPath reads the number out of /proc/PID/ns/KIND, 0 if the path is another one.
func pidOfPath(path string) int {
	rest, ok := strings.CutPrefix(filepath.Clean(path), "/proc/")
	if !ok {
		return 0
	}
	number, rest, _ := strings.Cut(rest, "/")
	pid, err := strconv.Atoi(number)
	if err != nil || !strings.HasPrefix(rest, "ns/") {
		return 0
	}
	return pid
}

// joinSandbox is launchBoth for a container of a sandbox that runs: it has a gofer of its own and a keeper, which is its
// process for the host.
func (b *birth) joinSandbox() error {
	root := b.sandbox.root
	if err := b.openLog(); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	// The gofer serves volumes to other containers of the sandbox too, and may outlive this one.
	var nest *nursery
	m, err := root.cgroupManager()
	if err == nil {
		nest = newNursery(m, root.pidsCgroup())
		defer nest.close()
	}
	startGofer, err := b.prepareGofer(null)
	if err != nil {
		return err
	}
	goferReady, err := startGofer(nest)
	if err != nil {
		return err
	}
	b.Gofer = b.gofer.id
	if err := root.noteGofer(b.ID, b.gofer.id); err != nil {
		return err
	}
	if nest != nil && nest.missed {
		if err := addPids(m, []int{b.gofer.Pid}); err != nil {
			b.opts.warn("cgroup of sandbox %s: %v", root.ID, err)
		}
	}
	b.nest, b.nestErr = b.makeCgroup()
	defer b.nest.close()
	b.entered = make(chan struct{})
	err = b.launchKeeper(null, nil)
	if err == nil {
		b.cgroupErr = b.enterCgroup(b.nest, b.nestErr, func() {}, b.keeper.Pid)
	}
	close(b.entered)
	if err != nil {
		return err
	}
	if b.cgroupErr != nil {
		return b.cgroupErr
	}
	if b.client, err = root.dial(); err != nil {
		return err
	}
	if err := <-goferReady; err != nil {
		return b.explain(err, b.gofer)
	}
	return b.save() // the keeper reads it
}

// launchKeeper starts the process that stands for the container: engines know the container by it, and it ends as the
// container's init does.
func (b *birth) launchKeeper(null *os.File, st *standIn) error {
	ours, theirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	files := []*os.File{null, null, b.log, theirs}
	attr := keeperAttr()
	if b.Spec.Process.Terminal && st == nil {
		if b.master, b.args.Console, err = newConsole(b.Spec.Process.ConsoleSize); err != nil {
			ours.Close()
			theirs.Close()
			return err
		}
		b.files = append(b.files, b.args.Console)
		files = append(files, b.args.Console)
		attr.Setctty, attr.Ctty = true, keeperFirstFD
	}
	l := &launchSpec{args: []string{"runsc", "keep", b.ID}, files: files, attr: attr, nest: b.nest}
	if st != nil {
		l.join, attr.Cloneflags = st.join, st.fresh
	}
	if b.tree() != nil {
		attr.Cloneflags |= unix.CLONE_NEWNS
	}
	b.keeper, err = launch(l)
	theirs.Close()
	if err != nil {
		ours.Close()
		return err
	}
	b.Init = b.keeper.id
	b.keeperConn = ours
	return nil
}

// handOver gives the container to the Sentry of its sandbox, and its end to the keeper.
func (b *birth) handOver() error {
	exit, err := b.openExit()
	if err != nil {
		return err
	}
	b.files = append(b.files, exit)
	b.args.Exit, b.args.Join = exit, b.sandbox.join
	if b.args.Cgroups, err = b.cgroupFiles(); err != nil {
		return err
	}
	b.files = append(b.files, b.args.Cgroups...)
	if err := b.hand(); err != nil {
		return err
	}
	b.spreadOOMScore()
	return b.configureKeeper(b.Spec.Process.Terminal)
}

// configureKeeper lets the keeper wait for the container's end; the terminal is its own if it has one.
func (b *birth) configureKeeper(terminal bool) error {
	conn := b.keeperConn
	b.keeperConn = nil
	err := configure(conn, &KeeperConfig{Root: b.opts.Root, ID: b.ID, Init: true, Terminal: terminal, Tree: b.tree()})
	return b.explain(err, b.keeper)
}

// cgroupFiles opens what a process becomes a member of the container's cgroups by: cgroup.procs of each hierarchy. The
// Sentry can move nothing but what is in its own PID namespace, for numbers mean something else outside of it.
func (b *birth) cgroupFiles() (files []*os.File, err error) {
	m, err := b.cgroupManager()
	if err != nil {
		return nil, nil // enterCgroup has warned
	}
	seen := map[string]bool{}
	for _, dir := range m.GetPaths() {
		if dir == "" || seen[dir] {
			continue
		}
		seen[dir] = true
		f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue // a controller that this machine lacks, about which there was a warning
		}
		if err != nil {
			closeFiles(files)
			return nil, fmt.Errorf("cgroup: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}

// spreadOOMScore gives the processes of the container's applications, of which new ones inherit it, the score that the
// container wants.
func (b *birth) spreadOOMScore() {
	adj := b.Spec.Process.OOMScoreAdj
	m, err := b.cgroupManager()
	if adj == nil || err != nil {
		return
	}
	pids, err := m.GetPids()
	if err != nil {
		return
	}
	for _, pid := range pids {
		score := *adj
		if pid == b.keeper.Pid {
			score = max(score-keeperLead, -999)
		}
		if err := writeOOMScore(pid, score); err != nil && pid != b.keeper.Pid && !errors.Is(err, os.ErrNotExist) {
			b.opts.warn("process.oomScoreAdj: %v", err)
			return
		}
	}
}

// keeperLead is by how much a container's keeper is less likely to be killed for want of memory than its applications.
const keeperLead = 500

// goferFile is the name, in the directory of a sandbox, of what is known about a gofer of another container.
func goferFile(id string) string { return "gofer." + id }

// noteGofer records a gofer that may live as long as the sandbox.
func (c *Container) noteGofer(id string, gofer procID) error {
	return c.writeJSON(goferFile(id), gofer)
}

// endGofers ends the gofers of all containers of a sandbox whose Sentry has ended; they end by themselves, but for an
// accident.
func (c *Container) endGofers() error {
	names, err := filepath.Glob(filepath.Join(globEscape(c.path), goferFile("*")))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		var id procID
		if readState(name, &id) == nil {
			errs = append(errs, id.end(2*time.Second))
		}
	}
	return errors.Join(errs...)
}

// globEscape makes a path mean itself in a pattern.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
