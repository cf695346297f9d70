package container

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/spec"
)

// Run creates and starts a container, stays with it until its end, removes it unless keep is set, and returns the exit
// code. The container lives no longer than this process.
func Run(opts *Options, id string, co *CreateOptions, keep bool) (int, error) {
	signals := make(chan os.Signal, 64)
	forward(signals)
	b, err := create(opts, id, co)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	b.Status = control.Created
	if b.Spec.Hooks != nil {
		err = b.save() // they may look at it
	}
	if !b.hooksBeforeHand() && b.LateNetwork {
		// Nobody has moved links since.
		b.LateNetwork, b.NetPath = false, ""
	}
	if err == nil && co.PidFile != "" {
		err = WritePidFile(co.PidFile, b.Init.PID)
	}
	var r *relay
	if err == nil && b.master != nil {
		r = startRelay(b.master)
	}
	closeFiles(b.files) // the Sentry's copies are the only ones now: pipes end with the container
	b.files = nil
	if err == nil {
		if b.Spec.Hooks == nil {
			b.conn = b.client // nobody else needs it meanwhile
		}
		err = b.start()
		b.conn = nil
	}
	b.Unlock() // others may look at the container and change it
	if err != nil {
		b.main().Kill()
	}
	code, werr := b.stay(signals, r)
	if b.sandbox == nil {
		b.gofer.Wait()
		if b.keeper != nil {
			b.keeper.Wait()
		}
	}
	b.done()
	if !keep {
		if derr := b.Delete(true); derr != nil && err == nil {
			var e *control.Error
			if !errors.As(derr, &e) || e.Kind != control.KindNotFound { // removed by another runsc
				err = derr
			}
		}
	}
	var gone *control.Error
	if werr != nil && errors.As(err, &gone) && gone.Kind == control.KindNotRunning {
		return 0, werr // it crashed while it was being started: that is the reason to tell
	}
	if err != nil {
		return 0, err
	}
	return code, werr
}

// forward collects the signals that belong to the container.
func forward(to chan os.Signal) {
	var all []os.Signal
	for n := 1; n <= 31; n++ {
		switch sig := syscall.Signal(n); sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE,
			unix.SIGILL, unix.SIGSYS, unix.SIGTRAP, unix.SIGPROF, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT:
		default:
			all = append(all, sig)
		}
	}
	signal.Notify(to, all...)
}

// main is the process that ends when the container does.
func (b *birth) main() *child {
	if b.sentry != nil {
		return b.sentry
	}
	return b.keeper
}

// stay passes signals on until the container has ended, and turns its end into an exit code.
func (b *birth) stay(signals chan os.Signal, r *relay) (int, error) {
	ended := make(chan *os.ProcessState, 1)
	go func() {
		st, _ := b.main().Wait()
		ended <- st
	}()
	for {
		select {
		case sig := <-signals:
			if sig == unix.SIGWINCH && r != nil {
				r.resize() // the Sentry hears of it from the terminal
				continue
			}
			b.with(func(cl *control.Client) error {
				return cl.Signal(b.ID, 0, int32(sig.(syscall.Signal)), control.SignalProcess)
			})
		case st := <-ended:
			signal.Stop(signals)
			if r != nil {
				r.finish()
			}
			if ws, ok := b.recorded(); ok {
				return ws.ExitCode(), nil
			}
			how := describe(st)
			if limit, _ := limits(b.Spec); limit > 0 && b.OOMKills() > 0 {
				how += fmt.Sprintf(", for want of memory: linux.resources.memory.limit is %d", limit)
			}
			if words := lastWords(b.LogFile); words != "" {
				how += ": " + words
			}
			return 0, &control.Error{Text: "the sandbox crashed (" + how + ")", Exit: 128}
		}
	}
}

// DoOptions are those of `runsc do`.
type DoOptions struct {
	Root     string
	Cwd      string
	Args     []string
	Env      []string
	Terminal bool
}

// Do runs a command in a sandbox whose root is a directory of the host, by default all of it, and which keeps every
// change in memory.
func Do(opts *Options, do *DoOptions) (int, error) {
	caps := spec.CapabilityNames()
	s := &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Terminal: do.Terminal, Args: do.Args, Env: do.Env, Cwd: do.Cwd,
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Root:     &specs.Root{Path: do.Root},
		Hostname: "ringfort",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			{Type: specs.MountNamespace},
		}},
	}
	if err := spec.Check(s); err != nil {
		return 0, err
	}
	id := fmt.Sprintf("do-%d-%d", os.Getpid(), time.Now().UnixNano())
	return Run(opts, id, &CreateOptions{Bundle: do.Root, Spec: s, Relay: true}, false)
}
