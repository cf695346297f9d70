package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/runsc/control"
	"ringfort/runsc/isolate"
	"ringfort/seccompfilters"
)

// Descriptors that runsc gives to the Sentry, besides /dev/null as 0 and 1 and the log as 2.
const (
	ConfigFD  = 3 // the first control connection
	ListenFD  = 4 // the listening control socket
	ExitFD    = 5 // the file that takes the wait status of the container
	ConsoleFD = 6 // the controlling terminal, with Config.HasTerminal
)

// flushTimeout bounds how long the end of the sandbox waits for the answers to those who wait for it.
const flushTimeout = 2 * time.Second

// The main goroutine stays on the Sentry's main thread. The Go runtime starts no thread from a locked one, so that it can
// be in a cgroup that must not count others.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "boot" {
		runtime.LockOSThread()
	}
}

// Main is the whole life of a Sentry. It does not return.
func Main(newSandbox NewSandboxFunc) {
	var conf Config
	first, err := control.ReadConfig(os.NewFile(ConfigFD, "control"), &conf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sentry: configuration:", err)
		os.Exit(seccompfilters.CrashStatus)
	}
	time.Local = time.UTC // the log's first line must not look for a zone file
	setLog(&conf)
	sandbox, err := build(&conf, newSandbox)
	if err != nil {
		first.Ready(err) // it is the caller who tells the user
		os.Exit(seccompfilters.CrashStatus)
	}
	server := control.NewServer(sandbox, conf.ID)
	go forwardSignals(sandbox, &conf)
	go func() {
		err := server.Accept(os.NewFile(ListenFD, "listener"))
		slog.Error("control socket", "error", err)
		exit(control.WaitStatus(unix.SIGKILL))
	}()
	go func() {
		if !server.ServeFirst(first) {
			exit(control.WaitStatus(unix.SIGKILL))
		}
	}()
	if err := first.Ready(nil); err != nil {
		exit(control.WaitStatus(unix.SIGKILL))
	}
	ws := <-server.Done()
	server.EndAll()
	sandbox.Destroy(conf.ID)                           // what is left of the container; its end is known already
	control.RecordExit(os.NewFile(ExitFD, "exit"), ws) // for `runsc wait` and `runsc delete` after our end
	server.Flush(flushTimeout)
	exit(ws)
}

// build makes the kernel in a process that has nothing left to lose.
func build(conf *Config, newSandbox NewSandboxFunc) (control.Sandbox, error) {
	given := ConsoleFD
	if conf.HasTerminal {
		given++
	}
	for fd := ListenFD; fd < given; fd++ {
		unix.CloseOnExec(fd)
	}
	if err := isolate.CloseInherited(given); err != nil {
		return nil, err
	}
	if newSandbox == nil {
		return nil, errors.New("this build has no kernel")
	}
	if err := openMemory(); err != nil {
		return nil, err
	}
	if err := isolate.RelaxMonitor(); err != nil {
		slog.Debug("the runtime's monitor wakes up often", "reason", err)
	}
	if err := lockIn(); err != nil {
		return nil, err
	}
	go control.Warm() // the platform is mostly waited for
	sandbox, err := newSandbox(conf)
	if err != nil {
		return nil, err
	}
	rules, err := seccompfilters.Sentry(conf.Platform, conf.Network == HostNetwork)
	if err != nil {
		return nil, err
	}
	return sandbox, seccompfilters.Install(rules)
}

// lockIn leaves the host's files and all capabilities behind.
func lockIn() error {
	if err := isolate.PrivateMounts(); err != nil {
		return err
	}
	root, err := isolate.EmptyTmpfs(unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return err
	}
	// /proc is where our own program was found, so it is there; what is mounted on it does not matter.
	if err := isolate.PivotInto(root, "/proc"); err != nil {
		return err
	}
	unix.Close(root)
	none := unix.Rlimit{}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &none); err != nil {
		return fmt.Errorf("limit of core files: %w", err)
	}
	if err := moreFiles(); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return isolate.KeepCapabilities()
}

// sentryFiles is how many descriptors a Sentry may have if we may say so: all files that applications have open have one,
// and those that they had open lately. Each is part of the memory that the sandbox's cgroup has.
const sentryFiles = 1 << 17

// moreFiles raises the limit of open files.
func moreFiles() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur >= sentryFiles {
		return err
	}
	more := unix.Rlimit{Cur: sentryFiles, Max: max(l.Max, sentryFiles)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil {
		return nil
	}
	l.Cur = l.Max // without CAP_SYS_RESOURCE on the host, or with a low fs.nr_open
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

// logLevel is the least level of messages in the log.
var logLevel slog.LevelVar

// setLog directs the log, descriptor 2, which a person or an engine reads.
func setLog(conf *Config) {
	options := &slog.HandlerOptions{Level: &logLevel}
	if conf.Debug {
		logLevel.Set(slog.LevelDebug)
	}
	var h slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if conf.LogFormat == "json" {
		h = slog.NewJSONHandler(os.Stderr, options)
	}
	slog.SetDefault(slog.New(h))
}

// forwardSignals passes on what the host sends to this process, which is the container's PID to everybody outside. The
// console controls our session: its size has changed when SIGWINCH comes; its hang-up the kernel sees for itself.
func forwardSignals(s control.Sandbox, conf *Config) {
	c := make(chan os.Signal, 16)
	signal.Notify(c, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	if conf.HasTerminal {
		signal.Ignore(unix.SIGHUP, unix.SIGTSTP)
		signal.Notify(c, unix.SIGWINCH)
	} else {
		signal.Notify(c, unix.SIGHUP)
	}
	for sig := range c {
		var err error
		if sig == unix.SIGWINCH {
			var ws *unix.Winsize
			if ws, err = unix.IoctlGetWinsize(ConsoleFD, unix.TIOCGWINSZ); err == nil {
				err = s.Resize(conf.ID, 0, ws.Row, ws.Col)
			}
		} else {
			err = s.Signal(conf.ID, 0, int32(sig.(unix.Signal)), control.SignalProcess)
		}
		if err != nil {
			slog.Debug("signal from the host", "signal", sig, "error", err)
		}
	}
}

// exit ends the process as the container ended.
func exit(ws control.WaitStatus) {
	os.Exit(seccompfilters.ExitStatus(ws.ExitCode()))
}
