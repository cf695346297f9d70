package container

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/spec"
)

// hostKinds are the namespaces of the OCI specification that live in a Sentry: what of the host's a configuration means
// by leaving them out, or by a path, cannot reach into a sandbox. The process by which the host knows the container can
// be there all the same, for whoever looks at it or enters by it.
var hostKinds = []struct {
	kind specs.LinuxNamespaceType
	flag int
	// loss is what an application misses that shares the namespace with the host.
	loss string
}{
	{specs.PIDNamespace, unix.CLONE_NEWPID, "it sees no process of the host"},
	{specs.IPCNamespace, unix.CLONE_NEWIPC, "it shares no IPC object with the host"},
	{specs.UTSNamespace, unix.CLONE_NEWUTS, ""}, // it gets the names
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP, ""},
	{specs.MountNamespace, unix.CLONE_NEWNS, ""}, // the root is what the configuration says
}

// A standIn is in the namespaces of the host that a container has by its configuration, where its Sentry must not be.
type standIn struct {
	join  []nsFile
	fresh uintptr // CLONE_NEW*
}

// An nsFile is a namespace to join.
type nsFile struct {
	*os.File
	flag int // CLONE_NEW*
}

// findStandIn decides whether a container with a sandbox of its own needs a stand-in, nil if not, and says what an
// application misses of the host's namespaces.
func (b *birth) findStandIn() (*standIn, error) {
	st, host := &standIn{}, copiesByEntering(b.Spec)
	for _, k := range hostKinds {
		ns, ok := spec.Namespace(b.Spec, k.kind)
		switch {
		case !ok:
			host = host || k.kind != specs.CgroupNamespace
		case ns.Path == "":
			st.fresh |= uintptr(k.flag)
			continue
		default:
			if pid := pidOfPath(ns.Path); pid != 0 && !sameFile(fmt.Sprintf("/proc/%d/ns/pid", pid), "/proc/self/ns/pid") {
				return nil, fmt.Errorf("linux.namespaces: %s: %s is of another runtime's container, with which a sandbox can share nothing", ns.Type, ns.Path)
			}
			f, err := openNamespace(ns, k.flag)
			if err != nil {
				return nil, err
			}
			b.files = append(b.files, f)
			st.join = append(st.join, nsFile{f, k.flag})
			host = true
		}
		if k.loss != "" {
			b.opts.warn("linux.namespaces: container %s has the %s namespace of a sandbox: %s", b.ID, k.kind, k.loss)
		}
	}
	if !host {
		return nil, nil
	}
	if !b.network.host {
		f, err := os.Open(b.netPath())
		if err != nil {
			return nil, err
		}
		b.files = append(b.files, f)
		st.join = append(st.join, nsFile{f, unix.CLONE_NEWNET})
	}
	return st, nil
}

// copiesByEntering tells whether the engine copies files into and out of a running container by entering the mount
// namespace of its process, as podman cp does. A Sentry's is empty.
func copiesByEntering(s *specs.Spec) bool { return s.Annotations["io.container.manager"] == "libpod" }

// launchStandIn starts the stand-in where there is need for one. It is a keeper: it ends with the container, and when it
// is killed the container is.
func (b *birth) launchStandIn(null *os.File) error {
	st, err := b.findStandIn()
	if err != nil || st == nil {
		return err
	}
	return b.launchKeeper(null, st)
}

// pids are the container's processes on the host, its main one first.
func (b *birth) pids() []int {
	pids := []int{b.sentry.Pid, b.gofer.Pid}
	if b.keeper != nil {
		pids = append(pids, b.keeper.Pid)
	}
	return pids
}

// openNamespace opens a namespace by its path and makes sure that it is of the kind the configuration says.
func openNamespace(ns specs.LinuxNamespace, flag int) (*os.File, error) {
	f, err := os.Open(ns.Path)
	if err != nil {
		return nil, fmt.Errorf("linux.namespaces: %s: %w", ns.Type, err)
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != flag {
		f.Close()
		return nil, fmt.Errorf("linux.namespaces: %s is not a %s namespace", ns.Path, ns.Type)
	}
	return f, nil
}

// enter joins namespaces on the calling thread, which has to be locked and given up afterwards. The mount namespace
// comes last, for it changes what names mean.
func enter(list []nsFile) error {
	for _, f := range list {
		if f.flag == unix.CLONE_NEWNS {
			// The root and the working directory, which come with it, must be this thread's alone (setns(2)).
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
		}
		if err := unix.Setns(int(f.Fd()), f.flag); err != nil {
			return fmt.Errorf("join namespace %s: %w", f.Name(), err)
		}
	}
	return nil
}

// hostNames are the names that a container without a UTS namespace of its own has.
func (b *birth) hostNames() error {
	ns, ok := spec.Namespace(b.Spec, specs.UTSNamespace)
	if ok && ns.Path == "" || b.Spec.Hostname != "" || b.sandbox != nil {
		return nil
	}
	var list []nsFile
	if ok {
		f, err := openNamespace(ns, unix.CLONE_NEWUTS)
		if err != nil {
			return err
		}
		defer f.Close()
		list = append(list, nsFile{f, unix.CLONE_NEWUTS})
	}
	var uts unix.Utsname
	var err error
	apart(func() {
		if err = enter(list); err == nil {
			err = unix.Uname(&uts)
		}
	})
	if err != nil {
		return fmt.Errorf("names of the host: %w", err)
	}
	b.Spec.Hostname = unix.ByteSliceToString(uts.Nodename[:])
	if d := unix.ByteSliceToString(uts.Domainname[:]); b.Spec.Domainname == "" && d != "(none)" {
		b.Spec.Domainname = d
	}
	return nil
}
