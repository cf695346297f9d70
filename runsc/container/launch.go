package container

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/runsc/isolate"
)

// sentryUser is the user and group of the host as which a Sentry runs, unless an ordinary user starts it: nobody. Inside
// of its user namespace it is 0, a name without power.
const sentryUser = 65534

// A child is a process of ours that is being set up.
type child struct {
	*os.Process
	id procID
}

// program returns the path by which a child finds this binary again, and a file that must stay open until it has been
// started. The Sentry runs as nobody, so a binary that only root may execute is copied to memory first.
func program() (path string, keep *os.File, err error) {
	const self = "/proc/self/exe"
	st, err := os.Stat(self)
	if err != nil {
		return "", nil, err
	}
	if st.Mode()&0o005 == 0o005 {
		return self, nil, nil
	}
	from, err := os.Open(self)
	if err != nil {
		return "", nil, err
	}
	defer from.Close()
	fd, err := unix.MemfdCreate("runsc", unix.MFD_CLOEXEC)
	if err != nil {
		return "", nil, err
	}
	to := os.NewFile(uintptr(fd), "runsc")
	_, err = to.ReadFrom(from)
	if err == nil {
		err = to.Chmod(0o555)
	}
	if err != nil {
		to.Close()
		return "", nil, err
	}
	// Opened anew without write access: a file open for writing cannot be executed (ETXTBSY, execve(2)).
	path = fmt.Sprintf("/proc/self/fd/%d", fd)
	ro, err := os.Open(path)
	to.Close()
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", ro.Fd()), ro, nil
}

// A launchSpec is how a child is started.
type launchSpec struct {
	args  []string
	files []*os.File // its descriptors from 0 on
	attr  *syscall.SysProcAttr
	netNS *os.File      // the network namespace it is born in; nil: as attr says
	join  []nsFile      // further namespaces it is born in
	bound []int         // the capabilities it may have at most; nil: as attr says
	slack time.Duration // how late its timers may be (PR_SET_TIMERSLACK, prctl(2)); 0: as ours
	nest  *nursery      // where it is born; nil: in our own cgroups
}

// launch starts this binary again with an empty environment.
func launch(l *launchSpec) (*child, error) {
	path, keep, err := program()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	if keep != nil {
		defer keep.Close()
	}
	var p *os.Process
	start := func() {
		if l.netNS != nil {
			if err = unix.Setns(int(l.netNS.Fd()), unix.CLONE_NEWNET); err != nil {
				err = fmt.Errorf("join network namespace %s: %w", l.netNS.Name(), err)
				return
			}
		}
		if l.bound != nil {
			if err = isolate.BoundThread(l.bound...); err != nil {
				return
			}
		}
		if err = enter(l.join); err != nil {
			return
		}
		if l.slack > 0 {
			if err = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(l.slack.Nanoseconds()), 0, 0, 0); err != nil {
				err = fmt.Errorf("timer slack: %w", err)
				return
			}
		}
		attr := &os.ProcAttr{Dir: "/", Env: []string{}, Files: l.files, Sys: l.nest.enter(l.attr)}
		p, err = os.StartProcess(path, l.args, attr)
		if err != nil && l.nest.miss() {
			attr.Sys = l.attr
			p, err = os.StartProcess(path, l.args, attr)
		}
	}
	if l.netNS != nil || l.bound != nil || l.join != nil || l.slack > 0 || l.nest != nil {
		apart(start)
	} else {
		start()
	}
	if err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
			err = fmt.Errorf("%w (are user namespaces turned off? see sysctl user.max_user_namespaces)", err)
		}
		return nil, fmt.Errorf("start %q: %w", l.args[1], err)
	}
	id, err := identify(p.Pid)
	if err != nil {
		p.Kill()
		p.Wait()
		return nil, err
	}
	return &child{Process: p, id: id}, nil
}

// stop kills a child of this process and reaps it.
func (c *child) stop() {
	if c != nil {
		c.Kill()
		c.Wait()
	}
}

// sentryAttr asks for namespaces of its own for everything. Without console it leads a session without a terminal.
func sentryAttr(newNet bool, console int) *syscall.SysProcAttr {
	flags := uintptr(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	if newNet {
		flags |= unix.CLONE_NEWNET
	}
	uid, gid := sentryIDs()
	if ordinary() {
		uid, gid = os.Geteuid(), os.Getegid()
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: flags, UidMappings: ownMap(uid), GidMappings: ownMap(gid), GidMappingsEnableSetgroups: !ordinary(),
		Credential: &syscall.Credential{NoSetGroups: ordinary()}, Setsid: true,
	}
	if console > 0 {
		attr.Setctty, attr.Ctty = true, console
	}
	return attr
}

// goferAttr keeps the host's users, whose files are served, and nothing else.
func goferAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP,
		Setsid:     true,
	}
	if ordinary() { // a namespace where it has the power to mount
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings, attr.GidMappings = ownMap(os.Geteuid()), ownMap(os.Getegid())
		attr.Credential = &syscall.Credential{NoSetGroups: true}
	}
	return attr
}

// socketpair returns two connected unix sockets of the given type.
func socketpair(kind int) (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// listen makes the control socket in the container's directory. It goes by the descriptor of the directory, so that
// the length of its path does not matter.
func (c *Container) listen() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), socketName)
	addr := &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", c.dir.Fd(), socketName)}
	if err = unix.Bind(fd, addr); err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return f, nil
}
