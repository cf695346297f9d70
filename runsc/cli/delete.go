package cli

import "ringfort/runsc/container"

func deleteCommand() *command {
	c := newCommand("delete", "<container-id>", "remove a stopped container", 1, 1)
	var force bool
	c.flags.BoolVar(&force, "force", false, "kill it first if it runs; no error if there is none")
	c.flags.BoolVar(&force, "f", false, "kill it first if it runs; no error if there is none")
	c.run = func(a *app, args []string) error { return container.DeleteAny(&a.opts, args[0], force) }
	return c
}
