package cli

func pauseCommand() *command {
	c := newCommand("pause", "<container-id>", "stop all processes of a container until resume", 1, 1)
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		return ct.Pause()
	}
	return c
}
