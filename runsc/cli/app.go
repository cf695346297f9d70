package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"ringfort/runsc/boot"
	"ringfort/runsc/container"
	"ringfort/runsc/control"
	"ringfort/runsc/export"
	"ringfort/runsc/follow"
	"ringfort/runsc/forward"
)

// Deps are the parts of other rooms that the command line puts together.
type Deps struct {
	// NewSandbox builds the kernel.
	NewSandbox boot.NewSandboxFunc
	// Scrape reads a network namespace.
	Scrape container.ScrapeFunc
	// View reads a network namespace and leaves it alone.
	View func(nsPath string) (config []byte, err error)
	// ReleaseNet gives the links of one back.
	ReleaseNet func(nsPath string) error
	// Syscalls returns the table of system calls by number.
	Syscalls func() []Syscall
}

// Version is the version of this program; the build sets it.
var Version = "0.1.0"

// An app is one call of runsc.
type app struct {
	deps     *Deps
	opts     container.Options
	log      string
	out      io.Writer
	exitCode int
}

// A command is one subcommand.
type command struct {
	name  string
	args  string // what stands after the options, for help
	about string
	flags *flag.FlagSet
	min   int // number of arguments
	max   int // -1: any
	// rest leaves everything from the first argument on alone, options of another program among them.
	rest bool
	run  func(a *app, args []string) error
}

func newCommand(name, args, about string, min, max int) *command {
	c := &command{name: name, args: args, about: about, min: min, max: max}
	c.flags = flag.NewFlagSet(name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	return c
}

// commands lists all subcommands in the order of help.
func commands() []*command {
	return []*command{
		createCommand(), startCommand(), runCommand(), stateCommand(), killCommand(), deleteCommand(), execCommand(),
		psCommand(), listCommand(), pauseCommand(), resumeCommand(), updateCommand(), eventsCommand(), waitCommand(),
		doCommand(), specCommand(), installCommand(), uninstallCommand(), featuresCommand(), syscallsCommand(), debugCommand(),
		metricServerCommand(), completionCommand(), versionCommand(), helpCommand(),
	}
}

// Main runs the program and returns its exit code.
func Main(deps *Deps) int {
	if len(os.Args) >= 2 {
		switch os.Args[1] { // the parts that runsc starts by itself
		case "boot":
			boot.Main(deps.NewSandbox)
		case "gofer":
			return export.Main()
		case "keep":
			return container.Keep()
		case completeWord:
			complete(os.Stdout, os.Args[2:])
			return 0
		case "forward":
			return forward.Main()
		case "follow":
			return follow.Main()
		}
	}
	// What we inherit is nobody's unless it is passed on by name.
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	a := &app{deps: deps, out: os.Stdout}
	if err := a.dispatch(os.Args[1:]); err != nil {
		a.fail(err)
	}
	return a.exitCode
}

// fail reports an error: on standard error for people, in the log for engines.
func (a *app) fail(err error) {
	if a.exitCode == 0 {
		a.exitCode = 1
	}
	var e *control.Error
	if errors.As(err, &e) && e.Exit != 0 {
		a.exitCode = e.Exit
	}
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if a.log != "" {
		logrus.Error(text)
	}
	fmt.Fprintln(os.Stderr, "runsc:", text)
}

// dispatch reads the global options and runs the subcommand.
func (a *app) dispatch(args []string) error {
	global := flag.NewFlagSet("runsc", flag.ContinueOnError)
	global.SetOutput(io.Discard)
	version := a.globalFlags(global)
	if err := global.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return a.help("")
		}
		return err
	}
	args = global.Args()
	if *version {
		return a.version()
	}
	if len(args) == 0 {
		return a.help("")
	}
	if err := a.complete(); err != nil {
		return err
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return a.runCommand(c, args[1:])
		}
	}
	return fmt.Errorf("no such command: %q (see \"runsc help\")", args[0])
}

func (a *app) runCommand(c *command, args []string) error {
	args, err := c.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return a.help(c.name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	switch {
	case len(args) < c.min:
		return fmt.Errorf("%s: %d argument(s) missing; usage: runsc %s %s", c.name, c.min-len(args), c.name, c.args)
	case c.max >= 0 && len(args) > c.max:
		return fmt.Errorf("%s: too many arguments: %q; usage: runsc %s %s", c.name, args[c.max:], c.name, c.args)
	}
	return c.run(a, args)
}

// parse takes options before, between and after the arguments; with rest only before the first one.
func (c *command) parse(args []string) (rest []string, err error) {
	for {
		if err := c.flags.Parse(args); err != nil {
			return nil, err
		}
		args = c.flags.Args()
		if len(args) == 0 || c.rest {
			return append(rest, args...), nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// globalFlags defines the options before the subcommand.
func (a *app) globalFlags(fs *flag.FlagSet) (version *bool) {
	o := &a.opts
	fs.StringVar(&o.Root, "root", "", "`directory` for the state of containers (default "+container.DefaultRoot+")")
	fs.StringVar(&a.log, "log", "", "`file` to write errors and warnings to (default standard error)")
	fs.StringVar(&o.LogFormat, "log-format", "text", "format of logs: `text` or json")
	fs.BoolVar(&o.Debug, "debug", false, "write debug messages to the debug log")
	fs.BoolVar(&o.SystemdCgroup, "systemd-cgroup", false, "let systemd make cgroups; cgroupsPath is \"slice:prefix:name\"")
	fs.StringVar(&o.DebugLog, "debug-log", "", "`file`, or directory when it ends with /, for messages of the sandbox")
	fs.StringVar(&o.Platform, "platform", "auto", "how applications are run: `auto` (systrap where the host can, else ptrace), systrap or ptrace")
	fs.StringVar(&o.Network, "network", "sandbox", "`sandbox` (own stack on the links of the network namespace) or none (loopback only)")
	fs.StringVar(&o.Overlay, "overlay", "none", "where writes to the root file system go: `none` (to it) or memory")
	fs.StringVar(&o.HostUDS, "host-uds", "none", "unix sockets of the host in mounts: `none` can be connected to, or open for all")
	fs.BoolVar(&o.FollowLinks, "follow-links", false, "take over links that come after the start (docker network connect), by one more process")
	fs.BoolVar(&o.Strace, "strace", false, "print every system call of the application to the debug log")
	fs.String("rootless", "auto", "taken for compatibility: `auto` or false")
	fs.String("criu", "", "taken for compatibility, ignored: `path`")
	version = fs.Bool("version", false, "print the version")
	fs.BoolVar(version, "v", false, "print the version")
	return version
}

// complete checks the global options and directs the log.
func (a *app) complete() error {
	o := &a.opts
	if o.Root == "" {
		o.Root = container.DefaultRoot
		if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && container.Rootless() {
			o.Root = dir + "/ringfort"
		}
	}
	if o.LogFormat != "text" && o.LogFormat != "json" {
		return fmt.Errorf("--log-format: unknown format %q (text, json)", o.LogFormat)
	}
	if err := a.openLog(); err != nil {
		return err
	}
	for _, c := range []struct {
		option, value string
		known         []string
	}{
		{"platform", o.Platform, []string{"auto", "systrap", "ptrace"}},
		{"network", o.Network, []string{"sandbox", "none"}},
		{"overlay", o.Overlay, []string{"none", "memory"}},
		{"host-uds", o.HostUDS, []string{"none", "open"}},
	} {
		if !contains(c.known, c.value) {
			return fmt.Errorf("--%s: unknown %s %q (%s)", c.option, c.option, c.value, strings.Join(c.known, ", "))
		}
	}
	o.Version, o.Scrape, o.View, o.ReleaseNet, o.Warn = Version, a.deps.Scrape, a.deps.View, a.deps.ReleaseNet, logrus.Warnf
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// parseGlobals tells what is wrong with global options.
func parseGlobals(args []string) error {
	fs := flag.NewFlagSet("runsc", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	new(app).globalFlags(fs)
	return fs.Parse(args)
}

// isBoolFlag tells whether an argument is a global option that needs no value.
func isBoolFlag(arg string) bool {
	fs := flag.NewFlagSet("runsc", flag.ContinueOnError)
	new(app).globalFlags(fs)
	f := fs.Lookup(strings.TrimLeft(arg, "-"))
	if f == nil {
		return false
	}
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// openLog makes logrus, which the cgroups library uses as well, write what engines read.
func (a *app) openLog() error {
	if a.opts.LogFormat == "json" {
		logrus.SetFormatter(&logrus.JSONFormatter{})
	}
	if a.opts.Debug {
		logrus.SetLevel(logrus.DebugLevel)
	}
	if a.log == "" {
		return nil
	}
	f, err := os.OpenFile(a.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		a.log = ""
		return fmt.Errorf("--log: %w", err)
	}
	logrus.SetOutput(f)
	return nil
}

// open finds a container.
func (a *app) open(id string) (*container.Container, error) { return container.Open(&a.opts, id) }

// A list is an option that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
