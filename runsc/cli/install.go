package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// dockerRuntime is an entry of "runtimes" in daemon.json (dockerd(8)).
type dockerRuntime struct {
	Path string   `json:"path"`
	Args []string `json:"runtimeArgs,omitempty"`
}

func installCommand() *command {
	c := newCommand("install", "[-- global options for each call]", "make this program a runtime of Docker", 0, -1)
	c.rest = true
	file := c.flags.String("config-file", defaultDaemonJSON, "the Docker daemon's configuration `file`")
	name := c.flags.String("runtime", "runsc", "`name` of the runtime")
	program := c.flags.String("path", "", "`program` to run (default this one)")
	standard := c.flags.Bool("default", false, "make it the runtime of containers that name none")
	dryRun := c.flags.Bool("dry-run", false, "print the configuration instead of writing it")
	c.run = func(a *app, args []string) error {
		if err := checkRuntimeName(*name); err != nil {
			return err
		}
		r := dockerRuntime{Path: *program, Args: args}
		if err := r.complete(); err != nil {
			return err
		}
		d, err := readDaemonJSON(*file)
		if err != nil {
			return err
		}
		list, err := d.runtimes()
		if err != nil {
			return err
		}
		if err := list.set(*name, r); err != nil {
			return err
		}
		if err := d.set("runtimes", list); err != nil {
			return err
		}
		if *standard {
			if err := d.set("default-runtime", *name); err != nil {
				return err
			}
		}
		return a.finish(d, *dryRun, fmt.Sprintf("runtime %q is %s", *name, r.Path))
	}
	return c
}

// complete finds the program and tries the arguments, so that a mistake shows now and not with the first container.
func (r *dockerRuntime) complete() (err error) {
	if r.Path == "" {
		if r.Path, err = os.Executable(); err != nil {
			return err
		}
	}
	if r.Path, err = filepath.Abs(r.Path); err != nil {
		return err
	}
	st, err := os.Stat(r.Path)
	if err != nil {
		return fmt.Errorf("--path: %w", err)
	}
	if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return fmt.Errorf("--path: %s is not a program", r.Path)
	}
	for _, arg := range r.Args {
		if !strings.HasPrefix(arg, "-") || !strings.Contains(arg, "=") && !isBoolFlag(arg) {
			return fmt.Errorf("%q: global options are given as --name=value here (see \"runsc help\")", arg)
		}
	}
	return parseGlobals(r.Args)
}

// checkRuntimeName refuses what dockerd would not start with.
func checkRuntimeName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("--runtime: a name is needed")
	case name == "runc" || strings.HasPrefix(name, "io.containerd."):
		return fmt.Errorf("--runtime: Docker keeps the name %q for itself", name)
	case strings.ContainsAny(name, " \t\n/"):
		return fmt.Errorf("--runtime: %q has a blank or a slash in it", name)
	}
	return nil
}
