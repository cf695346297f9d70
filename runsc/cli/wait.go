package cli

import "strconv"

func waitCommand() *command {
	c := newCommand("wait", "<container-id>", "wait for the end of a container and print its exit code", 1, 1)
	var pid int
	c.flags.IntVar(&pid, "pid", 0, "wait for the process that has this `PID` inside of the container")
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		ws, err := ct.Wait(int32(pid))
		if err != nil {
			return err
		}
		return a.printJSON(struct {
			ID         string `json:"id"`
			ExitStatus int    `json:"exitStatus"`
		}{ct.ID + suffix(pid), ws.ExitCode()})
	}
	return c
}

func suffix(pid int) string {
	if pid == 0 {
		return ""
	}
	return "/" + strconv.Itoa(pid)
}
