package cli

func resumeCommand() *command {
	c := newCommand("resume", "<container-id>", "let the processes of a paused container go on", 1, 1)
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		return ct.Resume()
	}
	return c
}
