package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/isolate"
)

// ExecOptions are those of `exec`.
type ExecOptions struct {
	Process         *specs.Process
	Detach          bool
	PidFile         string
	InternalPidFile string
	ConsoleSocket   string
	PreserveFDs     int
}

// Exec runs a process in the container. Unless detached it stays until the end and returns the exit code.
func (c *Container) Exec(eo *ExecOptions) (int, error) {
	switch s := c.Current(); s {
	case control.Running, control.Created:
	case control.Paused:
		return 0, errors.New("cannot exec in a paused container")
	default:
		return 0, &control.Error{Text: fmt.Sprintf("cannot exec in a %s container", s), Kind: control.KindNotRunning}
	}
	p := eo.Process
	var master, replica *os.File
	if p.Terminal {
		if eo.Detach && eo.ConsoleSocket == "" {
			return 0, errors.New("cannot allocate tty if runsc will detach without setting console socket")
		}
		var err error
		if master, replica, err = newConsole(p.ConsoleSize); err != nil {
			return 0, err
		}
		defer master.Close()
		defer replica.Close()
	} else if eo.ConsoleSocket != "" {
		return 0, errors.New("cannot use console socket if runsc will not detach or allocate tty")
	}
	if eo.Detach || eo.ConsoleSocket != "" {
		return c.execDetached(eo, master, replica)
	}
	signals := make(chan os.Signal, 64)
	forward(signals)
	cl, pid, err := c.exec(eo, replica)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	if err := eo.writePidFiles(os.Getpid(), pid); err != nil {
		return 0, err
	}
	var r *relay
	if master != nil {
		replica.Close()
		r = startRelay(master)
		rows, cols := r.resize()
		if rows|cols != 0 {
			c.with(func(cl *control.Client) error { return cl.Resize(c.ID, pid, rows, cols) })
		}
	}
	go c.passSignals(c.with, signals, pid, func() (rows, cols uint16) {
		if r == nil {
			return 0, 0
		}
		return r.resize()
	})
	ws, err := cl.Wait(c.ID, pid)
	if r != nil {
		r.finish()
	}
	return ws.ExitCode(), err
}

// exec asks the Sentry for the process; it dies with the connection that is returned.
func (c *Container) exec(eo *ExecOptions, replica *os.File) (*control.Client, int32, error) {
	cl, err := c.dial()
	if err != nil {
		return nil, 0, err
	}
	a := &control.ExecArgs{ID: c.ID, Process: eo.Process, Console: replica}
	if replica == nil {
		a.Stdio = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	}
	a.Preserved, _ = preservedFiles(eo.PreserveFDs)
	pid, err := cl.Exec(a, true)
	if err != nil {
		cl.Close()
		return nil, 0, err
	}
	return cl, pid, nil
}

// passSignals sends what this process gets to the one in the container, by connections that with gives. size reads the
// window's size.
func (c *Container) passSignals(with func(func(*control.Client) error) error, signals chan os.Signal, pid int32, size func() (rows, cols uint16)) {
	for sig := range signals {
		if sig == unix.SIGWINCH {
			if rows, cols := size(); rows|cols != 0 {
				with(func(cl *control.Client) error { return cl.Resize(c.ID, pid, rows, cols) })
				continue
			}
		}
		with(func(cl *control.Client) error {
			return cl.Signal(c.ID, pid, int32(sig.(syscall.Signal)), control.SignalProcess)
		})
	}
}

func (eo *ExecOptions) writePidFiles(host int, inside int32) error {
	if eo.PidFile != "" {
		if err := WritePidFile(eo.PidFile, host); err != nil {
			return err
		}
	}
	if eo.InternalPidFile != "" {
		return WritePidFile(eo.InternalPidFile, int(inside))
	}
	return nil
}

// A KeeperConfig is what a keeper is started with. A keeper is a process of the host that stands for a detached process
// of the container: it passes on the signals it gets, ends with the same status, and when it is killed the process is
// killed too. Engines know the process by the keeper's PID.
type KeeperConfig struct {
	Root     string         `json:"root"`
	ID       string         `json:"id"`
	Process  *specs.Process `json:"process"`
	Terminal bool           `json:"terminal"`
	Preserve int            `json:"preserve"`
	// InternalPidFile takes the PID inside of the container.
	InternalPidFile string `json:"internalPidFile,omitempty"`
	// Init: the process is the container's init, which is there already.
	Init bool `json:"init,omitempty"`
	// Tree is what such a keeper shall see of the host, nil for all.
	Tree *Tree `json:"tree,omitempty"`
}

// Descriptors of a keeper beside the standard ones.
const (
	keeperConfigFD = 3
	keeperFirstFD  = 4 // the console, if there is one; then the preserved ones
)

// execDetached starts a keeper and returns when the process runs.
func (c *Container) execDetached(eo *ExecOptions, master, replica *os.File) (int, error) {
	ours, theirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return 0, err
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr, theirs}
	attr := keeperAttr()
	if replica != nil {
		files = append(files, replica)
		attr.Setctty, attr.Ctty = true, keeperFirstFD
	}
	preserved, _ := preservedFiles(eo.PreserveFDs)
	k, err := launch(&launchSpec{args: []string{"runsc", "keep", c.ID}, files: append(files, preserved...), attr: attr})
	theirs.Close()
	if err != nil {
		ours.Close()
		return 0, err
	}
	err = configure(ours, &KeeperConfig{
		Root: c.opts.Root, ID: c.ID, Process: eo.Process, Terminal: replica != nil, Preserve: len(preserved),
		InternalPidFile: eo.InternalPidFile,
	})
	if err == nil && eo.ConsoleSocket != "" {
		err = sendConsole(eo.ConsoleSocket, master)
	}
	if err == nil && eo.PidFile != "" {
		err = WritePidFile(eo.PidFile, k.Pid)
	}
	if err != nil {
		k.stop()
		return 0, err
	}
	if !eo.Detach { // a console socket without --detach: stay, as runc does
		st, err := k.Wait()
		if err != nil {
			return 0, err
		}
		return st.ExitCode(), nil
	}
	return 0, nil
}

// Keep is the whole life of a keeper; it returns the exit code.
func Keep() int {
	var conf KeeperConfig
	first, err := control.ReadConfig(os.NewFile(keeperConfigFD, "config"), &conf)
	if err != nil {
		return 255
	}
	given := keeperFirstFD + conf.Preserve
	if conf.Terminal {
		given++
	}
	if err := isolate.CloseInherited(given); err != nil {
		first.Ready(err)
		return 255
	}
	signals := make(chan os.Signal, 64)
	forward(signals)
	c, cl, pid, err := conf.begin()
	if err != nil {
		first.Ready(err)
		return 255
	}
	defer cl.Close()
	with := c.with
	var exit *os.File
	if conf.Tree != nil { // what is needed later has to be open
		var hand *control.Client
		hand, exit, err = conf.prepare(c)
		if err == nil {
			err = conf.Tree.enter()
		}
		if err != nil {
			first.Ready(err)
			return 255
		}
		with = func(do func(*control.Client) error) error { return do(hand) }
	}
	ended := make(chan int, 1)
	go func() { ended <- conf.await(c, cl, pid, exit) }()
	if first.Ready(nil) != nil {
		return 255
	}
	first.Close()
	go c.passSignals(with, signals, pid, func() (rows, cols uint16) {
		if ws, err := unix.IoctlGetWinsize(keeperFirstFD, unix.TIOCGWINSZ); err == nil && conf.Terminal {
			return ws.Row, ws.Col
		}
		return 0, 0
	})
	return <-ended
}

// await returns the exit code of the process. If the Sentry has no answer the process was killed with it.
func (k *KeeperConfig) await(c *Container, cl *control.Client, pid int32, exit *os.File) int {
	var ws control.WaitStatus
	var err error
	if k.Init {
		ws, err = cl.WaitFor(c.ID)
	} else {
		ws, err = cl.Wait(c.ID, pid)
	}
	if err != nil {
		ws = control.WaitStatus(unix.SIGKILL)
		if k.Init && c.Sandbox != "" { // a Sentry of its own records its end, or whoever ran it tells of a crash
			c.recordKill(ws, exit)
		}
	}
	return ws.ExitCode()
}

// prepare opens what a keeper needs that will not see the container's directory: a second connection, and the file for the
// exit status.
func (k *KeeperConfig) prepare(c *Container) (hand *control.Client, exit *os.File, err error) {
	if hand, err = c.dial(); err != nil {
		return nil, nil, err
	}
	if c.Sandbox != "" {
		exit, err = os.OpenFile(filepath.Join(c.path, exitName), os.O_RDWR, 0)
	}
	return hand, exit, err
}

// recordKill leaves the wait status of a container whose Sentry has not done so. f is the file for it, nil if that has to
// be opened.
func (c *Container) recordKill(ws control.WaitStatus, f *os.File) {
	if f == nil {
		var err error
		if f, err = os.OpenFile(filepath.Join(c.path, exitName), os.O_RDWR, 0); err != nil {
			return // deleted
		}
	}
	defer f.Close()
	b := make([]byte, exitRoom)
	if n, err := f.ReadAt(b, 0); (err == nil || err == io.EOF) && len(bytes.TrimSpace(b[:n])) == 0 {
		control.RecordExit(f, ws)
	}
}

// keeperAttr makes a keeper the leader of a session of its own.
func keeperAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// begin has the Sentry start the process, and lets go of its standard descriptors.
func (k *KeeperConfig) begin() (*Container, *control.Client, int32, error) {
	c, err := openDir(&Options{Root: k.Root}, k.ID)
	if err != nil {
		return nil, nil, 0, err
	}
	if err := readState(filepath.Join(c.path, stateName), &c.State); err != nil {
		return nil, nil, 0, err
	}
	if k.Init {
		cl, err := c.dial()
		return c, cl, 0, err
	}
	a := &control.ExecArgs{ID: k.ID, Process: k.Process}
	next := keeperFirstFD
	if k.Terminal {
		a.Console = os.NewFile(uintptr(next), "console")
		next++
	} else {
		a.Stdio = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	}
	for range k.Preserve {
		a.Preserved = append(a.Preserved, os.NewFile(uintptr(next), "preserved"))
		next++
	}
	cl, err := c.dial()
	if err != nil {
		return nil, nil, 0, err
	}
	pid, err := cl.Exec(a, true)
	if err != nil {
		return nil, nil, 0, err
	}
	closeFiles(a.Preserved)
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, 0, err
	}
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return nil, nil, 0, err
		}
	}
	unix.Close(null)
	if k.InternalPidFile != "" {
		err = WritePidFile(k.InternalPidFile, int(pid))
	}
	return c, cl, pid, err
}
