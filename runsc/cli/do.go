package cli

import (
	"os"

	"ringfort/runsc/container"
)

func doCommand() *command {
	c := newCommand("do", "<command> [arguments]", "run a command in a sandbox over this machine's files, all changes in memory", 1, -1)
	c.rest = true
	o := &container.DoOptions{}
	c.flags.StringVar(&o.Root, "root", "/", "`directory` that is the root")
	c.flags.StringVar(&o.Cwd, "cwd", "", "working `directory` (default the present one)")
	c.run = func(a *app, args []string) (err error) {
		o.Args, o.Env = args, os.Environ()
		if o.Cwd == "" {
			o.Cwd = "/"
			if cwd, err := os.Getwd(); err == nil && o.Root == "/" {
				o.Cwd = cwd
			}
		}
		o.Terminal = container.IsTerminal(os.Stdin) && container.IsTerminal(os.Stdout)
		a.opts.Network, a.opts.Overlay = "none", "memory"
		a.exitCode, err = container.Do(&a.opts, o)
		return err
	}
	return c
}
