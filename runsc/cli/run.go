package cli

import "ringfort/runsc/container"

func runCommand() *command {
	c := newCommand("run", "<container-id>", "create and start a container", 1, 1)
	o := createFlags(c.flags)
	var detach, keep bool
	c.flags.BoolVar(&detach, "detach", false, "do not wait for the container's end")
	c.flags.BoolVar(&detach, "d", false, "do not wait for the container's end")
	c.flags.BoolVar(&keep, "keep", false, "do not delete the container at its end")
	c.flags.Bool("no-subreaper", false, "taken for compatibility: processes of the container are never ours to reap")
	c.run = func(a *app, args []string) (err error) {
		if !detach {
			o.Relay = o.ConsoleSocket == ""
			a.exitCode, err = container.Run(&a.opts, args[0], o, keep)
			return err
		}
		made, err := container.Create(&a.opts, args[0], o)
		if err != nil {
			return err
		}
		defer made.Close()
		if err := made.Unlock().Start(); err != nil {
			made.Delete(true)
			return err
		}
		return nil
	}
	return c
}
