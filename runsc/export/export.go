package export

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"ringfort/gofer"
	"ringfort/platform/fdroom"
	"ringfort/runsc/control"
	"ringfort/runsc/isolate"
	"ringfort/seccompfilters"
)

// Capabilities are what serving files of any owner takes (capabilities(7)).
var Capabilities = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_MKNOD,
	unix.CAP_SETFCAP,
}

// Main is the whole life of a gofer. Descriptor 3 is the connection over which the configuration comes and the outcome
// of the set-up goes; it returns the exit status.
func Main() int {
	var conf Config
	first, err := control.ReadConfig(os.NewFile(3, "config"), &conf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gofer:", err)
		return seccompfilters.CrashStatus
	}
	roots, proc, err := prepare(&conf)
	if err == nil && conf.HostSockets {
		err = unix.Fchdir(int(proc.Fd())) // as package gofer wants it
	}
	if err == nil {
		err = seccompfilters.Install(seccompfilters.Gofer(conf.HostSockets))
	}
	if err := first.Ready(err); err != nil {
		fmt.Fprintln(os.Stderr, "gofer:", err)
		return seccompfilters.CrashStatus
	}
	first.Close()
	if err != nil {
		return seccompfilters.CrashStatus
	}
	return serve(&conf, roots, proc)
}

// serve runs until every connection has ended.
func serve(conf *Config, roots []*os.File, proc *os.File) int {
	var wg sync.WaitGroup
	status := 0
	var mu sync.Mutex // guards status
	for i, root := range roots {
		conn := os.NewFile(uintptr(FirstConn+2*i), "9p")
		fds := os.NewFile(uintptr(FirstConn+2*i+1), "donate")
		e := &conf.Exports[i]
		wg.Go(func() {
			err := gofer.Serve(root, conn, fds, gofer.Options{ReadOnly: e.ReadOnly, NoDevices: !e.Slave, ProcFD: proc, HostSockets: conf.HostSockets, Opened: fdroom.Got, Listener: true})
			if err != nil {
				fmt.Fprintf(os.Stderr, "gofer: %s: %v\n", e.Source, err)
				mu.Lock()
				status = 1
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return status
}

// prepare takes the process into a root that holds the exports alone, and returns them opened, together with its own
// /proc/self/fd.
func prepare(conf *Config) (roots []*os.File, proc *os.File, err error) {
	for i := range conf.Exports {
		unix.CloseOnExec(FirstConn + 2*i)
		unix.CloseOnExec(FirstConn + 2*i + 1)
	}
	if err := isolate.CloseInherited(FirstConn + 2*len(conf.Exports)); err != nil {
		return nil, nil, err
	}
	// From here on nothing that happens here is seen by the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return nil, nil, fmt.Errorf("make mounts slaves: %w", err)
	}
	trees := make([]int, len(conf.Exports))
	for i := range conf.Exports {
		if trees[i], err = cloneTree(&conf.Exports[i]); err != nil {
			return nil, nil, err
		}
	}
	if len(trees) > 0 {
		for _, m := range conf.MountPoints {
			// A destination that cannot be made is the Sentry's to report, or to make up.
			makeMountPoint(trees[0], m, conf.UID, conf.GID)
		}
	}
	for i := range conf.Exports {
		if err := restrict(trees[i], &conf.Exports[i]); err != nil {
			return nil, nil, err
		}
	}
	if proc, err = ownProc(); err != nil {
		return nil, nil, err
	}
	root, err := isolate.EmptyTmpfs(0)
	if err != nil {
		return nil, nil, err
	}
	if err := isolate.PivotInto(root, conf.WorkDir); err != nil {
		return nil, nil, err
	}
	for i, tree := range trees {
		f, err := attach(tree, "/"+strconv.Itoa(i))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", conf.Exports[i].Source, err)
		}
		roots = append(roots, f)
	}
	ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(root, "", unix.AT_EMPTY_PATH, &ro); err != nil {
		return nil, nil, fmt.Errorf("make the private root read-only: %w", err)
	}
	unix.Close(root)
	return roots, proc, isolate.KeepCapabilities(Capabilities...)
}

// cloneTree makes a detached copy of the mount at the export's source.
func cloneTree(e *Export) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if e.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, e.Source, flags)
	if err != nil {
		return -1, &os.PathError{Op: "export", Path: e.Source, Err: err}
	}
	return fd, nil
}

// restrict sets the attributes of an export's mounts. Device nodes and set-user-ID bits mean nothing to the gofer;
// noexec is the Sentry's to enforce, for it maps code out of donated descriptors.
func restrict(tree int, e *Export) error {
	all := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if !e.Slave {
		all.Propagation = unix.MS_PRIVATE
	}
	if e.RecursiveReadOnly {
		all.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &all); err != nil {
		return fmt.Errorf("export %s: mount attributes: %w", e.Source, err)
	}
	top := unix.MountAttr{Attr_set: e.Attr}
	if e.ReadOnly {
		top.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if e.Attr&unix.MOUNT_ATTR__ATIME != 0 {
		top.Attr_clr |= unix.MOUNT_ATTR__ATIME
	}
	if top == (unix.MountAttr{}) {
		return nil
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &top); err != nil {
		return fmt.Errorf("export %s: mount attributes: %w", e.Source, err)
	}
	return nil
}

// attach mounts a tree at a fresh name and opens it by O_PATH.
func attach(tree int, at string) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := unix.Mkdir(at, 0o700); err != nil {
			return nil, err
		}
	} else if err := unix.Mknod(at, unix.S_IFREG|0o600, 0); err != nil {
		return nil, err
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	// The descriptor of the tree is one by O_PATH already, and of the attached mount now.
	return os.NewFile(uintptr(tree), at), nil
}

// ownProc opens this process's /proc/self/fd in a proc of our own PID namespace, which shows nothing else.
func ownProc() (*os.File, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen proc: %w", err)
	}
	defer unix.Close(fs)
	// subset=pid (proc(5)) leaves out everything but processes; kernels before 5.8 do not know it.
	unix.FsconfigSetString(fs, "subset", "pid")
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("fsconfig proc: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsmount proc: %w", err)
	}
	defer unix.Close(mnt)
	fd, err := unix.Openat(mnt, "self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /proc/self/fd: %w", err)
	}
	return os.NewFile(uintptr(fd), "/proc/self/fd"), nil
}
