package cli

func startCommand() *command {
	c := newCommand("start", "<container-id>", "start the program of a created container", 1, 1)
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		return ct.Start()
	}
	return c
}
