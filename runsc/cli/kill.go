package cli

import "ringfort/runsc/container"

func killCommand() *command {
	c := newCommand("kill", "<container-id> [signal]", "send a signal (default TERM) to a container", 1, 2)
	var all bool
	c.flags.BoolVar(&all, "all", false, "send it to every process of the container")
	c.flags.BoolVar(&all, "a", false, "send it to every process of the container")
	c.run = func(a *app, args []string) error {
		name := "TERM"
		if len(args) == 2 {
			name = args[1]
		}
		sig, err := container.ParseSignal(name)
		if err != nil {
			return err
		}
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		return ct.Signal(sig, all)
	}
	return c
}
