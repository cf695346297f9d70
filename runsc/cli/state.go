package cli

import (
	"encoding/json"
	"fmt"
)

func stateCommand() *command {
	c := newCommand("state", "<container-id>", "print the state of a container as JSON", 1, 1)
	c.run = func(a *app, args []string) error {
		ct, err := a.open(args[0])
		if err != nil {
			return err
		}
		defer ct.Close()
		return a.printJSON(ct.Report())
	}
	return c
}

// printJSON prints a value for people and programs.
func (a *app) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", data)
	return err
}
