package cli

import (
	"flag"

	"ringfort/runsc/container"
)

// createFlags are shared by create and run.
func createFlags(fs *flag.FlagSet) *container.CreateOptions {
	o := &container.CreateOptions{}
	fs.StringVar(&o.Bundle, "bundle", ".", "`directory` of the bundle")
	fs.StringVar(&o.Bundle, "b", ".", "`directory` of the bundle")
	fs.StringVar(&o.PidFile, "pid-file", "", "`file` to write the PID of the container on the host to")
	fs.StringVar(&o.ConsoleSocket, "console-socket", "", "unix `socket` that takes the master of the terminal")
	fs.IntVar(&o.PreserveFDs, "preserve-fds", 0, "pass `N` more descriptors, from 3 on")
	fs.Bool("no-pivot", false, "taken for compatibility: the root is never the host's")
	fs.Bool("no-new-keyring", false, "taken for compatibility: keys of the host are never seen")
	return o
}

func createCommand() *command {
	c := newCommand("create", "<container-id>", "create a container that waits for start", 1, 1)
	o := createFlags(c.flags)
	c.run = func(a *app, args []string) error {
		made, err := container.Create(&a.opts, args[0], o)
		if err != nil {
			return err
		}
		made.Close()
		return nil
	}
	return c
}
